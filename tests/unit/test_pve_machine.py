"""A PVE configuration as a Machine: every key, its default, and what is said of the rest."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from plans import DEBIAN_12_ARM64, binary

from vmserial.errors import ConfigError, UsageError
from vmserial.model import Agent, Cpu, Disk, Display, Firmware, Machine, Nic, Note, Topology
from vmserial.planning.planner import plan
from vmserial.sources import load
from vmserial.sources.pve import Document, machine
from vmserial.sources.pve import keys as pve_keys
from vmserial.sources.pve.values import split_args

DATA = Path(__file__).parent.parent / "data" / "pve"
UUID = "9b0cd49c-8f51-4d4b-9a2b-8e6b3c7a1f00"
BASE = "arch: x86_64\nserial0: socket\n"


def read(text: str, **more: Any) -> Machine:
    return machine(Document.parse(BASE + text, "100.conf"), 100, **more)


def said(made: Machine) -> list[str]:
    """The notes without their place and hint."""
    return [f"{note.kind}: {note.message}" for note in made.notes]


def bare(part: Disk | Nic | Agent) -> Disk | Nic | Agent:
    return replace(part, where=None)


# A line, and the fields of the machine that it sets.
FIELDS: list[tuple[str, dict[str, Any]]] = [
    ("", {"name": "vm100", "memory_mib": 512, "accel": "auto", "cpu": Cpu("kvm64"),
          "topology": Topology(), "display": Display("std"), "tablet": True, "keyboard": False,
          "balloon": True, "rng": False, "agent": None, "scsi_controller": "lsi",
          "firmware": Firmware(), "machine_type": "", "origin": "pve",
          "localtime": False, "vmgenid": "", "uuid": "", "args": (), "machine_options": ()}),
    ("arch: aarch64", {"arch": "aarch64", "cpu": Cpu(), "display": Display("virtio"),
                       "keyboard": True}),
    ("arch: \"aarch64\"", {"arch": "aarch64"}),
    ("machine: q35", {"machine_type": "q35"}),
    ("machine: pc-i440fx-7.2+pve1", {"machine_type": "pc-i440fx-7.2"}),
    ("machine: pc-i440fx-5.1+pve0.pxe", {"machine_type": "pc-i440fx-5.1"}),
    ("machine: type=pc-q35-8.1,viommu=virtio", {"machine_type": "pc-q35-8.1"}),
    ("machine: viommu=virtio", {"machine_type": ""}),
    ("cpu: host", {"cpu": Cpu("host")}),
    ("cpu: x86-64-v2-AES", {"cpu": Cpu("x86-64-v2-AES")}),
    ("cpu: cputype=kvm64,flags=+aes;-pcid", {"cpu": Cpu("kvm64", ("+aes", "-pcid"))}),
    ("cpu: host,flags=+nested-virt;+aes", {"cpu": Cpu("host", ("+aes",))}),
    ("cpu: custom-mine", {"cpu": Cpu("kvm64")}),
    ("kvm: 0", {"accel": "tcg", "cpu": Cpu("qemu64")}),
    ("kvm: off", {"accel": "tcg"}),
    ("kvm: 1", {"accel": "kvm"}),
    ("sockets: 2\ncores: 3", {"topology": Topology(6, 2, 3)}),
    ("sockets: 2\ncores: 3\nvcpus: 4", {"topology": Topology(4, 2, 3)}),
    ("smp: 4", {"topology": Topology(4, 4, 1)}),
    ("sockets: 2\nsmp: 4", {"topology": Topology(2, 2, 1)}),
    ("cores: 0\nvcpus: 0", {"topology": Topology()}),
    ("memory: 2048", {"memory_mib": 2048}),
    ("memory: current=4096", {"memory_mib": 4096}),
    ("balloon: 0", {"balloon": False}),
    ("balloon: 512", {"balloon": True}),
    ("name: web-1.example", {"name": "web-1.example"}),
    (f"smbios1: uuid={UUID}", {"uuid": UUID, "smbios": ()}),
    (f"smbios1: uuid={UUID},manufacturer=QUNNRSwgSW5j,base64=1",
     {"uuid": UUID, "smbios": (("manufacturer", "ACME, Inc"),)}),
    ("smbios1: family=x,serial=7", {"uuid": "", "smbios": (("serial", "7"), ("family", "x"))}),
    (f"vmgenid: {UUID}", {"vmgenid": UUID}),
    ("vmgenid: 0", {"vmgenid": ""}),
    ("vga: none", {"display": Display("none"), "tablet": True}),
    ("vga: serial0", {"display": Display("serial", 0), "tablet": False}),
    ("vga: serial0\ntablet: 1", {"display": Display("serial", 0), "tablet": True}),
    ("vga: qxl", {"display": Display("qxl"), "tablet": False}),
    ("vga: qxl3,memory=32", {"display": Display("qxl", memory_mib=32)}),
    ("vga: memory=64", {"display": Display("std", memory_mib=64)}),
    ("vga: type=virtio,memory=8", {"display": Display("virtio", memory_mib=8)}),
    ("ostype: w2k3", {"display": Display("cirrus"), "localtime": True}),
    ("ostype: win11", {"display": Display("std"), "localtime": True}),
    ("ostype: win11\nlocaltime: 0", {"localtime": False}),
    ("ostype: l26", {"display": Display("std"), "localtime": False}),
    ("localtime: yes", {"localtime": True}),
    ("tablet: 0", {"tablet": False}),
    ("arch: aarch64\ntablet: 0", {"tablet": False, "keyboard": False}),
    ("agent: 0", {"agent": None}),
    ("bios: seabios", {"firmware": Firmware("seabios")}),
    ("bios: ovmf", {"firmware": Firmware("ovmf")}),
    ("bios: ovmf\nefidisk0: /dev/vg/e,efitype=4m",
     {"firmware": Firmware("ovmf", "", "/dev/vg/e")}),
    ("bios: ovmf\nefidisk0: /x/e.qcow2,efitype=4m",
     {"firmware": Firmware("ovmf", "", "/x/e.qcow2", "qcow2")}),
    ("bios: ovmf\nefidisk0: /x/e.raw",
     {"firmware": Firmware("ovmf", "/usr/share/OVMF/OVMF_CODE.fd", "/x/e.raw")}),
    ("arch: aarch64\nefidisk0: /x/e.raw", {"firmware": Firmware("default", "", "/x/e.raw")}),
    ("efidisk0: /x/e.raw,efitype=4m", {"firmware": Firmware()}),
    ("bios: ovmf\nefidisk0: local:100/e,size=4M", {"firmware": Firmware("ovmf")}),
    ("acpi: 0", {"machine_options": (("acpi", "off"),)}),
    ("scsihw: virtio-scsi-single", {"scsi_controller": "virtio-scsi-single"}),
    ("rng0: source=/dev/urandom", {"rng": True}),
    ("rng0: /dev/hwrng,max_bytes=1", {"rng": True}),
    ("args: -a 'b c' \"d\\\"e\"", {"args": ("-a", "b c", 'd"e')}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "wanted"), FIELDS, ids=[ascii(row[0]) for row in FIELDS])
def test_each_key_sets_its_fields(text: str, wanted: dict[str, Any]) -> None:
    made = read(text)
    assert {name: getattr(made, name) for name in wanted} == wanted


def test_the_agent() -> None:
    path = "/var/run/qemu-server/100.qga"
    for text, kind in (("1", "virtio"), ("enabled=1,type=isa", "isa"), ("on", "virtio")):
        agent = read(f"agent: {text}").agent
        assert agent is not None
        assert (agent.kind, agent.path) == (kind, path)
        assert str(agent.where) == "100.conf:3"


# A line that PVE would drop, and the words that say so.
DROPPED = [
    ("memory: lots", "memory: current is not a whole number"),
    ("memory: 8", "memory: current is not a whole number from 16"),
    ("cores: -1", "cores: cores is not a whole number"),
    ("cores: \u0661", "cores: cores is not a whole number"),
    ("kvm: maybe", "kvm: kvm is neither on nor off"),
    ("vga: serial7", "vga: type is none of"),
    ("vga: std,memory=9999", "vga: memory is not"),
    ("bios: uboot", "bios: bios is none of"),
    ("scsihw: fast", "scsihw: scsihw is none of"),
    ("name: a b", "name: 'a b' is not a host name"),
    ("vmgenid: 5a-1", "vmgenid: '5a-1' is not a UUID"),
    ("smbios1: uuid=1-2-3", "smbios1: '1-2-3' is not a UUID"),
    ("smbios1: family=?,base64=1", "smbios1: family is not base64"),
    ("cpu: a/b", "cpu: 'a/b' is not a cpu type"),
    ("cpu: host,flags=aes", "cpu: 'aes' is not +flag or -flag"),
    ("machine: a/b", "machine: no machine type is named"),
    ("rng0: max_bytes=1", "rng0: no source is named"),
    ("rng0: /etc/passwd", "rng0: source is none of"),
    ("agent: 1,type=usb", "agent: type is none of"),
    ("boot: order=", "boot: 'order=' is not key=value"),
]


@pytest.mark.parametrize(("text", "words"), DROPPED, ids=[ascii(row[0]) for row in DROPPED])
def test_what_pve_drops_is_dropped_and_named(text: str, words: str) -> None:
    made = read(text)
    assert replace(made, notes=()) == replace(read(""), notes=())
    (note,) = made.notes
    assert note.kind == "warning"
    assert words in note.message
    assert note.hint.startswith("PVE drops this line, and so does the plan; ")
    assert str(note.where) == "100.conf:3"


def test_every_key_of_pve_is_translated_or_named() -> None:
    for name in sorted(pve_keys.MANAGEMENT | set(pve_keys.UNTRANSLATED)):
        key = name.replace("N", "0")
        (note,) = read(f"{key}: memory\n").notes
        assert note.kind == "untranslated"
        assert key in note.message
        assert ("management" in note.message) == (name in pve_keys.MANAGEMENT)
        assert str(note.where) == "100.conf:3"


def test_the_tables_of_keys_do_not_overlap() -> None:
    assert not pve_keys.TRANSLATED & pve_keys.MANAGEMENT
    assert not pve_keys.TRANSLATED & set(pve_keys.UNTRANSLATED)
    assert not pve_keys.MANAGEMENT & set(pve_keys.UNTRANSLATED)
    assert set(pve_keys.NEUTRAL) <= set(pve_keys.UNTRANSLATED)


def test_what_happens_anyway_is_not_named() -> None:
    quiet = "numa: 0\nreboot: 1\nfreeze: 0\ntdf: 0\nhotplug: disk,network,usb\nstartdate: now\n"
    assert read(quiet).notes == ()
    loud = "numa: 1\nreboot: 0\nfreeze: 1\ntdf: 1\nhotplug: disk,memory\nstartdate: 2020-01-01\n"
    assert len(read(loud).notes) == 6


def test_an_unknown_key_is_named_with_the_nearest() -> None:
    (note,) = read("memry: 1\n").notes
    assert note.message == "memry is not a key that PVE knows, and is not translated"
    assert note.hint.startswith("did you mean memory? ")


def test_parts_of_a_value_that_are_not_translated_are_named() -> None:
    made = read("scsi0: /dev/x,iothread=1,size=8G,backup=0,aio=native,future=1\n")
    assert said(made) == [
        "untranslated: scsi0: size, backup concerns PVE's management, not the command",
        "untranslated: scsi0: aio=native, future=1 is not translated",
    ]


def test_each_setting_knows_its_line() -> None:
    made = read(f"arch: aarch64\nserial0: socket\nvmgenid: {UUID}\nvga: virtio\n")
    places = [str(made.place_of(key)).rpartition(":")[2] for key in ("vmgenid", "display")]
    assert [int(place) for place in places] == [5, 6]
    assert made.place_of("firmware") == made.where
    notes = plan(made, binary(), DEBIAN_12_ARM64).machine.notes
    assert {5, 6} <= {n.where.line for n in notes if n.where and n.kind == "replaced"}


def test_an_ide_disk_and_vmgenid_stay_in_an_aarch64_machine() -> None:
    # The layout replaces or refuses them by name; the reader must not hide them.
    made = read(f"arch: aarch64\nide0: /dev/x\nvmgenid: {UUID}\n")
    assert [disk.bus for disk in made.disks] == ["ide"]
    assert made.vmgenid == UUID


# ------------------------------------------------------------------ architecture


def arch_of(text: str, **more: Any) -> tuple[str, bool]:
    made = machine(Document.parse(text + "serial0: socket\n", "1.conf"), 1, **more)
    return made.arch, any("architecture is not said" in line for line in said(made))


def test_the_architecture() -> None:
    assert arch_of("") == ("x86_64", True)
    assert arch_of("arch: x86_64\n") == ("x86_64", False)
    assert arch_of("arch: arm64\n") == ("aarch64", False)
    assert arch_of("machine: virt\n") == ("aarch64", False)
    assert arch_of("machine: virt-8.1+pve0\n") == ("aarch64", False)
    assert arch_of("machine: virtual\n") == ("x86_64", True)
    assert arch_of("", arch="aarch64") == ("aarch64", False)


def test_an_unknown_architecture_names_its_line() -> None:
    with pytest.raises(ConfigError) as error:
        read("arch: aarch46")
    assert str(error.value).startswith("100.conf:3: there is no architecture 'aarch46'")
    assert error.value.hint == "did you mean aarch64?"


# ------------------------------------------------------------------ views


def load_200(**more: Any) -> Machine:
    return load(str(DATA / "200.conf"), **more)


def ports_of(made: Machine) -> list[int]:
    return [port.index for port in made.ports]


def test_the_current_settings_say_what_is_pending() -> None:
    made = load_200()
    assert (made.memory_mib, ports_of(made)) == (1024, [0, 1])
    assert "warning: changes are pending and not part of this view: memory, serial2, serial1, " \
        "cores" in said(made)  # fmt: skip


def test_the_pending_view_deletes_first_and_then_sets() -> None:
    made = load_200(pending=True)
    assert (made.memory_mib, ports_of(made)) == (2048, [0, 2])
    assert not any("pending" in line for line in said(made))
    text = "serial0: socket\nserial1: socket\n[PENDING]\ndelete: serial1\nserial1: /dev/ttyS1\n"
    made = machine(Document.parse(text, "1.conf"), 1, pending=True)
    assert ports_of(made) == [0, 1]


def test_a_snapshot_has_its_own_settings_only() -> None:
    made = load_200(snapshot="After")
    assert (made.memory_mib, made.machine_type, ports_of(made)) == (768, "q35", [0, 3])
    assert made.topology == Topology()
    assert load_200(snapshot="before").memory_mib == 512


def test_a_snapshot_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(UsageError) as error:
        load_200(snapshot="after")
    assert error.value.hint == "snapshots in this file: before, After"
    with pytest.raises(UsageError):
        load_200(snapshot="before", pending=True)


# ------------------------------------------------------------------ bytes and args


@pytest.mark.parametrize("byte", ["\0", "\x1b", "\x7f", "\x9b", "\udce9"])
def test_bytes_that_no_argument_should_carry_are_refused(byte: str) -> None:
    for line in (f"name: a{byte}b", f"args: -a {byte}", f"scsi0: /x{byte}", f"serial1: {byte}x"):
        with pytest.raises(ConfigError) as error:
            read(line)
        assert error.value.where == "100.conf:3"
        assert "control character or is not UTF-8" in error.value.message
        str(error.value).encode()
    # Where nothing is made of the value, it does no harm.
    assert said(read(f"tags: a{byte}b"))
    assert read(f"#a{byte}b").notes == ()


def test_bytes_that_appear_by_decoding_are_refused() -> None:
    for line in ("scsi0: /dev/x,serial=%00", "smbios1: family=AAo=,base64=1"):
        with pytest.raises(ConfigError) as error:
            read(line)
        assert error.value.where == "100.conf:3"


# Perl's Text::ParseWords gave these answers (5.36).
WORDS = [
    ("a b", ("a", "b")),
    ("  a\tb  ", ("a", "b")),
    ("a'b c'd", ("ab cd",)),
    ('"a\\b" c', ("ab", "c")),
    ("'a\\b'", ("a\\b",)),
    ("'a\\'b'", ("a\\'b",)),
    ('"a\\"b"', ('a"b',)),
    ("a\\ b", ("a b",)),
    ("'' x", ("", "x")),
    ("", ()),
]


@pytest.mark.parametrize(("text", "words"), WORDS)
def test_args_are_split_as_pve_does(text: str, words: tuple[str, ...]) -> None:
    assert split_args(text) == words


@pytest.mark.parametrize("text", ["'a", 'b "', "a\\", "x 'y' \"z"])
def test_an_open_quote_in_args_is_an_error(text: str) -> None:
    with pytest.raises(ConfigError) as error:
        read(f"args: {text}")
    assert error.value.where == "100.conf:3"


def test_more_cpus_than_places_for_them_are_refused() -> None:
    for text in ("cores: 2\nvcpus: 3", "sockets: 100\ncores: 100"):
        with pytest.raises(ConfigError) as error:
            read(text)
        assert error.value.where == "100.conf:4"


# ------------------------------------------------------------------ whole files


def test_the_articles_machine() -> None:
    made = load(str(DATA / "142.conf"))
    assert (made.arch, made.machine_type, made.name) == ("aarch64", "virt", "kylin-v10")
    assert [p.name for p in made.ports] == ["serial0", "serial1"]
    assert {p.kind for p in made.ports} == {"auto"}
    assert made.firmware == Firmware("ovmf")
    kinds = {note.kind for note in made.notes}
    assert kinds == {"untranslated"}


def test_notes_stand_in_the_order_of_the_lines() -> None:
    for path in DATA.glob("*.conf"):
        notes: tuple[Note, ...] = load(str(path)).notes
        lines = [note.where.line for note in notes if note.where]
        assert lines == sorted(lines)
        assert len(lines) == len(notes)


def test_without_a_number_of_the_vm_this_is_said() -> None:
    made = machine(Document.parse(BASE, "some.conf"))
    assert made.name == "vm0"
    assert any("number is not known" in line for line in said(made))
    assert not any("number is not known" in line for line in said(read("")))
