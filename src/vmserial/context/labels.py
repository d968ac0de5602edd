"""The chardevs that QEMU makes itself, and how it calls them.  Pure.

Each ``-serial``, ``-parallel``, ``-monitor``, ``-qmp``, ``-debugcon`` and ``-gdb`` with a
backend of its own has one, and so have the ports that QEMU adds by itself (system/vl.c; run
with 7.2).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from vmserial.records import record
from vmserial.sources.command import PortOption

if TYPE_CHECKING:
    from vmserial.context.context import RuleContext

_PARALLEL_BOARDS = ("isapc", "microvm", "sbsa-ref", "virt", "pc", "q35")
"""Machine types with a parallel port of QEMU's own, whether or not the board has one: not
pseries, powernv and s390-ccw-virtio (run with 7.2)."""

_MONITORS = frozenset({"monitor", "qmp", "qmp-pretty"})


@record(frozen=True)
class OwnChardev:
    """A chardev that QEMU makes itself.

    Attributes:
        id: what it is called.
        kind: of which option it is, by the option's name.
        port: the option; None: QEMU's own default port.
    """

    id: str
    kind: str
    port: PortOption | None


def own_chardevs(ctx: RuleContext) -> Iterator[OwnChardev]:
    """Yield the chardevs that QEMU makes itself."""
    counted = {"parallel": 0, "monitor": 0}
    for port in ctx.view.ports:
        kind, form = port.kind, port.host.form
        inline = form == "inline"
        if kind == "serial":
            number: int | str = port.index
        elif kind == "parallel" and form != "none":
            # One that is none is not counted, unlike a -serial.
            number = counted["parallel"]
            counted["parallel"] += 1
        elif kind in _MONITORS and form != "none":
            number, kind = counted["monitor"], "compat_monitor"
            counted["monitor"] += 1
        else:
            number = ""
        if inline and kind in {"serial", "parallel", "compat_monitor", "debugcon", "gdb"}:
            yield OwnChardev(f"{kind}{number}", port.kind, port)
    if ctx.view.default_serial is not None:
        yield OwnChardev("serial0", "serial", None)
    if ctx.view.default_monitor is not None:
        yield OwnChardev(f"compat_monitor{counted['monitor']}", "monitor", None)
    if _default_parallel(ctx):
        yield OwnChardev("parallel0", "parallel", None)


def _default_parallel(ctx: RuleContext) -> bool:
    """Tell whether QEMU adds a parallel port by itself."""
    if ctx.view.nodefaults or any(port.kind == "parallel" for port in ctx.view.ports):
        return False
    if any(device.driver == "isa-parallel" for device in ctx.view.devices):
        return False
    name = ctx.platform.name if ctx.platform is not None else ctx.machine_type
    return name in _PARALLEL_BOARDS
