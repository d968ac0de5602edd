"""``vmserial showcmd``: the command line that starts the VM."""

from __future__ import annotations

import sys

import click

from vmserial.cli.command_text import command_text
from vmserial.cli.heeded import check
from vmserial.cli.options import VmCommand, json_option, machine_options
from vmserial.cli.subject import resolved
from vmserial.cli.vm_options import VmOptions


@click.command(
    "showcmd",
    cls=VmCommand,
    epilog="""\b
Examples:
  vmserial showcmd 142.conf --pretty
  vmserial showcmd --arch aarch64 --ports 10 --type usb | sh
  vmserial showcmd vm.toml --json

The text is shell: it can be pasted or piped into sh. Exit code 1: the ports do not fit, nothing
is printed.""",
)
@machine_options()
@click.option("--pretty", is_flag=True, help="One option a line, as 'qm showcmd --pretty'.")
@json_option
def command(asked: VmOptions, pretty: bool, as_json: bool) -> None:
    """Print the QEMU command line that gives the VM its ports."""
    if pretty and as_json:
        raise click.UsageError("--pretty and --json are two forms of the same; take one")
    asked = resolved(asked)
    check(asked, "showcmd")
    sys.stdout.write(command_text(asked, pretty=pretty, as_json=as_json))
