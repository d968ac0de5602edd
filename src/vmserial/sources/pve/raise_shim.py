"""A configuration for the emulator shim: PVE's own lines where it has them, else chardevs alone.

The shim gives each port of PVE's command a device that is there.  What PVE has a line
for keeps it, so that ``qm terminal`` and the web interface go on working; everything
else is asked for by a chardev ``serialN`` in ``args:``, which stock QEMU takes, too.
"""

from __future__ import annotations

from vmserial import chardevs
from vmserial.limits import PVE_SERIAL_PORTS
from vmserial.model import SerialPort
from vmserial.model.origin import LoweredCommand
from vmserial.options import split_params
from vmserial.sources.pve import edits
from vmserial.sources.pve.document import Document
from vmserial.sources.pve.own import own_line
from vmserial.sources.pve.raise_args import concerns, without_idle_controllers, without_ports
from vmserial.sources.pve.values import quoted


def has_line(port: SerialPort) -> bool:
    """Tell whether PVE has a line for a port's back end."""
    return port.index < PVE_SERIAL_PORTS and bool(own_line(port)) and port.state == "plugged"


def to_line(document: Document, lowered: LoweredCommand, port: SerialPort) -> Document:
    """Give a port PVE's own line, and take it out of ``args:``."""
    document = without_ports(document, lowered, (port.name,))
    value = own_line(port)
    present = document.main.values.get(port.name)
    return document if present is not None and present.value == value else edits.put(
        document, port.name, value
    )  # fmt: skip


def to_chardev(
    document: Document, lowered: LoweredCommand, port: SerialPort, version: tuple[int, int, int]
) -> Document:
    """Ask for a port by its chardev alone.

    Args:
        document: the configuration.
        lowered: its command.
        port: the port.
        version: of QEMU, for the form of the chardev.
    """
    option = chardevs.option(port.name, port.chardev, version)
    mine = [each.option for each in lowered.options
            if each.origin.owner == "user" and concerns(each.option, (port.name,))]  # fmt: skip
    if len(mine) == 1 and _same(mine[0].value() or "", option.value() or ""):
        return edits.remove(document, port.name)
    document = without_ports(document, lowered, (port.name,))
    document = edits.remove(document, port.name)
    setting = document.main.values.get("args")
    words = " ".join(map(quoted, option.argv()))
    text = setting.value if setting is not None else ""
    return edits.put(document, "args", f"{text} {words}".strip())


def settled(document: Document, lowered: LoweredCommand) -> Document:
    """Take the controllers out that no port needs any more."""
    return without_idle_controllers(document, lowered)


def _same(first: str, second: str) -> bool:
    return split_params(first) == split_params(second)
