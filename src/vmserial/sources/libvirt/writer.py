"""A Machine as a libvirt domain whose ports all live.

Facts of libvirt: docs/formatdomain of 9.0, and what 9.0 was seen to take.
The alias ``ua-serialN`` of each port carries its number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.etree.ElementTree import Element, SubElement, indent, register_namespace, tostring

from vmserial.limits import VIRTIO_SERIAL_SAFE_PORTS, XHCI_PORTS
from vmserial.machines import architecture
from vmserial.model import Machine, Note, SerialPort
from vmserial.sources.libvirt.chardevs import Sources
from vmserial.sources.libvirt.serialports import AGENT_NAME
from vmserial.sources.libvirt.view import QEMU_NAMESPACE
from vmserial.sources.losses import Losses

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_TARGETS = {"usb": "usb-serial", "pci": "pci-serial", "pci-2x": "pci-serial",
    "pci-4x": "pci-serial",
            "isa": "isa-serial"}  # fmt: skip
_ONBOARD = {"ppc64": ("spapr-vio-serial", ("spapr-vty",)),
            "s390x": ("sclp-serial", ("sclpconsole", "sclplmconsole"))}  # fmt: skip


def write(
    machine: Machine, kinds: Mapping[int, str], *, kvm: bool = True
) -> tuple[str, tuple[Note, ...]]:
    """Return the domain, and what it cannot say.

    Args:
        machine: what to write.
        kinds: of each port, the device kind that it gets where it asks for ``auto``.
        kvm: the accelerator of a machine that leaves it open.
    """
    return _Writer(machine, kinds, kvm).write()


class _Writer:
    def __init__(self, machine: Machine, kinds: Mapping[int, str], kvm: bool) -> None:
        self.machine, self.kinds = machine, kinds
        self.losses = Losses(machine, "libvirt")
        fast = machine.accel == "kvm" or (machine.accel == "auto" and kvm)
        self.root = Element("domain", type="kvm" if fast else "qemu")
        self.usb = self.virtio = self.onboard = 0

    def write(self) -> tuple[str, tuple[Note, ...]]:
        machine = self.machine
        self.vm()
        devices = SubElement(self.root, "devices")
        ports = [p for p in sorted(machine.ports, key=lambda p: p.index) if self.is_there(p)]
        kinds = {port.index: self.kind(port) for port in ports}
        self.controllers(devices, list(kinds.values()))
        for tag in ("serial", "console", "channel"):
            for port in ports:
                if _tag(kinds[port.index]) == tag:
                    self.port(SubElement(devices, tag), port, kinds[port.index])
        if not ports:
            # Else libvirt would still add a <console>; the VM shall have no port at all.
            self.losses.notes.append(Note("warning", "the domain has no serial port"))
        self.agent(devices)
        if machine.arch != "s390x":
            SubElement(devices, "memballoon", model="virtio" if machine.balloon else "none")
        self.arguments("usb" in kinds.values())
        register_namespace("qemu", QEMU_NAMESPACE)
        indent(self.root)
        return tostring(self.root, encoding="unicode") + "\n", tuple(self.losses.notes)

    # -------------------------------------------------------------- the VM

    def vm(self) -> None:
        machine, root = self.machine, self.root
        self.text(root, "name", machine.name)
        if machine.uuid:
            self.text(root, "uuid", machine.uuid)
        self.text(root, "memory", str(machine.memory_mib)).set("unit", "MiB")
        top = machine.topology
        vcpu = self.text(root, "vcpu", str(top.sockets * top.cores))
        if top.vcpus != top.sockets * top.cores:
            vcpu.set("current", str(top.vcpus))
        os = SubElement(root, "os")
        kind = self.text(os, "type", "hvm")
        kind.set("arch", "armv7l" if machine.arch == "arm" else machine.arch)
        # libvirt's own default of aarch64 is a board without PCI.
        kind.set("machine", architecture(machine.arch).machine_type(machine.machine_type))
        if machine.firmware.kind == "ovmf":
            os.set("firmware", "efi")
            if machine.firmware.code or machine.firmware.variables:
                self.losses.vm("the firmware's images", "libvirt chooses them by firmware='efi'")
        if (boot := machine.boot) is not None:
            for tag, value in (("kernel", boot.kernel), ("initrd", boot.initrd),
                               ("cmdline", boot.append)):  # fmt: skip
                if value:
                    self.text(os, tag, value)
        if machine.arch == "x86_64" and ("acpi", "off") not in machine.machine_options:
            SubElement(SubElement(root, "features"), "acpi")
        if machine.cpu.model:
            self.cpu(machine.cpu.model)
        if machine.cpu.flags:
            self.losses.vm(
                f"the cpu's flags {','.join(machine.cpu.flags)}", "write <feature> lines"
            )
        if machine.localtime:
            SubElement(root, "clock", offset="localtime")
        self.name_the_rest()

    def cpu(self, model: str) -> None:
        if model in {"host", "max"}:
            mode = {"host": "host-passthrough", "max": "maximum"}[model]
            SubElement(self.root, "cpu", mode=mode)
        else:
            cpu = SubElement(self.root, "cpu", mode="custom", match="exact", check="none")
            self.text(cpu, "model", model)

    def name_the_rest(self) -> None:
        machine, bare = self.machine, Machine(self.machine.arch, ())
        for option in machine.machine_options:
            if option != ("acpi", "off"):
                self.losses.vm(f"the machine property {'='.join(option)}", "use <features>")
        if machine.smbios:
            self.losses.left_out("smbios", "write <sysinfo type='smbios'>")
        for name, things in (("disk", machine.disks), ("network card", machine.nics)):
            if things:
                self.losses.left_out(f"{len(things)} {name}{'s' * (len(things) > 1)}",
                               "add them with virsh attach-disk and attach-interface")  # fmt: skip
        for field in ("display", "tablet", "keyboard", "usb_controller", "rng", "vmgenid", "taken"):
            value = getattr(machine, field)
            if value != getattr(bare, field):
                self.losses.left_out(f"{field.replace('_', ' ')}", "only the serial part is",
                               machine.place_of(field))  # fmt: skip

    def arguments(self, usb: bool) -> None:
        # Without it the port is absent from the guest until a client opens the backend.
        words = ["-global", "usb-serial.always-plugged=on"] if usb else []
        words += self.machine.args
        if words:
            command = SubElement(self.root, f"{{{QEMU_NAMESPACE}}}commandline")
            for word in words:
                SubElement(command, f"{{{QEMU_NAMESPACE}}}arg", value=self.clean(word, "args"))

    def text(self, parent: Element, tag: str, value: str) -> Element:
        element = SubElement(parent, tag)
        element.text = self.clean(value, tag)
        return element

    def clean(self, value: str, what: str) -> str:
        """Return text that XML can hold."""
        if _NOT_XML.search(value):
            self.losses.vm(f"a control character in {what}")
        return _NOT_XML.sub("?", value)

    # -------------------------------------------------------------- ports

    def is_there(self, port: SerialPort) -> bool:
        if port.state == "plugged":
            return True
        self.losses.port(port, f"state={port.state}", "plug it with virsh attach-device")
        return False

    def kind(self, port: SerialPort) -> str:
        """Return the device kind, and say what was chosen or cannot be had."""
        kind = port.kind if port.kind != "auto" else self.kinds.get(port.index, "usb")
        if port.kind == "auto":
            self.losses.replaced(port, f"auto becomes {kind}")
        if kind in {"pci-2x", "pci-4x"}:
            self.losses.port(port, f"type={kind}", "a pci-serial of its own is written")
        if port.hotplug:
            self.losses.port(port, "hotplug=on", "usb, virtio and pci ports can be unplugged")
        return kind

    def controllers(self, devices: Element, kinds: list[str]) -> None:
        usb = sum(kind == "usb" for kind in kinds)
        for index in range(-(-usb // XHCI_PORTS)):
            SubElement(devices, "controller", type="usb", index=str(index), model="qemu-xhci",
                       ports=str(XHCI_PORTS))  # fmt: skip
        if not usb:
            # The default of x86 is an old controller that nothing here needs.
            SubElement(devices, "controller", type="usb", index="0", model="none")
        virtio = sum(kind in {"virtio", "virtconsole"} for kind in kinds)
        agent = self.machine.agent is not None and self.machine.agent.kind == "virtio"
        for index in range(-(-(virtio + agent) // VIRTIO_SERIAL_SAFE_PORTS)):
            SubElement(devices, "controller", type="virtio-serial", index=str(index), ports="31")

    def port(self, element: Element, port: SerialPort, kind: str) -> None:
        Sources(self.losses).write(element, port)
        if kind in {"virtio", "virtconsole"}:
            target = SubElement(element, "target", type="virtio")
            target.set(*(("name", port.name) if kind == "virtio" else ("port", str(self.virtio))))
        else:
            self.target(element, port, kind)
        SubElement(element, "alias", name=f"ua-{port.name}")
        self.address(element, kind)

    def target(self, element: Element, port: SerialPort, kind: str) -> None:
        models: tuple[str, ...]
        if kind == "uart":
            default = "isa-serial" if self.machine.arch == "x86_64" else "system-serial"
            name, models = _ONBOARD.get(self.machine.arch, (default, ()))
            SubElement(element, "target", type=name, port=str(self.onboard))
            if models:
                model = models[min(self.onboard, len(models) - 1)]
                SubElement(element[-1], "model", name=model)
            self.onboard += 1
            return
        if kind == "isa":
            number, self.onboard = self.onboard, self.onboard + 1
        else:
            number = port.index
        SubElement(element, "target", type=_TARGETS[kind], port=str(number))

    def address(self, element: Element, kind: str) -> None:
        """Give what libvirt would place where it does not live a place."""
        if kind == "usb":
            bus, place = divmod(self.usb, XHCI_PORTS)
            SubElement(element, "address", type="usb", bus=str(bus), port=str(place + 1))
            self.usb += 1
        elif kind in {"virtio", "virtconsole"}:
            controller, place = divmod(self.virtio, VIRTIO_SERIAL_SAFE_PORTS)
            SubElement(element, "address", type="virtio-serial", controller=str(controller),
                       bus="0", port=str(place + 1))  # fmt: skip
            self.virtio += 1

    def agent(self, devices: Element) -> None:
        if (agent := self.machine.agent) is None:
            return
        if agent.kind == "isa":
            self.losses.vm("the guest agent on an ISA port", "choose virtio", agent.where)
            return
        channel = SubElement(devices, "channel", type="unix")
        if agent.path:
            SubElement(channel, "source", mode="bind", path=self.clean(agent.path, "agent"))
        SubElement(channel, "target", type="virtio", name=AGENT_NAME)
        self.address(channel, "virtio")


def _tag(kind: str) -> str:
    return {"virtio": "channel", "virtconsole": "console"}.get(kind, "serial")
