"""The user's own ``args`` in a plan: what they take, and what they would fight over."""

from __future__ import annotations

from dataclasses import replace

import pytest
from plans import DEBIAN_12_ARM64, ROOMY, binary, kinds, machine, planned, refusals

from vmserial import chardevs
from vmserial.model import Agent, Nic, Plan, SerialPort
from vmserial.options import render
from vmserial.planning import planner


def test_args_are_read_for_what_they_take() -> None:
    args = ("-device", "pci-serial,bus=pcie.0,addr=0x1f.0,chardev=u", "-chardev", "null,id=serial1")
    plan = planned(ports=2, args=args)
    assert "id-taken" in refusals(plan)
    argv = render(plan.options)
    assert argv[-4:] == list(args)
    assert not any("addr=1f.0" in word and "xhci" in word for word in argv)


def test_tls_needs_its_object() -> None:
    port = SerialPort(1, chardevs.parse("tcp=127.0.0.1:4001,tls-creds=t0"))
    made = replace(machine(ports=0), ports=(port,))
    assert [r.id for r in planner.plan(made, binary(), ROOMY).refusals] == ["object-missing"]
    made = replace(made, args=("-object", "tls-creds-psk,id=t0,dir=/tmp,endpoint=server"))
    assert not planner.plan(made, binary(), ROOMY).refusals


def test_args_isa_serial_counts() -> None:
    plan = planned("x86_64", 4, args=("-device", "isa-serial,chardev=x"))
    assert kinds(plan) == ["isa"] * 3 + ["usb"]


def isa_indexes(plan: Plan) -> list[int]:
    return [int(dict(a.device.properties)["index"]) for a in plan.assignments
            if a.device is not None and a.kind == "isa"]  # fmt: skip


def test_args_isa_serial_without_an_index_comes_after_the_ports() -> None:
    # QEMU gives it the number of those made before it: 1 beside serial0, not 0.
    plan = planned("x86_64", 1, args=("-device", "isa-serial,chardev=x"))
    assert isa_indexes(plan) == [0]
    assert not plan.refusals
    told = ("-device", "isa-serial,chardev=x,index=0")
    assert isa_indexes(planned("x86_64", 1, args=told)) == [1]


def test_args_isa_serial_that_would_share_an_index_is_refused() -> None:
    gap = tuple(port for port in machine("x86_64", 3).ports if port.index != 1)
    words = "isa-serial,chardev=x"
    for more in ({"ports": gap}, {"agent": Agent("isa", "/run/qga")}):
        asked = machine("x86_64", 1, args=("-device", words))
        plan = planner.plan(replace(asked, **more), binary("x86_64"), DEBIAN_12_ARM64)
        assert refusals(plan) == {"isa-clash"}
        asked = replace(asked, args=("-device", f"{words},index=1"), **more)
        assert not planner.plan(asked, binary("x86_64"), DEBIAN_12_ARM64).refusals


def test_args_serial_is_com1_on_a_pc() -> None:
    plan = planned("x86_64", 4, args=("-serial", "chardev:x"))
    assert isa_indexes(plan) == [1, 2, 3]
    assert kinds(plan)[3] == "usb"
    none = ("-serial", "none", "-serial", "chardev:x")
    assert isa_indexes(planned("x86_64", 2, args=none, version=(5, 2, 0))) == [1, 2]
    assert isa_indexes(planned("x86_64", 2, args=none)) == [0, 2]


def test_args_serial_is_the_uart_after_ours() -> None:
    plan = planned(ports=2, uarts=2, args=("-serial", "chardev:x"))
    assert kinds(plan) == ["uart", "usb"]
    assert str(plan.assignments[0].identity) == "mmio:0x9000000"


@pytest.mark.parametrize(
    "words",
    [
        ("--device", "isa-serial,chardev=x,index=0"),
        ("-device", '{"driver": "isa-serial", "chardev": "x", "index": 0}'),
    ],
)
def test_args_are_read_in_each_form_of_qemu(words: tuple[str, ...]) -> None:
    assert isa_indexes(planned("x86_64", 1, args=words)) == [1]


@pytest.mark.parametrize("text", ["{", "{}", '{"id": [1]}', "{" * 5000])
def test_json_in_args_that_says_nothing_is_left_to_qemu(text: str) -> None:
    assert not planned("x86_64", 1, args=("-device", text)).refusals


def test_args_isa_serial_is_refused_where_there_is_no_isa() -> None:
    plan = planned(ports=1, args=("-device", "isa-serial,chardev=x"))
    assert refusals(plan) == {"kind-not-on-arch"}
    assert "'isa-serial' is not a valid device model name" in plan.refusals[0].happens


def test_args_on_a_bridge_of_pve_are_refused() -> None:
    device = ("-device", "virtio-rng-pci,bus=pci.2,addr=19")
    plan = planned("x86_64", 1, args=device)
    assert refusals(plan) == {"bus-missing"}
    bridge = ("-device", "pci-bridge,id=pci.2,chassis_nr=9,bus=pci.0,addr=1c")
    assert not planned("x86_64", 1, args=(*bridge, *device)).refusals
    many = tuple(Nic(n) for n in range(9))
    behind = ("-device", "virtio-rng-pci,bus=pci.1,addr=19")
    assert not planned("x86_64", 1, nics=many, args=behind).refusals
