"""Numbers on the virtio-serial controllers of a domain, as libvirt counts.  Pure."""

from __future__ import annotations

from typing import Protocol

from vmserial.limits import LIBVIRT_VIRTIO_LAST_PORT
from vmserial.sources.libvirt.chardevice import CharDevice
from vmserial.sources.libvirt.devices import PartList
from vmserial.sources.libvirt.elements import Element
from vmserial.sources.libvirt.parts import alias
from vmserial.sources.libvirt.ports import PortParts
from vmserial.sources.libvirt.view import Domain


class Refused(Protocol):
    """Notes that libvirt refuses a domain."""

    def __call__(self, words: str, element: Element | None = None, rule: str = "") -> None:
        """Note it, in libvirt's words."""


class VirtioSerialNumbers:
    """Gives channels and virtio consoles their controllers and numbers."""

    def __init__(self, domain: Domain, taken: PartList, ports: PortParts, refused: Refused) -> None:
        self._domain, self._taken, self._ports = domain, taken, ports
        self._refused = refused

    def give(self) -> None:
        """Give numbers on the virtio-serial controllers, and add those that are missing."""
        rooms: dict[int, int] = {}
        ids: dict[int, str] = {}
        for controller in self._domain.controllers_of("virtio-serial"):
            index = controller.index or 0
            last = (controller.ports - 1) if controller.ports else LIBVIRT_VIRTIO_LAST_PORT
            rooms[index] = min(last, LIBVIRT_VIRTIO_LAST_PORT) if last > 0 else 0
            ids[index] = alias(controller.element, f"virtio-serial{index}")
        mine = [
            port for port in (*self._domain.channels, *self._domain.consoles)
            if port.target_type == "virtio"
        ]  # fmt: skip

        def add(index: int) -> None:
            if index not in rooms:
                rooms[index] = LIBVIRT_VIRTIO_LAST_PORT
                ids[index] = f"virtio-serial{index}"
                self._taken.virtio_serial(None, index, None, None)

        for port in mine:
            address = port.address
            said = address is not None and address.type == "virtio-serial"
            add(address.number("controller") if address is not None and said else 0)
        taken: set[tuple[int, int]] = set()
        floating: list[CharDevice] = []
        for port in mine:
            address = port.address
            if address is None or address.type != "virtio-serial":
                floating.append(port)
                continue
            index, number = address.number("controller"), address.number("port")
            if not number:
                if port.tag == "console":
                    self._place(port, ids[index], 0, frozenset())
                floating.append(port)
                continue
            if number > rooms[index]:
                self._refused(f"virtio serial controller {index} does not have port {number}",
                             port.element, "virtio-port-range")  # fmt: skip
            elif (index, number) in taken:
                self._refused(
                    f"virtio serial port {number} on controller {index} is already occupied",
                    port.element, "virtio-port-taken",
                )  # fmt: skip
            taken.add((index, number))
            self._place(port, ids[index], number, frozenset())
        # libvirt takes number 0 for none, and burns another one for a console that has it.
        for port in sorted(floating, key=lambda p: p.tag != "console"):
            address = port.address
            if port.tag == "console" and address is None:
                continue  # QEMU finds it a place
            wanted = None
            if address is not None and port.tag == "channel":
                wanted = address.number("controller")
            free = next(
                ((index, number) for index in sorted(rooms) if wanted in {None, index}
                 for number in range(1, rooms[index] + 1) if (index, number) not in taken), None
            )  # fmt: skip
            if free is None:
                index = next(n for n in range(len(rooms) + 1) if n not in rooms)
                add(index)
                free = (index, 1)
            taken.add(free)
            if port.tag == "channel":
                self._place(port, ids[free[0]], free[1], frozenset({"bus", "nr"}))

    def _place(
        self, port: CharDevice, controller: str, number: int, automatic: frozenset[str]
    ) -> None:
        """Give a port its number."""
        part = self._ports.devices[port]
        part.place = [("bus", f"{controller}.0"), ("nr", number)]
        part.automatic = automatic
