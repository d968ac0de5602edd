"""A domain as a Machine: what the planner can carry; everything else becomes a note."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from vmserial.errors import ConfigError, UsageError
from vmserial.machines import architecture
from vmserial.model import (
    Cpu,
    DirectBoot,
    Disk,
    Firmware,
    Machine,
    Nic,
    Note,
    SourceRef,
    Topology,
)
from vmserial.sources.libvirt.chardevice import whole
from vmserial.sources.libvirt.drives import drive_bus
from vmserial.sources.libvirt.elements import Element
from vmserial.sources.libvirt.serialports import PortTranslation, vm_name
from vmserial.sources.libvirt.started import Started
from vmserial.sources.libvirt.view import Domain

_MACHINE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")
_MAC = re.compile(r"[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){5}\Z")
_WORD = re.compile(r"[A-Za-z0-9._-]+\Z")
_UNITS = {"b": 1, "bytes": 1, "kb": 1000, "k": 1 << 10, "kib": 1 << 10, "mb": 10**6, "m": 1 << 20,
          "mib": 1 << 20, "gb": 10**9, "g": 1 << 30, "gib": 1 << 30, "t": 1 << 40,
          "tib": 1 << 40, "tb": 10**12}  # fmt: skip
_MOST_MIB = 4 << 20

_KNOWN = frozenset({
    "emulator", "serial", "console", "channel", "parallel", "controller", "hub", "disk",
    "interface", "memballoon", "rng", "address", "alias", "graphics", "audio",
})  # fmt: skip
_STARTED = frozenset({
    "video", "sound", "input", "watchdog", "redirdev", "smartcard", "hostdev", "filesystem",
    "vsock",
})  # fmt: skip
"""What libvirt starts and a Machine does not carry; of a plan the layout names what is lost."""
_QUIET = frozenset({
    "name", "uuid", "memory", "currentMemory", "vcpu", "os", "cpu", "devices", "features", "clock",
    "on_poweroff", "on_reboot", "on_crash", "title", "description", "metadata", "pm", "seclabel",
    "resource", "id", "commandline", "override",
})  # fmt: skip
_NIC_MODELS = {"virtio": "virtio", "e1000": "e1000", "e1000e": "e1000e", "rtl8139": "rtl8139"}


def machine(domain: Domain) -> Machine:
    """Translate a domain.

    Raises:
        ConfigError: the architecture is not known, or a value is none.
    """
    return _Translation(domain).machine()


class _Translation(PortTranslation):
    """Takes a domain apart, and notes what is left."""

    def machine(self) -> Machine:
        """Return the whole."""
        domain = self.domain
        try:
            arch = architecture(domain.arch).name
        except UsageError as error:
            raise ConfigError(
                error.message, hint=error.hint, where=str(domain.root.where)
            ) from None
        if domain.machine_type and not _MACHINE.match(domain.machine_type):
            raise ConfigError(
                f"{domain.machine_type[:40]!r} is not a machine type",
                hint="write machine='virt' or the like", where=str(domain.root.where),
            )  # fmt: skip
        ports = self.ports()
        self.rest()
        disks, nics = tuple(self.disks()), tuple(self.nics())
        return Machine(
            arch,
            tuple(ports),
            name=vm_name(domain.name),
            machine_type=self.machine_type(arch),
            cpu=self.cpu(),
            topology=Topology(vcpus=self.vcpus(), cores=self.vcpus()),
            memory_mib=self.memory(),
            accel="tcg" if domain.type == "qemu" else "auto",
            uuid=self.uuid(),
            agent=self.agent,
            firmware=self.firmware(),
            disks=tuple(disk for _, disk in disks),
            nics=tuple(nic for _, nic in nics),
            boot=self.boot(),
            args=domain.arguments,
            args_where=self.arguments_where(),
            notes=_by_line(self.notes),
            left_behind=_by_line(self.left_behind),
            started=Started(domain, self.planned, disks, nics),
            origin="libvirt",
            emulator=domain.emulator,
            where=domain.root.where,
            lines={"machine_type": (domain.root.child("os") or domain.root).where},
        )

    # -------------------------------------------------------------- the rest of the VM

    def machine_type(self, arch: str) -> str:
        """Return the machine type as QEMU knows it."""
        given = self.domain.machine_type
        if arch == "x86_64" and (not given or given.startswith("rhel")):
            return "q35" if "q35" in given else "pc"
        return given

    def arguments_where(self) -> SourceRef | None:
        """Return where the user's own words for QEMU stand."""
        found = (e for e in self.domain.root.children if e.name.endswith("commandline"))
        return next((element.where for element in found), None)

    def cpu(self) -> Cpu:
        """Return the CPU's model, if one is named."""
        element = self.domain.root.child("cpu")
        if element is None:
            return Cpu()
        if element.get("mode") in {"host-passthrough", "host-model"}:
            # "host" needs KVM; "max" is the most that an accelerator has.
            return Cpu("max")
        model = element.child("model")
        if model is None or not _WORD.match(model.text):
            return Cpu()
        if element.named("feature"):
            self.note(element, "the features of <cpu> are not translated")
        return Cpu(model.text)

    def vcpus(self) -> int:
        """Return how many virtual processors there are."""
        element = self.domain.root.child("vcpu")
        return min(max(whole(element.text, 1), 1), 4096) if element else 1

    def memory(self) -> int:
        """Return the memory in MiB."""
        element = self.domain.root.child("memory")
        if element is None:
            return 512
        unit = _UNITS.get(element.get("unit", "KiB").lower())
        number = whole(element.text, -1)
        if unit is None or number < 0:
            raise ConfigError("this is no size of memory",
                hint="write <memory unit='MiB'>512</memory>",
                              where=str(element.where))  # fmt: skip
        return min(max(number * unit >> 20, 16), _MOST_MIB)

    def uuid(self) -> str:
        """Return the UUID, if it is one."""
        element = self.domain.root.child("uuid")
        return element.text.lower() if element and _UUID.match(element.text) else ""

    def firmware(self) -> Firmware:
        """Return the firmware."""
        os = self.domain.root.child("os")
        if os is None:
            return Firmware()
        loader = os.child("loader")
        efi = os.get("firmware") == "efi" or (loader is not None and loader.get("type") == "pflash")
        if not efi:
            return Firmware()
        if os.child("nvram") is not None:
            self.note(os, "the UEFI variables of <nvram> are left out")
        return Firmware("ovmf", code=self.domain.loader)

    def boot(self) -> DirectBoot | None:
        """Return the direct boot."""
        domain = self.domain
        return DirectBoot(domain.kernel, domain.initrd, domain.cmdline) if domain.kernel else None

    def disks(self) -> list[tuple[Element, Disk]]:
        """Return the disks that are files or block devices, with their elements."""
        found: list[tuple[Element, Disk]] = []
        numbers: Counter[str] = Counter()
        for element in self.named("disk"):
            source, target = element.child("source"), element.child("target")
            driver = element.child("driver")
            path = (source.get("file") or source.get("dev")) if source else ""
            bus = drive_bus(element)
            image = driver.get("type", "raw") if driver else "raw"
            cdrom = element.get("device") == "cdrom"
            if (bus not in {"virtio", "scsi", "sata", "ide"} or image not in {"raw", "qcow2"}
                    or not (path.startswith("/") or (cdrom and source is None)) or "\n" in path
                    or element.get("device", "disk") not in {"disk", "cdrom"}):  # fmt: skip
                self.note(
                    element,
                    f"the disk {target.get('dev') if target else ''} is left out",
                    "files and block devices on virtio, scsi, sata or ide are planned",
                )
                continue
            number = numbers[bus]
            numbers[bus] += 1
            disk = Disk(bus, number, path, image, cdrom=cdrom,
                        readonly=element.child("readonly") is not None,
                        where=element.where)  # fmt: skip
            found.append((element, disk))
        return found

    def nics(self) -> list[tuple[Element, Nic]]:
        """Return the network cards with their elements; a libvirt network becomes user mode."""
        found: list[tuple[Element, Nic]] = []
        for element in self.named("interface"):
            mac, model = element.child("mac"), element.child("model")
            source = element.child("source")
            kind = element.get("type")
            bridge = source.get("bridge") if source and kind == "bridge" else ""
            if kind != "user" and not bridge:
                self.note(element, f"the network card of type {kind or '?'} has user mode here",
                          kind="replaced")  # fmt: skip
            address = mac.get("address") if mac else ""
            nic = Nic(
                len(found), _NIC_MODELS.get(model.get("type") if model else "", "virtio"),
                mac=address if _MAC.match(address) else "",
                mode="tap" if bridge else "user", bridge=bridge, where=element.where,
            )  # fmt: skip
            found.append((element, nic))
        return found

    def named(self, name: str) -> list[Element]:
        devices = self.domain.devices
        return devices.named(name) if devices else []

    def rest(self) -> None:
        """Note what else there is."""
        domain = self.domain
        devices = domain.devices
        for element in devices.children if devices else ():
            if element.name in _STARTED:
                self.lose(element, f"<{element.name}> is left out")
            elif element.name not in _KNOWN:
                self.note(element, f"<{element.name[:40]}> is left out")
        for element in domain.root.children:
            if element.namespace and element.name.endswith("override"):
                self.lose(element, "<qemu:override> is left out")
            elif element.name not in _QUIET:
                self.note(element, f"<{element.name[:40]}> is left out")


def _by_line(notes: Iterable[Note]) -> tuple[Note, ...]:
    return tuple(sorted(notes, key=lambda n: n.where.line if n.where else 0))
