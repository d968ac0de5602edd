"""``vmserial convert``: one description of a VM into another."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import click

from vmserial.cli.gather import capabilities_of, guest_of, read_machine, tell
from vmserial.cli.heeded import check
from vmserial.cli.options import VmCommand, json_option, machine_options
from vmserial.cli.output import complain, print_json
from vmserial.cli.subject import resolved
from vmserial.cli.vm_options import VmOptions
from vmserial.errors import BinaryError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vmserial.model import Capabilities, Machine, Note
    from vmserial.sources.converting import Converted

TARGETS = ("pve", "libvirt", "toml", "argv")
"""What --to takes; named here so that --help imports no format (a test holds them equal)."""


@click.command(
    "convert",
    cls=VmCommand,
    epilog="""\b
Examples:
  vmserial convert 142.conf --to libvirt -o guest.xml
  vmserial convert guest.xml --to pve --vmid 142
  vmserial convert vm.toml --to argv
  vmserial convert --to toml -- qemu-system-aarch64 -M virt -serial pty

Exit code 0: all of the ports was carried over; 1: something has no counterpart, is named on stderr,
and the rest was written; 2: the input is wrong.""",
)
@machine_options()
@click.option("--to", "target", type=click.Choice(TARGETS), required=True,
              help="The format to write.")  # fmt: skip
@click.option("-o", "--output", default="", metavar="FILE", type=click.Path(),
              help="Write it into this file.")  # fmt: skip
@click.option("--force", is_flag=True, help="Replace FILE if it is there; a backup is kept.")
@json_option
def command(asked: VmOptions, target: str, output: str, force: bool, as_json: bool) -> int:
    """Turn a PVE configuration, a libvirt domain, TOML or a QEMU command into another of them.

    INPUT is any of the four: a file, a command on stdin (-) or after --. What a format cannot
    say is named, port by port.
    """
    from vmserial.sources.converting import convert

    asked = resolved(asked)
    check(asked, "convert", target)
    if force and output in {"", "-"}:
        raise UsageError(
            "--force is about the FILE of -o, and none is named",
            hint="add -o FILE",
            where="--force",
        )
    machine = read_machine(asked)
    if asked.append and machine.boot is None:
        raise UsageError(
            "--append is a kernel's command line, and none is named", hint="add --kernel",
            where="--append",
        )  # fmt: skip
    as_started = target == "argv" and machine.started is not None
    notes = (*machine.notes, *(() if as_started else machine.left_behind))
    tell(notes)
    result = convert(
        machine, target, capabilities=_binary(asked, machine, target),
        guest=guest_of(asked, machine), vmid=_vmid(asked, output),
    )  # fmt: skip
    tell(result.notes)
    # What a reader leaves out of a VM (PVE's own management) is no loss of a port.
    of_ports = [note for note in notes if note.message.startswith(("serial", "the backend"))]
    lost = [n for n in (*of_ports, *result.notes) if n.kind == "untranslated"]
    if as_json:
        print_json(_json(result, machine, target, notes))
    if output and output != "-":
        write(output, result.text, force=force)
    elif not as_json:
        # As it is: a file or a shell must read exactly these bytes.
        sys.stdout.write(result.text)
    if lost:
        things = "one thing has" if len(lost) == 1 else f"{len(lost)} things have"
        complain(f"vmserial: {things} no counterpart")
    return 1 if lost else 0


def write(path: str, text: str, *, force: bool) -> None:
    """Write a file whole or not at all; one that is there only where that was asked for.

    Raises:
        ConfigError: it is there, or cannot be written.
    """
    import os

    from vmserial.errors import ConfigError
    from vmserial.files import new_file, replace_file
    from vmserial.sources import read_bytes

    raw = text.encode("utf-8", "surrogateescape")
    if not os.path.lexists(path):
        new_file(path, raw)
        complain(f"written: {path}")
    elif not force:
        raise ConfigError(
            "this file is there already", hint="choose another name, or give --force", where=path
        )
    else:
        backup = replace_file(path, read_bytes(path), raw)
        complain(f"written: {path}; as it was: {backup}")


def _binary(asked: VmOptions, machine: Machine, target: str) -> Capabilities | None:
    """Ask the binary that the result is for; None where the format needs none, or none is here."""
    if target not in {"argv", "libvirt"}:
        return None
    try:
        return capabilities_of(machine, asked.qemu[0] if asked.qemu else "")[0]
    except BinaryError as error:
        if asked.qemu:
            raise
        complain(f"vmserial: note: {error.message}; QEMU 10.0 with all devices is assumed")
        return None


def _vmid(asked: VmOptions, output: str) -> int:
    """Return the number of the VM that is written: said, or told by a file's name."""
    for path in (output, asked.input):
        match = re.search(r"(?:\A|/)([1-9][0-9]{0,8})\.conf\Z", path)
        if asked.vmid is None and match:
            return int(match[1])
    return asked.vmid or 0


def _json(
    result: Converted, machine: Machine, target: str, notes: Sequence[Note]
) -> dict[str, object]:
    return {
        "from": machine.origin,
        "to": target,
        "text": result.text,
        "notes": [
            {"kind": note.kind, "message": note.message, "hint": note.hint,
             "where": str(note.where) if note.where else ""}
            for note in (*notes, *result.notes)
        ],
    }  # fmt: skip
