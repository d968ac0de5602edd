"""microvm: what its properties make of it, and what a plan takes from that."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from plans import machine as machine_of

from vmserial.guests.profile import from_config, of_release
from vmserial.machines import architecture
from vmserial.model import Capabilities, DirectBoot, GuestProfile, Machine, Plan
from vmserial.planning.planner import plan
from vmserial.verify.hostfacts import emulated_words

ARCH = architecture("x86_64")
DEBIAN_12 = of_release("6.1.0-50-amd64")


def planned(kind: str, count: int, options: str = "", **more: object) -> Plan:
    """Plan serial0 and more ports of a kind."""
    asked = machine_of("x86_64", count, kind, machine_type="microvm")
    pairs = tuple(tuple(pair.split("=")) for pair in options.split(",") if pair)
    asked = replace(asked, machine_options=pairs, memory_mib=1 << 20, **more)  # type: ignore[arg-type]
    guest = DEBIAN_12
    assert guest is not None
    return plan(asked, Capabilities((7, 2, 22), "x86_64"), guest)


def ids(made: Plan) -> set[str]:
    return {refusal.id for refusal in made.refusals}


def test_its_options_are_read_as_qemu_reads_them() -> None:
    def board(**options: str) -> tuple[str, int, int, bool]:
        found = ARCH.platform("microvm", {k.replace("_", "-"): v for k, v in options.items()})
        assert found is not None
        return found.root_bus, found.isa_serials, found.virtio_mmio, bool(found.unseen)

    assert board() == ("", 1, 24, False)
    assert board(pcie="on") == ("pcie.0", 1, 24, False)
    assert board(pcie="auto", isa_serial="no") == ("", 0, 24, False)
    assert board(ioapic2="off") == ("", 1, 8, False)
    assert board(pcie="on", acpi="off") == ("", 1, 8, True)


def test_four_isa_ports_and_no_fifth() -> None:
    made = planned("isa", 4)
    assert [a.node for a in made.assignments] == [f"/dev/ttyS{n}" for n in range(4)]
    assert ids(planned("isa", 5)) == {"isa-limit"}
    # The board's own is left out: a device of ours is not.
    assert ids(planned("isa", 4, "isa-serial=off")) == set()


def test_usb_is_on_pci_express_unless_that_is_switched_off() -> None:
    made = planned("usb", 3)
    said = [option for option in made.options if option.flag == "-machine"]
    assert said[0].head == "microvm"
    assert dict(said[0].params) == {"pcie": "on"}
    assert {a.bus for a in made.assignments if a.kind == "usb"} == {"vmserial-xhci0.0"}
    assert ids(planned("usb", 3, "pcie=off")) == {"pci-no-bus"}
    assert ids(planned("pci", 2)) == {"pci-serial-dead"}


@pytest.mark.parametrize(("options", "most"), [("", 24 * 15), ("ioapic2=off", 8 * 15)])
def test_virtio_ends_with_the_transports(options: str, most: int) -> None:
    good = planned("virtio", most, options)
    assert not good.refusals
    drivers = [option.head for option in good.options if option.flag == "-device"]
    assert drivers.count("virtio-serial-device") == most // 15
    assert ids(planned("virtio", most + 2, options)) == {"virtio-mmio-full"}


def test_a_users_own_device_takes_a_transport() -> None:
    own = ("-device", "virtio-net-device")
    assert ids(planned("virtio", 24 * 15, args=own)) == {"virtio-mmio-full"}


def test_without_acpi_virtio_is_for_kernels_that_read_their_command_line() -> None:
    assert ids(planned("virtio", 2, "acpi=off")) == {"acpi-off"}
    config = "CONFIG_VIRTIO_CONSOLE=y\nCONFIG_VIRTIO_MMIO_CMDLINE_DEVICES={}\n"
    for value, expected in (("y", set()), ("n", {"acpi-off"})):
        guest: GuestProfile = from_config(config.format(value), name="own", kernel=(6, 1))
        asked = replace(
            machine_of("x86_64", 2, "virtio", machine_type="microvm"),
            machine_options=(("acpi", "off"),),
        )
        made = plan(asked, Capabilities((7, 2, 22), "x86_64"), guest)
        assert {one.id for one in made.refusals if one.ports == ("serial1",)} == expected


def test_an_emulated_kernel_without_a_clock_is_told_of() -> None:
    def notes(append: str, accel: str = "tcg") -> list[str]:
        boot = DirectBoot("vmlinuz", "", append)
        made = planned("isa", 1, boot=boot, accel=accel)
        return [str(note) for note in made.machine.notes if "tsc_early_khz" in str(note)]

    assert notes("console=ttyS0")
    assert not notes("console=ttyS0 tsc_early_khz=2600000")
    assert not notes("console=ttyS0", "kvm")


def test_the_test_guest_is_told_the_hosts_frequency(tmp_path: Path) -> None:
    board = ARCH.planned_on(Machine("x86_64", (), machine_type="microvm"))
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\ncpu MHz\t\t: 2596.126\n")
    assert emulated_words(board, kvm=False, cpuinfo=cpuinfo) == "tsc_early_khz=2596126"
    assert emulated_words(board, kvm=True, cpuinfo=cpuinfo) == ""
    cpuinfo.write_text("processor\t: 0\n")
    assert emulated_words(board, kvm=False, cpuinfo=cpuinfo) == "tsc_early_khz=1000000"
    assert emulated_words(ARCH.platform("q35"), kvm=False) == ""
