"""The command that libvirt makes of a domain, beside ours: as libvirt 9.0 said it once."""

from __future__ import annotations

import re

import pytest
from libvirt_domains import domains
from libvirt_native import Native, native, recorded
from libvirt_xml import MACHINES

from vmserial.model.origin import LoweredCommand
from vmserial.sources.libvirt import Document, Domain
from vmserial.sources.libvirt.lower import lower

DOMAINS = dict(domains())


def lowered(name: str, version: tuple[int, int, int] = (7, 2, 0)) -> LoweredCommand:
    """Lower one of the domains."""
    return lower(Domain.of(Document.parse(DOMAINS[name].encode(), f"{name}.xml")), version)


def ours(name: str) -> Native:
    """Return the comparable form of what is made of a domain here."""
    command = lowered(name)
    refused = [gap.text for gap in command.gaps if gap.id == "refused"]
    if refused:
        return (("refused", refused[0]),)
    return native(command.argv())


@pytest.mark.parametrize("machine", [*MACHINES, "refused"])
def test_the_command_is_libvirts(machine: str) -> None:
    """Chardevs, devices, controllers, their ids, order and addresses; what is refused, and why."""
    mine = [name for name in DOMAINS if name.partition("-")[0] == machine]
    assert mine
    assert {n: ours(n) for n in mine} == {n: recorded()[n] for n in mine}


def test_all_domains_are_recorded() -> None:
    assert set(recorded()) == set(DOMAINS)
    assert len(DOMAINS) == len(list(domains()))


def test_a_difference_is_seen() -> None:
    """One key, one option or the order of two is enough."""
    said = recorded()["q35-usb-4"]
    assert ours("q35-usb-4") == said
    for wrong in (
        said[:-1],
        (said[1], said[0], *said[2:]),
        tuple((name, re.sub(r"port=3\b", "port=4", text)) for name, text in said),
    ):
        assert wrong != ours("q35-usb-4")


def test_each_option_knows_its_element() -> None:
    command = lowered("q35-usb-4")
    serial = next(o for o in command.options if "charserial2" in o.option.argv()[-1])
    where = serial.origin.where
    assert where is not None
    assert where.file == "q35-usb-4.xml"
    assert "<serial" in DOMAINS["q35-usb-4"].splitlines()[where.line - 1]
    assert command.labels["charserial2"] == "serial2"


def test_what_libvirt_chooses_is_told_from_what_is_stated() -> None:
    command = lowered("aarch64-usb-two")
    found = {
        match[1]: option.automatic
        for option in command.options
        if (match := re.search(r'"usb-serial".*"id":"(\w+)"', option.option.argv()[-1]))
    }
    assert found["serial0"] == {"bus", "port"}
    assert found["serial1"] == set()


def test_a_users_own_words_come_last_and_stay_the_users() -> None:
    command = lowered("q35-arguments")
    assert [o.origin.owner for o in command.options[-3:]] == ["user"] * 3
    assert [word for o in command.options[-3:] for word in o.option.argv()] == [
        "-device", "pci-testdev,id=x", "-chardev", "pty,id=more",
        "-global", "usb-serial.always-plugged=on",
    ]  # fmt: skip


def test_an_old_qemu_gets_keys_and_no_json() -> None:
    """QEMU makes devices in JSON after all others: it matters for a user's own words."""
    old = lowered("q35-usb-4", (5, 2, 0))
    assert not any(word.startswith("{") for word in old.argv())
    assert native(old.argv()) == native(lowered("q35-usb-4").argv())


def test_a_new_qemu_gets_milliseconds() -> None:
    words = lowered("q35-source-tcp-client", (10, 2, 0)).argv()
    assert any("reconnect-ms=5000" in word for word in words)
