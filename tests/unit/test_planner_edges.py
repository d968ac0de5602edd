"""Where a limit of the planner begins: the last that is right, the first that is not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from plans import DEBIAN_12_ARM64, binary, kinds, machine, planned, refusals

from vmserial import chardevs
from vmserial.allocator import Allocator
from vmserial.devices import KINDS
from vmserial.guests.profile import without_limits
from vmserial.limits import TTYUSB_NODES
from vmserial.machines import architecture
from vmserial.model import Capabilities, Machine, PortState, SerialPort
from vmserial.planning import planner


def test_one_port_may_have_stdio_and_a_second_may_not() -> None:
    ports = [SerialPort(n, chardevs.parse("stdio")) for n in range(2)]
    for count, found in ((1, set()), (2, {"port-clash"})):
        asked = replace(machine(ports=1), ports=tuple(ports[:count]))
        plan = planner.plan(asked, binary(), DEBIAN_12_ARM64)
        assert refusals(plan) == found
    assert "another port already uses stdio" in plan.refusals[0].happens


@pytest.mark.parametrize("state", ["unplugged", "absent"])
def test_what_comes_later_must_be_hot_pluggable_though_nobody_says_so(state: PortState) -> None:
    asked = machine("x86_64", 2, "isa")
    first, second = asked.ports
    later = replace(asked, ports=(first, replace(second, state=state)))
    assert refusals(planner.plan(later, binary("x86_64"), DEBIAN_12_ARM64)) == {"not-hot-pluggable"}
    # Of its own choice it takes another kind.
    free = replace(later, ports=(first, replace(second, kind="auto", state=state)))
    assert kinds(planner.plan(free, binary("x86_64"), DEBIAN_12_ARM64))[1] != "isa"


def test_a_device_of_the_users_that_names_no_bus_takes_a_slot_of_the_root_bus() -> None:
    def addresses(*args: str) -> set[str]:
        plan = planned(ports=2, kind="usb", args=args)
        assert not plan.refusals
        return {
            str(dict(option.params)["addr"]).partition(".")[0]
            for option in plan.options
            if option.flag == "-device" and option.head == "qemu-xhci"
        }

    (usual,) = addresses()
    for bus in ("", "bus=pcie.0,"):
        assert usual not in addresses("-device", f"virtio-rng-pci,{bus}addr={usual}")
    # On a bus of its own it takes nothing from ours.
    bridge = ("-device", "pcie-root-port,id=rp,bus=pcie.0,addr=2")
    own = ("-device", f"virtio-rng-pci,bus=rp,addr={usual}")
    assert addresses(*bridge, *own) == {usual}


def test_args_isa_serials_without_an_index_come_one_after_the_other() -> None:
    words = ("-device", "isa-serial,chardev=x", "-device", "isa-serial,chardev=y")
    assert not planned("x86_64", 1, args=words).refusals


def test_the_last_ttyusb_node_is_given_and_no_further_one() -> None:
    known = architecture("aarch64")
    platform = known.platform("virt")
    assert platform is not None
    allocator = Allocator(Machine("aarch64", ()), known, platform, binary(), DEBIAN_12_ARM64)
    port = machine(ports=2, kind="usb").ports[1]
    allocator.ttyusb = TTYUSB_NODES - 1
    assert KINDS["usb"].obstacle(allocator, port) is None
    allocator.ttyusb = TTYUSB_NODES
    refused = KINDS["usb"].obstacle(allocator, port)
    assert refused is not None
    assert refused.id == "ttyusb-limit"


@pytest.mark.parametrize(
    ("arch", "newer"),
    [
        ("aarch64", "QEMU 9.1 and later wire up 2"),
        ("arm", "QEMU 9.1 and later wire up 2"),
        ("loongarch64", "QEMU 9.2 and later wire up 4"),
        ("mips64el", ""),
        ("riscv64", ""),
        ("s390x", ""),
    ],
)
def test_a_newer_qemu_is_named_only_where_it_wires_up_more(arch: str, newer: str) -> None:
    asked = machine(arch, 5, "uart")
    plan = planner.plan(asked, Capabilities((7, 2, 0), arch), without_limits("any", "test"))
    refused = next(f for f in plan.refusals if f.id == "onboard-uart-limit")
    assert refused.fix.partition("; ")[2] == newer
