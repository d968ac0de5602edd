"""The hints of findings, in the words of the VM that they are about."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vmserial.cli.asked import Asked
    from vmserial.model import Finding

_PLAN = re.compile(r"vmserial plan --arch [a-z0-9_]+ --ports [0-9]+")
"""As the documents have it: an example's architecture and number."""


def of_this_vm(
    findings: Iterable[Finding],
    asked: Asked,
    arch: str,
    ports: Callable[[], int],
    mended: Collection[str] = (),
) -> list[Finding]:
    """Return findings whose hints name the VM's own architecture and number, and `fix`.

    Args:
        findings: what is wrong.
        asked: with its input read.
        arch: the VM's.
        ports: counts its ports; called where a hint needs it.
        mended: the ids of those that `fix` mends here.
    """
    found = []
    for finding in findings:
        finding = finding.explained()
        fix = finding.fix
        if _PLAN.search(fix):
            fix = _PLAN.sub(f"vmserial plan --arch {arch} --ports {max(ports(), 1)}", fix)
        if finding.id in mended and "vmserial fix" not in fix:
            fix = f"`vmserial fix {call(asked)}` mends it; or: {fix}"
        found.append(finding if fix == finding.fix else replace(finding, fix=fix))
    return found


def call(asked: Asked) -> str:
    """Return how the input is given to another verb."""
    import shlex

    from vmserial.cli.subject import ARGUMENT, OF_DOMAIN, input_of

    given = input_of(asked)
    if given.words:
        return "-- …"
    if given.path:
        return shlex.quote(given.path)
    if given.name.startswith(OF_DOMAIN):
        return shlex.quote(given.name.removeprefix(OF_DOMAIN))
    return "'…'" if given.name == ARGUMENT else "-"
