"""From the private copy of a command to the VM that proves it; pure.

The test guest's kernel takes the place of what the command boots, and a control port on a
controller of its own comes after all else, so that it moves nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from vmserial import chardevs
from vmserial.errors import UsageError
from vmserial.limits import HVC_NODE, ISA_SERIAL_PLACES, VIRTIO_SERIAL_SAFE_PORTS
from vmserial.machines import Platform, architecture
from vmserial.model import (
    ALL_BYTES,
    Assignment,
    Capabilities,
    Chardev,
    Device,
    Machine,
    NodeIdentity,
    Plan,
    SerialPort,
    UnixSocket,
)
from vmserial.options import Option, render
from vmserial.planning.control import CONTROL_CHARDEV, CONTROL_NAME, CONTROLLER, control_assignment
from vmserial.qemu.liveprobe import Probed, argv_of
from vmserial.qemu.private import PrivateCommand, PrivatePort
from vmserial.sources.command.machine import KIND_OF
from vmserial.values import integer
from vmserial.verify.hostfacts import emulated_words
from vmserial.verify.request import TestEnvironment
from vmserial.verify.setup import Setup

_SCLP = {"sclpconsole": 0, "sclplmconsole": 1}
"""s390x' two consoles as devices, and which -serial makes each."""

_FIRST_VTY = 0x71000000
"""The register that pseries' QEMU gives first (SPAPR_VIO_REG_BASE)."""

_NODES = {"isa": "/dev/ttyS*", "usb": "/dev/ttyUSB*", "virtconsole": "/dev/hvc*"}


def platform_of(private: PrivateCommand) -> Platform:
    """Return where the machine type's ports and buses are.

    Raises:
        UsageError: nobody knows.
    """
    arch = architecture(private.arch)
    found = arch.platform(private.machine_type, private.machine_options)
    if found is None:
        raise UsageError(
            f"machine type {private.machine_type!r} is not one that {arch.name} ports can be "
            "proven on",
            hint=f"known for {arch.name}: {', '.join(one.name for one in arch.platforms)}",
        )
    return found


def setup(
    private: PrivateCommand, probed: Probed, environment: TestEnvironment, control: str
) -> Setup:
    """Return how the private copy of a command is booted with the test guest; pure.

    Args:
        private: the copy.
        probed: what QEMU said of it, paused: PCI addresses.
        environment: the binary and the guest.
        control: the path of the control port's socket.

    Raises:
        UsageError: the machine type is not known.
    """
    platform = platform_of(private)
    capabilities, guest = environment.capabilities, environment.guest
    board = on_board(private.ports, platform)
    assignments = tuple(
        assignment(port, platform, probed.pci.get(port.device_id, ""), board)
        for port in private.ports
    )
    words = emulated_words(platform, kvm="kvm" in capabilities.accelerators)
    dtb = guest.dtbs.get(platform.name)
    boot = [
        Option("-kernel", raw=str(guest.kernel), role="boot"),
        Option("-initrd", raw=str(guest.initrd), role="boot"),
        Option("-append", raw=" ".join(filter(None, (guest.append, words))), role="boot"),
        *([Option("-dtb", raw=str(dtb), role="boot")] if dtb else []),
        *([Option("-bios", raw=str(guest.firmware), role="boot")] if guest.firmware else []),
    ]
    own = control_options(platform, capabilities, control, in_json=private.json_devices)
    # A guest that reboots has failed; QEMU ends and says so.
    argv = (*argv_of(private, capabilities), *render([*boot, *own]), "-no-reboot")
    machine = Machine(
        private.arch,
        tuple(one.port for one in assignments),
        machine_type=private.machine_type,
        machine_options=tuple(private.machine_options.items()),
    )
    made = Plan(
        machine, capabilities, guest.profile, (*private.options, *boot, *own), assignments,
        control=_CONTROL,
    )  # fmt: skip
    return Setup(made, argv, private.notes)


def on_board(
    ports: Sequence[PrivatePort], platform: Platform
) -> dict[str, tuple[NodeIdentity, int]]:
    """Return, by name, what the guest knows each port of the board's by, and its number there.

    pseries' vtys are numbered by their registers: Linux gives hvc lines in that order.  QEMU
    gives those of -serial the first registers, and then each that names none the next free one
    (hw/ppc/spapr_vio.c).
    """
    uart = platform.uart
    if uart is None:
        return {}
    found: dict[str, tuple[NodeIdentity, int]] = {}
    registers: dict[str, int] = {}
    for port in sorted(ports, key=lambda port: bool(port.driver)):
        if port.driver == "spapr-vty":
            taken = {*registers.values()}
            first = (n for n in range(_FIRST_VTY, _FIRST_VTY + len(ports) + 1) if n not in taken)
            registers[port.name] = integer(port.params.get("reg", "")) or next(first)
        elif not port.driver and uart.node == HVC_NODE:
            registers[port.name] = _FIRST_VTY + port.number
        elif not port.driver or port.driver in _SCLP:
            number = _SCLP.get(port.driver, port.number)
            known = uart.identities
            found[port.name] = (
                # No board has it; it is here to be missed.
                known[number] if number < len(known)
                else NodeIdentity("mmio", f"UART-{number + 1}"),
                number,
            )  # fmt: skip
    for number, (name, register) in enumerate(sorted(registers.items(), key=lambda one: one[1])):
        found[name] = NodeIdentity("vio", f"{register:#x}"), number
    return found


def assignment(
    port: PrivatePort, platform: Platform, pci: str,
    board: Mapping[str, tuple[NodeIdentity, int]],
) -> Assignment:  # fmt: skip
    """Return where a port is and by what its node will be known.

    Args:
        port: of the private copy.
        platform: where the board's own ports are.
        pci: the path of its device's slots and functions, if it is on PCI.
        board: of :func:`on_board`.
    """
    carries = ALL_BYTES
    kind = KIND_OF.get(port.driver) or ("uart" if platform.uart is not None else "isa")
    node = _NODES.get(kind, "/dev/ttyS*")
    if kind == "uart":
        assert platform.uart is not None
        identity, number = board[port.name]
        carries = platform.uart.carried_by(number)
        node = f"{platform.uart.node}*"
        if number < len(platform.uart.nodes):
            node = platform.uart.nodes[number]
    elif kind == "isa":
        identity = _isa_identity(port)
    elif kind == "usb":
        identity = NodeIdentity("usb", port.params["serial"])
    elif kind in {"virtio", "virtconsole"}:
        identity = NodeIdentity("virtio", port.params["name"])
        node = _NODES.get(kind, f"/dev/virtio-ports/{identity.value}")
    else:
        identity = NodeIdentity("pci", f"{pci}#{port.number}")
    device = None
    if port.driver:
        properties = {k: v for k, v in port.params.items() if k not in {"driver", "id"}}
        device = Device(port.driver, port.device_id, tuple(properties.items()))
    return Assignment(
        port=SerialPort(port.index, Chardev(UnixSocket(port.socket)), kind=kind),
        kind=kind,
        chardev_id=port.chardev_id,
        device=device,
        bus=port.bus or ("board" if device is None else ""),
        address=identity.value,
        identity=identity,
        node=node,
        hot_pluggable=False,
        reason="as the command has it",
        carries=carries,
    )


def _isa_identity(port: PrivatePort) -> NodeIdentity:
    given = integer(port.params.get("iobase", ""))
    if given is not None:
        return NodeIdentity("io", f"{given:#x}")
    if port.number < len(ISA_SERIAL_PLACES):
        return NodeIdentity("io", f"{ISA_SERIAL_PLACES[port.number][0]:#x}")
    return NodeIdentity("io", f"COM{port.number + 1}")


def control_options(
    platform: Platform, capabilities: Capabilities, path: str, *, in_json: bool
) -> list[Option]:
    """Return the harness's own port on a controller of its own.

    QEMU gives the controller the first free place when all others have theirs: it
    makes devices in their order, those in JSON after the others.

    Args:
        platform: whose root bus it is to be on.
        capabilities: of the binary.
        path: of its socket.
        in_json: another device is in JSON.
    """
    controller: dict[str, str | int] = {
        "driver": "virtio-serial-pci", "id": CONTROLLER, "bus": platform.root_bus,
        "max_ports": VIRTIO_SERIAL_SAFE_PORTS + 1,
    }  # fmt: skip
    if not platform.root_bus:
        # QEMU finds its transport.
        controller["driver"] = platform.virtio_serial
        del controller["bus"]
    port: dict[str, str | int] = {
        "driver": "virtserialport", "id": f"{CONTROLLER}-port", "bus": f"{CONTROLLER}.0",
        "nr": 1, "chardev": CONTROL_CHARDEV, "name": CONTROL_NAME,
    }  # fmt: skip
    made = [chardevs.option(CONTROL_CHARDEV, Chardev(UnixSocket(path)), capabilities.version)]
    for device in (controller, port):
        if in_json:
            made.append(Option("-device", raw=json.dumps(device), role="control"))
        else:
            rest = tuple((key, value) for key, value in device.items() if key != "driver")
            made.append(Option("-device", str(device["driver"]), rest, role="control"))
    return made


_CONTROL = control_assignment(f"{CONTROLLER}.0", None)
