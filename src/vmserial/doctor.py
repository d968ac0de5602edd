"""What is wrong with a configuration: what fails to start, what is silently dead, and why.

What can this binary and this guest not carry of what vmserial plans itself (the
plan's refusals)?  What somebody else starts, a command, a domain or a PVE VM, is
judged by :mod:`vmserial.judging`.  Pure: the host's own files are looked at by
:mod:`vmserial.host`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from vmserial.model import (
    Capabilities,
    Finding,
    GuestProfile,
    Machine,
    Plan,
    Severity,
    worst_first,
)
from vmserial.planning import planner

__all__ = ["Finding", "Severity", "diagnose", "of_plan"]


def diagnose(
    machine: Machine, capabilities: Capabilities, guest: GuestProfile
) -> tuple[Finding, ...]:
    """Return everything that is wrong, the worst first.

    Raises:
        UsageError: as :func:`vmserial.planning.planner.plan`.
    """
    return worst_first(of_plan(planner.plan(machine, capabilities, guest)))


def of_plan(made: Plan) -> Iterator[Finding]:
    """Yield the findings that a plan holds."""
    for refused in made.refusals:
        why = "the limit was read from the binary, the machine type or the guest's kernel"
        yield replace(refused, why=refused.why or why)
    for warning in made.warnings:
        yield Finding("caution", Severity.NOTE, warning, "a property of the device", "know it")
