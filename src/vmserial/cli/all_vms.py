"""``--all`` of `doctor` and `fix`: every VM of a PVE host, or of a copy of its files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from vmserial.cli import pve_vm, subject_pve
from vmserial.cli.hints import below, of_place
from vmserial.cli.named import as_data
from vmserial.cli.output import complain, print_json, print_table, ranges, say
from vmserial.cli.subject import FixWords, Input
from vmserial.cli.vm_options import VmOptions
from vmserial.errors import UsageError, VmserialError

if TYPE_CHECKING:
    from vmserial.cli.pve_vm import Vm
    from vmserial.model import Finding
    from vmserial.pve.tree import Place

T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    """One VM.

    Attributes:
        place: where it is.
        name: its name.
        findings: of `doctor`: what is wrong, of `fix`: what is left.
        changes: of `fix`: (id, ports) of what was mended, or would be.
        backup: of `fix --apply`: where it is kept as it was.
        problem: why it could not be judged, or written.
    """

    place: Place
    name: str = ""
    findings: tuple[Finding, ...] = ()
    changes: tuple[tuple[str, tuple[str, ...]], ...] = ()
    backup: str = ""
    problem: str = ""


def check(asked: VmOptions) -> None:
    """Refuse what cannot be said of all VMs at once.

    Raises:
        UsageError: an input is given, or one VM's own property.
    """
    if asked.input or asked.command:
        raise UsageError(
            "--all is about every VM below --root, and an input is given as well",
            hint="leave one of them out", where=asked.input or "--",
        )  # fmt: skip
    usual = VmOptions()
    for name, option in (("name", "--name"), ("vmid", "--vmid"), ("snapshot", "--snapshot"),
                         ("pending", "--pending")):  # fmt: skip
        if getattr(asked, name) != getattr(usual, name):
            raise UsageError(
                f"{option} is one VM's own, and --all is about every VM",
                hint="leave one of them out", where=option,
            )  # fmt: skip


def doctor(asked: VmOptions) -> list[Row]:
    """Judge all VMs.

    Raises:
        UsageError: there is no PVE tree at --root.
    """

    def judged(vm: Vm) -> Row:
        from vmserial.pve.examine import wrong

        found = subject_pve.hinted(
            wrong(subject_pve.examined(vm)), vm, of_place(vm.conf.place)
        )  # fmt: skip
        return Row(vm.conf.place, vm.machine.name, tuple(found))

    return list(_each(asked, judged))


def fix(asked: VmOptions, words: FixWords) -> int:
    """Mend all VMs: say what would change, or write it; one that cannot be is a row.

    Raises:
        UsageError: there is no PVE tree at --root, or -o and --diff are asked for.
    """
    if words.output or words.diff or words.pretty:
        option = "-o" if words.output else "--diff" if words.diff else "--pretty"
        raise UsageError(
            f"{option} is of one input, and --all is about every VM",
            hint="fix --all shows one table; --apply writes, `fix VMID --diff` shows one VM",
            where=option,
        )

    def mended(vm: Vm) -> Row:
        made, left = subject_pve.mended(asked, words, vm)
        row = Row(
            vm.conf.place,
            vm.machine.name,
            left,
            tuple((c.id, tuple(c.ports)) for c in made.changes),
        )
        if why_not := subject_pve.worse(words, vm, made):
            return replace(row, problem=why_not, changes=())
        if not words.apply or made.document.text() == vm.conf.document.text():
            return row
        from vmserial.pve import store

        try:
            return replace(row, backup=str(store.apply(vm.conf, made.document)))
        except VmserialError as error:
            return replace(row, problem=_said(error), changes=())

    rows = list(_each(asked, mended))
    if words.as_json:
        print_json([_fix_data(row) for row in rows])
    else:
        _show_fix(rows, written=words.apply)
    return _code(rows)


def _each(asked: VmOptions, work: Callable[[Vm], Row]) -> Iterator[Row]:
    from vmserial.machines import architecture
    from vmserial.pve import tree

    host = architecture(asked.arch).name if asked.arch else ""
    for place in tree.places(Path(asked.root)):
        try:
            conf = tree.read(place)
            mine = replace(
                # --arch is the host's here: a VM's own line wins.
                asked, arch="", input=str(place.path),
                given=Input("pve", str(place.path), conf.raw, str(place.path), (), place),
            )  # fmt: skip
            yield work(pve_vm.of_conf(mine, conf, host or tree.host_arch(place.root), quiet=True))
        except UsageError as error:
            # One file that cannot be read must not hide the others.
            yield Row(place, problem=_said(error))


def _said(error: VmserialError) -> str:
    return f"{error.where}: {error.message}" if error.where else error.message


def _code(rows: Sequence[Row]) -> int:
    return 1 if any(row.findings or row.problem for row in rows) else 0


def tell(rows: Sequence[Row], root: str, *, as_json: bool) -> int:
    """Print what `doctor --all` found and return the exit code."""
    if as_json:
        print_json([_data(row) for row in rows])
        return _code(rows)
    print_table(("vmid", "name", "effect", "ports", "finding"), _doctor_lines(rows))
    bad = [row for row in rows if row.findings or row.problem]
    say()
    if bad:
        some = "one VM has" if len(bad) == 1 else f"{len(bad)} of {len(rows)} VMs have"
        tree = below(root)
        say(
            f"{some} something wrong: 'vmserial doctor {bad[0].place.vmid}{tree}' says what to do, "
            f"'vmserial fix --all{tree}' what it would mend"
        )
    else:
        say(f"{len(rows)} VM{'' if len(rows) == 1 else 's'}: nothing is wrong")
    return _code(rows)


def _doctor_lines(rows: Sequence[Row]) -> Iterator[tuple[str, ...]]:
    for row in rows:
        vmid = str(row.place.vmid)
        if row.problem:
            yield vmid, row.name, "unread", "-", row.problem
        elif not row.findings:
            yield vmid, row.name, "-", "-", "nothing is wrong"
        for (id, effect), names in _grouped(
            ((f.id, str(f.severity)), f.ports) for f in row.findings
        ).items():
            yield vmid, row.name, effect, ranges(names) or "the VM", id


def _grouped(pairs: Any) -> dict[Any, list[str]]:
    found: dict[Any, list[str]] = {}
    for key, ports in pairs:
        found.setdefault(key, []).extend(ports)
    return found


def _show_fix(rows: Sequence[Row], *, written: bool) -> None:
    def told(groups: Any) -> str:
        return "; ".join(f"{id} {ranges(names)}".strip() for id, names in groups.items()) or "-"

    print_table(
        ("vmid", "name", "mended" if written else "would mend", "left", "as it was"),
        (
            (
                str(row.place.vmid), row.name, told(_grouped(row.changes)),
                row.problem or told(_grouped((f.id, f.ports) for f in row.findings)),
                row.backup or "-",
            )
            for row in rows
        ),
    )  # fmt: skip
    if not written and any(row.changes for row in rows):
        complain("nothing was written: --apply writes each VM in its place")


def _data(row: Row) -> dict[str, object]:
    return {
        "vmid": row.place.vmid,
        "node": row.place.node,
        "name": row.name,
        "file": str(row.place.path),
        "findings": [as_data(finding) for finding in row.findings],
        "problem": row.problem,
    }


def _fix_data(row: Row) -> dict[str, object]:
    return {
        "vmid": row.place.vmid,
        "node": row.place.node,
        "name": row.name,
        "file": str(row.place.path),
        "changes": [{"id": id, "ports": list(ports)} for id, ports in row.changes],
        "left": [finding.id for finding in row.findings],
        "backup": row.backup,
        "problem": row.problem,
    }
