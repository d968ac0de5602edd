"""Judging and mending a libvirt domain.  Pure: a document in, a document out.

verdict = judge(document, capabilities, guest)
verdict.findings        what is wrong
verdict.text            the mended XML; what nothing concerns is as it was, byte for byte
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from vmserial.context import RepairPolicy
from vmserial.errors import UsageError
from vmserial.judge.base import Change
from vmserial.judge.domain_host import Judged, Need
from vmserial.judge.domain_rules import ALWAYS_PLUGGED, Rules
from vmserial.limits import AUTO_USB_PORTS, VIRTIO_SERIAL_SAFE_PORTS, XHCI_PORTS
from vmserial.model import Capabilities, Finding, GuestProfile, worst_first
from vmserial.sources.libvirt.chardevice import CharDevice, whole
from vmserial.sources.libvirt.document import Document
from vmserial.sources.libvirt.elements import Element, Node, Splice
from vmserial.sources.libvirt.view import QEMU_NAMESPACE, Domain


@dataclass(frozen=True)
class DomainVerdict:
    """What became of a domain.

    Attributes:
        findings: what is wrong, the worst first.
        changes: what was mended.
        document: the mended document; the given one where nothing was to be done.
        left: what no change answers, the worst first; without what is only to be known.
    """

    findings: tuple[Finding, ...]
    changes: tuple[Change, ...]
    document: Document
    left: tuple[Finding, ...]

    @property
    def text(self) -> str:
        """The mended XML; bytes that are not UTF-8 as surrogates."""
        return self.document.raw.decode("utf-8", "surrogateescape")


def judge(
    document: Document,
    capabilities: Capabilities,
    guest: GuestProfile,
    policy: RepairPolicy | None = None,
) -> DomainVerdict:
    """Say what is wrong with a domain's serial ports, and mend what can be mended.

    A mended domain has nothing left to mend.

    Args:
        document: the domain's XML.
        capabilities: of the QEMU that it runs on.
        guest: what the guest's kernel carries.
        policy: what its owner prefers.

    Raises:
        ConfigError: it is no domain.
        UsageError: a kind of port is wished for that libvirt does not have.
    """
    policy = policy or RepairPolicy()
    if policy.kind not in {"auto", "usb", "pci", "virtio"}:
        raise UsageError(
            f"a domain's port cannot become {policy.kind!r}",
            hint="libvirt has --type usb, pci and virtio",
        )
    domain = Domain.of(document)
    rules = Rules(domain, capabilities, guest, policy)
    judged = rules.judged()
    mender = _Mender(domain, judged, policy, guest, rules)
    mended = mender.mended()
    left = [finding for n, finding in enumerate(judged.found) if n in judged.open]
    return DomainVerdict(_sorted(judged.found), tuple(mender.changes), mended, _sorted(left))


def _sorted(found: list[Finding]) -> tuple[Finding, ...]:
    return worst_first(finding.explained() for finding in found)


@dataclass
class _Edit:
    """What becomes of one port's element."""

    name: str = ""
    target: Node | None = None
    address: Node | None = None
    drop_address: bool = False
    drop_alias: bool = False
    path: str = ""
    log: str = ""
    number: int | None = None
    rename: str = ""
    changed: list[Change] = field(default_factory=list)


class _Mender:
    """Gives each port what it needs."""

    def __init__(
        self,
        domain: Domain,
        judged: Judged,
        policy: RepairPolicy,
        guest: GuestProfile,
        rules: Rules,
    ) -> None:
        self.domain, self.judged, self.policy = domain, judged, policy
        self.document = domain.document
        self.rules = rules
        self.changes: list[Change] = []
        self.controllers: list[Node] = []
        self.splices: list[Splice] = []
        self.usb_free: list[tuple[int, int]] = []
        self.virtio_free: list[tuple[int, int]] = []
        self.opened: set[str] = set()
        self.usb_count = sum(kind == "usb-serial" for kind in rules.kinds.values())
        self.uarts_left = self._uarts_left(guest)
        self.numbers = {
            port.name: number
            for number, port in enumerate((*domain.serials, *domain.consoles, *domain.channels))
        }

    def mended(self) -> Document:
        """Return the mended document."""
        edits = [(port, self.edit(port, need)) for port, need in self.judged.needs.items()]
        place = {id(e): n for n, e in enumerate(self.domain.root.walk())}
        for port, edit in sorted(edits, key=lambda each: place[id(each[0].element)]):
            self.splices += self.rendered(port, edit)
            self.changes += edit.changed
        if self.judged.plug and self._has_usb(edits):
            self.plug()
        self.add_controllers()
        return self.document.edited(self.splices) if self.splices else self.document

    def _has_usb(self, edits: list[tuple[CharDevice, _Edit]]) -> bool:
        moved = {id(port) for port, edit in edits if edit.target is not None}
        return any(
            kind == "usb-serial" and id(port) not in moved
            for port, kind in self.rules.kinds.items()
        ) or any(e.target and e.target.attributes[0] == ("type", "usb-serial") for _, e in edits)

    def edit(self, port: CharDevice, need: Need) -> _Edit:
        """Return what becomes of a port."""
        edit = _Edit(
            drop_address=need.drop_address, drop_alias=need.drop_alias, path=need.path,
            log=need.log, number=need.number, rename=need.name,
            changed=[Change(id, (port.name,), text) for id, text in need.texts],
        )  # fmt: skip
        if need.kind:
            self.move(port, need, edit)
        return edit

    # -------------------------------------------------------------- other devices

    def move(self, port: CharDevice, need: Need, edit: _Edit) -> None:
        """Give a port another device with a place of its own."""
        kind = self.kind_for(need)
        if kind == "usb" and self.rules.kinds.get(port) != "usb-serial":
            self.usb_count += 1
            if self.usb_count > AUTO_USB_PORTS and need.kind == "any" and self.policy.kind != "usb":
                kind = "virtio"
        was = self.rules.kinds.get(port, f"{port.target_type} console")
        edit.drop_address = True
        # A number that nobody gave is libvirt's to give: it counts on from the largest, and
        # would put the others past what an ISA bus takes.
        number = (("port", port.target_port),) if port.target_port else ()
        if kind == "usb":
            bus, slot = self.usb_place()
            edit.target = Node("target", (("type", "usb-serial"), *number))
            edit.address = Node(
                "address", (("type", "usb"), ("bus", str(bus)), ("port", str(slot)))
            )
            now = f"usb-serial on USB bus {bus}, port {slot}"
        elif kind == "pci":
            edit.target = Node("target", (("type", "pci-serial"), *number))
            now = "pci-serial"
        elif kind == "sclplm":
            model = Node("model", (("name", "sclplmconsole"),))
            edit.target = Node("target", (("type", "sclp-serial"), *number), (model,))
            now = "sclplmconsole"
        else:
            controller, slot = self.virtio_place()
            edit.name = "channel"
            edit.target = Node("target", (("type", "virtio"), ("name", port.name)))
            edit.address = Node(
                "address",
                (("type", "virtio-serial"), ("controller", str(controller)), ("bus", "0"),
                 ("port", str(slot))),
            )  # fmt: skip
            now = f"a virtio channel, /dev/virtio-ports/{port.name} in the guest"
        edit.changed.append(Change(need.id, (port.name,), f"{port.name}: {was} -> {now}"))

    def kind_for(self, need: Need) -> str:
        """Return the kind of device that a port gets."""
        platform = self.rules.platform
        if need.kind in {"sclplm", "virtio"}:
            return need.kind
        if self.domain.arch == "s390x" or (platform is not None and not platform.root_bus):
            # No USB there: on s390x nobody has it, vexpress has no PCI for the controller.
            return "virtio"
        wanted = self.policy.kind
        if need.kind == "usb" and wanted in {"auto", "pci"}:
            return "usb"
        if wanted == "pci":
            if self.uarts_left <= 0:
                return "usb"
            self.uarts_left -= 1
        return "usb" if wanted == "auto" else wanted

    def _uarts_left(self, guest: GuestProfile) -> int:
        """Return how many more 8250 ports the guest registers."""
        platform = self.rules.platform
        used = len(self.rules.staying("pci-serial"))
        if platform is not None and (platform.isa or (platform.uart and platform.uart.is_8250)):
            used += len(self.rules.staying("isa-serial")) + len(self.rules.staying("system-serial"))
        return guest.uarts_8250 - used

    # -------------------------------------------------------------- places

    def usb_place(self) -> tuple[int, int]:
        """Take a USB port, in order; a further controller where all are taken."""
        if "usb" not in self.opened:
            self.opened.add("usb")
            self.usb_free = self._usb_there()
        if not self.usb_free:
            controllers = self.domain.controllers_of("usb")
            none = next((c for c in controllers if c.model == "none"), None)
            if none is not None and "none" not in self.opened:
                self.opened.add("none")
                index = none.index or 0
                # One splice each: both stand in one tag, at different places.
                self.splices += [
                    self.document.set(none.element, "model", "qemu-xhci"),
                    self.document.set(none.element, "ports", str(XHCI_PORTS)),
                ]
            else:
                index = self._next_index("usb")
                self.controllers.append(
                    Node("controller", (("type", "usb"), ("index", str(index)),
                                        ("model", "qemu-xhci"), ("ports", str(XHCI_PORTS))))
                )  # fmt: skip
            self.usb_free = [(index, slot) for slot in range(1, XHCI_PORTS + 1)]
        return self.usb_free.pop(0)

    def _usb_there(self) -> list[tuple[int, int]]:
        """Return the free ports of an xhci that has fifteen, and room for all that is on it."""
        taken: set[tuple[int, int]] = set()
        floating = sum(e.child("address") is None for e in self.domain.usb_devices)
        floating += sum(
            kind == "usb-serial" and port.address is None
            and not (port in self.judged.needs and self.judged.needs[port].kind)
            for port, kind in self.rules.kinds.items()
        )  # fmt: skip
        leaving = {
            id(p.address.element)
            for p, need in self.judged.needs.items()
            if need.kind and p.address
        }
        for element in self.domain.root.walk():
            usb = element.name == "address" and element.get("type") == "usb"
            if usb and id(element) not in leaving:
                slot = element.get("port").partition(".")[0]
                taken.add((whole(element.get("bus"), 0), whole(slot, 0)))
        found: list[tuple[int, int]] = []
        for controller in self.domain.controllers_of("usb"):
            if controller.model in {"qemu-xhci", "nec-xhci"} and controller.ports == XHCI_PORTS:
                bus = controller.index or 0
                free = [(bus, slot) for slot in range(1, XHCI_PORTS + 1)]
                found += [place for place in free if place not in taken]
                taken.update(free)
        # Devices without an address take the first free ports: ours come behind them.
        return found[floating:] if len(found) > floating else []

    def virtio_place(self) -> tuple[int, int]:
        """Take a port of a virtio-serial controller of our own."""
        if not self.virtio_free:
            index = self._next_index("virtio-serial")
            self.controllers.append(
                Node("controller", (("type", "virtio-serial"), ("index", str(index))))
            )
            self.virtio_free = [(index, slot) for slot in range(1, VIRTIO_SERIAL_SAFE_PORTS + 1)]
        return self.virtio_free.pop(0)

    def _next_index(self, type: str) -> int:
        """Return the next controller's index: past all that are there, and that libvirt adds."""
        used = [c.index or 0 for c in self.domain.controllers_of(type)]
        used += [
            whole(dict(node.attributes)["index"], 0)
            for node in self.controllers if ("type", type) in node.attributes
        ]  # fmt: skip
        if type == "virtio-serial" and not used:
            # Channels and consoles without an address are on controller 0.
            virtio = [p for p in (*self.domain.consoles, *self.domain.channels)
                      if p.target_type == "virtio"]  # fmt: skip
            return 1 if virtio else 0
        return max(used, default=-1) + 1

    # -------------------------------------------------------------- the document

    def rendered(self, port: CharDevice, edit: _Edit) -> Iterator[Splice]:
        """Yield the splices of one port.

        What is new stands where the target or the address stood, so that no two splices meet.
        """
        document, element = self.document, port.element
        target, address = port.target, element.child("address")
        log = Node("log", (("file", edit.log), ("append", "on"))) if edit.log else None
        if edit.name and edit.name != element.name:
            yield from document.rename(element, edit.name)
        if edit.path:
            source = next((s for s in element.named("source") if s.get("path")), None)
            if source is not None:
                yield document.set(source, "path", edit.path)
        new = [node for node in (log, edit.target) if node is not None]
        if edit.rename and target is not None and edit.target is None:
            yield document.set(target, "name", edit.rename)
        if edit.number is not None and edit.target is None:
            if target is not None:
                yield document.set(target, "port", str(edit.number))
            else:
                new.append(Node("target", (("port", str(edit.number)),)))
        alias = element.child("alias") if edit.drop_alias else None
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
        if new and target is not None:
            yield document.before(target, *new)
        elif new:
            yield document.inside(element, *new, name=edit.name)

    def add_controllers(self) -> None:
        """Put the new controllers behind those that are there, else before the first port."""
        if not self.controllers:
            return
        there = self.domain.controllers
        if there:
            self.splices.append(self.document.after(there[-1].element, *self.controllers))
        else:
            first = self._first_port()
            self.splices.append(self.document.before(first, *self.controllers))

    def _first_port(self) -> Element:
        elements = [port.element for port in self.domain.characters]
        return min(elements, key=lambda e: e.start)

    def plug(self) -> None:
        """Give QEMU the ``-global`` that keeps usb-serial plugged in."""
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
                self.splices.append(document.set(root, f"xmlns:{prefix}", QEMU_NAMESPACE))
        lead = f"{prefix}:" if prefix else ""
        words = tuple(Node(f"{lead}arg", (("value", w),)) for w in ("-global", ALWAYS_PLUGGED))
        if there is not None:
            self.splices.append(document.inside(there, *words))
        else:
            self.splices.append(document.inside(root, Node(f"{lead}commandline", (), words)))
        self.changes.append(
            Change("usb-not-plugged", (), f"-global {ALWAYS_PLUGGED}: each usb-serial is there "
                   "from its start")
        )  # fmt: skip
