"""What a verification found: checks, their verdicts, and what they say together.

One check is one statement about one port and one direction (or about the VM as
a whole).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Literal, TypeVar

from vmserial.errors import UsageError
from vmserial.verify.typed import typed

RESULTS = "results.jsonl"
JUNIT = "junit.xml"
HTML = "report.html"
VMS = "vms.json"
"""The files of an output directory."""

Direction = Literal["guest->host", "host->guest", ""]
"""Whose bytes they are; the guest *sends* ``guest->host`` and *receives* ``host->guest``."""

GUEST_TO_HOST: Direction = "guest->host"
HOST_TO_GUEST: Direction = "host->guest"


class Verdict(StrEnum):
    """What a check says.

    ``lost`` is not a failure of the port: the VM died or hung, and nothing was
    proven either way.  ``cannot`` is none either: it was tried, and nothing passed a device
    that is known to carry nothing that way.  ``cannot`` and ``skipped`` always have their
    reason in the check's detail.
    """

    PASS = "pass"
    FAIL = "fail"
    LOST = "lost"
    CANNOT = "cannot"
    SKIPPED = "skipped"


class FaultKind(StrEnum):
    """What went wrong with the bytes, or with the port; in the order of blame.

    The earlier ones explain the later ones: bytes that went to another port are
    also missing here.
    """

    CROSSWIRE = "crosswire"
    """Bytes of another port arrived here."""
    FOREIGN_RUN = "foreign-run"
    """Whole frames of another run arrived: something was not drained."""
    LATE = "late"
    """Bytes of an earlier check of the port arrived: they were slow, and not lost."""
    WRONG_DIRECTION = "wrong-direction"
    """Bytes came back to their sender: an echo."""
    REORDER = "reorder"
    """Right bytes at a wrong place."""
    DUPLICATE = "duplicate"
    """Right bytes once too often."""
    CORRUPT = "corrupt"
    """Other bytes in the place of the right ones."""
    LOSS = "loss"
    """Bytes that never came, in the middle or all of them."""
    TRUNCATED = "truncated"
    """The end never came."""
    EXTRA = "extra"
    """Bytes that nobody sent."""
    GARBAGE = "garbage"
    """Nothing of what was expected is recognisable in what came."""
    TIMEOUT = "timeout"
    """Something did not happen within its bound."""
    NO_NODE = "no-node"
    """The port's node never appeared in the guest, or did not go away."""
    WRONG_NODE = "wrong-node"
    """A node of the port's identity is not the one that was expected."""
    WRONG_DEVICE = "wrong-device"
    """Its device is of another model than planned, or has another port's properties."""
    WRONG_PLACE = "wrong-place"
    """Its device is on another bus, or at another address, than planned."""
    REFUSED = "refused"
    """QEMU or the guest refused what it should have taken."""
    NOT_REFUSED = "not-refused"
    """Something past the limit was taken."""
    DISCONNECTED = "disconnected"
    """The host's end of the port was closed by the other side."""
    LEFTOVER = "leftover"
    """Something stayed behind: a process, a socket, a device."""
    HELD = "held"
    """Somebody else in the guest has the port open, or the user may not open it."""
    NO_DRIVER = "no-driver"
    """The guest's own kernel was built without a driver for the port."""
    GUEST_ERROR = "guest-error"
    """A command in the guest failed."""


CANNOT = frozenset({FaultKind.HELD, FaultKind.NO_DRIVER})
"""What leaves a port untested for a reason that is the guest's: skipped, not failed."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that went wrong, named.

    Attributes:
        kind: its name.
        detail: one sentence for people.
        offset: where in the expected stream it (first) shows; -1 if that has no meaning.
        length: how many bytes it concerns, in all places.
        count: in how many places.
        other: the other port (``serial3``) for crosswire.
    """

    kind: FaultKind
    detail: str = ""
    offset: int = -1
    length: int = 0
    count: int = 1
    other: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """One statement and its verdict.

    Attributes:
        case: ``default``, ``large``, ``maximum``, ``hot-plug``…
        arch: QEMU's target name.
        machine: the machine type.
        qemu: the binary's version text.
        guest: the guest's name.
        kind: the device kind.
        port: ``serialN``; empty for the VM as a whole.
        direction: empty where the check is not about bytes.
        verdict: what it says.
        bytes: bytes of payload and framing that were to pass.
        seconds: from the first byte sent to the last one received, or how long it took.
        detail: why it failed, was lost or skipped; what was found.
        faults: what went wrong, by name; empty if nothing did.
        unplugged: for hot-plug, the device id that was taken out; ``/`` for none.
        plugged: for hot-plug, the device id that was put in; ``/`` for none.
        mode: ``alone``, ``together``, ``before``, ``during``, ``after``, ``cycle``…
        node: the guest's node that the port really had.
        vm: the title of the VM in the report that it was done on.
        maximum: for case ``maximum``, how many ports of the kind one VM was proven to
            carry; 0 where that was not asked.
        planned: for case ``maximum``, how many ports of the kind the planner puts into one
            VM before it refuses; 0 where that was not asked.
        depth: bytes that have passed the port whole in this direction since its VM started,
            this check's included: beyond them nothing is proven.
    """

    case: str
    arch: str
    machine: str
    qemu: str
    guest: str
    kind: str
    port: str = ""
    direction: Direction = ""
    verdict: Verdict = Verdict.PASS
    bytes: int = 0
    seconds: float = 0.0
    detail: str = ""
    faults: tuple[Fault, ...] = ()
    unplugged: str = ""
    plugged: str = ""
    mode: str = "alone"
    node: str = ""
    vm: str = ""
    maximum: int = 0
    planned: int = 0
    depth: int = 0

    @property
    def rate(self) -> float:
        """Bytes a second; 0.0 where nothing was timed."""
        return self.bytes / self.seconds if self.bytes and self.seconds > 0 else 0.0

    @property
    def title(self) -> str:
        """A name that is unique enough for people: port, direction, mode, plugs."""
        parts = [self.port or "vm", self.direction, self.mode]
        if self.unplugged or self.plugged:
            parts.append(f"{self.unplugged or '/'} out {self.plugged or '/'} in")
        return " ".join(part for part in parts if part)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain data for JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Check:
        """Return the check that :meth:`to_json` gave; keys it does not know are left out.

        Raises:
            UsageError: a key is missing or of the wrong kind.
        """
        try:
            found = typed(cls, data)
            found["verdict"] = Verdict(found["verdict"])
            if found.get("direction", "") not in (GUEST_TO_HOST, HOST_TO_GUEST, ""):
                raise ValueError(f"direction is {found['direction']!r}")
            faults = [typed(Fault, fault) for fault in found.get("faults", ())]
            found["faults"] = tuple(
                Fault(**{**fault, "kind": FaultKind(fault["kind"])}) for fault in faults
            )
            return cls(**found)
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(
                f"not a check of vmserial: {error}",
                hint="give a results.jsonl that this version of vmserial wrote",
            ) from None


# ------------------------------------------------------------------ the run it was found in


NOT_RUN = "not run: the verification was interrupted"
"""Why a check is skipped that Ctrl-C or SIGTERM came before."""


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What a run was: enough to do it again.

    Attributes:
        seed: of the data.
        call: the words of the command line, without the program's name.
        version: of vmserial.
        started: when it began, ISO 8601.
        ended: when it ended by itself or was interrupted; empty while it runs, and for ever
            if it was killed: then what it had not done is known to nobody.
        seconds: how long all of it took.
        interrupted: Ctrl-C or SIGTERM ended it early.
    """

    seed: int = 0
    call: tuple[str, ...] = ()
    version: str = ""
    started: str = ""
    ended: str = ""
    seconds: float = 0.0
    interrupted: bool = False


# ------------------------------------------------------------------ what they say together


def combined(checks: Iterable[Check]) -> Verdict | None:
    """Return the verdict of several checks on one thing; None if there are none.

    A failure is proven whatever else happened, so it wins; then lost; a skip
    wins over nothing but another skip.  What a device cannot do takes nothing from what it can.
    """
    seen = {check.verdict for check in checks}
    for verdict in (
        Verdict.FAIL, Verdict.LOST, Verdict.PASS, Verdict.CANNOT, Verdict.SKIPPED,
    ):  # fmt: skip
        if verdict in seen:
            return verdict
    return None


def exit_code(checks: Sequence[Check]) -> int:
    """Return the process's exit status: 0 all pass, 1 something failed, 3 the VM was lost.

    No checks at all prove nothing and are a failure; so are checks that were all
    skipped, and a skip or a ``cannot`` without its reason.
    """
    silent = (Verdict.SKIPPED, Verdict.CANNOT)
    if any(c.verdict in silent and not c.detail for c in checks):
        return 1
    return {Verdict.PASS: 0, Verdict.LOST: 3}.get(combined(checks) or Verdict.FAIL, 1)


@dataclass(frozen=True, slots=True)
class Summary:
    """A row of the article's last table, for one kind on one architecture and guest.

    Attributes:
        maximum: ports of the kind in one VM that were proven; 0 if that was not tried.
        planned: ports of the kind that the planner puts into one VM; 0 if that was not asked.
        ports: the most ports of the kind of which all passed in one VM, whatever the case was.
        hotplug: all hot-plug checks together; None if there are none.
        bystander: no port of the kind was plugged or unplugged; they only stayed while
            others came and went.
        send_rate: median bytes a second of the guest's sending, one port alone; 0.0 if none.
        receive_rate: the same for receiving.
        shared_rate: median bytes a second of the guest's sending, all ports at once.
        verdict: all checks of the kind together.
    """

    arch: str
    guest: str
    kind: str
    maximum: int
    planned: int
    ports: int
    hotplug: Verdict | None
    bystander: bool
    send_rate: float
    receive_rate: float
    shared_rate: float
    verdict: Verdict


Key = TypeVar("Key")
Item = TypeVar("Item")

HOTPLUG = "hot-plug"
"""The case whose checks make the hot-plug table; further ones start with this and a ``-``."""


UNATTENDED = "unattended"
"""The mode of a check whether a port is in the guest while no client is at its host side."""


def data_first(checks: Iterable[Check]) -> list[Check]:
    """Return checks in their order, those without a client last: tables begin with data."""
    return sorted(checks, key=lambda check: check.mode == UNATTENDED)


def is_hotplug(check: Check) -> bool:
    """Tell whether a check belongs to a hot-plug case."""
    return check.case == HOTPLUG or check.case.startswith(f"{HOTPLUG}-")


def is_bystander(check: Check) -> bool:
    """Tell whether a check is of a port that only stayed in place while others came and went."""
    # A case that cannot be tried is about no port: nothing stayed, nothing came.
    return is_hotplug(check) and bool(check.port) and not (check.unplugged or check.plugged)


def grouped(items: Iterable[Item], key: Callable[[Item], Key]) -> dict[Key, list[Item]]:
    """Return checks, or what is about them, by ``key``, in the order of first sight."""
    groups: dict[Key, list[Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def summary(checks: Iterable[Check]) -> list[Summary]:
    """Return one row a kind, architecture and guest, in the order of first sight."""
    rows = []
    groups = grouped(data_first(checks), lambda c: (c.arch, c.guest, c.kind))
    for (arch, guest, kind), group in groups.items():
        if not kind:
            continue
        verdict = combined(group)
        assert verdict is not None
        cases = grouped((c for c in group if c.port), lambda c: (c.case, c.vm)).values()
        hotplugs = [c for c in group if is_hotplug(c)]
        rows.append(
            Summary(
                arch=arch,
                guest=guest,
                kind=kind,
                maximum=max((c.maximum for c in group if c.verdict is Verdict.PASS), default=0),
                planned=max((c.planned for c in group), default=0),
                ports=max(map(_proven, cases), default=0),
                hotplug=combined(hotplugs),
                bystander=any(is_bystander(c) for c in hotplugs)
                and not any(c.unplugged or c.plugged for c in hotplugs),
                send_rate=_rate(group, GUEST_TO_HOST, "alone"),
                receive_rate=_rate(group, HOST_TO_GUEST, "alone"),
                shared_rate=_rate(group, GUEST_TO_HOST, "together"),
                verdict=verdict,
            )
        )
    return rows


def _proven(checks: Iterable[Check]) -> int:
    """Return how many ports have nothing but checks that passed, as far as they carry anything."""
    ports = [{check.verdict for check in one} for one in grouped(checks, lambda c: c.port).values()]
    return sum(Verdict.PASS in one and one <= {Verdict.PASS, Verdict.CANNOT} for one in ports)


def _rate(checks: Iterable[Check], direction: Direction, mode: str) -> float:
    rates = [
        c.rate
        for c in checks
        if c.direction == direction and c.mode == mode and c.verdict is Verdict.PASS and c.rate > 0
    ]
    from statistics import median  # not needed before the end; takes 8 ms to import

    return median(rates) if rates else 0.0
