"""Which virtio ports of a crowded controller are heard of, by when their clients come.

Run with QEMU 7.2: the messages that a starting driver is sent are names and open host sides.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Sequence
from pathlib import Path

import pytest
from guest_vm import GuestVM

from vmserial.guests.images import TestGuest, ensure

STARTED_SECONDS = 6.0
"""After this a driver has read all messages of a controller; it takes one."""

PORTS = 19

REBOUND = (
    "d=$(basename $(readlink -f /sys/class/virtio-ports/vport*p15/device)); "
    "cd /sys/bus/virtio/drivers/virtio_console; echo $d > unbind; sleep 1; echo $d > bind; sleep 2"
)
"""As a reset: the driver starts again, with the clients that are there."""

WRITTEN = (
    "for n in {numbers}; do for p in /dev/vport*p$n; do case $(cat /sys/class/virtio-ports/"
    "${{p##*/}}/name) in *control*) continue;; esac; "
    'timeout 2 sh -c "echo hi > $p" && echo heard $n; done; done; true'
)


class CrowdedVM(GuestVM):
    """Ports whose names begin with ``later`` are servers that nobody has to attend."""

    def __init__(self, guest: TestGuest, ports: Sequence[tuple[str, str]], where: Path) -> None:
        self._where = where
        super().__init__(guest, ports, ["virtio-serial-pci,id=many,max_ports=31"])

    def _chardev(self, name: str) -> list[str]:
        if not name.startswith("later"):
            return super()._chardev(name)
        path = self._where / name
        return ["-chardev", f"socket,id={name},path={path},server=on,wait=off"]


async def heard(opened: int, where: Path, *, again: bool = False) -> set[int]:
    """Boot with so many clients, attach the others later; return the ports that can write."""
    names = [f"{'open' if n <= opened else 'later'}{n}" for n in range(1, PORTS + 1)]
    ports = [
        (name, f"virtserialport,bus=many.0,nr={n},name=p{n}") for n, name in enumerate(names, 1)
    ]
    async with CrowdedVM(ensure("x86_64"), ports, where) as vm:
        with contextlib.ExitStack() as clients:
            shell = await vm.shell()
            await asyncio.sleep(STARTED_SECONDS)
            for name in names[opened:]:
                client = clients.enter_context(socket.socket(socket.AF_UNIX))
                client.connect(str(where / name))
            if again:
                await shell.run(REBOUND, 60)
            numbers = " ".join(map(str, range(1, PORTS + 1)))
            words = await shell.run(WRITTEN.format(numbers=numbers), 90)
    return {int(line.split()[1]) for line in words.splitlines() if line.startswith("heard")}


@pytest.mark.parametrize(
    ("opened", "again", "deaf"), [(7, False, 0), (PORTS, False, 7), (0, True, 7)]
)
def test_c1_who_is_there_when_the_driver_starts_counts(
    opened: int, again: bool, deaf: int, tmp_path: Path
) -> None:
    found = asyncio.run(heard(opened, tmp_path, again=again))
    assert len(found) == PORTS - deaf, found
