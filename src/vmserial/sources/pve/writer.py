"""A Machine as a PVE configuration: what PVE can say, and our directives for the rest.

Each line is read back while it is written: what would not come back as it was is
left out and named.  Disks and network cards are PVE's storages' and bridges'
affair; they are named and not written.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from typing import Any

from vmserial import chardevs
from vmserial.errors import ConfigError, UsageError
from vmserial.limits import PVE_ARCHITECTURES, PVE_SERIAL_PORTS
from vmserial.model import Chardev, HostTty, Machine, Note, Null, SerialPort, UnixSocket
from vmserial.sources.losses import Losses
from vmserial.sources.pve import Document, machine

SOCKETS = "/var/run/qemu-server"
"""Where PVE puts the sockets of a VM: ``<VMID>.serialN`` and ``<VMID>.qga``."""


def write(vm: Machine, vmid: int = 0) -> tuple[str, tuple[Note, ...]]:
    """Return the text, and what it cannot say.

    Args:
        vm: what to write.
        vmid: the VM's number, which the paths of PVE's own sockets hold.
    """
    return _Writer(vm, vmid).write()


class _Writer:
    def __init__(self, vm: Machine, vmid: int) -> None:
        self.vm, self.vmid = vm, vmid
        self.losses = Losses(vm, "a PVE configuration")
        self.directives: list[str] = []
        self.settings: dict[str, str] = {}

    def write(self) -> tuple[str, tuple[Note, ...]]:
        self.arch()
        self.hardware()
        self.words()
        for port in sorted(self.vm.ports, key=lambda p: p.index):
            self.port(port)
        lines = [*self.directives, *(f"{k}: {v}" for k, v in sorted(self.settings.items()))]
        return "".join(f"{line}\n" for line in lines), tuple(self.losses.notes)

    def arch(self) -> None:
        arch = self.vm.arch
        self.settings["arch"] = arch
        if arch not in PVE_ARCHITECTURES:
            self.losses.vm(f"the architecture {arch}", "PVE runs x86_64 and aarch64 only")

    # -------------------------------------------------------------- the VM

    def hardware(self) -> None:
        vm = self.vm
        self.setting("name", vm.name, "name")
        self.setting("machine", vm.machine_type, "machine_type")
        self.setting("memory", vm.memory_mib, "memory_mib")
        top = vm.topology
        self.settings |= {"sockets": str(top.sockets), "cores": str(top.cores)}
        if top.vcpus != top.sockets * top.cores:
            self.settings["vcpus"] = str(top.vcpus)
        cpu = ";".join(vm.cpu.flags)
        if vm.cpu.model:
            self.setting("cpu", vm.cpu.model + (f",flags={cpu}" if cpu else ""), "cpu")
        elif vm.cpu.flags:
            self.losses.vm(f"the cpu's flags {cpu} without a model", "name a model")
        if vm.accel != "auto":
            self.settings["kvm"] = "1" if vm.accel == "kvm" else "0"
        smbios = [f"uuid={vm.uuid}"] if vm.uuid else []
        smbios += [f"{key}={value}" for key, value in vm.smbios]
        self.setting("smbios1", ",".join(smbios), "smbios", "uuid")
        self.setting("vmgenid", vm.vmgenid, "vmgenid")
        shown = vm.display
        kind = f"serial{shown.serial}" if shown.kind == "serial" else shown.kind
        memory = f",memory={shown.memory_mib}" if shown.memory_mib else ""
        self.setting("vga", kind + memory, "display")
        self.settings["tablet"] = str(int(vm.tablet))
        if vm.keyboard != (vm.tablet and vm.arch == "aarch64"):
            self.losses.vm(f"keyboard {'on' if vm.keyboard else 'off'}",
                           "PVE adds a keyboard to the tablet, on aarch64 only")  # fmt: skip
        if not vm.balloon:
            self.settings["balloon"] = "0"
        if vm.rng:
            self.settings["rng0"] = "source=/dev/urandom"
        if vm.localtime:
            self.settings["localtime"] = "1"
        self.setting("scsihw", vm.scsi_controller, "scsi_controller")
        if vm.firmware.kind != "default":
            self.settings["bios"] = vm.firmware.kind
        if vm.firmware.code or vm.firmware.variables:
            self.losses.vm("the firmware's images", "PVE keeps the variables in efidisk0")
        self.agent()
        for option in vm.machine_options:
            if option == ("acpi", "off"):
                self.settings["acpi"] = "0"
            else:
                self.losses.vm(f"the machine property {'='.join(option)}", "use args: -machine …")
        if vm.usb_controller:
            self.losses.vm(f"the USB controller {vm.usb_controller}", "PVE chooses it")
        for name, things in (("disk", vm.disks), ("network card", vm.nics)):
            if things:
                many = "s" * (len(things) > 1)
                self.losses.left_out(
                    f"{len(things)} {name}{many}",
                    "add them on the PVE host, where storages and bridges are known",
                )
        places = vm.taken or (vm.free_slots if vm.origin != "pve" else ())
        if places:
            self.losses.vm("which places on the root bus are taken or free", "PVE has its own map")

    def agent(self) -> None:
        if (agent := self.vm.agent) is None:
            return
        self.settings["agent"] = "1,type=isa" if agent.kind == "isa" else "1"
        own = f"{SOCKETS}/{self.vmid}.qga"
        if agent.path != own:
            self.losses.vm(
                f"the agent's socket {agent.path or 'without a path'}", f"PVE's is {own}"
            )

    def words(self) -> None:
        """Write what only ``args:`` can say: a direct boot and the user's own words."""
        words: list[str] = []
        if (boot := self.vm.boot) is not None:
            for flag in ("kernel", "initrd", "append"):
                if getattr(boot, flag):
                    words += [f"-{flag}", getattr(boot, flag)]
        words += self.vm.args
        if not words:
            return
        text = shlex.join(words)
        if self.read({"args": text}, [], "args") == tuple(words):
            self.settings["args"] = text
        else:
            self.losses.vm(
                "args, kernel or initrd", "they hold what a line cannot", self.vm.args_where
            )

    def setting(self, key: str, value: object, *fields: str) -> None:
        """Write a setting if it reads back."""
        text = str(value)
        if not text:
            return
        if all(self.read({key: text}, [], name) == getattr(self.vm, name) for name in fields):
            self.settings[key] = text
        else:
            self.losses.vm(f"{key} {text!r}", "PVE has no such value, or no way to write it",
                           self.vm.place_of(fields[0]))  # fmt: skip

    def read(self, settings: dict[str, str], directives: list[str], field: str) -> Any:
        """Return what a few lines read back as; None if they are refused."""
        if any("\n" in text or text != text.strip(" \t\r") for text in settings.values()):
            return None
        lines = [*directives, f"arch: {self.vm.arch}", *(f"{k}: {v}" for k, v in settings.items())]
        try:
            document = Document.parse("".join(f"{line}\n" for line in lines), "")
            return getattr(machine(document, self.vmid), field)
        except (ConfigError, UsageError):
            return None

    # -------------------------------------------------------------- ports

    def port(self, port: SerialPort) -> None:
        """Write a port as PVE's own line, as a directive, or as both."""
        plain, extra = self.plain(port), []
        if port.kind != "auto":
            extra.append(f"type={port.kind}")
        if port.hotplug:
            extra.append("hotplug=on")
        if port.state != "plugged":
            extra.append(f"state={port.state}")
        if not plain:
            extra.insert(0, chardevs.text(port.chardev))
        directive = _directive(port, ",".join(extra)) if extra else ""
        if not self.comes_back(port, plain, directive):
            # The backend is what a line can fail to carry; the port itself stays.
            self.losses.port(port, f"its backend {chardevs.text(port.chardev)!r}",
                             "null is written: a line of text cannot say it")  # fmt: skip
            extra = ["null", *extra[0 if plain else 1 :]]
            plain, directive = "", _directive(port, ",".join(extra))
            if not self.comes_back(replace(port, chardev=Chardev(Null())), plain, directive):
                self.losses.port(port, "the port")
                return
        if plain:
            self.settings[port.name] = plain
        if directive:
            self.directives.append(directive)
            self.losses.replaced(port, "PVE itself does not know what the directive says",
                                 "`vmserial fix` writes it into args: for PVE")  # fmt: skip

    def plain(self, port: SerialPort) -> str:
        """Return the value of PVE's own line; empty if it has none for this port."""
        chardev = port.chardev
        if port.index >= PVE_SERIAL_PORTS or chardev.logfile:
            return ""
        if chardev.backend == UnixSocket(f"{SOCKETS}/{self.vmid}.{port.name}"):
            return "socket"
        if isinstance(chardev.backend, HostTty) and "," not in chardev.backend.path:
            return chardev.backend.path
        return ""

    def comes_back(self, port: SerialPort, plain: str, directive: str) -> bool:
        found = self.read(
            {port.name: plain} if plain else {}, [directive] if directive else [], "ports"
        )
        return found is not None and [replace(p, where=None) for p in found] == [
            replace(port, where=None)
        ]


def _directive(port: SerialPort, text: str) -> str:
    # PVE decodes %XX in a description, and writes some characters so itself.
    coded = re.sub(r"[%]", "%25", text)
    return f"#vmserial {port.name}: {coded}"
