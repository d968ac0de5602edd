"""A plan of ours as the command that we start, for the judge.  Pure."""

from __future__ import annotations

from vmserial.model import Plan, SourceRef
from vmserial.model.origin import LoweredCommand, LoweredOption, Origin
from vmserial.options import Option


def lowered(made: Plan) -> LoweredCommand:
    """Return the command of a plan; what stands for a port has the port's place in the input."""
    places = {a.chardev_id: a.port.where for a in made.assignments}
    return LoweredCommand(
        made.qemu.binary or f"qemu-system-{made.qemu.target}",
        made.qemu.target,
        tuple(LoweredOption(o, Origin(_place(o, places), "plan")) for o in made.options),
        "plan",
        made.machine.name,
        {a.chardev_id: a.port.name for a in made.assignments},
    )


def _place(option: Option, places: dict[str, SourceRef | None]) -> SourceRef | None:
    """Return where the port was asked for whose chardev an option is, or uses."""
    ids = {str(value) for key, value in option.params if key == "id" or key.startswith("chardev")}
    if option.raw:
        ids.add(option.raw.removeprefix("chardev:"))
    return next((places[id] for id in sorted(ids & places.keys())), None)
