"""What ``vmserial plan`` prints; without click."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vmserial.cli.heeded import check
from vmserial.cli.named import as_data, named, named_and_planned
from vmserial.cli.output import alike, print_json, print_section, print_table, ranges, say
from vmserial.cli.subject import FixWords, resolved
from vmserial.cli.vm_options import VmOptions

if TYPE_CHECKING:
    from vmserial.model import Finding, Plan


def plan(asked: VmOptions, *, as_json: bool) -> int:
    """Plan an input, print where each port goes, and return the exit code.

    Raises:
        VmserialError: as :func:`gather`.
    """
    asked = resolved(asked)
    check(asked, "plan")
    found: list[Finding] = []
    # What mends it is told in JSON alone.
    words = FixWords(named=not as_json)
    made = named_and_planned(asked, lambda asked: found.extend(named(asked, words)))
    firmware = _firmware(made, asked.root)
    if as_json:
        from vmserial.cli.data import plan_json

        print_json(
            {**plan_json(made, firmware), "findings": [as_data(finding) for finding in found]}
        )
    else:
        show(made, firmware)
    return 1 if made.refusals else 0


def _firmware(plan: Plan, root: str) -> str:
    """Return the version of the UEFI that a planned VM starts with; empty where it is not known."""
    from vmserial.planning.stages import firmware_name

    if firmware_name(plan.machine) in ("", "SeaBIOS"):
        return ""
    from pathlib import Path

    from vmserial.guests.firmware_version import version_of
    from vmserial.machines import architecture

    path = plan.machine.firmware.code or architecture(plan.machine.arch).firmware
    return version_of(Path(path), root=root)


def show(plan: Plan, firmware: str = "") -> None:
    """Print a plan's table and everything it says.

    Args:
        plan: which.
        firmware: the version of its firmware; empty: unknown.
    """
    from vmserial import chardevs
    from vmserial.planning import stages

    machine, qemu = plan.machine, plan.qemu
    say(
        f"{machine.name}: {machine.arch} {machine.machine_type}".rstrip()
        + f", {len(plan.assignments)} serial ports, QEMU {qemu.version_text}"
        + f", guest {plan.guest.name}"
    )
    say()
    print_table(
        ("port", "type", "place", "host side", "guest node", "known by"),
        (
            (
                a.port.name,
                a.kind,
                f"{a.bus} {a.address}",
                chardevs.text(a.port.chardev),
                a.node,
                str(a.identity),
            )
            for a in plan.assignments
        ),
    )
    if plan.memory_kib:
        say()
        say(
            f"Of the guest's {plan.machine.memory_mib:,} MiB the drivers of its ports take about "
            f"{plan.memory_mib:,} MiB."
        )
    reasons: dict[str, list[str]] = {}
    for a in plan.assignments:
        reasons.setdefault(a.reason, []).append(a.port.name)
    print_section("Why", [f"{ranges(names)}: {reason}" for reason, names in reasons.items()])
    print_section("Stages", stages.words(plan, ranges, firmware))
    told = {str(note) for note in machine.notes}
    warnings = [warning for warning in plan.warnings if warning not in told]
    print_section("Know", [*warnings, *stages.silent_consoles(plan)])
    print_section("Assumed", plan.assumptions)
    refused = []
    for group in alike(plan.refusals, lambda r: (r.id, r.happens, r.fix, str(r.where))):
        first = group[0]
        refused.append(first.happens + (f" ({first.where})" if first.where else ""))
        if len(group) > 1:
            refused.append(f"  and the same for {ranges(r.ports[0] for r in group[1:])}")
        refused.append(f"  hint: {first.fix}")
    print_section("Refused", refused)
