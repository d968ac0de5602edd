"""What the shell's completion offers for the values of --arch, --suite and --guest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


def arch(
    ctx: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem | str]:
    """Offer the architectures that are known."""
    del ctx, parameter
    from vmserial.machines import ARCHITECTURES

    return _beginning(ARCHITECTURES, incomplete)


def suite(
    ctx: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem | str]:
    """Offer the Debian releases of the test guests."""
    del ctx, parameter
    from vmserial.guests.images import SUITES

    return _beginning(SUITES, incomplete)


def guest(
    ctx: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem | str]:
    """Offer the guests that are known; a path is the shell's own to complete."""
    del ctx, parameter
    from vmserial.guests.profile import KNOWN

    if "/" in incomplete:
        from click.shell_completion import CompletionItem

        return [CompletionItem(incomplete, type="file")]
    return _beginning(KNOWN, incomplete)


def _beginning(names: Iterable[str], incomplete: str) -> list[CompletionItem | str]:
    return [name for name in names if name.startswith(incomplete)]
