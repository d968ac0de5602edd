"""A PVE configuration as a Machine for stock QEMU.

What PVE would do is done (qemu-server 9.2.6: its defaults, its reading of each
value), as far as stock QEMU and the model can carry it; everything else is a
note that names the key with file and line.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, cast

from vmserial.errors import ConfigError, UsageError
from vmserial.machines import architecture
from vmserial.model import Agent, Display, Firmware, Machine, SourceRef
from vmserial.sources import ports
from vmserial.sources.pve import devices as pve_devices
from vmserial.sources.pve import keys as pve_keys
from vmserial.sources.pve.args import Lifted, lift
from vmserial.sources.pve.document import Document, Setting
from vmserial.sources.pve.processors import Processors
from vmserial.sources.pve.serial import serial_ports
from vmserial.sources.pve.values import ARCH_NOT_SAID, Properties, Rejected, number, one_of
from vmserial.sources.pve.view import View

if TYPE_CHECKING:
    from vmserial.model.origin import LoweredCommand

_Smbios = tuple[str, tuple[tuple[str, str], ...]]
_NO_SMBIOS: _Smbios = ("", ())

_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252})\Z")
_MACHINE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*?)(\+pve[0-9]+)?(\.pxe)?\Z")
_FIELDS = {
    "bios": "firmware",
    "machine": "machine_type",
    "rng0": "rng",
    "scsihw": "scsi_controller",
    "vga": "display",
}
_SMBIOS = ("manufacturer", "product", "version", "serial", "sku", "family")


def machine(
    document: Document,
    vmid: int | None = None,
    *,
    snapshot: str | None = None,
    pending: bool = False,
    arch: str = "",
) -> Machine:
    """Translate one view of a configuration.

    Args:
        document: the configuration.
        vmid: the VM's number, for the paths that PVE makes from it; None if nobody knows it.
        snapshot: take this snapshot's settings instead of the current ones.
        pending: take the settings as they are after the pending changes.
        arch: the architecture where the configuration does not say it (PVE takes its host's).

    Raises:
        ConfigError: a serial port, a directive or ``args`` is wrong, or a value
            holds bytes that no program's argument should carry.
        UsageError: there is no such snapshot, or no such architecture.
    """
    view = View.of(document, vmid or 0, snapshot, pending)
    made = _Translation(view, vmid, arch).machine()

    def started(version: tuple[int, int, int]) -> LoweredCommand:
        from vmserial.sources.pve.lower import PveHost, lower

        return lower(
            document, made.vmid, PveHost("", version), snapshot=snapshot, pending=pending,
            arch=made.arch,
        )  # fmt: skip

    return replace(made, started=started)


class _Translation:
    """Takes settings out of a view, key by key."""

    def __init__(self, view: View, vmid: int | None, arch: str) -> None:
        self.view = view
        if vmid is None:
            view.note(
                "warning",
                0,
                "the VM's number is not known: 0 is used in the paths that PVE makes from it",
                "name the file <VMID>.conf, or give the number with --vmid",
            )
        self.machine_type, self.wanted_arch = "", arch

    def machine(self) -> Machine:
        view = self.view
        lines = {
            _FIELDS.get(key, key): view.where(setting.line)
            for key, setting in view.settings.items()
        }
        machine_type = self.read_machine_type()
        self.arch = self.read_arch(machine_type)
        self.aarch64 = self.arch == "aarch64"
        guest_os = self.read_ostype()
        processors = Processors(view, aarch64=self.aarch64)
        kvm = view.flag("kvm", None)
        display = self.read_display()
        tablet = view.flag("tablet", display.kind not in {"serial", "qxl"})
        bios = view.accepted("bios", _bios, "default")
        firmware = Firmware(cast(Literal["default", "seabios", "ovmf"], bios))
        found_disks = pve_devices.disks(view)
        found_disks, found_nics = pve_devices.boot_order(view, found_disks, pve_devices.nics(view))
        lifted, args_where = self.read_args()
        found_ports, pve_serials = serial_ports(
            view, lifted.ports, args_where.line if args_where else 0, lifted.own_ports
        )
        ports.check_distinct(found_ports, "give each port a place of its own")
        if display.kind == "serial" and display.serial not in {p.index for p in found_ports}:
            view.note(
                "warning",
                lines["display"].line,
                f"vga: serial{display.serial} is not configured: the VM has no console at all",
                f"add 'serial{display.serial}: socket'",
            )
        fields: dict[str, Any] = {
            "name": view.accepted("name", _name, f"vm{view.vmid}"),
            "machine_options": () if view.flag("acpi", True) else (("acpi", "off"),),
            "cpu": view.accepted("cpu", processors.model, processors.default(kvm)),
            "topology": processors.topology(),
            "memory_mib": view.accepted("memory", self.memory, 512),
            "agent": view.accepted("agent", self.agent, None),
            "firmware": pve_devices.efi_variables(view, firmware, self.aarch64),
            "scsi_controller": view.accepted("scsihw", _scsihw, "lsi"),
            "balloon": view.accepted("balloon", self.balloon, True),
            "rng": view.accepted("rng0", self.rng, False),
            "vmgenid": view.accepted("vmgenid", _vmgenid, ""),
            "localtime": bool(view.flag("localtime", self.windows)),
            "pve_serials": pve_serials,
            "pve_args_ports": tuple(port.index for port in lifted.ports),
        }
        fields["uuid"], fields["smbios"] = view.accepted("smbios1", self.smbios, _NO_SMBIOS)
        view.name_the_rest()
        return Machine(
            self.arch,
            found_ports,
            machine_type=machine_type,
            accel="auto" if kvm is None else "kvm" if kvm else "tcg",
            display=display,
            tablet=bool(tablet),
            # On aarch64 PVE adds the keyboard to the tablet's controller.
            keyboard=bool(tablet) and self.aarch64,
            disks=found_disks,
            nics=found_nics,
            args=lifted.words,
            args_where=args_where,
            guest_os=guest_os,
            vmid=view.vmid,
            notes=tuple(sorted(view.notes, key=lambda n: n.where.line if n.where else 0)),
            origin="pve",
            where=view.where(0),
            lines=lines,
            **fields,
        )

    # -------------------------------------------------------------- what kind of machine

    def read_machine_type(self) -> str:
        def translate(setting: Setting) -> str:
            props = Properties(setting.value, "type")
            match = _MACHINE.match(props.text("type"))
            if match is None and "viommu" not in props.values:
                raise Rejected("no machine type is named", hint="write q35, pc or virt")
            name = match.group(1) if match else ""
            if match and (match.group(2) or match.group(3)):
                self.view.note(
                    "replaced",
                    setting.line,
                    f"machine {match.group()}: {name} is used, stock QEMU has no PVE versions",
                )
            self.view.leftovers(setting, props)
            return name

        return self.view.accepted("machine", translate, "")

    def read_arch(self, machine_type: str) -> str:
        setting = self.view.take("arch")
        wanted = setting.value if setting is not None else self.wanted_arch
        if wanted:
            where = str(self.view.where(setting.line)) if setting is not None else "arch"
            try:
                return architecture(wanted).name
            except UsageError as error:
                raise ConfigError(error.message, hint=error.hint, where=where) from None
        if re.match(r"virt(-|\Z)", machine_type):
            return "aarch64"
        self.view.note(
            "warning",
            0,
            f"{ARCH_NOT_SAID}: x86_64 is taken, as on a PVE host of that kind",
            "write 'arch: aarch64', or give --arch",
        )
        return "x86_64"

    def read_ostype(self) -> str:
        """Read which system the guest is; return it in PVE's words where it is no Linux.

        For Windows PVE starts some things otherwise.
        """
        ostype = self.view.take("ostype")
        self.windows = ostype is not None and ostype.value.startswith("w")
        self.old_windows = ostype is not None and ostype.value in {"wxp", "w2k", "w2k3"}
        if ostype is not None and self.windows:
            self.view.note(
                "untranslated",
                ostype.line,
                f"ostype: only the clock and the graphics follow {ostype.value}",
                "PVE's Hyper-V enlightenments are not part of the command",
            )
        return ostype.value if ostype is not None and ostype.value[:2] != "l2" else ""

    # -------------------------------------------------------------- memory

    def memory(self, setting: Setting) -> int:
        props = Properties(setting.value, "current")
        size = props.number("current", 16, 4 << 20, 512)
        self.view.leftovers(setting, props)
        return size

    def balloon(self, setting: Setting) -> bool:
        target = number(setting.value, "balloon", 0, 4 << 20)
        if target:
            self.view.note(
                "untranslated",
                setting.line,
                f"balloon: the device is there; its target of {target} MiB is PVE's to set",
            )
        return target > 0

    # -------------------------------------------------------------- display, agent and the rest

    def read_display(self) -> Display:
        default = "virtio" if self.aarch64 else "cirrus" if self.old_windows else "std"

        def translate(setting: Setting) -> Display:
            props = Properties(setting.value, "type")
            kind = props.one_of("type", pve_keys.VGA_KINDS, default)
            memory = props.number("memory", 4, 512)
            self.view.leftovers(setting, props)
            if kind.startswith("serial"):
                return Display("serial", serial=int(kind[-1]))
            if kind[:3] == "qxl" and kind != "qxl":
                self.view.note(
                    "untranslated",
                    setting.line,
                    f"vga: {kind} gets one screen",
                    "further ones need SPICE, which is not set up here",
                )
                kind = "qxl"
            return Display(kind, memory_mib=memory)

        return self.view.accepted("vga", translate, Display(default))

    def agent(self, setting: Setting) -> Agent | None:
        props = Properties(setting.value, "enabled")
        enabled = props.flag("enabled")
        kind = props.one_of("type", ("virtio", "isa"), "virtio")
        self.view.leftovers(setting, props, pve_keys.AGENT_MANAGEMENT)
        if not enabled:
            return None
        return Agent(
            "isa" if kind == "isa" else "virtio",
            f"/var/run/qemu-server/{self.view.vmid}.qga",
            self.view.where(setting.line),
        )

    def rng(self, setting: Setting) -> bool:
        props = Properties(setting.value, "source")
        sources = ("/dev/urandom", "/dev/random", "/dev/hwrng")
        source = props.one_of("source", sources)
        if not source:
            raise Rejected("no source is named", hint="write source=/dev/urandom")
        if source != sources[0]:
            self.view.note(
                "replaced", setting.line, f"rng0: {sources[0]} is used instead of {source}"
            )
        self.view.leftovers(setting, props)
        return True

    def smbios(self, setting: Setting) -> _Smbios:
        props = Properties(setting.value, "uuid")
        coded = props.flag("base64")
        uuid = props.text("uuid")
        if uuid and not _UUID.match(uuid):
            raise Rejected(f"{uuid!r} is not a UUID", hint="write 8-4-4-4-12 hexadecimal digits")
        rest = []
        for key in _SMBIOS:
            value = props.text(key)
            if value and coded:
                try:
                    value = binascii.a2b_base64(value, strict_mode=True).decode()
                except (binascii.Error, ValueError):
                    raise Rejected(
                        f"{key} is not base64 of UTF-8 text", hint="remove base64=1, or code it"
                    ) from None
                self.view.printable(value, f"smbios1 ({key})", setting.line)
            if value:
                rest.append((key, value))
        self.view.leftovers(setting, props)
        return uuid, tuple(rest)

    def read_args(self) -> tuple[Lifted, SourceRef | None]:
        setting = self.view.take("args")
        if setting is None:
            return Lifted((), ""), None
        where = self.view.where(setting.line)
        try:
            return lift(setting.value), where
        except ConfigError as error:
            raise ConfigError(error.message, hint=error.hint, where=str(where)) from None


def _name(setting: Setting) -> str:
    if not _NAME.match(setting.value):
        raise Rejected(
            f"{setting.value!r} is not a host name", hint="use letters, digits, '-' and '.'"
        )
    return setting.value


def _bios(setting: Setting) -> str:
    return one_of(setting.value, "bios", ("seabios", "ovmf"))


def _scsihw(setting: Setting) -> str:
    return one_of(setting.value, "scsihw", pve_keys.SCSI_CONTROLLERS)


def _vmgenid(setting: Setting) -> str:
    if setting.value == "0":
        return ""
    if not _UUID.match(setting.value):
        raise Rejected(
            f"{setting.value!r} is not a UUID", hint="PVE makes one where it is set to 1 by its API"
        )
    return setting.value
