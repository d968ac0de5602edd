"""From any command line of QEMU to a private one with the same serial ports; pure.

The board, its controllers and its serial devices stay as they stand; their
backends become unix sockets of ours.  Whatever else the command would open,
write, lock, listen on or show is left out: only what is known to be harmless is
kept, so an option that is new to us is not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from vmserial.context.ports import ports_of
from vmserial.machines import ARCHITECTURES
from vmserial.model import Capabilities
from vmserial.options import Option, Scalar
from vmserial.qemu import private, standins
from vmserial.qemu.backends import PrivateBackends
from vmserial.qemu.private import PrivateCommand, PrivatePort, Wanted
from vmserial.qemu.standins import HOST_KEYS, Fate
from vmserial.sources.command import CommandView, DeviceEntry
from vmserial.sources.command.document import CommandOption

_AS_THEY_ARE = frozenset({
    "L", "no-acpi", "no-hpet", "no-user-config", "nodefaults", "only-migratable", "usb", "watchdog",
})  # fmt: skip
_VGA = frozenset({"none", "std", "cirrus", "vmware", "virtio"})
_USB_DEVICES = frozenset({"tablet", "mouse", "keyboard", "wacom-tablet"})
_NIC_KEYS = ("model", "macaddr", "addr")

_MACHINE_KEYS_OUT = frozenset({
    "accel", "append", "audiodev", "confidential-guest-support", "dtb", "dumpdtb", "firmware",
    "hmat", "igd-passthru", "igvm-cfg", "initrd", "kernel", "kernel_irqchip", "kernel-irqchip",
    "memory-backend", "memory-encryption", "pcspk-audiodev", "pflash0", "pflash1", "shim", "type",
})  # fmt: skip
"""Of -machine: files, other options, and what depends on the accelerator."""

_MACHINE_GROUPS_OUT = ("boot.", "cxl-fmw.", "memory.", "sgx-epc.", "smp.", "smp-cache.")

_WORDS = (
    ("its disks", "blockdev cdrom drive fda fdb hda hdb hdc hdd mtdblock sd virtfs fsdev iscsi"),
    ("its networks", "net netdev nic"),
    ("its display and sound", "display vnc spice sdl curses audio audiodev soundhw k full-screen"),
    ("its monitors", "monitor qmp qmp-pretty mon"),
    ("its memory, processors and accelerator",
     "m smp cpu numa mem-path mem-prealloc accel enable-kvm overcommit object icount"),
    ("its firmware and what it boots",
     "bios pflash kernel initrd append dtb boot option-rom fw_cfg acpitable smbios shim"),
    ("how it is started and ended",
     "S daemonize pidfile incoming loadvm snapshot sandbox chroot runas run-with no-reboot "
     "no-shutdown action preconfig nographic"),
    ("its name", "name uuid rtc"),
)  # fmt: skip
_WORDS_OF = {name: words for words, names in _WORDS for name in names.split()}

_PVE_SUFFIX = re.compile(r"\+pve[0-9]+\Z")


def isolate(
    view: CommandView, capabilities: Capabilities, socket: Callable[[str], str],
    labels: Mapping[str, str] | None = None,
) -> PrivateCommand:  # fmt: skip
    """Return the command with private backends and without all that is not serial.

    Args:
        view: the user's command line.
        capabilities: of the binary that is to run it.
        socket: gives the path of a unix socket of that name.
        labels: the names of ports by the ids of their chardevs, where the source has its own.

    Raises:
        ConfigError: a value of the command is broken.
        UsageError: a device in JSON cannot be changed, or a path is too long.
    """
    return _Isolator(view, capabilities, socket, labels).run()


def uses_kvm(capabilities: Capabilities) -> bool:
    """Tell whether the private copy runs under KVM: where it is proven, or nothing else is."""
    return "kvm" in capabilities.accelerators or "tcg" not in capabilities.accelerators


class _Isolator:
    def __init__(
        self, view: CommandView, capabilities: Capabilities, socket: Callable[[str], str],
        labels: Mapping[str, str] | None,
    ) -> None:  # fmt: skip
        self.view, self.capabilities, self.socket = view, capabilities, socket
        self.made: list[Option] = []
        self.late: list[Option] = []
        self.left_out: dict[str, None] = {}
        self.replaced: list[str] = []
        self.dropped_words: list[str] = []
        self.devices = {device.option: device for device in view.devices}
        self.fates = {d.option: standins.fate(d, capabilities) for d in view.devices}
        self.called = ports_of(view, labels)
        for port in self.called:
            # The guest agent's and its like are there for a program, not to be proven.
            if port.channel and self.fates.get(port.option) in {Fate.PORT, Fate.SERIAL}:
                self.fates[port.option] = Fate.KEPT
        known = ARCHITECTURES.get(view.arch or capabilities.target)
        name = _PVE_SUFFIX.sub("", view.machine_type) or capabilities.default_machine
        board = known.platform(name, view.machine) if known else None
        self.wanted = private.find(view, self.fates, self.called, board)
        self.backends = PrivateBackends(view, capabilities.version, socket)
        self.chardevs = self.backends.replacing(self.wanted, self.fates)

    # ------------------------------------------------------------------ option by option

    def run(self) -> PrivateCommand:
        machine_type = _PVE_SUFFIX.sub("", self.view.machine_type)
        if machine_type != self.view.machine_type:
            self.dropped_words.append(self.view.machine_type.removeprefix(machine_type))
        if machine := self.machine(machine_type):
            self.made.append(machine)
        if self.view.default_serial is not None:
            self.serial(next(w for w in self.wanted if w.option is None))
        for option in self.view.options:
            self.take(option)
        self.default_network()
        ports = sorted((self.port(w) for w in self.wanted), key=lambda port: port.index)
        return PrivateCommand(
            self.view.arch or self.capabilities.target,
            machine_type,
            (*self.made, *self.late),
            tuple(ports),
            tuple(
                (f"serial{port.number}", port.chardev_id)
                for port in self.called
                if port.device is None and port.onboard is None
            ),
            any(device.option.params.is_json for device in self.view.devices),
            tuple(self.notes()),
            self.view.machine,
        )

    def take(self, option: CommandOption) -> None:
        name = option.name
        if name in {"machine", "M", "readconfig"}:
            return
        if name == "device":
            self.device(self.devices[option])
        elif name == "chardev":
            identifier = option.params.get("id")
            # QEMU refuses one without an id, and shall.
            nameless = [Option("-chardev", "null", role="chardev")]
            self.made += self.chardevs.get(identifier, ()) if identifier else nameless
        elif name == "serial":
            self.onboard(option)
        elif name in _AS_THEY_ARE:
            self.made.append(Option(f"-{name}", raw=option.value))
        elif name in {"global", "set"}:
            self.setting(option)
        elif name in {"net", "nic"}:
            self.network(option)
        elif name == "vga":
            kept = option.value if option.value in _VGA else "std"
            self.made.append(Option("-vga", raw=kept, role="display"))
        elif name == "usbdevice" and option.value in _USB_DEVICES:
            self.made.append(Option("-usbdevice", raw=option.value, role="input"))
        else:
            self.leave_out(option)

    def leave_out(self, option: CommandOption) -> None:
        if option.name in _WORDS_OF:
            self.left_out[_WORDS_OF[option.name]] = None
        elif option.name == "id":
            self.dropped_words.append(str(option))
        else:
            self.left_out[f"-{option.name}"] = None
        # These two make a PCI device of their own, after those of -device.
        if (option.name == "drive" and option.params.get("if") == "virtio") or (
            option.name == "virtfs"
        ):
            self.late.append(standins.pci_stand_in(self.capabilities))
            self.replaced.append(f"-{option.name}")

    def machine(self, machine_type: str) -> Option | None:
        kept: list[tuple[str, Scalar]] = []
        for key, value in self.view.machine.items():
            if key in _MACHINE_KEYS_OUT or key.startswith(_MACHINE_GROUPS_OUT) or "/" in value:
                continue
            if key == "gic-version" and value == "host" and not uses_kvm(self.capabilities):
                continue
            kept.append((key, value))
        if self.view.nographic and not any(key == "graphics" for key, _ in kept):
            kept.append(("graphics", "off"))
        if not machine_type and not kept:
            return None
        return Option("-machine", machine_type, tuple(kept), role="machine")

    def onboard(self, option: CommandOption) -> None:
        wanted = next((w for w in self.wanted if w.option is option), None)
        if wanted is not None:
            self.serial(wanted)
        else:
            # "none" keeps its index; what QEMU does not know it shall refuse itself.
            self.made.append(Option("-serial", raw=option.value, role="serial"))

    @staticmethod
    def named(wanted: Wanted) -> bool:
        """Tell whether a -serial names a chardev of its user's, which may not be there."""
        return wanted.option is not None and (wanted.option.value or "").startswith(
            ("chardev:", "mon:chardev:")
        )

    def serial(self, wanted: Wanted) -> None:
        if wanted.chardev_id not in self.backends.entries and not self.named(wanted):
            self.made.append(self.backends.of(wanted))
        self.made.append(Option("-serial", raw=f"chardev:{wanted.chardev_id}", role="serial"))

    # ------------------------------------------------------------------ devices

    def device(self, device: DeviceEntry) -> None:
        what = self.fates[device.option]
        if what is Fate.OUT:
            self.left_out[device.driver] = None
        elif what is Fate.UNKNOWN:
            self.made.append(Option("-device", raw=device.option.value, role="other"))
        elif what is Fate.STAND_IN:
            self.made.append(standins.stand_in(device, self.capabilities))
            self.replaced.append(f"{device.driver} {device.id}".strip())
        elif what is Fate.KEPT:
            role = "agent" if device.driver in standins.PROVABLE else "controller"
            value = self.changed(device, {}, keep=("chardev",))
            self.made.append(Option("-device", raw=value, role=role))
        else:
            mine = [w for w in self.wanted if w.device is device]
            value = self.changed(
                device, private.identity(self.view, device, mine), keep=[w.key for w in mine]
            )
            self.made.append(Option("-device", raw=value, role="serial"))

    def changed(
        self, device: DeviceEntry, keys: dict[str, str], keep: tuple[str, ...] | list[str]
    ) -> str:
        """Return a device's value with keys set, and without those that name the host's things."""
        option = device.option
        for key in option.params.values:
            if key in HOST_KEYS and key not in keep:
                option = _with(option, option.params.without_key(key))
        for key, value in keys.items():
            if option.params.get(key) != value:
                option = _with(option, option.params.with_key(key, value))
        return option.value or ""

    def setting(self, option: CommandOption) -> None:
        """Keep a -global or -set that is about a device that is kept."""
        if option.name == "global":
            long = option.params
            key = long.get("property") or (option.value or "").partition("=")[0].rpartition(".")[2]
            value = long.get("value") or (option.value or "").partition("=")[2]
            kept = key not in HOST_KEYS and "/" not in value
        else:
            group, _, rest = (option.value or "").partition(".")
            identifier, _, rest = rest.partition(".")
            key, _, value = rest.partition("=")
            device = self.view.device(identifier)
            stays = {Fate.KEPT, Fate.PORT, Fate.SERIAL, Fate.UNKNOWN}
            kept = (
                group == "device" and device is not None
                and self.fates[device.option] in stays
                and key not in HOST_KEYS and "/" not in value
            )  # fmt: skip
        if kept:
            self.made.append(Option(f"-{option.name}", raw=option.value))
        else:
            self.left_out[f"-{option.name}"] = None

    # ------------------------------------------------------------------ network cards

    def network(self, option: CommandOption) -> None:
        """Keep a card that the board makes, connected to nothing: it takes a PCI address."""
        kind = option.params.get("type")
        if kind == "none" or (option.name == "net" and kind != "nic"):
            self.left_out["its networks"] = None
            return
        keys = {"macaddr": option.params.get("mac")} if option.name == "nic" else {}
        keys = {key: option.params.get(key) or keys.get(key, "") for key in _NIC_KEYS}
        kept: list[tuple[str, Scalar]] = [(k, v) for k, v in keys.items() if v]
        self.made.append(Option("-net", "nic", tuple(kept), role="net"))
        self.replaced.append(f"-{option.name} {kind}")

    def default_network(self) -> None:
        """Keep QEMU from adding a card with a network, and its place from being free."""
        if self.view.nodefaults or any(option.flag == "-net" for option in self.made):
            return
        asked = any(option.name in {"net", "nic", "netdev"} for option in self.view.options)
        self.made.append(Option("-net", "none" if asked else "nic", role="net"))

    # ------------------------------------------------------------------ what came of it

    def port(self, wanted: Wanted) -> PrivatePort:
        device, index = wanted.device, int(wanted.name.removeprefix("serial"))
        where = wanted.option.where if wanted.option is not None else None
        socket = self.socket(wanted.name)
        if device is None:
            return PrivatePort(
                wanted.name, index, wanted.chardev_id, socket, number=wanted.number, where=where,
                silent=wanted.silent, host=wanted.host, inline=wanted.inline,
            )  # fmt: skip
        mine = [w for w in self.wanted if w.device is device]
        params = {**device.params, **private.identity(self.view, device, mine)}
        return PrivatePort(
            wanted.name, index, wanted.chardev_id, socket, device.driver, params.get("id", ""),
            wanted.number, device.bus, params, wanted.provable, where, host=wanted.host,
        )  # fmt: skip

    def notes(self) -> list[str]:
        found = []
        if self.left_out:
            found.append(f"not in the VM under test: {', '.join(self.left_out)}")
        if self.replaced:
            found.append(
                f"replaced by devices that keep their places and do nothing: "
                f"{', '.join(self.replaced)}"
            )
        if self.dropped_words:
            found.append(f"left out, as stock QEMU refuses it: {', '.join(self.dropped_words)}")
        return found


def _with(option: CommandOption, value: str) -> CommandOption:
    return CommandOption(option.name, option.flag, value, option.where)
