"""The serial ports of a PVE configuration: PVE's own lines and our directives."""

from __future__ import annotations

from pathlib import Path

import pytest

from vmserial.errors import ConfigError
from vmserial.model import (
    Chardev,
    File,
    HostTty,
    Machine,
    Null,
    Pty,
    SerialPort,
    TcpSocket,
    UnixSocket,
)
from vmserial.sources import load
from vmserial.sources.pve import Document, machine

DATA = Path(__file__).parent.parent / "data" / "pve"


def read(text: str) -> Machine:
    return machine(Document.parse("arch: x86_64\n" + text, "100.conf"), 100)


def one(text: str) -> SerialPort:
    (port,) = read(text).ports
    return port


def said(text: str) -> list[str]:
    return [str(note) for note in read(text).notes]


def socket(n: int) -> Chardev:
    return Chardev(UnixSocket(f"/var/run/qemu-server/100.serial{n}"))


def pty() -> Chardev:
    return Chardev(Pty())


# The lines about one port; index, backend, kind, hotplug, state, place, and a word of each note.
PORTS = [
    ("serial0: socket", 0, socket(0), "auto", False, "plugged", "100.conf:2", []),
    ('serial0: "socket"', 0, socket(0), "auto", False, "plugged", "100.conf:2", []),
    ("serial3: /dev/ttyS0", 3, Chardev(HostTty("/dev/ttyS0")), "auto", False, "plugged",
     "100.conf:2", []),
    ("serial4: socket", 4, socket(4), "auto", False, "plugged", "100.conf:2", ["drops this line"]),
    ("serial4095: socket", 4095, socket(4095), "auto", False, "plugged", "100.conf:2",
     ["drops this line"]),
    ("serial1: pty", 1, pty(), "auto", False, "plugged", "100.conf:2", ["does not start"]),
    ("serial1: socket,type=usb", 1, socket(1), "usb", False, "plugged", "100.conf:2",
     ["does not start"]),
    ("serial1: socket=/x", 1, Chardev(UnixSocket("/x")), "auto", False, "plugged", "100.conf:2",
     ["does not start"]),
    ("#vmserial serial4: pty", 4, pty(), "auto", False, "plugged", "100.conf:2", []),
    ("#vmserial serial4%3A pty,type=usb", 4, pty(), "usb", False, "plugged",
     "100.conf:2", []),
    ("# vmserial serial4 : pty, type=usb ", 4, pty(), "usb", False, "plugged",
     "100.conf:2", []),
    ("#VMserial serial4:pty\r", 4, pty(), "auto", False, "plugged", "100.conf:2", []),
    ("#text%0Avmserial serial4: pty%0Amore", 4, pty(), "auto", False, "plugged",
     "100.conf:2", []),
    ("description: vmserial serial4%3A pty", 4, pty(), "auto", False, "plugged",
     "100.conf:2", []),
    ("#vmserial serial4: type=usb,pty", 4, pty(), "usb", False, "plugged",
     "100.conf:2", []),
    ("#vmserial serial4: socket", 4, socket(4), "auto", False, "plugged", "100.conf:2",
     []),
    ("#vmserial serial5: null,type=virtio,hotplug=on,state=unplugged", 5, Chardev(Null()),
     "virtio", True, "unplugged", "100.conf:2", []),
    ("#vmserial serial5: null,hotplug=off,state=absent", 5, Chardev(Null()), "auto", False,
     "absent", "100.conf:2", []),
    ("serial1: socket\n#vmserial serial1: type=pci", 1, socket(1), "pci", False, "plugged",
     "100.conf:2", []),
    ("#vmserial serial1: type=pci\nserial1: socket", 1, socket(1), "pci", False, "plugged",
     "100.conf:3", []),
    ("serial1: socket\n#vmserial serial1: logfile=/l,logappend=on,type=usb", 1,
     Chardev(socket(1).backend, "/l", True), "usb", False, "plugged", "100.conf:2", []),
    ("serial1: socket\n#vmserial serial1: pty", 1, pty(), "auto", False, "plugged",
     "100.conf:3", ["for PVE and 'pty' here"]),
    ("serial1: socket\n#vmserial serial1: socket,type=usb", 1, socket(1), "usb", False, "plugged",
     "100.conf:3", []),
    ("#vmserial serial2: file=/a,,b", 2, Chardev(File("/a,b")), "auto", False, "plugged",
     "100.conf:2", []),
    ("#vmserial serial2: tcp=[::1]:4001,server=off", 2,
     Chardev(TcpSocket("::1", 4001, server=False)), "auto", False, "plugged",
     "100.conf:2", []),
]  # fmt: skip


@pytest.mark.parametrize("row", PORTS, ids=[ascii(row[0]) for row in PORTS])
def test_each_form_of_a_port(
    row: tuple[str, int, Chardev, str, bool, str, str, list[str]],
) -> None:
    text, index, chardev, kind, hotplug, state, where, notes = row
    port = one(text)
    assert (port.index, port.chardev, port.kind) == (index, chardev, kind)
    assert (port.hotplug, port.state, str(port.where)) == (hotplug, state, where)
    found = said(text)
    assert len(found) == len(notes)
    for note, word in zip(found, notes, strict=True):
        assert word in note


# What is wrong with a port, where, and a word of the message and of the hint.
WRONG = [
    ("serial1: foo", "100.conf:2", "no backend 'foo'", "known"),
    ("serial1: sockt", "100.conf:2", "no backend 'sockt'", "did you mean socket"),
    ("serial4096: socket", "100.conf:2", "past serial4095", "number the ports"),
    (f"serial{'9' * 5000}: socket", "100.conf:2", "past serial4095", "number the ports"),
    ("#vmserial serial4096: socket", "100.conf:2", "past serial4095", "number the ports"),
    ("serial1: socket,type=ubs", "100.conf:2", "no device type 'ubs'", "did you mean usb"),
    ("#vmserial serial4: type=usb", "100.conf:2", "has no backend", "name one"),
    ("#vmserial serial4: logfile=/x", "100.conf:2", "has no backend", "name one"),
    ("#vmserial serial4:", "100.conf:2", "says nothing", "write"),
    ("#vmserial serial4 pty", "100.conf:2", "not a directive", "write"),
    ("#vmserial serial04: pty", "100.conf:2", "not a directive", "write"),
    ("#vmserial serial: pty", "100.conf:2", "not a directive", "write"),
    ("#vmserial sreial4: pty,\n#vmserial seral4 = x", "100.conf:3", "not a directive", "write"),
    ("#vmserial serial4: pty,type=usb,type=pci", "100.conf:2", "type is given twice", "keep"),
    ("#vmserial serial4: pty,colour=red", "100.conf:2", "no option 'colour'", "known"),
    ("#vmserial serial4: pty,hotplug=maybe", "100.conf:2", "neither on nor off", "hotplug=on"),
    ("#vmserial serial4: pty,state=gone", "100.conf:2", "state=gone is none of", "leave it out"),
    ("#vmserial serial4: pty%00", "100.conf:2", "control character", "remove"),
    ("#vmserial serial4: pty\n#vmserial serial4: null", "100.conf:3", "second directive",
     "line 2"),
    ("#vmserial serial4: file=/x\n#vmserial serial5: file=/x", "100.conf:3",
     "serial4 and serial5 would share the file /x", "place of its own"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "where", "message", "hint"), WRONG, ids=[ascii(row[0][:60]) for row in WRONG]
)
def test_what_is_wrong_is_an_error_with_its_line(
    text: str, where: str, message: str, hint: str
) -> None:
    with pytest.raises(ConfigError) as error:
        read(text)
    assert error.value.where == where
    assert message in error.value.message
    assert hint in error.value.hint
    assert len(str(error.value)) < 300


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("#vmserial is a nice tool", "is no directive"),
        ("#vmserial: see the wiki", ""),
        ("#the ports of vmserial serial4: pty", ""),
        ("#vmserail serial4: pty", "'vmserail' before a port is not 'vmserial'"),
        ("#wmserial serial4: pty", "'wmserial' before a port is not 'vmserial'"),
        ("#console serial4: pty", ""),
    ],
)
def test_prose_is_not_a_directive(text: str, word: str) -> None:
    made = read(f"serial0: socket\n{text}")
    assert [port.index for port in made.ports] == [0]
    found = [str(note) for note in made.notes]
    assert len(found) == bool(word)
    assert all(word in note and note.startswith("100.conf:3:") for note in found)


def test_a_directive_belongs_to_its_section() -> None:
    text = "serial0: socket\n[PENDING]\n#vmserial serial4: pty\n[s1]\n#vmserial serial5: null\n"
    document = Document.parse(text, "1.conf")

    def ports(made: Machine) -> list[int]:
        return [port.index for port in made.ports]

    assert ports(machine(document, 1)) == [0]
    assert ports(machine(document, 1, pending=True)) == [0, 4]
    assert ports(machine(document, 1, snapshot="s1")) == [5]


def test_ports_come_by_number_and_gaps_stay() -> None:
    made = read("serial10: socket\n#vmserial serial7: pty\nserial2: socket\nserial0: socket\n")
    assert [port.index for port in made.ports] == [0, 2, 7, 10]


def test_no_port_at_all_is_said() -> None:
    assert any("no serial port is configured" in note for note in said(""))
    assert not any("no serial port" in note for note in said("serial0: socket"))


def test_a_console_that_is_not_there_is_said() -> None:
    assert any("vga: serial1" in note for note in said("serial0: socket\nvga: serial1"))
    assert not any("vga" in note for note in said("serial0: socket\nvga: serial0"))


def test_a_whole_file_of_directives_as_pve_writes_them() -> None:
    made = load(str(DATA / "110.conf"))
    assert made.notes == ()
    assert [(p.index, p.kind, p.hotplug, p.state) for p in made.ports] == [
        (0, "auto", False, "plugged"),
        (1, "usb", False, "plugged"),
        (4, "usb", False, "plugged"),
        (5, "auto", False, "plugged"),
        (6, "pci", True, "plugged"),
        (20, "virtio", True, "unplugged"),
    ]
    assert made.ports[3].chardev == Chardev(File("/var/log/vm,110.log"), "/var/log/110.raw", True)


def test_a_directive_about_a_port_of_the_users_own_args_is_no_error() -> None:
    """What `fix` made shares a controller with the user's words, and is theirs from then on."""
    text = (
        "arch: aarch64\n#vmserial serial0: type=usb\n"
        "args: -chardev socket,id=serial0,path=/run/0,server=on,wait=off -device usb-serial,"
        "chardev=serial0,bus=mine.0\n"
    )
    made = machine(Document.parse(text, "142.conf"), 142)
    assert made.ports == ()
    (note,) = [note for note in made.notes if "directive changes nothing" in str(note)]
    assert note.where is not None
    assert note.where.line == 2
