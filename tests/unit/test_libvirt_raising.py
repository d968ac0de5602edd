"""What the judge changes of a domain's command is what the changed domain becomes.

lower(raise(document, edits)) == apply(lower(document), edits), up to what libvirt chooses itself.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from libvirt_domains import domains

from vmserial.context import RepairPolicy
from vmserial.context.ports import Port, ports_of
from vmserial.errors import VmserialError
from vmserial.guests.profile import unknown
from vmserial.judging import domain as of_domain
from vmserial.judging import engine
from vmserial.judging.base import Judgement
from vmserial.model import Capabilities
from vmserial.model.origin import LoweredCommand
from vmserial.sources.command import CommandLine, CommandView
from vmserial.sources.command.edits import Edit, InsertAfter, RemoveKey, SetKey
from vmserial.sources.libvirt import Document, Domain
from vmserial.sources.libvirt.lower import lower
from vmserial.sources.libvirt.raise_ import Raised, raise_
from vmserial.values import is_on

DATA = Path(__file__).parents[1] / "data" / "libvirt"
OWN = {"spapr-vty", "sclpconsole"}
"""What -serial makes on pseries and s390x."""

DOMAINS = {
    **{path.stem: path.read_bytes() for path in sorted(DATA.glob("*.xml"))},
    **{name: xml.encode() for name, xml in domains()},
}
POLICIES = (RepairPolicy(), RepairPolicy(hotplug=True), RepairPolicy("virtio", logs="/var/log/vm"))


@dataclass(frozen=True)
class Round:
    """One round of judging: before, and after it in both ways."""

    lowered: LoweredCommand
    verdict: Judgement
    raised: Raised


def once(raw: bytes, policy: RepairPolicy) -> Round:
    """Judge a domain once, and raise what mends it."""
    of = Domain.of(Document.parse(raw, "d.xml"))
    lowered = lower(of)
    has = Capabilities((7, 2, 0), of.arch, measured=False)
    verdict = engine.judge(lowered, has, unknown(of.arch), policy)
    return Round(
        lowered, verdict, raise_(of, lowered, verdict.answers, verdict.origin, verdict.support)
    )


def mended(name: str) -> Iterator[tuple[RepairPolicy, Round]]:
    """Yield what changes of a domain, by policy."""
    for policy in POLICIES:
        done = once(DOMAINS[name], policy)
        if not done.raised.refused and done.verdict.answers:
            yield policy, done


def shape(view: CommandView, port: Port, moved: bool) -> tuple[object, ...]:
    """Return what a port is, without what libvirt chooses by itself."""
    entry = view.chardev(port.chardev_id)
    host = {k: v for k, v in (entry.params if entry else {}).items() if k != "id"}
    # The log's directory holds those of more than one VM: its name says which.
    host["logfile"] = "logged" if "logfile" in host else ""
    if port.device is None:
        return ("-serial", tuple(sorted(host.items())))
    device = port.device.device
    bus = next((d.driver for d in view.devices if device.bus == f"{d.id}.0"), "")
    if device.driver in OWN:
        return ("-serial", tuple(sorted(host.items())))
    place: tuple[object, ...] = (re.sub(r"-(?:pci|ccw|device)\Z", "", bus),)
    if not moved and device.driver == "isa-serial":
        place += (device.get("index"),)
    plugged = is_on(device.get("always-plugged"))
    return (device.driver, plugged, place, tuple(sorted(host.items())))


def shapes(command: CommandLine, labels: LoweredCommand, moved: set[str]) -> dict[str, object]:
    """Return what each port is, by its number."""
    view = CommandView.of(command, arch=labels.arch)
    return {
        str(port.number): shape(view, port, str(port.number) in moved)
        for port in ports_of(view, labels.labels)
    }


def moved_by(done: Round) -> set[str]:
    """Return the numbers of the ports that get another device or place."""
    view = CommandView.of(CommandLine.from_words(done.lowered.argv()))
    before = {p.number: p for p in ports_of(view, done.lowered.labels)}
    after = ports_of(CommandView.of(done.verdict.command), done.lowered.labels)
    gone = set()
    for port in after:
        old = before.get(port.number)
        new = port.option.value
        if old is None or old.driver != port.driver or old.option.value != new:
            gone.add(str(port.number))
    return gone


CHANGED = [name for name in DOMAINS if any(True for _ in mended(name))]


def test_many_domains_change() -> None:
    assert len(CHANGED) > 60


@pytest.mark.parametrize("name", CHANGED)
def test_the_changed_domain_becomes_the_changed_command(name: str) -> None:
    for _, done in mended(name):
        again = lower(Domain.of(Document.parse(done.raised.document.raw)))
        moved = moved_by(done)
        want = shapes(done.verdict.command, done.lowered, moved)
        have = shapes(CommandLine.from_words(again.argv()), again, moved)
        assert sorted(map(str, have.values())) == sorted(map(str, want.values()))


def test_a_difference_is_seen() -> None:
    """A raiser that forgets one move, or moves one port to another kind, is found out."""
    done = once(DOMAINS["aarch64-untyped"], RepairPolicy())
    want = shapes(done.verdict.command, done.lowered, moved_by(done))
    for old, new in ((b"'usb-serial'", b"'pci-serial'"), (b"plugged=on", b"plugged=off")):
        raw = done.raised.document.raw.replace(old, new, 1)
        again = lower(Domain.of(Document.parse(raw)))
        have = shapes(CommandLine.from_words(again.argv()), again, moved_by(done))
        assert sorted(map(str, have.values())) != sorted(map(str, want.values()))


@dataclass(frozen=True)
class Asked:
    """An answer made up for a test."""

    edits: tuple[Edit, ...]


def test_an_answer_is_raised_whole_or_not_at_all() -> None:
    """One edit that a domain cannot say, and the other one of the same answer is not made."""
    document = Document.parse(DOMAINS["x86_64-sockets"], "d.xml")
    of = Domain.of(document)
    lowered = lower(of)
    verdict = engine.judge(lowered, Capabilities((7, 2, 0), of.arch), unknown(of.arch))
    line = verdict.origins.line if verdict.origins else None
    assert line is not None
    chardev = next(o for o in line.options if o.params.get("path"))
    serial = next(o for o in line.options if o.params.get("driver") == "isa-serial")
    machine = next(o for o in line.options if o.name == "machine")
    good = SetKey(chardev, "path", "/run/new")
    for bad in (
        SetKey(serial, "chardev", "other"), SetKey(machine, "usb", True),
        RemoveKey(chardev, "wait"), InsertAfter(None, ()), SetKey(chardev, "wait", False),
    ):  # fmt: skip
        half = raise_(of, lowered, [Asked((good, bad))], verdict.origin)
        assert half.document is document
        assert set(half.refused) == {0}
        both = raise_(of, lowered, [Asked((bad,)), Asked((good,))], verdict.origin)
        assert b"/run/new" in both.document.raw
        assert set(both.refused) == {0}


@pytest.mark.parametrize("name", CHANGED)
def test_judged_again_only_what_was_refused_is_left(name: str) -> None:
    document = Document.parse(DOMAINS[name], "d.xml")
    arch = Domain.of(document).arch
    has = Capabilities((7, 2, 0), arch, measured=False)
    for policy in POLICIES:
        verdict = of_domain.judge(document, has, unknown(arch), policy)
        again = of_domain.judge(verdict.document, has, unknown(arch), policy)
        assert again.document.raw == verdict.document.raw
        assert not again.changes
        assert [f.id for f in again.left] == [f.id for f in verdict.left]


def test_a_users_own_words_are_the_users_to_change() -> None:
    raw = DOMAINS["q35-arguments"].replace(
        b"pci-testdev,id=x", b"usb-serial,chardev=more,bus=nowhere.0"
    )
    verdict = of_domain.judge(
        Document.parse(raw), Capabilities((7, 2, 0), "x86_64"), unknown("x86_64")
    )
    assert "bus-missing" in {f.id for f in verdict.left}
    assert b"nowhere.0" in verdict.document.raw


VALUES = ("0", "1", "-1", "255", "256", "65536", "999999999999999999", "0x7fffffff", "", "x", "1.1",
          "0x", "1.2.3.4.5.6", "..", "é", "31", "8")  # fmt: skip


@pytest.mark.parametrize("seed", range(8))
def test_a_broken_domain_is_judged_or_refused_and_mending_it_once_is_enough(seed: int) -> None:
    """Values exchanged, elements doubled or gone: no traceback, and nothing left to do after."""
    choose = random.Random(seed)
    for _ in range(60):
        text = DOMAINS[choose.choice(list(DOMAINS))].decode()
        for _ in range(choose.randrange(1, 4)):
            found = choose.choice(list(re.finditer(r"\w+='([^']*)'", text)))
            text = text[: found.start(1)] + choose.choice(VALUES) + text[found.end(1) :]
        elements = list(re.finditer(r"<(?:address|target|controller|source|alias)[^>]*/>", text))
        if elements and choose.random() < 0.3:
            found = choose.choice(elements)
            text = text[: found.start()] + found[0] * choose.choice((0, 2)) + text[found.end() :]
        policy = choose.choice(POLICIES)
        try:
            document = Document.parse(text.encode())
            has = Capabilities((7, 2, 0), Domain.of(document).arch, measured=False)
            guest = unknown("x86_64")
            verdict = of_domain.judge(document, has, guest, policy)
            again = of_domain.judge(verdict.document, has, guest, policy)
        except VmserialError:
            continue
        assert again.document.raw == verdict.document.raw, text
