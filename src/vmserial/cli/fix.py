"""``vmserial fix``: mend what is wrong with a VM's serial ports, where it stands."""

from __future__ import annotations

import click

from vmserial.cli.mending import fix as mend
from vmserial.cli.options import VmCommand, fix_words, json_option, machine_options
from vmserial.cli.subject import FixWords
from vmserial.cli.vm_options import VmOptions


@click.command(
    "fix",
    cls=VmCommand,
    epilog="""\b
Examples:
  vmserial fix -- qemu-system-aarch64 -M virt -serial pty -serial pty
  vmserial fix --pretty - <command.txt
  vmserial fix start-vm.sh --diff
  vmserial fix guest.xml -o mended.xml
  vmserial fix 142 --apply
  vmserial fix --all --apply
  vmserial fix 142 --root copy-of-the-host --way shim

A command is printed mended; for a file a diff is shown and nothing is written without --apply or
-o. Only what is wrong is changed. Nothing is, if a paused QEMU shows that the VM would no longer
start or that an open port would be dead; --no-check leaves that out. Exit code 0: nothing is wrong
(any more); 1: something is left that only its owner can mend, or the change was refused.""",
)
@machine_options()
@click.option("--diff", is_flag=True, help="Show what would change, and write nothing.")
@click.option("--apply", is_flag=True, help="Write it in its place; a backup is kept.")
@click.option(
    "-o",
    "--output",
    default="",
    metavar="FILE",
    type=click.Path(),
    help="Write the result into this new file; - is stdout.",
)
@click.option("--pretty", is_flag=True, help="A command with one option a line.")
@click.option(
    "--way",
    type=click.Choice(["args", "shim"]),
    help="PVE: put the ports into args: (the default), or leave them to the emulator shim.",
)
@click.option(
    "--logs",
    default="",
    metavar="DIR",
    type=click.Path(),
    help="Give each port that keeps no log one in this directory.",
)
@click.option(
    "--no-check",
    is_flag=True,
    help="Do not ask a paused QEMU whether the VM starts and its ports are open after the change.",
)
@click.option("--all", "every", is_flag=True, help="All VMs of the PVE host at --root.")
@fix_words
@json_option
def command(asked: VmOptions, words: FixWords, every: bool, as_json: bool) -> int:
    """Mend a QEMU command, a libvirt domain (XML) or a PVE VM (its number or its .conf)."""
    from dataclasses import replace

    chosen = [name for name, given in (("--diff", words.diff), ("--apply", words.apply),
                                       ("-o", words.output)) if given]  # fmt: skip
    if len(chosen) > 1:
        raise click.UsageError(f"{' and '.join(chosen)} exclude each other")
    words = replace(words, as_json=as_json)
    if every:
        from vmserial.cli import all_vms

        all_vms.check(asked)
        return all_vms.fix(asked, words)
    return mend(asked, words)
