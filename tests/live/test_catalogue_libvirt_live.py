"""The catalogue on a real libvirt: what it refuses is explained by the right id."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
from private_libvirt import PrivateLibvirt, Refused

from vmserial import catalogue

DOMAIN = """\
<domain type='qemu'><name>refused</name><memory unit='MiB'>64</memory>
<os><type arch='{arch}' machine='{machine}'>hvm</type>{os}</os>
<devices>{devices}</devices></domain>"""

MACHINES = {"x86_64": "q35", "aarch64": "virt"}
PTY = "<serial type='pty'/>"
XHCI = "<controller type='usb' model='qemu-xhci'/>"
VIRTIO = "<controller type='virtio-serial' index='0' ports='4'/>"


def port(target: str, address: str = "") -> str:
    return f"<serial type='pty'><target type='{target}'/>{address}</serial>"


def usb(bus: int, number: int) -> str:
    return port("usb-serial", f"<address type='usb' bus='{bus}' port='{number}'/>")


def channel(number: int) -> str:
    return (
        f"<channel type='pty'><target type='virtio' name='c{number}'/>"
        f"<address type='virtio-serial' controller='0' bus='0' port='{number}'/></channel>"
    )


def source(kind: str, words: str, inside: str = "") -> str:
    return f"<serial type='{kind}'><source {words}>{inside}</source></serial>"


RECONNECT = "<reconnect enabled='yes' timeout='{}'/>"
PCI = port("pci-serial", "<address type='pci' bus='0x00' slot='0x05' function='0x0'/>")
SYSTEM = (
    "<serial type='pty'><target type='{}'><model name='{}'/></target></serial>"
)  # fmt: skip

# The id that is right, the architecture, the domain's devices.
DOMAINS: tuple[tuple[str, str, str], ...] = (
    ("pci-slot-taken", "x86_64", PCI * 2),
    ("kind-not-on-arch", "aarch64", SYSTEM.format("isa-serial", "16550a")),
    ("kind-not-on-arch", "x86_64", SYSTEM.format("system-serial", "pl011")),
    ("kind-not-on-arch", "aarch64", port("isa-debug")),
    ("kind-not-on-arch", "x86_64", "<console type='pty'><target type='sclp'/></console>"),
    ("isa-limit", "x86_64", PTY * 5),
    ("libvirt-no-usb", "x86_64", "<controller type='usb' model='none'/>" + port("usb-serial")),
    ("usb-port-taken", "x86_64", XHCI + usb(0, 99)),
    ("usb-port-taken", "x86_64", XHCI + usb(0, 1) * 2),
    ("bus-missing", "x86_64", XHCI + usb(7, 1)),
    ("socket-options-clash", "x86_64",
     source("tcp", "mode='connect' host='127.0.0.1' service='1'", RECONNECT.format(0))),
    ("socket-options-clash", "x86_64",
     source("unix", "mode='bind' path='/tmp/x'", RECONNECT.format(1))),
    ("chardev-backend-unknown", "x86_64", source("nmdm", "master='/dev/a' slave='/dev/b'")),
    ("chardev-backend-unknown", "x86_64", "<serial type='nonesuch'/>"),
    ("chardev-incomplete", "x86_64", source("file", "")),
    ("chardev-incomplete", "x86_64", source("tcp", "mode='connect' service='1'")),
    ("chardev-incomplete", "x86_64", source("tcp", "mode='connect' host='127.0.0.1'")),
    ("socket-path-too-long", "x86_64", source("unix", f"mode='bind' path='/tmp/{'x' * 120}'")),
    ("tty-missing", "x86_64", source("dev", "path='/dev/ttyNONE'")),
    ("libvirt-address-kind", "x86_64",
     f"{VIRTIO}<serial type='pty'>"
     "<address type='virtio-serial' controller='0' bus='0' port='1'/></serial>"),
    ("libvirt-target-unknown", "x86_64", port("nonesuch")),
    ("libvirt-target-unknown", "x86_64", "<channel type='pty'/>"),
    ("virtio-port-range", "x86_64", VIRTIO + channel(9)),
    ("virtio-port-taken", "x86_64", VIRTIO + channel(1) * 2),
    ("libvirt-serial-console-first", "x86_64",
     "<console type='pty'><target type='virtio'/></console>"
     "<console type='pty'><target type='serial'/></console>"),
    ("libvirt-emulator-missing", "x86_64", "<emulator>/usr/bin/nonesuch</emulator>"),
)  # fmt: skip


@pytest.fixture
def domain(libvirt: PrivateLibvirt, tmp_path: Path) -> PrivateLibvirt:
    """Give a libvirtd in which the domain of the last test is not left."""
    del tmp_path
    for verb in ("destroy", "undefine"):
        with suppress(Refused):
            libvirt.virsh(verb, "refused")
    return libvirt


def started(libvirt: PrivateLibvirt, path: Path, devices: str, arch: str, os: str = "") -> None:
    path.write_text(DOMAIN.format(arch=arch, machine=MACHINES[arch], devices=devices, os=os))
    libvirt.virsh("define", str(path))
    libvirt.virsh("start", "refused")


def ids(error: pytest.ExceptionInfo[Refused]) -> list[str]:
    return [match.doc.id for match in catalogue.matches(str(error.value))]


@pytest.mark.parametrize(("id", "arch", "devices"), DOMAINS, ids=lambda word: word[:40])
def test_a_domain_that_is_refused_is_explained(
    domain: PrivateLibvirt, id: str, arch: str, devices: str, tmp_path: Path
) -> None:
    with pytest.raises(Refused) as error:
        started(domain, tmp_path / "refused.xml", devices, arch)
    assert ids(error) == [id], str(error.value)


def test_the_firmwares_serial_port_is_explained(domain: PrivateLibvirt, tmp_path: Path) -> None:
    with pytest.raises(Refused) as error:
        started(domain, tmp_path / "refused.xml", "", "x86_64", "<bios useserial='yes'/>")
    assert ids(error) == ["libvirt-bios-serial"]


@pytest.mark.parametrize(
    ("id", "devices"),
    [
        ("guest-agent-not-configured", PTY),
        ("guest-agent-not-connected",
         "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"),
    ],
)  # fmt: skip
def test_an_agent_that_does_not_answer_is_explained(
    domain: PrivateLibvirt, id: str, devices: str, tmp_path: Path
) -> None:
    started(domain, tmp_path / "refused.xml", devices, "x86_64")
    with pytest.raises(Refused) as error:
        domain.virsh("qemu-agent-command", "refused", json.dumps({"execute": "guest-ping"}))
    assert ids(error) == [id]


def test_what_is_asked_of_a_stopped_and_of_a_running_domain_is_explained(
    domain: PrivateLibvirt, tmp_path: Path
) -> None:
    started(domain, tmp_path / "refused.xml", PTY, "x86_64")
    serial = tmp_path / "serial.xml"
    serial.write_text(PTY)
    with pytest.raises(Refused) as error:
        domain.virsh("attach-device", "refused", str(serial))
    assert ids(error) == ["not-hot-pluggable"]
    domain.virsh("destroy", "refused")
    with pytest.raises(Refused) as error:
        domain.virsh("console", "refused")
    assert ids(error) == ["libvirt-pty-unassigned"]
