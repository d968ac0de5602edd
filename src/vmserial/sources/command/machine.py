"""A command line as a Machine: its serial ports, and what they stand on.

What a Machine has no place for is named; what every command line has beside a
VM's description (monitors, a pid file, a display) is not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from vmserial.devices import KINDS
from vmserial.errors import ConfigError, UsageError
from vmserial.limits import ISA_SERIAL_PLACES
from vmserial.machines import architecture
from vmserial.model import (
    Chardev,
    Cpu,
    DirectBoot,
    Machine,
    Note,
    Null,
    SerialPort,
    SourceRef,
    Topology,
)
from vmserial.sources import ports as numbering
from vmserial.sources.command.document import CommandLine, CommandOption
from vmserial.sources.command.entries import SerialDevice
from vmserial.sources.command.legacy import HostSide
from vmserial.sources.command.view import CommandView, ReadFile

KIND_OF: Mapping[str, str] = {kind.driver: kind.name for kind in KINDS.values() if kind.driver}
"""The kind of port that each device is."""
_KINDS = {**KIND_OF, "spapr-vty": "uart", "sclpconsole": "uart", "sclplmconsole": "uart"}
_NUMBER = re.compile(r"(?:char)?(?:ua-)?serial(0|[1-9][0-9]{0,2})\Z")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z")
_SIZE = re.compile(r"([0-9]{1,12})([bBkKmMgGtT]?)\Z")
_SHIFT = {"b": -20, "k": -10, "m": 0, "": 0, "g": 10, "t": 20}
_TRANSLATED = frozenset({
    "machine", "M", "m", "smp", "cpu", "accel", "enable-kvm", "kernel", "initrd", "append", "uuid",
    "name", "serial", "chardev", "readconfig", "set", "global",
})  # fmt: skip
_OF_THE_RUN = frozenset({
    "monitor", "qmp", "qmp-pretty", "mon", "display", "nographic", "vga", "nodefaults", "S",
    "daemonize", "pidfile", "no-user-config", "msg", "sandbox", "id", "snapshot", "no-reboot",
    "no-shutdown", "D", "d", "trace", "run-with", "runas", "gdb", "s", "nodefconfig", "enable-fips",
})  # fmt: skip
"""Options about one run of the emulator, not about the VM."""


def machine(command: CommandLine, *, arch: str = "", read_file: ReadFile | None = None) -> Machine:
    """Translate a command line.

    Args:
        command: the command line.
        arch: the architecture where the emulator's name does not tell it.
        read_file: reads the files of -readconfig.

    Raises:
        ConfigError: a value is broken.
        UsageError: nothing tells the architecture, or there is none of that name.
    """
    view = CommandView.of(command, arch=arch, read_file=read_file)
    if not view.arch:
        raise UsageError(
            "nothing tells the architecture of this command",
            hint="give --arch aarch64 or --arch x86_64", where=command.file,
        )  # fmt: skip
    return _Translation(command, view).machine()


class _Translation:
    def __init__(self, command: CommandLine, view: CommandView) -> None:
        self.command, self.view = command, view
        self.notes: list[Note] = list(view.notes)
        self.used: set[str] = set()
        try:
            self.arch = architecture(view.arch)
        except UsageError as error:
            raise UsageError(error.message, hint=error.hint, where=command.file) from None
        # "+pve0" is a mark of PVE's own builds.
        self.machine_type = view.machine_type.partition("+pve")[0]

    def machine(self) -> Machine:
        ports = self.ports()
        self.rest()
        top = self.topology()
        uuid, name = self.text("uuid"), self.text("name").split(",")[0].removeprefix("guest=")
        accel = self.view.accelerators[:1]
        return Machine(
            self.arch.name,
            ports,
            name=name if _NAME.match(name) else "vm",
            machine_type=self.machine_type if _WORD.match(self.machine_type) else "",
            machine_options=tuple(
                (key, value) for key, value in self.view.machine.items()
                if key not in {"type", "accel"}
            ),
            cpu=self.cpu(),
            topology=top,
            memory_mib=self.memory(),
            accel="kvm" if accel == ("kvm",) else "tcg" if accel == ("tcg",) else "auto",
            uuid=uuid if _UUID.match(uuid) else "",
            boot=self.boot(),
            notes=tuple(self.notes),
            origin="argv",
            where=SourceRef(self.command.file),
        )  # fmt: skip

    def note(self, where: SourceRef | None, message: str, hint: str = "") -> None:
        self.notes.append(Note("untranslated", message, where, hint))

    # -------------------------------------------------------------- single values

    def last(self, name: str) -> CommandOption | None:
        found = [option for option in self.view.options if option.name == name]
        return found[-1] if found else None

    def text(self, name: str) -> str:
        option = self.last(name)
        return (option.value or "") if option else ""

    def values(self, name: str) -> Mapping[str, str]:
        """Return all keys of an option that may be given several times."""
        merged: dict[str, str] = {}
        for option in self.view.options:
            if option.name == name:
                merged |= option.params.values
        return merged

    def memory(self) -> int:
        option = self.last("m")
        given = self.values("m")
        size = given.get("size") or next(iter(given.values()), "")
        match = _SIZE.match(size)
        if option is None:
            # QEMU's own default.
            return 128
        if match is None:
            self.note(option.where, f"-m {option.value} is no size", "512 MiB are taken")
            return 512
        shift = _SHIFT[match[2].lower()]
        number = int(match[1])
        return min(max(number << shift if shift >= 0 else number >> -shift, 16), 4 << 20)

    def topology(self) -> Topology:
        given = self.values("smp")
        numbers = {
            key: int(value)
            for key, value in given.items()
            if re.fullmatch(r"[1-9][0-9]{0,3}", value)
        }  # fmt: skip
        vcpus = numbers.get("cpus") or (
            numbers.get("sockets", 1) * numbers.get("cores", 1) * numbers.get("threads", 1)
        )
        sockets = numbers.get("sockets", 1)
        cores = max(numbers.get("cores", 0) * numbers.get("threads", 1), -(-vcpus // sockets))
        if sockets * cores > 4096:
            return Topology()
        return Topology(min(vcpus, sockets * cores), sockets, cores)

    def cpu(self) -> Cpu:
        option = self.last("cpu")
        if option is None or not option.value:
            return Cpu()
        model, *flags = option.value.split(",")
        if not _WORD.match(model):
            self.note(option.where, f"-cpu {option.value} is no model")
            return Cpu()
        return Cpu(model, tuple(flags))

    def boot(self) -> DirectBoot | None:
        kernel = self.text("kernel")
        if not kernel:
            return None
        return DirectBoot(kernel, self.text("initrd"), self.text("append"))

    # -------------------------------------------------------------- ports

    def ports(self) -> tuple[SerialPort, ...]:
        """Return the ports; those whose chardev is named after a port keep its number."""
        found: list[tuple[str, Chardev, str, str, SourceRef | None]] = []
        onboard = "isa" if self.arch.name == "x86_64" else "uart"
        for option in self.view.onboard:
            if option.host.form != "none":
                where = option.option.where
                found.append((option.host.chardev_id, self.host(option.host, where), onboard,
                              "plugged", where))  # fmt: skip
        if not self.view.onboard and self.view.default_serial is not None:
            implied = self.view.default_serial.chardev
            if implied is not None and not isinstance(implied.backend, Null):
                found.append(("", implied, onboard, "plugged", None))
        for device in self.view.serial_devices:
            if (kind := _KINDS.get(device.device.driver)) is not None:
                self.device(found, device, kind)
        used = {use.chardev_id for use in self.view.uses()}
        for entry in self.view.chardevs:
            if entry.id not in used and _NUMBER.match(entry.id):
                where = entry.option.where
                found.append((entry.id, self.chardev(entry.id, where), "auto", "unplugged", where))
                self.notes.append(
                    Note(
                        "warning",
                        f"{entry.id} has a chardev and no device: the port is unplugged",
                        where,
                        "`vmserial fix` gives it a device",
                    )
                )
        return self.numbered(found)

    def device(
        self,
        found: list[tuple[str, Chardev, str, str, SourceRef | None]],
        device: SerialDevice,
        kind: str,
    ) -> None:
        where, name = device.device.option.where, device.device.get("name")
        if re.match(r"(?:org|com)\.", name):
            self.note(where, f"the port {name} is a program's own, and not taken over")
        elif not device.chardev_id and kind not in {"pci-2x", "pci-4x"}:
            self.note(where, f"a {device.device.driver} without a chardev is left out")
        elif device.chardev_id:
            chardev = self.chardev(device.chardev_id, where)
            found.append((device.chardev_id, chardev, kind, "plugged", where))

    def host(self, host: HostSide, where: SourceRef | None) -> Chardev:
        if host.form == "chardev":
            return self.chardev(host.chardev_id, where)
        if host.mux_monitor:
            self.note(where, "the monitor that shares the port's backend is left out")
        return self.known(host.chardev, host.backend or "?", where)

    def chardev(self, chardev_id: str, where: SourceRef | None) -> Chardev:
        self.used.add(chardev_id)
        entry = self.view.chardev(chardev_id)
        if entry is None:
            self.note(where, f"there is no chardev {chardev_id!r}", "null is taken")
            return Chardev(Null())
        if entry.mux:
            self.note(entry.option.where, f"{chardev_id}: mux=on is left out",
                      "each port has its own backend here")  # fmt: skip
        return self.known(entry.chardev, entry.backend, entry.option.where)

    def known(self, chardev: Chardev | None, backend: str, where: SourceRef | None) -> Chardev:
        if chardev is not None:
            return chardev
        self.note(where, f"the backend {backend} has no counterpart", "null is taken")
        return Chardev(Null())

    def numbered(
        self, found: list[tuple[str, Chardev, str, str, SourceRef | None]]
    ) -> tuple[SerialPort, ...]:
        taken: dict[int, SerialPort] = {}
        waiting = []
        coms = _coms(self.view) if self.arch.name == "x86_64" else {}
        for chardev_id, chardev, kind, state, where in found:
            match = _NUMBER.match(chardev_id)
            index = int(match[1]) if match else -1
            port = SerialPort(
                index, chardev, kind, state="unplugged" if state == "unplugged" else "plugged",
                where=where, com=coms.get(chardev_id) if kind == "isa" else None,
            )  # fmt: skip
            if match and index not in taken:
                taken[index] = port
            else:
                waiting.append(port)
        free = (n for n in range(numbering.MAX_INDEX + 1) if n not in taken)
        for port in waiting:
            number = next(free, None)
            if number is None:
                raise ConfigError(
                    f"there are more than {numbering.MAX_INDEX + 1} ports",
                    hint="no machine carries as many", where=self.command.file,
                )  # fmt: skip
            taken[number] = replace(port, index=number)
        # Where its number tells the place, nothing is said of it.
        return tuple(
            replace(port, com=None) if port.com == index else port
            for index, port in sorted(taken.items())
        )

    # -------------------------------------------------------------- the rest

    def rest(self) -> None:
        """Name what a Machine does not take over."""
        for option in self.view.options:
            if option.name in _TRANSLATED | _OF_THE_RUN:
                continue
            if option.name == "device" and self.quiet(option.params.get("driver")):
                continue
            self.note(option.where, f"{str(option)[:80]} is not translated",
                      "only the serial ports and what they stand on are")  # fmt: skip
        for entry in self.view.chardevs:
            if entry.id not in self.used:
                users = [use.option for use in self.view.uses() if use.chardev_id == entry.id]
                if not users or users[0].name not in _OF_THE_RUN:
                    self.note(entry.option.where, f"the chardev {entry.id!r} is left out")

    def quiet(self, driver: str) -> bool:
        """Tell whether a device is a port, or what ports stand on, which is planned anew."""
        from vmserial.sources.command.places import DeviceEntry

        entry = DeviceEntry(driver, "", {}, self.view.options[0])
        return (
            driver in _KINDS
            or entry.is_usb_controller
            or entry.is_virtio_serial
            or entry.is_bridge
            or driver == "usb-hub"
        )


def _coms(view: CommandView) -> dict[str, int]:
    """Return, by the id of the host side, which of the PC's four each isa-serial is.

    QEMU counts what it makes, those with an index too (hw/char/serial-isa.c).
    """
    bases = [base for base, _ in ISA_SERIAL_PLACES]
    found = {option.host.chardev_id: at for at, option in enumerate(view.onboard)}
    made = sum(option.host.form != "none" for option in view.onboard)
    for each in view.serial_devices:
        if (place := each.device.isa) is not None:
            index = made if place.index is None else place.index
            base = place.iobase
            found[each.chardev_id] = bases.index(base) if base in bases else index
            made += 1
    return {id: number for id, number in found.items() if 0 <= number < len(bases)}
