"""Each rule's command once more, as the words of a domain's and of a configuration's user.

What a command can have, ``<qemu:commandline>`` and ``args:`` can have: each cell of this table is
the finding, or the reason why that source cannot have it.
"""

from __future__ import annotations

import shlex
from xml.sax.saxutils import quoteattr

import pytest

import findings
from vmserial.context import RepairPolicy
from vmserial.judging import domain, judge
from vmserial.rules import base
from vmserial.rules.index import PHASES
from vmserial.sources.command import CommandView
from vmserial.sources.libvirt import Document as DomainDocument
from vmserial.sources.pve import Document as PveDocument
from vmserial.sources.pve.lower import PveHost, lower

RULES = {late.id: late.rule for phase in PHASES for late in phase}
BOARDS = {("x86_64", "q35"): "machine: q35\n", ("x86_64", "pc"): "", ("aarch64", "virt"): ""}
"""What PVE starts, and how a configuration says it."""

CANNOT = {
    ("acpi-off", "xml"): "a domain's own features say whether there is ACPI",
    ("virtio-mmio-full", "xml"): "a domain's own properties of the machine are not a user's words",
    ("imsic-silent", "xml"): "libvirt writes no aia",
    ("controller-unused", "conf"): "PVE's own ports may be on a controller without an id; "
                                   "bad.conf has one",
    ("machine-not-in-binary", "xml"): "libvirt defines no domain whose machine type is not there",
    ("machine-unknown", "xml"): "libvirt names a machine type, whatever the domain says",
    ("usb-no-bus", "conf"): "PVE's command has a USB controller, whatever is configured",
    ("virtio-no-bus", "conf"): "PVE's command on aarch64 has the controller of its spice",
}  # fmt: skip
"""Cells without the finding, and why; PVE starts none but the boards above."""


def words(id: str) -> tuple[CommandView, list[str]]:
    """Return a rule's command, and what its user wrote beside the board."""
    line = findings.command(id)
    board = {"M", "machine", "nodefaults", "display"}
    own = [option for option in line.options if option.name not in board]
    return CommandView.of(line), [
        word for option in own
        for word in (f"-{option.name}", *([option.value] if option.value is not None else []))
    ]  # fmt: skip


def in_args(id: str) -> set[str]:
    """Return what is found where the words are in ``args:``."""
    view, own = words(id)
    text = f"arch: {view.arch}\n{BOARDS[view.arch, view.machine_type]}args: {shlex.join(own)}\n"
    lowered = lower(PveDocument.parse(text, "100.conf"), 100, PveHost("", (7, 2, 0)))
    found = judge(
        lowered, findings.capabilities(view.arch), findings.guest(id, view.arch),
        findings.POLICIES.get(id, RepairPolicy()), host=findings.host(id),
    ).found  # fmt: skip
    return {each.id for each in found}


def in_a_domain(id: str) -> set[str]:
    """Return what is found where the words are in ``<qemu:commandline>``."""
    view, own = words(id)
    args = "".join(f"<qemu:arg value={quoteattr(word)}/>" for word in own)
    machine = f" machine={quoteattr(view.machine_type)}" if view.machine_type else ""
    document = DomainDocument.parse(
        "<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>"
        f"<name>d</name><os><type arch='{view.arch}'{machine}>hvm</type></os><devices/>"
        f"<qemu:commandline>{args}</qemu:commandline></domain>".encode()
    )  # fmt: skip
    found = domain.judge(
        document, findings.capabilities(view.arch), findings.guest(id, view.arch),
        findings.POLICIES.get(id, RepairPolicy()), host=findings.host(id),
    ).findings  # fmt: skip
    return {each.id for each in found}


SOURCES = {"conf": in_args, "xml": in_a_domain}


def cells() -> list[tuple[str, str]]:
    """Return the rules whose command a source can have."""
    return [
        (id, source) for id in RULES for source in SOURCES
        if (findings.RULES / id / "bad.args").exists()
        and (source != "conf" or (words(id)[0].arch, words(id)[0].machine_type) in BOARDS)
    ]  # fmt: skip


@pytest.mark.parametrize(("id", "source"), cells())
def test_a_users_own_words_have_the_finding_in_each_source(id: str, source: str) -> None:
    names = {id, *(RULES[id].aliases or {}).values()}
    found = not names.isdisjoint(SOURCES[source](id))
    # A reason that holds no longer is no reason.
    assert found is ((id, source) not in CANNOT)


def test_each_reason_is_of_a_cell() -> None:
    assert CANNOT.keys() <= set(cells())
    assert len(cells()) > 100


def test_a_rule_of_one_source_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "applies", lambda _, ctx: ctx.owner == "user")
    for source in SOURCES:
        with pytest.raises(AssertionError):
            test_a_users_own_words_have_the_finding_in_each_source("isa-limit", source)
