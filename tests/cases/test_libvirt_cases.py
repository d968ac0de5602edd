"""Domains that vmserial once answered wrongly, each test named after its case."""

from __future__ import annotations

from pathlib import Path

import case_inputs
import pytest
from plans import remembered
from test_judge_domain import NAMESPACE, XHCI, domain, ids, judged, usb_serial

from vmserial.catalogue import by_id
from vmserial.cli.main import run
from vmserial.guests.profile import unknown
from vmserial.judging import RepairPolicy
from vmserial.judging.domain import judge
from vmserial.model import Capabilities, Severity
from vmserial.model.host import HostFacts
from vmserial.planning.planner import plan
from vmserial.sources.libvirt import Document, Domain, machine
from vmserial.sources.libvirt.lower import lower
from vmserial.sources.libvirt.writer import write

PTY = "<serial type='pty'/>"
FDSA = "<channel type='unix'><source mode='bind' path='/run/{0}'/><target type='virtio' name='f{0}'/></channel>"  # noqa: E501


def planned(of: Document) -> dict[str, tuple[str, int, str]]:
    """Return kind, index and chardev of each port of a domain's plan."""
    made = machine(Domain.of(of))
    found = plan(made, Capabilities((7, 2, 0), made.arch, measured=False), unknown(made.arch))
    assert not found.refusals
    return {
        a.port.name: (a.kind, a.port.index, type(a.port.chardev.backend).__name__)
        for a in found.assignments
    }


def notes(of: Document) -> str:
    """Return what is said where the domain is written as anything but libvirt's command."""
    made = machine(Domain.of(of))
    return "\n".join(note.message for note in (*made.notes, *made.left_behind))


def options(of: Document, flag: str = "-device") -> list[str]:
    """Return the options of a domain's plan."""
    made = machine(Domain.of(of))
    found = plan(made, Capabilities((7, 2, 0), made.arch, measured=False), unknown(made.arch))
    assert not found.refusals
    return [option.value() or "" for option in found.options if option.flag == flag]


def test_a9_two_consoles_of_target_serial() -> None:
    verdict = judged(case_inputs.domain("A9"))
    assert ids(verdict) == ["libvirt-serial-console-first"]
    assert "Only the first console can be a serial port" in verdict.findings[0].happens


@pytest.mark.parametrize(("name", "libvirts"), [
    ("arm", "armv7l"), ("arm64", "aarch64"), ("amd64", "x86_64"), ("i386", "i686"),
])  # fmt: skip
def test_a10_an_architecture_by_another_name_than_libvirts(name: str, libvirts: str) -> None:
    machine_type = "virt" if name.startswith("arm") else "q35"
    of = domain(PTY, name, machine_type)
    (found,) = [f for f in judged(of).findings if f.severity is Severity.FAILS]
    assert found.happens == f"libvirt refuses the domain: Unknown architecture {name}"
    assert found.fix.startswith(f"write arch='{libvirts}'")
    assert found.where is not None
    assert found.where.line
    assert "arch=" in of.raw.decode().splitlines()[found.where.line - 1]
    assert not [f for f in judged(domain(PTY, libvirts, machine_type)).findings
                if f.severity is Severity.FAILS]  # fmt: skip


@pytest.mark.parametrize("name", [
    "pl011", "sclp", "16550a", "isa-debug", "pci-serial", "nmdm", "reconnect-0", "reconnect-bind",
])  # fmt: skip
def test_a10_what_libvirt_refuses(name: str) -> None:
    file = f"A10-{name}"
    found = [f for f in judged(case_inputs.domain(file)).findings if f.severity is Severity.FAILS]
    (id, *_) = case_inputs.FOUND[f"{file}.xml"]
    assert id in {f.id for f in found}
    assert by_id(id) is not None
    assert all("libvirt refuses the domain" in f.happens for f in found if f.id == id)


def test_a16_one_log_of_two_ports_and_a_controller_without_a_port() -> None:
    log = "<serial type='pty'><log file='/var/log/a' append='on'/></serial>"
    found = {f.id for f in judged(domain(log * 2, "x86_64", "q35")).findings}
    assert "log-shared" in found
    empty = "<controller type='virtio-serial' index='0'/>"
    unused = [f for f in judged(domain(empty + PTY, "x86_64", "q35")).findings
              if f.id == "controller-unused"]  # fmt: skip
    assert unused[0].happens.startswith("<controller>: a virtio-serial controller, and no port")
    used = domain(empty + FDSA.format(0), "x86_64", "q35")
    assert "controller-unused" not in {f.id for f in judged(used).findings}


@pytest.mark.parametrize("machine_type", ["pseries", "pseries-7.2"])
def test_b5_spapr_vio_of_ppc64le_stays(machine_type: str) -> None:
    text = case_inputs.text("B5.xml").replace("'pseries'", f"'{machine_type}'")
    of = Document.parse(text.encode())
    verdict = judged(of)
    assert ids(verdict) == []
    assert verdict.document.raw == of.raw


@pytest.mark.parametrize("target", ["", "<target type='serial'/>"])
def test_b6_a_mirrored_console_has_its_ports_address(target: str) -> None:
    text = case_inputs.text("B6.xml").replace("<target type='serial'/>", target)
    of = Document.parse(text.encode())
    verdict = judged(of)
    assert ids(verdict) == []
    assert verdict.document.raw == of.raw


@pytest.mark.parametrize(("arch", "type", "count", "buses", "controllers"), [
    # The XHCI that libvirt adds has four ports; a further one stands beside it.
    ("x86_64", "q35", 8, [0] * 4, 0), ("x86_64", "q35", 9, [0] * 4 + [1], 1),
    # piix3-uhci keeps its place.
    ("x86_64", "pc", 6, [1] * 2, 1),
])  # fmt: skip
def test_b1_the_usb_controller_that_libvirt_adds_is_taken(
    arch: str, type: str, count: int, buses: list[int], controllers: int
) -> None:
    verdict = judged(domain(PTY * count, arch, type))
    mended = Domain.of(verdict.document)
    added = mended.controllers_of("usb")
    assert [p.address.number("bus") for p in mended.serials if p.address] == buses
    assert [each.index for each in added] == [1] * controllers
    assert ids(judged(verdict.document)) == []
    models = [dict(each.option.params) for each in lower(mended, (6, 1, 0)).options
              if each.option.params[:1] and ("id", "usb") in each.option.params]  # fmt: skip
    assert len(models) == 1


def words(*values: str) -> str:
    """Return a <qemu:commandline>."""
    inside = "".join(f"<qemu:arg value='{value}'/>" for value in values)
    return f"<qemu:commandline>{inside}</qemu:commandline>"


OVERRIDE = (
    "<qemu:override><qemu:device alias='{}'><qemu:frontend><qemu:property name='always-plugged' "
    "type='bool' value='true'/></qemu:frontend></qemu:device></qemu:override>"
).format


@pytest.mark.parametrize(("tail", "alias"), [
    (words("-global", "usb-serial.always-plugged=true"), ""),
    (words("-global", "usb-serial.always-plugged=on"), ""),
    (words("-global", "driver=usb-serial,property=always-plugged,value=on"), ""),
    (OVERRIDE("serial0"), ""), (OVERRIDE("ua-x"), "<alias name='ua-x'/>"),
])  # fmt: skip
def test_b7_a_plugged_port_is_left_alone(tail: str, alias: str) -> None:
    serial = f"<serial type='pty'><target type='usb-serial'/>{alias}</serial>"
    of = domain(XHCI + serial, root=f" xmlns:qemu='{NAMESPACE}'", tail=tail)
    verdict = judged(of)
    assert ids(verdict) == []
    assert verdict.document.raw == of.raw


def test_b7_an_override_of_another_port_does_not_count() -> None:
    of = domain(XHCI + usb_serial(0, 1), root=f" xmlns:qemu='{NAMESPACE}'", tail=OVERRIDE("x"))
    assert ids(judged(of)) == ["usb-not-plugged"]


def test_d1_the_targets_port_is_the_index() -> None:
    assert planned(case_inputs.domain("D1")) == {
        "serial0": ("isa", 0, "Pty"), "serial1": ("isa", 1, "Null"),
    }  # fmt: skip
    assert planned(case_inputs.domain("D1-alone")) == {"serial1": ("isa", 1, "Pty")}


def test_d2_a_debug_console_and_an_iobase_stay_what_they_are() -> None:
    of = case_inputs.domain("D2")
    assert planned(of) == {"serial0": ("isa", 0, "Pty")}
    devices = options(of)
    assert f"isa-debugcon,chardev=charserial0,iobase={0x402},id=serial0" in devices
    assert f"isa-serial,id=serial1,chardev=charserial1,index=0,iobase={0x2E8},irq=5" in devices
    assert "file,id=charserial0,path=/var/log/d" in options(of, "-chardev")
    # Another language has no words for it.
    assert "isa-debugcon at 0x402 is no serial port" in notes(of)
    assert "its own iobase and irq are left out: COM1 is at 0x3f8, IRQ 4" in notes(of)
    same = domain("<serial type='pty'><target type='isa-serial' port='0'/>"
                  "<address type='isa' iobase='0x3f8' irq='4'/></serial>", "x86_64",
                  "pc")  # fmt: skip
    assert "iobase" not in notes(same)


@pytest.mark.parametrize(("arch", "type", "flag"), [
    ("riscv64", "virt", "-uuid"), ("ppc64", "pseries", "-uuid"),
    ("s390x", "s390-ccw-virtio", "-uuid"), ("loongarch64", "virt", "-uuid"),
    ("x86_64", "q35", "-smbios"), ("aarch64", "virt", "-smbios"),
])  # fmt: skip
def test_d6_a_uuid_where_smbios_is_not_to_be_had(arch: str, type: str, flag: str) -> None:
    uuid = "5e0b1f0a-6f2c-4c0e-9d0e-3a1d2b4c5d6e"
    of = domain(PTY, arch, type, tail=f"<uuid>{uuid}</uuid>")
    made = machine(Domain.of(of))
    found = plan(made, Capabilities((7, 2, 0), arch, measured=False), unknown(arch))
    options = {o.flag: o.value() for o in found.options}
    assert uuid in (options.get(flag) or "")
    assert ("-smbios" in options) == (flag == "-smbios")


def test_d7_tls_names_and_places_stay() -> None:
    place = "<address type='pci' domain='0' bus='0x01' slot='0x00' function='0x0'/>"
    of = domain(
        f"<controller type='pci' index='0' model='pcie-root'/>"
        "<controller type='pci' index='1' model='pcie-root-port'/>"
        f"<controller type='virtio-serial' index='0'>{place}</controller>"
        "<serial type='tcp'><source mode='bind' host='::1' service='4' tls='yes'/></serial>"
        "<channel type='pty'><target type='virtio' name='fdsa'/></channel>"
        "<channel type='qemu-vdagent'><target type='virtio'/></channel>", "x86_64", "q35",
    )  # fmt: skip
    devices, chardevs = options(of), options(of, "-chardev")
    assert "virtio-serial-pci,id=virtio-serial0,bus=pci.1,addr=0x0" in devices
    assert ("virtserialport,id=channel0,chardev=charchannel0,name=fdsa,bus=virtio-serial0.0,nr=1"
            in devices)  # fmt: skip
    assert any(each.endswith("tls-creds=objcharserial0_tls0") for each in chardevs)
    assert options(of, "-object") == [
        "tls-creds-x509,id=objcharserial0_tls0,dir=/etc/pki/qemu,endpoint=server,verify-peer=on"
    ]
    assert "qemu-vdagent,id=charchannel1,name=vdagent" in chardevs


@pytest.mark.parametrize(("arch", "type", "body", "place"), [
    ("s390x", "s390-ccw-virtio", "<controller type='virtio-serial' index='0'>"
     "<address type='ccw' cssid='0xfe' ssid='0x0' devno='0x0021'/></controller>"
     "<channel type='pty'><target type='virtio' name='a'/></channel>",
     "virtio-serial-ccw,id=virtio-serial0,devno=fe.0.0021"),
    ("ppc64", "pseries", "<serial type='pty'><address type='spapr-vio' reg='0x30005000'/></serial>",
     f"spapr-vty,id=serial0,chardev=charserial0,reg={0x30005000}"),
])  # fmt: skip
def test_d7_places_of_other_buses_stay(arch: str, type: str, body: str, place: str) -> None:
    assert place in options(domain(body, arch, type))


def test_d7_what_is_lost_is_named() -> None:
    said = notes(case_inputs.domain("D7"))
    for each in ("addresses (<controller>) are chosen anew", "TLS needs an -object",
                 "channel0 (fdsa) is planned as serial1",
                 "channel0 (fdsa) has the name serial1 in the guest",
                 "the backend dbus has no counterpart",
                 "channel org.s.0 is a program's own"):  # fmt: skip
        assert each in said


def test_d7_convert_says_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(remembered(tmp_path).parent), prepend=":")
    path = tmp_path / "guest.xml"
    path.write_bytes(domain("<serial type='tcp'><source mode='bind' host='::1' service='4' "
                            "tls='yes'/></serial>").raw)  # fmt: skip
    run(["convert", str(path), "--to", "argv"])
    answer = capsys.readouterr()
    assert "tls-creds=objcharserial0_tls0" in answer.out
    assert "-object tls-creds-x509,id=objcharserial0_tls0,dir=/etc/pki/qemu" in answer.out
    run(["convert", str(path), "--to", "toml"])
    assert "serial0: TLS needs an -object with the certificates" in capsys.readouterr().err


def test_d8_an_agent_without_a_path_can_be_reached() -> None:
    of = case_inputs.domain("D8")
    made = machine(Domain.of(of))
    assert made.agent is not None
    assert made.agent.path == "/run/vmserial/d/org.qemu.guest_agent.0"
    assert made.agent.path in notes(of)


def test_d9_a_64_bit_emulator_runs_a_32_bit_domain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    emulator = remembered(tmp_path)
    monkeypatch.setenv("PATH", str(emulator.parent), prepend=":")
    body = f"<emulator>{emulator}</emulator>" + PTY * 2
    path = tmp_path / "guest.xml"
    path.write_bytes(domain(body, "armv7l").raw)
    assert run(["doctor", str(path)]) == 1
    assert "onboard-uart-limit" in capsys.readouterr().out


def test_d9_a_virtio_console_of_vexpress() -> None:
    of = case_inputs.domain("D9-vexpress")
    assert ids(judged(of)) == []
    assert planned(of)["serial1"][0] == "virtconsole"


def test_twenty_channels_on_one_controller() -> None:
    """What is open whoever connects is dead past the 15th; a socket is by who connects when."""
    later = domain("".join(FDSA.format(n) for n in range(20)), "x86_64", "q35")
    assert {f.id: f.severity for f in judged(later).findings} == {
        "output-lost-while-detached": Severity.NOTE, "virtio-queue-overflow": Severity.NOTE,
    }  # fmt: skip
    assert judged(later).document == later
    file = FDSA.replace("unix", "file").replace(" mode='bind'", "")
    of = domain("".join(file.format(n) for n in range(20)), "x86_64", "q35")
    verdict = judged(of)
    assert ids(verdict) == ["virtio-queue-overflow"] * 5
    mended = Domain.of(verdict.document)
    controllers = [c.address.number("controller") if c.address else 0 for c in mended.channels]
    assert controllers == [0] * 15 + [1] * 5
    assert [c.target_name for c in mended.channels] == [f"f{n}" for n in range(20)]


def test_what_convert_writes_of_twenty_channels_is_right() -> None:
    made = machine(Domain.of(domain("".join(FDSA.format(n) for n in range(20)), "x86_64", "q35")))
    text, _ = write(made, {port.index: "virtio" for port in made.ports})
    assert ids(judged(Document.parse(text.encode()))) == []
    assert text.count("<controller type='virtio-serial'") + text.count(
        '<controller type="virtio-serial"'
    ) == 2  # fmt: skip


@pytest.mark.parametrize("arch", ["x86_64", "aarch64"])
def test_hot_plug_of_a_domain(arch: str) -> None:
    type = {"x86_64": "q35", "aarch64": "virt"}[arch]
    of = domain(PTY * 3, arch, type)
    policy = RepairPolicy(hotplug=True)
    verdict = judged(of, policy)
    assert ids(verdict) == ["not-hot-pluggable" if arch == "x86_64" else "onboard-uart-limit"] * 2
    mended = Domain.of(verdict.document)
    assert [mended.kind(p) for p in mended.serials][1:] == ["usb-serial"] * 2
    assert not judge(
        verdict.document, Capabilities((7, 2, 0), arch), unknown(arch), policy
    ).left  # fmt: skip


def test_d10_a_kind_is_taken_where_the_guest_has_room() -> None:
    of = domain(PTY * 2, "aarch64")
    verdict = judged(of, RepairPolicy("pci"))
    assert [Domain.of(verdict.document).kind(p) for p in Domain.of(verdict.document).serials] == [
        "system-serial", "pci-serial",
    ]  # fmt: skip


SPICE = "<graphics type='spice'/>"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("<channel type='spicevmc'><target type='virtio' name='com.redhat.spice.0'/></channel>",
         "chardev 'spicevmc' not supported without spice graphics"),
        ("<serial type='spiceport'><source channel='org.x.y.0'/></serial><graphics type='vnc'/>",
         "chardev 'spiceport' not supported without spice graphics"),
        (f"<serial type='spiceport'/>{SPICE}",
         "Missing source channel attribute for char device"),
        ("<channel type='unix'><target type='guestfwd' address='10.0.2.1' port='4600'/></channel>",
         "Missing source path attribute for char device"),
    ],
)  # fmt: skip
def test_a10_a_host_side_that_libvirt_9_refuses(body: str, says: str) -> None:
    (found,) = [f for f in judged(domain(body, "x86_64", "q35")).findings
                if f.severity is Severity.FAILS]  # fmt: skip
    assert found.happens.endswith(f"libvirt refuses the domain: {says}")


@pytest.mark.parametrize(
    "body",
    [f"<serial type='spiceport'><source channel='org.x.y.0'/></serial>{SPICE}",
     "<serial type='dbus'><source channel='a.b'/></serial>",
     # libvirt listens at the path that it chooses.
     "<channel type='unix'><source mode='connect'/><target type='virtio' name='q'/></channel>"],
)  # fmt: skip
def test_a10_a_host_side_that_libvirt_9_starts(body: str) -> None:
    path = "/var/lib/libvirt/qemu/channel/target/domain-1-d/q"
    host = HostFacts({path: "missing"}, tcp_seen=True)
    known = Capabilities((7, 2, 0), "x86_64", measured=False)
    verdict = judge(
        domain(body, "x86_64", "q35"), known, unknown("x86_64"), RepairPolicy(), host=host
    )
    assert not [f for f in verdict.findings if f.severity is Severity.FAILS]


@pytest.mark.parametrize(
    "body", ["<serial type='nmdm'><source master='/dev/nmdm0A' slave='/dev/nmdm0B'/></serial>",
             "<channel type='file'><target type='virtio' name='q'/></channel>"],
)  # fmt: skip
def test_a10_what_libvirt_refuses_is_said_once(body: str) -> None:
    found = [f.happens for f in judged(domain(body, "x86_64", "q35")).findings]
    refused = [text for text in found if "libvirt refuses" in text]
    assert len(refused) == 1
