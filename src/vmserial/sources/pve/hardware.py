"""The devices of a PVE VM that are no drives, cards or serial ports, as PVE starts them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from vmserial.limits import PCI_FUNCTIONS, PVE_KEYS, XHCI_PORTS
from vmserial.sources.pve.document import Setting
from vmserial.sources.pve.emission import Emission, without_empty
from vmserial.sources.pve.keys import VGA_KINDS
from vmserial.sources.pve.map import CFG, SOCKETS, WIN7_PCIE, at, bridge
from vmserial.sources.pve.reading import on

_VIDEO: Mapping[str, str] = {
    "std": "VGA", "cirrus": "cirrus-vga", "vmware": "vmware-svga", "qxl": "qxl-vga",
    "virtio": "virtio-vga", "virtio-gl": "virtio-vga-gl",
}  # fmt: skip
_SOUND = ("AC97", "intel-hda", "ich9-intel-hda")
_USB_HOST = re.compile(r"(0x)?([0-9A-Fa-f]{4}):(0x)?([0-9A-Fa-f]{4})\Z")
_USB_PATH = re.compile(r"([0-9]+)-([0-9]+(?:\.[0-9]+)*)\Z")
_USB_OLD = 5
"""USB devices that an older machine has: usb0 to usb4."""


def video_kind(to: Emission) -> str:
    """Return PVE's kind of graphics card: ``serialN`` and ``none`` have no card."""
    reading = to.reading
    if any(on(reading.props(f"hostpci{n}", "host"), "x-vga") for n in reading.numbered("hostpci")):
        return "none"
    if reading.flag("template"):
        return "none"
    kind = (reading.props("vga", "type") or {}).get("type", "")
    if kind in VGA_KINDS:
        return kind
    if kind:
        reading.reject("vga")
    if to.board == "aarch64":
        return "virtio"
    return "cirrus" if to.pins.windows == 5 else "std"


def bridges(to: Emission) -> None:
    """Append the IOMMU and the bridges that the map needs."""
    reading, board = to.reading, to.board
    machine = reading.settings.get("machine")
    if to.pins.viommu == "intel":
        to.put(
            "-device",
            "intel-iommu",
            ("intremap", True),
            ("caching-mode", True),
            by=machine,
            role="host",
        )
    single = reading.text("scsihw", "lsi") == "virtio-scsi-single"
    lsi = reading.text("scsihw", "lsi") in {"lsi", "lsi53c810"}
    many = lsi and any(number >= 14 for number in reading.numbered("scsi"))
    if board == "q35":
        to.readconfig(f"{CFG}/pve-q35{'-4.0' if to.pins.since(4, 0) else ''}.cfg")
    else:
        igd = board == "i440fx" and any(
            on(reading.props(f"hostpci{n}", "host"), "legacy-igd")
            for n in reading.numbered("hostpci")
        )
        to.put("-device", "pci-bridge", *bridge(board, 1), role="controller")
        to.put("-device", "pci-bridge", *bridge(board, 2, "pci.2-igd" if igd else ""),
               role="controller")  # fmt: skip
        if single and reading.numbered("scsi"):
            to.put("-device", "pci-bridge", *bridge(board, 3), role="controller")
    if many:
        to.put("-device", "pci-bridge", *bridge(board, 4), role="controller")
    if (generation := reading.text("vmgenid")) and generation != "0":
        to.put("-device", "vmgenid", ("guid", generation), by=reading.settings["vmgenid"])


def usb_controllers(to: Emission) -> None:
    """Append the USB controllers, those of the board first, the tablet and the keyboard."""
    reading, board, pins = to.reading, to.board, to.pins
    if board == "i440fx":
        to.put("-device", "piix3-usb-uhci", ("id", "uhci"), ("bus", "pci.0"),
               ("addr", "0x1.0x2"), role="controller")  # fmt: skip
    elif board == "aarch64":
        to.put("-device", "usb-ehci", ("id", "ehci"), ("bus", "pcie.0"), ("addr", "0x1"),
               role="controller")  # fmt: skip
    devices = {n: reading.props(f"usb{n}", "host") or {} for n in reading.numbered("usb")}
    first = reading.settings.get(f"usb{min(devices)}") if devices else None
    if devices and pins.modern_usb:
        to.device("qemu-xhci", ("p2", XHCI_PORTS), ("p3", XHCI_PORTS), ("id", "xhci"),
                  place="xhci", by=first, role="controller")  # fmt: skip
    else:
        old = {n: on(parts, "usb3") for n, parts in devices.items() if n < _USB_OLD}
        if board == "i440fx" and not all(old.values()):
            to.readconfig(f"{CFG}/pve-usb.cfg")
        if any(old.values()):
            to.device("nec-usb-xhci", ("id", "xhci"), place="xhci", by=first, role="controller")
    kind = video_kind(to)
    if reading.flag("tablet", not kind.startswith(("qxl", "serial"))):
        by = reading.settings.get("tablet")
        bus = "uhci.0" if board == "i440fx" else "ehci.0"
        to.put("-device", "usb-tablet", ("id", "tablet"), ("bus", bus), ("port", "1"), by=by,
               role="input")  # fmt: skip
        if board == "aarch64":
            to.put("-device", "usb-kbd", ("id", "keyboard"), ("bus", bus), ("port", "2"), by=by,
                   role="input")  # fmt: skip


def host_pci(to: Emission) -> None:
    """Append the host's PCI devices, with the root port of each that needs one."""
    for number in to.reading.numbered("hostpci"):
        parts = to.reading.props(f"hostpci{number}", "host")
        if parts is None or number >= PVE_KEYS["hostpci"]:
            continue
        by, name = to.reading.settings[f"hostpci{number}"], f"hostpci{number}"
        hosts = [each for each in parts.get("host", "").split(";") if each]
        if not hosts:
            to.gap("hostpci", f"{name}: which devices a mapping names is known on the host", by)
            hosts = [parts.get("mapping", "")]
        whole = any(re.search(r"\.[0-7]\Z", host) is None for host in hosts)
        if whole:
            to.gap("hostpci", f"{name}: how many functions the device has is known on the host", by)
        several = whole or len(hosts) > 1
        for function, host in enumerate(hosts):
            bus, slot = _pci_place(to, number, parts, by, function)
            params = [("host", host), ("id", f"{name}.{function}" if several else name)]
            addr = f"{slot}.0x{function:x}" if several else slot
            flags = [("multifunction", True)] if several and not function else []
            video = [("x-vga", True)] if on(parts, "x-vga") and not function else []
            to.put("-device", "vfio-pci", *params, ("bus", bus), ("addr", addr), *video, *flags,
                   by=by, role="host")  # fmt: skip


def _pci_place(
    to: Emission, number: int, parts: dict[str, str], by: Setting, function: int
) -> tuple[str, str]:
    """Return the bus and slot of a host's device; its root port is appended."""
    if on(parts, "pcie") and to.board == "q35":
        if to.reading.text("ostype") == "win7":
            return "pcie.0", f"0x{WIN7_PCIE[number]:x}"
        port = f"ich9-pcie-port-{number + 1}"
        if number >= 4 and not function:
            slot, function_of = divmod(number - 4, PCI_FUNCTIONS)
            to.put(
                "-device", "pcie-root-port", ("id", port), ("bus", "pcie.0"),
                ("addr", f"{0x10 + slot:x}.{function_of}"), ("multifunction", True),
                ("port", number + 1), ("chassis", number + 1), by=by, role="controller",
            )  # fmt: skip
        return port, "0x0"
    igd = on(parts, "legacy-igd") and to.board == "i440fx"
    place = dict(at(to.board, "legacy-igd" if igd else f"hostpci{number}"))
    return str(place["bus"]), str(place["addr"])


def usb_devices(to: Emission) -> None:
    """Append the host's USB devices and the redirected ones."""
    reading, modern = to.reading, to.pins.modern_usb
    for number in reading.numbered("usb"):
        parts = reading.props(f"usb{number}", "host")
        if parts is None or (not modern and number >= _USB_OLD):
            continue
        by = reading.settings[f"usb{number}"]
        xhci = modern or on(parts, "usb3")
        place = [("bus", "xhci.0")] if xhci else []
        if modern:
            place.append(("port", str(number + 1)))
        host = parts.get("host", "")
        if host == "spice":
            if not modern and not (xhci and to.pins.since(4, 0)):
                place = [("bus", "ehci.0")]
            chardev = f"usbredirchardev{number}"
            to.put("-chardev", "spicevmc", ("id", chardev), ("name", "usbredir"), by=by,
                   role="host")  # fmt: skip
            to.put("-device", "usb-redir", ("chardev", chardev), ("id", f"usbredirdev{number}"),
                   *place, by=by, role="host")  # fmt: skip
            continue
        named: list[tuple[str, str]] = []
        if match := _USB_HOST.match(host):
            named = [("vendorid", f"0x{match[2]}"), ("productid", f"0x{match[4]}")]
        elif match := _USB_PATH.match(host):
            named = [("hostbus", match[1]), ("hostport", match[2])]
        else:
            to.gap("usb", f"usb{number}: which device a mapping names is known on the host", by)
        to.put("-device", "usb-host", *place, *named, ("id", f"usb{number}"), by=by, role="host")


def sound_and_tpm(to: Emission) -> None:
    """Append the sound card and the TPM."""
    reading = to.reading
    parts = reading.props("audio0", "device")
    kind = (parts or {}).get("device", "")
    if kind in _SOUND and to.pins.since(4, 0):
        by = reading.settings["audio0"]
        back = (parts or {}).get("driver", "spice")
        end = ("audiodev", f"{back}-backend0")
        if kind == "AC97":
            to.device(kind, ("id", "audiodev0"), end, place="audio0", by=by, role="host")
        else:
            to.device(kind, ("id", "audiodev0"), place="audio0", by=by, role="host")
            for cad, codec in enumerate(("hda-micro", "hda-duplex")):
                to.put("-device", codec, ("id", f"audiodev0-codec{cad}"), ("bus", "audiodev0.0"),
                       ("cad", cad), end, by=by, role="host")  # fmt: skip
        to.put("-audiodev", back, ("id", f"{back}-backend0"), by=by, role="host")
    if (tpm := reading.settings.get("tpmstate0")) is not None:
        # PVE's swtpm listens there: QEMU is the client.
        to.put("-chardev", "socket", ("id", "tpmchar"), ("path", f"{SOCKETS}/{to.vmid}.swtpm"),
               by=tpm, role="host")  # fmt: skip
        to.put("-tpmdev", "emulator", ("id", "tpmdev"), ("chardev", "tpmchar"), by=tpm, role="host")
        to.put("-device", "tpm-tis", ("tpmdev", "tpmdev"), by=tpm, role="host")


def video(to: Emission) -> None:
    """Append the graphics card."""
    kind, by = video_kind(to), to.reading.settings.get("vga")
    if kind == "none" or kind.startswith("serial"):
        return
    driver = _VIDEO.get("qxl" if kind.startswith("qxl") else kind, "VGA")
    if to.board == "aarch64" and kind.startswith("virtio"):
        driver = "virtio-gpu-gl" if kind == "virtio-gl" else "virtio-gpu"
    to.device(driver, ("id", "vga"), place="vga", by=by, role="display")


def agent(to: Emission) -> None:
    """Append the guest agent's port."""
    parts = to.reading.props("agent", "enabled")
    if not on(parts, "enabled"):
        return
    kind = (parts or {}).get("type", "virtio")
    if kind not in {"virtio", "isa"}:
        to.reading.reject("agent")
        return
    by = to.reading.settings["agent"]
    to.put("-chardev", "socket", ("path", f"{SOCKETS}/{to.vmid}.qga"), ("server", True),
           ("wait", False), ("id", "qga0"), by=by, role="agent")  # fmt: skip
    if kind == "isa":
        to.put("-device", "isa-serial", ("chardev", "qga0"), by=by, role="agent")
        return
    to.device("virtio-serial", ("id", "qga0"), place="qga0", by=by, role="agent")
    to.put("-device", "virtserialport", ("chardev", "qga0"), ("name", "org.qemu.guest_agent.0"),
           by=by, role="agent")  # fmt: skip


def random_and_screens(to: Emission) -> None:
    """Append the random numbers and the further screens of a Windows guest."""
    reading = to.reading
    parts = reading.props("rng0", "source")
    if parts and parts.get("source"):
        by = reading.settings["rng0"]
        to.put("-object", "rng-random", ("filename", parts["source"]), ("id", "rng0"), by=by)
        limit = [("max-bytes", parts.get("max_bytes", "1024"))]
        period = [("period", parts.get("period", "1000"))]
        limits = [*limit, *period] if limit[0][1] != "0" else []
        to.device("virtio-rng-pci", ("rng", "rng0"), *limits, place="rng0", by=by)
    kind = video_kind(to)
    if re.fullmatch("qxl[234]", kind) and to.pins.windows:
        for number in range(1, int(kind[3])):
            to.device("qxl", ("id", f"vga{number}"), place=f"vga{number}",
                      by=reading.settings.get("vga"), role="display")  # fmt: skip


def spice(to: Emission) -> None:
    """Append the channel of the screen's agent, and SPICE itself."""
    reading, kind = to.reading, video_kind(to)
    by = reading.settings.get("vga")
    clipboard = (reading.props("vga", "type") or {}).get("clipboard") == "vnc"
    if not (clipboard or kind.startswith(("qxl", "virtio"))):
        return
    to.device("virtio-serial", ("id", "spice"), place="spice", by=by, role="display")
    if clipboard:
        to.put("-chardev", "qemu-vdagent", ("id", "vdagent"), ("name", "vdagent"),
               ("clipboard", True), by=by, role="chardev")  # fmt: skip
    else:
        to.put("-chardev", "spicevmc", ("id", "vdagent"), ("name", "vdagent"), by=by,
               role="chardev")  # fmt: skip
    to.put("-device", "virtserialport", ("chardev", "vdagent"), ("name", "com.redhat.spice.0"),
           by=by, role="display")  # fmt: skip
    if clipboard and not kind.startswith(("qxl", "virtio")):
        return
    more = reading.props("spice_enhancements", "foldersharing")
    if on(more, "foldersharing"):
        name = "org.spice-space.webdav.0"
        share = reading.settings["spice_enhancements"]
        to.put("-chardev", "spiceport", ("id", "foldershare"), ("name", name), by=share,
               role="chardev")  # fmt: skip
        to.put("-device", "virtserialport", ("chardev", "foldershare"), ("name", name), by=share,
               role="display")  # fmt: skip
    to.put("-spice", "", ("tls-port", "61000"), ("addr", "127.0.0.1"), ("tls-ciphers", "HIGH"),
           ("seamless-migration", True), by=by, automatic=("tls-port", "addr"))  # fmt: skip


def balloon_and_watchdog(to: Emission) -> None:
    """Append the balloon and the watchdog."""
    reading = to.reading
    if reading.text("balloon") != "0":
        report = (("free-page-reporting", True),) if to.pins.since(6, 2) else ()
        to.device("virtio-balloon-pci", ("id", "balloon0"), place="balloon0", after=report,
                  by=reading.settings.get("balloon"))  # fmt: skip
    parts = reading.props("watchdog", "model")
    if parts is not None:
        by = reading.settings["watchdog"]
        to.device(parts.get("model", "i6300esb"), place="watchdog", by=by, role="host")
        if action := parts.get("action"):
            to.put("-watchdog-action", raw=action, by=by, role="host")


def shared(to: Emission) -> None:
    """Append shared memory, the virtio IOMMU and shared directories, which have no places."""
    reading = to.reading
    parts = reading.props("ivshmem", "size")
    if parts is not None:
        by = reading.settings["ivshmem"]
        name = parts.get("name", str(to.vmid))
        to.device("ivshmem-plain", ("memdev", "ivshmem"), place="ivshmem", by=by, role="host")
        to.put("-object", "memory-backend-file", ("id", "ivshmem"), ("share", True),
               ("mem-path", f"/dev/shm/pve-shm-{name}"),
               ("size", f"{parts.get('size', '1')}M"), by=by, role="host")  # fmt: skip
    if to.pins.viommu == "virtio":
        to.put("-device", "virtio-iommu-pci", by=reading.settings["machine"], role="host")
    for number in reading.numbered("virtiofs"):
        parts = reading.props(f"virtiofs{number}", "dirid")
        if parts is None:
            continue
        by, name = reading.settings[f"virtiofs{number}"], f"virtiofs{number}"
        path = f"/run/qemu-server/virtiofsd/vm{to.vmid}-fs{number}"
        to.put("-chardev", "socket", ("id", name), ("path", path), by=by, role="host")
        tag = without_empty(("tag", parts.get("dirid", "")))
        to.put("-device", "vhost-user-fs-pci", ("chardev", name), *tag, by=by, role="host")
