"""What can be said of a machine type on which serial ports are not planned: what was measured."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.judge.base import Flaw
from vmserial.judge.context import Scene
from vmserial.model import Severity

MEASURED_MOST = 8
"""The measurement stops here: it stands for 8 or more (:func:`vmserial.qemu.binary.probe`)."""


def unplanned(scene: Scene) -> Iterator[Flaw]:
    """Yield what is known of such a machine; only its owner can mend it."""
    if not scene.ports:
        return
    machine = scene.machine_type or "default"
    yield Flaw(
        "caution", Severity.NOTE, (),
        f"{scene.arch or 'this architecture'}, machine type {machine}: of the guest's side only "
        "what -serial reaches was judged; `vmserial doctor --live-probe` asks QEMU about the rest",
    )  # fmt: skip
    measured = scene.capabilities.onboard_uarts.get(scene.machine_type)
    if measured is None or measured >= MEASURED_MOST:
        return
    for port in scene.ports:
        onboard = port.onboard
        if onboard is None or onboard.index < measured or onboard.host.backend == "null":
            continue
        yield Flaw(
            "onboard-uart-limit", Severity.DEAD, (port.name,),
            f"{port.subject}: QEMU {scene.capabilities.version_text} wires up {measured} on-board "
            f"UART{'' if measured == 1 else 's'} of {machine} and ignores this one without a word",
            port.option.where,
            fix=f"use another device that {scene.arch} {machine} has",
        )  # fmt: skip
