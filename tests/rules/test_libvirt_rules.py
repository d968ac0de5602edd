"""What only a domain can show: libvirt's own refusals, and what it does without a word."""

from __future__ import annotations

import pytest
from libvirt_refusals import refused
from test_judge_domain import NAMESPACE, XHCI, domain

import findings
from vmserial.catalogue import by_id
from vmserial.guests.profile import unknown
from vmserial.judging.domain import DomainVerdict, judge
from vmserial.model import Capabilities, Severity
from vmserial.sources.libvirt import Document, Domain

PTY = "<serial type='pty'/>"
NOTES = {
    "libvirt-isa-onboard": ("serial0",),
    "libvirt-phantom-hvc": ("console1",),
    "libvirt-usb-order": tuple(f"serial{n}" for n in range(5)),
    "virtlogd-freeze": ("serial0",),
}
"""The ports that each note names in its rule's own input."""


def judged(of: Document) -> DomainVerdict:
    """Judge a domain on QEMU 7.2."""
    arch = Domain.of(of).arch
    return judge(of, Capabilities((7, 2, 0), arch, measured=False), unknown(arch))


@pytest.mark.parametrize("id", NOTES)
def test_a_note_names_its_ports(id: str) -> None:
    (path,) = findings.inputs(id, "bad")
    (found,) = [each for each in findings.found(path) if each.id == id]
    assert found.ports == NOTES[id]
    assert found.severity is Severity.NOTE


ALIAS = "<serial type='pty'><alias name='ua-a'/></serial>"
REFUSED = {
    **{name: Document.parse(xml.encode(), f"{name}.xml") for name, xml in refused()},
    "alias": domain(XHCI + ALIAS * 2),
}
TAKEN = {"refused-agent", "refused-log", "refused-path-long", "refused-sclp-3",
         "refused-virtio-controller"}  # fmt: skip
"""What libvirt takes and QEMU may not: other rules' matter."""


@pytest.mark.parametrize("name", sorted(set(REFUSED) - TAKEN))
def test_what_libvirt_refuses_does_not_start(name: str) -> None:
    """A10 and its kind: each is red, under an id that explain knows, with a place."""
    found = [f for f in judged(REFUSED[name]).findings if f.severity is Severity.FAILS]
    assert found
    for finding in found:
        assert by_id(finding.id) is not None
        assert finding.where is not None
        assert finding.fix


@pytest.mark.parametrize("name", ["refused-nmdm", "refused-consoles", "refused-model"])
def test_libvirts_own_words_are_said(name: str) -> None:
    words = {"refused-nmdm": "unsupported chardev 'nmdm'",
             "refused-consoles": "Only the first console can be a serial port",
             "refused-model": "unknown target model 'telephone'"}[name]  # fmt: skip
    assert any(
        f"libvirt refuses the domain: {words}" in f.happens for f in judged(REFUSED[name]).findings
    )


def test_two_ports_of_one_alias() -> None:
    verdict = judged(REFUSED["alias"])
    assert [f.id for f in verdict.findings if f.severity is Severity.FAILS] == ["id-taken"]
    assert verdict.text.count("ua-a") == 1
    assert not verdict.left


def test_a_board_without_pci_is_said_once() -> None:
    """Libvirt's own USB controller is what finds no bus; its owner never wrote one."""
    found = [f for f in judged(domain(PTY, "x86_64", "microvm")).findings
             if f.severity is Severity.FAILS]  # fmt: skip
    assert [f.happens for f in found] == ["libvirt refuses the domain: No PCI buses available"]


def test_a_users_own_device_comes_before_libvirts_controllers() -> None:
    """QEMU makes libvirt's devices, which are in JSON, after those of <qemu:commandline>."""
    tail = (
        "<qemu:commandline><qemu:arg value='-chardev'/><qemu:arg value='pty,id=a'/>"
        "<qemu:arg value='-device'/><qemu:arg value='usb-serial,chardev=a'/></qemu:commandline>"
    )
    of = domain(XHCI + PTY, root=f" xmlns:qemu='{NAMESPACE}'", tail=tail)
    arch = Domain.of(of).arch
    for version, ids in (((7, 2, 0), {"usb-no-bus"}), ((5, 2, 0), set())):
        has = Capabilities(version, arch, measured=False)
        found = judge(of, has, unknown(arch)).findings
        assert {f.id for f in found if f.severity is Severity.FAILS} == ids
