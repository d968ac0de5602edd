"""A domain's plan has libvirt's devices where libvirt 9.0 said that it puts them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from libvirt_domains import domains
from libvirt_native import native, places, recorded
from planned_domains import DRIVES, elsewhere, unexplained
from test_judge_domain import XHCI, domain

from vmserial.cli.data import command_line
from vmserial.cli.run import _sockets
from vmserial.guests.profile import unknown
from vmserial.model import Capabilities, DeviceType, Machine, Plan, Pty
from vmserial.planning.planner import plan
from vmserial.sources.libvirt import Document, Domain, machine

DOMAINS = dict(domains())
PTY = "<serial type='pty'/>"
CONSOLE = "<console type='pty'><target type='virtio'/></console>"
NOT_PLANNED_ON = ("microvm", "versatile", "path-long")
STARTED = [
    name for name, found in recorded().items()
    if found[0][0] != "refused" and not any(word in name for word in NOT_PLANNED_ON)
]  # fmt: skip


def planned(made: Machine, **known: object) -> Plan:
    capabilities = Capabilities((7, 2, 0), made.arch, measured=False)
    return plan(made, replace(capabilities, **known), unknown(made.arch))  # type: ignore[arg-type]


def of(body: str, arch: str = "x86_64", type: str = "q35", tail: str = "") -> Machine:
    return machine(Domain.of(domain(body, arch, type, tail=tail)))


def options(found: Plan, flag: str = "-device") -> list[str]:
    return [each.value() or "" for each in found.options if each.flag == flag]


@pytest.mark.parametrize("name", STARTED)
def test_every_device_is_where_libvirt_puts_it(name: str) -> None:
    document = Document.parse(DOMAINS[name].encode(), name)
    found = planned(machine(Domain.of(document)))
    assert unexplained(document, recorded()[name], native(command_line(found))) == {}


def test_a_plan_of_vmserials_own_has_them_elsewhere() -> None:
    """What the test above holds against: without what libvirt starts nearly nothing agrees."""
    wrong = 0
    for name in STARTED:
        made = machine(Domain.of(Document.parse(DOMAINS[name].encode(), name)))
        own = planned(replace(made, started=None))
        wrong += bool(elsewhere(recorded()[name], native(command_line(own))))
    assert len(STARTED) > 350
    assert wrong > 300


def test_a_dead_port_gets_another_device_and_the_others_stay() -> None:
    body = PTY * 2 + "<serial type='pty'><target type='pci-serial'/></serial>"
    found = planned(of(body, "aarch64", "virt"))
    assert [(a.kind, a.reason == "where libvirt has it") for a in found.assignments] == [
        ("uart", True), ("usb", False), ("pci", True),
    ]  # fmt: skip
    assert not found.refusals


def test_two_isa_ports_of_one_number_get_one_each() -> None:
    serial = "<serial type='pty'><target port='0'/></serial>"
    found = planned(of(serial * 2))
    assert [dict(a.device.properties)["index"] for a in found.assignments if a.device] == [0, 1]


def test_ports_that_are_added_stay_off_libvirts_places() -> None:
    made = of(PTY + CONSOLE)
    port = made.ports[0]
    more = tuple(replace(port, index=n, kind=kind) for n, kind in (
        (2, "isa"), (3, "usb"), (4, "pci"), (5, "virtio"),
    ))  # fmt: skip
    found = planned(replace(made, ports=(*made.ports, *more)))
    assert not found.refusals
    taken = [
        (dict(o.params).get("bus"), str(dict(o.params).get("addr", "")).replace("0x", ""))
        for o in found.options if o.flag == "-device" and "addr" in dict(o.params)
    ]  # fmt: skip
    assert len(taken) == len(set(taken))
    # QEMU would put the console on the newest controller.
    (console,) = [text for text in options(found) if text.startswith("virtconsole")]
    assert "bus=virtio-serial0.0" in console
    assert [dict(a.device.properties).get("index") for a in found.assignments if a.device][:3] == [
        0, None, 2,
    ]  # fmt: skip


def test_a_usb_port_is_there_from_the_start_unless_the_user_says_so() -> None:
    serial = XHCI + "<serial type='pty'><target type='usb-serial'/></serial>"
    (port,) = [text for text in options(planned(of(serial))) if text.startswith("usb-serial")]
    assert port.endswith("always-plugged=on")
    words = ("<qemu:commandline xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>"
             "<qemu:arg value='-global'/><qemu:arg value='usb-serial.always-plugged=on'/>"
             "</qemu:commandline>")  # fmt: skip
    found = planned(of(serial, tail=words))
    (port,) = [text for text in options(found) if text.startswith("usb-serial")]
    assert "always-plugged" not in port
    assert options(found, "-global") == ["usb-serial.always-plugged=on"]


def test_what_libvirt_has_in_its_own_directory_is_in_ours() -> None:
    body = (
        PTY + "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/>"
        "</channel><channel type='unix'><target type='virtio' name='fdsa'/></channel>"
    )
    found = planned(of(body))
    sockets = [text for text in options(found, "-chardev") if text.startswith("socket")]
    assert [text.partition("path=")[2].partition(",")[0] for text in sockets] == [
        "/run/vmserial/d/org.qemu.guest_agent.0", "/run/vmserial/d/fdsa",
    ]  # fmt: skip
    said = " ".join(note.message for note in found.machine.notes)
    assert "the agent's socket, which libvirt would choose" in said
    assert "channel1's socket, which libvirt would choose, is /run/vmserial/d/fdsa" in said


@pytest.mark.parametrize(("said", "index"), [("x", 0), ("0x1", 1), ("7", 0)])
def test_an_override_may_say_anything_of_a_number(said: str, index: int) -> None:
    override = (
        "<qemu:override xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>"
        "<qemu:device alias='serial0'><qemu:frontend>"
        "<qemu:property name='index' type='string' value='{}'/></qemu:frontend></qemu:device>"
        "<qemu:device alias='console0'><qemu:frontend>"
        "<qemu:property name='nr' type='string' value='-'/></qemu:frontend></qemu:device>"
        "</qemu:override>"
    )
    found = planned(of(PTY + CONSOLE, tail=override.format(said)))
    assert [a.kind for a in found.assignments] == ["isa", "virtconsole"]
    device = found.assignments[0].device
    assert device is not None
    assert dict(device.properties)["index"] == index


def test_a_bridge_may_stand_before_the_one_that_it_is_behind() -> None:
    body = (
        "<controller type='pci' index='0' model='pcie-root'/>"
        "<controller type='pci' index='1' model='pcie-to-pci-bridge'>"
        "<address type='pci' bus='2' slot='0'/></controller>"
        "<controller type='pci' index='2' model='pcie-root-port'>"
        "<address type='pci' bus='0' slot='5'/></controller>"
        "<serial type='pty'><target type='pci-serial'/>"
        "<address type='pci' bus='1' slot='3'/></serial>"
    )
    (port,) = planned(of(body)).assignments
    assert (port.bus, str(port.identity)) == ("pci.1", "pci:05.0/00.0/03.0#0")


def test_run_makes_the_directories_of_every_socket() -> None:
    body = (
        "<serial type='unix'><source mode='bind' path='/run/a/0'/></serial>"
        "<serial type='unix'><source mode='connect' path='/run/b/0'/></serial>"
        "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"
    )
    assert [str(path) for path in _sockets(planned(of(body)))] == [
        "/run/vmserial/d/org.qemu.guest_agent.0", "/run/a/0",
    ]  # fmt: skip


def test_a_screens_channel_keeps_its_device_and_leads_nowhere() -> None:
    channel = "<channel type='{}'><target type='virtio' name='com.redhat.spice.0'/></channel>"
    found = planned(of("<graphics type='spice'/>" + channel.format("spicevmc")))
    assert "null,id=charchannel0" in options(found, "-chardev")
    assert any("name=com.redhat.spice.0" in text for text in options(found))
    assert "channel0: its host end spicevmc leads nowhere" in "\n".join(found.warnings)
    found = planned(of(channel.format("qemu-vdagent")))
    assert "qemu-vdagent,id=charchannel0,name=vdagent" in options(found, "-chardev")
    found = planned(of(channel.format("qemu-vdagent")), chardevs=frozenset({"null", "pty"}))
    assert "null,id=charchannel0" in options(found, "-chardev")


def test_drives_and_cards_have_what_is_behind_them() -> None:
    disk = ("<disk type='file' device='{}'><source file='/{}'/><target dev='{}' bus='{}'/>"
            "</disk>").format  # fmt: skip
    found = planned(of(
        disk("disk", "a", "vda", "virtio") + disk("disk", "b", "sda", "scsi")
        + disk("cdrom", "c", "sdb", "sata")
        + "<interface type='user'><mac address='52:54:00:00:00:01'/><model type='virtio'/>"
        "</interface><rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>"
    ))  # fmt: skip
    devices = options(found)
    for start in ("virtio-blk-pci,drive=drive-virtio-disk0,id=virtio-disk0,bus=pci.",
                  "scsi-hd,drive=drive-scsi0-0-0,id=scsi0-0-0,bus=scsi0.0,scsi-id=0",
                  "ide-cd,drive=drive-sata0-0-1,id=sata0-0-1,bus=ide.1",
                  "virtio-net-pci,netdev=hostnet0,id=net0,bus=pci.",
                  "virtio-rng-pci,rng=objrng0,id=rng0,bus=pci."):  # fmt: skip
        assert any(device.startswith(start) for device in devices), start
    assert len(options(found, "-blockdev")) == 3


@pytest.mark.parametrize(("name", "wanted"), [
    ("scsi", ["lsi53c895a,id=scsi1,bus=pci.0,addr=0x3",
              "scsi-hd,drive=drive-scsi0-0-0-6,id=scsi0-0-0-6,bus=scsi0.0,channel=0,scsi-id=0,lun=6",
              "scsi-hd,drive=drive-scsi1-0-0,id=scsi1-0-0,bus=scsi1.0,scsi-id=0",
              "ide-cd,id=ide0-1-1,bus=ide.1,unit=1"]),
    ("sata", ["ich9-ahci,id=sata0,bus=pci.0,addr=0x6",
              "ide-hd,drive=drive-sata1-0-2,id=sata1-0-2,bus=sata1.2",
              "scsi-hd,drive=drive-scsi3-0-4,id=scsi3-0-4,bus=scsi3.0,scsi-id=4"]),
    ("sata-q35", ["ide-hd,drive=drive-sata0-0-5,id=sata0-0-5,bus=ide.5",
                  "ide-hd,drive=drive-sata1-0-0,id=sata1-0-0,bus=sata1.0"]),
    ("stated", ["scsi-hd,drive=drive-scsi1-0-3,id=scsi1-0-3,bus=scsi1.0,scsi-id=3"]),
])  # fmt: skip
def test_drives_are_where_libvirt_9_puts_them(name: str, wanted: list[str]) -> None:
    arch, type, body = DRIVES[name]
    devices = options(planned(of(body, arch, type)))
    assert [each for each in wanted if each not in devices] == []


def test_what_this_qemu_lacks_is_left_out_and_named() -> None:
    everything = {name: DeviceType(name) for name in (
        "pcie-root-port", "pcie-pci-bridge", "qemu-xhci", "isa-serial", "virtio-balloon-pci",
    )}  # fmt: skip
    made = of(PTY + "<video><model type='qxl'/></video>")
    found = planned(made, devices=everything)
    assert not found.refusals
    assert "video0 (qxl-vga) is left out" in "\n".join(found.warnings)
    found = planned(made, devices={k: v for k, v in everything.items() if k != "qemu-xhci"})
    assert [refusal.id for refusal in found.refusals] == ["binary-no-device"]


def test_a_backend_of_the_users_leaves_the_place() -> None:
    made = of(PTY + CONSOLE)
    before = planned(made)
    port = made.ports[1]
    chardev = replace(port.chardev, backend=Pty("/dev/x"))
    after = plan(
        replace(made, ports=(made.ports[0], replace(port, chardev=chardev))),
        Capabilities((9, 2, 0), made.arch, measured=False), unknown(made.arch),
    )  # fmt: skip
    assert places(native(command_line(before))) == places(native(command_line(after)))
    assert "pty,id=charconsole1,path=/dev/x" in options(after, "-chardev")
