"""`vmserial run` on a real QEMU: where the ports are, and that nothing stays behind."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

BOUND = 60.0


@contextlib.contextmanager
def vmserial(*words: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command line; it is ended whatever the test does."""
    running = subprocess.Popen(
        [sys.executable, "-m", "vmserial", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Ctrl-C is for it, not for pytest's other children; and it must not be ignored.
        process_group=0,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        yield running
    finally:
        running.kill()
        running.communicate()


def until(running: subprocess.Popen[bytes], pattern: str) -> str:
    """Read stderr until it says ``pattern``; return all of it.

    Raises:
        AssertionError: it did not within the bound, or ended without.
    """
    assert running.stderr is not None
    said = b""
    end = time.monotonic() + BOUND
    while not re.search(pattern.encode(), said):
        left = end - time.monotonic()
        ready, _, _ = select.select([running.stderr], [], [], max(left, 0))
        assert ready, f"{pattern!r} not within {BOUND:g} s: {said.decode()}"
        data = os.read(running.stderr.fileno(), 65536)
        assert data, f"ended without {pattern!r}: {said.decode()}"
        said += data
    return said.decode()


@pytest.mark.parametrize(
    ("arch", "kinds"), [("aarch64", ["uart", "usb", "pci"]), ("x86_64", ["isa", "usb", "pci"])]
)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ports_are_reached_and_nothing_stays(
    arch: str, kinds: list[str], number: signal.Signals, code: int, tmp_path: Path
) -> None:
    sockets = tmp_path / "made" / "here"
    words = ["--arch", arch, "--ports", "3", "--type", "serial1=usb", "--type", "serial2=pci"]
    with vmserial(
        "run", *words, "--socket-dir", str(sockets), "--backend", "serial2=pty", "--accel", "tcg"
    ) as running:
        said = until(running, r"runs \(process \d+\)")
        pid = int(re.findall(r"process (\d+)", said)[0])
        assert Path(f"/proc/{pid}").exists()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(sockets / "serial1"))
        running.send_signal(number)
        printed, _ = running.communicate(timeout=BOUND)
        rows = [line.split() for line in printed.decode().splitlines() if line]
        assert [row[1] for row in rows[1:]] == kinds
        assert rows[1][2] == str(sockets / "serial0")
        assert re.fullmatch(r"/dev/pts/\d+", rows[3][2])
        assert running.returncode == code
    assert not Path(f"/proc/{pid}").exists()
    assert not (tmp_path / "made").exists()


def test_sockets_of_a_killed_qemu_do_not_stay(tmp_path: Path) -> None:
    """In a directory that was there before, too; what else is in it is not ours."""
    (tmp_path / "mine").write_text("")
    words = ("--arch", "aarch64", "--ports", "2", "--socket-dir", str(tmp_path))
    with vmserial("run", *words, "--accel", "tcg") as running:
        said = until(running, r"runs \(process \d+\)")
        assert (tmp_path / "serial1").is_socket()
        os.kill(int(re.findall(r"process (\d+)", said)[0]), signal.SIGKILL)
        _, rest = running.communicate(timeout=BOUND)
        assert running.returncode == 1
        assert b"QEMU ended by SIGKILL" in rest
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_qemu_that_does_not_start_says_why(tmp_path: Path) -> None:
    toml = tmp_path / "vm.toml"
    toml.write_text('arch = "aarch64"\nports = 1\nargs = ["-device", "isa-serial"]\n')
    with vmserial("run", str(toml), "--socket-dir", str(tmp_path / "made")) as running:
        _, said = running.communicate(timeout=BOUND)
        assert running.returncode == 1
        assert b"'isa-serial' is not a valid device model name" in said
        assert b"  hint: " in said
        assert b"Traceback" not in said
    assert not (tmp_path / "made").exists()


def test_sockets_that_cannot_be_made_are_bad_use(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    words = ("--arch", "aarch64", "--ports", "1", "--socket-dir", str(tmp_path / "file" / "x"))
    with vmserial("run", *words) as running:
        _, said = running.communicate(timeout=BOUND)
        assert running.returncode == 2
        assert b"--socket-dir" in said
