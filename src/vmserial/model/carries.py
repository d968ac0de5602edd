"""What a serial device carries: which bytes come out at its other end, each way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

_SYSRQ = b"\x0f"
_LINE = 64
_PROBE = b"vmserial\r\n"
"""Sent where nothing is to arrive: a line, as everything that takes text waits for its end."""


@dataclass(frozen=True)
class Way:
    """What passes a device in one direction.

    Attributes:
        form: ``bytes``: all of them, but for those that are eaten; ``text``: printable ASCII
            in lines, whose breaks may come out in other places; ``nothing``.
        sysrq: 0F and the byte after it are taken for a SysRq key.
        echo: QEMU itself sends back what it takes.
        burst: how many bytes may be under way at once; 0: any number.
        why: what it is that eats or mangles, with its source; empty where nothing does.
    """

    form: Literal["bytes", "text", "nothing"] = "bytes"
    sysrq: bool = False
    echo: bool = False
    burst: int = 0
    why: str = ""

    @property
    def is_clean(self) -> bool:
        """Every byte arrives."""
        return self.form == "bytes" and not self.sysrq

    def prepared(self, data: bytes) -> bytes:
        """Return what is sent in order to prove the way with ``data``."""
        if self.form == "nothing":
            return _PROBE
        if self.form == "text":
            digits = data.hex().encode()
            lines = (digits[at : at + _LINE] for at in range(0, len(digits), _LINE))
            return b"".join(line + b"\n" for line in lines)
        if self.sysrq:
            # Sent twice it comes once.  One of each transfer is sent alone, with a key that
            # means nothing, and is to be eaten; of more in one interrupt s390x' Linux puts one
            # work item into its queue twice and hangs (schedule_sysrq_work() in
            # drivers/s390/char/ctrlchar.c; run on 6.1 and 7.2).
            return data.replace(_SYSRQ, _SYSRQ * 2) + _SYSRQ + b"\0"
        return data

    def joined(self, data: bytes) -> bytes:
        """Return what arrived, of text without its line breaks."""
        return data.translate(None, b"\r\n") if self.form == "text" else data

    def arriving(self, data: bytes) -> bytes:
        """Return what arrives of ``data``; of text without its line breaks."""
        if self.form == "nothing":
            return b""
        return _without_sysrq(data) if self.sysrq else self.joined(data)


def _without_sysrq(data: bytes) -> bytes:
    first, *parts = data.split(_SYSRQ)
    kept = [first]
    pressed = False
    for part in parts:
        pressed = not pressed
        if not pressed:
            # Pressed twice: the second one is passed on.
            kept.append(_SYSRQ + part)
        elif part:
            kept.append(part[1:])
            pressed = False
    return b"".join(kept)


@dataclass(frozen=True)
class Carries:
    """What a device carries both ways, seen from the guest's host."""

    to_host: Way = Way()
    to_guest: Way = Way()

    @property
    def is_clean(self) -> bool:
        """Every byte arrives, both ways."""
        return self.to_host.is_clean and self.to_guest.is_clean


ALL_BYTES = Carries()
"""All 256 values, both ways."""
