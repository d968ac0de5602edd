"""What a command line says about serial ports."""

from __future__ import annotations

import pytest
from test_command_document import LIBVIRT, PVE

from vmserial.errors import ConfigError
from vmserial.model import (
    Backend,
    Chardev,
    File,
    HostTty,
    Null,
    Pipe,
    Pty,
    Stdio,
    TcpSocket,
    Udp,
    UnixSocket,
    Vc,
)
from vmserial.sources.command import CommandLine, CommandView, PciPlace, UsbPlace, host_side


def view(text: str, **files: str) -> CommandView:
    def read_file(name: str) -> str:
        if name not in files:
            raise FileNotFoundError(2, "No such file or directory")
        return files[name]

    return CommandView.of(CommandLine.parse(text), read_file=read_file)


@pytest.mark.parametrize(
    ("text", "backend"),
    [
        ("stdio", Stdio(signal=True)),
        ("null", Null()),
        ("pty", Pty()),
        ("pty:/run/x", Pty("/run/x")),
        ("vc", Vc()),
        ("vc:80Cx24C", Vc(cols=80, rows=24)),
        ("vc:800x600", Vc(width=800, height=600)),
        ("/dev/ttyS1", HostTty("/dev/ttyS1")),
        ("file:/tmp/a,b", File("/tmp/a,b")),
        ("pipe:/tmp/p", Pipe("/tmp/p")),
        ("tcp::4444,server", TcpSocket("", 4444, server=True, wait=True)),
        ("tcp:h:4,server=on,wait=off", TcpSocket("h", 4, server=True)),
        ("tcp:[::1]:4,reconnect=5", TcpSocket("::1", 4, server=False, reconnect_ms=5000)),
        ("tcp:h:4,server,nowait,nodelay", TcpSocket("h", 4, server=True, nodelay=True)),
        ("telnet:h:4,server,nowait", TcpSocket("h", 4, server=True, telnet=True)),
        ("websocket:h:4,server=on,wait=off", TcpSocket("h", 4, server=True, websocket=True)),
        ("unix:/s,server=on,wait=off", UnixSocket("/s", server=True)),
        ("unix:/s", UnixSocket("/s", server=False)),
        ("unix:/a,,b,server,nowait", UnixSocket("/a,b", server=True)),
        ("udp:h:1@:2", Udp("h", 1, "", 2)),
        ("udp::4555@:4556", Udp("localhost", 4555, "", 4556)),
        ("udp:h:1", Udp("h", 1)),
    ],
)
def test_each_short_form(text: str, backend: Backend) -> None:
    assert host_side(text).chardev == Chardev(backend)
    shared = host_side(f"mon:{text}")
    assert shared.mux_monitor
    assert shared.chardev == Chardev(backend)


@pytest.mark.parametrize("text", ["msmouse", "braille", "testdev", "wctablet", "/dev/parport0"])
def test_backends_that_the_model_has_not(text: str) -> None:
    side = host_side(text)
    assert side.form == "inline"
    assert side.chardev is None


def test_other_short_forms() -> None:
    assert host_side("none").form == "none"
    assert host_side("chardev:a").chardev_id == "a"
    assert host_side("tn3270:h:1").params["tn3270"] == "on"
    for text in ("", "tcp:", "unix:", "rubbish", "file:", "udp:x"):
        assert host_side(text).form == "unknown"
    assert "names no backend" in view("kvm -serial rubbish").notes[0].message


def test_pve() -> None:
    seen = view(PVE)
    assert (seen.arch, seen.arch_assumed, seen.machine_type) == ("aarch64", True, "virt+pve0")
    assert seen.nodefaults
    assert seen.default_serial is None
    assert [port.host.chardev_id for port in seen.onboard] == ["serial0"]
    (port,) = seen.serial_devices
    assert (port.device.driver, port.chardev_id) == ("isa-serial", "serial1")
    entry = seen.chardev("serial1")
    assert entry is not None
    assert entry.chardev == Chardev(UnixSocket("/var/run/qemu-server/142.serial1"))
    assert [(m.host.chardev_id, m.mode) for m in seen.monitors] == [
        ("qmp", "control"),
        ("qmp-event", "control"),
    ]
    ehci = seen.device("ehci")
    tablet = seen.device("tablet")
    assert ehci is not None
    assert tablet is not None
    assert ehci.pci == PciPlace("pcie.0", 1, 0, False)
    assert ehci.is_usb_controller
    assert tablet.usb == UsbPlace("ehci.0", "1")
    assert [use.chardev_id for use in seen.uses()] == [
        "qmp", "qmp-event", "serial0", "serial1",
    ]  # fmt: skip


def test_libvirt() -> None:
    seen = view(LIBVIRT)
    assert (seen.arch, seen.arch_assumed, seen.accelerators) == ("aarch64", False, ("kvm",))
    controller = seen.device("virtio-serial0")
    assert controller is not None
    assert controller.is_virtio_serial
    assert controller.max_ports == 8
    root = seen.device("pci.1")
    assert root is not None
    assert root.is_bridge
    assert root.pci == PciPlace("pcie.0", 1, 0, True)
    console = seen.serial_devices[0].device
    assert console.virtio_port is not None
    assert console.virtio_port.nr == 3


@pytest.mark.parametrize(
    ("given", "machine", "accelerators"),
    [
        ("-M q35", "q35", ()),
        ("-machine q35,accel=kvm:tcg", "q35", ("kvm", "tcg")),
        ("-machine accel=tcg -machine type=pc", "pc", ("tcg",)),
        ("--machine pc --accel tcg,thread=single", "pc", ("tcg",)),
        ("-enable-kvm", "", ("kvm",)),
    ],
)
def test_machine_in_all_forms(given: str, machine: str, accelerators: tuple[str, ...]) -> None:
    seen = view(f"/opt/qemu-system-x86_64 {given}")
    assert (seen.arch, seen.machine_type, seen.accelerators) == ("x86_64", machine, accelerators)


def test_default_serial() -> None:
    def backend(given: str) -> str | None:
        side = view(f"qemu-system-x86_64 {given}").default_serial
        return None if side is None else f"{'mon:' * side.mux_monitor}{side.backend}"

    assert backend("") == "vc"
    assert backend("-nographic") == "mon:stdio"
    assert backend("-nographic -monitor none") == "stdio"
    assert backend("-display none") == "null"
    assert backend("-nodefaults") is None
    assert backend("-serial none") is None
    assert backend("-device isa-serial,chardev=a") is None


def test_cards_set_and_global() -> None:
    seen = view(
        "qemu-system-x86_64 -global isa-serial.irq=7 -device isa-serial,id=s,index=1,chardev=a "
        "-device pci-serial-2x,chardev1=b,chardev2=c,addr=0x10.3,multifunction=on "
        "-set device.s.iobase=0x2e8 -global driver=usb-serial,property=always-plugged,value=on "
        "-device usb-serial,chardev=d"
    )
    assert [port.chardev_id for port in seen.serial_devices] == ["a", "b", "c", "d"]
    isa = seen.devices[0].isa
    assert isa is not None
    assert (isa.index, isa.iobase, isa.irq) == (1, 0x2E8, 7)
    assert seen.devices[1].pci == PciPlace("", 16, 3, True)
    assert seen.devices[2].get("always-plugged") == "on"


CONFIG = """# serial ports
[machine]
  type = "q35"

[chardev "c0"]
  backend = "file"
  path = "/tmp/a,b"
[device "s0"]
  driver = "isa-serial"
  chardev = "c0"
"""


def test_readconfig() -> None:
    seen = view("qemu-system-x86_64 -readconfig vm -serial none", vm=CONFIG)
    assert seen.machine_type == "q35"
    assert [option.name for option in seen.options] == [
        "readconfig", "machine", "chardev", "device", "serial",
    ]  # fmt: skip
    entry = seen.chardev("c0")
    assert entry is not None
    assert entry.chardev == Chardev(File("/tmp/a,b"))
    assert str(entry.option.where) == "vm:5"
    assert entry.option.in_file
    with pytest.raises(ConfigError) as caught:
        view("kvm -readconfig other")
    assert "No such file" in caught.value.message
    with pytest.raises(ConfigError) as caught:
        view("kvm -readconfig vm", vm='[device "x"]\nrubbish\n')
    assert caught.value.where == "vm:2"
    unread = CommandView.of(CommandLine.parse("kvm -readconfig vm"))
    assert "not read" in unread.notes[0].message
