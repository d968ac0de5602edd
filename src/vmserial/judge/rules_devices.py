"""What is wrong with the devices: their kind, their number, their limits in QEMU and the guest."""

from __future__ import annotations

from collections.abc import Iterator, Set

from vmserial.judge.base import Flaw, Rehome, Remedy, Retouch, fresh
from vmserial.judge.context import Scene
from vmserial.judge.ports import Port
from vmserial.limits import HVC_NODES, ISA_SERIAL_PORTS
from vmserial.model import PCI_UARTS, Severity
from vmserial.sources.command import DeviceEntry
from vmserial.sources.command.edits import SetKey

_ISA_ERROR = f"Max. supported number of ISA serial ports is {ISA_SERIAL_PORTS}."


class Devices:
    """Judges the ports' devices, one after the other, as QEMU makes them.

    Args:
        scene: the command line.
        adopted: chardevs that a device without one gets; no device is asked for by them.
    """

    def __init__(self, scene: Scene, adopted: Set[str]) -> None:
        self.scene = scene
        self.adopted = adopted
        assert scene.platform is not None
        assert scene.architecture is not None
        self.platform = scene.platform
        self.moved: set[Port] = set()
        """Ports that get another place; they no longer count where they are."""

    def flaws(self) -> Iterator[Flaw]:
        """Yield what is wrong."""
        for flaws in (self.same_id(), self.strangers(), self.onboard(), self.isa(),
                      self.without_device(), self.guest_8250(), self.consoles()):  # fmt: skip
            for flaw in flaws:
                self.moved |= {r.port for r in flaw.remedies if isinstance(r, Rehome)}
                yield flaw

    def staying(self) -> Iterator[Port]:
        """Yield the ports that keep their place so far."""
        return (port for port in self.scene.ports if port not in self.moved)

    # -------------------------------------------------------------- ids

    def same_id(self) -> Iterator[Flaw]:
        """Two devices of one id, one of them a port."""
        first: dict[str, DeviceEntry] = {}
        ports = {id(port.option): port for port in self.scene.ports if port.device}
        taken = set(self.scene.device_ids)
        for device in self.scene.view.devices:
            before = first.setdefault(device.id, device) if device.id else device
            port = ports.get(id(device.option)) or ports.get(id(before.option))
            if before is device or port is None:
                continue
            new = fresh(device.id, taken)
            taken.add(new)
            yield Flaw(
                "id-taken", Severity.FAILS, (port.name,),
                f"-device {device.option.value}: Duplicate ID '{device.id}' for device",
                device.option.where,
                (Retouch((SetKey(port.option, "id", new),), f"{port.name}: id={new}"),),
            )  # fmt: skip

    # -------------------------------------------------------------- devices that are not there

    def strangers(self) -> Iterator[Flaw]:
        """Devices that this binary or this board does not have."""
        for port in self.scene.ports:
            driver = port.driver
            no_isa = driver == "isa-serial" and not self.platform.isa
            if not driver or (self.scene.knows(driver) and not no_isa):
                continue
            remedies = (Rehome(port, kind="virtio" if port.channel else ""),)
            yield Flaw(
                "agent-isa-not-on-arch" if port.channel else "kind-not-on-arch",
                Severity.FAILS, (port.name,),
                f"{port.subject}: '{driver}' is not a valid device model name", port.option.where,
                remedies,
                fix=f"use a device that {self.scene.arch} {self.platform.name} has: usb-serial, "
                "pci-serial or virtserialport",
            )  # fmt: skip

    # -------------------------------------------------------------- -serial and ISA

    def onboard(self) -> Iterator[Flaw]:
        """``-serial`` past the UARTs that the machine type wires up."""
        limit = self.scene.uarts
        for port in self.scene.ports:
            if port.onboard is None or port.onboard.index < limit:
                continue
            if port.onboard.host.form == "inline" and port.onboard.host.backend == "null":
                continue
            older = self.scene.capabilities.version < (9, 1, 0) and self.scene.arch == "aarch64"
            yield Flaw(
                "onboard-uart-limit", Severity.DEAD, (port.name,),
                f"{port.subject}: QEMU {self.scene.capabilities.version_text} wires up {limit} "
                f"on-board UART{'' if limit == 1 else 's'} of {self.platform.name} and ignores "
                "this one without a word: the guest has no node for it"
                + ("; 9.1 and later wire up two" if older else ""),
                port.option.where, (Rehome(port),),
            )  # fmt: skip

    def isa(self) -> Iterator[Flaw]:
        """A fifth isa-serial, or two of one index."""
        if not self.platform.isa:
            return
        taken: dict[int, str] = {
            port.onboard.index: port.name
            for port in self.scene.ports
            if port.onboard is not None and port.onboard.index < ISA_SERIAL_PORTS
        }
        if self.scene.view.default_serial is not None:
            taken[0] = "the default serial port"
        made = len(taken)
        ports = [p for p in self.staying() if p.driver == "isa-serial"]
        for port in sorted(ports, key=lambda port: port.option.params.is_json):
            assert port.device is not None
            place = port.device.device.isa
            said = place.index if place else None
            index = made if said is None else said
            made += 1
            if index >= ISA_SERIAL_PORTS:
                free = [i for i in range(ISA_SERIAL_PORTS) if i not in taken]
                remedies: tuple[Remedy, ...] = (
                    Rehome(port, kind="virtio" if port.channel else ""),
                )
                if said is not None and free:
                    taken[free[0]] = port.name
                    remedies = (Retouch((SetKey(port.option, "index", free[0]),),
                                        f"{port.name}: isa-serial index={free[0]}"),)  # fmt: skip
                happens = f"{port.subject}: {_ISA_ERROR}"
                yield Flaw("isa-limit", Severity.FAILS, (port.name,), happens, port.option.where,
                           remedies)  # fmt: skip
            elif index in taken and not (place and place.iobase is not None):
                yield self.same_index(port, index, taken)
            else:
                taken[index] = port.name

    def same_index(self, port: Port, index: int, taken: dict[int, str]) -> Flaw:
        """Two isa-serial of one index."""
        free = [i for i in range(ISA_SERIAL_PORTS) if i not in taken]
        happens = (
            f"{port.subject}: its index is {index}, which {taken[index]} has: QEMU starts, and one "
            "of the two is dead"
        )
        names = (taken[index], port.name) if taken[index].startswith("serial") else (port.name,)
        if not free:
            return Flaw("isa-clash", Severity.DEAD, names, happens, port.option.where,
                        (Rehome(port, kind="virtio" if port.channel else ""),))  # fmt: skip
        taken[free[0]] = port.name
        remedy = Retouch((SetKey(port.option, "index", free[0]),),
                         f"{port.name}: isa-serial index={free[0]}")  # fmt: skip
        return Flaw("isa-clash", Severity.DEAD, names, happens, port.option.where, (remedy,))

    # -------------------------------------------------------------- asked for, and no device

    def without_device(self) -> Iterator[Flaw]:
        """Chardevs of a port's name that no device uses."""
        for port in self.staying():
            if (
                port.device is None and port.onboard is None
                and port.chardev_id not in self.adopted
            ):  # fmt: skip
                yield Flaw(
                    "port-without-device", Severity.DEAD, (port.name,),
                    f"{port.subject}: no -serial and no -device uses this chardev: QEMU starts, "
                    "and the guest has no such port", port.option.where, (Rehome(port),),
                )  # fmt: skip

    # -------------------------------------------------------------- limits of the guest

    def guest_8250(self) -> Iterator[Flaw]:
        """8250 ports past those that the guest's kernel registers."""
        limit = self.scene.guest.uarts_8250
        used = 0
        if self.platform.isa:
            used = sum(
                port.driver == "isa-serial" or port.onboard is not None for port in self.staying()
            ) + (self.scene.view.default_serial is not None)
        cards: set[int] = set()
        for port in list(self.staying()):
            uarts = PCI_UARTS.get(port.driver)
            if uarts is None or id(port.option) in cards:
                continue
            if used + uarts <= limit:
                cards.add(id(port.option))
                used += uarts
                continue
            guest = self.scene.guest
            assumed = " is assumed and" if guest.assumed else ""
            sure = not (guest.assumed and self.scene.wishes.cautious)
            parameter = guest.nr_uarts
            more = f", or boot it with 8250.nr_uarts={parameter}" if parameter > limit else ""
            yield Flaw(
                "guest-8250-limit", Severity.DEAD, (port.name,),
                f"{port.subject}: the guest {guest.name}{assumed} registers {limit} 8250 ports "
                f"({guest.source}): \"Couldn't register serial port …: -28\" in its "
                "dmesg, and no node", port.option.where, (Rehome(port),) if sure else (),
                fix=f"use another kind of port for those past {limit}{more}, or name the guest "
                "with --guest",
            )  # fmt: skip

    def consoles(self) -> Iterator[Flaw]:
        """Virtconsoles past the hvc nodes that Linux has."""
        consoles = [port for port in self.staying() if port.driver == "virtconsole"]
        for port in consoles[HVC_NODES:]:
            yield Flaw(
                "hvc-limit", Severity.DEAD, (port.name,),
                f"{port.subject}: Linux has {HVC_NODES} hvc nodes and all are taken: this console "
                "has none", port.option.where, (Rehome(port, kind="virtio"),),
            )  # fmt: skip
