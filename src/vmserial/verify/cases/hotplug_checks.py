"""What hot-plug says of one VM: which port does what, and which checks there will be."""

from __future__ import annotations

from dataclasses import dataclass, replace

from vmserial.verify.results import HOTPLUG, UNATTENDED, Check, Direction
from vmserial.verify.session import Session
from vmserial.verify.subject import BOTH
from vmserial.verify.wire.transfer import Line

NOTHING = "/"
"""What the article writes where no device was taken out."""


@dataclass
class Roles:
    """Which port does what.

    Attributes:
        victim: is taken out and put back.
        bystander: carries data meanwhile; None if there is no other port.
        spare: its chardev is there from the start, its device comes later.
        absent: neither is there at the start.
    """

    victim: Line | None = None
    bystander: Line | None = None
    spare: str = ""
    absent: str = ""

    @classmethod
    def of(cls, session: Session) -> Roles:
        """Choose the ports by what the plan says of them."""
        roles = cls()
        others: list[Line] = []
        for assignment in session.made.plan.assignments:
            port = assignment.port
            line = session.lines.get(port.name)
            if port.state == "absent":
                roles.absent = roles.absent or port.name
            elif port.state == "unplugged":
                roles.spare = roles.spare or port.name
            elif line is not None and line is not session.in_band:
                if (
                    roles.victim is None
                    and assignment.hot_pluggable
                    and assignment.kind == session.kind
                ):
                    roles.victim = line
                else:
                    others.append(line)
        # A port of the same kind sits on the same bus and so is disturbed most easily.
        others.sort(key=lambda line: line.assignment.kind != session.kind)
        roles.bystander = others[0] if others else None
        return roles


def check_of(
    session: Session, name: str, mode: str, way: Direction = "", *, out: str = ""
) -> Check:
    """Return a check of a port that was, or was not, there at the start.

    Args:
        session: of the VM.
        name: the port's.
        mode: what is tried.
        way: the direction of its data; empty where there is none.
        out: the port that was taken out before, or :data:`NOTHING`; empty if that says nothing.
    """
    assignment = session.made.plan.assignment(int(name.removeprefix("serial")))
    device = assignment.device
    check = replace(session.check(HOTPLUG, None, mode, way), port=name, kind=assignment.kind)
    if not out or device is None:
        return check
    return replace(check, unplugged=device.id if out != NOTHING else out, plugged=device.id)


def both_ways(session: Session, name: str, mode: str, out: str = "") -> list[Check]:
    """Return a port's checks of the data each way."""
    return [check_of(session, name, mode, way, out=out) for way in BOTH]


def of_victim(session: Session, name: str, cycles: int) -> list[Check]:
    """Return the victim's checks that need it to go and come back."""
    checks = [
        check_of(session, name, "unplug", out=name),
        *both_ways(session, name, "plugged", out=name),
    ]
    if cycles:
        checks += both_ways(session, name, "cycle", out=name)
    checks += both_ways(session, name, "unplug under load", out=name)
    return [*checks, *both_ways(session, name, "after load", out=name)]


def expected(session: Session, cycles: int) -> list[Check]:
    """Return all checks of the case."""
    roles = Roles.of(session)
    checks: list[Check] = []
    if roles.victim is not None:
        checks += both_ways(session, roles.victim.name, "before", roles.victim.name)
        checks += of_victim(session, roles.victim.name, cycles)
        checks += both_ways(session, roles.victim.name, "after", roles.victim.name)
    if roles.spare:
        checks += both_ways(session, roles.spare, "plugged", NOTHING)
    if roles.absent:
        checks += both_ways(session, roles.absent, "live", NOTHING)
        checks.append(check_of(session, roles.absent, "removed", out=NOTHING))
    if roles.bystander is not None:
        checks += both_ways(session, roles.bystander.name, "during")
    return checks


def nobody_there(session: Session, line: Line) -> Check:
    """Return the check whether a port is in the guest while no client is at its chardev."""
    return check_of(session, line.name, UNATTENDED)


def unseen(session: Session, *, alone: bool) -> list[Check]:
    """Return these checks of the ports that nobody looks for before this case.

    Args:
        session: of the VM.
        alone: no other case is tried on it; else that one looks for those that are there.
    """
    return [
        nobody_there(session, line)
        for line in session.lines.values()
        if line.name in session.made.late
        and (alone or line.assignment.port.state != "plugged")
    ]  # fmt: skip
