"""What matters to serial ports of a command line, as plain data.

Each entry holds the option that it comes from, so that
:func:`vmserial.sources.command.edits.edited` can change it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from vmserial.errors import ConfigError, UsageError
from vmserial.lazy import once
from vmserial.model import Note
from vmserial.records import record
from vmserial.sources.command import readconfig
from vmserial.sources.command.document import CommandLine, CommandOption
from vmserial.sources.command.entries import ChardevEntry, HostEnd, PortOption, SerialDevice, Use
from vmserial.sources.command.legacy import HostSide, host_side
from vmserial.sources.command.places import DeviceEntry
from vmserial.sources.command.sets import set_of, target_of

ReadFile = Callable[[str], str]
"""Returns the text of the file that -readconfig names."""

SERIAL_DRIVERS: Mapping[str, tuple[str, ...]] = {
    "isa-serial": ("chardev",),
    "pci-serial": ("chardev",),
    "pci-serial-2x": ("chardev1", "chardev2"),
    "pci-serial-4x": ("chardev1", "chardev2", "chardev3", "chardev4"),
    "usb-serial": ("chardev",),
    "usb-braille": ("chardev",),
    "virtserialport": ("chardev",),
    "virtconsole": ("chardev",),
    "spapr-vty": ("chardev",),
    "sclpconsole": ("chardev",),
    "sclplmconsole": ("chardev",),
    "x-terminal3270": ("chardev",),
    "isa-debugcon": ("chardev",),
    "isa-parallel": ("chardev",),
}
"""Devices that are serial ports (or sit where one does), and the keys of their chardevs."""

_CHARDEV_KEYS = frozenset({"chardev", *(f"chardev{number}" for number in range(10))})
_USERS = frozenset({"netdev", "object", "tpmdev"})
"""Options beside devices and ports that use a chardev."""

_PROGRAM = re.compile(r"(?:.*/)?qemu-system-([a-z0-9_]+)")
_ARCH_OF_MACHINE = (
    (re.compile(r"(?:pc|q35|isapc|microvm|xenfv|nitro)(?:[-.+]|\Z)|pc-|none-x86"), "x86_64"),
    (re.compile(r"pseries|powernv"), "ppc64"),
    (re.compile(r"s390-ccw"), "s390x"),
    (re.compile(r"virt(?:-[0-9.]+)?(?:\+|\Z)|sbsa-ref|raspi"), "aarch64"),
)
_ARCH_NAMES = {"i386": "i386", "amd64": "x86_64", "arm64": "aarch64"}


@record(frozen=True)
class CommandView:
    """A command line as far as serial ports care.

    Attributes:
        arch: the architecture; empty if nothing tells it.
        arch_assumed: it was concluded from the machine type, not from the emulator's name.
        machine_type: as given; empty if not given.
        machine: all keys of -machine, the last of each.
        machine_options: where they come from.
        accelerators: in the order in which QEMU tries them.
        options: all options, those of -readconfig files in their place.
        chardevs: in order.
        devices: in order.
        ports: -serial, -parallel, -debugcon and the monitors, in order.
        nodefaults: QEMU adds no devices of its own.
        nographic: -nographic is given.
        default_serial: what QEMU adds as -serial where none is given; None for nothing.
        default_monitor: what it adds as -monitor; None for nothing, or where the default
            serial port's backend carries the monitor as well.
        notes: what is odd.
    """

    arch: str
    arch_assumed: bool
    machine_type: str
    machine: Mapping[str, str]
    machine_options: tuple[CommandOption, ...]
    accelerators: tuple[str, ...]
    options: tuple[CommandOption, ...]
    chardevs: tuple[ChardevEntry, ...]
    devices: tuple[DeviceEntry, ...]
    ports: tuple[PortOption, ...]
    nodefaults: bool
    nographic: bool
    default_serial: HostSide | None
    default_monitor: HostSide | None
    notes: tuple[Note, ...]

    @classmethod
    def of(
        cls, command: CommandLine, *, arch: str = "", read_file: ReadFile | None = None
    ) -> CommandView:
        """Look at a command line.

        Args:
            command: the command line.
            arch: the architecture where the emulator's name does not tell it (``kvm``).
            read_file: reads the files of -readconfig; without it they are left out with a note.

        Raises:
            ConfigError: a value or a file is broken.
        """
        return _Builder(command, arch, read_file).view()

    @once
    def onboard(self) -> tuple[PortOption, ...]:
        """The -serial options: the on-board UARTs by index."""
        return tuple(port for port in self.ports if port.kind == "serial")

    @property
    def monitors(self) -> tuple[PortOption, ...]:
        """-monitor, -qmp, -qmp-pretty and -mon."""
        return tuple(p for p in self.ports if p.kind in {"monitor", "qmp", "qmp-pretty", "mon"})

    @once
    def serial_devices(self) -> tuple[SerialDevice, ...]:
        """The -device options that are serial ports, port by port."""
        return tuple([
            SerialDevice(device, key, device.params.get(key, ""))
            for device in self.devices
            if device.driver in SERIAL_DRIVERS
            for key in SERIAL_DRIVERS[device.driver]
        ])  # fmt: skip

    def host_ends(self) -> tuple[HostEnd, ...]:
        """Return each -chardev, and each option that has a backend of its own."""
        return self._host_ends

    @once
    def _host_ends(self) -> tuple[HostEnd, ...]:
        found: list[HostEnd] = [(e.option, e.id, e.backend, e.params) for e in self.chardevs]
        found += [
            (port.option, "", port.host.backend, port.host.params)
            for port in self.ports if port.host.form == "inline"
        ]  # fmt: skip
        return tuple(found)

    def chardev(self, chardev_id: str) -> ChardevEntry | None:
        """Return a chardev by its id."""
        return self.chardevs_by_id.get(chardev_id)

    @once
    def chardevs_by_id(self) -> Mapping[str, ChardevEntry]:
        """The chardevs by id, of one id the first."""
        return {entry.id: entry for entry in reversed(self.chardevs)}

    def device(self, device_id: str) -> DeviceEntry | None:
        """Return a device by its id."""
        return next((d for d in self.devices if d.id == device_id and device_id), None)

    def uses(self) -> tuple[Use, ...]:
        """Return every use of a chardev by its id: ports, monitors, and all other options."""
        return self._uses

    @once
    def _uses(self) -> tuple[Use, ...]:
        found = [
            Use(port.host.chardev_id, port.option, "chardev")
            for port in self.ports
            if port.host.form == "chardev"
        ]
        for device in self.devices:
            if _CHARDEV_KEYS.isdisjoint(device.params):
                continue
            found += [
                Use(value, device.option, key)
                for key, value in device.params.items()
                if key in _CHARDEV_KEYS
            ]
        for option in self.options:
            if option.name in _USERS and option.params.get("chardev"):
                found.append(Use(option.params.get("chardev"), option, "chardev"))
        return tuple(found)

    @once
    def present(self) -> frozenset[str]:
        """The names of options, drivers and backends that are in the command."""
        return frozenset([
            *(option.name for option in self.options),
            *(device.driver for device in self.devices),
            *(end[2] for end in self._host_ends),
        ])  # fmt: skip

    @once
    def used(self) -> frozenset[str]:
        """The ids of the chardevs that something uses."""
        return frozenset([use.chardev_id for use in self._uses])


class _Builder:
    def __init__(self, command: CommandLine, arch: str, read_file: ReadFile | None) -> None:
        self.command, self.wanted_arch, self.read_file = command, arch, read_file
        self.notes = list(command.notes)
        self.options = tuple(self.all_options())
        self.by_name: dict[str, list[CommandOption]] = {}
        for option in self.options:
            self.by_name.setdefault(option.name, []).append(option)

    def named(self, name: str) -> list[CommandOption]:
        """Return the options of a name, in order."""
        return self.by_name.get(name, [])

    def note(self, option: CommandOption, message: str, hint: str) -> None:
        self.notes.append(Note("warning", message, option.where, hint))

    def all_options(self) -> list[CommandOption]:
        found: list[CommandOption] = []
        for option in self.command.options:
            found.append(option)
            if option.name != "readconfig" or option.value is None:
                continue
            if self.read_file is None:
                self.note(
                    option, f"the file {option.value!r} is not read: what it holds is not seen",
                    "give the file as well",
                )  # fmt: skip
                continue
            try:
                text = self.read_file(option.value)
            except (OSError, ValueError) as error:
                words = getattr(error, "strerror", None) or str(error)
                raise ConfigError(
                    f"cannot read {option.value!r}: {words}", hint="check the path",
                    where=str(option.where),
                ) from None  # fmt: skip
            found += readconfig.read(text, option.value)
        return found

    def view(self) -> CommandView:
        machine, machine_options = self.machine()
        machine_type = machine.get("type", "")
        arch, assumed = self.arch(machine_type)
        globals_, sets = self.globals(), self.sets()
        devices = tuple([
            self.device(option, globals_, sets) for option in self.named("device")
            if not option.params.asks_for_help
        ])  # fmt: skip
        chardevs = tuple([self.chardev(option, sets) for option in self.named("chardev")])
        ports = self.ports()
        nodefaults, nographic = "nodefaults" in self.by_name, "nographic" in self.by_name
        return CommandView(
            arch, assumed, machine_type, machine, machine_options, self.accelerators(machine),
            self.options, chardevs, devices, ports, nodefaults, nographic,
            *self.defaults(devices, ports, nodefaults, nographic), tuple(self.notes),
        )  # fmt: skip

    # ------------------------------------------------------------------ the machine

    def machine(self) -> tuple[dict[str, str], tuple[CommandOption, ...]]:
        options = tuple(o for o in self.options if o.name in {"machine", "M"})
        merged: dict[str, str] = {}
        for option in options:
            merged |= option.params.values
        return merged, options

    def arch(self, machine_type: str) -> tuple[str, bool]:
        if match := _PROGRAM.match(self.command.program):
            name = match.group(1)
            return _ARCH_NAMES.get(name, name), False
        if self.wanted_arch:
            return self.wanted_arch, False
        if "$" in self.command.program:
            # Not concluded from the machine type: arm, aarch64 and riscv64 all have a virt.
            raise UsageError(
                f"a variable stands in the emulator's name: {self.command.program}; what it "
                "stands for must be known",
                hint="say it with --arch, such as --arch aarch64; or give the command as ps "
                "shows it",
                where=self.command.file,
            )
        for pattern, arch in _ARCH_OF_MACHINE:
            if pattern.match(machine_type):
                return arch, True
        return "", False

    def accelerators(self, machine: Mapping[str, str]) -> tuple[str, ...]:
        found = [o.params.get("accel") for o in self.named("accel")]
        if not found and "accel" in machine:
            found = machine["accel"].split(":")
        if self.named("enable-kvm") and "kvm" not in found:
            found.insert(0, "kvm")
        return tuple(filter(None, found))

    # ------------------------------------------------------------------ devices

    def globals(self) -> dict[str, dict[str, str]]:
        found: dict[str, dict[str, str]] = {}
        for option in self.named("global"):
            long = option.params
            if long.get("driver") and long.get("property"):
                driver, key, value = long.get("driver"), long.get("property"), long.get("value")
            else:
                match = re.match(r"([^.=]+)\.([^=]+)=(.*)\Z", option.value or "", re.DOTALL)
                if match is None:
                    self.note(
                        option, f"{option} is not DRIVER.PROPERTY=VALUE", "QEMU refuses it: mend it"
                    )
                    continue
                driver, key, value = match.groups()
            found.setdefault(driver, {})[key] = value
        return found

    def sets(self) -> dict[int, dict[str, str]]:
        """Return what -set changes, by the ``id()`` of the option that it finds."""
        found: dict[int, dict[str, str]] = {}
        for option in self.named("set"):
            said = set_of(option)
            target = target_of(said, self.options) if said is not None else None
            if said is not None and target is not None:
                found.setdefault(id(target), {})[said.key] = said.value
        return found

    def device(
        self,
        option: CommandOption,
        globals_: Mapping[str, Mapping[str, str]],
        sets: Mapping[int, Mapping[str, str]],
    ) -> DeviceEntry:
        params = option.params.values
        driver, identifier = params.get("driver", ""), params.get("id", "")
        if driver in globals_:
            params = {**globals_[driver], **params}
        if id(option) in sets:
            params = {**params, **sets[id(option)]}
        return DeviceEntry(driver, identifier, params, option)

    def chardev(self, option: CommandOption, sets: Mapping[int, Mapping[str, str]]) -> ChardevEntry:
        params = option.params.values
        if id(option) in sets:
            params = {**params, **sets[id(option)]}
        return ChardevEntry(params.get("id", ""), params.get("backend", ""), params, option)

    # ------------------------------------------------------------------ ports

    def ports(self) -> tuple[PortOption, ...]:
        found: list[PortOption] = []
        modes = {"monitor": "readline", "qmp": "control", "qmp-pretty": "control"}
        kinds = {"mon", "serial", "parallel", "debugcon", "gdb", *modes}
        if kinds.isdisjoint(self.by_name):
            return ()
        made: dict[str, int] = {}
        for option in self.options:
            if option.name not in kinds:
                continue
            index = made.get(option.name, 0)
            made[option.name] = index + 1
            if option.name == "mon":
                identifier, mode = option.params.get("chardev"), option.params.get("mode")
                host = HostSide("chardev" if identifier else "unknown", identifier)
                found.append(PortOption("mon", index, host, option, mode or "readline"))
            else:
                host = host_side(option.value or "", listens=option.name == "gdb")
                if host.form == "unknown":
                    self.note(
                        option, f"{option} names no backend that QEMU knows",
                        "write chardev:ID, none, stdio, pty, file:PATH, unix:PATH,server=on, …",
                    )  # fmt: skip
                found.append(
                    PortOption(option.name, index, host, option, modes.get(option.name, ""))
                )
        return tuple(found)

    def defaults(
        self,
        devices: tuple[DeviceEntry, ...],
        ports: tuple[PortOption, ...],
        nodefaults: bool,
        nographic: bool,
    ) -> tuple[HostSide | None, HostSide | None]:
        """Return the serial port and the monitor that QEMU adds (system/vl.c).

        The machine type may still have no UART for the one.
        """
        if nodefaults:
            return None, None
        drivers = {device.driver for device in devices}
        globals_ = {o.params.get("driver") for o in self.named("global")}
        serial = not (
            any(port.kind == "serial" for port in ports) or "isa-serial" in drivers | globals_
        )
        # "mon:" before a serial or parallel port's backend is a monitor, too.
        monitor = not any(
            port.kind in {"monitor", "qmp", "qmp-pretty", "mon"}
            or (port.kind in {"serial", "parallel"} and port.host.mux_monitor)
            for port in ports
        )
        if nographic:
            stdio = HostSide("inline", "", "stdio", {}, mux_monitor=serial and monitor)
            return stdio if serial else None, stdio if monitor and not serial else None
        display = [o.params.get("type") for o in self.named("display")]
        silent = bool(display) and display[-1] in {"none", "egl-headless"}
        screen = HostSide("inline", "", "vc", {"cols": "80", "rows": "24"})
        made = HostSide("inline", "", "null", {}) if silent else screen
        return made if serial else None, made if monitor else None
