"""What the verbs print as JSON: a plan as plain data.  Keys are only ever added."""

from __future__ import annotations

from typing import Any

from vmserial import chardevs
from vmserial.model import Assignment, Plan
from vmserial.options import render
from vmserial.planning import stages


def command_line(plan: Plan) -> list[str]:
    """Return the whole command of a plan: the binary and every option."""
    return [plan.qemu.binary or f"qemu-system-{plan.machine.arch}", *render(plan.options)]


def port_json(assignment: Assignment) -> dict[str, Any]:
    """Return one port's place."""
    port, device = assignment.port, assignment.device
    return {
        "port": port.name,
        "kind": assignment.kind,
        "chardev": {"id": assignment.chardev_id, "text": chardevs.text(port.chardev)},
        "device": device and {
            "driver": device.driver, "id": device.id, "properties": dict(device.properties)
        },
        "bus": assignment.bus,
        "address": assignment.address,
        "node": assignment.node,
        "node_at_boot": assignment.at_boot,
        "identity": {"kind": assignment.identity.kind, "value": assignment.identity.value},
        "hot_pluggable": assignment.hot_pluggable,
        "state": port.state,
        "reason": assignment.reason,
        "cautions": list(assignment.cautions),
        "where": str(port.where) if port.where else "",
    }  # fmt: skip


def _stage_json(one: stages.Reached) -> dict[str, Any]:
    """Return what a stage of the boot has of a port."""
    stage = one.stage
    return {
        "stage": stage.stage, "name": stage.name, "speaks": one.speaks, "obeys": one.obeys,
        "only": stage.only, "source": stage.source,
    }  # fmt: skip


def plan_json(plan: Plan, firmware: str = "") -> dict[str, Any]:
    """Return a plan, its command and everything it says.

    Args:
        plan: which.
        firmware: the version of its firmware; empty: unknown.
    """
    machine, qemu, guest = plan.machine, plan.qemu, plan.guest
    reached = stages.of_plan(plan, firmware)
    return {
        "vm": {"name": machine.name, "arch": machine.arch, "machine": machine.machine_type},
        "qemu": {
            "binary": qemu.binary, "version": qemu.version_text, "package": qemu.package,
            "measured": qemu.measured,
        },
        "guest": {
            "name": guest.name, "source": guest.source, "assumed": guest.assumed,
            "uarts_8250": guest.uarts_8250, "drivers": dict(guest.drivers),
        },
        "ports": [
            {**port_json(one), "stages": [_stage_json(ports[one.port.name]) for ports in reached]}
            for one in plan.assignments
        ],
        "command": [] if plan.refusals else command_line(plan),
        "notes": [
            {"kind": note.kind, "message": note.message, "hint": note.hint,
             "where": str(note.where) if note.where else ""}
            for note in machine.notes
        ],
        "memory": {"mib": machine.memory_mib, "ports_kib": plan.memory_kib},
        "warnings": [*plan.warnings, *stages.silent_consoles(plan)],
        "assumptions": list(plan.assumptions),
        "refusals": [
            {"id": refusal.id, "ports": list(refusal.ports), "message": refusal.happens,
             "hint": refusal.fix, "where": str(refusal.where) if refusal.where else ""}
            for refusal in plan.refusals
        ],
    }  # fmt: skip
