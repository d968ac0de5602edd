"""A3: what the host lacks or somebody else holds is found before QEMU says it; on a real host."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from vmserial.cli.main import run

QEMU = "qemu-system-x86_64"


@pytest.fixture
def port() -> Iterator[int]:
    """A TCP port that somebody listens on, on 127.0.0.1."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield int(listener.getsockname()[1])


def doctor(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = run(["doctor", "--", QEMU, "-M", "q35", "-nodefaults", "-display", "none", *words])
    return code, capsys.readouterr().out


CASES = {
    "tty": ("-serial", "/dev/ttyUSB77"),
    "pipe": ("-serial", "pipe:{dir}/p"),
    "directory": ("-serial", "unix:{dir}/none/x,server=on,wait=off"),
    "client": ("-serial", "unix:{dir}/x"),
    "stale": ("-serial", "unix:{dir}/stale"),
    "tcp-client": ("-serial", "tcp:127.0.0.1:9"),
    "tcp-server": ("-serial", "tcp:127.0.0.1:{port},server=on,wait=off"),
    "log": ("-chardev", "null,id=serial0,logfile={dir}/none/l", "-serial", "chardev:serial0"),
}
FOUND = {
    "tty": "tty-missing", "pipe": "pipe-missing", "directory": "directory-missing",
    "client": "socket-missing", "stale": "socket-missing", "tcp-client": "socket-missing",
    "tcp-server": "address-in-use", "log": "directory-missing",
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a3_what_keeps_qemu_from_starting_is_named(
    name: str, tmp_path: Path, port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(tmp_path / "stale"))
    words = [word.format(dir=tmp_path, port=port) for word in CASES[name]]
    code, said = doctor(capsys, *words)
    assert code == 1
    assert f"[{FOUND[name]}]" in said
    assert said.startswith("fails to start: serial0 (argument")
    # And so it is: QEMU says what the finding says.
    assert shutil.which(QEMU)
    real = subprocess.run(
        [QEMU, "-M", "q35", "-nodefaults", "-display", "none", "-S", *words],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert real.returncode == 1
    own = real.stderr.splitlines()[0].partition(": ")[2]
    assert " ".join(own.split()) in " ".join(said.split())


def test_a3_the_same_with_what_is_needed_is_right(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    os.mkfifo(tmp_path / "p")
    code, said = doctor(
        capsys, "-serial", f"pipe:{tmp_path}/p", "-serial", f"file:{tmp_path}/f",
        "-serial", f"unix:{tmp_path}/x,server=on,wait=off",
    )  # fmt: skip
    assert (code, said) == (0, "the command: nothing is wrong\n")


def test_a3_a_command_of_another_host_is_judged_without_this_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ("doctor", "--", "/opt/elsewhere/qemu-system-x86_64", "-M", "q35", "-nodefaults",
             "-serial", "/dev/ttyUSB77")  # fmt: skip
    assert run(list(words)) == 0
    assert capsys.readouterr().out == "the command: nothing is wrong\n"


DOMAIN = """<domain type='qemu'><name>d</name><memory>65536</memory>
<os><type arch='x86_64' machine='q35'>hvm</type></os>
<devices><emulator>{emulator}</emulator>
<serial type='dev'><source path='/dev/ttyUSB77'/><target port='0'/></serial>
<serial type='unix'><source mode='bind' path='{dir}/none/x'/><target port='1'/></serial>
<serial type='tcp'><source mode='bind' host='127.0.0.1' service='{port}'/><protocol type='raw'/>
<target port='2'/></serial>
<serial type='pipe'><source path='{dir}/p'/><target port='3'/></serial>
</devices></domain>
"""


@pytest.mark.parametrize("emulator", ["here", "", "/opt/elsewhere/qemu-system-x86_64"])
def test_a3_a_domain_of_this_host_is_held_against_it(
    emulator: str, tmp_path: Path, port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    own = shutil.which(QEMU) if emulator == "here" else emulator
    file = tmp_path / "d.xml"
    file.write_text(DOMAIN.format(emulator=own, dir=tmp_path, port=port))
    # Of a domain that names none, it is this machine's.
    mine = emulator in {"here", ""}
    assert run(["doctor", str(file)]) == (1 if mine else 0)
    said = capsys.readouterr().out
    expected = {
        ("serial0", f"{file}:4", "tty-missing"), ("serial1", f"{file}:5", "directory-missing"),
        ("serial2", f"{file}:6", "address-in-use"), ("serial3", f"{file}:8", "pipe-missing"),
    }  # fmt: skip
    seen = {place for place in expected if f"{place[0]} ({place[1]})  [{place[2]}]" in said}
    assert seen == (expected if mine else set())


def test_a3_a_debuggers_port_is_a_server(capsys: pytest.CaptureFixture[str], port: int) -> None:
    """QEMU listens there, whether it says so or not; nobody has to be there before."""
    assert doctor(capsys, "-gdb", "tcp::1", "-serial", "null")[0] == 0
    code, said = doctor(capsys, "-gdb", f"tcp:127.0.0.1:{port}", "-serial", "null")
    assert code == 1
    assert "[address-in-use]" in said
