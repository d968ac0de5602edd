"""A PVE cluster of twenty VMs as people have them: both architectures, every shape of serial port.

The text of each is what PVE itself writes (sorted keys, the description in front,
snapshots behind), or what people edit into it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Vm:
    """One VM of the tree.

    Attributes:
        vmid: its number.
        text: of its configuration.
        ports: numbers of all ports that it is to have.
        starts: PVE starts it before any repair.
        before: ids of the findings that it has.
    """

    vmid: int
    text: str
    ports: tuple[int, ...]
    starts: bool
    before: frozenset[str]

    @property
    def arch(self) -> str:
        """Of the VM."""
        return "x86_64" if self.vmid >= 200 else "aarch64"


_ARM = "arch: aarch64\nbios: ovmf\n"
_SNAPSHOTS = """
[PENDING]
memory: 2048

[special:cloudinit]
ciuser: root

[before-upgrade]
#taken by hand
arch: aarch64
serial0: socket
serial1: socket
snaptime: 1700000000
"""


def _vm(
    vmid: int, text: str, ports: tuple[int, ...] | int, before: str = "", starts: bool = False
) -> Vm:
    numbers = ports if isinstance(ports, tuple) else tuple(range(ports))
    return Vm(vmid, text, numbers, starts, frozenset(before.split()))


ISA, WANTED = "pve-isa-on-aarch64", "pve-directive-only"

VMS = (
    _vm(101, "#Kylin V10%3A two ports, as in the article\n" + _ARM
        + "boot: order=scsi0;net0\ncores: 2\ncpu: host\nmachine: virt\nmemory: 1024\nmeta: "
        "creation-qemu=9.2.0,ctime=1720000000\nname: kylin-v10\nnet0: virtio=BC:24:11:00:01:01,"
        "bridge=vmbr0,firewall=1\nnuma: 0\nostype: l26\nscsihw: virtio-scsi-pci\nserial0: socket\n"
        "serial1: socket\nsmbios1: uuid=11111111-2222-3333-4444-000000000101\nsockets: 1\n",
        2, ISA),
    _vm(102, "#Console server%0A50%25 of the racks\n" + _ARM + "memory: 1024\nname: consoles\n"
        "serial0: socket\nserial1: socket\nserial2: socket\nserial3: socket\nvga: serial0\n",
        4, ISA),
    _vm(103, _ARM + "args: -rtc base=utc -global 'virtio-rng-pci.max-bytes=1024'\nmemory: 1024\n"
        "name: modem\nserial0: socket\nserial1: /dev/ttyS1\n", 2, ISA),
    _vm(104, _ARM + "memory: 1024\nname: passthrough\nserial0: /dev/ttyS0\n", 1, ISA),
    _vm(105, "agent: 1,type=isa,fstrim_cloned_disks=1\n" + _ARM + "memory: 1024\nname: agent\n"
        "serial0: socket\n", 1, "pve-agent-isa-on-aarch64"),
    _vm(106, "#Ten ports\n" + "".join(f"#vmserial serial{n}%3A socket\n" for n in range(1, 10))
        + _ARM + "memory: 1024\nname: ten\nserial0: socket\n", 10, WANTED, starts=True),
    _vm(107, _ARM + "memory: 1024\nname: five\nserial0: socket\nserial1: socket\nserial4: socket\n",
        (0, 1, 4), f"{ISA} pve-serial-limit"),
    _vm(108, _ARM + "memory: 1024\nname: hand-edited\nserial0: socket\nserial1: pty\n",
        2, "pve-backend-unknown"),
    _vm(109, _ARM + "memory: 1024\nname: snapshots\nparent: before-upgrade\nserial0: socket\n"
        "serial1: socket\n" + _SNAPSHOTS, 2, ISA),
    _vm(110, "#vmserial serial1%3A type=pci\n#vmserial serial2%3A type=virtio\n" + _ARM
        + "memory: 1024\nname: chosen\nserial0: socket\nserial1: socket\nserial2: socket\n",
        3, ISA),
    _vm(111, (_ARM + "memory: 1024\nname: notepad\nserial0: socket\nserial1: socket"
              ).replace("\n", "\r\n"), 2, ISA),
    _vm(112, _ARM + "memory: 1024\nname: odd\nserial1: socket\n", (1,), ISA),
    _vm(113, "agent: 1\n" + _ARM + "memory: 1024\nname: full\nrng0: source=/dev/urandom\n"
        "serial0: socket\nserial1: socket\nserial2: socket\ntablet: 1\nvga: std\n", 3, ISA),
    _vm(201, "memory: 512\nname: fine\nostype: l26\nserial0: socket\nserial1: socket\n"
        "serial2: socket\nserial3: socket\n", 4, starts=True),
    _vm(202, "agent: enabled=1,type=isa\nmemory: 512\nname: fifth\nserial0: socket\n"
        "serial1: socket\nserial2: socket\nserial3: socket\n", 4, "pve-isa-limit"),
    _vm(203, "#vmserial serial4%3A socket\n#vmserial serial5%3A pty\nmachine: q35\nmemory: 512\n"
        "name: q35-six\nserial0: socket\n", (0, 4, 5), WANTED, starts=True),
    _vm(204, "args: -chardev null,id=mine -device isa-serial,chardev=mine,index=3\nmemory: 512\n"
        "name: by-hand\nserial0: socket\nserial1: socket\nserial2: socket\nserial3: socket\n",
        4, "isa-clash", starts=True),
    _vm(205, "#vmserial serial1%3A socket,type=virtio\nbios: ovmf\nmachine: q35\nmemory: 512\n"
        "name: screen\nserial0: socket\nvga: serial0\n", 2, WANTED, starts=True),
    _vm(206, "memory: 512\nname: pty\nserial0: socket\nserial1: pty\n", 2, "pve-backend-unknown"),
    _vm(207, "#vmserial serial4%3A socket,type=pci\n#vmserial serial5%3A socket,type=pci\n"
        + "".join(f"#vmserial serial{n}%3A socket,type=virtio\n" for n in (6, 7, 8, 9))
        + "machine: q35\nmemory: 512\nname: mixed\nserial0: socket\nserial1: socket\n",
        (0, 1, 4, 5, 6, 7, 8, 9), WANTED, starts=True),
)  # fmt: skip


def make(root: Path) -> Path:
    """Write the tree as a copy of a two-node cluster has it; return ``root``."""
    for vm in VMS:
        node = "arm" if vm.arch == "aarch64" else "intel"
        directory = root / "etc/pve/nodes" / node / "qemu-server"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"{vm.vmid}.conf").write_bytes(vm.text.encode())
    (root / "etc/pve/qemu-server").symlink_to("nodes/arm/qemu-server")
    (root / "var/lock/qemu-server").mkdir(parents=True)
    return root


def conf(root: Path, vm: Vm) -> Path:
    """Return where a VM's configuration is."""
    node = "arm" if vm.arch == "aarch64" else "intel"
    return root / "etc/pve/nodes" / node / "qemu-server" / f"{vm.vmid}.conf"
