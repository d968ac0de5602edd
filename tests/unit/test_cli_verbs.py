"""plan, showcmd, doctor, probe: what they print, where, and with which exit code."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from plans import binary, remembered
from test_cli_main import loaded

from vmserial.cli import main
from vmserial.machines import architecture
from vmserial.model import Machine
from vmserial.qemu.accel import Proof

ARTICLE = "arch: aarch64\nname: kylin\nmemory: 2048\nserial0: socket\nserial1: socket\n"


@pytest.fixture
def conf(tmp_path: Path) -> str:
    """Return the path of the article's configuration."""
    path = tmp_path / "142.conf"
    path.write_text(ARTICLE)
    return str(path)


@pytest.fixture(autouse=True)
def no_qemu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer for a QEMU 7.2 of the machine's architecture, without one."""
    if "real_binary" in request.fixturenames:
        return

    def answered(machine: Machine, path: str = "") -> tuple[Any, Proof]:
        arch = architecture(machine.arch).name
        there = replace(binary(arch), binary=path or f"/usr/bin/qemu-system-{arch}")
        return there, Proof("tcg", "a test")

    monkeypatch.setattr("vmserial.cli.gather.capabilities_of", answered)


@pytest.fixture
def real_binary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the path of a program for which the cache has the answers of a QEMU 7.2."""
    path = remembered(tmp_path)
    monkeypatch.setenv("PATH", str(path.parent), prepend=":")
    return str(path)


def run(*words: str) -> int:
    return main.run(list(words))


# ------------------------------------------------------------------ plan


def test_plan_shows_every_port_and_why(conf: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plan", conf) == 0
    text = capsys.readouterr().out
    assert "kylin: aarch64, 2 serial ports, QEMU 7.2.0, guest debian-12-arm64" in text
    assert "serial0  uart  board 0x9000000 " in text
    assert "serial1  usb   vmserial-xhci0.0 port 1 " in text
    assert "usb:serial1" in text
    assert "Why\n  serial0: " in text
    assert "Assumed\n  nobody said which system the guest runs" in text


def test_plan_as_json(conf: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plan", conf, "--json", "--guest", "debian-13-arm64") == 0
    data = json.loads(capsys.readouterr().out)
    assert [port["kind"] for port in data["ports"]] == ["uart", "usb"]
    assert data["ports"][1]["identity"] == {"kind": "usb", "value": "serial1"}
    assert data["ports"][1]["device"]["properties"]["always-plugged"] is True
    assert data["guest"]["name"] == "debian-13-arm64"
    assert data["guest"]["assumed"] is False
    assert data["command"][0] == "/usr/bin/qemu-system-aarch64"
    assert data["refusals"] == []


def test_plan_shows_what_fits_beside_what_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--arch", "arm64", "--ports", "10", "--type", "pci")
    assert run("plan", *words) == 1
    text = capsys.readouterr().out
    assert "serial4  pci" in text
    assert "serial5  pci" not in text
    assert "Refused\n" in text
    assert "and the same for serial6-serial9" in text
    assert run("plan", *words, "--json") == 1
    data = json.loads(capsys.readouterr().out)
    assert {r["id"] for r in data["refusals"]} == {"guest-8250-limit"}
    assert data["command"] == []


def test_notes_on_the_input_go_to_stderr_each_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "7.conf"
    path.write_text(ARTICLE + "hugepages: 2\nfrobnicate: 1\n")
    for words in (["plan"], ["plan", "--json"], ["showcmd"], ["doctor"]):
        run(*words, str(path))
        captured = capsys.readouterr()
        assert f"{path}:6" in captured.err
        assert "hugepages" in captured.err
        assert f"{path}:7" in captured.err
        assert "hugepages" not in captured.out or words == ["plan", "--json"]


@pytest.mark.parametrize(
    ("words", "kinds"),
    [
        (["--type", "virtio"], ["uart", "virtio", "virtio"]),
        (["--type", "serial2=pci"], ["uart", "usb", "pci"]),
        (["--type", "virtio", "--type", "serial2=pci"], ["uart", "virtio", "pci"]),
        (["--console", "usb"], ["usb", "uart", "usb"]),
    ],
)
def test_types(words: list[str], kinds: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plan", "--arch", "aarch64", "--ports", "3", *words, "--json") == 0
    data = json.loads(capsys.readouterr().out)
    assert [port["kind"] for port in data["ports"]] == kinds


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--type", "usb", "--type", "pci"], "--type is given twice: usb and pci"),
        (["--type", "serial1=usb", "--type", "serial1=pci"], "twice for serial1"),
        (["--type", "usbx"], "'usbx' is none of auto, uart"),
        (["--backend", "pty", "--backend", "null"], "--backend is given twice: pty and null"),
        (["--qemu", "a", "--qemu", "b"], "--qemu is given twice: a and b"),
        (["--guest", "debian-12-arm65"], "did you mean debian-12-arm64"),
        (["--backend", "file=/tmp/x"], "put {n} into it"),
        (["--ports", "-1"], "-1 is not in the range"),
    ],
)
def test_options_that_do_not_go_together(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("plan", "--arch", "aarch64", "--ports", "3", *words) == 2
    assert says in capsys.readouterr().err


def test_nothing_says_which_vm(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("plan") == 2
    assert "--arch" in capsys.readouterr().err


# ------------------------------------------------------------------ showcmd


def shell_words(text: str) -> list[str]:
    """Return the words that a shell makes of a command."""
    script = f"set -- {text}\nprintf '%s\\0' \"$@\""
    result = subprocess.run(["sh", "-c", script], capture_output=True, check=True, timeout=60)
    return result.stdout.decode().split("\0")[:-1]


def test_the_three_forms_are_the_same_words(conf: str, capsys: pytest.CaptureFixture[str]) -> None:
    forms = []
    for words in ([], ["--pretty"], ["--json"]):
        assert run("showcmd", conf, *words) == 0
        forms.append(capsys.readouterr().out)
    one, pretty, listed = forms
    assert one.count("\n") == 1
    assert pretty.count(" \\\n  -") > 10
    assert shell_words(one) == shell_words(pretty) == json.loads(listed)
    assert json.loads(listed)[0] == "/usr/bin/qemu-system-aarch64"


@pytest.mark.parametrize("form", [[], ["--pretty"]])
def test_showcmd_is_shell_whatever_a_value_holds(
    form: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = "/tmp/it's $HOME; `id` -x \\ ü,,x"
    words = ["--arch", "aarch64", "--ports", "1", "--backend", f"file={path}"]
    assert run("showcmd", *words, *form) == 0
    assert f"file,id=serial0,path={path}" in shell_words(capsys.readouterr().out)


def test_showcmd_prints_nothing_that_would_not_work(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("showcmd", "--arch", "aarch64", "--ports", "10", "--type", "pci") == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "serial5" in captured.err
    assert "hint: " in captured.err


def test_pretty_and_json_exclude_each_other(conf: str) -> None:
    assert run("showcmd", conf, "--pretty", "--json") == 2


# ------------------------------------------------------------------ doctor


def test_doctor_names_the_articles_error_and_its_cause(
    conf: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("doctor", conf) == 1
    text = capsys.readouterr().out
    assert f"fails to start: serial1 ({conf}:5)  [pve-isa-on-aarch64]" in text
    assert "'isa-serial' is not a valid device model name" in text
    assert "no ISA bus" in text
    assert text.endswith("kylin: 2 serial ports: one thing is wrong\n")


def test_doctor_finds_nothing_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("doctor", "--arch", "aarch64", "--ports", "10") == 0
    text = capsys.readouterr().out
    assert text.endswith("vm: 10 serial ports: nothing is wrong\n")
    # A directory that `run` makes is worth a word and not an alarm.
    assert "/run/vmserial/vm/serial0: No such file or directory; before 'showcmd | sh'" in text


def test_doctor_as_json(conf: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("doctor", conf, "--json") == 1
    found = json.loads(capsys.readouterr().out)
    first = found[0]
    assert first["id"] == "pve-isa-on-aarch64"
    assert first["ports"] == ["serial1"]
    assert set(first) == {"id", "severity", "ports", "happens", "why", "fix", "where"}


def test_a_missing_directory_of_a_file_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "not" / "here.log"
    words = ("doctor", "--arch", "aarch64", "--ports", "1", "--backend", f"file={missing}")
    assert run(*words) == 1
    assert "directory-missing" in capsys.readouterr().out


# ------------------------------------------------------------------ probe


def test_probe(
    real_binary: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        "vmserial.qemu.accel.proven", lambda *_a, **_k: Proof("tcg", "KVM is not tried here")
    )
    assert run("probe", real_binary) == 0
    text = capsys.readouterr().out
    assert f"{real_binary}: QEMU 7.2.0, aarch64" in text
    assert "accelerator: tcg: KVM is not tried here" in text
    assert "machine type virt: there, on-board UARTs: 1 (measured)" in text
    assert re.search(r"^isa +isa-serial +no ", text, re.MULTILINE)
    assert run("probe", "--arch", "arm64", "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["onboard_uarts"]["virt"] == 1


def test_probe_without_any_binary(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert run("probe") == 2
    assert "no QEMU is in $PATH" in capsys.readouterr().err


# ------------------------------------------------------------------ what is imported


@pytest.mark.parametrize(
    "words", [("plan", "--json"), ("showcmd",), ("showcmd", "--pretty"), ("doctor", "--json")]
)
def test_quick_verbs_import_nothing_heavy(
    words: tuple[str, ...], real_binary: str, tmp_path: Path
) -> None:
    toml = tmp_path / "vm.toml"
    toml.write_text('arch = "aarch64"\nports = 10\nbackend = "null"\n')
    assert loaded(*words, str(toml), "--qemu", real_binary) == set()
