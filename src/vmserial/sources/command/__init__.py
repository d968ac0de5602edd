"""QEMU command lines: a lossless document, a view of its serial ports, and edits.

command = CommandLine.parse(text, "vm.sh")       # or CommandLine.from_words(argv)
view = CommandView.of(command)
for port in view.serial_devices:
    command = edited(command, [SetKey(port.device.option, "chardev", "serial1")])
command.text()                                   # all other bytes as they were
"""

from __future__ import annotations

from vmserial.sources.command.document import CommandLine, CommandOption
from vmserial.sources.command.edits import (
    Edit,
    InsertAfter,
    InsertBefore,
    Remove,
    RemoveKey,
    ReplaceValue,
    SetKey,
    edited,
)
from vmserial.sources.command.entries import ChardevEntry, PortOption, SerialDevice, Use
from vmserial.sources.command.legacy import HostSide, host_side
from vmserial.sources.command.places import (
    DeviceEntry,
    IsaPlace,
    PciPlace,
    UsbPlace,
    VirtioPort,
)
from vmserial.sources.command.view import SERIAL_DRIVERS, CommandView

__all__ = [
    "SERIAL_DRIVERS",
    "ChardevEntry",
    "CommandLine",
    "CommandOption",
    "CommandView",
    "DeviceEntry",
    "Edit",
    "HostSide",
    "InsertAfter",
    "InsertBefore",
    "IsaPlace",
    "PciPlace",
    "PortOption",
    "Remove",
    "RemoveKey",
    "ReplaceValue",
    "SerialDevice",
    "SetKey",
    "UsbPlace",
    "Use",
    "VirtioPort",
    "edited",
    "host_side",
]
