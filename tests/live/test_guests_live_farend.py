"""The far end on real guests: nodes by identity, data both ways, hot-plug."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from typing import Any

import pytest
from guest_vm import GuestVM

from vmserial.errors import MonitorError, ShellError
from vmserial.guests.farend import FarEnd
from vmserial.guests.images import ensure
from vmserial.model import NodeIdentity

USB = [NodeIdentity("usb", f"serial{number}") for number in (1, 2)]
MIXED = [
    # Swapped, so that the order of neither ports nor names can help.
    ("usb2", "usb-serial,bus=xhci.0,port=1,always-plugged=on,serial=serial2"),
    ("usb1", "usb-serial,bus=xhci.0,port=2,always-plugged=on,serial=serial1"),
    ("pci7", "pci-serial,addr=1d.7"),
    ("pci0", "pci-serial,addr=1d.0,multifunction=on"),
    ("bridge", "pci-serial,bus=root1,addr=0"),
    ("virtio", "virtserialport,bus=control.0,name=a name"),
    ("console", "virtconsole,bus=control.0,name=hvc"),
]
DEVICES = ["qemu-xhci,id=xhci", "pcie-root-port,id=root1,addr=1c.0,chassis=1"]
BY_NAME = {
    "usb1": USB[0],
    "usb2": USB[1],
    "pci0": NodeIdentity("pci", "1d.0#0"),
    "pci7": NodeIdentity("pci", "1d.7#0"),
    "bridge": NodeIdentity("pci", "1c.0/00.0#0"),
    "virtio": NodeIdentity("virtio", "a name"),
    "console": NodeIdentity("virtio", "hvc"),
}
SERIAL0 = {
    "aarch64": NodeIdentity("mmio", "0x9000000"),
    "x86_64": NodeIdentity("io", "0x3f8"),
}


async def exchange(vm: GuestVM, far: FarEnd, name: str, path: str, size: int) -> None:
    """Send different data both ways at once, and see that both arrive whole."""
    down, up = os.urandom(size), os.urandom(size)
    file = await far.put(name, up)
    await far.receive_begin(path)
    _, got, _, received = await asyncio.gather(
        vm.send(name, down),
        vm.read(name, size),
        far.send(path, file, 20),
        far.received(path, size, 20),
    )
    assert got == up, name
    assert (received.size, received.sha256) == (size, hashlib.sha256(down).hexdigest()), name
    assert await far.fetch(path) == down, name


@pytest.mark.parametrize(("arch", "suite"), [("aarch64", "bookworm"), ("x86_64", "trixie")])
def test_every_port_is_found_by_what_it_is_and_carries_all_bytes(arch: str, suite: str) -> None:
    ports = {"serial0": SERIAL0[arch], **BY_NAME}

    async def scenario() -> None:
        # aarch64's kernel has four 8250 ports and these take three; q35's trixie has 32.
        async with GuestVM(ensure(arch, suite), MIXED, DEVICES) as vm:
            shell = await vm.shell()
            async with FarEnd(shell) as far:
                seen = [node.identity async for node in far.appearing(ports.values(), 20)]
                assert sorted(map(str, seen)) == sorted(map(str, ports.values()))
                paths = {name: far.present[identity].path for name, identity in ports.items()}
                assert len(set(paths.values())) == len(paths)
                assert paths["console"] == "/dev/hvc0"
                with pytest.raises(ShellError, match=r"usb:nothing.*0\.3"):
                    await far.node(NodeIdentity("usb", "nothing"), 0.3)
                await far.open(*paths.values())
                for name, path in paths.items():
                    await exchange(vm, far, name, path, 700)
                await asyncio.gather(
                    *(exchange(vm, far, name, path, 8192) for name, path in paths.items())
                )
                # Nobody heard what was not meant for him.
                await asyncio.gather(*(far.receive_begin(path) for path in paths.values()))
                await vm.send("usb1", b"x")
                assert (await far.received(paths["usb1"], 1, 10)).size == 1
                counts = [await far.count(path) for path in paths.values()]
                assert sum(counts) == 1
                short = await far.received(paths["usb2"], 5, 0.3)
                assert (short.size, short.sha256) == (0, hashlib.sha256().hexdigest())
            # All that it started has ended, and its files are gone.
            assert "vmserial" not in await shell.run("ls /tmp")
            assert "cat" not in (await shell.run("ps")).split()
            await shell.close()

    asyncio.run(scenario())


def test_a_port_that_cannot_be_opened_is_named_and_none_is_left_open() -> None:
    async def scenario() -> None:
        async with GuestVM(ensure("aarch64"), MIXED, DEVICES) as vm:
            shell = await vm.shell()
            async with FarEnd(shell) as far:
                node = await far.node(BY_NAME["virtio"], 10)
                with pytest.raises(ShellError, match="/dev/nothing"):
                    await far.open("/dev/nothing", node.path)
                # A virtio port allows one opener: it must have been let go.
                await far.open(node.path)
                with pytest.raises(ShellError, match="open already"):
                    await far.open(node.path)
                with pytest.raises(ShellError, match="not open"):
                    await far.count("/dev/nothing")
                await exchange(vm, far, "virtio", node.path, 64)
            await shell.close()

    asyncio.run(scenario())


def test_a_sender_that_nobody_reads_is_given_up() -> None:
    async def scenario() -> None:
        async with GuestVM(ensure("aarch64"), MIXED, DEVICES) as vm:
            shell = await vm.shell()
            async with FarEnd(shell) as far:
                path = (await far.node(BY_NAME["virtio"], 10)).path
                await far.open(path)
                # The host side is not read. The virtqueue itself holds 8 MB (QEMU 10.0.13: 64).
                await shell.run("dd if=/dev/null of=/tmp/much bs=1 seek=100000000 2>&1")
                with pytest.raises(ShellError, match="did not take"):
                    await far.send(path, "/tmp/much", 1.0)
                assert (await shell.run("ps -o args | grep -c '[c]at /tmp/much' || :")) == "0\n"
            await shell.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("suite", ["bullseye", "trixie"])
def test_plugging_and_unplugging_is_seen(suite: str) -> None:
    async def scenario() -> None:
        ports = [("one", "usb-serial,bus=xhci.0,port=1,always-plugged=on,serial=serial1,id=one")]
        async with GuestVM(ensure("aarch64", suite), ports, ["qemu-xhci,id=xhci"]) as vm:
            shell = await vm.shell()
            async with FarEnd(shell) as far:
                node = await far.node(USB[0], 10)
                await far.open(node.path)
                await exchange(vm, far, "one", node.path, 5000)
                for cycle in range(3):
                    await far.close(node.path)
                    await vm.vm.monitor.execute("device_del", id="one" if not cycle else "two")
                    gone = await far.gone(USB[0], 10)
                    assert gone is not None
                    assert gone >= node.seen
                    assert USB[0] not in far.present
                    await plug(
                        vm, driver="usb-serial", bus="xhci.0", port="1", id="two", chardev="one",
                        serial="serial1", **{"always-plugged": True},
                    )  # fmt: skip
                    node = await far.node(USB[0], 10)
                    assert node.seen >= gone
                    await far.open(node.path)
                    await exchange(vm, far, "one", node.path, 300)
                assert await far.gone(USB[1], 1) is None
                with pytest.raises(ShellError, match="still has"):
                    await far.gone(USB[0], 0.3)
            await shell.close()

    asyncio.run(scenario())


async def plug(vm: GuestVM, **arguments: Any) -> None:
    """Plug a device; its chardev is busy until QEMU has let go of the old one."""
    for _ in range(100):
        try:
            await vm.vm.monitor.execute("device_add", **arguments)
            return
        except MonitorError as error:
            if "in use" not in error.message:
                raise
        await asyncio.sleep(0.05)
    pytest.fail("the chardev stays in use")


def consoles(buses: dict[int, str]) -> list[tuple[str, str]]:
    """Return seven consoles in an order that follows neither names nor numbers."""
    return [
        (f"c{n}", f"virtconsole,bus={buses[n]}.0,name=name{n},id=d{n}")
        for n in (4, 2, 7, 1, 3, 6, 5)
    ]


CONSOLES = {n: NodeIdentity("virtio", f"name{n}") for n in range(1, 8)}


@pytest.mark.parametrize("suite", ["bullseye", "bookworm", "trixie"])
def test_a_virtconsole_is_found_by_what_it_is(suite: str) -> None:
    """Each hvc is written to and heard on the right chardev, also after unplugging."""

    async def scenario() -> None:
        ports = consoles(dict.fromkeys(range(1, 8), "first"))
        devices = ["virtio-serial-pci,id=first"]
        async with GuestVM(ensure("aarch64", suite), ports, devices) as vm:
            shell = await vm.shell()
            async with FarEnd(shell) as far:
                async for node in far.appearing(CONSOLES.values(), 10):
                    assert node.path.startswith("/dev/hvc")
                await hears_itself(vm, far)
                # 5.10 and 6.1 count vtermno up for ever, 6.12 uses the lowest free one again.
                for n in (3, 6):
                    await vm.vm.monitor.execute("device_del", id=f"d{n}")
                    await far.gone(CONSOLES[n], 10)
                for n in (6, 3):
                    await plug(
                        vm, driver="virtconsole", bus="first.0", id=f"e{n}", chardev=f"c{n}",
                        name=f"name{n}",
                    )  # fmt: skip
                    await far.node(CONSOLES[n], 10)
                await hears_itself(vm, far)
            # Who comes later did not see it, and may have to probe.
            async with FarEnd(shell) as late:
                assert set(await late.nodes()) > set(CONSOLES.values())
                await hears_itself(vm, late)
            await shell.close()

    asyncio.run(scenario())


def test_virtconsoles_on_two_controllers_are_probed() -> None:
    async def scenario() -> None:
        ports = consoles({n: "first" if n in (2, 4, 5, 7) else "second" for n in range(1, 8)})
        devices = ["virtio-serial-pci,id=first", "virtio-serial-pci,id=second"]
        # Up to 6.1, one of them may be dead (see HvcSlots).
        async with GuestVM(ensure("aarch64", "trixie"), ports, devices) as vm:
            shell = await vm.shell()
            async with FarEnd(shell) as far:
                assert set(await far.nodes()) > set(CONSOLES.values())
                for n in CONSOLES:
                    assert await vm.read(f"c{n}", 1) == b"\0"
                await hears_itself(vm, far)
            await shell.close()

    asyncio.run(scenario())


async def hears_itself(vm: GuestVM, far: FarEnd) -> None:
    """Write each console's own word to its node; hear it, and nothing else, at its chardev.

    But for the one NUL of a probe: on a busy host the watcher may look in the middle of
    the consoles' coming, and what it then cannot conclude it has to try.
    """
    paths = {n: far.present[identity].path for n, identity in CONSOLES.items()}
    assert len(set(paths.values())) == len(paths)
    await far.open(*paths.values())
    for n, path in paths.items():
        word = f"I am {n}.".encode()
        await far.send(path, await far.put("word", word), 10)
        got = await vm.read(f"c{n}", 1)
        if got == b"\0":
            got = await vm.read(f"c{n}", 1)
        assert got + await vm.read(f"c{n}", len(word) - 1) == word
    await far.close(*paths.values())


def test_a_node_is_seen_soon_after_the_kernel_made_it() -> None:
    async def scenario() -> None:
        async with GuestVM(ensure("aarch64"), [], ["qemu-xhci,id=xhci"]) as vm:
            shell = await vm.shell()
            async with FarEnd(shell) as far:
                await far.nodes()
                backend = {"type": "null", "data": {}}
                await vm.vm.monitor.execute("chardev-add", id="new", backend=backend)
                waiting = asyncio.create_task(far.node(USB[0], 10))
                await asyncio.sleep(0)
                await vm.vm.monitor.execute(
                    "device_add", driver="usb-serial", bus="xhci.0", port="1", id="new",
                    chardev="new", serial="serial1", **{"always-plugged": True},
                )  # fmt: skip
                node = await waiting
                told = time.monotonic()
                log = await shell.run("dmesg | grep 'now attached to ttyUSB0'")
                made = float(log.split("[")[1].split("]")[0])
                assert node.seen - made < 0.25, (node, made, told)
            await shell.close()

    asyncio.run(scenario())
