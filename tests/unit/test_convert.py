"""Each backend in each format: carried, or named as lost; and read back what was carried."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmserial import chardevs
from vmserial.cli.main import run
from vmserial.convert import libvirt_writer, pve_writer, toml_writer
from vmserial.convert.argv_reader import machine as machine_of
from vmserial.formats import load
from vmserial.formats.argv import CommandLine
from vmserial.model import (
    Backend,
    Chardev,
    File,
    HostTty,
    Machine,
    Null,
    Pipe,
    Pty,
    Ringbuf,
    SerialPort,
    Stdio,
    TcpSocket,
    Udp,
    UnixSocket,
    Vc,
)

BACKENDS: dict[str, Backend] = {
    "unix": UnixSocket("/run/vm/a,b %41.socket"),
    "pves": UnixSocket("/var/run/qemu-server/100.serial1"),
    "unix-client": UnixSocket("/run/vm/a", server=False, reconnect_ms=2000),
    "unix-odd": UnixSocket("/run/vm/a", wait=True, abstract=True, tight=False, telnet=True),
    "tcp": TcpSocket("127.0.0.1", 4001),
    "tcp-client": TcpSocket("::1", 4001, server=False, reconnect_ms=1500),
    "tcp-odd": TcpSocket("127.0.0.1", 4001, to=4009, ipv4=True, nodelay=True, telnet=True),
    "tls": TcpSocket("127.0.0.1", 4001, tls_creds="tls0"),
    "pty": Pty(),
    "pty-path": Pty("/run/vm/pty"),
    "tty": HostTty("/dev/ttyS1"),
    "file": File("/var/log/vm.raw", append=True),
    "file-input": File("/var/log/vm.raw", input_path="/run/vm/in"),
    "pipe": Pipe("/run/vm/pipe"),
    "udp": Udp("127.0.0.1", 4001, "127.0.0.1", 4002),
    "null": Null(),
    "ringbuf": Ringbuf(),
    "stdio": Stdio(),
    "vc": Vc(),
    "vc-size": Vc(cols=80, rows=25),
}
"""One of each backend, and of those with odd options another."""

LOST_IN_LIBVIRT = {
    "unix-odd": {"abstract=on", "tight=off", "telnet=on", "wait=on"},
    "tcp-client": {"reconnect-ms=1500"},
    "tcp-odd": {"to=4009", "ipv4=", "nodelay=on"},
    "tls": {"tls-creds=tls0"},
    "pty-path": {"path=/run/vm/pty"},
    "file-input": {"input-path=/run/vm/in"},
    "ringbuf": {"ringbuf"},
    "vc-size": {"the size of its vc"},
}
"""What libvirt's XML cannot say of each; of the others it says all."""


def vm(*ports: SerialPort) -> Machine:
    return Machine("aarch64", ports, name="vm", machine_type="virt")


def serial_part(machine: Machine) -> list[tuple[int, str, str, bool, str]]:
    return [
        (p.index, chardevs.text(p.chardev), p.kind, p.hotplug, p.state) for p in machine.ports
    ]  # fmt: skip


@pytest.mark.parametrize("logfile", ["", "/var/log/vm/serial1.log"])
@pytest.mark.parametrize("name", BACKENDS)
def test_toml_and_pve_carry_every_backend(name: str, logfile: str, tmp_path: Path) -> None:
    machine = vm(
        SerialPort(1, Chardev(BACKENDS[name], logfile, bool(logfile)), kind="usb", hotplug=True)
    )
    text, losses = toml_writer.write(machine)
    (tmp_path / "vm.toml").write_text(text)
    assert losses == ()
    assert serial_part(load(str(tmp_path / "vm.toml"))) == serial_part(machine)
    text, losses = pve_writer.write(machine, 100)
    (tmp_path / "100.conf").write_text(text)
    assert losses == ()
    assert serial_part(load(str(tmp_path / "100.conf"))) == serial_part(machine)


@pytest.mark.parametrize("name", BACKENDS)
def test_libvirt_carries_a_backend_or_it_is_named(name: str) -> None:
    machine = vm(SerialPort(0, Chardev(BACKENDS[name])))
    text, losses = libvirt_writer.write(machine, {0: "uart"})
    assert {loss.what for loss in losses} == LOST_IN_LIBVIRT.get(name, set())
    assert all(loss.port == "serial0" and loss.why for loss in losses)
    found = ET.fromstring(text).findall("devices/serial")
    assert len(found) == (name != "ringbuf")


def test_libvirt_has_each_kind_where_it_lives() -> None:
    kinds = ["uart", "usb", "pci", "virtio", "virtconsole", *["usb"] * 15]
    ports = [SerialPort(n, Chardev(Pty())) for n in range(len(kinds))]
    text, losses = libvirt_writer.write(vm(*ports), dict(enumerate(kinds)))
    assert losses == ()
    domain = ET.fromstring(text)
    targets = [t.get("type") for t in domain.findall("devices/serial/target")]
    assert targets[:3] == ["system-serial", "usb-serial", "pci-serial"]
    assert [t.get("name") for t in domain.findall("devices/channel/target")] == ["serial3"]
    assert len(domain.findall("devices/console")) == 1
    assert len(domain.findall("devices/controller[@model='qemu-xhci']")) == 2
    places = [(a.get("bus"), a.get("port")) for a in domain.findall("devices/serial/address")]
    assert len(set(places)) == 16
    assert places[-1] == ("1", "1")
    _, losses = libvirt_writer.write(
        vm(SerialPort(0, Chardev(Pty())), SerialPort(1, Chardev(Pty()), state="absent")),
        {0: "pci-4x", 1: "usb"},
    )
    assert [loss.what for loss in losses] == ["type=pci-4x", "state=absent"]


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0\n\r"), min_size=1, max_size=40)


@settings(max_examples=150)
@given(paths=st.lists(TEXT.map(lambda text: f"/{text}".strip()), max_size=4, unique=True))
def test_any_path_survives(paths: list[str], tmp_path_factory: pytest.TempPathFactory) -> None:
    usable = [
        path for path in paths
        if path.isprintable() and "{" not in path and len(path.encode()) < 100
        and path == path.strip()
    ]  # fmt: skip
    machine = vm(*(SerialPort(n, Chardev(File(path))) for n, path in enumerate(usable, 1)))
    file = tmp_path_factory.mktemp("toml") / "vm.toml"
    file.write_text(toml_writer.write(machine)[0])
    assert serial_part(load(str(file))) == serial_part(machine)
    file = file.with_name("100.conf")
    file.write_text(pve_writer.write(machine, 100)[0])
    assert serial_part(load(str(file))) == serial_part(machine)


def test_a_word_in_braces_is_lost_in_toml() -> None:
    text, losses = toml_writer.write(vm(SerialPort(1, Chardev(File("/var/log/{n}")))))
    assert [(loss.port, loss.what) for loss in losses] == [("serial1", "its backend")]
    assert "[[port]]" not in text


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("qemu-system-aarch64 -M virt -serial pty", [(0, "pty", "auto", False, "plugged")]),
        (
            "qemu-system-x86_64 -chardev null,id=serial3 -device isa-serial,chardev=serial3",
            [(3, "null", "isa", False, "plugged")],
        ),
        (
            "qemu-system-x86_64 -M q35 -serial mon:stdio",
            [(0, "stdio,signal=on", "isa", False, "plugged")],
        ),
    ],
)
def test_a_command_becomes_a_machine(text: str, ports: list[object]) -> None:
    assert serial_part(machine_of(CommandLine.parse(text))) == ports


def test_the_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    conf = tmp_path / "142.conf"
    conf.write_text("arch: aarch64\nserial0: socket\n#vmserial serial1: ringbuf\n")
    assert run(["convert", str(conf), "--to", "toml"]) == 0
    assert 'backend = "ringbuf=65536"' in capsys.readouterr().out
    assert run(["convert", str(conf), "--to", "toml", "-o", str(tmp_path / "vm.toml")]) == 0
    assert run(["convert", str(conf), "--to", "toml", "-o", str(tmp_path / "vm.toml")]) == 2
    assert "there already" in capsys.readouterr().err
    assert run(["convert", "--to", "pve", "--json", "--vmid", "7", "--",
                "qemu-system-aarch64", "-M", "virt", "-serial", "pty"]) == 0  # fmt: skip
    assert "#vmserial serial0: pty" in json.loads(capsys.readouterr().out)["text"]
