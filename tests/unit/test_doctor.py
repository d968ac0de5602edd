"""Doctor: the article's error by its own words, and silence where nothing is wrong."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest
from plans import DEBIAN_12_ARM64, binary, machine, planned

from vmserial import chardevs, doctor
from vmserial.doctor import Finding, Severity
from vmserial.model import DirectBoot, Machine, SerialPort
from vmserial.pve.examine import examine
from vmserial.sources.pve import Document
from vmserial.sources.pve import machine as read_machine


def pve(arch: str = "aarch64", ports: int = 2, *more: str) -> str:
    return conf(arch, *(f"serial{n}: socket" for n in range(ports)), *more)


def conf(arch: str, *lines: str) -> str:
    return "\n".join([*lines, f"arch: {arch}", "vga: none", ""])


def found(text: str, arch: str = "aarch64") -> dict[str, Finding]:
    document = Document.parse(text, "142.conf")
    made = read_machine(document, 142)
    guest = replace(DEBIAN_12_ARM64, nr_uarts=32)
    findings = examine(document, made, binary(arch), guest)
    return {f.id: f for f in findings if f.severity is not Severity.NOTE}


def test_the_articles_configuration() -> None:
    (finding,) = found(pve()).values()
    assert finding.id == "pve-isa-on-aarch64"
    assert (
        "-device isa-serial,chardev=serial1: 'isa-serial' is not a valid device model name"
        in finding.happens
    )
    assert finding.ports == ("serial1",)
    assert str(finding.where) == "142.conf:2"
    assert "ISA" in finding.why
    assert finding.fix


def test_what_pve_can_start_has_no_finding() -> None:
    assert not found(pve(ports=1))
    assert not found(pve("x86_64", 4), "x86_64")


def test_a_host_tty_on_serial0_fails_too() -> None:
    assert "pve-isa-on-aarch64" in found(conf("aarch64", "serial0: /dev/ttyS1"))


def test_a_directive_does_not_hide_what_pve_does_with_its_own_line() -> None:
    made = conf("aarch64", "serial0: socket", "serial1: socket", "#vmserial serial1: pty")
    assert found(made)["pve-isa-on-aarch64"].ports == ("serial1",)
    only = conf("aarch64", "serial0: socket", "#vmserial serial1: pty")
    assert set(found(only)) == {"pve-directive-only"}


@pytest.mark.parametrize("value", ["pty", "socket=/x", "socket,type=usb"])
def test_what_pve_takes_for_a_path(value: str) -> None:
    assert set(found(conf("x86_64", f"serial1: {value}"), "x86_64")) == {"pve-backend-unknown"}


def test_limits_of_pve() -> None:
    assert found(pve("x86_64", 5), "x86_64")["pve-serial-limit"].severity is Severity.LOST
    agent = "agent: 1,type=isa"
    assert "pve-isa-limit" in found(pve("x86_64", 4, agent), "x86_64")
    assert "pve-isa-limit" not in found(pve("x86_64", 3, agent), "x86_64")
    args = "args: -chardev null,id=x -device isa-serial,chardev=x"
    # This one is the user's own.
    assert "isa-limit" in found(pve("x86_64", 4, args), "x86_64")
    assert not found(pve("x86_64", 3, args), "x86_64")
    assert "pve-agent-isa-on-aarch64" in found(pve("aarch64", 1, agent))


def test_what_else_does_not_start_on_arm() -> None:
    made = pve("aarch64", 1, "vmgenid: 0b1c2d3e-0000-1111-2222-333344445555",
               "ide2: local:iso/x.iso,media=cdrom")  # fmt: skip
    assert {"pve-vmgenid-on-aarch64", "pve-ide-on-aarch64"} <= set(found(made))


def test_dead_ports_of_any_input_are_named() -> None:
    findings = doctor.diagnose(machine(ports=10, kind="pci"), binary(), DEBIAN_12_ARM64)
    dead = [f for f in findings if f.severity is Severity.DEAD]
    assert len(dead) == 5
    assert findings[0].severity is Severity.DEAD


# ------------------------------------------------------------------ the host's own files


def host_ids(made: Machine) -> set[str]:
    from vmserial.cli.host_facts import of_plan
    from vmserial.planning import planner

    return {f.id for f in of_plan(planner.plan(made, binary(), DEBIAN_12_ARM64))}


def with_backend(text: str) -> Machine:
    return replace(
        machine(ports=0), ports=(SerialPort(0, chardevs.parse(text)),),
        boot=DirectBoot("/proc/self/exe"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/dev/null", set()),
        ("/dev/does-not-exist", {"tty-missing"}),
        ("/dev/pts", {"tty-not-a-device"}),
        ("tcp=localhost:9,server=off", {"socket-missing"}),
        ("pipe=/tmp", set()),
        ("socket=/no/such/dir/s", {"directory-missing"}),
        ("socket=/no/such/s,server=off", {"socket-missing"}),
        ("socket=/no/such/s,server=off,reconnect=1", set()),
        ("pipe=/no/such/pipe", {"pipe-missing"}),
        ("file=/no/such/dir/f", {"directory-missing"}),
        ("null,logfile=/no/such/dir/f", {"directory-missing"}),
        ("null", set()),
    ],
)
def test_backends_on_this_host(text: str, expected: set[str]) -> None:
    assert host_ids(with_backend(text)) == expected


def test_a_path_that_somebody_listens_on(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        assert host_ids(with_backend(f"socket={path}")) == set()
        listener.listen()
        assert host_ids(with_backend(f"socket={path}")) == {"socket-in-use"}


def test_missing_files_are_named() -> None:
    made = replace(with_backend("null"), boot=DirectBoot("/no/kernel", "/no/initrd"))
    assert host_ids(made) == {"file-missing"}
    assert planned(ports=1).warnings
