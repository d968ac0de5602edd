"""One port more than a kind's limit is refused, by a rule that has a name; nothing is booted.

A planner that is wrong about its own limit would be green by its own word.  So where a rule of
the judge's has the same name, the judge, which counts by itself, must say the same: nothing is
wrong with as many ports as can be planned, and with one more, put into that command by hand, it
finds just that.  That QEMU and the guest agree is shown by boots (tests/live/test_echo_live.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from vmserial.judging.engine import judge
from vmserial.judging.plans import lowered
from vmserial.limits import PCI_FUNCTIONS
from vmserial.machines import architecture
from vmserial.model import PCI_UARTS, Chardev, Finding, Plan, Severity, UnixSocket
from vmserial.model.origin import LoweredOption, Origin
from vmserial.options import Option
from vmserial.planning.planner import plan
from vmserial.rules.index import PHASES
from vmserial.verify.cases import Planned
from vmserial.verify.cases.maximum import Limit, find_limit, of_kind
from vmserial.verify.results import Fault, FaultKind, Verdict
from vmserial.verify.setup import platform

if TYPE_CHECKING:
    from vmserial.verify.topologies import Builder

_MOST = 8192
"""Ports with which the search for a limit ends: a root bus full of virtio-serial is 3,720."""

_JUDGED = 512
"""Ports of a command that is judged; the limits past it have no rule of the judge's."""

_PAST = "past"
"""The chardev of the port that is put in by hand."""

_DRIVERS = {
    "isa": "isa-serial", "pci": "pci-serial", "pci-2x": "pci-serial-2x", "pci-4x": "pci-serial-4x",
    "usb": "usb-serial", "virtconsole": "virtconsole", "virtio": "virtserialport",
}  # fmt: skip


_CARDS = frozenset({"pci-2x", "pci-4x"})


class Refused(Planned):
    """One more of each kind than can be planned, which must be refused."""

    name = "refused"
    about = "one more of each kind than can be planned is refused; nothing is booted"
    order = 5

    def add(self, builder: Builder, kind: str) -> None:
        """Decide it at once."""
        limit = find_limit(lambda count: _planned(builder, kind, count), _MOST)
        detail, fault = verdict(builder, kind, limit)
        if fault:
            builder.tell(self.name, kind, detail, Verdict.FAIL, (Fault(fault, detail),))
        elif limit.refusals:
            builder.tell(self.name, kind, detail, Verdict.PASS)
        else:
            builder.leave_out(self.name, kind, detail)


def verdict(builder: Builder, kind: str, limit: Limit) -> tuple[str, FaultKind | None]:
    """Return what is to be said of a limit, and what is wrong with it, if anything is."""
    over = limit.ports + 1
    if not limit.refusals:
        return f"{limit.ports} {kind} ports can be planned; more is not tried", None
    first = limit.refusals[0]
    said = f"{over} {kind} ports are refused: {first.id}: {first.happens}"
    if not (first.id and first.happens and first.fix):
        return (
            f"the refusal of {over} {kind} ports lacks its id, words or way out",
            FaultKind.NOT_REFUSED,
        )
    if limit.ports > _JUDGED:
        return said, None
    made = _planned(builder, kind, limit.ports)
    if wrong := _wrong(made, ()):
        return (
            f"{limit.ports} {kind} ports are planned, and one is too many: {wrong[0].id}: "
            f"{wrong[0].happens}",
            FaultKind.NOT_REFUSED,
        )
    more = _one_more(made, kind)
    if more and first.id in {rule.id for phase in PHASES for rule in phase}:
        wrong = _wrong(made, more)
        # Of what a board does not have at all the judge may say it in another rule's words.
        if not wrong or (limit.ports and first.id not in {finding.id for finding in wrong}):
            return (
                f"{over} {kind} ports are refused ({first.id}), and nothing is wrong with a "
                "command that has them: the planner refuses too early",
                FaultKind.NOT_REFUSED,
            )
    return said, None


def _planned(builder: Builder, kind: str, count: int) -> Plan:
    """Plan ports as their user would, on host sides that somebody misses."""
    ports = [
        replace(port, chardev=Chardev(UnixSocket(f"/run/vmserial/{port.name}")))
        for port in of_kind(kind, count)
    ]
    return plan(
        platform(builder.request.machine, ports),
        builder.environment.capabilities,
        builder.environment.guest.profile,
    )


def _one_more(made: Plan, kind: str) -> list[Option]:
    """Return the options of a port that is put in by hand, after all others; none if unknown."""
    board = architecture(made.machine.arch).planned_on(made.machine)
    assert board is not None
    backend = UnixSocket("/run/vmserial/past")
    params = (("id", _PAST), ("path", backend.path), ("server", True), ("wait", False))
    options = [Option("-chardev", "socket", params)]
    if kind == "uart":
        # On a PC -serial makes another kind, isa.
        return [] if board.isa else [*options, Option("-serial", raw=f"chardev:{_PAST}")]
    card = made.assignments[-1].device if made.assignments else None
    if kind in _CARDS and card is not None and card.driver == _DRIVERS[kind]:
        used = sum(name.startswith("chardev") for name, _ in card.properties)
        if used < PCI_UARTS[card.driver]:
            return [*options, Option("-set", raw=f"device.{card.id}.chardev{used + 1}={_PAST}")]
    key = "chardev1" if kind in _CARDS else "chardev"
    rest: tuple[tuple[str, str | bool], ...] = (*_next_place(made), (key, _PAST))
    if kind in {"virtio", "virtconsole"}:
        options.append(Option("-device", board.virtio_serial, (("id", "past-bus"),)))
        rest = (("bus", "past-bus.0"), *rest, ("name", _PAST))
    elif kind == "usb":
        options.append(Option("-device", "qemu-xhci", (("id", "past-bus"),)))
        rest = (("bus", "past-bus.0"), *rest, ("always-plugged", True))
    return [*options, Option("-device", _DRIVERS[kind], rest)]


def _next_place(made: Plan) -> tuple[tuple[str, str], ...]:
    """Return the place on PCI behind the UART that was packed last; empty if there is none."""
    found = [
        (int(slot, 16), -int(function), str(bus))
        for one in made.assignments
        if one.identity.kind == "pci" and one.device is not None
        for bus, address in [(one.bus, str(dict(one.device.properties)["addr"]))]
        for slot, _, function in [address.partition(".")]
    ]
    if not found:
        return ()
    slot, function, bus = min(found)
    place = (slot, 1 - function) if 1 - function < PCI_FUNCTIONS else (slot - 1, 0)
    return (("bus", bus), ("addr", f"{place[0]:02x}.{place[1]}"))


def _wrong(made: Plan, more: Sequence[Option]) -> list[Finding]:
    """Return what the judge finds of a plan with more options: what is dead or does not start."""
    command = lowered(made)
    added = tuple(LoweredOption(option, Origin(None, "plan")) for option in more)
    command = replace(command, options=(*command.options, *added))
    found = judge(command, made.qemu, made.guest).found
    return [one for one in found if one.severity in (Severity.DEAD, Severity.FAILS)]


CASE = Refused()
