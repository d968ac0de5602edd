"""What terminals and protocols do to bytes on the way, and how to tell from what arrived."""

from __future__ import annotations

from collections.abc import Callable

_SEVEN_BITS = bytes(value & 0x7F for value in range(256))

TTY_TRANSFORMS: tuple[tuple[str, Callable[[bytes], bytes]], ...] = (
    ("each LF became CR LF: the sender's tty is not raw (onlcr)",
     lambda data: data.replace(b"\n", b"\r\n")),
    ("each CR became LF: the reader's tty is not raw (icrnl)",
     lambda data: data.replace(b"\r", b"\n")),
    ("each LF became CR: the reader's tty is not raw (inlcr)",
     lambda data: data.replace(b"\n", b"\r")),
    ("XON and XOFF were eaten: software flow control is on (ixon)",
     lambda data: data.translate(None, b"\x11\x13")),
    ("the eighth bit was cut off (istrip, or 7 data bits)",
     lambda data: data.translate(_SEVEN_BITS)),
    ("each 0xff came twice: telnet or parmrk on the way",
     lambda data: data.replace(b"\xff", b"\xff\xff")),
)  # fmt: skip
"""What to say, and what would then arrive."""


def explain(sent: bytes, got: bytes) -> str:
    """Return the transform of a terminal that explains everything; empty if none does."""
    return next((text for text, transform in TTY_TRANSFORMS if got and transform(sent) == got), "")
