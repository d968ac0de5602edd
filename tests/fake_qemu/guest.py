"""The fake's guest: a tree that looks like a Linux guest's /sys and /dev, and a real shell.

The layouts are those that Linux 6.1 shows for the same devices: links in
``/sys/class`` lead into ``/sys/devices``, where the attributes stand by which a
port is known (``serial`` of a USB device, ``name`` of a virtio port,
``iomem_base`` or ``port`` of a UART, the PCI address in the path).  The nodes
are pseudo-terminals.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from fake_qemu.streams import Pty

UNBACKED_8250 = 4
"""ttyS nodes that the kernel registers without hardware behind them (type 0)."""

HARMLESS = (
    "poweroff",
    "reboot",
    "halt",
    "mount",
    "umount",
    "modprobe",
    "insmod",
    "rmmod",
    "dmesg",
    "mdev",
    "sysctl",
)
"""Commands of a guest that must not reach the host that plays it."""


class Translator:
    """Rewrites the paths in a guest's commands so that they lead into the fake's tree.

    Lines are rewritten whole; the data that follows a command which asked for it
    (``vs_say D``, ``head -c N``) passes as it is.
    """

    _DATA = re.compile(rb"vs_say D .*head -c ([0-9]+)")

    def __init__(self, root: Path) -> None:
        self._root = os.fsencode(root)
        # Paths that already lead into the tree are taken whole and stay as they are.
        self._paths = re.compile(
            re.escape(self._root) + rb"[^\s']*|(?<![\w}])/(?:sys/|dev/(?=tty|hvc|vport)|tmp\b)"
        )
        self._raw = 0
        self._line = b""

    def feed(self, data: bytes) -> bytes:
        """Return what goes to the shell when ``data`` comes."""
        out = b""
        while data:
            if self._raw:
                out += data[: self._raw]
                taken = min(self._raw, len(data))
                self._raw -= taken
                data = data[taken:]
                continue
            before, newline, data = data.partition(b"\n")
            self._line += before + newline
            if newline:
                asked = self._DATA.search(self._line)
                self._raw = int(asked.group(1)) if asked else 0
                out += self._paths.sub(self._lead_in, self._line)
                self._line = b""
        return out

    def _lead_in(self, found: re.Match[bytes]) -> bytes:
        path = found.group()
        return path if path.startswith(self._root) else self._root + path


@dataclass
class Node:
    """One node of the guest: its name, its terminal, and what to take away with it."""

    name: str
    pty: Pty
    paths: list[Path] = field(default_factory=list)


class Guest:
    """The tree under ``root`` and the shell that sees it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for folder in (
            "sys/class/tty",
            "sys/class/virtio-ports",
            "sys/kernel/debug/virtio-ports",
            "sys/bus/usb/devices",
            "sys/bus/usb-serial/devices",
            "dev",
            "tmp",
            "bin",
        ):
            (root / folder).mkdir(parents=True, exist_ok=True)
        for name in ("null", "zero"):
            (root / "dev" / name).symlink_to(f"/dev/{name}")
        for name in HARMLESS:
            command = root / "bin" / name
            command.write_text("#!/bin/sh\nexit 0\n")
            command.chmod(0o755)
        self._shells: list[subprocess.Popen[bytes]] = []
        self._virtio = 0
        self._debug = root / "sys/kernel/debug/virtio-ports"
        self._uevents = 0
        for number in range(UNBACKED_8250):
            self._unbacked(number)
        self._uevent()

    # ------------------------------------------------------------ nodes

    def _uevent(self) -> None:
        """Tell watchers that something changed, as the kernel does."""
        self._uevents += 1
        (self.root / "sys/kernel/uevent_seqnum").write_text(f"{self._uevents}\n")

    def _unbacked(self, number: int) -> None:
        path = self._device(
            "platform/serial8250/tty",
            f"ttyS{number}",
            type="0",
            line=str(number),
            port="0x0",
            iomem_base="0x0",
        )
        self._link(self.root / "sys/class/tty" / f"ttyS{number}", path)

    def _device(self, parent: str, folder: str, /, **attributes: str) -> Path:
        path = self.root / "sys/devices" / parent / folder
        path.mkdir(parents=True, exist_ok=True)
        for key, value in attributes.items():
            (path / key).write_text(value + "\n")
        return path

    @staticmethod
    def _link(link: Path, target: Path) -> Path:
        link.unlink(missing_ok=True)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(target, link.parent))
        return link

    def _node(self, name: str, *paths: Path) -> Node:
        terminal = Pty()
        dev = self.root / "dev" / name
        dev.unlink(missing_ok=True)
        dev.symlink_to(terminal.path)
        self._uevent()
        return Node(name, terminal, [dev, *paths])

    def _free(self, prefix: str, start: int = 0) -> int:
        number = start
        while (self.root / "dev" / f"{prefix}{number}").exists():
            number += 1
        return number

    def _uart(self, parent: str, name: str, **attributes: str) -> Node:
        path = self._device(parent, name, **attributes)
        self._link(path / "device", path.parent.parent)
        return self._node(name, self._link(self.root / "sys/class/tty" / name, path), path)

    def add_mmio(self, number: int, base: int) -> Node:
        """Add a pl011 at physical address ``base``."""
        name = f"ttyAMA{number}"
        return self._uart(
            f"platform/{base:x}.pl011/tty",
            name,
            type="32",
            line=str(number),
            iomem_base=f"0x{base:X}",
            port="0x0",
        )

    def add_isa(self, index: int, port: int) -> Node:
        """Add a 16550A of the PC at I/O address ``port``."""
        name = f"ttyS{index}"
        return self._uart(
            f"pnp0/00:0{index}/tty",
            name,
            type="4",
            line=str(index),
            port=f"0x{port:X}",
            iomem_base="0x0",
        )

    def add_pci(self, pci: str, uart: int) -> Node:
        """Add a 16550A behind the PCI function at sysfs path ``pci``."""
        number = 0
        while (self.root / f"dev/ttyS{number}").is_symlink():
            number += 1
        name = f"ttyS{number}"
        function = self._device(pci, "")
        (function / "resource").write_text(f"{0x1000:#018x} {0x101F:#018x} {0x40101:#018x}\n")
        return self._uart(
            f"{pci}/tty",
            name,
            type="4",
            line=str(number),
            port=f"0x{0x1000 + 8 * uart:X}",
            iomem_base="0x0",
        )

    def add_usb(self, pci: str, bus: int, port: str, serial: str) -> Node:
        """Add a usb-serial on port ``port`` of the xhci at sysfs path ``pci``."""
        name = f"ttyUSB{self._free('ttyUSB')}"
        device = self._device(
            f"{pci}/usb{bus}",
            f"{bus}-{port}",
            serial=serial,
            idVendor="0403",
            idProduct="6001",
            product="QEMU USB SERIAL",
        )
        interface = device / f"{bus}-{port}:1.0"
        path = self._device(f"{interface.relative_to(self.root / 'sys/devices')}/{name}/tty", name)
        self._link(path / "device", path.parent.parent)
        return self._node(
            name,
            self._link(self.root / "sys/class/tty" / name, path),
            self._link(self.root / "sys/bus/usb-serial/devices" / name, path.parent.parent),
            self._link(self.root / "sys/bus/usb/devices" / device.name, device),
            device,
        )

    def next_virtio(self) -> int:
        """Return the number of the next virtio device."""
        self._virtio += 1
        return self._virtio - 1

    def add_virtio(self, pci: str, controller: int, nr: int, port: str, console: bool) -> Node:
        """Add port ``nr`` with the name ``port``; a console gets an hvc node as well."""
        name = f"vport{controller}p{nr}"
        path = self._device(f"{pci}/virtio{controller}/virtio-ports", name, name=port)
        self._link(path / "device", path.parent.parent)
        paths = [path, self._link(self.root / "sys/class/virtio-ports" / name, path)]
        if not console:
            return self._node(name, *paths)
        hvc = f"hvc{self._free('hvc')}"
        used = [int(file.read_text().split()[-1]) for file in self._debug.iterdir()]
        debug = self._debug / name
        debug.write_text(f"console_vtermno: {min({*range(1, len(used) + 2)} - {*used})}\n")
        paths.append(debug)
        virtual = self._device("virtual/tty", hvc)
        link = self._link(self.root / "sys/class/tty" / hvc, virtual)
        return self._node(hvc, *paths, virtual, link)

    def remove(self, node: Node) -> None:
        """Take the node and its device away, and hang up whoever has it open."""
        for path in node.paths:
            if path.is_symlink() or path.is_file():
                path.unlink()
            else:
                shutil.rmtree(path, ignore_errors=True)
        node.pty.close()
        if node.name.startswith("ttyS") and int(node.name[4:]) < UNBACKED_8250:
            self._unbacked(int(node.name[4:]))
        self._uevent()

    # ------------------------------------------------------------ the shell

    def shell(self) -> socket.socket:
        """Start a shell of the guest and return the far end of its input and output."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        environment = {
            "PATH": f"{self.root / 'bin'}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "TMPDIR": str(self.root / "tmp"),
            "HOME": str(self.root),
        }
        self._shells.append(
            subprocess.Popen(
                ["/bin/sh"], stdin=theirs.fileno(), stdout=theirs.fileno(),
                stderr=theirs.fileno(), env=environment,
                cwd=self.root, start_new_session=True,
            )
        )  # fmt: skip
        theirs.close()
        return ours

    def translator(self) -> Translator:
        """Return what makes the commands for a guest's shell fit this one."""
        return Translator(self.root)

    async def stop(self) -> None:
        """End the shells with all that they started."""
        for shell in self._shells:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)
            await asyncio.to_thread(shell.wait)
