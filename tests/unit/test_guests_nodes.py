"""Identities from what sysfs says, as 5.10, 6.1 and 6.12 really said it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmserial.guests.nodes import HvcSlots, pci_path, tty_node

ARM = "/sys/devices/platform/4010000000.pcie/pci0000:00"


@pytest.mark.parametrize(
    ("event", "identity", "path"),
    [
        # 6.1, arm64: on-board, on the root bus, behind a root port
        (
            "ttyAMA0 1.15 32 0x0 0x9000000 0000000009000000 /sys/devices/platform/9000000.pl011 ",
            "mmio:0x9000000",
            "/dev/ttyAMA0",
        ),
        (f"ttyS1 1.2 4 0x2088 0x0 0x2088 {ARM}/0000:00:1d.2 ", "pci:1d.2#0", "/dev/ttyS1"),
        (
            f"ttyS2 1.2 4 0x1000 0x0 0x1000 {ARM}/0000:00:1c.0/0000:01:00.0 ",
            "pci:1c.0/00.0#0",
            "/dev/ttyS2",
        ),
        # 6.12: two serial-base devices below it
        (
            f"ttyS2 1.2 4 0x1000 0x0 0x1000 {ARM}/0000:00:1c.0/0000:01:00.0/0000:01:00.0:0"
            "/0000:01:00.0:0.0 ",
            "pci:1c.0/00.0#0",
            "/dev/ttyS2",
        ),
        (
            "ttyAMA1 1 32 0x0 0x9040000 - /sys/devices/platform/9040000.pl011/9040000.pl011:0"
            "/9040000.pl011:0.0 ",
            "mmio:0x9040000",
            "/dev/ttyAMA1",
        ),
        # The third UART of a pci-serial-4x
        (
            "ttyS6 2.00 4 0xc050 0x0 0xc040 /sys/devices/pci0000:00/0000:00:03.0 ",
            "pci:03.0#2",
            "/dev/ttyS6",
        ),
        # ppc64: the second one of a card, behind a host bridge whose ports begin at 64 KiB
        (
            "ttyS1 2 4 0x10048 0x0 0x40 /sys/devices/pci0000:00/0000:00:1f.0 ",
            "pci:1f.0#1",
            "/dev/ttyS1",
        ),
        # amd64: COM1, on the ACPI bus; and one that is below the LPC bridge, not it
        ("ttyS0 2 4 0x3F8 0x0 - /sys/devices/pnp0/00:04 ", "io:0x3f8", "/dev/ttyS0"),
        (
            "ttyS1 2 4 0x2F8 0x0 - /sys/devices/pci0000:00/0000:00:1f.0/PNP0501:00 ",
            "io:0x2f8",
            "/dev/ttyS1",
        ),
        (
            f"ttyUSB0 3.06 - - - - {ARM}/0000:00:02.0/usb1/1-1/1-1:1.0/ttyUSB0 my port 3",
            "usb:my port 3",
            "/dev/ttyUSB0",
        ),
    ],
)
def test_identities(event: str, identity: str, path: str) -> None:
    node = tty_node(event)
    assert node is not None
    assert (str(node.identity), node.path) == (identity, path)
    assert node.name == path.removeprefix("/dev/")


@pytest.mark.parametrize(
    "event",
    [
        # A converter without a serial string has no identity.
        f"ttyUSB0 3.06 - - - - {ARM}/0000:00:02.0/usb1/1-1/1-1:1.0/ttyUSB0 ",
        "ttyS3 1.0 4 0x0 0x0 - /sys/devices/platform/serial8250 ",
        "ttyS3 1.0 4",
        "",
    ],
)
def test_what_has_no_identity_is_no_node(event: str) -> None:
    assert tty_node(event) is None


def test_bus_numbers_do_not_count_and_domains_do_not_either() -> None:
    path = "/sys/devices/pci0001:40/0001:40:1c.0/0001:42:00.0"
    assert pci_path(path) == "1c.0/00.0"
    assert pci_path("/sys/devices/platform/serial8250") == ""
    assert pci_path("/sys/devices/LNXSYSTM:00/0000:00:1d.0") == "", "not below a root bus"


@given(st.text(max_size=200))
def test_no_text_of_a_guest_breaks_it(text: str) -> None:
    tty_node(text)
    pci_path(text)


# ------------------------------------------------------------------ hvc


def test_consoles_of_one_controller_follow_their_number() -> None:
    slots = HvcSlots()
    found = slots.add({"vport1p4": 3, "vport1p0": 1, "vport1p2": 2})
    assert found == {"vport1p0": (0, True), "vport1p2": (1, True), "vport1p4": (2, True)}


def test_a_console_that_is_seen_coming_gets_the_lowest_free_hvc() -> None:
    slots = HvcSlots()
    slots.add({"vport1p0": 1, "vport1p2": 2, "vport1p4": 3})
    slots.looked()
    slots.remove("vport1p0")
    slots.remove("vport1p2")
    # 5.10 goes on counting.
    assert slots.add({"vport1p2": 4}) == {"vport1p2": (0, True)}
    assert slots.add({"vport2p0": 5}) == {"vport2p0": (1, True)}
    assert slots.add({"vport2p1": 6}) == {"vport2p1": (3, True)}


@pytest.mark.parametrize(
    "terms",
    [
        {"vport1p0": 1, "vport2p0": 2},  # two controllers at once
        {"vport1p0": 1, "vport1p1": 3},  # number 2 has gone
        {"vport1p0": 2},
        {"vport1p0": 1, "vport1p1": 1},  # Linux 6.1 did that
    ],
)
def test_where_the_rule_does_not_tell_it_says_so(terms: dict[str, int]) -> None:
    slots = HvcSlots()
    assert not any(sure for _, sure in slots.add(terms).values())


def test_what_a_probe_found_counts() -> None:
    slots = HvcSlots()
    slots.add({"vport1p0": 1, "vport2p0": 2})
    slots.correct("vport1p0", 1)
    slots.correct("vport2p0", 0)
    slots.looked()
    slots.remove("vport2p0")
    assert slots.add({"vport3p0": 3}) == {"vport3p0": (0, True)}


def test_two_that_came_between_two_looks_are_not_sure() -> None:
    slots = HvcSlots()
    slots.looked()
    assert not any(sure for _, sure in slots.add({"vport1p0": 1, "vport1p1": 2}).values())
