"""Installing and removing: steps in such an order that an emulator stands at the path always.

A crash after any step leaves either the binary or a whole wrapper at its path.
What is left behind then is found by the next ``install`` or ``remove``, which
both may be run any number of times.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from vmserial import __version__
from vmserial.errors import UsageError
from vmserial.shim import bundle, places
from vmserial.shim.diversion import Diversion
from vmserial.shim.facts import Facts
from vmserial.shim.places import NEW, RECORD, Record, Way
from vmserial.shim.tree import (
    Tree,
    discard,
    exchange,
    refused,
    same,
    second_name,
    settle,
    write,
)


@dataclass(frozen=True)
class Order:
    """What is to be installed.

    Attributes:
        way: ``divert`` (dpkg-divert) or ``path``.
        target: where the wrapper goes; for ``divert`` the binary itself.
        real: the real binary; for ``divert`` where it will be.
        facts: what the wrapper needs to know.
        base: the directory of all installations.
        log: the log's path.
        python: the interpreter.
        names: further names of the emulator.
    """

    way: Way
    target: str
    real: str
    facts: Facts
    base: str = places.BASE
    log: str = places.LOG
    python: str = bundle.PYTHON
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Step:
    """One thing to do; each is done whole or not at all.

    Attributes:
        text: what it does.
        do: does it.
    """

    text: str
    do: Callable[[], object]


def run(steps: Sequence[Step]) -> None:
    """Do the steps.

    Raises:
        UsageError: one of them cannot be done; those before it stay done.
    """
    for step in steps:
        try:
            step.do()
        except OSError as error:
            where = error.filename2 or error.filename or ""
            raise refused(os.fsdecode(where), error, f"do the step '{step.text}':") from None


# ------------------------------------------------------------------ install


def install(tree: Tree, order: Order) -> list[Step]:
    """Return the steps of an installation, or of what is missing of it.

    Raises:
        UsageError: it would not be safe, or the interpreter does not do.
    """
    _check_safe(tree, order)
    key = places.key_of(order.target)
    contents, record = _generation(tree, order, key)
    steps = []
    if places.record_in(tree, record.home) != record or damaged(tree, record):
        steps.append(
            Step(
                f"write {record.home}: {len(contents)} files",
                lambda: _write_generation(tree, order.base, key, record, contents),
            )
        )
    if order.way == "divert":
        steps += _diverted(tree, Diversion(tree, order.target))
    text = bundle.wrapper(record.python, record.real, record.home, record.log)
    path = tree.at(order.target)
    if places.wrapper_home(tree, order.target) is None or path.read_bytes() != text:
        if not tree.root:
            steps.append(Step("try it on a command line", lambda: bundle.tried(text)))
        steps.append(
            Step(f"put the wrapper at {order.target}", lambda: exchange(path, text, 0o755))
        )
    steps += _swept(tree, order.base, key, record.home)
    return steps


def _check_safe(tree: Tree, order: Order) -> None:
    base = tree.resolved(order.base)
    if base != order.base:
        raise UsageError(f"{order.base} leads over a link", hint=f"give {base} with --base")
    for path in (base, tree.resolved(order.python), order.target.rpartition("/")[0] or "/"):
        if stranger := tree.stranger(path):
            raise UsageError(
                f"{stranger} can be changed by others than root: a shim there would not be safe",
                hint=f"see ls -ld {stranger}; the shim's own directory is chosen with --base",
            )


def _generation(tree: Tree, order: Order, key: str) -> tuple[dict[str, bytes], Record]:
    found = bundle.modules()
    in_tree = ["/usr/sbin/chroot", tree.root] if tree.root else []
    try:
        code, compiled = bundle.compiled(found, [*in_tree, order.python])
    except UsageError:
        if not tree.root:
            raise
        # Another machine's tree: its Python may not run here.  If it is another version
        # than ours, the wrapper compiles the modules at each start, and says so.
        code, compiled = bundle.compiled(found, [order.python])
    contents = {
        "modules": bundle.listing(found),
        code: compiled,
        "facts.json": json.dumps(order.facts.to_json(), indent=1).encode() + b"\n",
        **{f"source/{module.file}": module.text for module in found},
    }
    files = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(contents.items())}
    record = Record(
        __version__, order.way, order.target, order.real, "", order.python, order.log,
        order.names, files,
    )  # fmt: skip
    digest = hashlib.sha256(record.to_json().encode()).hexdigest()[:12]
    for number in range(1, 1000):
        home = f"{order.base}/{key}/{__version__}-{digest}-{number}"
        made = replace(record, home=home)
        if not tree.at(home).exists() or not (
            places.record_in(tree, home) != made or damaged(tree, made)
        ):
            break
    return contents, made


def damaged(tree: Tree, record: Record) -> list[str]:
    """Return the files of a generation that are not as they were written, or not safe."""
    found = []
    for name, digest in record.files.items():
        path = f"{record.home}/{name}"
        try:
            data = tree.at(path).read_bytes()
        except OSError:
            found.append(path)
            continue
        if hashlib.sha256(data).hexdigest() != digest or tree.stranger(path):
            found.append(path)
    for name in record.names:
        link = tree.at(f"{record.home}/names/{name}")
        if not link.is_symlink() or os.fspath(link.readlink()) != record.real:
            found.append(f"{record.home}/names/{name}")
    return found


def _write_generation(
    tree: Tree, base: str, key: str, record: Record, contents: dict[str, bytes]
) -> None:
    above = tree.at(f"{base}/{key}")
    for directory in (tree.at(base), above):
        _make(directory, parents=True)
    new = above / f"{NEW}{os.urandom(4).hex()}"
    try:
        for name, data in {**contents, RECORD: record.to_json().encode()}.items():
            path = new / name
            for parent in reversed(path.relative_to(above).parents):
                _make(above / parent)
            write(path, data, 0o644)
        _make(new / "names")
        for name in record.names:
            (new / "names" / name).symlink_to(record.real)
        settle(new)
        new.rename(tree.at(record.home))
    except BaseException:
        discard(new)
        raise
    settle(above)


def _make(directory: Path, *, parents: bool = False) -> None:
    """Make a directory that others can read and not change, whatever the umask says."""
    if directory.is_dir():
        return
    if parents:
        _make(directory.parent, parents=True)
    directory.mkdir()
    directory.chmod(0o755)


def _diverted(tree: Tree, diversion: Diversion) -> list[Step]:
    """Return the steps that give the binary its second name.

    The diversion comes first: an upgrade after a crash between the two is then
    found under the second name.
    """
    path, aside = tree.at(diversion.path), tree.at(diversion.aside)
    wrapped = places.wrapper_home(tree, diversion.path) is not None
    to = diversion.to()
    steps = []
    if not to:
        text = f"dpkg-divert: the package's {diversion.path} is from now on {diversion.aside}"
        steps.append(Step(text, diversion.add))
    # A second name that is left from a removal may be an older binary's.
    if not aside.exists() or not (to or wrapped or same(path, aside)):
        text = f"give the binary a second name, {diversion.aside}"
        steps.append(Step(text, lambda: second_name(path, aside)))
    return steps


def _swept(tree: Tree, base: str, key: str, but: str = "") -> list[Step]:
    return [
        Step(f"remove {old}", lambda old=old: discard(tree.at(old)))  # type: ignore[misc]
        for old in places.generations(tree, base, key)
        if old != but
    ]


# ------------------------------------------------------------------ remove


def remove(tree: Tree, base: str, targets: Sequence[str] = ()) -> list[Step]:
    """Return the steps that undo installations, whole or half-made.

    Args:
        tree: where.
        base: the directory of all installations.
        targets: the wrappers; none: all.

    Raises:
        UsageError: there is no such installation.
    """
    found = list(places.installations(tree, base))
    known = {record.target for _, record in found if record}
    wanted = {tree.resolved(target) for target in targets}
    if unknown := sorted(wanted - known):
        raise UsageError(
            f"there is no shim at {unknown[0]}",
            hint=f"there are: {', '.join(sorted(known))}" if known else "nothing is installed",
        )
    steps: list[Step] = []
    for key, record in found:
        if wanted and (record is None or record.target not in wanted):
            continue
        if record is not None:
            steps += _undone(tree, record)
        steps += _swept(tree, base, key)
        steps.append(_removed_if_empty(tree, f"{base}/{key}"))
    if steps:
        steps.append(_removed_if_empty(tree, base))
    return steps


def _removed_if_empty(tree: Tree, path: str) -> Step:
    def do() -> None:
        with contextlib.suppress(OSError):  # it holds something else: that stays
            tree.at(path).rmdir()

    return Step(f"remove {path}, if nothing else is in it", do)


def _undone(tree: Tree, record: Record) -> list[Step]:
    path, aside = tree.at(record.target), tree.at(record.real)
    wrapped = places.wrapper_home(tree, record.target) is not None
    if record.way == "path":
        if wrapped:
            return [Step(f"remove the wrapper {record.target}", lambda: discard(path))]
        return []
    steps = []
    diversion = Diversion(tree, record.target)
    ours = diversion.to() == diversion.aside and diversion.local()
    if aside.exists():
        # dpkg has put a newer one there, or it is the second name of the one at the path.
        if wrapped or not path.exists() or (ours and not same(path, aside)):
            text = f"put the real binary back to {record.target}"
            steps.append(Step(text, lambda: second_name(aside, path)))
    elif wrapped:
        steps.append(Step(f"remove the wrapper {record.target}: the package's binary is gone",
                          lambda: discard(path)))  # fmt: skip
    if ours:
        steps.append(Step(f"dpkg-divert: {record.target} is the package's again", diversion.remove))
    if aside.exists():
        steps.append(Step(f"remove the name {record.real}", lambda: discard(aside)))
    return steps
