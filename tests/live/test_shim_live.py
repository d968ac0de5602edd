"""The article's VM through an installed shim: QEMU refuses it, the shim starts it, all answer."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from shim_stage import stage

from vmserial.cli.main import run
from vmserial.paths import RunDirectory
from vmserial.qemu.binary import find
from vmserial.sources.command import CommandLine
from vmserial.verify.command import prove_command
from vmserial.verify.results import Verdict

VMID = 142


def command(sockets: Path) -> list[str]:
    """Return what PVE starts for ``serial0`` to ``serial3: socket``, with a serial4 by ``args:``.

    Without what this machine has not: disks, networks, PVE's own ``-id``.
    """
    words = [
        *"-name guest=article,debug-threads=on -no-shutdown -daemonize -nodefaults".split(),
        *"-machine type=virt -accel tcg -cpu cortex-a57 -smp 1 -m 256 -nographic -S".split(),
        *("-pidfile", f"{sockets}/pid", "-qmp", f"unix:{sockets}/qmp,server=on,wait=off"),
        *("-object", "secret,id=s0,data=hunter2"),
    ]
    for number in range(5):
        chardev = f"socket,id=serial{number},path={sockets}/{VMID}.serial{number}"
        words += ["-chardev", f"{chardev},server=on,wait=off"]
        if number == 0:
            words += ["-serial", "chardev:serial0"]
        elif number < 4:
            words += ["-device", f"isa-serial,chardev=serial{number}"]
    return words


@pytest.fixture(scope="module")
def shim() -> Iterator[str]:
    """Install one beside the binary, as for libvirt's <emulator>."""
    with stage() as directory:
        path = str(directory / "qemu-system-aarch64")
        places = ["--base", str(directory / "lib")]
        log = str(directory / "log")
        words = ["--binary", "qemu-system-aarch64", "--path", path, "--log", log, *places]
        assert run(["shim", "install", *words]) == 0
        assert run(["shim", "status", *places]) == 0
        yield path
        assert run(["shim", "remove", *places]) == 0
        assert not Path(path).exists()
        assert run(["shim", "status", *places]) == 1


@pytest.fixture
def sockets() -> Iterator[Path]:
    with RunDirectory() as rundir:
        yield rundir.path


def ask(path: Path, *commands: str) -> list[object]:
    """Ask a QMP socket."""
    with socket.socket(socket.AF_UNIX) as stream:
        stream.settimeout(60)
        stream.connect(str(path))
        lines = stream.makefile("rw", encoding="utf-8")
        lines.readline()
        answers: list[object] = []
        for name in ("qmp_capabilities", *commands):
            lines.write(json.dumps({"execute": name}) + "\n")
            lines.flush()
            while "return" not in (said := json.loads(lines.readline())):
                assert "error" not in said, said
            answers.append(said["return"])
        return answers[1:]


def test_the_article(shim: str, sockets: Path) -> None:
    words = command(sockets)
    plain = subprocess.run([find("aarch64"), *words], capture_output=True, text=True, timeout=120)
    assert plain.returncode != 0
    assert "'isa-serial' is not a valid device model name" in plain.stderr

    # As PVE and libvirt do: it must have daemonized when it returns.
    subprocess.run([shim, *words], check=True, timeout=120)
    pid = int((sockets / "pid").read_text())
    try:
        argv = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")[:-1]
        assert argv[0] == shim
        assert os.path.realpath(f"/proc/{pid}/exe") == os.path.realpath(find("aarch64"))
        chardevs, status = ask(sockets / "qmp", "query-chardev", "query-status")
        assert status["status"] == "prelaunch"  # type: ignore[index]
        opened = {c["label"]: c["frontend-open"] for c in chardevs}  # type: ignore[attr-defined]
        assert [opened[f"serial{n}"] for n in range(5)] == [True] * 5
        ask(sockets / "qmp", "quit")
    finally:
        _gone(pid)
    log = (Path(shim).parent / "log").read_text()
    assert log.count("isa-serial -> ") == 3
    assert "serial4" in log
    assert "hunter2" not in log

    # What ran, on a guest, each port in both directions; started by the shim once more.
    mended = CommandLine.from_words(["qemu-system-aarch64", *(w for w in argv[1:] if w != "-S")])
    report = prove_command(mended, binary=shim)
    assert {check.port for check in report.checks} == {f"serial{n}" for n in range(5)}
    assert [check for check in report.checks if check.verdict is not Verdict.PASS] == []


def _gone(pid: int) -> None:
    deadline = time.monotonic() + 60
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.05)


def test_libvirts_question_is_answered_as_by_qemu_itself(shim: str, sockets: Path) -> None:
    """Its capabilities probe: daemonized, no machine, QMP on a socket."""
    answers = []
    for program in (find("aarch64"), shim):
        words = [
            *"-S -no-user-config -nodefaults -nographic -machine none,accel=kvm:tcg".split(),
            *("-qmp", f"unix:{sockets}/qmp,server=on,wait=off", "-pidfile", f"{sockets}/pid"),
            "-daemonize",
        ]
        subprocess.run([program, *words], check=True, timeout=120)
        pid = int((sockets / "pid").read_text())
        answers.append(ask(sockets / "qmp", "query-version", "query-machines", "query-target"))
        ask(sockets / "qmp", "quit")
        _gone(pid)
    assert answers[0] == answers[1]
    for words in (["-version"], ["-machine", "help"], ["-device", "help"]):
        outputs = [
            subprocess.run([program, *words], capture_output=True, timeout=120)
            for program in (find("aarch64"), shim)
        ]
        assert outputs[0].stdout.replace(find("aarch64").encode(), b"") == outputs[
            1
        ].stdout.replace(shim.encode(), b"")
        assert outputs[0].returncode == outputs[1].returncode == 0


_DIVERTED = """
set -eu
work=$1 vmserial=$2
mount -t tmpfs tmpfs "$work"
chmod 755 "$work"
for place in usr var; do
    mkdir "$work/$place" "$work/$place.work"
    mount -t overlay overlay \
        -o "lowerdir=/$place,upperdir=$work/$place,workdir=$work/$place.work" "/$place"
done
ln -sf qemu-system-aarch64 /usr/bin/kvm
$vmserial shim install --binary /usr/bin/kvm
$vmserial shim status
dpkg-divert --truename /usr/bin/qemu-system-aarch64
mkdir "$work/run"
kvm -machine virt -nodefaults -display none -S -daemonize -pidfile "$work/run/pid" \
    -chardev null,id=serial1 -device isa-serial,chardev=serial1
pid=$(cat "$work/run/pid")
tr '\\0' ' ' <"/proc/$pid/cmdline"; echo
readlink "/proc/$pid/exe"
cat "/proc/$pid/comm"
kill "$pid"
grep -c 'isa-serial -> ' /var/log/vmserial-shim.log
$vmserial shim remove
dpkg-divert --truename /usr/bin/qemu-system-aarch64
ls /usr/bin/qemu-system-aarch64* /usr/lib/vmserial-shim 2>&1 || true
"""

if os.geteuid() == 0:  # mounts are root's, and a diversion too

    def test_in_the_place_of_the_binary(tmp_path: Path) -> None:
        """On this very system, whose /usr and /var are changed for the test's processes alone."""
        vmserial = f"{sys.executable} -m vmserial"
        unshare = shutil.which("unshare")
        assert unshare
        done = subprocess.run(
            [unshare, "--mount", "sh", "-c", _DIVERTED, "sh", str(tmp_path), vmserial],
            capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        lines = done.stdout.splitlines()
        assert lines[0] == "/usr/bin/qemu-system-aarch64: installed"
        assert lines[1] == "/usr/bin/qemu-system-aarch64: fine"
        at = lines.index("/usr/bin/qemu-system-aarch64.distrib")
        assert lines[at + 1].startswith(("kvm -machine virt ", "/usr/bin/kvm -machine virt "))
        assert "-serial chardev:serial1" in lines[at + 1]
        assert "isa-serial" not in lines[at + 1]
        assert lines[at + 2] == "/usr/bin/qemu-system-aarch64.distrib"
        assert lines[at + 3 : at + 6] == ["kvm", "1", "/usr/bin/qemu-system-aarch64"]
        assert sorted(lines[at + 6 :]) == [
            "/usr/bin/qemu-system-aarch64",
            "ls: cannot access '/usr/lib/vmserial-shim': No such file or directory",
        ]
