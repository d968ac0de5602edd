"""Places for a domain's ports that get another device, and controllers for them.  Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping

from vmserial.limits import VIRTIO_SERIAL_MOST_PORTS, VIRTIO_SERIAL_SAFE_PORTS, XHCI_PORTS
from vmserial.model.origin import LoweredCommand
from vmserial.options import Option, split_params
from vmserial.sources.libvirt.chardevice import whole
from vmserial.sources.libvirt.elements import Element, Node, Splice
from vmserial.sources.libvirt.needs import Need
from vmserial.sources.libvirt.pci import BUSES
from vmserial.sources.libvirt.usb import PORTS
from vmserial.sources.libvirt.view import Domain

_XHCI = frozenset({"qemu-xhci", "nec-xhci"})


class NewPlaces:
    """Gives places that nothing has, one after another.

    Args:
        domain: the domain.
        command: what it was lowered to: who sits where.
        needs: by element; what leaves its place, leaves it free.

    Attributes:
        controllers: those that are to be added.
        splices: what becomes of a controller that is there.
    """

    def __init__(self, domain: Domain, command: LoweredCommand, needs: Mapping[int, Need]) -> None:
        self._domain, self._command, self._needs = domain, command, needs
        self.controllers: list[Node] = []
        self.splices: list[Splice] = []
        self._usb_free: list[tuple[int, int]] | None = None
        self._virtio_free: list[tuple[int, int]] = []
        self._opened = False
        self._pins: list[tuple[Element, str]] = []

    def pin(self, element: Element, bus: str) -> None:
        """Keep a port without an address on its bus, where a controller is added.

        QEMU would give it the newest one.
        """
        self._pins.append((element, bus))

    def usb(self) -> tuple[int, int]:
        """Take a USB port, in order; a further controller where all are taken."""
        if self._usb_free is None:
            self._usb_free = self._usb_there()
        if not self._usb_free:
            controllers = self._domain.controllers_of("usb")
            none = next((c for c in controllers if c.model == "none"), None)
            if none is not None and not self._opened:
                self._opened = True
                index = none.index or 0
                # One splice each: both stand in one tag, at different places.
                self.splices += [
                    self._domain.document.set(none.element, "model", "qemu-xhci"),
                    self._domain.document.set(none.element, "ports", str(XHCI_PORTS)),
                ]
            else:
                index = self._next_index("usb")
                self.controllers.append(
                    Node("controller", (("type", "usb"), ("index", str(index)),
                                        ("model", "qemu-xhci"), ("ports", str(XHCI_PORTS))))
                )  # fmt: skip
            self._usb_free = [(index, slot) for slot in range(1, XHCI_PORTS + 1)]
        return self._usb_free.pop(0)

    def pinned(self) -> Iterator[Splice]:
        """Yield the addresses that keep ports where QEMU puts them today."""
        taken: dict[str, set[int]] = {}
        ids: dict[str, int] = {}
        for keys, _ in self._devices():
            if keys.get("driver", "").startswith("virtio-serial"):
                match = re.search(r"([0-9]+)\Z", keys.get("id", ""))
                ids.setdefault(f"{keys.get('id')}.0", int(match[1]) if match else 0)
            elif "nr" in keys:
                taken.setdefault(keys.get("bus", ""), set()).add(whole(keys["nr"]))
        for controller in self._domain.controllers_of("virtio-serial"):
            alias = controller.element.child("alias")
            if alias is not None and alias.get("name").startswith("ua-"):
                ids[f"{alias.get('name')}.0"] = controller.index or 0
        for element, bus in self._pins:
            need = self._needs.get(id(element))
            if bus not in ids or (need is not None and (need.kind or need.drop_address)):
                continue
            used = taken.setdefault(bus, set())
            numbers = range(0 if not used else 1, VIRTIO_SERIAL_MOST_PORTS + 1)
            number = next(n for n in numbers if n not in used)
            used.add(number)
            address = Node(
                "address",
                (("type", "virtio-serial"), ("controller", str(ids[bus])), ("bus", "0"),
                 ("port", str(number))),
            )  # fmt: skip
            yield self._domain.document.inside(element, address)

    def _devices(self) -> Iterator[tuple[dict[str, str], object | None]]:
        """Yield the keys of each device, and its element."""
        for option in self._command.options:
            if option.option.flag == "-device":
                yield _keys(option.option), option.origin.handle

    def _usb_there(self) -> list[tuple[int, int]]:
        """Return the free ports of an XHCI that has fifteen, or that libvirt adds by itself."""
        taken: dict[str, set[int]] = {}
        ids: dict[int, str] = {}
        for keys, handle in self._devices():
            if handle is not None:
                ids.setdefault(id(handle), keys.get("id", ""))
            need = self._needs.get(id(handle))
            if need is not None and need.kind:
                continue  # it leaves its place
            port = keys.get("port", "").partition(".")[0]
            taken.setdefault(keys.get("bus", ""), set()).add(whole(port))
        found: list[tuple[int, int]] = []
        for controller in self._domain.controllers_of("usb"):
            possible = 0 <= (controller.index or 0) < BUSES
            if possible and controller.model in _XHCI and controller.ports == XHCI_PORTS:
                used = taken.get(f"{ids.get(id(controller.element), '')}.0", set())
                bus = controller.index or 0
                found += [(bus, n) for n in range(1, XHCI_PORTS + 1) if n not in used]
        if self._usb_of_libvirts == "qemu-xhci":
            used = taken.get("usb.0", set())
            found += [(0, n) for n in range(1, PORTS["qemu-xhci"] + 1) if n not in used]
        return found

    @property
    def _usb_of_libvirts(self) -> str:
        """The driver of the USB controller that libvirt adds without being asked; mostly none."""
        if self._domain.controllers_of("usb"):
            return ""
        return next(
            (keys["driver"] for keys, handle in self._devices()
             if handle is None and keys.get("id") == "usb"), ""
        )  # fmt: skip

    def virtio(self) -> tuple[int, int]:
        """Take a port of a virtio-serial controller of our own."""
        if not self._virtio_free:
            index = self._next_index("virtio-serial")
            self.controllers.append(
                Node("controller", (("type", "virtio-serial"), ("index", str(index))))
            )
            self._virtio_free = [
                (index, slot) for slot in range(1, VIRTIO_SERIAL_SAFE_PORTS + 1)
            ]  # fmt: skip
        return self._virtio_free.pop(0)

    def _next_index(self, type: str) -> int:
        """Return the next controller's index: past all that are there, and that libvirt adds."""
        used = [c.index or 0 for c in self._domain.controllers_of(type)]
        used += [
            whole(dict(node.attributes)["index"], 0)
            for node in self.controllers if ("type", type) in node.attributes
        ]  # fmt: skip
        if type == "usb" and not used and self._usb_of_libvirts:
            # It stays: its place is the guest's, and libvirt adds it beside another one, too.
            used.append(0)
        if type == "virtio-serial":
            # Channels and consoles without an address are on controller 0; libvirt adds others
            # where an address names them.
            for port in (*self._domain.consoles, *self._domain.channels):
                if port.target_type == "virtio":
                    address = port.address
                    used.append(address.number("controller") if address else 0)
        return max((number for number in used if 0 <= number < BUSES), default=-1) + 1


def _keys(option: Option) -> dict[str, str]:
    """Return the keys of a ``-device``, the driver's name among them."""
    said = option.said("driver")
    if said is not None:
        return said
    # The user's own words.
    value = option.value() or ""
    if value.startswith("{"):
        return {key: str(each) for key, each in json.loads(value).items()}
    head, pairs = split_params(value)
    return {"driver": head, **dict(pairs)}
