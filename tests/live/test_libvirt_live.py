"""A real libvirtd: what it takes, what is dead in a domain that it starts, what lives after fix."""

from __future__ import annotations

import asyncio
import json
import random
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from private_libvirt import PrivateLibvirt, Refused

from vmserial.cli.main import run
from vmserial.guests import images
from vmserial.guests.images import TestGuest
from vmserial.guests.profile import unknown
from vmserial.guests.shell import CONTROL_PORT, Shell
from vmserial.judging.domain import judge
from vmserial.model import Severity
from vmserial.progress import Silent
from vmserial.qemu.binary import find, probe
from vmserial.sources.libvirt import Document, Domain

BOOT = 90.0
SIZE = 2048
DATA = Path(__file__).parents[1] / "data" / "libvirt"

FULL = {"riscv64": "qemu-system-riscv64", "ppc64": "qemu-system-ppc64",
        "s390x": "qemu-system-s390x", "mips64el": "qemu-system-mips64el"}  # fmt: skip
"""Architectures whose QEMU the tests do not install.  libvirt knows loongarch64 from 11.0 on."""

DOMAINS = [
    pytest.param(path, id=path.stem, marks=pytest.mark.full if arch in FULL else ())
    for path in sorted(DATA.glob("*.xml"))
    if (arch := path.stem.partition("-")[0]) != "loongarch64"
]
UNMENDED = {"x86_64-no-path", "x86_64-tcp-twice"}
ELSEWHERE = re.compile(rb"path='/|service=")
"""A start would need the user's own directories and ports."""

DOMAIN = """\
<domain type='qemu'>
  <name>{name}</name>
  <memory unit='MiB'>256</memory>
  <os>
    <type arch='aarch64' machine='virt'>hvm</type>
    <kernel>{guest.kernel}</kernel>
    <initrd>{guest.initrd}</initrd>
    <cmdline>{guest.append}</cmdline>
  </os>
  <cpu mode='custom'>
    <model>cortex-a57</model>
  </cpu>
  <devices>
    <emulator>{emulator}</emulator>
{serials}
    <channel type='unix'>
      <source mode='bind' path='{where}/control'/>
      <target type='virtio' name='{control}'/>
    </channel>
  </devices>
</domain>
"""
SERIAL = """\
    <serial type='unix'>
      <source mode='bind' path='{where}/serial{n}'/>
    </serial>"""


@pytest.fixture(scope="module")
def emulator() -> str:
    """The QEMU of the domains."""
    found = shutil.which("qemu-system-aarch64")
    assert found
    return found


@pytest.fixture(scope="module")
def guest() -> TestGuest:
    """What the domains boot."""
    return images.ensure("aarch64", "bookworm", reporter=Silent())


def domain(path: Path, name: str, emulator: str, guest: TestGuest, where: Path) -> Path:
    """Write a domain with four default serials."""
    serials = "\n".join(SERIAL.format(where=where, n=n) for n in range(4))
    text = DOMAIN.format(
        name=name, guest=guest, emulator=emulator, serials=serials, where=where,
        control=CONTROL_PORT,
    )  # fmt: skip
    path.write_text(text)
    return path


@dataclass
class Alive:
    """What came through of one port: from the guest, and to it."""

    out: bool
    into: bool


async def _there(shell: Shell) -> list[tuple[str, str]]:
    """Return the guest's serial nodes with a device behind them, and where it sits."""
    await shell.run("modprobe -q ftdi_sio; modprobe -q usbserial; true", 60)
    found = await shell.run(
        "for t in /sys/class/tty/ttyAMA* /sys/class/tty/ttyUSB*; do [ -e $t/device ] && "
        "echo ${t##*/} $(readlink -f $t/device); done; true", 30,
    )  # fmt: skip
    nodes = []
    for line in found.split("\n"):
        name, _, place = line.partition(" ")
        usb = re.search(r"/[0-9]+-([0-9]+)(?:\.[0-9]+)*/", place + "/")
        if name:
            nodes.append((name, usb[1] if usb else ""))
    return nodes


async def _through(
    shell: Shell, node: str, host: tuple[asyncio.StreamReader, asyncio.StreamWriter], seed: int
) -> Alive:
    """Send bytes both ways between a node and a socket."""
    data = bytes(random.Random(seed).randrange(256) for _ in range(SIZE))
    await shell.put("/tmp/data", data)
    await shell.run(f"exec 5<>/dev/{node}; stty raw -echo <&5", 10)
    await shell.run("cat /tmp/data >&5", 30)
    heard = b""
    while data not in heard:
        try:
            heard += await asyncio.wait_for(host[0].read(65536), 10)
        except TimeoutError:
            break
    await shell.run(f"rm -f /tmp/in; head -c {SIZE} <&5 >/tmp/in & sleep 0.2", 10)
    host[1].write(data)
    await host[1].drain()
    got = b""
    for _ in range(50):
        got = await shell.get("/tmp/in")
        if len(got) >= SIZE:
            break
        await asyncio.sleep(0.2)
    await shell.run("exec 5<&-", 10)
    return Alive(data in heard, got == data)


async def ports_alive(where: Path, nodes_of: dict[int, str] | None = None) -> dict[int, Alive]:
    """Find out which of the four ports live; ``nodes_of``: what is told of each, by number."""
    hosts = {n: await asyncio.open_unix_connection(str(where / f"serial{n}")) for n in range(4)}
    control = await asyncio.open_unix_connection(str(where / "control"))
    shell = Shell(*control)
    found: dict[int, Alive] = {}
    drains = []
    try:
        # Whoever holds a pl011's socket must read it, or the guest waits.
        async def drain(reader: asyncio.StreamReader) -> None:
            while await reader.read(65536):
                pass

        drains = [asyncio.create_task(drain(hosts[0][0]))]
        await shell.ready(BOOT)
        nodes: list[tuple[str, str]] = []
        for _ in range(20):
            new = await _there(shell)
            if new and new == nodes:
                break
            nodes = new
            await asyncio.sleep(0.3)
        drains[0].cancel()
        await asyncio.gather(*drains, return_exceptions=True)
        # The board's UARTs come first; the others are on the USB ports from 1 on.
        uarts = sum(name.startswith("ttyAMA") for name, _ in nodes)
        for name, usb in nodes:
            number = uarts - 1 + int(usb) if usb else int(name.removeprefix("ttyAMA"))
            if nodes_of is not None:
                nodes_of[number] = name
            if number in hosts:
                found[number] = await _through(shell, name, hosts[number], number)
    finally:
        for task in drains:
            task.cancel()
        await shell.close()
        for _, writer in (*hosts.values(), control):
            writer.close()
    return found


def booted(libvirt: PrivateLibvirt, path: Path, name: str, where: Path) -> dict[int, Alive]:
    """Define and start a domain; return what lives of it; end it."""
    libvirt.virsh("define", str(path))
    libvirt.virsh("start", name)
    try:
        return asyncio.run(ports_alive(where))
    finally:
        libvirt.virsh("destroy", name)
        libvirt.virsh("undefine", name)


BOTH = Alive(out=True, into=True)


def test_three_of_four_are_dead_and_all_live_after_fix(
    libvirt: PrivateLibvirt, emulator: str, guest: TestGuest, tmp_path: Path
) -> None:
    where = libvirt.where
    before = domain(tmp_path / "guest.xml", "four", emulator, guest, where)
    uarts = probe(emulator, machine_types=["virt"]).onboard_uarts["virt"]
    assert uarts < 4
    assert booted(libvirt, before, "four", where) == dict.fromkeys(range(uarts), BOTH)
    after = tmp_path / "fixed.xml"
    assert run(["doctor", str(before)]) == 1
    assert run(["fix", str(before), "-o", str(after)]) == 0
    assert run(["doctor", str(after)]) == 0
    assert booted(libvirt, after, "four", where) == dict.fromkeys(range(4), BOTH)


def test_all_live_with_the_shim_as_emulator(
    libvirt: PrivateLibvirt, emulator: str, guest: TestGuest, tmp_path: Path
) -> None:
    where = libvirt.where
    shim, log = where / "qemu-system-aarch64", where / "shim.log"
    assert run([
        "shim", "install", "--binary", emulator, "--path", str(shim), "--base", str(where / "shim"),
        "--log", str(log), "--guest", "debian-12-arm64",
    ]) == 0  # fmt: skip
    path = domain(tmp_path / "guest.xml", "shimmed", str(shim), guest, where)
    assert booted(libvirt, path, "shimmed", where) == dict.fromkeys(range(4), BOTH)
    assert "serial3" in log.read_text()


def closed_frontends(libvirt: PrivateLibvirt, name: str) -> set[str]:
    """Return the serial chardevs of a paused VM that no device uses, as QEMU says it."""
    said = libvirt.virsh("qemu-monitor-command", name, '{"execute": "query-chardev"}')
    entries = json.loads(said)["return"]
    return {
        f"serial{entry['label'].removeprefix('charserial')}" for entry in entries
        if entry["label"].startswith("charserial") and not entry["frontend-open"]
    }  # fmt: skip


def paused(libvirt: PrivateLibvirt, path: Path) -> set[str]:
    """Define and start a domain paused; return its ports without a device.

    Raises:
        Refused: libvirt or QEMU does not take it.
    """
    name = Domain.of(Document.parse(path.read_bytes())).name
    libvirt.virsh("define", str(path))
    try:
        if ELSEWHERE.search(path.read_bytes()):
            return set()
        libvirt.virsh("start", "--paused", name)
        try:
            return closed_frontends(libvirt, name)
        finally:
            libvirt.virsh("destroy", name)
    finally:
        libvirt.virsh("undefine", name)


@pytest.mark.parametrize("path", DOMAINS)
def test_libvirt_takes_what_fix_writes(libvirt: PrivateLibvirt, path: Path, tmp_path: Path) -> None:
    document = Document.parse(path.read_bytes(), path.name)
    arch = Domain.of(document).arch
    here = probe(find(arch), arch=arch)
    verdict = judge(document, here, unknown(arch))
    after = tmp_path / "after.xml"
    after.write_bytes(verdict.document.raw)
    fails = any(f.severity is Severity.FAILS for f in verdict.findings)
    dead = {
        port for finding in verdict.findings if finding.id == "onboard-uart-limit"
        for port in finding.ports
    }  # fmt: skip
    # Its board has a sound card, and newer QEMUs do not start it as libvirt asks for it.
    mute = path.stem == "arm-vexpress" and here.version >= (8, 2, 0)
    if path.stem in UNMENDED or mute:
        return
    if not ELSEWHERE.search(document.raw):
        if fails:
            with pytest.raises(Refused):
                paused(libvirt, path)
        else:
            assert paused(libvirt, path) == dead
    assert paused(libvirt, after) == set()
