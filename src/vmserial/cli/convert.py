"""``vmserial convert``: a VM's serial part from one format into another."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import click

from vmserial.cli.gather import capabilities_of, guest_of, overrides, read_machine, tell
from vmserial.cli.options import Asked, json_option, machine_options
from vmserial.cli.output import complain, print_json
from vmserial.cli.subject import CommandAfterDashes, FixWords, kind_of

if TYPE_CHECKING:
    from vmserial.convert import Loss
    from vmserial.model import Machine, Plan

FORMATS = ("pve", "libvirt", "toml", "argv")


@click.command(
    "convert",
    cls=CommandAfterDashes,
    epilog="""\b
Examples:
  vmserial convert 142.conf --to libvirt
  vmserial convert guest.xml --to pve --vmid 142 -o 142.conf
  vmserial convert guest.xml --to argv
  vmserial convert --to toml -- qemu-system-aarch64 -M virt -serial pty

Only the serial part is converted, and what its ports need of the VM. What has no counterpart is
named on stderr. Exit code 0: nothing of a port was lost; 1: something was.""",
)
@machine_options()
@click.option("--to", "wanted", type=click.Choice(FORMATS), required=True, help="The format.")
@click.option(
    "-o",
    "--output",
    default="",
    metavar="FILE",
    type=click.Path(),
    help="Write it into this new file; - is stdout.",
)
@json_option
def command(asked: Asked, wanted: str, output: str, as_json: bool) -> int:
    """Write a VM's serial ports in another format, and say what has no counterpart there.

    INPUT is a PVE configuration, a libvirt domain (XML), a TOML file or a QEMU command: in a file,
    on stdin (-) or after --.
    """
    from vmserial.convert.losses import beside_the_ports

    machine = _machine(asked)
    tell(machine.notes)
    text, losses = _written(asked, machine, wanted)
    if as_json:
        print_json({
            "text": text,
            "lost": [{"port": loss.port, "what": loss.what, "why": loss.why} for loss in losses],
        })  # fmt: skip
    else:
        for line in beside_the_ports(machine, wanted) if wanted != "argv" else ():
            complain(f"vmserial: note: {line}")
        for loss in losses:
            complain(f"vmserial: lost: {loss}")
        if output and output != "-":
            from vmserial.files import new_file

            new_file(output, text.encode("utf-8", "surrogateescape"))
            complain(f"written: {output}")
        else:
            sys.stdout.write(text)
    return 1 if any(loss.port for loss in losses) else 0


def _machine(asked: Asked) -> Machine:
    """Read the input, whatever it is, and lay the options over it."""
    context = click.get_current_context()
    words = FixWords(command=context.meta.get("vmserial.command", ()))
    if kind_of(asked, words) != "command":
        return read_machine(asked)
    from vmserial.cli.subject_command import read, read_file
    from vmserial.convert.argv_reader import machine
    from vmserial.formats.overrides import apply

    made = machine(read(asked, words), arch=asked.arch, read_file=read_file)
    return apply(made, overrides(asked))


def _written(asked: Asked, machine: Machine, wanted: str) -> tuple[str, tuple[Loss, ...]]:
    if wanted == "toml":
        from vmserial.convert import toml_writer

        return toml_writer.write(machine)
    if wanted == "pve":
        from vmserial.convert import pve_writer

        return pve_writer.write(machine, _vmid(asked))
    from vmserial.planner import require

    made = _plan(asked, machine)
    require(made)
    if wanted == "argv":
        from vmserial.cli.data import command_line
        from vmserial.options import pretty

        return pretty(command_line(made)) + "\n", ()
    from vmserial.convert import libvirt_writer

    return libvirt_writer.write(machine, {a.port.index: a.kind for a in made.assignments})


def _plan(asked: Asked, machine: Machine) -> Plan:
    from vmserial.planner import plan

    capabilities, _ = capabilities_of(machine, asked.qemu[0] if asked.qemu else "")
    return plan(machine, capabilities, guest_of(asked, machine))


def _vmid(asked: Asked) -> int:
    """Return the VM's number in PVE: said, or the input's name, or PVE's first one."""
    if asked.vmid is not None:
        return asked.vmid
    match = re.search(r"(?:\A|/)([1-9][0-9]{0,8})\.conf\Z", asked.input)
    return int(match.group(1)) if match else 100
