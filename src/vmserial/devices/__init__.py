"""One file per device kind; a new one is a new file with ``KINDS``."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping

from vmserial.devices.base import DeviceKind
from vmserial.errors import UsageError

__all__ = ["KINDS", "DeviceKind", "kind"]


def _found() -> dict[str, DeviceKind]:
    found: dict[str, DeviceKind] = {}
    for module in pkgutil.iter_modules(__path__):
        if module.name != "base":
            for entry in importlib.import_module(f"{__name__}.{module.name}").KINDS:
                found[entry.name] = entry
    return found


KINDS: Mapping[str, DeviceKind] = _found()
"""By the name that ``--type`` uses."""


def kind(name: str) -> DeviceKind:
    """Return the device kind of that name.

    Raises:
        UsageError: there is none; the nearest name is in the hint.
    """
    if name in KINDS:
        return KINDS[name]
    import difflib  # only the way to an error needs it

    near = difflib.get_close_matches(name, KINDS, 1)
    raise UsageError(
        f"there is no device type {name!r}",
        hint=f"did you mean {near[0]}?" if near else f"known: auto, {', '.join(KINDS)}",
    )
