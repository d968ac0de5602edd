"""The command that libvirt starts, for a plan: with its drives, and what is behind each device.

A plan writes plain options, not JSON: QEMU makes devices in JSON after all others, and the
ports that vmserial adds stand among libvirt's own.  Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from vmserial.model import Disk, Nic
from vmserial.model.origin import LoweredCommand, LoweredOption, Origin
from vmserial.options import Option, Scalar
from vmserial.sources.libvirt.boards import board
from vmserial.sources.libvirt.drives import drive_place
from vmserial.sources.libvirt.elements import Element
from vmserial.sources.libvirt.lower import lower
from vmserial.sources.libvirt.serialports import own_socket, vm_name
from vmserial.sources.libvirt.view import Domain


@dataclass(frozen=True)
class Started:
    """Makes the command of a domain, for a QEMU of a version.

    Attributes:
        domain: the domain.
        numbers: N of ``serialN`` of each port that is planned, by the id of its element.
        drives: the disks that are planned, with their elements.
        cards: the network cards, with theirs.
    """

    domain: Domain
    numbers: Mapping[int, int]
    drives: Sequence[tuple[Element, Disk]]
    cards: Sequence[tuple[Element, Nic]]

    def __call__(self, version: tuple[int, int, int]) -> LoweredCommand:
        """Return it."""
        command = self._with_own_sockets(lower(self.domain, version, plain=True))
        ids = {
            id(each.origin.handle): str(dict(each.option.params).get("id", ""))
            for each in command.options if each.option.flag == "-device"
        }  # fmt: skip
        numbers = {
            str(dict(each.option.params).get("id", "")): self.numbers[id(each.origin.handle)]
            for each in command.options
            if each.option.flag == "-chardev" and id(each.origin.handle) in self.numbers
        }
        things: list[tuple[Element, Disk | Nic]] = [*self.drives, *self.cards]
        behind = {ids[id(element)]: thing for element, thing in things if id(element) in ids}
        made = [
            (option, element, disk) for element, disk in self.drives
            if id(element) not in ids and (option := self._drive(element, disk, command))
        ]  # fmt: skip
        behind |= {str(dict(option.params)["id"]): disk for option, _, disk in made}
        drives = [
            LoweredOption(option, Origin(element.where, "libvirt", element))
            for option, element, _ in made
        ]
        at = _behind_controllers(command.options)
        options = (*command.options[:at], *drives, *command.options[at:])
        return replace(command, options=options, numbers=numbers, behind=behind)

    def _with_own_sockets(self, command: LoweredCommand) -> LoweredCommand:
        """Return it with sockets of vmserial's where libvirt makes them in its own directory."""
        vm = vm_name(self.domain.name)

        def ours(each: LoweredOption) -> LoweredOption:
            if each.option.flag != "-chardev" or "path" not in each.automatic:
                return each
            params = tuple(
                (key, own_socket(vm, PurePosixPath(str(value)).name) if key == "path" else value)
                for key, value in each.option.params
            )
            return replace(each, option=replace(each.option, params=params))

        return replace(command, options=tuple(ours(each) for each in command.options))

    def _drive(self, element: Element, disk: Disk, command: LoweredCommand) -> Option | None:
        """Return the device of a disk behind a controller; None where that is not known."""
        place = drive_place(element)
        if place is None:
            return None
        controller, bus, target, unit = place
        keys: list[tuple[str, Scalar]]
        if disk.bus == "scsi":
            there = next(
                (each.option.head for each in command.options
                 if ("id", f"scsi{controller}") in each.option.params), ""
            )  # fmt: skip
            if not there:
                return None
            driver, name = "scsi", f"scsi{controller}-{bus}-{unit}"
            keys = [("bus", f"scsi{controller}.0"), ("scsi-id", unit)]
            if there.startswith("virtio"):
                name = f"scsi{controller}-{bus}-{target}-{unit}"
                keys[1:] = [("channel", bus), ("scsi-id", target), ("lun", unit)]
        elif disk.bus == "sata":
            chipset = board(self.domain.arch, self.domain.machine_type).chipset
            builtin = chipset == "q35" and not controller
            keys = [("bus", f"ide.{unit}" if builtin else f"sata{controller}.{unit}")]
            driver, name = "ide", f"sata{controller}-{bus}-{unit}"
        else:
            keys = [("bus", f"ide.{bus}"), ("unit", unit)]
            driver, name = "ide", f"ide{controller}-{bus}-{unit}"
        return Option(
            "-device", f"{driver}-{'cd' if disk.cdrom else 'hd'}", (("id", name), *keys)
        )  # fmt: skip


def _behind_controllers(options: Sequence[LoweredOption]) -> int:
    """Return where drives stand: before the first host's end, behind all controllers."""
    for place, each in enumerate(options):
        if each.option.flag in {"-chardev", "-serial"} and each.option.head != "spicevmc":
            return place
    return len(options)
