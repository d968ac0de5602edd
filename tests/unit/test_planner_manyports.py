"""What ends the number of ports of a plan: the guest's memory, and its kernel's numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from plans import ROOMY, binary, planned

from vmserial import chardevs
from vmserial.errors import PlanRefused
from vmserial.limits import VIRTIO_SERIAL_CONTROLLERS, VIRTIO_SERIAL_SAFE_PORTS
from vmserial.model import SerialPort
from vmserial.planning import planner


def test_what_the_ports_take_of_the_guests_memory() -> None:
    assert planned(ports=1).memory_kib == 0
    assert 0 < planned(ports=11, kind="usb").memory_mib < 4
    assert 50 < planned(ports=101, kind="virtio").memory_mib < 65
    assert planned(ports=101, kind="virtio", version=(10, 0, 0), memory_mib=1024).memory_mib > 400


def test_more_ports_than_the_guests_memory_has_room_for_are_refused() -> None:
    assert not planned(ports=101, kind="virtio").refusals
    made = planned(ports=101, kind="virtio", version=(10, 0, 0))
    (refusal,) = made.refusals
    assert refusal.id == "guest-memory"
    assert "420 MiB of the guest's 512 MiB" in refusal.happens
    assert "--memory 640" in refusal.fix
    assert not planned(ports=101, kind="virtio", version=(10, 0, 0), memory_mib=640).refusals


def test_more_virtio_controllers_than_the_guests_kernel_takes_are_refused() -> None:
    # One of them is kept for the verifier's own port.
    most = (VIRTIO_SERIAL_CONTROLLERS - 1) * VIRTIO_SERIAL_SAFE_PORTS
    full = planned(ports=most + 1, kind="virtio", memory_mib=8000)
    assert not full.refusals
    assert planner.plan(full.machine, binary(), ROOMY, control=True).control is not None
    refused = planned(ports=most + 4, kind="virtio", memory_mib=8000).refusals
    assert {one.id for one in refused} == {"guest-major-limit"}
    assert len(refused) == 3
    assert f"at most {most} virtio ports" in refused[0].fix
    with pytest.raises(PlanRefused) as caught:
        planner.require(planned(ports=4096, kind="virtio", memory_mib=8000))
    assert len(caught.value.message.splitlines()) == 2
    assert f"serial{most + 2} to serial4095: the guest's kernel" in caught.value.message
    # Others are not held up by it.
    mixed = planned(ports=most + 1, kind="virtio", memory_mib=8000).machine
    usb = SerialPort(most + 1, chardevs.parse("socket=/run/usb"), kind="usb")
    more = replace(mixed, ports=(*mixed.ports, usb))
    assert not planner.plan(more, binary(), ROOMY).refusals
