"""A PVE VM: its number in a tree, or its ``<VMID>.conf``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from vmserial.cli import pve_vm
from vmserial.cli.gather import tell
from vmserial.cli.hints import call, of_this_vm
from vmserial.cli.named import ids
from vmserial.cli.output import complain, print_json
from vmserial.cli.repaired import diff, finish, no_file, write
from vmserial.cli.subject import FixWords, input_of
from vmserial.cli.vm_options import VmOptions
from vmserial.errors import UsageError

if TYPE_CHECKING:
    from vmserial.cli.pve_vm import Vm
    from vmserial.model import Finding
    from vmserial.pve.mend import Mended, Way


def doctor(asked: VmOptions, words: FixWords) -> tuple[list[Finding], str]:
    """Return what is wrong with a VM as PVE starts it."""
    del words
    given = input_of(asked)
    vm = pve_vm.read(asked)
    loose = given.place is None
    # In a tree, what has no part in a command of ours is PVE's own business.
    tell(note for note in vm.machine.notes if loose or note.kind == "warning")
    found = list(examined(vm))
    count = len(vm.machine.ports) + _own_ports(vm)
    found = hinted(found, vm, call(asked))
    ports = f"{count} serial port{'' if count == 1 else 's'}"
    number = f"VM {vm.conf.place.vmid} ({vm.machine.name})" if not loose else vm.machine.name
    return found, f"{number}: {ports}"


def _own_ports(vm: Vm) -> int:
    """Return how many ports ``args:`` has under ids of the user's own."""
    if not vm.machine.args:
        return 0
    from vmserial.pve.judged import PveVm
    from vmserial.pve.listing import own_ports

    lowered = PveVm(vm.machine, vm.capabilities, vm.guest).lowered(vm.conf.document)
    return len(own_ports(lowered, vm.machine))


def hinted(findings: Iterable[Finding], vm: Vm, given: str) -> list[Finding]:
    """Return findings whose hints name this VM.

    Args:
        findings: what is wrong with it.
        vm: the VM.
        given: how it is given to another verb.
    """
    number = vm.conf.place.vmid
    return of_this_vm(
        findings,
        given,
        vm.machine.arch,
        lambda: len(vm.machine.ports) + _own_ports(vm),
        vmid=number,
    )


def examined(vm: Vm, *, on_this_host: bool = True) -> tuple[Finding, ...]:
    """Return what is wrong with a VM as PVE starts it, notes as well."""
    from vmserial.pve.examine import examine

    way: Way = "shim" if vm.shim else "args"
    return examine(
        vm.conf.document, vm.machine, vm.capabilities, vm.guest, way=way, shim=vm.shim,
        look_at=vm.look if on_this_host else None,
    )  # fmt: skip


def fix(asked: VmOptions, words: FixWords) -> int:
    """Mend a VM's configuration: show what would change, or write it."""
    from vmserial.pve import store
    from vmserial.pve.consequences import consequences

    pve_vm.current_only(asked)
    if asked.vmid is None and not input_of(asked).vmid:
        raise UsageError(
            "nobody says which VM's configuration this is, and its ports are named after that",
            hint="give --vmid N, or name the file <VMID>.conf", where=asked.input,
        )  # fmt: skip
    if words.apply and not input_of(asked).path:
        raise no_file()
    vm = pve_vm.read(asked)
    place = vm.conf.place
    way: Way = "shim" if words.way == "shim" else "args"
    made, unmended = mended(asked, words, vm)
    left = tuple(hinted(unmended, vm, call(asked)))
    why_not = worse(words, vm, made)
    if why_not:
        if words.as_json:
            print_json({"vmid": place.vmid, "changes": [], "left": [], "worse": why_not})
        return 1
    said = consequences(made, way, place.vmid)
    changed = made.document.text() != vm.conf.document.text()
    if words.apply and not words.as_json:
        backup = store.apply(vm.conf, made.document) if changed else None
        finish(
            asked, replace(words, apply=False, output=""), before="", after="",
            changes=made.changes, left=left, printed=True,
        )  # fmt: skip
        _tell(said)
        if backup is not None:
            complain(f"written: {place.path}; as it was: {backup}")
        return 1 if left else 0
    if words.as_json:
        written = ""
        if words.apply and changed:
            written = str(store.apply(vm.conf, made.document))
        elif words.output:
            write("", words, vm.conf.document.text(), made.document.text())
        print_json(_json(vm, made, way, left, said, written))
        return 1 if left else 0
    code = finish(
        asked, words, before=vm.conf.document.text(), after=made.document.text(),
        changes=made.changes, left=left, printed=not input_of(asked).path,
    )  # fmt: skip
    _tell(said)
    return code


def mended(
    asked: VmOptions, words: FixWords, vm: Vm, *, on_this_host: bool = True
) -> tuple[Mended, tuple[Finding, ...]]:
    """Return what `fix` makes of a VM's configuration, and what is wrong with it still."""
    from vmserial.pve.examine import examine, wrong
    from vmserial.pve.mend import mend
    from vmserial.sources.pve.wanted import logged

    way: Way = "shim" if words.way == "shim" else "args"
    look_at = vm.look if on_this_host else None
    machine = logged(vm.machine, words.logs)
    made = mend(
        vm.conf.document, machine, vm.capabilities, vm.guest, way, look_at=look_at
    )  # fmt: skip
    after = pve_vm.machine_of(asked, vm.conf, made.document, vm.machine.arch)
    left = examine(
        made.document, after, vm.capabilities, vm.guest, way=way, shim=vm.shim, look_at=look_at
    )  # fmt: skip
    return made, tuple(wrong(left))


def worse(words: FixWords, vm: Vm, made: Mended) -> str:
    """Return why a change must not be made: what PVE starts would be worse; empty if it may."""
    from vmserial.cli.never_worse import refused
    from vmserial.cli.standing import of_conf

    unasked = words.no_check or not vm.capabilities.binary or not made.changes
    if unasked or words.way == "shim":
        # With the shim PVE starts the same command; what the shim makes of it is seen there.
        return ""
    before, _ = of_conf(vm, vm.conf.document)
    after, _ = of_conf(vm, made.document)
    return refused(words, before, after, vm.capabilities)


def _tell(consequences: list[str]) -> None:
    for line in consequences:
        complain(f"know: {line}")


def _json(
    vm: Vm,
    mended: Mended,
    way: Way,
    left: tuple[Finding, ...],
    consequences: list[str],
    backup: str,
) -> dict[str, object]:
    before, after = vm.conf.document.text(), mended.document.text()
    return {
        "vmid": vm.conf.place.vmid,
        "file": str(vm.conf.place.path),
        "way": way,
        "found": ids(examined(vm)),
        "changes": [
            {"id": c.id, "ports": list(c.ports), "text": c.text} for c in mended.changes
        ],
        "left": [finding.id for finding in left],
        "know": consequences,
        "diff": diff(before, after, str(vm.conf.place.path)),
        "backup": backup,
    }  # fmt: skip
