"""Domains judged and mended: versions, boards, arguments, controllers, layout."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from vmserial.guests.profile import unknown
from vmserial.judging import RepairPolicy
from vmserial.judging.domain import DomainVerdict, judge
from vmserial.model import Capabilities, Severity
from vmserial.sources.libvirt import Document, Domain

DOMAIN = """<domain type='qemu'{root}>
  <name>d</name>
  <os><type arch='{arch}' machine='{machine}'>hvm</type></os>
  <devices>
{body}
  </devices>
{tail}</domain>
"""


def domain(
    body: str, arch: str = "aarch64", machine: str = "virt", root: str = "", tail: str = ""
) -> Document:
    text = DOMAIN.format(arch=arch, machine=machine, body=body, root=root, tail=tail)
    return Document.parse(text.encode(), "d.xml")


def judged(
    of: Document, policy: RepairPolicy | None = None, version: tuple[int, int, int] = (7, 2, 0)
) -> DomainVerdict:
    """Judge a domain for a QEMU and Debian's kernel; a second time nothing is left to do."""
    arch = Domain.of(of).arch
    had = Capabilities(version, arch), unknown(arch), policy
    verdict = judge(of, *had)
    again = judge(verdict.document, *had)
    assert again.changes == ()
    assert again.document.raw == verdict.document.raw
    named = judge(of, *had, repair=False)
    assert (named.findings, named.changes) == (verdict.findings, ())
    assert named.document is of
    return verdict


def ids(verdict: DomainVerdict) -> list[str]:
    return [f.id for f in verdict.findings if f.severity is not Severity.NOTE]


# ------------------------------------------------------------------ the version, the board


@pytest.mark.parametrize(
    ("arch", "machine", "version", "alive"),
    [
        ("aarch64", "virt", (7, 2, 0), 1),
        ("aarch64", "virt-7.2", (9, 1, 0), 2),
        ("aarch64", "virt", (11, 1, 3), 2),
        ("armv7l", "virt", (9, 0, 2), 1),
        ("armv7l", "vexpress-a9", (7, 2, 0), 4),
        ("riscv64", "virt", (11, 1, 0), 1),
        ("loongarch64", "virt", (9, 1, 0), 1),
        ("loongarch64", "virt", (9, 2, 0), 4),
        ("ppc64", "pseries", (7, 2, 0), 6),
        ("ppc64le", "pseries-7.2", (7, 2, 0), 6),
    ],
)
def test_uarts(arch: str, machine: str, version: tuple[int, int, int], alive: int) -> None:
    verdict = judged(domain("    <serial type='pty'/>\n" * 6, arch, machine), version=version)
    assert ids(verdict) == ["onboard-uart-limit"] * (6 - alive)


def test_what_was_measured_counts() -> None:
    of = domain("    <serial type='pty'/>\n" * 3)
    old = Capabilities((7, 2, 0), "aarch64")
    measured = replace(old, onboard_uarts={"virt": 2})
    assert len(ids(judge(of, old, unknown("aarch64")))) == 2
    assert len(ids(judge(of, measured, unknown("aarch64")))) == 1


def test_null_ports_are_left_alone() -> None:
    assert ids(judged(domain("    <serial type='null'/>\n" * 4))) == []


# ------------------------------------------------------------------ arguments and controllers


PLUG = "<{0}:arg value='-global'/>", "<{0}:arg value='usb-serial.always-plugged=on'/>"
USB = (
    "    <controller type='usb' index='0' model='qemu-xhci' ports='15'/>\n"
    "    <serial type='pty'><target type='usb-serial' port='0'/></serial>"
)
NAMESPACE = "http://libvirt.org/schemas/domain/qemu/1.0"


def test_the_prefix_that_is_bound_is_used() -> None:
    verdict = judged(domain(USB, root=f" xmlns:q='{NAMESPACE}'"))
    assert all(word.format("q") in verdict.text for word in PLUG)


def test_a_prefix_that_is_taken_is_not_used() -> None:
    verdict = judged(domain(USB, root=" xmlns:qemu='urn:other'"))
    assert f"xmlns:qemux='{NAMESPACE}'" in verdict.text
    assert all(word.format("qemux") in verdict.text for word in PLUG)


def test_arguments_that_are_there_stay() -> None:
    tail = (
        f"  <commandline xmlns='{NAMESPACE}'>\n    <arg value='-no-reboot'/>\n"
        "    <env name='A' value='b'/>\n  </commandline>\n"
    )
    text = judged(domain(USB, tail=tail)).text
    again = Domain.of(Document.parse(text.encode()))
    assert again.arguments == ("-no-reboot", "-global", "usb-serial.always-plugged=on")
    assert again.environment == (("A", "b"),)


def test_ports_of_a_controller_that_is_there_are_used() -> None:
    body = (
        "    <controller type='usb' index='0' model='qemu-xhci' ports='15'/>\n"
        "    <input type='tablet' bus='usb'><address type='usb' bus='0' port='1'/></input>\n"
        + "    <serial type='pty'/>\n"
        * 5
    )
    text = judged(domain(body)).text
    found = Domain.of(Document.parse(text.encode()))
    addresses = [p.address.element for p in found.serials if p.address is not None]
    places = [(address.get("bus"), address.get("port")) for address in addresses]
    assert places == [("0", "2"), ("0", "3"), ("0", "4"), ("0", "5")]


def test_other_usb_devices_keep_room() -> None:
    """A tablet without an address takes the first port: ours come behind it."""
    body = (
        "    <controller type='usb' index='0' model='qemu-xhci' ports='15'/>\n"
        "    <input type='tablet' bus='usb'/>\n" + "    <serial type='pty'/>\n" * 2
    )
    assert "<address type='usb' bus='0' port='2'/>" in judged(domain(body)).text


def test_past_sixty_usb_ports_others_are_taken() -> None:
    of = Domain.of(Document.parse(judged(domain("    <serial type='pty'/>\n" * 80)).text.encode()))
    assert sum(of.kind(port) == "usb-serial" for port in of.serials) == 60
    assert sum(of.kind(port) == "pci-serial" for port in of.serials) == 4
    assert [c.target_name for c in of.channels][:1] == ["serial65"]
    assert len(of.channels) == 15


def test_pci_as_far_as_the_guest_goes() -> None:
    of = domain("    <serial type='pty'/>\n" * 8)
    verdict = judged(of, RepairPolicy("pci"))
    kinds = Domain.of(Document.parse(verdict.text.encode()))
    assert [kinds.kind(p) for p in kinds.serials] == [
        "system-serial", *["pci-serial"] * 4, *["usb-serial"] * 3,
    ]  # fmt: skip


def test_crlf_and_tabs_stay() -> None:
    raw = domain("\t<serial type='pty'/>\n\t<serial type='pty'/>").raw.replace(b"\n", b"\r\n")
    text = judged(Document.parse(raw)).text
    assert text.count("\n") == text.count("\r\n")
    assert "\r\n\t<controller type='usb'" in text


def test_one_line_stays_one_line() -> None:
    raw = domain("<serial type='pty'/><serial type='pty'/>").raw.replace(b"\n", b"").strip()
    text = judged(Document.parse(raw)).text
    assert "\n" not in text
    assert judged(Document.parse(text.encode())).text == text


# ------------------------------------------------------------------ what libvirt or QEMU refuses


def usb_serial(bus: int, port: int) -> str:
    return (
        "<serial type='pty'><target type='usb-serial'/>"
        f"<address type='usb' bus='{bus}' port='{port}'/></serial>"
    )


def channel(name: str, port: int | None = None) -> str:
    address = f"<address type='virtio-serial' controller='0' bus='0' port='{port}'/>"
    return (
        f"<channel type='pty'><target type='virtio' name='{name}'/>"
        f"{address if port is not None else ''}</channel>"
    )


XHCI = "<controller type='usb' index='0' model='qemu-xhci' ports='15'/>"
FLOATING = "<serial type='pty'><target type='usb-serial'/></serial>"
REFUSED = {
    "ich9-alone": (
        "<controller type='usb' index='0' model='ich9-ehci1'/>" + FLOATING, "usb-speed",
    ),
    "on-ehci-beside-xhci": (
        XHCI + "<controller type='usb' index='1' model='ehci'/>" + usb_serial(1, 1), "usb-speed",
    ),
    "ehci-first": (
        "<controller type='usb' index='0' model='ehci'/>"
        "<controller type='usb' index='1' model='qemu-xhci'/>" + FLOATING, "usb-speed",
    ),
    "usb-port": (XHCI + usb_serial(0, 16), "usb-port-taken"),
    "usb-bus": (XHCI + usb_serial(2, 1), "bus-missing"),
    "channel-name": (channel("a") + channel("a"), "virtio-port-taken"),
    "channel-port": (channel("a", 31), "virtio-port-range"),
    "bus": (
        "<serial type='pty'><target type='pci-serial'/><address type='usb' bus='0' port='1'/>"
        "</serial>", "libvirt-address-kind",
    ),
    "stranger": (
        "<serial type='pty'/><serial type='pty'><target type='spapr-vio-serial'/></serial>",
        "kind-not-on-arch",
    ),
}  # fmt: skip
"""Seen with libvirt 9.0 and QEMU 7.2: none of them starts (tests/live/test_libvirt_refused.py)."""


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_mended(name: str) -> None:
    body, id = REFUSED[name]
    verdict = judged(domain(body))
    assert [f.id for f in verdict.findings if f.severity is Severity.FAILS] == [id]
    # An ich9-ehci1 without its companions: libvirt puts it at function 7 of an empty slot.
    assert [f.id for f in verdict.left] == (["pci-function"] if name == "ich9-alone" else [])
    assert verdict.changes


def test_companions_of_ehci_take_slower_devices() -> None:
    body = (
        "<controller type='usb' index='0' model='ich9-ehci1'/>"
        "<controller type='usb' index='0' model='ich9-uhci1'><master startport='0'/></controller>"
    )
    assert ids(judged(domain(body + FLOATING, "x86_64", "q35"))) == ["usb-not-plugged"]


def test_port_0_is_the_next_one() -> None:
    """It starts: 0 asks for any port."""
    assert ids(judged(domain(channel("a", 0) + channel("b", 0)))) == []


def test_what_does_not_help_is_neither_kept_nor_tried_again() -> None:
    """Libvirt would choose the same place again for a controller whose address is dropped."""
    verdict = judged(domain(REFUSED["ich9-alone"][0]))
    assert "pci-function" not in {change.id for change in verdict.changes}
    assert "<controller type='usb' index='0' model='ich9-ehci1'/>" in verdict.text


BIG = ("999999999999999999", "-1", "256", "65535", "x", "")


@pytest.mark.parametrize("number", BIG)
def test_numbers_that_no_bus_has_cost_nothing(number: str) -> None:
    """Each is read or refused at once: nothing counts up to it."""
    body = (
        f"<controller type='usb' index='{number}' model='qemu-xhci' ports='{number}'/>"
        f"<controller type='pci' index='{number}' model='pcie-root-port'/>"
        f"<controller type='virtio-serial' index='{number}' ports='{number}'/>"
        f"<serial type='pty'><target type='pci-serial' port='{number}'/><address type='pci' "
        f"bus='{number}' slot='{number}' function='{number}'/></serial>"
        f"<serial type='pty'><target type='usb-serial'/><address type='usb' bus='{number}' "
        f"port='{number}'/></serial>"
        f"<channel type='pty'><target type='virtio' name='a'/><address type='virtio-serial' "
        f"controller='{number}' port='{number}'/></channel>" + XHCI
    )
    begin = time.process_time()
    for arch, machine in (("aarch64", "virt"), ("x86_64", "pc"), ("s390x", "s390-ccw-virtio")):
        judged(domain(body, arch, machine))
    assert time.process_time() - begin < 5


def test_more_ports_than_any_machine_has() -> None:
    of = domain("<serial type='pty'/>" * 2500, "x86_64", "q35")
    verdict = judge(of, Capabilities((7, 2, 0), "x86_64"), unknown("x86_64"))
    assert sum(f.id == "isa-limit" for f in verdict.findings) == 2496


def test_a_qemu_that_takes_no_json_gets_the_same_places() -> None:
    of = domain("    <serial type='pty'/>\n" * 6, "x86_64", "q35")
    old, new = (judged(of, version=version) for version in ((5, 2, 0), (7, 2, 0)))
    assert "usb-serial" in old.text
    assert old.text == new.text
