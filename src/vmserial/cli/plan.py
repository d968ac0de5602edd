"""``vmserial plan``: where each port goes, and why."""

from __future__ import annotations

import click

from vmserial.cli.options import VmCommand, json_option, machine_options
from vmserial.cli.plan_text import plan
from vmserial.cli.vm_options import VmOptions


@click.command(
    "plan",
    cls=VmCommand,
    epilog="""\b
Examples:
  vmserial plan 142.conf
  vmserial plan --arch aarch64 --ports 10
  vmserial plan --arch aarch64 --ports 10 --type virtio --json
  vmserial plan --arch x86_64 --machine q35 --ports 8 --guest debian-12-amd64

Exit code 1: some port cannot be carried; the others are shown all the same.""",
)
@machine_options()
@json_option
def command(asked: VmOptions, as_json: bool) -> int:
    """Show each port's device, bus, address and guest node, with the reason."""
    return plan(asked, as_json=as_json)
