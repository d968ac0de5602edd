"""``vmserial undo``: what `fix --apply` and `shim install` changed, put back."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vmserial.cli.options import json_option
from vmserial.cli.output import complain, print_json, print_table, printable, say
from vmserial.cli.repaired import diff
from vmserial.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from vmserial.backups import Backup
    from vmserial.files import Backups
    from vmserial.pve.tree import Place
    from vmserial.shim.install import Step
    from vmserial.shim.places import Record


@click.command(
    "undo",
    epilog="""\b
Examples:
  vmserial undo                        all that can be undone, here and on this host
  vmserial undo 142                    what would be put back, as a diff
  vmserial undo 142 --apply
  vmserial undo start-vm.sh --backup 2 --apply
  vmserial undo /usr/bin/qemu-system-aarch64 --apply

The content that is replaced is kept as well: a second undo takes the first one back. Exit code 0:
done, or shown; 2: nothing is kept of INPUT, or somebody else changed it since.""",
)
@click.argument("input", required=False, default="", metavar="[INPUT]", type=click.Path())
@click.option("--backup", "number", type=click.IntRange(1), metavar="N",
              help="Which one; else the newest.")  # fmt: skip
@click.option("--apply", "do", is_flag=True, help="Put it back, whole or not at all.")
@click.option("--force", is_flag=True, help="Also where somebody changed the file since.")
@click.option("--root", default="/", metavar="DIR", type=click.Path(file_okay=False),
              help="The directory that stands for / of a PVE host: a copy of it.")  # fmt: skip
@click.option("--base", default="", metavar="DIR",
              help="Where shims keep their files; /usr/lib/vmserial-shim.")  # fmt: skip
@json_option
def command(
    input: str, number: int | None, do: bool, force: bool, root: str, base: str, as_json: bool
) -> None:
    """List what can be undone, or put INPUT back: a file, a PVE VM's number, a shim's path."""
    if not input:
        for option, given in (("--backup", number), ("--apply", do), ("--force", force)):
            if given:
                raise UsageError(
                    f"{option} needs the file, the VM's number or the shim that is meant",
                    hint="'vmserial undo' alone lists all that can be undone", where=option,
                )  # fmt: skip
        _list(list(_all(Path(root), base)), as_json)
        return
    steps = _shim_steps(root, base, input)
    if steps is not None:
        if number is not None or force:
            option = "--backup" if number is not None else "--force"
            raise UsageError(
                f"{option} is about a file's backups, and {input} is a shim",
                hint="leave it out: the real binary is put back", where=option,
            )  # fmt: skip
        _undo_shim(input, steps, do, as_json)
        return
    _undo_file(_target(input, Path(root)), number, do=do, force=force, as_json=as_json)


# ------------------------------------------------------------------ what there is


@dataclass(frozen=True)
class _Target:
    """A file whose old contents are kept: ``place`` is set for a PVE VM's."""

    path: Path
    backups: Backups
    place: Place | None = None
    called: str = ""


@dataclass(frozen=True)
class _Row:
    called: str
    what: str
    number: int
    when: str
    path: str


def _of_place(place: Place) -> _Target:
    return _Target(place.path, place.backups, place, str(place.vmid))


def _of_file(path: Path) -> _Target:
    from vmserial.files import beside

    return _Target(path, beside(path.resolve()), None, str(path))


def _target(text: str, root: Path) -> _Target:
    from vmserial.cli.subject import place_in_tree
    from vmserial.pve import tree

    if re.fullmatch(r"[1-9][0-9]{0,8}", text):
        return _of_place(tree.find(root, int(text)))
    place = place_in_tree(text)
    return _of_place(place) if place is not None else _of_file(Path(text))


def _all(root: Path, base: str) -> Iterator[_Row]:
    from vmserial.backups import kept, targets
    from vmserial.pve import tree

    found: list[_Target] = [_of_file(path) for path in targets(Path())]
    if (root / "etc/pve").is_dir() or root != Path("/"):
        found += [_of_place(place) for place in tree.places(root)]
    for target in found:
        for backup in kept(target.backups):
            yield _Row(
                target.called, f"VM of {target.path}" if target.place else "file",
                backup.number, _when(backup), str(backup.path),
            )  # fmt: skip
    for record in _shims(str(root), base):
        yield _Row(record.target, "shim", 0, "", record.real)


def _when(backup: Backup) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(backup.time))


def _list(rows: list[_Row], as_json: bool) -> None:
    if as_json:
        print_json([
            {"input": row.called, "what": row.what, "backup": row.number, "changed": row.when,
             "kept": row.path}
            for row in rows
        ])  # fmt: skip
    elif not rows:
        say("nothing is kept here: there is nothing to undo")
    else:
        print_table(
            ("input", "what", "backup", "changed", "as it was"),
            ((r.called, r.what, str(r.number or "-"), r.when or "-", r.path) for r in rows),
        )
        say("\n'vmserial undo INPUT' shows what would be put back, --apply does it")


# ------------------------------------------------------------------ a file


def _undo_file(
    target: _Target, number: int | None, *, do: bool, force: bool, as_json: bool
) -> None:
    from vmserial.backups import changed_since, kept

    chain = kept(target.backups)
    chosen = _chosen(chain, number, target)
    present = _present(target)
    against = changed_since(chain, chosen, present)
    change = diff(_text(present), _text(chosen.content), str(target.path), "as it was")
    written = ""
    if do:
        if against and not force:
            raise ConfigError(
                f"{against}: what they wrote would be gone",
                hint="look at the difference (leave --apply out); --force puts it back all the "
                "same, and keeps what is there now",
                where=str(target.path),
            )
        if present != chosen.content:
            written = str(_write(target, present, chosen.content))
    if as_json:
        print_json({
            "input": target.called, "file": str(target.path), "backup": chosen.number,
            "kept": str(chosen.path), "changed_since": against, "diff": change,
            "applied": do, "replaced": written,
        })  # fmt: skip
        return
    if present == chosen.content:
        complain(f"{target.path} is as it was: there is nothing to put back")
        return
    if do:
        complain(f"put back: {target.path}, from {chosen.path}; what it was until now: {written}")
        return
    sys.stdout.write(printable(change))
    if against:
        complain(f"know: {against}; --apply alone would refuse")
    complain("nothing was written: --apply puts it back")


def _chosen(chain: Sequence[Backup], number: int | None, target: _Target) -> Backup:
    if not chain:
        raise UsageError(
            "nothing is kept of this: vmserial has not changed it",
            hint=f"its backups would be {target.backups.directory}/{target.backups.prefix}N"
            f"{target.backups.suffix}; 'vmserial undo' lists all",
            where=str(target.path),
        )
    if number is None:
        return chain[-1]
    for backup in chain:
        if backup.number == number:
            return backup
    raise UsageError(
        f"there is no backup {number}",
        hint=f"there are {', '.join(str(backup.number) for backup in chain)}",
        where=str(target.path),
    )


def _present(target: _Target) -> bytes:
    try:
        return target.path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"the file cannot be read: {error.strerror}",
            hint="undo changes what is there; to make it anew, copy the backup: "
            f"{target.backups.directory}/{target.backups.prefix}…",
            where=str(target.path),
        ) from None


def _write(target: _Target, present: bytes, content: bytes) -> Path:
    if target.place is not None:
        from vmserial.pve import store, tree

        return store.write(tree.conf_of(target.place, present), content)
    from vmserial.files import replace_file

    return replace_file(target.path, present, content, target.backups)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


# ------------------------------------------------------------------ a shim


def _shims(root: str, base: str) -> Iterator[Record]:
    from vmserial.shim import places
    from vmserial.shim.tree import Tree

    tree = Tree("" if root == "/" else str(Path(root).resolve()))
    for _, record in places.installations(tree, base or places.BASE):
        if record is not None:
            yield record


def _shim_steps(root: str, base: str, text: str) -> list[Step] | None:
    """Return the steps that take a shim away; None where none stands at that path."""
    from vmserial.shim import places
    from vmserial.shim.install import remove
    from vmserial.shim.tree import Tree

    wanted = str(Path(text).absolute()) if root == "/" else text
    if "/" not in text or wanted not in {record.target for record in _shims(root, base)}:
        return None
    tree = Tree("" if root == "/" else str(Path(root).resolve()))
    return remove(tree, base or places.BASE, [wanted])


def _undo_shim(target: str, steps: Sequence[Step], do: bool, as_json: bool) -> None:
    from vmserial.shim.install import run

    if do:
        run(steps)
    if as_json:
        print_json({"input": target, "applied": do, "steps": [step.text for step in steps]})
        return
    for step in steps:
        complain(f"vmserial: {step.text}" if do else f"would {step.text}")
    if not do:
        complain("nothing was done: --apply does it")
