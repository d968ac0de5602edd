"""A PVE VM as it is judged: what PVE starts, what is asked for, what may be moved; pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from vmserial.context import RepairPolicy
from vmserial.devices import KINDS
from vmserial.judging import judge
from vmserial.judging.base import Judgement
from vmserial.limits import PVE_SERIAL_PORTS
from vmserial.model import Capabilities, GuestProfile, Machine, SerialPort
from vmserial.model.host import HostFacts
from vmserial.model.origin import Asked, LoweredCommand
from vmserial.options import parts_of
from vmserial.planning.planner import plan
from vmserial.sources.pve import Document, Setting, raise_shim
from vmserial.sources.pve.args import lift
from vmserial.sources.pve.lower import PveHost, lower
from vmserial.sources.pve.own import own_line
from vmserial.sources.pve.raise_args import concerns
from vmserial.sources.pve.wanted import STALE, Wish, wishes

DRIVERS: Mapping[str, str] = {kind.driver: kind.name for kind in KINDS.values() if kind.driver}
"""The kind of each serial device, by its driver."""


def going(document: Document) -> list[str]:
    """Return the ports whose own lines a pending change deletes."""
    waiting = document.pending
    if waiting is None:
        return []
    return [key for key in waiting.deleted
            if key in document.main.values and re.fullmatch("serial[0-3]", key)]  # fmt: skip


def kinds_of(lowered: LoweredCommand) -> dict[str, str]:
    """Return what each port's device is, by its chardev's id."""
    found: dict[str, str] = {}
    for each in lowered.options:
        if each.option.flag == "-serial":
            found.setdefault((each.option.raw or "").removeprefix("chardev:"), "uart")
        elif each.option.flag == "-device":
            head, pairs = parts_of(each.option)
            for key, chardev in pairs:
                if key.startswith("chardev") and head in DRIVERS:
                    found.setdefault(chardev, DRIVERS[head])
    return found


def _asked(wish: Wish, machine: Machine) -> Asked:
    where = machine.args_where if wish.id == STALE else wish.port.where
    return Asked(wish.port.name, wish.id, where)


Look = Callable[[LoweredCommand], HostFacts]
"""Looks at the host for a command that it starts."""


@dataclass(frozen=True)
class PveVm:
    """What PVE's VM is judged with.

    Attributes:
        machine: what its configuration, and the user's options, ask for.
        capabilities: of the binary that PVE starts.
        guest: what the guest carries.
        look: at the host; None: nothing that depends on it is said.
        known: what documents were lowered to: a repair asks for the same one up to ten times.
    """

    machine: Machine
    capabilities: Capabilities
    guest: GuestProfile
    look: Look | None = None
    known: dict[tuple[int, int, str], tuple[Document, LoweredCommand, list[Wish]]] = field(
        default_factory=dict, compare=False, repr=False
    )

    def lowered(self, document: Document) -> LoweredCommand:
        """Return what PVE starts."""
        machine = self.machine
        # By identity: a lowered option's handle is a setting of this very document.
        key = (id(document), machine.vmid, machine.arch)
        if key not in self.known:
            host = PveHost("", self.capabilities.version)
            found = lower(document, machine.vmid, host, arch=machine.arch)
            asked = {port.name: port.name for port in machine.ports}
            wished = wishes(found, machine, DRIVERS)
            if wished or not asked.keys() <= found.labels.keys():
                found = replace(
                    found, labels={**asked, **found.labels},
                    asked=tuple(_asked(wish, machine) for wish in wished),
                )  # fmt: skip
            self.known[key] = document, found, wished  # the document is kept: its id stays its own
        return self.known[key][1]

    def judged(self, lowered: LoweredCommand) -> Judgement:
        """Judge what PVE starts."""
        return self.judged_by(lowered, self.policy)

    def judged_by(self, lowered: LoweredCommand, policy: RepairPolicy) -> Judgement:
        """As :meth:`judged`, with other preferences."""
        host = self.look(lowered) if self.look else None
        return judge(lowered, self.capabilities, self.guest, policy, host=host)

    @cached_property
    def policy(self) -> RepairPolicy:
        """What is preferred: by port what the configuration asks for; no assumption moves one."""
        ports = self.machine.ports
        return RepairPolicy(
            kinds={port.name: port.kind for port in ports if port.kind != "auto"},
            hotplugs=frozenset(port.name for port in ports if port.hotplug),
            avoid=self.avoided,
            assumed_guest=False,
        )

    @cached_property
    def avoided(self) -> frozenset[str]:
        """The kinds that no port of args gets unasked.

        isa-serial without an index is numbered in the order of the command, and -serial
        takes the board's UARTs in that order: another line would move them.
        """
        serial = "-serial" in self.machine.args
        return frozenset({"isa", "uart"} if serial else {"isa"})

    def wishes(self, lowered: LoweredCommand) -> list[Wish]:
        """Return the ports that are to be otherwise."""
        for _, known, wished in self.known.values():
            if known is lowered:
                return wished
        return wishes(lowered, self.machine, DRIVERS)

    def line_starts(self, port: SerialPort, lowered: LoweredCommand) -> bool:
        """Tell whether PVE starts a new port by a line of its own, and no other one moves."""
        if not raise_shim.has_line(port) or port.kind != "auto" or port.hotplug:
            return False
        arm = lowered.arch == "aarch64"
        if arm and (port.index or own_line(port) != "socket"):
            return False
        others = [
            each.origin.handle for each in lowered.options
            if each.option.flag == "-serial"
            or parts_of(each.option)[0] == "isa-serial"
        ]  # fmt: skip
        # PVE numbers them in this order; what comes behind would be counted anew.
        return len(others) < PVE_SERIAL_PORTS and all(
            isinstance(handle, Setting) and handle.key.startswith("serial")
            and int(handle.key.removeprefix("serial")) < port.index
            for handle in others
        )  # fmt: skip

    def users(self, document: Document, lowered: LoweredCommand) -> set[str]:
        """Return the ports whose chardevs are in the user's own words, which stay."""
        setting = document.main.values.get("args")
        ours = {f"serial{port.index}" for port in lift(setting.value if setting else "").ports}
        names = [port.name for port in self.machine.ports if port.name not in ours]
        return {
            name for name in names for each in lowered.options
            if each.origin.owner == "user" and concerns(each.option, (name,))
        }  # fmt: skip

    def twice(self, lowered: LoweredCommand) -> list[str]:
        """Return the ports that have a line and stand in ``args:``, as ``fix`` writes them."""
        lines = {
            each.origin.handle.key for each in lowered.options
            if isinstance(each.origin.handle, Setting)
        }  # fmt: skip
        return [
            name for index in self.machine.pve_args_ports if (name := f"serial{index}") in lines
        ]

    def placeless(self, names: set[str]) -> Iterator[tuple[str, str]]:
        """Yield why ports find no place, as the planner says it of the whole VM."""
        refusals = plan(self.machine, self.capabilities, self.guest).refusals if names else ()
        for name in sorted(names):
            said = [refusal.happens for refusal in refusals if name in refusal.ports]
            yield name, said[0] if said else "no place is left for the device that is asked for"
