"""What a PVE configuration must hold so that PVE itself starts every port; pure.

PVE starts ``serial0`` to ``serial3`` in its own way, which is right on x86 (ISA)
and for ``serial0`` on aarch64 (the board's UART), and nowhere else.  There are
two ways to get the others without touching PVE:

``args``
    Their chardevs, devices and controllers go into ``args:``, which PVE appends
    to its command as they are.
``shim``
    The lines stay; the emulator shim gives each port a device that exists.  What
    PVE has no line for is asked for by a chardev ``serialN`` in ``args:``, which
    stock QEMU takes, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from vmserial import chardevs, doctor
from vmserial.free_places import on_pve
from vmserial.judge import Change
from vmserial.limits import PVE_SERIAL_PORTS
from vmserial.machines import architecture
from vmserial.model import (
    Assignment,
    Capabilities,
    GuestProfile,
    Machine,
    Plan,
    SerialPort,
)
from vmserial.options import Option
from vmserial.planning.planner import plan
from vmserial.pve import edits
from vmserial.pve.own import concerns, has_isa, own_line, pairs
from vmserial.sources.pve import Document
from vmserial.sources.pve.args import lift
from vmserial.sources.pve.values import quoted

Way = Literal["args", "shim"]

DIRECTIVE_ONLY = "pve-directive-only"
STALE = "pve-args-stale"
TWICE = "id-taken"
NO_DEVICE = "port-without-device"
AGENT = "pve-agent-isa-on-aarch64"

_OWN_KINDS = {"aarch64": "uart", "x86_64": "isa"}
_ISA_AGENT = re.compile(r"(?:\A|,)type=isa(?=,|\Z)")


@dataclass(frozen=True)
class Mended:
    """A configuration as it must be.

    Attributes:
        document: with every line that had to change changed; the same where none had to.
        changes: what was done, by port.
        plan: of the ports, as PVE and QEMU will give them.
        moved: the ports that stand in ``args:`` now.
        kept: the ports that PVE starts by its own lines.
        stuck: a port that has to move and cannot, because the VM's screen is on it.
    """

    document: Document
    changes: tuple[Change, ...]
    plan: Plan
    moved: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    stuck: tuple[str, ...] = ()


def mend(
    document: Document,
    machine: Machine,
    capabilities: Capabilities,
    guest: GuestProfile,
    way: Way = "args",
) -> Mended:
    """Return the configuration that PVE starts with all its ports.

    Args:
        document: as it is.
        machine: what it says (:func:`vmserial.sources.pve.machine`), and what the user's
            options add to that.
        capabilities: of the binary that PVE starts.
        guest: what the guest carries.
        way: through ``args:`` alone, or with the emulator shim.

    Raises:
        UsageError: as :func:`vmserial.planning.planner.plan`.
    """
    return _Mending(document, machine, capabilities, guest, way).mended()


class _Mending:
    """One configuration on its way; holds what is collected."""

    def __init__(
        self,
        document: Document,
        machine: Machine,
        capabilities: Capabilities,
        guest: GuestProfile,
        way: Way,
    ) -> None:
        self.document = document
        args = document.main.values.get("args")
        self.lifted = lift(args.value if args is not None else "")
        self.original = machine
        self.capabilities, self.guest, self.way = capabilities, guest, way
        self.arch = architecture(machine.arch).name
        self.plain = {line.index: line.value for line in machine.pve_serials}
        self.changes: list[Change] = []
        self.machine = self._eased(machine)
        self.plan = self._planned()
        self.stuck = self._stuck()

    # -------------------------------------------------------------- what is planned

    def _eased(self, machine: Machine) -> Machine:
        """Return the machine as it can be planned: an agent that starts, ports on their places."""
        agent = machine.agent
        if agent is not None and agent.kind == "isa" and self.arch == "aarch64":
            machine = replace(machine, agent=replace(agent, kind="virtio"))
        ports = []
        for port in machine.ports:
            if self.arch == "aarch64" and self._pve_uart(port):
                port = replace(port, kind="uart")
            ports.append(port)
        platform = architecture(self.arch).platform(machine.machine_type)
        machine = replace(machine, ports=tuple(ports))
        return on_pve(machine, platform.name) if platform is not None else machine

    def _pve_uart(self, port: SerialPort) -> bool:
        """Tell whether PVE gives this port the board's UART."""
        return (
            port.index == 0
            and self._has_line(port)
            and self.plain[0] == "socket"
            and port.kind in {"auto", "uart"}
            and not port.hotplug
        )

    def _has_line(self, port: SerialPort) -> bool:
        """Tell whether PVE's own line gives this port the backend that it is to have."""
        value = self.plain.get(port.index, "")
        return port.index < PVE_SERIAL_PORTS and bool(value) and value == own_line(port)

    @property
    def machine_args(self) -> frozenset[int]:
        """The ports that stand in ``args:`` already."""
        return frozenset(self.original.pve_args_ports)

    def _planned(self) -> Plan:
        """Plan, with no port of ``args:`` on a place that depends on what PVE has before it."""
        made = plan(self.machine, self.capabilities, self.guest)
        if self.way == "shim":
            return made
        own = self._kept(made)
        wrong = [a.port for a in made.assignments if a.port.name not in own and self._shaky(a, own)]
        if not wrong:
            return made
        for name in architecture(self.arch).order:
            if name in _OWN_KINDS.values():
                continue
            machine = replace(
                self.machine,
                ports=tuple(
                    replace(port, kind=name) if port in wrong else port
                    for port in self.machine.ports
                ),
            )
            tried = plan(machine, self.capabilities, self.guest)
            refused = {port for refusal in tried.refusals for port in refusal.ports}
            if refused.isdisjoint(port.name for port in wrong):
                self.machine = machine
                return tried
        return made

    def _shaky(self, assignment: Assignment, own: Iterable[str]) -> bool:
        """Tell whether another port's coming or going would move this one to another device.

        isa-serial without an index is numbered in the order of the command, and -serial
        takes the board's UARTs in that order.
        """
        if assignment.port.kind != "auto":
            return False
        if assignment.kind == "isa":
            agent = self.machine.agent
            return bool(list(own)) or (agent is not None and agent.kind == "isa")
        return assignment.kind == "uart" and "-serial" in self.machine.args

    def _kept(self, made: Plan) -> frozenset[str]:
        """Return the ports that PVE's own line starts as they are to be."""
        kept = set()
        for port in self.machine.ports:
            if not self._has_line(port):
                continue
            if self.way == "shim" or self._pve_uart(port):
                kept.add(port.name)
            elif self.arch == "x86_64":
                placed = [a for a in made.assignments if a.port.name == port.name]
                if placed and placed[0].kind == "isa":
                    kept.add(port.name)
        return frozenset(kept)

    def _stuck(self) -> tuple[str, ...]:
        display = self.original.display
        name = f"serial{display.serial}"
        if self.way == "shim" or display.kind != "serial" or display.serial not in self.plain:
            return ()
        return () if name in self._kept(self.plan) else (name,)

    # -------------------------------------------------------------- what is written

    def mended(self) -> Mended:
        if self._blocked():
            self._agent()
            return Mended(self.document, tuple(self.changes), self.plan)
        kept = set(self._kept(self.plan)) | set(self.stuck)
        if self.way == "shim":
            kept |= {port.name for port in self.machine.ports if self._lines_for_shim(port)}
        moved = [
            port
            for port in self.machine.ports
            if port.name not in kept and port.state != "absent" and self._placed(port)
        ]
        words = self._words({port.name for port in moved})
        self._agent()
        self._own_lines(kept, moved)
        self._args(words, moved)
        return Mended(
            self.document,
            tuple(self.changes),
            self.plan,
            tuple(port.name for port in moved),
            tuple(
                p.name for p in self.machine.ports if p.name in kept and p.name not in self.stuck
            ),
            self.stuck,
        )

    def _blocked(self) -> bool:
        """Tell whether args must stay as it is, whatever is wrong.

        The user's own words have an id that ours need, so that no line of ours would
        help; or a port that is in args, and may work, has no place in this plan.
        """
        there = [port for port in self.machine.ports if port.index in self.machine_args]
        kept = self._kept(self.plan)
        return any(refusal.id == TWICE for refusal in self.plan.refusals) or any(
            port.name not in kept and not self._placed(port) for port in there
        )

    def _placed(self, port: SerialPort) -> bool:
        return self.way == "shim" or any(a.port.name == port.name for a in self.plan.assignments)

    def _lines_for_shim(self, port: SerialPort) -> bool:
        return port.index < PVE_SERIAL_PORTS and bool(own_line(port)) and port.state == "plugged"

    def _words(self, names: set[str]) -> list[str]:
        """Return the words of these ports and of the controllers that they sit on."""
        chosen: list[Option] = []
        for option in self.plan.options:
            params = dict(option.params)
            if option.role == "chardev" and params.get("id") in names:
                chosen.append(option)
            elif self.way == "args" and option.role == "controller":
                if str(params.get("id", "")).startswith("vmserial-"):
                    chosen.append(option)
            elif self.way == "args" and option.role == "serial":
                chardev = str(option.raw or "").removeprefix("chardev:")
                mine = {str(v) for k, v in option.params if k.startswith("chardev")} | {chardev}
                if names & mine:
                    chosen.append(option)
        if self.way == "shim":
            placed = {str(dict(o.params).get("id")) for o in chosen}
            version = self.capabilities.version
            chosen += [
                chardevs.option(port.name, port.chardev, version)
                for port in self.machine.ports
                if port.name in names - placed
            ]
        return [word for option in chosen for word in self._under_pve(option).argv()]

    def _under_pve(self, option: Option) -> Option:
        """Return an option as it fits PVE's own command.

        An isa-serial takes the next number, because PVE numbers its own so.
        """
        params = []
        for key, value in option.params:
            if key == "index" and option.head == "isa-serial" and not has_isa(self.machine.args):
                continue
            params.append((key, value))
        return replace(option, params=tuple(params))

    def _agent(self) -> None:
        agent, setting = self.original.agent, self.document.main.values.get("agent")
        if agent is None or setting is None or agent.kind != "isa" or self.arch != "aarch64":
            return
        value = _ISA_AGENT.sub("", setting.value).lstrip(",")
        self.document = edits.put(self.document, "agent", value)
        self.changes.append(
            Change(AGENT, (), f"agent: {setting.value} -> {value} (a virtio port carries it)")
        )

    def _own_lines(self, kept: set[str], moved: list[SerialPort]) -> None:
        """Take the lines of moved ports out; put those of restored ones back."""
        for port in moved:
            self.document = edits.remove(self.document, port.name)
        for port in self.machine.ports:
            if port.name in kept and {port.index} <= self.plain.keys() & self.machine_args:
                text = f"{port.name}: out of args; PVE's own line '{port.name}:' has it"
                self.changes.append(Change(TWICE, (port.name,), text))
        if self.way != "shim":
            return
        for port in self.machine.ports:
            before = self.plain.get(port.index)
            if port.name not in kept or before == own_line(port):
                continue
            self.document = edits.put(self.document, port.name, own_line(port))
            came = f"{before!r}" if before is not None else "args"
            text = f"{port.name}: from {came} to PVE's own line '{port.name}: {own_line(port)}'"
            self.changes.append(Change(self._why(port), (port.name,), text))

    def _args(self, words: list[str], moved: list[SerialPort]) -> None:
        present = list(self.lifted.ours)
        if words != present:
            value = " ".join(filter(None, (self.lifted.text, *map(quoted, words))))
            if value:
                self.document = edits.put(self.document, "args", value)
            else:
                self.document = edits.remove(self.document, "args")
        said = pairs(present)
        told = len(self.changes)
        for port in moved:
            before = [pair for pair in said if concerns(pair, port.name)]
            after = [pair for pair in pairs(words) if concerns(pair, port.name)]
            if before == after and port.index not in self.plain:
                continue
            self.changes.append(Change(self._why(port), (port.name,), self._moved_text(port)))
        if words != present and len(self.changes) == told:
            names = tuple(port.name for port in moved)
            text = f"args: the controllers of {', '.join(names)}" if names else "args: its rest"
            self.changes.append(Change(STALE, names, f"{text}, written anew"))

    # -------------------------------------------------------------- what is said

    def _moved_text(self, port: SerialPort) -> str:
        line = self.plain.get(port.index)
        came = f"'{port.name}: {line}'" if line is not None else "asked for"
        host = chardevs.text(port.chardev)
        if self.way == "shim":
            return f"{port.name}: {came} -> chardev in args ({host}); the shim gives it a device"
        for assignment in self.plan.assignments:
            if assignment.port.name == port.name:
                device = assignment.device.driver if assignment.device else "the board's UART"
                place = f" on {assignment.bus}, {assignment.address}" if assignment.device else ""
                return f"{port.name}: {came} -> {device}{place}; host side {host}"
        return f"{port.name}: {came} -> args; host side {host}"

    def _why(self, port: SerialPort) -> str:
        """Return the id of the finding that moving this port answers."""
        if port.index in self.plain:
            if port.index in self.machine_args:
                return TWICE
            for finding in doctor.diagnose(self.original, self.capabilities, self.guest):
                if port.name in finding.ports and finding.id.startswith(("pve-", "isa-")):
                    return finding.id
            return DIRECTIVE_ONLY
        if port.index not in self.machine_args:
            return DIRECTIVE_ONLY
        there = {known.index: known.kind for known in self.lifted.ports}
        return STALE if there[port.index] else NO_DEVICE
