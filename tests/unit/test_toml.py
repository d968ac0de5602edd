"""Our own TOML: the whole model can be said, and each mistake is named with its line."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmserial.errors import ConfigError, VmserialError
from vmserial.model import (
    Agent,
    Chardev,
    Cpu,
    DirectBoot,
    Disk,
    Display,
    File,
    Firmware,
    Machine,
    Nic,
    Null,
    Pty,
    SourceRef,
    TcpSocket,
    Topology,
    UnixSocket,
)
from vmserial.sources import toml
from vmserial.sources.toml import schema as toml_schema
from vmserial.sources.toml.lines import Lines

DOCS = Path(__file__).parents[2] / "docs" / "formats.md"


def read(text: str) -> Machine:
    return toml.read(text, "vm.toml")


def fails(text: str) -> ConfigError:
    with pytest.raises(ConfigError) as error:
        read(text)
    assert error.value.hint
    return error.value


EVERYTHING = """\
arch = "x86_64"
name = "all"
machine_type = "q35"
accel = "tcg"
memory = 2048
uuid = "9b0cd49c-8f51-4d4b-9a2b-8e6b3c7a1f00"
tablet = true
keyboard = true
usb_controller = "qemu-xhci"
scsi_controller = "pvscsi"
balloon = true
rng = true
vmgenid = "1b0cd49c-8f51-4d4b-9a2b-8e6b3c7a1f00"
localtime = true
args = ["-device", "x,y=z"]
taken = ["1d.0", "3"]
free_slots = [4, 5]
ports = 3
backend = "socket"
type = "usb"
console_type = "isa"
hotplug = true
socket_dir = "/run/all"

[machine_options]
smm = false
kernel-irqchip = "split"
gic-version = 3

[[port]]
index = 2
backend = "tcp=127.0.0.1:4000"
type = "pci"
hotplug = false

[[port]]
index = 7
backend = "null"
state = "absent"
com = 3
[cpu]
model = "max"
flags = ["+aes", "sve=off"]

[topology]
vcpus = 2
sockets = 2
cores = 3

[display]
kind = "serial"
serial = 2
memory = 16

[agent]
kind = "isa"
path = "/run/a"

[firmware]
kind = "ovmf"
code = "/c"
variables = "/v"
variables_format = "qcow2"

[boot]
kernel = "vmlinuz"
initrd = "initrd"
append = "console=ttyS0 x=a,b"

[smbios]
family = "f, g"

[[disk]]
bus = "scsi"
index = 1
path = "/a.qcow2"
cache = "none"
discard = true
ssd = true
serial = "a b"
boot_index = 2

[[disk]]
bus = "ide"
index = 0
cdrom = true
readonly = true
format = "raw"

[[nic]]
index = 3
model = "e1000"
mac = "AA:bb:CC:DD:EE:FF"
bridge = "br0"
ifname = "tap9"
queues = 2
mtu = 1400
link_down = true
boot_index = 1
"""


def test_every_field_of_the_model_can_be_said() -> None:
    made = read(EVERYTHING)
    plain = Machine("aarch64", ())
    same = [
        field.name
        for field in dataclasses.fields(Machine)
        if getattr(made, field.name) == getattr(plain, field.name)
    ]
    # A file of our own needs no notes, and nothing of PVE's: its number of a VM, the bus where
    # its map leaves room, what it reads and starts itself.  Nor has it what a domain leaves behind.
    assert same == [
        "free_bus", "free_path", "root_port_slots", "notes", "left_behind", "pve_serials",
        "pve_args_ports", "guest_os", "vmid", "emulator", "started",
    ]  # fmt: skip
    assert made.machine_options == (
        ("smm", "off"), ("kernel-irqchip", "split"), ("gic-version", "3"),
    )  # fmt: skip
    assert made.taken == {(0x1D, 0), (3, 0)}
    assert made.cpu == Cpu("max", ("+aes", "sve=off"))
    assert made.topology == Topology(2, 2, 3)
    assert made.display == Display("serial", 2, 16)
    assert made.agent == Agent("isa", "/run/a", SourceRef("vm.toml", 55))
    assert made.firmware == Firmware("ovmf", "/c", "/v", "qcow2")
    assert made.boot == DirectBoot("vmlinuz", "initrd", "console=ttyS0 x=a,b")
    assert made.args_where == SourceRef("vm.toml", 15)
    assert made.disks == (
        Disk("scsi", 1, "/a.qcow2", "qcow2", cache="none", discard=True, ssd=True, serial="a b",
             boot_index=2, where=SourceRef("vm.toml", 73)),
        Disk("ide", 0, "", cdrom=True, readonly=True, where=SourceRef("vm.toml", 83)),
    )  # fmt: skip
    assert made.nics == (
        Nic(3, "e1000", "AA:bb:CC:DD:EE:FF", "tap", "br0", "tap9", 2, 1400, True, 1,
            SourceRef("vm.toml", 90)),
    )  # fmt: skip
    assert [port.com for port in made.ports] == [None, None, None, 3]
    assert [(p.index, p.chardev.backend, p.kind, p.hotplug, p.state) for p in made.ports] == [
        (0, UnixSocket("/run/all/serial0"), "isa", False, "plugged"),
        (1, UnixSocket("/run/all/serial1"), "usb", True, "plugged"),
        (2, TcpSocket("127.0.0.1", 4000), "pci", False, "plugged"),
        (7, Null(), "usb", True, "absent"),
    ]
    assert [str(p.where) for p in made.ports] == [
        "vm.toml:19", "vm.toml:19", "vm.toml:30", "vm.toml:36",
    ]  # fmt: skip


def test_the_example_uses_every_key_of_the_schema() -> None:
    def missing(keys: tuple[toml_schema.Key, ...], text: str) -> list[str]:
        return [key.name for key in keys if not re.search(rf"^\[*{key.name}\b", text, re.M)]

    assert missing(toml_schema.SCHEMA, EVERYTHING) == []
    for key in toml_schema.SCHEMA:
        if key.keys and key.name != "smbios":
            tables = re.split(r"^\[+", EVERYTHING, flags=re.M)
            own = "\n".join(part for part in tables if part.startswith(f"{key.name}]"))
            wanted = [k for k in key.keys if k.name != "mode"]
            assert missing(tuple(wanted), own) == []


def test_the_least_that_can_be_said() -> None:
    made = read('arch = "arm64"\nports = 1\n')
    assert made.arch == "aarch64"
    assert made.ports[0].chardev == Chardev(UnixSocket("/run/vmserial/vm/serial0"))
    assert made.notes == ()
    assert [note.message for note in read('arch = "arm64"').notes] == [
        "no serial port is configured"
    ]


def test_ports_of_their_own() -> None:
    made = read(
        'arch = "x86_64"\nname = "n"\nports = 2\nbackend = "file=/l/{name}.{n}"\n'
        '[[port]]\nindex = 1\ntype = "pci"\n[[port]]\nindex = 9\nbackend = "pty"\n'
        "[[port]]\nindex = 8\n"
    )
    assert [(p.index, p.chardev.backend, p.kind) for p in made.ports] == [
        (0, File("/l/n.0"), "auto"),
        (1, File("/l/n.1"), "pci"),
        (8, File("/l/n.8"), "auto"),
        (9, Pty(), "auto"),
    ]


def test_topology_defaults() -> None:
    def topology(text: str) -> Topology:
        return read(f'arch = "x86_64"\n[topology]\n{text}').topology

    assert topology("") == Topology(1, 1, 1)
    assert topology("vcpus = 4") == Topology(4, 1, 4)
    assert topology("vcpus = 3\nsockets = 2") == Topology(3, 2, 2)
    assert topology("sockets = 2\ncores = 2") == Topology(4, 2, 2)


# A mistake after the first line 'arch = "x86_64"': its line, a word of the message, of the hint.
MISTAKES = [
    ("prots = 1", 2, "no key 'prots'", "did you mean ports?"),
    ("[[prot]]\nindex = 1", 2, "no key 'prot'", "did you mean port?"),
    ("[[port]]\nindex = 1\nbackedn = 'x'", 4, "no key 'backedn' in [port]", "backend?"),
    ("[cpu]\n\nmodle = 'max'", 4, "no key 'modle' in [cpu]", "model?"),
    ("cpu.modle = 'max'", 2, "no key 'modle'", "model?"),
    ("zzz = 1", 2, "no key 'zzz'", "known: "),
    ("memory = '512'", 2, "memory = '512' is not a whole number", "MiB"),
    ("memory = 512.0", 2, "is not a whole number", "MiB"),
    ("memory = true", 2, "is not a whole number", "MiB"),
    ("memory = 8", 2, "memory = 8 is not from 16", "MiB"),
    ("ports = 4097", 2, "is not from 0 to 4096", "how many"),
    ("ports = -1", 2, "is not from 0 to 4096", "how many"),
    ("tablet = 'yes'", 2, "is not true or false", "tablet"),
    ("name = 1", 2, "is not a text in quotes", "name"),
    ("name = 'a b'", 2, "is not of the form", "name"),
    ('name = "a\\u0000"', 2, "control characters", "name"),
    ("accel = 'kvmm'", 2, "none of auto, kvm, tcg", "did you mean kvm?"),
    ("type = 'ubs'", 2, "type = 'ubs' is none of", "did you mean usb?"),
    ("args = '-x'", 2, "is not a list of texts", "words"),
    ("args = [1]", 2, "is not a text in quotes", "words"),
    ("free_slots = [32]", 2, "is not from 0 to 31", "slots"),
    ("taken = ['20']", 2, "is not of the form", "root-bus"),
    ("cpu = 'host'", 2, "is not a table: write [cpu]", "processor"),
    ("port = 3", 2, "a list of tables: write [[port]]", "port"),
    ("port = [3]", 2, "a list of tables: write [[port]]", "port"),
    ("[port]\nindex = 1", 2, "a list of tables: write [[port]]", "port"),
    ("[machine_options]\n'a=b' = 1", 3, "'a=b' cannot be the name", "spelling"),
    ("[machine_options]\nx = [1]", 3, "is not a text, a number", "-machine"),
    ("[machine_options]\nx = 1979-05-27", 3, "is not a text, a number", "-machine"),
    ("[[port]]\nbackend = 'pty'", 2, "'index' of [port] is missing", "add it"),
    ("[boot]\ninitrd = 'x'", 2, "'kernel' of [boot] is missing", "add it"),
    ("[[port]]\nindex = 1\nbackend = 'foo'", 4, "no backend 'foo'", "known"),
    ("[[port]]\nindex = 1\n[[port]]\nindex = 1", 5, "serial1 is given twice", "line 3"),
    ("ports = 1\nbackend = 'foo'", 3, "no backend 'foo'", "known"),
    ("ports = 2\nbackend = 'file=/x'", 3, "would share the file /x", "{n}"),
    ("ports = 2\nbackend = 'file={x}'", 3, "{x} is not a placeholder", "{n}"),
    ("[[port]]\nindex = 1\nbackend = 'file=/x'\n[[port]]\nindex = 2\nbackend = 'file=/x'", 5,
     "serial1 and serial2 would share the file /x", "place of its own"),
    ("socket_dir = 'run'", 2, "is not of the form", "socket"),
    ("ports = 1\nsocket_dir = '/" + "x" * 120 + "'", 2, "the system allows", "shorter"),
    ("[topology]\nvcpus = 4\ncores = 2", 2, "4 vcpus do not fit", "at most"),
    ("[[disk]]\nbus = 'ide'\nindex = 4\npath = '/x'", 4, "ide4 does not exist", "0 to 3"),
    ("[[disk]]\nbus = 'ide'\nindex = 0", 2, "ide0 has no path", "cdrom"),
    ("[[disk]]\nbus = 'ide'\nindex = 0\npath = 'x'", 5, "is not of the form", "image"),
    ("[[disk]]\nbus = 'ide'\nindex = 0\npath = '/x'\n[[disk]]\nbus = 'ide'\nindex = 0\n"
     "path = '/x'", 8, "ide0 is given twice", "number"),
    ("[[nic]]\nindex = 0\nboot_index = 1\n[[nic]]\nindex = 1\nboot_index = 1", 7,
     "boot_index 1 is given twice", "line 4"),
    ("[[nic]]\nindex = 0\nbridge = 'b'\nmode = 'user'", 5, "but mode user", "tap"),
    ("x = ", 2, "not TOML: Invalid value", "toml.io"),
    ("name = 'a'\nname = 'b'", 3, "not TOML: Cannot overwrite", "toml.io"),
    ("name = '''a", 2, "not TOML", "toml.io"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "line", "message", "hint"), MISTAKES, ids=[ascii(row[0][:70]) for row in MISTAKES]
)
def test_each_mistake_is_named_with_its_line(text: str, line: int, message: str, hint: str) -> None:
    error = fails(f'arch = "x86_64"\n{text}')
    assert message in error.message
    assert hint in error.hint
    assert error.where == f"vm.toml:{line}"


def test_the_architecture_is_required_and_known() -> None:
    assert "'arch' is missing" in fails("ports = 1").message
    error = fails('ports = 1\narch = "aarch46"')
    assert (error.where, error.hint) == ("vm.toml:2", "did you mean aarch64?")


def test_what_no_reader_can_hold_is_an_error() -> None:
    assert fails("a = " + "[" * 100_000).hint
    assert fails("a = " + "1" * 5000).hint


def test_lines_are_found_past_strings_of_several_lines() -> None:
    lines = Lines(
        'a = """\n[b]\nc = 1\n"""\n'
        "[b]\n'd e' = 1\nf.g = 2\n"
        "[[x]]\ny = 1\n[[x]]\ny = 2\n[x.z]\nw = 1\n"
    )
    assert lines.of(("a",)) == 1
    assert lines.of(("b",)) == 5
    assert lines.of(("b", "c")) == 5
    assert lines.of(("b", "d e")) == 6
    assert lines.of(("b", "f", "g")) == 7
    assert lines.of(("x", 0, "y")) == 9
    assert lines.of(("x", 1, "y")) == 11
    assert lines.of(("q",)) == 0


def test_the_docs_hold_the_reference() -> None:
    assert toml_schema.reference() in DOCS.read_text(encoding="utf-8")


def test_the_docs_example_is_read() -> None:
    text = DOCS.read_text(encoding="utf-8")
    example = text.split("```toml\n", 1)[1].split("```", 1)[0]
    made = read(example)
    assert [port.index for port in made.ports] == [*range(10), 20]
    assert made.ports[3].kind == "pci"
    assert made.ports[20 - 10].state == "unplugged"


def hold(error: VmserialError, where: str) -> None:
    assert error.hint
    assert re.fullmatch(where, error.where)


@settings(deadline=None)
@given(st.text())
def test_any_text(text: str) -> None:
    for whole in (text, f'arch = "x86_64"\n{text}'):
        try:
            read(whole)
        except VmserialError as error:
            hold(error, r"vm\.toml(:[0-9]+)?")


SCALAR = st.one_of(
    st.sampled_from(
        ("1", "true", "-5", "1.5", '"usb"', '"x"', "[]", "[1]", '["a"]', "{}", "{a = 1}", '"/x"',
         '"file=/x"', '"tcp=:1"', "[{}]", "1979-05-27", '"\\u0000"', "99999999999999999999")
    )
)  # fmt: skip
NAMES = sorted({k.name for k in toml_schema.SCHEMA} | {s.name for k in toml_schema.SCHEMA
                                                       for s in k.keys})  # fmt: skip
TABLES = sorted(k.name for k in toml_schema.SCHEMA if k.keys or k.kind == "options")
STATEMENT = st.one_of(
    st.builds("{} = {}".format, st.sampled_from(NAMES), SCALAR),
    st.builds("[{}]".format, st.sampled_from(TABLES)),
    st.builds("[[{}]]".format, st.sampled_from(TABLES)),
)


@settings(deadline=None)
@given(st.lists(STATEMENT, max_size=10).map("\n".join))
def test_any_statements_of_the_schema(text: str) -> None:
    try:
        read(f'arch = "x86_64"\n{text}')
    except VmserialError as error:
        hold(error, r"vm\.toml:[0-9]+")
