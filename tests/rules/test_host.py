"""The rules about what the host has at a command's places: each on a bad host and a good one."""

from __future__ import annotations

import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

import findings
from vmserial.guests import profile
from vmserial.host import kind_of, look
from vmserial.judging import judge
from vmserial.model import Finding, Severity
from vmserial.model.host import Family, HostFacts, TcpListener
from vmserial.rules.base import HOST
from vmserial.rules.index import PHASES
from vmserial.sources.command import CommandLine

PLACES = HostFacts(
    {
        "/run/vm": "directory", "/run/vm/plain": "file", "/run/vm/fifo": "fifo",
        "/run/vm/live": "socket", "/run/vm/stale": "socket", "/run/vm/new": "missing",
        "/run/vm/new.in": "missing", "/run/vm/new.out": "missing", "/run/vm/half": "missing",
        "/run/vm/half.in": "fifo", "/run/vm/half.out": "missing", "/run/vm/both": "missing",
        "/run/vm/both.in": "fifo", "/run/vm/both.out": "fifo", "/no": "missing",
        "/no/x": "missing", "/dev/ttyUSB7": "missing", "/dev/ttyS0": "character",
        "/dev/hidden": "unknown", "/k": "missing",
    },
    frozenset({"/run/vm/live"}),
    (TcpListener(4, "127.0.0.1", 4001), TcpListener(4, "0.0.0.0", 4002),
     TcpListener(6, "::", 4002), TcpListener(6, "::1", 4003)),
    tcp_seen=True,
)  # fmt: skip


INPUTS = sorted(path.parent.name for path in findings.RULES.glob("*/host.toml"))
"""The rules whose inputs say what the host has."""


def of_rule(id: str) -> Finding | None:
    """Return what a rule finds in its own input."""
    (path,) = findings.inputs(id, "bad")
    return next((each for each in findings.found(path) if each.id == id), None)


def found(words: str, host: HostFacts = PLACES) -> list[Finding]:
    command = CommandLine.parse(f"qemu-system-x86_64 -M q35 -nodefaults {words}", "vm.sh")
    verdict = judge(
        command, findings.capabilities("x86_64"), profile.unknown("x86_64"), host=host
    )  # fmt: skip
    ids = {rule.id for phase in PHASES for rule in phase if HOST in rule.needs}
    ids.add("address-in-use")
    return [finding for finding in verdict.findings if finding.id in ids]


BAD = [
    (
        "tty-not-a-device",
        "-chardev serial,id=serial0,path=/run/vm -device isa-serial,chardev=serial0",
    ),
    ("pipe-missing", "-serial pipe:/run/vm/half"),
    ("directory-missing", "-serial file:/no/x"),
    ("directory-missing", "-chardev null,id=serial0,logfile=/no/x -serial chardev:serial0"),
    ("path-is-directory", "-serial unix:/run/vm,server=on,wait=off"),
    ("socket-missing", "-serial unix:/run/vm/stale"),
    ("socket-missing", "-serial tcp:localhost:4009"),
    ("address-half-taken", "-serial telnet::4003,server=on,wait=off"),
    ("address-in-use", "-serial tcp::4002,server=on,wait=off"),
    ("address-in-use", "-serial telnet:127.0.0.1:4001,server=on,wait=off"),
    ("address-in-use", "-serial tcp:localhost:4002,server=on,wait=off"),
    ("tty-missing", "-serial null -monitor /dev/ttyUSB7"),
]

GOOD = [
    "-serial /dev/ttyS0",
    "-serial /dev/hidden",
    "-serial pipe:/run/vm/both",
    "-serial pipe:/run/vm/fifo",
    "-serial unix:/run/vm/new,server=on,wait=off",
    "-serial unix:/run/vm/stale,server=on,wait=off",
    "-serial unix:/run/vm/live",
    "-serial unix:/run/vm/new,reconnect=1",
    "-serial tcp:localhost:4001",
    "-serial tcp:console.example:4009",
    "-serial tcp::4009,server=on,wait=off",
    "-serial tcp:127.0.0.1:4009,server=on,wait=off",
    "-serial tcp::4001,server=on,wait=off,to=4010",
    "-chardev socket,id=serial0,path=/run/vm/plain,abstract=on,server=on,wait=off"
    " -serial chardev:serial0",
    "-serial file:/run/vm/plain",
    "-serial null -kernel /unseen -bios OVMF.fd",
]


@pytest.mark.parametrize("id", INPUTS)
def test_a_finding_says_where_and_for_which_port(id: str) -> None:
    one = of_rule(id)
    assert one is not None
    assert one.where is not None
    assert one.where.file == "bad.args"
    assert one.fix
    assert one.ports == (("serial0",) if id != "file-missing" else ())


@pytest.mark.parametrize("id", INPUTS)
def test_without_a_look_nothing_is_said(id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings, "host", lambda _: None)
    assert of_rule(id) is None


@pytest.mark.parametrize(("id", "words"), BAD)
def test_what_the_host_lacks_is_found(id: str, words: str) -> None:
    one = next(finding for finding in found(words) if finding.id == id)
    assert one.where is not None
    assert one.where.file == "vm.sh"
    assert one.fix
    assert one.ports == (("serial0",) if "monitor" not in words and "kernel" not in words else ())


@pytest.mark.parametrize("words", GOOD)
def test_what_the_host_has_is_right(words: str) -> None:
    assert found(words) == []


def test_a_running_vm_is_no_trouble_to_itself() -> None:
    one = of_rule("socket-in-use")
    assert one is not None
    assert one.severity is Severity.NOTE


def test_the_owners_own_directory_is_made_at_the_start() -> None:
    host = replace(PLACES, paths={"/var/run/qemu-server": "missing",
                                  "/var/run/qemu-server/142.serial0": "missing"})  # fmt: skip
    words = "-serial unix:/var/run/qemu-server/142.serial0,server=on,wait=off"
    assert [f.id for f in found(words, host)] == ["directory-missing"]
    assert found(f"{words} -pidfile /var/run/qemu-server/142.pid", host) == []


# ------------------------------------------------------------------ the look itself


def test_what_stands_at_a_path(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to(tmp_path / "fifo")
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
    seen = {name: kind_of(str(tmp_path / name)) for name in
            ("file", "fifo", "link", "dangling", "socket", "none", "file/below")}  # fmt: skip
    assert seen == {
        "file": "file", "fifo": "fifo", "link": "fifo", "dangling": "missing", "socket": "socket",
        "none": "missing", "file/below": "missing",
    }  # fmt: skip
    assert kind_of(str(tmp_path)) == "directory"
    assert kind_of("/dev/null") == "character"
    assert kind_of("/a\0b") == "unknown"


@pytest.mark.parametrize(("family", "address"), [(4, "127.0.0.1"), (6, "::1")])
def test_listeners_are_seen(tmp_path: Path, family: Family, address: str) -> None:
    kind = socket.AF_INET if family == 4 else socket.AF_INET6
    path = str(tmp_path / "s")
    with socket.socket(kind) as tcp, socket.socket(socket.AF_UNIX) as unix:
        try:
            tcp.bind((address, 0))
        except OSError:
            pytest.fail(f"this machine has no {address}; the live tests need it as well")
        port = tcp.getsockname()[1]
        unix.bind(path)
        sides = [("socket", {"path": path}), ("socket", {"port": str(port)})]
        assert look(sides).listening & {path} == set()
        tcp.listen()
        unix.listen()
        seen = look(sides)
    assert path in seen.listening
    assert TcpListener(family, address, port) in seen.tcp
