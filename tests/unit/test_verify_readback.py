"""Where a port is in the guest, by the links of its sysfs, and where the plan has it."""

from __future__ import annotations

import pytest

from vmserial import chardevs
from vmserial.model import Capabilities, DeviceType, GuestProfile, Machine, SerialPort
from vmserial.planning.planner import plan
from vmserial.verify.readback import Promise, guest_place

S390X = "../../devices/pci{0:04x}:00/{0:04x}:00:00.0/usb{1}/{1}-{2}/{1}-{2}:1.0/ttyUSB0"
DEVICES = ("usb-serial", "qemu-xhci", "virtserialport", "virtio-serial-ccw", "virtio-serial-pci")


def promised(arch: str, ports: int) -> dict[str, str]:
    """Return where a plan has its usb ports."""
    wanted = [SerialPort(n, chardevs.parse("null"), kind="usb") for n in range(1, ports + 1)]
    capabilities = Capabilities((11, 1, 0), arch, {name: DeviceType(name) for name in DEVICES})
    made = plan(Machine(arch, tuple(wanted)), capabilities, GuestProfile("g", "a test"))
    promise = Promise(made)
    return {a.port.name: str(promise.in_guest(a)) for a in made.assignments}


def test_on_s390x_each_controller_is_a_domain_of_its_own() -> None:
    places = promised("s390x", 17)
    assert places["serial1"] == "port 1 of the controller at PCI domain 1"
    assert places["serial15"] == "port 15 of the controller at PCI domain 1"
    assert places["serial16"] == "port 1 of the controller at PCI domain 2"
    seen = guest_place("ttyUSB0", S390X.format(2, 3, 1), own_domains=True)
    assert str(seen) == places["serial16"]


@pytest.mark.parametrize(("domain", "port"), [(1, 1), (2, 2), (0x1F, 1)])
def test_another_controller_or_port_is_another_place(domain: int, port: int) -> None:
    seen = guest_place("ttyUSB0", S390X.format(domain, 3, port), own_domains=True)
    assert str(seen) != promised("s390x", 16)["serial16"]


def test_elsewhere_a_controller_is_known_by_slots_and_functions() -> None:
    path = "../../devices/pci0000:00/0000:00:1f.1/usb1/1-3/1-3:1.0/ttyUSB0"
    assert str(guest_place("ttyUSB0", path)) == "port 3 of the controller at PCI 1f.1"
    assert promised("riscv64", 1)["serial1"] == "port 1 of the controller at PCI 1f.0"
