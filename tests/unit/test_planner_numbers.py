"""Which number a node gets at a first boot, and that a wrong one does not pass unseen.

The numbers were seen on booted guests (``tests/live/test_echo_live.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import echo_guest
import pytest
from echo_guest import Answer
from plans import DEBIAN_12_ARM64, binary, machine

from vmserial.cli.data import plan_json
from vmserial.guests.profile import resolve
from vmserial.model import Capabilities, GuestProfile, Plan
from vmserial.planning.planner import plan

AMD64 = resolve("debian-12-amd64")


def planned(
    arch: str, kinds: Sequence[str], guest: GuestProfile, **words: Any
) -> tuple[Plan, list[str]]:
    """Return a plan and its nodes at a first boot."""
    asked = machine(arch, ports=len(kinds), **words)
    wanted = zip(asked.ports, kinds, strict=True)
    asked = replace(asked, ports=tuple(replace(port, kind=kind) for port, kind in wanted))
    capabilities = binary(arch) if arch != "riscv64" else Capabilities((7, 2, 0), arch)
    made = plan(asked, capabilities, guest)
    return made, [a.at_boot.removeprefix("/dev/") for a in made.assignments]


@pytest.mark.parametrize(
    ("arch", "guest", "kinds", "nodes"),
    [
        ("aarch64", "debian-12-arm64", "uart pci pci-2x pci-2x", "ttyAMA0 ttyS0 ttyS1 ttyS2"),
        ("x86_64", "debian-12-amd64", "isa pci pci", "ttyS0 ttyS1 ttyS2"),
        ("x86_64", "debian-13-amd64", "usb pci pci", "ttyUSB0 ttyS0 ttyS1"),
        ("x86_64", "debian-13-amd64", "isa pci pci pci pci", "ttyS0 ttyS1 ttyS2 ttyS3 ttyS4"),
        # With more lines than the four classic ones these are kept for what was never there.
        ("x86_64", "ubuntu-24.04-amd64", "isa pci pci", "ttyS0 ttyS4 ttyS5"),
        ("riscv64", "debian-sid-riscv64", "uart pci pci", "ttyS0 ttyS1 ttyS2"),
        ("riscv64", "debian-13-riscv64", "uart pci-4x pci-4x pci-4x", "ttyS0 ttyS1 ttyS2 ttyS3"),
        ("aarch64", "debian-12-arm64", "uart usb virtconsole usb virtconsole",
         "ttyAMA0 ttyUSB0 hvc0 ttyUSB1 hvc1"),
        ("aarch64", "debian-12-arm64", "uart virtio", "ttyAMA0 virtio-ports/serial1"),
    ],
)  # fmt: skip
def test_numbers_of_a_first_boot(arch: str, guest: str, kinds: str, nodes: str) -> None:
    made, found = planned(arch, kinds.split(), resolve(guest))
    assert not made.refusals
    assert found == nodes.split()


def test_pci_ports_are_numbered_as_linux_finds_them() -> None:
    # Eight functions to a slot from the top: the ninth is in a lower slot, and found first.
    _, found = planned("x86_64", ["isa", *["pci"] * 9], resolve("debian-13-amd64"))
    assert found == ["ttyS0", *(f"ttyS{number}" for number in range(2, 10)), "ttyS1"]
    _, found = planned("aarch64", ["uart", "pci", "pci"], DEBIAN_12_ARM64)
    assert found[1:] == ["ttyS0", "ttyS1"]


def test_what_is_not_certain_has_no_number() -> None:
    # Two controllers are looked at side by side.
    made, found = planned("aarch64", ["uart", *["usb"] * 16], DEBIAN_12_ARM64)
    assert {a.bus for a in made.assignments[1:]} == {"vmserial-xhci0.0", "vmserial-xhci1.0"}
    assert found == ["ttyAMA0", *[""] * 16]
    # A port of the user's own takes a number that the plan does not give.
    args = ("-device", "pci-serial,addr=3,chardev=x")
    _, found = planned("x86_64", ["isa", "pci"], AMD64, args=args)
    assert found == ["ttyS0", ""]


AIA = (("aia", "aplic-imsic"),)


def test_riscv64_with_aia_has_its_own_uart_after_those_on_pci() -> None:
    """Its interrupt comes up late; the plan says so, and names no number that is not certain."""
    guest = resolve("debian-sid-riscv64")
    made, found = planned("riscv64", ["uart", "pci"], guest, machine_options=AIA)
    assert found == ["", ""]
    assert made.assignments[0].node == "/dev/ttyS*"
    assert any(text.startswith("ns16550a (1): with aia") for text in made.warnings)
    _, found = planned("riscv64", ["uart", "virtio"], guest, machine_options=AIA)
    assert found[0] == ""


@pytest.mark.parametrize("options", [(), (("aia", "none"),)])
def test_without_aia_it_is_the_first(options: tuple[tuple[str, str], ...]) -> None:
    guest = resolve("debian-sid-riscv64")
    made, found = planned("riscv64", ["uart", "pci"], guest, machine_options=options)
    assert found == ["ttyS0", "ttyS1"]
    assert not any("aia" in text for text in made.warnings)


def answers(made: Plan) -> dict[str, Answer]:
    """Return what an echo finds if all is as planned; of hvc sysfs says nothing."""
    return {
        a.port.name: Answer("/dev/vport0p1", (a.port.name,))
        if a.kind == "virtio"
        else Answer(a.at_boot, ("", "", "", "", a.identity.value if a.kind == "usb" else ""))
        for a in made.assignments
    }


KINDS = ("usb", "usb", "virtio", "virtconsole", "virtconsole", "virtio")


def test_an_echo_that_finds_what_is_planned_finds_no_difference() -> None:
    made, _ = planned("aarch64", KINDS, DEBIAN_12_ARM64)
    assert echo_guest.differences(plan_json(made), answers(made)) == []


@pytest.mark.parametrize(("one", "other"), [(0, 1), (2, 5), (3, 4)])
def test_a_plan_with_two_nodes_exchanged_is_seen(one: int, other: int) -> None:
    made, _ = planned("aarch64", KINDS, DEBIAN_12_ARM64)
    said = plan_json(made)
    first, last = said["ports"][one], said["ports"][other]
    for key in ("node", "node_at_boot", "identity"):
        first[key], last[key] = last[key], first[key]
    wrong = echo_guest.differences(said, answers(made))
    assert [text.partition(":")[0] for text in wrong] == [f"serial{one}", f"serial{other}"]


def test_a_dead_port_and_one_that_should_be_are_seen() -> None:
    made, _ = planned("aarch64", KINDS, DEBIAN_12_ARM64)
    found = answers(made)
    del found["serial1"]
    found["serial9"] = Answer("/dev/hvc7", ("", "", "", "", ""))
    wrong = echo_guest.differences(plan_json(made), found)
    assert wrong[0].startswith("serial1: said to be /dev/ttyUSB*")
    assert wrong[0].endswith("nothing answered")
    assert wrong[1] == "serial9: said to be dead, /dev/hvc7 answered"
