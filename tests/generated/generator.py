# ruff: noqa: E501
"""Makes configurations and option lists from a seed: mostly plausible, often hostile."""

from __future__ import annotations

import random

HOSTILE = (
    ",id=evil", ",,", "=", ",server=on", "\t-monitor stdio", "' -monitor stdio '", '"', "\\", "$(id)",
    "`id`", ";id", "%2Cid%3Devil", "%0a", "%00", "\x7f", "é", "\u2028", "\x85", "\ufeff", "-device",
    ",readonly=off", ",path=/etc/shadow", "chardev:x", "[PENDING]", "#", "..", "/../..", "\r", "\x00",
    "x" * 300, "0x1d", "-1", "99999999999999999999", "nan", "on,id=x", "file.filename=/etc/passwd",
    "exec:id", "nbd:unix:/x", "json:{}", "fat:rw:/",
)  # fmt: skip

BACKENDS = (
    "socket", "socket=/run/s{n}", "pty", "null", "ringbuf=4096", "file=/tmp/f{n}", "pipe=/tmp/p",
    "tcp=127.0.0.1:40{n}", "udp=127.0.0.1:50{n},localport=1", "stdio", "vc=80x24", "/dev/ttyS{n}",
    "socket=/run/s{n},server=off,reconnect=3", "tcp=[::1]:4,tls-creds=t0", "telnet=:4{n}",
    "null,logfile=/tmp/l{n},logappend=on", "file=/tmp/a,,b", "socket=@x,abstract=on",
)  # fmt: skip

TYPES = ("auto", "usb", "pci", "pci-2x", "pci-4x", "virtio", "virtconsole", "isa", "uart", "ubs")

LINES = (
    "arch: aarch64", "arch: x86_64", "arch: riscv64", "machine: virt", "machine: q35",
    "machine: pc-i440fx-7.2+pve1", "machine: pc-q35-8.1,viommu=virtio", "machine: pc", "cpu: host",
    "cpu: x86-64-v2-AES", "cpu: cputype=kvm64,flags=+aes;-pcid", "sockets: 2", "cores: 4",
    "vcpus: 3", "memory: 2048", "memory: current=4096", "name: web-1", "smbios1: uuid=1-2-3",
    "smbios1: uuid=9b0cd49c-8f51-4d4b-9a2b-8e6b3c7a1f00,manufacturer=YWI=,base64=1",
    "vga: serial0", "vga: serial3", "vga: serial7", "vga: std,memory=32", "vga: virtio",
    "tablet: 0", "tablet: 1", "keyboard: 1", "agent: 1", "agent: 1,type=isa", "bios: ovmf",
    "bios: seabios", "efidisk0: /x/efi.raw,size=4M", "efidisk0: local:100/efi,pre-enrolled-keys=1",
    "scsi0: /x/a.qcow2,discard=on,ssd=1,iothread=1", "scsi0: local-lvm:vm-1-disk-0,size=8G",
    "virtio1: /x/b.raw,cache=writeback", "virtio15: /x/c.raw", "sata5: /x/d.raw",
    "ide2: none,media=cdrom", "cdrom: /x/i.iso,media=cdrom", "scsihw: virtio-scsi-single",
    "scsihw: lsi", "net0: virtio=AA:BB:CC:DD:EE:FF,bridge=vmbr0,firewall=1,queues=4",
    "net1: e1000", "net31: virtio,link_down=1,mtu=1400", "boot: order=scsi0;net0", "boot: cdn",
    "bootdisk: scsi0", "args: -device pci-serial,chardev=x -chardev null,id=x",
    "args: -cpu 'a b' -append \"x y\"", "args: '", "vmgenid: 5a-1", "rng0: source=/dev/urandom",
    "balloon: 0", "kvm: 0", "localtime: 1", "onboot: 1", "tags: a;b", "numa: 1", "hostpci0: 01:00",
    "usb0: host=1234:5678", "audio0: device=AC97", "unknownkey: 1", "description: a%0Ab",
    "delete: serial1", "snapstate: prepare", "parent: s1", "lock: backup", "", "# text", "#%2F",
    "[PENDING]", "[snap1]", "[special:cloudinit]", "[special:fleecing]", "[Bad Section]", "[pending]",
    "garbage", " indented: 1", "Serial0: socket", "serial0:socket", "serial0:", "hugepages: 1024",
)  # fmt: skip


def configuration(random_: random.Random) -> str:
    """Return the text of one PVE configuration."""
    lines: list[str] = []
    for _ in range(random_.randrange(1, 14)):
        roll = random_.random()
        if roll < 0.5:
            lines.append(random_.choice(LINES))
        elif roll < 0.72:
            lines.append(f"serial{port(random_)}: {backend(random_)}")
        elif roll < 0.92:
            directive = backend(random_)
            if random_.random() < 0.5:
                directive += f",type={random_.choice(TYPES)}"
            if random_.random() < 0.2:
                directive += ",hotplug=on"
            if random_.random() < 0.1:
                directive = f"type={random_.choice(TYPES)}"
            lines.append(f"#vmserial serial{port(random_)}: {directive}")
        else:
            lines.append(f"{random_.choice(LINES)}{random_.choice(HOSTILE)}")
    if random_.random() < 0.15:
        index = random_.randrange(len(lines))
        lines[index] = damaged(random_, lines[index])
    newline = "\r\n" if random_.random() < 0.03 else "\n"
    return newline.join(lines) + (newline if random_.random() < 0.9 else "")


def port(random_: random.Random) -> int:
    """Return a port's number: mostly small."""
    return random_.choice((0, 0, 1, 1, 2, 3, 4, 5, 9, 30, 999, 1000, 10**9))


def backend(random_: random.Random) -> str:
    """Return the text of a backend, now and then hostile."""
    text = random_.choice(BACKENDS).replace("{n}", str(random_.randrange(10)))
    if random_.random() < 0.2:
        text += random_.choice(HOSTILE)
    return text


def damaged(random_: random.Random, line: str) -> str:
    """Return ``line`` with a few characters changed at random."""
    letters = list(line or " ")
    for _ in range(random_.randrange(1, 4)):
        letters[random_.randrange(len(letters))] = chr(random_.choice((0, 9, 44, 61, 255, 0x20AC)))
    return "".join(letters)


def option_list(random_: random.Random) -> dict[str, object]:
    """Return the fields of an Overrides: options as a user would give them."""
    result: dict[str, object] = {"arch": random_.choice(("aarch64", "x86_64", "arm64", "arm", ""))}
    result["ports"] = random_.choice((0, 1, 2, 4, 10, 16, 33, 64, 260, 999, 1000, -1))
    if random_.random() < 0.5:
        result["kind"] = random_.choice(TYPES)
    if random_.random() < 0.3:
        result["console_kind"] = random_.choice(TYPES)
    if random_.random() < 0.6:
        result["backend"] = backend(random_)
    if random_.random() < 0.4:
        result["machine_type"] = random_.choice(("virt", "q35", "pc", "microvm", "virt-9.1", "x,y"))
    if random_.random() < 0.2:
        result["hotplug"] = True
    if random_.random() < 0.2:
        result["cpu"] = random_.choice(("max", "host", "a,b", "cortex-a57", "x=y"))
    if random_.random() < 0.2:
        result["memory_mib"] = random_.choice((0, 64, 512, -1, 10**9))
    return result
