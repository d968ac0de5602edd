"""Before `fix` shows or writes anything: is the mended command worse than the owner's?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmserial.cli.output import complain
from vmserial.cli.subject import FixWords

if TYPE_CHECKING:
    from pathlib import Path

    from vmserial.model import Capabilities
    from vmserial.sources.command import CommandLine


def refused(
    words: FixWords,
    before: CommandLine,
    after: CommandLine,
    capabilities: Capabilities,
    *,
    root: Path | None = None,
) -> str:
    """Start both commands paused and return why the change must not be made; empty if it may.

    Args:
        words: ``--no-check`` leaves it out.
        before: the command as its owner starts it.
        after: the mended one.
        capabilities: of the binary; one that is only assumed cannot be asked.
        root: where the files of -readconfig are; None: as named.
    """
    if words.no_check or not capabilities.binary or before.argv() == after.argv():
        return ""
    from vmserial.qemu.neverworse import checked

    found, why = checked(
        before, after, binary=capabilities.binary, arch=capabilities.target, root=root
    )
    if why:
        complain(f"vmserial: note: the change was not tried on a paused QEMU: {why}")
    if found is None:
        return ""
    return said(str(found))


def said(why: str) -> str:
    """Say why a change is not made, and return it."""
    complain(
        f"not mended: {why}\n  hint: nothing was changed; mend it by hand, or give --no-check "
        "to take the change all the same"
    )
    return why
