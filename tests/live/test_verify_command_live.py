"""A user's own command line, asked and proven by real QEMU; nothing of the user's is touched."""

from __future__ import annotations

import asyncio
import os
import shlex
import socket
import subprocess
from pathlib import Path

import pytest

from vmserial.errors import QemuStartError
from vmserial.guests.foreign import fetch
from vmserial.model import Capabilities
from vmserial.paths import RunDirectory
from vmserial.qemu import binary, liveprobe, standins
from vmserial.qemu.isolation import isolate
from vmserial.qemu.liveprobe import Probed, findings, probe_command
from vmserial.qemu.process import VirtualMachine
from vmserial.qemu.standins import Fate
from vmserial.report import Report, run_of, write_all
from vmserial.sources.command import CommandLine, DeviceEntry
from vmserial.verify.command import Proof, prove_command
from vmserial.verify.request import VerifyReport
from vmserial.verify.results import FaultKind, Verdict

pytestmark = pytest.mark.live

ARM = """
/usr/bin/kvm -id 142 -name arm -daemonize -pidfile {dir}/142.pid -nodefaults -m 65536 -smp 64 \
  -cpu host -vnc unix:{dir}/142.vnc -drive file={dir}/disk.raw,format=raw,if=virtio \
  -object memory-backend-file,id=ram,mem-path=/dev/hugepages,size=64G,share=on \
  -drive if=none,id=d,file={dir}/disk.qcow2 -device virtio-blk-pci,drive=d \
  -netdev tap,id=net0,ifname=tap142i0,script=/nowhere \
  -device virtio-net-pci,netdev=net0,id=net0 \
  -device pci-bridge,id=pci.2,chassis_nr=2,bus=pcie.0 \
  -device qemu-xhci,id=xhci,bus=pci.2,addr=0x3 -device usb-host,hostbus=1,hostport=7 \
  -chardev socket,id=serial0,path={dir}/142.serial0,server=on,wait=off -serial chardev:serial0 \
  -chardev socket,id=serial1,path={dir}/142.serial1,server=on,wait=off \
  -device usb-serial,chardev=serial1 \
  -chardev file,id=serial2,path={dir}/out -device pci-serial,chardev=serial2,bus=pci.2,addr=0x5 \
  -device virtio-serial-pci,id=vs -chardev pty,id=serial3 -device virtserialport,chardev=serial3 \
  -chardev pty,id=serial4 -device virtconsole,chardev=serial4 \
  -machine type=virt+pve0,gic-version=host,accel=kvm
"""

Q35 = """
/usr/bin/kvm -id 100 -no-shutdown -nodefaults -cpu kvm64,enforce,+kvm_pv_eoi -m 2048 \
  -readconfig {dir}/q35.cfg -smbios type=1,uuid=0 -boot menu=on \
  -drive if=pflash,unit=0,format=raw,readonly=on,file=/usr/share/OVMF_CODE.fd \
  -chardev socket,id=serial0,path={dir}/100.serial0,server=on,wait=off \
  -device isa-serial,chardev=serial0 \
  -chardev serial,id=serial1,path=/dev/ttyS7 -device isa-serial,chardev=serial1 \
  -chardev pty,id=c -device '{{"driver":"pci-serial","chardev":"c"}}' \
  -device VGA,id=vga,bus=pcie.0,addr=0x1 -device ich9-ahci,id=ahci0,bus=pci.0,addr=0x7 \
  -chardev socket,path={dir}/100.qga,server=on,wait=off,id=qga0 \
  -device virtio-serial,id=qga0,bus=pci.0,addr=0x8 \
  -device virtserialport,chardev=qga0,name=org.qemu.guest_agent.0 \
  -device ide-cd,bus=ahci0.0,drive=x -chardev pty,id=serial5 \
  -device usb-serial,bus=xhci.0,port=2,chardev=serial5,always-plugged=on,serial=mine \
  -machine type=q35+pve1,hpet=off
"""

Q35_CONFIG = """
[device "pci.0"]
  driver = "pci-bridge"
  bus = "pcie.0"
  addr = "1e.0"
  chassis_nr = "1"
[device "xhci"]
  driver = "qemu-xhci"
  bus = "pci.0"
  addr = "0x1b"
"""


def command(text: str, folder: Path) -> CommandLine:
    (folder / "q35.cfg").write_text(Q35_CONFIG)
    return CommandLine.parse(text.format(dir=folder))


def prove(text: str, arch: str, folder: Path, *mutants: str) -> VerifyReport:
    proof = Proof(mutants=mutants, unattended=True)
    return prove_command(command(text, folder), arch=arch, proof=proof)


def wrong(report: VerifyReport) -> dict[str, str]:
    return {
        c.port: f"{c.verdict}: {c.detail}" for c in report.checks if c.verdict is not Verdict.PASS
    }


def ours() -> list[str]:
    """Return the command lines of QEMUs that this process has started and not ended."""
    found = subprocess.run(
        ["ps", "--ppid", str(os.getpid()), "-o", "args="], capture_output=True, text=True
    )
    return [line for line in found.stdout.splitlines() if "qemu" in line]


# ------------------------------------------------------------------ proven on a guest


def test_every_kind_of_port_of_a_pve_command_on_aarch64(tmp_path: Path) -> None:
    report = prove(ARM, "aarch64", tmp_path)
    # It has no always-plugged=on; once a client is there it is a port as all others.
    (absent,) = (c for c in report.checks if c.verdict is not Verdict.PASS)
    assert (absent.port, absent.mode, absent.verdict) == ("serial1", "unattended", Verdict.FAIL)
    assert "while no client is at its chardev" in absent.detail
    assert {(c.port, c.kind) for c in report.checks} == {
        ("serial0", "uart"), ("serial1", "usb"), ("serial2", "pci"), ("serial3", "virtio"),
        ("serial4", "virtconsole"),
    }  # fmt: skip
    assert {c.mode for c in report.checks} == {"alone", "together", "unattended"}
    assert sum(c.verdict is Verdict.PASS for c in report.checks) == 5 * 2 * 2
    assert [path.name for path in tmp_path.iterdir()] == ["q35.cfg"]
    assert ours() == []


def test_a_pve_command_on_q35(tmp_path: Path) -> None:
    report = prove(Q35, "x86_64", tmp_path)
    assert wrong(report) == {}
    assert report.booted[0].nodes["serial0"] == "/dev/ttyS0"
    assert {(c.port, c.kind) for c in report.checks} == {
        ("serial0", "isa"), ("serial1", "isa"), ("serial2", "pci"), ("serial5", "usb")
    }  # fmt: skip
    written = write_all(tmp_path / "out", Report((run_of(report),)))
    assert "serial5" in next(path for path in written if path.suffix == ".html").read_text()


def test_a_serial_past_the_boards_uarts_is_named(tmp_path: Path) -> None:
    """As libvirt starts it; the mutant turns a port red that is alive."""
    uarts = binary.measure_uarts(binary.find("aarch64"), "virt")
    serials = "".join(
        f"-chardev pty,id=charserial{n} -serial chardev:charserial{n} " for n in range(uarts + 1)
    )
    text = (
        f"qemu-system-aarch64 -M virt -nodefaults {serials} -device qemu-xhci "
        "-chardev pty,id=charserial7 -device usb-serial,chardev=charserial7 "
        "-chardev pty,id=charserial8"
    )
    report = prove(text, "", tmp_path, "drop@serial7:guest->host")
    assert report.exit_code == 1
    failed = {
        (c.port, fault.kind): c.detail
        for c in report.checks
        if c.verdict is Verdict.FAIL
        for fault in c.faults
    }
    dead = f"serial{uarts}"
    assert set(failed) == {
        (dead, FaultKind.NO_NODE), ("serial7", FaultKind.LOSS), ("serial8", FaultKind.NO_NODE)
    }  # fmt: skip
    assert failed[dead, FaultKind.NO_NODE].startswith("QEMU has no UART for it: the guest shows no")
    assert "no device uses the chardev charserial8" in failed["serial8", FaultKind.NO_NODE]
    assert {c.port for c in report.checks if c.verdict is Verdict.PASS} >= {"serial0", "serial7"}


def test_what_does_not_start_fails_in_qemus_words(tmp_path: Path) -> None:
    text = "qemu-system-aarch64 -M virt -nodefaults -chardev pty,id=a -device isa-serial,chardev=a"
    report = prove(text, "", tmp_path)
    (check,) = report.checks
    assert check.verdict is Verdict.FAIL
    assert check.faults[0].kind is FaultKind.REFUSED
    assert "'isa-serial' is not a valid device model name" in check.detail
    assert report.booted == ()


# ------------------------------------------------------------------ asked while paused


def snapshot(folder: Path) -> dict[str, tuple[int, int, int]]:
    return {
        path.name: (status.st_ino, status.st_mtime_ns, status.st_size)
        for path in folder.iterdir()
        for status in [path.lstat()]
    }


@pytest.mark.parametrize(("text", "arch"), [(ARM, "aarch64"), (Q35, "x86_64")])
def test_a_probe_touches_nothing_of_a_running_vms(text: str, arch: str, tmp_path: Path) -> None:
    """Its disks are locked, its sockets are served, its files are there."""
    made = command(text, tmp_path)
    qemu = binary.find(arch)
    for name in ("142.pid", "out"):
        (tmp_path / name).write_text("the running VM's")
    for name in ("disk.raw", "disk.qcow2"):
        (tmp_path / name).write_bytes(bytes(1 << 16))
    sockets = []
    for name in ("142.serial0", "142.serial1", "142.vnc", "100.serial0", "100.qga"):
        sockets.append(socket.socket(socket.AF_UNIX))
        sockets[-1].bind(str(tmp_path / name))

    async def asked() -> tuple[Probed, str]:
        bare = [qemu, "-machine", "virt" if arch == "aarch64" else "q35", "-nodefaults"]
        bare += ["-display", "none"]
        for name in ("disk.raw", "disk.qcow2"):
            bare += ["-drive", f"if=virtio,format=raw,file={tmp_path / name}"]
        async with VirtualMachine(bare, paused=True):
            before = snapshot(tmp_path)
            view, capabilities = liveprobe.understand(made, arch=arch)
            with RunDirectory() as rundir:
                private = isolate(view, capabilities, rundir.socket)
                probed = await liveprobe.probe(private, capabilities, rundir=rundir)
            assert snapshot(tmp_path) == before
            # They are locked indeed: who opens them as the user's command does is refused.
            with pytest.raises(QemuStartError) as refused:
                async with VirtualMachine(bare, paused=True):
                    pass
        return probed, refused.value.stderr

    probed, words = asyncio.run(asked())
    for one in sockets:
        one.close()
    assert 'Failed to get "write" lock' in words
    assert probed.starts, probed.words
    assert [f.id for f in findings(probed)] == ["usb-not-plugged"] * (arch == "aarch64")
    assert str(tmp_path) not in shlex.join(probed.argv)
    assert {port.name: bool(port.pci) for port in probed.ports}["serial2"]
    assert ours() == []


def test_the_dead_uart_is_seen_without_running(tmp_path: Path) -> None:
    del tmp_path
    text = "qemu-system-aarch64 -M virt -nodefaults -serial pty -serial pty -serial pty"
    probed = probe_command(CommandLine.parse(text))
    (*_, found) = findings(probed)
    assert (found.id, found.ports) == ("onboard-uart-limit", ("serial2",))
    assert probed.ports[0].open is True
    assert not probed.ports[0].dead


@pytest.mark.parametrize(
    "text",
    [
        "qemu-system-x86_64 -device e1000,id=a -device virtio-serial-pci,id=b -device AC97 "
        "-device pci-bridge,id=c,chassis_nr=1 -device virtio-balloon-pci,id=d,bus=c,addr=2 "
        "-device qemu-xhci,id=e -drive if=virtio,file=null-co://,format=raw -device edu,id=f",
        "qemu-system-aarch64 -M virt -device virtio-gpu-pci,id=a -device pcie-root-port,id=b "
        "-device virtio-scsi-pci,id=c,bus=b -device virtio-net-pci,id=d -device ich9-ahci,id=e "
        "-device pcie-pci-bridge,id=f -device pci-serial,id=g,chardev=x,bus=f,addr=2 "
        "-chardev null,id=x",
    ],
)
def test_what_is_kept_stays_where_it_would_be(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = CommandLine.parse(text)

    async def places() -> dict[str, str]:
        words = [binary.find("aarch64" if "aarch64" in made.program else "x86_64")]
        words += [*made.argv()[1:], "-display", "none"]
        async with VirtualMachine(words, paused=True) as vm:
            entries = await vm.monitor.execute("qom-list", path="/machine/peripheral")
            names = [e["name"] for e in entries if e["type"].startswith("child<")]
            return {n: await liveprobe._pci_path(vm, f"/machine/peripheral/{n}") for n in names}

    def kept() -> dict[str, str]:
        return {name: path for name, path in probe_command(made).pci.items() if name in there}

    there = asyncio.run(places())
    assert len(there) >= 6
    assert kept() == there
    # Without what stands in for the rest they would move.
    fate = standins.fate

    def careless(device: DeviceEntry, capabilities: Capabilities) -> Fate:
        return (
            Fate.OUT if fate(device, capabilities) is Fate.STAND_IN else fate(device, capabilities)
        )

    monkeypatch.setattr(standins, "fate", careless)
    moved = kept()
    assert moved != {name: there[name] for name in moved}


@pytest.mark.full
@pytest.mark.parametrize(("suite", "dead"), [("bullseye", 2), ("trixie", 1), ("sid", 1)])
def test_other_versions_of_qemu(suite: str, dead: int, tmp_path: Path) -> None:
    for arch, path in fetch(suite, ["aarch64", "x86_64"]).items():
        serials = "-serial pty " * (3 if arch == "aarch64" else 5)
        machine = "virt" if arch == "aarch64" else "q35"
        made = CommandLine.parse(f"qemu-system-{arch} -M {machine} -nodefaults {serials}")
        probed = probe_command(made, binary=str(path))
        assert probed.starts, probed.words
        count = dead if arch == "aarch64" else 1
        assert sum(port.dead for port in probed.ports) == count
        whole = ARM if arch == "aarch64" else Q35.replace(
            "'{{\"driver\":\"pci-serial\",\"chardev\":\"c\"}}'", "pci-serial,chardev=c,addr=0x10"
        )  # fmt: skip
        answer = probe_command(command(whole, tmp_path), binary=str(path), arch=arch)
        assert answer.starts, answer.words
        assert [f.id for f in findings(answer)] == ["usb-not-plugged"] * (arch == "aarch64")
