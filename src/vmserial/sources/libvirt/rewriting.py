"""Writing what ports of a domain need: other devices, places, controllers, arguments.  Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from vmserial.model.origin import LoweredCommand
from vmserial.sources.libvirt.chardevice import CharDevice
from vmserial.sources.libvirt.document import Document
from vmserial.sources.libvirt.elements import Node, Splice
from vmserial.sources.libvirt.needs import Need
from vmserial.sources.libvirt.newplaces import NewPlaces
from vmserial.sources.libvirt.view import QEMU_NAMESPACE, Domain

ALWAYS_PLUGGED = "usb-serial.always-plugged=on"
"""The value of ``-global`` that keeps each usb-serial plugged in; libvirt never sets it."""


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
        places: for the ports that get another one.
    """

    def __init__(self, domain: Domain, command: LoweredCommand, *, plugged: bool) -> None:
        self.domain, self.document = domain, domain.document
        self.command, self.plugged = command, plugged
        self._said: dict[tuple[int, str], str] = {}
        self.plugs = False
        self.needs: dict[int, Need] = {}
        self.places = NewPlaces(domain, command, self.needs)
        self._splices: list[Splice] = []

    def add(self, need: Need) -> None:
        """Take in what one answer asks of one element."""
        known = self.needs.get(id(need.element))
        if known is None:
            self.needs[id(need.element)] = need
        else:
            known.add(need)

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
        self._splices += self.places.splices
        controllers = self.places.controllers
        if any(("type", "virtio-serial") in node.attributes for node in controllers):
            self._splices += self.places.pinned()
        if any(need.plug for need in needs) and not self.plugged:
            self._plug()
        if controllers:
            there = self.domain.controllers
            if there:
                at = max((c.element for c in there), key=lambda e: e.end)
                self._splices.append(self.document.after(at, *controllers))
            else:
                first = min((p.element for p in self.domain.characters), key=lambda e: e.start)
                self._splices.append(self.document.before(first, *controllers))
        return self.document.edited(self._splices) if self._splices else self.document

    def _choose(self, need: Need, edit: _Edit) -> None:
        """Choose what the answers leave open: a place, the name of a log."""
        name = need.port.name if need.port is not None else f"<{need.element.name}>"
        if need.kind:
            self._move(need, edit)
        elif need.slot:
            slot, _, function = need.slot.partition(".")
            edit.address = Node(
                "address",
                (("type", "pci"), ("domain", "0x0000"), ("bus", "0x00"),
                 ("slot", f"0x{slot}"), ("function", f"0x{function or '0'}")),
            )  # fmt: skip
            self._said[id(need.element), "address"] = f"{name}: PCI slot {slot}"
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
            bus, slot = self.places.usb()
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
        controller, slot = self.places.virtio()
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
             if e.name.endswith("commandline") and e.namespace == QEMU_NAMESPACE), None
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
