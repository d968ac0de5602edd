"""A CPU model that the binary does not have."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import KINDS, Rule


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the model of -cpu, where the binary was asked for its models and lacks it."""
    options = ctx.command.named("cpu")
    if not options:
        return
    option = options[-1]  # the one that counts
    if ctx.owner_of(option) != "user":
        return
    model = (option.value or "").partition(",")[0]
    if not ctx.capabilities.lacks_cpu(model):
        return
    import difflib  # only the way to an error needs it

    near = difflib.get_close_matches(model.lower(), ctx.capabilities.cpus, 1)
    fix = f"did you mean -cpu {near[0]}? " if near else ""
    yield RULE.finding(
        f"-cpu {model}: unable to find CPU model '{model}'", option,
        fix=f"{fix}qemu-system-{ctx.arch} -cpu help lists them",
    )  # fmt: skip


RULE = Rule("cpu-not-in-binary", Severity.FAILS, KINDS, check, among=("cpu",))
