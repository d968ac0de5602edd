"""A board whose emulated processor gives Linux no clock to start with."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import KINDS, PLATFORM, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield it for a kernel that QEMU loads without the word that it needs."""
    assert ctx.platform is not None
    kernels, appends = ctx.command.named("kernel"), ctx.command.named("append")
    name = ctx.platform.missing_word(appends[-1].value or "" if appends else "")
    if not name or not kernels or not ctx.ports or not _is_emulated(ctx):
        return
    ports = tuple(port.name for port in ctx.ports)
    guess = ctx.guest.assumed
    yield RULE.finding(
        f"an emulated {ctx.platform.name} gives Linux no clock to start with: without {name}= on "
        "its command line it stops early at boot, and no port answers",
        (appends or kernels)[-1], ports, severity=Severity.NOTE if guess else None,
        fix=f"add {name}=N to -append, N the host's frequency in kHz (cpu MHz of /proc/cpuinfo "
        "times 1000); or KVM", assumed=guess,
    )  # fmt: skip


def _is_emulated(ctx: RuleContext) -> bool:
    """Tell whether the first accelerator that QEMU tries is TCG; it is where none is named."""
    return next(iter(ctx.view.accelerators), "tcg").startswith("tcg")


RULE = Rule("emulated-clock", Severity.DEAD, KINDS, check, needs=(PLATFORM,))
