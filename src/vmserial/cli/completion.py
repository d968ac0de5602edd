"""``vmserial completion``: the script that completes vmserial's words."""

from __future__ import annotations

import click

from vmserial.cli.options import SHELLS


@click.command(
    "completion",
    epilog="""\b
Examples:
  vmserial completion bash > ~/.local/share/bash-completion/completions/vmserial
  vmserial completion zsh > ~/.zfunc/_vmserial
  vmserial completion fish > ~/.config/fish/completions/vmserial.fish""",
)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the script that completes vmserial's words in your shell."""
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None, "SHELLS are those that click knows"
    click.echo(found(context.find_root().command, {}, "vmserial", "_VMSERIAL_COMPLETE").source())
