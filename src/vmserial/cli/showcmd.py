"""``vmserial showcmd``: the command line that starts the VM."""

from __future__ import annotations

import shlex
import sys

import click

from vmserial.cli.gather import gather, planned
from vmserial.cli.options import Asked, json_option, machine_options
from vmserial.cli.output import print_json


@click.command(
    "showcmd",
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
def command(asked: Asked, pretty: bool, as_json: bool) -> None:
    """Print the QEMU command line that gives the VM its ports."""
    from vmserial.cli.data import command_line
    from vmserial.options import pretty as pretty_text
    from vmserial.planner import require

    if pretty and as_json:
        raise click.UsageError("--pretty and --json are two forms of the same; take one")
    made = planned(gather(asked))
    require(made)
    words = command_line(made)
    if as_json:
        print_json(words)
    else:
        # Written as it is: a shell must read exactly these words.
        sys.stdout.write((pretty_text(words) if pretty else shlex.join(words)) + "\n")
