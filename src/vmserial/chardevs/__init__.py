"""Chardev backends: their text form, their command-line option and their QMP form."""

from __future__ import annotations

from vmserial.chardevs.notation import parse, text
from vmserial.chardevs.rendering import option, qmp

__all__ = ["option", "parse", "qmp", "text"]
