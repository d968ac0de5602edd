"""Options alone, and options laid over a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from vmserial.errors import UsageError
from vmserial.model import (
    Backend,
    Cpu,
    DirectBoot,
    File,
    HostTty,
    Machine,
    Null,
    Pty,
    Ringbuf,
    TcpSocket,
    Topology,
    Udp,
    UnixSocket,
)
from vmserial.sources import load, ports
from vmserial.sources.overrides import Overrides, apply, from_options

DATA = Path(__file__).parent.parent / "data" / "pve"


def options(**more: Any) -> Machine:
    return from_options(Overrides(**{"arch": "aarch64", **more}))


def backends(made: Machine) -> list[Backend]:
    return [port.chardev.backend for port in made.ports]


def fails(**more: Any) -> UsageError:
    with pytest.raises(UsageError) as error:
        options(**more)
    assert error.value.message
    assert error.value.hint
    return error.value


def test_the_least() -> None:
    made = options()
    assert made == Machine("aarch64", made.ports, origin="options")
    assert backends(made) == [UnixSocket("/run/vmserial/vm/serial0")]
    assert made.ports[0].kind == "auto"


def test_everything() -> None:
    made = options(
        arch="arm64", name="n1", machine_type="virt-7.2", ports=3, kind="usb", console_kind="uart",
        hotplug=True, accel="tcg", memory_mib=1024, vcpus=2, cpu="max,sve=off,+aes", kernel="/k",
        initrd="/i", append="a,b", socket_dir="/s/",
    )  # fmt: skip
    assert (made.arch, made.name, made.machine_type) == ("aarch64", "n1", "virt-7.2")
    assert (made.accel, made.memory_mib, made.topology) == ("tcg", 1024, Topology(2, 1, 2))
    assert made.cpu == Cpu("max", ("sve=off", "+aes"))
    assert made.boot == DirectBoot("/k", "/i", "a,b")
    assert [(p.kind, p.hotplug) for p in made.ports] == [
        ("uart", False), ("usb", True), ("usb", True),
    ]  # fmt: skip
    assert backends(made)[2] == UnixSocket("/s/serial2")


# A backend for all ports, and what three of them get.
SHARED: list[tuple[str, list[Backend]]] = [
    ("pty", [Pty(), Pty(), Pty()]),
    ("ringbuf=4096", [Ringbuf(4096)] * 3),
    ("socket", [UnixSocket(f"/run/vmserial/vm/serial{n}") for n in range(3)]),
    ("socket=/s/{name}-{n}", [UnixSocket(f"/s/vm-{n}") for n in range(3)]),
    ("file=/l/{n}.log", [File(f"/l/{n}.log") for n in range(3)]),
    ("/dev/ttyS{n}", [HostTty(f"/dev/ttyS{n}") for n in range(3)]),
    ("tcp=127.0.0.1:4000", [TcpSocket("127.0.0.1", 4000 + n) for n in range(3)]),
    ("tcp=:400{n}", [TcpSocket("", 4000 + n) for n in range(3)]),
    ("tcp=:0", [TcpSocket("", 0)] * 3),
    ("tcp=:4000,to=4009", [TcpSocket("", 4000 + n, to=4009 + n) for n in range(3)]),
    ("udp=h:50,localport=60", [Udp("h", 50 + n, localport=60 + n) for n in range(3)]),
]


@pytest.mark.parametrize(("text", "wanted"), SHARED, ids=[row[0] for row in SHARED])
def test_one_backend_for_all(text: str, wanted: list[Backend]) -> None:
    assert backends(options(ports=3, backend=text)) == wanted


@pytest.mark.parametrize(
    "text",
    ["file=/x", "/dev/ttyS0", "socket=/x", "stdio", "pipe=/x", "pty=/x", "null,logfile=/x"],
)
def test_what_cannot_be_shared_is_refused(text: str) -> None:
    error = fails(ports=2, backend=text)
    assert "serial0 and serial1 would share" in error.message
    assert "{n}" in error.hint
    # One port alone may have it.
    assert len(options(ports=1, backend=text).ports) == 1


def test_a_backend_for_one_port() -> None:
    made = options(ports=3, backend="tcp=:4000", port_backends=((1, "file=/x"),))
    assert backends(made) == [TcpSocket("", 4000), File("/x"), TcpSocket("", 4002)]
    made = options(ports=3, kind="usb", port_kinds=((0, "virtio"), (2, "pci")))
    assert [port.kind for port in made.ports] == ["virtio", "usb", "pci"]


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"arch": ""}, "--arch", "--arch aarch64"),
    ({"arch": "aarch46"}, "--arch", "did you mean aarch64?"),
    ({"name": "a b"}, "--name", "letters"),
    ({"name": "../x"}, "--name", "letters"),
    ({"machine_type": "q53"}, "--machine", "known: virt"),
    ({"machine_type": "vrit"}, "--machine", "did you mean virt?"),
    ({"machine_type": "virt,x"}, "--machine", "virt"),
    ({"ports": -1}, "--ports", "another"),
    ({"ports": 4097}, "--ports", "another"),
    ({"kind": "ubs"}, "--type", "did you mean usb?"),
    ({"console_kind": "uatr"}, "--console", "did you mean uart?"),
    ({"port_kinds": ((0, "x"),)}, "--type", "known"),
    ({"port_kinds": ((1, "usb"),)}, "--type", "ports: serial0"),
    ({"port_backends": ((1, "pty"),)}, "--backend", "ports: serial0"),
    ({"backend": "sokcet"}, "--backend", "did you mean socket?"),
    ({"backend": "file={index}"}, "--backend", "{n}"),
    ({"backend": "file=\x1b"}, "--backend", "remove"),
    ({"ports": 10, "backend": "tcp=:65530"}, "--backend", "lower"),
    ({"socket_dir": "run"}, "--socket-dir", "begin"),
    ({"socket_dir": "/" + "x" * 120}, "", "shorter"),
    ({"accel": "kvmm"}, "--accel", "did you mean kvm?"),
    ({"memory_mib": 0}, "--memory", "another"),
    ({"memory_mib": 10**9}, "--memory", "another"),
    ({"vcpus": 0}, "--vcpus", "another"),
    ({"cpu": "a/b"}, "--cpu", "host"),
    ({"cpu": "max,,"}, "--cpu", "+aes"),
    ({"initrd": "/i"}, "--initrd", "--kernel"),
    ({"kernel": "/k\0"}, "--kernel", "remove"),
]


@pytest.mark.parametrize(("given", "where", "hint"), WRONG, ids=[str(row[0])[:60] for row in WRONG])
def test_each_wrong_option_is_named(given: dict[str, Any], where: str, hint: str) -> None:
    error = fails(**given)
    assert hint in error.hint
    assert error.where == where or not where


def test_all_ports_there_can_be() -> None:
    made = options(ports=1000)
    assert [port.index for port in made.ports] == list(range(1000))
    assert options(ports=0).ports == ()


# ------------------------------------------------------------------ over a file


def article(**more: Any) -> Machine:
    return apply(load(str(DATA / "142.conf")), Overrides(**more))


def test_nothing_given_changes_nothing() -> None:
    for path in DATA.glob("*.conf"):
        made = load(str(path))
        assert apply(made, Overrides()) == made


def test_more_ports_have_their_sockets_beside_those_of_the_file() -> None:
    made = article(ports=4, kind="usb")
    assert [b.path for b in backends(made) if isinstance(b, UnixSocket)] == [
        f"/var/run/qemu-server/142.serial{n}" for n in range(4)
    ]
    assert [port.kind for port in made.ports] == ["auto", "usb", "usb", "usb"]
    assert str(made.ports[1].where).endswith("142.conf:19")
    assert str(made.ports[2].where) == "--ports"


def test_fewer_ports_are_said() -> None:
    made = article(ports=1)
    assert [port.index for port in made.ports] == [0]
    assert made.notes[-1].message == "--ports 1 leaves out serial1 of the configuration"


def test_sockets_can_be_moved_with_their_options() -> None:
    made = apply(load(str(DATA / "110.conf")), Overrides(socket_dir="/t"))
    assert [b.path for b in backends(made) if isinstance(b, UnixSocket)] == [
        "/t/serial0", "/t/serial1",
    ]  # fmt: skip
    assert made.ports[2].chardev.backend == Pty()


def test_a_backend_over_a_file() -> None:
    made = article(backend="pty")
    assert backends(made) == [Pty(), Pty()]
    made = article(port_backends=((1, "socket"),), backend="null")
    assert backends(made) == [Null(), UnixSocket("/var/run/qemu-server/142.serial1")]


def test_the_architecture_over_a_file_that_does_not_say_it() -> None:
    made = load(str(DATA / "200.conf"))
    assert any("architecture is not said" in note.message for note in made.notes)
    changed = apply(made, Overrides(arch="arm64"))
    assert (changed.arch, changed.keyboard) == ("aarch64", True)
    assert len(changed.notes) == len(made.notes) - 1
    # Read with the architecture from the start, its defaults hold, too.
    assert load(str(DATA / "200.conf"), arch="aarch64").display.kind == "virtio"


def test_ports_over_a_file_without_any(tmp_path: Path) -> None:
    path = tmp_path / "9.conf"
    path.write_text("arch: aarch64\n")
    made = apply(load(str(path)), Overrides(ports=2))
    assert [port.index for port in made.ports] == [0, 1]
    assert made.notes == ()


def test_the_nearest_name_and_all_names() -> None:
    assert ports.nearest("ubs", ("usb", "pci")) == "did you mean usb?"
    assert ports.nearest("zzz", ("usb", "pci")) == "known: usb, pci"


def test_a_machine_type_may_have_properties() -> None:
    made = from_options(Overrides(arch="riscv64", machine_type="virt,aia=aplic-imsic"))
    assert (made.machine_type, made.machine_options) == ("virt", (("aia", "aplic-imsic"),))
    kept = apply(made, Overrides(machine_type="virt"))
    assert kept.machine_options == made.machine_options


@pytest.mark.parametrize("text", ["virt,aia", "virt,=x", "virt,aia=", "virt,", "virt,a=b c"])
def test_what_is_no_property_of_a_machine_type_is_named(text: str) -> None:
    with pytest.raises(UsageError, match="not a property") as caught:
        from_options(Overrides(arch="riscv64", machine_type=text))
    assert caught.value.where == "--machine"
