"""The fake's machine: chardevs, buses, devices, and the bytes between them."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from fake_qemu import streams
from fake_qemu.argv import CommandLine
from fake_qemu.chardevs import Chardev
from fake_qemu.faults import Fault
from fake_qemu.guest import Guest, Node
from fake_qemu.objects import Objects
from fake_qemu.refused import Refused
from fake_qemu.wires import Wires

CONTROL = "vmserial.control"
UART_BASES = (0x9000000, 0x9040000)
ISA_BASES = (0x3F8, 0x2F8, 0x3E8, 0x2E8)
BUS_DRIVERS = frozenset(
    {"qemu-xhci", "nec-usb-xhci", "virtio-serial-pci", "virtio-serial", "pcie-root-port"}
)
PORT_DRIVERS = frozenset(
    {
        "isa-serial",
        "pci-serial",
        "pci-serial-2x",
        "pci-serial-4x",
        "usb-serial",
        "virtserialport",
        "virtconsole",
    }
)


@dataclass
class Device:
    """A port in the guest: its node (or its shell) and the tasks that carry its bytes."""

    id: str
    chardevs: list[str]
    driver: str = ""
    nodes: list[Node] = field(default_factory=list)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)


class Machine:
    """All of it; ``emit`` sends a QMP event."""

    def __init__(
        self,
        line: CommandLine,
        guest: Guest,
        faults: tuple[Fault, ...],
        emit: Callable[..., None],
        node_delay: float,
        uarts: int,
    ) -> None:
        self.guest = guest
        self.emit = emit
        self.chardevs: dict[str, Chardev] = {}
        self.devices: dict[str, Device] = {}
        self.wires = Wires(faults, self.chardevs, guest, emit)
        self._line = line
        self._delay = node_delay
        self._uarts = uarts
        self._nodes: dict[str, int] = {}
        self._pci: dict[str, str] = {}
        self._numbers: dict[str, int] = {}
        self.objects = Objects()
        self._buses = 0
        self._later: set[asyncio.Task[None]] = set()

    # ------------------------------------------------------------ start

    def start(self) -> None:
        """Make what the command line asks for; raises Refused as QEMU would end."""
        for params in self._line.chardevs:
            if "fd" not in params:
                self.add_chardev(params["id"], params["backend"], params)
        arm = self._line.machine.startswith("virt")
        for number, target in enumerate(self._line.serials):
            id = target.removeprefix("chardev:")
            if target == "none":
                continue
            if number >= (self._uarts if arm else len(ISA_BASES)):
                continue
            make = (
                partial(self.guest.add_mmio, number, UART_BASES[number])
                if arm
                else partial(self.guest.add_isa, number, ISA_BASES[number])
            )
            device = self.devices[target] = Device(target, [id])
            self._plug(device, "uart", lambda make=make: [make()])  # type: ignore[misc]
        for params in self._line.devices:
            self.add_device(dict(params))
        if "console=tty" in self._line.append and self._line.serials:
            first = self._line.serials[0].removeprefix("chardev:")
            if "loglevel=1" not in self._line.append:
                self._task(self.chardevs[first].send(b"[    0.000000] Linux\r\n", wait=False))

    def _task(self, coroutine: Any) -> None:
        task = asyncio.ensure_future(coroutine)
        self._later.add(task)
        task.add_done_callback(self._later.discard)

    # ------------------------------------------------------------ chardevs

    def add_chardev(self, id: str, backend: str, params: dict[str, str]) -> Chardev:
        """Make a chardev."""
        if id in self.chardevs:
            raise Refused(f"Chardev with id '{id}' already exists")
        self.chardevs[id] = Chardev(backend, params)
        return self.chardevs[id]

    def remove_chardev(self, id: str) -> None:
        """Remove one that nothing uses."""
        if id not in self.chardevs:
            raise Refused(f"Chardev '{id}' not found")
        busy = self._busy(id)
        if self.chardevs[id].owner or busy:
            raise Refused(f"Chardev '{id}' is busy")
        if not self.wires.fault("keep-chardev", id):
            self.chardevs.pop(id).close()

    def _busy(self, id: str) -> bool:
        fault = self.wires.fault("busy", id)
        if fault is None:
            return False
        self._nodes[f"busy {id}"] = self._nodes.get(f"busy {id}", 0) + 1
        return self._nodes[f"busy {id}"] <= fault.size

    # ------------------------------------------------------------ devices

    def _parent(self, params: dict[str, str]) -> str:
        bus = params.get("bus", "pcie.0")
        above = self._pci.get(bus, "platform/4010000000.pcie/pci0000:00")
        slot, _, function = params.get("addr", "0").partition(".")
        number = self._numbers.get(bus, 0)
        address = f"0000:{number:02x}:{int(slot, 16):02x}.{function or '0'}"
        return f"{above}/{address}"

    def add_device(self, params: dict[str, str]) -> None:
        """device_add, or one -device."""
        driver, id = params["driver"], params.get("id", "")
        if id and (id in self.devices or id in self._pci):
            raise Refused(f"Duplicate device ID '{id}'")
        if driver in BUS_DRIVERS:
            self.objects.made[id] = params
            self._pci[id] = self._parent(params)
            self._buses += 1
            if driver == "pcie-root-port":
                self._numbers[id] = self._buses
            elif "virtio" in driver:
                self._numbers[f"{id}.0"] = self.guest.next_virtio()
            else:
                self._numbers[f"{id}.0"] = self._buses
            return
        if driver not in PORT_DRIVERS:
            if "serial" in driver:
                raise Refused(f"'{driver}' is not a valid device model name")
            return
        keys = ("chardev", *(f"chardev{number}" for number in range(1, 5)))
        device = Device(id, [params[key] for key in keys if key in params], driver)
        for chardev in device.chardevs:
            if chardev not in self.chardevs:
                raise Refused(f"Property '{driver}.chardev' can't find value '{chardev}'")
            if self.chardevs[chardev].owner:
                value = f"can't take value '{chardev}', it's in use"
                raise Refused(f"Property '{driver}.chardev' {value}")
            refused = self.wires.fault("refuse-add", chardev)
            if refused is not None:
                raise Refused(refused.text)
            if self.wires.fault("not-plugged", chardev):
                params.pop("always-plugged", None)
        self.devices[id] = device
        self.objects.made[id] = params
        self._plug(device, driver, lambda: self._nodes_of(driver, params, device))

    def _nodes_of(self, driver: str, params: dict[str, str], device: Device) -> list[Node]:
        bus = params.get("bus", "")
        if driver == "isa-serial":
            index = int(params.get("index", "0"))
            return [self.guest.add_isa(index, ISA_BASES[index])]
        if driver.startswith("pci-serial"):
            parent = self._parent(params)
            return [self.guest.add_pci(parent, uart) for uart in range(len(device.chardevs))]
        controller = bus.removesuffix(".0")
        if controller not in self._pci:
            raise Refused(f"Bus '{bus}' not found")
        if driver == "usb-serial":
            return [
                self.guest.add_usb(
                    self._pci[controller],
                    self._numbers[bus],
                    params.get("port", "1"),
                    self._serial(params),
                )
            ]
        return [
            self.guest.add_virtio(
                self._pci[controller],
                self._numbers[bus],
                int(params.get("nr", "1")),
                params.get("name", ""),
                driver == "virtconsole",
            )
        ]

    def _serial(self, params: dict[str, str]) -> str:
        renamed = self.wires.fault("rename", params["chardev"])
        return renamed.text if renamed is not None else params.get("serial", "")

    def _plug(self, device: Device, driver: str, make: Callable[[], list[Node]]) -> None:
        for chardev in device.chardevs:
            self.chardevs[chardev].owner = device.id or driver
        device.tasks.append(asyncio.ensure_future(self._appear(device, driver, make)))

    async def _appear(self, device: Device, driver: str, make: Callable[[], list[Node]]) -> None:
        if self._is_control(device):
            if self.wires.fault("deaf-shell"):
                return
            shell = self.guest.shell()
            chardev = self.chardevs[device.chardevs[0]]
            await asyncio.gather(
                self.wires.carry(lambda: streams.read(shell.fileno()), chardev, None, wait=True),
                self.wires.command(chardev, shell.fileno()),
            )
            return
        await asyncio.sleep(self._delay)
        if driver == "usb-serial" and self.objects.made[device.id].get("always-plugged") != "on":
            # It is plugged in only while a client is there.
            await self.chardevs[device.chardevs[0]].connected.wait()
        if any(self.wires.fault("no-node", chardev) for chardev in device.chardevs):
            return
        device.nodes = make()
        wait = driver == "virtserialport"
        for id, node in zip(device.chardevs, device.nodes, strict=True):
            master = node.pty.master
            device.tasks.append(
                asyncio.ensure_future(
                    self.wires.carry(
                        lambda fd=master: streams.read(fd), self.wires.of(id, "out"), id, wait
                    )
                )
            )
            device.tasks.append(
                asyncio.ensure_future(self.wires.deliver(self.wires.of(id, "in"), master, id))
            )

    def _is_control(self, device: Device) -> bool:
        return any(
            params.get("name") == CONTROL and params.get("id", "") == device.id
            for params in self._line.devices
        )

    def remove_device(self, id: str) -> None:
        """device_del: the node goes a moment later, and the event follows it."""
        if id not in self.devices:
            raise Refused(f"Device '{id}' not found", "DeviceNotFound")
        device = self.devices[id]
        if any(self.wires.fault("keep-device", chardev) for chardev in device.chardevs):
            return
        if device.driver == "usb-serial" and self.chardevs[device.chardevs[0]].pending():
            # What QEMU's usb-serial does then, on every version: SIGSEGV in usb_wakeup().
            os.kill(os.getpid(), signal.SIGSEGV)
        self._task(self._vanish(device))

    async def _vanish(self, device: Device) -> None:
        await asyncio.sleep(self._delay)
        for task in device.tasks:
            task.cancel()
        await asyncio.gather(*device.tasks, return_exceptions=True)
        for node in device.nodes:
            self.guest.remove(node)
        for chardev in device.chardevs:
            self.chardevs[chardev].owner = ""
        del self.devices[device.id]
        if not any(self.wires.fault("keep-object", chardev) for chardev in device.chardevs):
            del self.objects.made[device.id]
        self.emit("DEVICE_DELETED", device=device.id, path=f"/machine/peripheral/{device.id}")

    # ------------------------------------------------------------ end

    async def stop(self) -> None:
        """Let go of everything."""
        tasks = [task for device in self.devices.values() for task in device.tasks]
        tasks += list(self._later)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for chardev in self.chardevs.values():
            chardev.close()
