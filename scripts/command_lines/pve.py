"""Command lines in the shape that Proxmox VE's `qm showcmd` prints, plain and pretty.

Made from facts about qemu-server: its options, their order and its way of quoting.
The article's own lines are the shapes of ``article-…``.
"""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Iterator

from corpus import Entry

RUN = "/var/run/qemu-server"
ISO = "file=/var/lib/vz/template/iso/debian.iso,if=none,id=drive-ide2,media=cdrom,aio=io_uring"
SERIALS = {
    "none": (),
    "one": ("socket",),
    "two": ("socket", "socket"),
    "four": ("socket",) * 4,
    "host": ("socket", "/dev/ttyS1", "/dev/serial/by-id/usb-FTDI_A-if00"),
    "gap": ("", "socket", "", "socket"),
}
ARGS = {
    "": "",
    "args-usb": "-device qemu-xhci,id=x,bus=pcie.0,addr=0x1d -chardev socket,id=serial4,"
    f"path={RUN}/142.serial4,server=on,wait=off -device usb-serial,bus=x.0,port=1,chardev=serial4",
    "args-port": f"-chardev socket,id=serial4,path={RUN}/142.serial4,server=on,wait=off",
    "args-quoted": "-fw_cfg 'name=opt/com.example,string=a b,,c' -smbios \"type=11,value=x y\"",
}


def showcmd(words: list[str], *, pretty: bool) -> str:
    """Print a command as `qm showcmd` does, with its breaks inside of quotes."""
    text = " ".join(f"'{word}'" if "=" in word and "'" not in word else shlex.quote(word)
                    for word in words)  # fmt: skip
    return text.replace(" -", " \\\n  -") if pretty else text


def _words(arch: str, machine: str, vmid: int, name: str, serials: tuple[str, ...],
           vga: str, agent: str, scsi: str) -> list[str]:  # fmt: skip
    arm = arch == "aarch64"
    root = "pcie.0" if arm or machine == "q35" else "pci.0"
    words = ["/usr/bin/kvm", "-id", str(vmid), "-name", f"{name},debug-threads=on", "-no-shutdown"]
    for number, peer in enumerate(("qmp", "qmp-event")):
        where = (
            f"path={RUN}/{vmid}.qmp,server=on,wait=off"
            if not number
            else ("path=/var/run/qmeventd.sock,reconnect-ms=5000")
        )
        words += ["-chardev", f"socket,id={peer},{where}", "-mon", f"chardev={peer},mode=control"]
    words += ["-pidfile", f"{RUN}/{vmid}.pid", "-daemonize"]
    words += ["-smbios", "type=1,uuid=9b0cd49c-8f51-4d4b-9a2b-8e6b3c7a1f00"]
    if arm:
        words += ["-drive", "if=pflash,unit=0,format=raw,readonly=on,"
                  "file=/usr/share/pve-edk2-firmware//AAVMF_CODE.fd",
                  "-drive", "if=pflash,unit=1,id=drive-efidisk0,format=raw,size=67108864,"
                  f"file=/dev/pve/vm-{vmid}-disk-0"]  # fmt: skip
    words += ["-smp", "4,sockets=1,cores=4,maxcpus=4", "-nodefaults"]
    words += ["-boot", "menu=on,strict=on,reboot-timeout=1000,"
              "splash=/usr/share/qemu-server/bootsplash.jpg"]  # fmt: skip
    if vga.startswith("serial"):
        words += ["-nographic"]
    else:
        words += ["-vnc", f"unix:{RUN}/{vmid}.vnc,password=on"]
    words += ["-cpu", "host" if arm else "qemu64,+aes,enforce,+kvm_pv_eoi,+kvm_pv_unhalt,+pni"]
    words += ["-m", "2048"]
    if machine == "q35":
        words += ["-readconfig", "/usr/share/qemu-server/pve-q35-4.0.cfg"]
    else:
        for number, slot in ((1, "0x1e"), (2, "0x1f")):
            words += ["-device", f"pci-bridge,id=pci.{number},chassis_nr={number},bus={root},"
                      f"addr={slot}"]  # fmt: skip
    words += ["-device", "vmgenid,guid=54d1c06c-8f5b-440f-b5b2-6eab1380e13d"]
    if arm:
        words += ["-device", "usb-ehci,id=ehci,bus=pcie.0,addr=0x1"]
        words += ["-device", "usb-tablet,id=tablet,bus=ehci.0,port=1",
                  "-device", "usb-kbd,id=keyboard,bus=ehci.0,port=2"]  # fmt: skip
    elif machine == "pc":
        words += ["-device", "piix3-usb-uhci,id=uhci,bus=pci.0,addr=0x1.0x2",
                  "-device", "usb-tablet,id=tablet,bus=uhci.0,port=1"]  # fmt: skip
    for number, value in enumerate(serials):
        chardev = f"serial{number}"
        if value == "socket":
            words += ["-chardev", f"socket,id={chardev},path={RUN}/{vmid}.{chardev},"
                      "server=on,wait=off"]  # fmt: skip
        elif value:
            words += ["-chardev", f"serial,id={chardev},path={value}"]
        if value and arm and number == 0:
            words += ["-serial", f"chardev:{chardev}"]
        elif value:
            words += ["-device", f"isa-serial,chardev={chardev}"]
    if not vga.startswith("serial"):
        device = "virtio-gpu" if arm else "VGA"
        words += ["-device", f"{device},id=vga,bus={root},addr={'0x1' if machine == 'q35' else 2}"]
    if agent:
        words += ["-chardev", f"socket,path={RUN}/{vmid}.qga,server=on,wait=off,id=qga0"]
        words += ["-device", "isa-serial,chardev=qga0"] if agent == "isa" else [
            "-device", f"virtio-serial,id=qga0,bus={root},addr=0x8",
            "-device", "virtserialport,chardev=qga0,name=org.qemu.guest_agent.0"]  # fmt: skip
    words += ["-device", f"virtio-balloon-pci,id=balloon0,bus={root},addr=0x3,"
              "free-page-reporting=on", "-iscsi",
              "initiator-name=iqn.1993-08.org.debian:01:aabbccddeeff", "-drive", ISO]  # fmt: skip
    words += ["-device", f"{scsi},id=scsihw0,bus={root},addr=0x5"]
    words += ["-drive", f"file=/dev/pve/vm-{vmid}-disk-1,if=none,id=drive-scsi0,format=raw,"
              "cache=none,aio=io_uring,detect-zeroes=on"]  # fmt: skip
    words += ["-device", "scsi-hd,bus=scsihw0.0,channel=0,scsi-id=0,lun=0,drive=drive-scsi0,"
              "id=scsi0,bootindex=100"]  # fmt: skip
    words += ["-netdev", f"type=tap,id=net0,ifname=tap{vmid}i0,script=/var/lib/qemu-server/"
              "pve-bridge,downscript=/var/lib/qemu-server/pve-bridgedown,vhost=on"]  # fmt: skip
    words += ["-device", f"virtio-net-pci,mac=BC:24:11:00:00:01,netdev=net0,bus={root},addr=0x12,"
              "id=net0,rx_queue_size=1024,tx_queue_size=256,bootindex=102"]  # fmt: skip
    return [*words, "-machine", f"type={'virt' if arm else machine}+pve0"]


def entries() -> Iterator[Entry]:
    """Yield VMs on every machine type: each set of ports, and by turns the rest."""
    names = itertools.cycle(("web", "Copy-of-VM-web", "数据库", "it's"))
    screens = itertools.cycle(("std", "serial0", "virtio"))
    agents = itertools.cycle(("", "virtio", "isa"))
    more = itertools.cycle(ARGS.items())
    controllers = itertools.cycle(("lsi", "virtio-scsi-pci", "virtio-scsi-single"))
    machines = (("aarch64", "virt"), ("x86_64", "pc"), ("x86_64", "q35"))
    for (arch, machine), (kind, serials) in itertools.product(machines, SERIALS.items()):
        label, extra = next(more)
        words = _words(arch, machine, 142, next(names), serials, next(screens), next(agents),
                       next(controllers)) + shlex.split(extra)  # fmt: skip
        stem = "-".join(filter(None, (machine, kind, label)))
        yield Entry(f"{stem}-pretty", showcmd(words, pretty=True))
        yield Entry(f"{stem}-plain", showcmd(words, pretty=False))
        if kind == "four":
            yield Entry(f"{stem}-words", words=tuple(words))
    yield from _article()


def _article() -> Iterator[Entry]:
    """The article's broken start, and its three ways out with four and with ten ports."""
    head = ["/usr/bin/kvm", "-id", "142", "-M", "virt", "-cpu", "host", "-nodefaults"]
    first = [
        "-chardev", f"socket,id=serial0,path={RUN}/142.serial0,server=on,wait=off",
        "-serial", "chardev:serial0",
    ]  # fmt: skip
    buses = {
        "usb": ["-device", "qemu-xhci,id=xhci,p2=15,p3=15"],
        "virtio": ["-device", "virtio-serial,id=virtioserial,bus=pcie.0,addr=0x2"],
    }
    shapes = {
        "broken": "isa-serial,chardev=serial{0}",
        "usb": "usb-serial,id=usbserial{0},chardev=serial{0},always-plugged=true",
        "pci": "pci-serial,id=pciserial{0},chardev=serial{0},bus=pcie.0,addr=0x{1}",
        "virtio": "virtserialport,bus=virtioserial.0,chardev=serial{0},"
        "id=virtserialport.{0},name=virtserialport.{0}",
    }
    for (way, shape), ports in itertools.product(shapes.items(), (4, 10)):
        words = [*head, *buses.get(way, ()), *first]
        for number in range(1, ports):
            words += ["-chardev", f"pty,id=serial{number}"]
            words += ["-device", shape.format(number, number + 1)]
        yield Entry(f"article-{way}-{ports}", showcmd(words, pretty=True))
