"""``vmserial doctor``: what is wrong with a VM's serial ports, why, and what to do."""

from __future__ import annotations

import click

from vmserial.cli.doctor_text import doctor, write_junit
from vmserial.cli.options import VmCommand, fix_words, json_option, machine_options
from vmserial.cli.subject import FixWords
from vmserial.cli.vm_options import VmOptions


@click.command(
    "doctor",
    cls=VmCommand,
    epilog="""\b
Examples:
  vmserial doctor 142.conf
  vmserial doctor 142 --root copy-of-the-host
  vmserial doctor guest.xml
  vmserial doctor -- qemu-system-aarch64 -M virt -serial pty -serial pty
  vmserial doctor --boot - <command.txt
  vmserial doctor --all --root copy-of-the-host --junit doctor.xml
  vmserial doctor --arch aarch64 --ports 10 --type pci --json

Exit code 0: nothing is wrong; 1: there is something; with --all: with at least one VM.""",
)
@machine_options()
@click.option(
    "--live-probe",
    is_flag=True,
    help="Ask a paused QEMU as well: no network, no disk written, nothing of yours used.",
)
@click.option("--boot", is_flag=True, help="Prove every port on a booted test guest as well.")
@click.option("--all", "every", is_flag=True, help="All VMs of the PVE host at --root.")
@click.option("--junit", default="", metavar="FILE", type=click.Path(dir_okay=False),
              help="Write what is found as junit.xml, too.")  # fmt: skip
@fix_words
@json_option
def command(asked: VmOptions, words: FixWords, every: bool, junit: str, as_json: bool) -> int:
    """Say what would fail to start, what would be silently dead, why, and what to do.

    INPUT is a configuration, a libvirt domain (XML, or its name), a PVE VM's number, or a QEMU
    command: in a file, on stdin (-), in quotes, or after --.
    """
    if every:
        return _of_all(asked, words, junit, as_json)
    return doctor(asked, words, as_json=as_json, junit=junit)


def _of_all(asked: VmOptions, words: FixWords, junit: str, as_json: bool) -> int:
    from vmserial.cli import all_vms

    if words.live_probe or words.boot:
        raise click.UsageError("--live-probe and --boot are about one VM, not --all")
    all_vms.check(asked)
    rows = all_vms.doctor(asked)
    if junit:
        name = {row.place.vmid: f"VM {row.place.vmid} {row.name}".strip() for row in rows}
        write_junit(
            junit,
            {name[row.place.vmid]: row.findings for row in rows},
            {name[row.place.vmid]: row.problem for row in rows if row.problem},
        )
    return all_vms.tell(rows, asked.root, as_json=as_json)
