"""Writing what ports of a domain need: other devices, places, controllers, arguments.  Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from vmserial.limits import VIRTIO_SERIAL_SAFE_PORTS, XHCI_PORTS
from vmserial.model.origin import LoweredCommand
from vmserial.options import split_params
from vmserial.sources.libvirt.chardevice import CharDevice, whole
from vmserial.sources.libvirt.document import Document
from vmserial.sources.libvirt.elements import Element, Node, Splice
from vmserial.sources.libvirt.pci import BUSES
from vmserial.sources.libvirt.view import QEMU_NAMESPACE, Domain

ALWAYS_PLUGGED = "usb-serial.always-plugged=on"
"""The value of ``-global`` that keeps each usb-serial plugged in; libvirt never sets it."""

_XHCI = frozenset({"qemu-xhci", "nec-xhci"})


@dataclass(eq=False)
class Need:
    """What an element needs.

    Attributes:
        element: the element.
        port: the port that it is; None: it is another device.
        kind: another device: ``usb``, ``pci``, ``virtio``, ``virtconsole``, ``isa``, ``system``,
            ``sclp``, ``sclplm``, ``spapr``; empty: it keeps its own.
        keep: it stays what it is, and gets another place.
        name: of a virtio port.
        drop_address: libvirt is to choose its address.
        drop_alias: its alias is somebody else's.
        path: another socket path.
        log: a log file.
        log_is_new: there was none.
        number: another number of its ISA port.
        rename: another name of its virtio port.
        type: another host's end.
        plug: it is a usb-serial that is to be there from the start.
    """

    element: Element
    port: CharDevice | None
    kind: str = ""
    keep: bool = False
    name: str = ""
    drop_address: bool = False
    drop_alias: bool = False
    path: str = ""
    log: str = ""
    log_is_new: bool = False
    number: int | None = None
    rename: str = ""
    type: str = ""
    plug: bool = False

    @property
    def plugs_only(self) -> bool:
        """Tell whether nothing of the element itself changes."""
        return self.plug and not self.changes

    @property
    def changes(self) -> bool:
        """Tell whether anything of the element changes."""
        return bool(
            self.kind or self.drop_address or self.drop_alias or self.path or self.log
            or self.number is not None or self.rename or self.type
        )  # fmt: skip

    def add(self, other: Need) -> None:
        """Take in what another answer asks of the same element."""
        self.kind, self.keep = self.kind or other.kind, self.keep or other.keep
        self.drop_address = self.drop_address or other.drop_address
        self.drop_alias = self.drop_alias or other.drop_alias
        self.number = other.number if self.number is None else self.number
        self.plug = self.plug or other.plug
        self.log_is_new = self.log_is_new or other.log_is_new
        for key in ("name", "path", "log", "rename", "type"):
            setattr(self, key, getattr(self, key) or getattr(other, key))


@dataclass
class _Edit:
    """What becomes of one element."""

    name: str = ""
    target: Node | None = None
    address: Node | None = None
    drop_address: bool = False


class Rewriting:
    """Writes into one domain.

    Args:
        domain: the domain.
        command: what it was lowered to: who sits where.
        plugged: a user's own ``-global`` keeps usb-serial plugged in.

    Attributes:
        plugs: ``-global`` was written.
        needs: by element.
    """

    def __init__(self, domain: Domain, command: LoweredCommand, *, plugged: bool) -> None:
        self.domain, self.document = domain, domain.document
        self.command, self.plugged = command, plugged
        self._said: dict[tuple[int, str], str] = {}
        self.plugs = False
        self.needs: dict[int, Need] = {}
        self._controllers: list[Node] = []
        self._splices: list[Splice] = []
        self._usb_free: list[tuple[int, int]] | None = None
        self._virtio_free: list[tuple[int, int]] = []
        self._opened = False
        self._pins: list[tuple[Element, str]] = []

    def add(self, need: Need) -> None:
        """Take in what one answer asks of one element."""
        known = self.needs.get(id(need.element))
        if known is None:
            self.needs[id(need.element)] = need
        else:
            known.add(need)

    def pin(self, element: Element, bus: str) -> None:
        """Keep a port without an address on its bus, where a controller is added.

        QEMU would give it the newest one.
        """
        self._pins.append((element, bus))

    def texts_of(self, need: Need) -> Iterator[str]:
        """Yield what was done of an answer's need, where it was chosen here."""
        about = (("kind", need.kind), ("address", need.drop_address), ("log", need.log))
        for key, asked in about:
            text = self._said.get((id(need.element), key), "")
            if asked and text:
                yield text

    def written(self) -> Document:
        """Return the changed document."""
        needs = sorted(self.needs.values(), key=lambda need: need.element.start)
        for need in needs:
            if need.changes:
                edit = _Edit(drop_address=need.drop_address)
                self._choose(need, edit)
                self._splices += self._rendered(need, edit)
        if any(("type", "virtio-serial") in node.attributes for node in self._controllers):
            self._splices += self._pinned()
        if any(need.plug for need in needs) and not self.plugged:
            self._plug()
        if self._controllers:
            there = self.domain.controllers
            if there:
                at = max((c.element for c in there), key=lambda e: e.end)
                self._splices.append(self.document.after(at, *self._controllers))
            else:
                first = min((p.element for p in self.domain.characters), key=lambda e: e.start)
                self._splices.append(self.document.before(first, *self._controllers))
        return self.document.edited(self._splices) if self._splices else self.document

    def _choose(self, need: Need, edit: _Edit) -> None:
        """Choose what the answers leave open: a place, the name of a log."""
        name = need.port.name if need.port is not None else f"<{need.element.name}>"
        if need.kind:
            self._move(need, edit)
        elif need.drop_address:
            self._said[id(need.element), "address"] = f"{name}: libvirt chooses its address"
        if need.log and need.log_is_new:
            # The logs of more than one VM stand in a directory.
            path, _, file = need.log.rpartition("/")
            vm = re.sub(r"[^A-Za-z0-9._-]+", "-", self.domain.name)
            need.log = f"{path}/{vm}-{file}"
            self._said[id(need.element), "log"] = (
                f"{name}: what the guest says is kept in {need.log}"
            )

    # -------------------------------------------------------------- other devices

    def _move(self, need: Need, edit: _Edit) -> None:
        """Give a port another device with a place of its own, or another place alone."""
        port = need.port
        assert port is not None
        was = (self.domain.kind(port) if port in self.domain.serials
               else f"{port.target_type} {port.tag}")  # fmt: skip
        edit.drop_address = True
        # A number that nobody gave is libvirt's to give: it counts on from the largest, and
        # would put the others past what an ISA bus takes.
        number = (("port", port.target_port),) if port.target_port else ()
        if need.kind == "usb":
            bus, slot = self._usb_place()
            edit.target = Node("target", (("type", "usb-serial"), *number))
            edit.address = Node(
                "address", (("type", "usb"), ("bus", str(bus)), ("port", str(slot)))
            )
            now = f"usb-serial on USB bus {bus}, port {slot}"
        elif need.kind in {"virtio", "virtconsole"}:
            now = self._to_virtio(need, edit, port)
        else:
            edit.target, now = self._onboard(need.kind, number)
        if edit.target is not None and need.kind not in {"virtio", "virtconsole"}:
            edit.name = "serial"
        self._said[id(need.element), "kind"] = f"{port.name}: {was} -> {now}"

    def _to_virtio(self, need: Need, edit: _Edit, port: CharDevice) -> str:
        """Put a port on a virtio-serial controller; return what it is then."""
        controller, slot = self._virtio_place()
        edit.address = Node(
            "address",
            (("type", "virtio-serial"), ("controller", str(controller)), ("bus", "0"),
             ("port", str(slot))),
        )  # fmt: skip
        place = f"controller {controller}, port {slot}"
        if need.keep:
            return f"virtio-serial {place}"
        if need.kind == "virtconsole":
            edit.name, edit.target = "console", Node("target", (("type", "virtio"),))
            return f"a virtio console on {place}"
        edit.name = "channel"
        edit.target = Node("target", (("type", "virtio"), ("name", port.name)))
        return f"a virtio channel, /dev/virtio-ports/{port.name} in the guest"

    def _onboard(self, kind: str, number: tuple[tuple[str, str], ...]) -> tuple[Node, str]:
        """Return the target of a port whose place libvirt or the board knows."""
        if kind in {"sclp", "sclplm"}:
            model = Node("model", (("name", f"{kind}console"),))
            return Node("target", (("type", "sclp-serial"), *number), (model,)), f"{kind}console"
        type = {"pci": "pci-serial", "isa": "isa-serial", "spapr": "spapr-vio-serial"}.get(kind)
        if type is None:
            # libvirt does not know each board's own by name, but takes it where none is given.
            return Node("target", number or (("port", "0"),)), "the board's own"
        return Node("target", (("type", type), *number)), type

    # -------------------------------------------------------------- places

    def _usb_place(self) -> tuple[int, int]:
        """Take a USB port, in order; a further controller where all are taken."""
        if self._usb_free is None:
            self._usb_free = self._usb_there()
        if not self._usb_free:
            controllers = self.domain.controllers_of("usb")
            none = next((c for c in controllers if c.model == "none"), None)
            if none is not None and not self._opened:
                self._opened = True
                index = none.index or 0
                # One splice each: both stand in one tag, at different places.
                self._splices += [
                    self.document.set(none.element, "model", "qemu-xhci"),
                    self.document.set(none.element, "ports", str(XHCI_PORTS)),
                ]
            else:
                index = self._next_index("usb")
                self._controllers.append(
                    Node("controller", (("type", "usb"), ("index", str(index)),
                                        ("model", "qemu-xhci"), ("ports", str(XHCI_PORTS))))
                )  # fmt: skip
            self._usb_free = [(index, slot) for slot in range(1, XHCI_PORTS + 1)]
        return self._usb_free.pop(0)

    def _pinned(self) -> Iterator[Splice]:
        """Yield the addresses that keep ports where QEMU puts them today."""
        taken: dict[str, set[int]] = {}
        ids: dict[str, int] = {}
        for keys, _ in self._devices():
            if keys.get("driver", "").startswith("virtio-serial"):
                match = re.search(r"([0-9]+)\Z", keys.get("id", ""))
                ids.setdefault(f"{keys.get('id')}.0", int(match[1]) if match else 0)
            elif "nr" in keys:
                taken.setdefault(keys.get("bus", ""), set()).add(whole(keys["nr"]))
        for controller in self.domain.controllers_of("virtio-serial"):
            alias = controller.element.child("alias")
            if alias is not None and alias.get("name").startswith("ua-"):
                ids[f"{alias.get('name')}.0"] = controller.index or 0
        for element, bus in self._pins:
            need = self.needs.get(id(element))
            if bus not in ids or (need is not None and (need.kind or need.drop_address)):
                continue
            used = taken.setdefault(bus, set())
            number = next(n for n in range(0 if not used else 1, 512) if n not in used)
            used.add(number)
            address = Node(
                "address",
                (("type", "virtio-serial"), ("controller", str(ids[bus])), ("bus", "0"),
                 ("port", str(number))),
            )  # fmt: skip
            yield self.document.inside(element, address)

    def _devices(self) -> Iterator[tuple[dict[str, str], object | None]]:
        """Yield the keys of each device, and its element."""
        for option in self.command.options:
            if option.option.flag == "-device":
                yield _keys(option.option.value() or ""), option.origin.handle

    def _usb_there(self) -> list[tuple[int, int]]:
        """Return the free ports of an XHCI that has fifteen."""
        taken: dict[str, set[int]] = {}
        ids: dict[int, str] = {}
        for keys, handle in self._devices():
            if handle is not None:
                ids.setdefault(id(handle), keys.get("id", ""))
            need = self.needs.get(id(handle))
            if need is not None and need.kind:
                continue  # it leaves its place
            port = keys.get("port", "").partition(".")[0]
            taken.setdefault(keys.get("bus", ""), set()).add(whole(port))
        found: list[tuple[int, int]] = []
        for controller in self.domain.controllers_of("usb"):
            possible = 0 <= (controller.index or 0) < BUSES
            if possible and controller.model in _XHCI and controller.ports == XHCI_PORTS:
                used = taken.get(f"{ids.get(id(controller.element), '')}.0", set())
                bus = controller.index or 0
                found += [(bus, n) for n in range(1, XHCI_PORTS + 1) if n not in used]
        return found

    def _virtio_place(self) -> tuple[int, int]:
        """Take a port of a virtio-serial controller of our own."""
        if not self._virtio_free:
            index = self._next_index("virtio-serial")
            self._controllers.append(
                Node("controller", (("type", "virtio-serial"), ("index", str(index))))
            )
            self._virtio_free = [
                (index, slot) for slot in range(1, VIRTIO_SERIAL_SAFE_PORTS + 1)
            ]  # fmt: skip
        return self._virtio_free.pop(0)

    def _next_index(self, type: str) -> int:
        """Return the next controller's index: past all that are there, and that libvirt adds."""
        used = [c.index or 0 for c in self.domain.controllers_of(type)]
        used += [
            whole(dict(node.attributes)["index"], 0)
            for node in self._controllers if ("type", type) in node.attributes
        ]  # fmt: skip
        if type == "usb" and not used and self._default_usb_is_used():
            used.append(0)
        if type == "virtio-serial":
            # Channels and consoles without an address are on controller 0; libvirt adds others
            # where an address names them.
            for port in (*self.domain.consoles, *self.domain.channels):
                if port.target_type == "virtio":
                    address = port.address
                    used.append(address.number("controller") if address else 0)
        return max((number for number in used if 0 <= number < BUSES), default=-1) + 1

    def _default_usb_is_used(self) -> bool:
        """Tell whether anything stays on the controller that libvirt adds without being asked."""
        leaving = {need for need, each in self.needs.items() if each.kind}
        return any(
            keys.get("bus") == "usb.0" and "port" in keys and id(handle) not in leaving
            for keys, handle in self._devices()
        )

    # -------------------------------------------------------------- the document

    def _rendered(self, need: Need, edit: _Edit) -> Iterator[Splice]:
        """Yield the splices of one element.

        What is new stands where the target or the address stood, so that no two splices meet.
        """
        document, element = self.document, need.element
        target, address = element.child("target"), element.child("address")
        log, logged = None, element.child("log")
        if need.log and logged is not None:
            yield document.set(logged, "file", need.log)
        elif need.log:
            log = Node("log", (("file", need.log), ("append", "on")))
        name = edit.name if edit.name != element.name else ""
        if name:
            yield from document.rename(element, name)
        if need.type:
            yield document.set(element, "type", need.type)
        if need.path:
            source = next((s for s in element.named("source") if s.get("path")), None)
            if source is not None:
                yield document.set(source, "path", need.path)
        new = [node for node in (log, edit.target) if node is not None]
        if need.rename and target is not None and edit.target is None:
            yield document.set(target, "name", need.rename)
        if need.number is not None and edit.target is None:
            if target is not None:
                yield document.set(target, "port", str(need.number))
            else:
                new.append(Node("target", (("port", str(need.number)),)))
        alias = element.child("alias") if need.drop_alias else None
        drop = address if edit.drop_address else None
        if edit.target is not None and target is not None:
            if edit.address is not None and drop is None:
                new.append(edit.address)
            yield document.replace(target, *new)
            new = [edit.address] if edit.address is not None and drop is not None else []
            target = None
        elif edit.address is not None:
            new.append(edit.address)
        for gone in (drop, alias):
            if gone is not None:
                yield document.replace(gone, *new) if new else document.remove(gone)
                new = []
        if new and target is not None and edit.address is None:
            yield document.before(target, *new)
        elif new:
            yield document.inside(element, *new, name=name)

    def _plug(self) -> None:
        """Give QEMU the ``-global`` that keeps usb-serial plugged in."""
        self.plugs = True
        document, root = self.document, self.domain.root
        there = next(
            (e for e in root.children
             if e.namespace == QEMU_NAMESPACE and e.name.endswith("commandline")), None
        )  # fmt: skip
        prefix = "qemu"
        if there is not None:
            prefix = there.name.rpartition(":")[0]
        else:
            bound = [
                n[6:] for n, a in root.attributes.items()
                if n.startswith("xmlns:") and a.value == QEMU_NAMESPACE
            ]  # fmt: skip
            if bound:
                prefix = bound[0]
            else:
                while f"xmlns:{prefix}" in root.attributes:
                    prefix += "x"
                self._splices.append(document.set(root, f"xmlns:{prefix}", QEMU_NAMESPACE))
        lead = f"{prefix}:" if prefix else ""
        words = tuple(Node(f"{lead}arg", (("value", w),)) for w in ("-global", ALWAYS_PLUGGED))
        if there is not None:
            self._splices.append(document.inside(there, *words))
        else:
            self._splices.append(document.inside(root, Node(f"{lead}commandline", (), words)))


def _keys(value: str) -> dict[str, str]:
    """Return the keys of a ``-device`` as libvirt writes it."""
    if value.startswith("{"):
        return {key: str(each) for key, each in json.loads(value).items()}
    return dict(split_params(value)[1])
