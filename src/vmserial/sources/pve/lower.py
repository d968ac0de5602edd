"""A PVE configuration as the command that PVE starts.

Everything that has a place or a chardev is here, with PVE's own ids, addresses and
order (qemu-server 9.2.6), each option with the line that asks for it.  Three things
are written otherwise than PVE does, because stock QEMU and whoever judges the
command need it so:

* the devices of PVE's ``pve-*.cfg`` files stand here as ``-device`` options, not
  behind ``-readconfig``: the judge must see their buses where PVE is not installed;
* the machine type has no ``+pveN``, which only PVE's own QEMU knows;
* what is behind a drive is left out: only PVE's storages know it.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from vmserial.errors import ConfigError, UsageError
from vmserial.limits import PVE_ARCHITECTURES
from vmserial.machines import architecture
from vmserial.model.origin import Asked, Gap, LoweredCommand, LoweredOption, Origin
from vmserial.model.source import SourceRef
from vmserial.options import Option, Scalar
from vmserial.sources.pve import drives, hardware
from vmserial.sources.pve.document import Document, Setting
from vmserial.sources.pve.emission import Emission, without_empty
from vmserial.sources.pve.map import CFG, SOCKETS
from vmserial.sources.pve.pins import pins
from vmserial.sources.pve.reading import Reading
from vmserial.sources.pve.values import Word, spans

_DEVICE = re.compile(r"/dev/[^,]+\Z")
_SMBIOS = ("uuid", "manufacturer", "product", "version", "serial", "sku", "family")


@dataclass(frozen=True)
class PveHost:
    """What PVE reads from its host.

    Attributes:
        arch: the host's, as QEMU's target name; empty: that of each VM.
        version: of the installed QEMU.
    """

    arch: str = ""
    version: tuple[int, ...] = (11, 0)


@dataclass(frozen=True)
class ArgsSpan:
    """An option of ``args:``: which words of the line it is.

    Attributes:
        setting: the line.
        start: where its first word begins in the value.
        end: where its last one ends.
        value: where its argument stands; None: it has none.
    """

    setting: Setting
    start: int
    end: int
    value: tuple[int, int] | None = None


def lower(
    document: Document,
    vmid: int = 0,
    host: PveHost | None = None,
    *,
    snapshot: str | None = None,
    pending: bool = False,
    arch: str = "",
) -> LoweredCommand:
    """Return the command that PVE starts.

    Args:
        document: the configuration.
        vmid: the VM's number, which is in the paths of its sockets.
        host: what PVE reads from its host.
        snapshot: take this snapshot's settings instead of the current ones.
        pending: take the settings as they are after the pending changes.
        arch: the architecture where the configuration does not say it.

    Raises:
        ConfigError: ``args:`` has an open quote, or ``arch:`` names no architecture.
        UsageError: there is no such snapshot.
    """
    on = host or PveHost()
    reading = Reading.of(document, snapshot, pending)
    target = _arch(reading, on, arch)
    native = not on.arch or on.arch == target
    template = reading.flag("template")
    found = pins(reading, target, on.version)
    kvm = reading.flag("kvm", native) and not template
    to = Emission(reading, found, vmid, kvm)
    _emulated(to, target)
    _identity(to)
    _board(to, target)
    drive_list, boot = drives.drives(reading), drives.BootOrder.of(reading)
    drives.iothreads(to, drive_list)
    _sleep_states(to)
    hardware.bridges(to)
    hardware.usb_controllers(to)
    hardware.host_pci(to)
    hardware.usb_devices(to)
    started = _serial(to)
    _parallel(to)
    hardware.sound_and_tpm(to)
    hardware.video(to)
    hardware.agent(to)
    hardware.random_and_screens(to)
    hardware.spice(to)
    hardware.balloon_and_watchdog(to)
    drives.attached(to, drive_list, boot)
    drives.cards(to, boot)
    hardware.shared(to)
    _clock(to)
    _machine(to, kvm)
    if template:
        to.put("-snapshot", by=reading.settings["template"])
    # What is asked for in vain keeps its name: fix gives it a port of this one.
    asked = [each.name for each in reading.dropped if each.reason in {"no-such-line", "directive"}]
    labels = {**{name: name for name in asked}, **started}
    program = "/usr/bin/kvm" if native else f"/usr/bin/qemu-system-{target}"
    return LoweredCommand(
        program, target, (*to.options, *_args(to)), "pve", _name(to), labels,
        tuple(reading.dropped), tuple(to.gaps), screen=_serial_screen(to),
    )  # fmt: skip


def _arch(reading: Reading, host: PveHost, wanted: str) -> str:
    setting = reading.settings.get("arch")
    name = reading.text("arch") or wanted
    if not name:
        kind = (reading.props("machine", "type") or {}).get("type", "")
        return "aarch64" if re.match(r"virt(-|\Z)", kind) else host.arch or "x86_64"
    try:
        return architecture(name).name
    except UsageError as error:
        where = f"{reading.file}:{setting.line}" if setting is not None else "arch"
        raise ConfigError(error.message, hint=error.hint, where=where) from None


def _serial_screen(to: Emission) -> Asked | None:
    """Return the line that ``vga:`` makes the VM's screen."""
    kind, by = hardware.video_kind(to), to.reading.settings.get("vga")
    if by is None or not kind.startswith("serial") or kind not in to.reading.settings:
        return None
    return Asked(kind, "pve-vga-port", SourceRef(to.reading.file, by.line))


def _emulated(to: Emission, target: str) -> None:
    """Name an architecture that PVE has no emulator for, by the word that PVE reads."""
    said, by = to.reading.text("arch"), to.reading.settings.get("arch")
    if by is not None and said not in PVE_ARCHITECTURES:
        text = f"PVE does not start the VM: it knows no architecture {said}"
        where = SourceRef(to.reading.file, by.line)
        to.gaps.append(Gap("refused", text, where, "pve-arch-unknown", "arch"))
        if target not in PVE_ARCHITECTURES:
            # Its devices are x86's, by PVE's own default; nobody asked this binary for them.
            to.gap("devices", f"PVE has no devices for {target}", by)


def _name(to: Emission) -> str:
    return to.reading.text("name", f"vm{to.vmid}")


# ------------------------------------------------------------------ before the devices


def _identity(to: Emission) -> None:
    reading, run = to.reading, f"{SOCKETS}/{to.vmid}"
    to.put("-id", raw=str(to.vmid), role="machine")
    to.put("-name", _name(to), by=reading.settings.get("name"), role="machine")
    to.put("-no-shutdown", role="machine")
    to.socket("qmp", f"{run}.qmp", role="monitor")
    to.put("-mon", "", ("chardev", "qmp"), ("mode", "control"), role="monitor")
    to.put("-chardev", "socket", ("id", "qmp-event"), ("path", "/var/run/qmeventd.sock"),
           ("reconnect-ms", 5000), role="monitor")  # fmt: skip
    to.put("-mon", "", ("chardev", "qmp-event"), ("mode", "control"), role="monitor")
    to.put("-pidfile", raw=f"{run}.pid", role="machine")
    to.put("-daemonize", role="machine")
    parts = reading.props("smbios1", "uuid")
    if parts:
        coded = parts.get("base64") in {"1", "on", "yes", "true"}
        said = [(key, _plain(parts[key], coded and key != "uuid")) for key in _SMBIOS
                if parts.get(key)]  # fmt: skip
        to.put("-smbios", "", ("type", "1"), *said, by=reading.settings["smbios1"],
               role="machine")  # fmt: skip


def _plain(value: str, coded: bool) -> str:
    if not coded:
        return value
    try:
        return binascii.a2b_base64(value, strict_mode=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return value


def _board(to: Emission, target: str) -> None:
    reading, found = to.reading, to.pins
    if _has_flash(to):
        to.gap("disks", "the images of the firmware are PVE's: they are left out",
               reading.settings.get("efidisk0"))  # fmt: skip
    old = not found.created or found.created < (6, 1)
    if found.board == "q35" and found.linux and not found.versioned and old:
        to.put("-global", "", ("ICH9-LPC.acpi-pci-hotplug-with-bridge-support", "off"),
               by=reading.settings.get("machine"), role="machine")  # fmt: skip
    sockets = reading.number("sockets", 0) or reading.number("smp", 0) or 1
    cores = reading.number("cores", 0) or 1
    most = sockets * cores
    count = min(reading.number("vcpus", 0) or most, most)
    to.put("-smp", str(count), ("sockets", sockets), ("cores", cores), ("maxcpus", most),
           by=reading.settings.get("cores"), role="machine")  # fmt: skip
    hotplug = reading.text("hotplug")
    if re.search("cpu|memory", hotplug):
        to.gap("hotplug", "CPUs and memory that PVE plugs at the start are left out",
               reading.settings["hotplug"])  # fmt: skip
    to.put("-nodefaults", role="machine")
    to.put("-boot", "", ("menu", True), ("strict", True), ("reboot-timeout", "1000"),
           ("splash", f"{CFG}/bootsplash.jpg"), role="boot")  # fmt: skip
    if not reading.flag("reboot", True):
        to.put("-no-reboot", by=reading.settings["reboot"], role="machine")
    _screen(to)
    if found.windows >= 6 and found.board != "aarch64":
        to.put("-global", "", ("kvm-pit.lost_tick_policy", "discard"),
               by=reading.settings.get("ostype"), role="machine")  # fmt: skip
    _cpu(to, target)
    memory = (reading.props("memory", "current") or {}).get("current", "512")
    to.put("-m", raw=memory, by=reading.settings.get("memory"), role="machine")
    if reading.flag("freeze"):
        to.put("-S", by=reading.settings["freeze"], role="machine")
    if layout := reading.text("keyboard"):
        to.put("-k", raw=layout, by=reading.settings["keyboard"], role="display")
    kind = hardware.video_kind(to)
    if re.fullmatch("qxl[234]", kind) and not found.windows:
        for key in ("ram_size", "vram_size"):
            size = (1 if key == "ram_size" else 0.5) * (128 << 20)
            to.put("-global", "", (f"qxl-vga.{key}", int(size)), by=reading.settings["vga"],
                   role="display")  # fmt: skip


def _screen(to: Emission) -> None:
    kind, by = hardware.video_kind(to), to.reading.settings.get("vga")
    if kind == "virtio-gl":
        to.put("-display", "egl-headless", ("gl", "core"), by=by, role="display")
    if kind == "none" or kind.startswith("serial"):
        if kind == "none":
            to.put("-vga", raw="none", by=by, role="display")
        to.put("-nographic", by=by, role="display")
    else:
        to.put("-vnc", f"unix:{SOCKETS}/{to.vmid}.vnc", ("password", True), role="display")


def _has_flash(to: Emission) -> bool:
    """Tell whether the firmware is UEFI, whose images PVE and the storages have."""
    return to.reading.text("bios") == "ovmf"


def _cpu(to: Emission, target: str) -> None:
    reading = to.reading
    parts = reading.props("cpu", "cputype") or {}
    arm = target == "aarch64"
    default = ("host" if arm else "kvm64") if to.kvm else ("max" if arm else "qemu64")
    model = parts.get("cputype", default)
    flags = [flag for flag in parts.get("flags", "").split(";") if flag]
    if to.kvm and not arm:
        to.gap("cpu", "further flags of -cpu are PVE's choice by guest and model",
               reading.settings.get("cpu"))  # fmt: skip
    to.put("-cpu", raw=",".join([model, *flags]), by=reading.settings.get("cpu"), role="machine")


def _sleep_states(to: Emission) -> None:
    found = to.pins
    if found.board == "aarch64" or not found.since(9, 2, 1):
        return
    device = "ICH9-LPC" if found.board == "q35" else "PIIX4_PM"
    for state, wanted in (("s3", found.s3), ("s4", found.s4)):
        if not wanted:
            to.put("-global", "", (f"{device}.disable_{state}", "1"),
                   by=to.reading.settings.get("machine"), role="machine")  # fmt: skip


# ------------------------------------------------------------------ serial and parallel ports


def _serial(to: Emission) -> Mapping[str, str]:
    """Append the ports of PVE's own lines; without an index, so that QEMU counts."""
    labels: dict[str, str] = {}
    for number in to.reading.numbered("serial"):
        name = f"serial{number}"
        by, value = to.reading.settings[name], to.reading.text(name)
        if value != "socket" and not _DEVICE.match(value):
            where = SourceRef(to.reading.file, by.line)
            text = f"PVE refuses to start the VM: {name}: no such serial device"
            to.gaps.append(Gap("refused", text, where, "pve-backend-unknown", name))
            continue
        labels[name] = name
        if value == "socket":
            to.socket(name, f"{SOCKETS}/{to.vmid}.{name}", by)
        else:
            # PVE looks whether it is a character device, and refuses the start if not.
            to.put("-chardev", "serial", ("id", name), ("path", value), by=by, role="chardev")
        if to.board == "aarch64" and number == 0 and value == "socket":
            to.put("-serial", raw=f"chardev:{name}", by=by, role="serial")
        else:
            to.put("-device", "isa-serial", ("chardev", name), by=by, role="serial")
    return labels


def _parallel(to: Emission) -> None:
    for number in to.reading.numbered("parallel"):
        name = f"parallel{number}"
        by, path = to.reading.settings[name], to.reading.text(name)
        kind = "tty" if path.startswith("/dev/usb/lp") else "parallel"
        to.put("-chardev", kind, ("id", name), ("path", path), by=by, role="host")
        to.put("-device", "isa-parallel", ("chardev", name), by=by, role="host")


# ------------------------------------------------------------------ behind the devices


def _clock(to: Emission) -> None:
    reading, found = to.reading, to.pins
    windows = bool(found.windows)
    parts: list[tuple[str, Scalar]] = []
    if reading.flag("tdf", windows and reading.flag("acpi", True)):
        parts.append(("driftfix", "slew"))
    start = reading.text("startdate", "now")
    if start != "now":
        parts.append(("base", start))
    elif reading.flag("localtime", windows):
        parts.append(("base", "localtime"))
    if parts:
        to.put("-rtc", "", *parts, by=reading.settings.get("ostype"), role="machine")


def _machine(to: Emission, kvm: bool) -> None:
    reading, found = to.reading, to.pins
    arm = found.board == "aarch64"
    parts: list[tuple[str, Scalar]] = []
    if _has_flash(to) and found.since(10, 0):
        parts += [("pflash0", "pflash0"), ("pflash1", "drive-efidisk0")]
    if not reading.flag("acpi", True):
        parts.append(("acpi", "off"))
    if not arm and (found.windows >= 6 or (found.linux and found.since(10, 1))):
        parts.append(("hpet", "off"))
    if reading.numbered("virtiofs"):
        parts.append(("memory-backend", "virtiofs-mem"))
    if not kvm:
        parts.append(("accel", "tcg"))
    kind = hardware.video_kind(to)
    silent = kind == "none" or kind.startswith("serial")
    if silent and not arm and reading.text("bios", "seabios") == "seabios":
        parts.append(("smm", "off"))
    parts.append(("type", found.type))
    if found.viommu == "intel":
        parts.append(("kernel-irqchip", "split"))
    if not reading.flag("allow-ksm", True):
        parts.append(("mem-merge", "off"))
    where = reading.settings.get("machine")
    to.put("-machine", "", *without_empty(*parts), by=where, role="machine")


def _args(to: Emission) -> list[LoweredOption]:
    """Return the user's own options, each with its span of the line."""
    setting = to.reading.settings.get("args")
    if setting is None:
        return []
    try:
        words = _split(setting.value)
    except ConfigError as error:
        place = f"{to.reading.file}:{setting.line}"
        raise ConfigError(error.message, hint=error.hint, where=place) from None
    if not words:
        return []
    # Few have any, and those who read a command line are many modules.
    from vmserial.sources.command.document import CommandLine

    line = CommandLine.from_words(
        ["qemu-system", *(word.text for word in words)], f"{to.reading.file}:{setting.line}"
    )
    found = []
    for option in line.options:
        first, last = words[option.first - 1], words[option.last - 1]
        argument = (last.start, last.end) if option.last > option.first else None
        span = ArgsSpan(setting, first.start, last.end, argument)
        origin = Origin(to.origin(setting).where, "user", span)
        # A word without a dash is a disk: it stands for itself.
        flag = option.flag or first.text
        value = option.value if option.flag else None
        found.append(LoweredOption(Option(flag, raw=value, role="args"), origin))
    return found


@lru_cache(maxsize=64)
def _split(text: str) -> tuple[Word, ...]:
    return tuple(spans(text))
