"""Bytes that nobody sent, in words: what they look like, and whose they probably are; pure."""

from __future__ import annotations

import re

_SHOWN = 60
"""Bytes that a sentence shows."""

_KERNEL = re.compile(rb"(?:\A|[\r\n])(?:<\d+>)?\[ *\d+\.\d{6}\] ")
"""How Linux begins a message: the seconds since its start (CONFIG_PRINTK_TIME)."""

_FIRMWARE = (b"BdsDxe:", b"SeaBIOS", b"EDK II", b"U-Boot", b"Booting Linux")


def described(data: bytes) -> str:
    """Return the bytes as they can be shown, and who writes such: ``'…' (the guest's kernel)``."""
    text = data[:_SHOWN].decode("latin-1")
    shown = "".join(char if " " <= char <= "~" else _escaped(char) for char in text)
    more = " …" if len(data) > _SHOWN else ""
    writer = _writer(data)
    return f"'{shown}'{more}" + (f" ({writer})" if writer else "")


def _escaped(char: str) -> str:
    return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(char, f"\\x{ord(char):02x}")


def _writer(data: bytes) -> str:
    if _KERNEL.search(data):
        return "a message of the guest's kernel: its console is this port"
    if any(word in data for word in _FIRMWARE):
        return "the firmware's"
    return ""
