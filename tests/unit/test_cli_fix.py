"""doctor and fix of a command line: what they print and write, and with which exit code."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import findings
from vmserial.cli.main import run
from vmserial.cli.subject import input_of
from vmserial.cli.vm_options import VmOptions
from vmserial.model import Capabilities
from vmserial.sources.command import CommandLine

DEAD = ["qemu-system-aarch64", "-M", "virt", "-serial", "pty", "-serial", "pty"]
SCRIPT = """#!/bin/sh
# my VM
exec qemu-system-aarch64 -M virt -m 1G \\
  -serial stdio \\
  -chardev pty,id=serial1 \\
  -device isa-serial,chardev=serial1 "$@"   # the second one
"""


@pytest.fixture(autouse=True)
def no_qemu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer for a recorded QEMU 7.2 of the command's architecture, without one."""

    def answered(asked: VmOptions, command: CommandLine) -> Capabilities:
        del asked
        return findings.capabilities("x86_64" if "x86_64" in command.program else "aarch64")

    monkeypatch.setattr("vmserial.cli.subject_command.capabilities_of", answered)


def said_to(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))


def test_doctor_of_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--", *DEAD]) == 1
    assert "silently dead: serial1 (argument 6)  [onboard-uart-limit]" in capsys.readouterr().out
    assert run(["doctor", "--json", "--", *DEAD]) == 1
    assert json.loads(capsys.readouterr().out)[0]["ports"] == ["serial1"]
    assert run(["doctor", "--", *DEAD[:-2]]) == 0
    assert "nothing is wrong" in capsys.readouterr().out


def test_fix_of_a_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["fix", "--", *DEAD]) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("qemu-system-aarch64 -M virt -serial pty -device qemu-xhci,")
    assert "mended: serial1: -serial -> usb-serial" in printed.err
    assert run(["fix", "--pretty", "--", *DEAD]) == 0
    assert " \\\n  -device qemu-xhci," in capsys.readouterr().out
    assert run(["fix", "--json", "--", *DEAD]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["changes"][0]["id"] == "onboard-uart-limit"
    assert data["left"] == []
    assert run(["fix", "--type", "virtio", "--", *DEAD]) == 0
    assert "virtserialport,id=virtserialport.1,bus=vmserial-virtio0.0" in capsys.readouterr().out


def test_fix_of_stdin_keeps_its_form(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said_to(monkeypatch, SCRIPT.encode())
    assert run(["fix", "-"]) == 0
    mended = capsys.readouterr().out
    assert mended.startswith("#!/bin/sh\n# my VM\nexec qemu-system-aarch64 -M virt -m 1G \\\n")
    assert mended.endswith('"$@"   # the second one\n')
    assert "-device usb-serial,id=usbserial1" in mended
    said_to(monkeypatch, b"\0".join(word.encode() for word in DEAD) + b"\0")
    assert run(["fix", "-"]) == 0
    assert "-device usb-serial,id=usbserial1" in capsys.readouterr().out


def test_fix_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "start-vm.sh"
    script.write_text(SCRIPT)
    script.chmod(0o750)
    assert run(["fix", str(script)]) == 0
    printed = capsys.readouterr()
    assert '-  -device isa-serial,chardev=serial1 "$@"   # the second one' in printed.out
    assert "nothing was written" in printed.err
    assert script.read_text() == SCRIPT
    assert run(["fix", str(script), "-o", str(tmp_path / "new.sh")]) == 0
    assert run(["fix", str(script), "--apply"]) == 0
    assert "usb-serial" in script.read_text()
    assert script.stat().st_mode & 0o777 == 0o750
    assert (tmp_path / "new.sh").read_text() == script.read_text()
    (backup,) = tmp_path.glob("*.bak")
    assert backup.read_text() == SCRIPT
    capsys.readouterr()
    assert run(["fix", str(script), "--apply"]) == 0
    assert "nothing was changed" in capsys.readouterr().err
    assert len(list(tmp_path.glob("*.bak"))) == 1


def test_what_is_left_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["qemu-system-aarch64", "-M", "raspi3b", "-chardev", "pty,id=a", "-chardev",
             "stdio,id=b", "-monitor", "stdio"]  # fmt: skip
    assert run(["fix", "--", *words]) == 1
    printed = capsys.readouterr()
    assert "left: -monitor stdio: cannot use stdio by multiple character devices" in printed.err
    assert "hint: " in printed.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fix", "--apply", "--", *DEAD], "--apply needs a file"),
        (["fix", "--diff", "--apply", "x.sh"], "exclude each other"),
        (["fix", "vm.sh", "--", *DEAD], "are two inputs"),
        (["fix", "--arch", "aarch64"], "there is nothing to mend"),
        (["doctor", "--", "qemu-system-aarch64", "-chardev"], "requires an argument"),
        (["doctor", "--", "qemu-system-aarch64", "-device", "{"], "the JSON cannot be read"),
    ],
)
def test_what_is_wrong_with_the_call(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("142.conf", "serial0: socket\n", "pve"),
        ("vm.toml", "ports = 1\n", "machine"),
        ("guest.xml", "<domain/>", "domain"),
        ("guest", "\ufeff <domain/>", "domain"),
        ("start.sh", SCRIPT, "command"),
        ("ps.txt", "/usr/bin/kvm -id 100 -serial none\n", "command"),
        ("vm", "ports = 1\n", "machine"),
    ],
)
def test_what_a_file_is(name: str, content: str, kind: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    assert input_of(VmOptions(input=str(tmp_path / name))).kind == kind


def test_a_machine_that_is_not_planned_says_what_was_measured(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = Capabilities((7, 2, 0), "m68k", onboard_uarts={"virt": 1})
    monkeypatch.setattr("vmserial.cli.subject_command.capabilities_of", lambda *_: measured)
    words: list[Any] = ["qemu-system-m68k", "-M", "virt", "-serial", "pty", "-serial", "pty"]
    assert run(["fix", "--", *words]) == 1
    printed = capsys.readouterr()
    assert printed.out.split() == words
    assert "left: -serial pty: QEMU 7.2.0 wires up 1 on-board UART of virt" in printed.err
    assert run(["doctor", "--", *words[:-2]]) == 0
    assert "m68k, machine type virt: of the guest's side only" in capsys.readouterr().out
