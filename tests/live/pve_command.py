"""The command line that PVE makes of a configuration, as far as serial ports are concerned.

Written from facts about qemu-server 9.2 (its options, their order, its map of PCI
addresses), apart from the product, whose reading of a configuration it must not
share.  What needs PVE's own QEMU (``-id``, ``+pve0``), its files or a network is
left out or has a plain counterpart, so that a stock QEMU starts it.
"""

from __future__ import annotations

import re
import shlex


def settings(text: str) -> dict[str, str]:
    """Return the main section's settings; of several the last."""
    found = {}
    for line in text.split("\n"):
        if line.startswith("["):
            break
        match = re.match(r"([a-z][a-z_-]*\d*):\s*(.+?)\s*$", line)
        if match:
            found[match[1]] = match[2]
    return found


def command(text: str, vmid: int, *, arch: str = "", with_id: bool = False) -> list[str]:
    """Return PVE's command line.

    Args:
        text: of the configuration.
        vmid: the VM's number.
        arch: the host's.
        with_id: with PVE's own options, which a stock QEMU refuses.

    Raises:
        ValueError: PVE does not get as far as a command ("no such serial device").
    """
    conf = settings(text)
    arch = conf.get("arch", arch or "x86_64")
    arm = arch == "aarch64"
    machine = "virt" if arm else "q35" if conf.get("machine", "").startswith("q35") else "pc"
    root = "pcie.0" if arm else "pci.0"
    run = "/var/run/qemu-server"
    words = [f"qemu-system-{arch}", *(["-id", str(vmid)] if with_id else [])]
    words += ["-name", f"{conf.get('name', f'vm{vmid}')},debug-threads=on", "-no-shutdown"]
    words += ["-chardev", f"socket,id=qmp,path={run}/{vmid}.qmp,server=on,wait=off"]
    words += ["-mon", "chardev=qmp,mode=control", "-pidfile", f"{run}/{vmid}.pid", "-daemonize"]
    words += ["-smp", "1,sockets=1,cores=1,maxcpus=1", "-nodefaults"]
    screen = conf.get("vga", "virtio" if arm else "std").split(",")[0]
    serial_screen = screen.startswith("serial")
    words += ["-nographic"] if serial_screen else ["-vnc", f"unix:{run}/{vmid}.vnc,password=on"]
    words += ["-cpu", "cortex-a57" if arm else "qemu64", "-m", conf.get("memory", "512")]
    if machine == "q35":
        words += _q35()
    else:
        for number, slot in ((1, "0x1e"), (2, "0x1f")):
            words += ["-device", f"pci-bridge,id=pci.{number},chassis_nr={number},bus={root},"
                                 f"addr={slot}"]  # fmt: skip
    words += _input(machine, tablet=conf.get("tablet", "0" if serial_screen else "1") == "1")
    if not serial_screen and screen != "none":
        device = "virtio-gpu-pci" if arm else "VGA"
        place = "bus=pcie.0,addr=0x1" if machine == "q35" else f"bus={root},addr=0x2"
        words += ["-device", f"{device},id=vga,{place}"]
    words += _serial(conf, vmid, arm)
    words += _agent(conf, vmid, root)
    if "rng0" in conf:
        words += ["-object", "rng-random,filename=/dev/urandom,id=rng0"]
        words += ["-device", "virtio-rng-pci,rng=rng0,max-bytes=1024,period=1000,bus=pci.1,"
                             "addr=0x1d"]  # fmt: skip
    words += ["-device", f"virtio-balloon-pci,id=balloon0,bus={root},addr=0x3"]
    words += ["-device", f"virtio-scsi-pci,id=scsihw0,bus={root},addr=0x5"]
    if "net0" in conf:
        words += ["-netdev", "user,id=net0", "-device",
                  f"virtio-net-pci,netdev=net0,bus={root},addr=0x12,id=net0"]  # fmt: skip
    words += ["-machine", f"type={machine}{'+pve0' if with_id else ''}"]
    return [*words, *shlex.split(conf.get("args", ""))]


def _q35() -> list[str]:
    """What PVE's -readconfig file for q35 makes: USB at 0x1a and 0x1d, root ports, PCI bridges."""
    devices = []
    for hub, slot, first in (("ehci", "1d", 1), ("ehci-2", "1a", 4)):
        driver = "ich9-usb-ehci1" if first == 1 else "ich9-usb-ehci2"
        devices.append(f"{driver},id={hub},multifunction=on,bus=pcie.0,addr={slot}.7")
        devices += [
            f"ich9-usb-uhci{first + n},id=uhci-{first + n},multifunction=on,bus=pcie.0,"
            f"addr={slot}.{n},masterbus={hub}.0,firstport={2 * n}"
            for n in range(3)
        ]
    devices += [
        f"pcie-root-port,id=ich9-pcie-port-{n + 1},multifunction=on,bus=pcie.0,addr=1c.{n},"
        f"port={n + 1},chassis={n + 1}"
        for n in range(4)
    ]
    devices += [
        "ich9-intel-hda,id=audio0,bus=pcie.0,addr=1b.0",
        "i82801b11-bridge,id=pcidmi,bus=pcie.0,addr=1e.0",
    ]
    devices += [
        f"pci-bridge,id=pci.{number},bus=pcidmi,addr={number + 1}.0,chassis_nr={number + 1}"
        for number in range(4)
    ]
    return [word for device in devices for word in ("-device", device)]


def _input(machine: str, *, tablet: bool) -> list[str]:
    if machine == "virt":
        devices = ["usb-ehci,id=ehci,bus=pcie.0,addr=0x1"]
        devices += ["usb-tablet,id=tablet,bus=ehci.0,port=1"] * tablet
        devices += ["usb-kbd,id=keyboard,bus=ehci.0,port=2"] * tablet
    elif machine == "q35":
        devices = ["usb-tablet,id=tablet,bus=ehci.0,port=1"] * tablet
    else:
        devices = ["piix3-usb-uhci,id=uhci,bus=pci.0,addr=0x1.0x2"]
        devices += ["usb-tablet,id=tablet,bus=uhci.0,port=1"] * tablet
    return [word for device in devices for word in ("-device", device)]


def _serial(conf: dict[str, str], vmid: int, arm: bool) -> list[str]:
    words = []
    for number in range(4):
        name = f"serial{number}"
        value = conf.get(name)
        if value is None:
            continue
        if value == "socket":
            path = f"/var/run/qemu-server/{vmid}.{name}"
            words += ["-chardev", f"socket,id={name},path={path},server=on,wait=off"]
            if arm and number == 0:
                words += ["-serial", f"chardev:{name}"]
                continue
        elif value.startswith("/dev/"):
            words += ["-chardev", f"serial,id={name},path={value}"]
        else:
            raise ValueError("no such serial device")
        words += ["-device", f"isa-serial,chardev={name}"]
    return words


def _agent(conf: dict[str, str], vmid: int, root: str) -> list[str]:
    agent = conf.get("agent", "0")
    if not re.search(r"(?:\A|,)(?:enabled=)?1(?:,|\Z)", agent):
        return []
    words = ["-chardev",
             f"socket,path=/var/run/qemu-server/{vmid}.qga,server=on,wait=off,id=qga0"]  # fmt: skip
    if "type=isa" in agent:
        return [*words, "-device", "isa-serial,chardev=qga0"]
    words += ["-device", f"virtio-serial,id=qga0,bus={root},addr=0x8"]
    return [*words, "-device", "virtserialport,chardev=qga0,name=org.qemu.guest_agent.0"]
