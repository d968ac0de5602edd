"""How the fake misbehaves: one :class:`Fault` says what, on which port, from where on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

STREAM_FAULTS = frozenset(
    {"drop", "swap", "duplicate", "corrupt", "late", "mutter", "crosswire", "stall"}
)
"""Faults of bytes on their way through one port in one direction.

``drop`` loses ``size`` bytes, ``swap`` exchanges two neighbouring runs of
``size`` bytes, ``duplicate`` sends ``size`` bytes twice, ``corrupt`` flips one
bit, ``late`` adds ``size`` bytes that nobody sent, ``mutter`` adds ``text``,
``crosswire`` exchanges the port's bytes with those of ``other``, ``stall`` passes
nothing on any more.
"""

LIFE_FAULTS = frozenset(
    {
        "no-node",
        "rename",
        "refuse-start",
        "die-first",
        "refuse-add",
        "keep-device",
        "busy",
        "die",
        "hang",
        "panic",
        "reset",
        "deaf-shell",
        "rewrite",
        "keep-object",
        "keep-chardev",
        "not-plugged",
        "flood",
        "spout",
    }
)
"""Faults of the machine.

``no-node``: the port's node never shows.  ``rename``: it shows with the USB
serial string ``text``.  ``refuse-start``: QEMU prints
``text`` and ends with status 1.  ``die-first``: somebody kills it before it
answers.  ``refuse-add``: device_add of the port is an
error.  ``keep-device``: device_del is accepted, and nothing goes away.
``busy``: chardev-remove is refused ``size`` times.  ``die``, ``hang``,
``panic`` and ``reset`` come when the port has passed ``at`` bytes in the
direction: the process ends as by SIGKILL, everything stops answering, the
guest panics, the guest reboots; what it says of that on its console comes a
moment after QEMU's event.  ``deaf-shell``: the guest's shell is never
there.

Liars between the product and the guest: ``rewrite`` starts with another command
line, in which the words ``OLD=>NEW`` of ``text`` were replaced.  ``keep-object``:
DEVICE_DELETED comes, and QEMU still has the device.  ``keep-chardev``:
chardev-remove is acknowledged, and not done.  ``not-plugged``: a usb-serial that comes
later is made without always-plugged.  ``flood``: once the port has
received ``at`` bytes, the guest reads for ever.  ``spout``: once it has sent ``at``
bytes, it sends for ever.
"""


@dataclass(frozen=True)
class Fault:
    """One way to misbehave.

    Attributes:
        name: one of :data:`STREAM_FAULTS` or :data:`LIFE_FAULTS`.
        port: the chardev's id, such as ``serial2``; empty for the machine.
        direction: ``out`` (the guest sends) or ``in`` (the guest receives).
        at: the byte of that port and direction at which it begins, from 0.
        size: how many bytes (or times) it is about.
        other: the second port of ``crosswire``.
        text: what ``refuse-start`` and ``refuse-add`` say.
    """

    name: str
    port: str = ""
    direction: str = "out"
    at: int = 5000
    size: int = 16
    other: str = ""
    text: str = "fake: told to fail"

    def __post_init__(self) -> None:
        """Refuse a name that nothing would act on: such a mutant could not fail."""
        if self.name not in STREAM_FAULTS | LIFE_FAULTS:
            raise ValueError(f"no such fault: {self.name}")
        if self.direction not in ("out", "in"):
            raise ValueError(f"no such direction: {self.direction}")


def dumps(faults: Iterable[Fault]) -> str:
    """Return ``faults`` as one line of JSON, for :func:`loads`."""
    return json.dumps([asdict(fault) for fault in faults])


def loads(text: str) -> tuple[Fault, ...]:
    """Return the faults that :func:`dumps` wrote."""
    return tuple(Fault(**item) for item in json.loads(text))


class Mutator:
    """The faults of one port in one direction, applied to its bytes as they pass.

    A fault may cut a chunk anywhere; bytes that it needs later are held back
    until they are there, so the result does not depend on the chunks' sizes.
    """

    def __init__(self, faults: Sequence[Fault]) -> None:
        self._faults = sorted(
            (f for f in faults if f.name in STREAM_FAULTS and f.name not in ("crosswire", "stall")),
            key=lambda f: f.at,
        )
        self._stall = min((f.at for f in faults if f.name == "stall"), default=None)
        self.passed = 0
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """Return what comes out when ``data`` goes in."""
        if self._stall is not None and self.passed + len(data) > self._stall:
            kept = max(0, self._stall - self.passed)
            self.passed += len(data)
            return data[:kept]
        data = self._held + data
        self._held = b""
        start = self.passed
        out = b""
        while self._faults:
            fault = self._faults[0]
            needed = {"swap": 2 * fault.size, "late": 0, "mutter": 0}.get(fault.name, fault.size)
            offset = fault.at - start
            if offset > len(data) or (offset == len(data) and needed):
                break
            if offset + needed > len(data):
                self._held = data[offset:]
                data = data[:offset]
                break
            out += data[:offset]
            run = data[offset : offset + needed]
            out += self._mutate(fault, run)
            data = data[offset + needed :]
            start = fault.at + needed
            self._faults.pop(0)
        self.passed = start + len(data)
        return out + data

    @staticmethod
    def _mutate(fault: Fault, run: bytes) -> bytes:
        if fault.name == "drop":
            return b""
        if fault.name == "duplicate":
            return run + run
        if fault.name == "corrupt":
            return bytes([run[0] ^ 0x10]) + run[1:]
        if fault.name == "late":
            return bytes(range(fault.size))
        if fault.name == "mutter":
            return fault.text.encode()
        return run[fault.size :] + run[: fault.size]
