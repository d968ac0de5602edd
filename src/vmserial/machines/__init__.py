"""One file per architecture; a new one is a new file with an ``ARCHITECTURE``."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping

from vmserial.errors import UsageError
from vmserial.machines.base import (
    BOARD_UARTS,
    TARGETS,
    WITHOUT_PCI,
    WITHOUT_USB,
    WITHOUT_VIRTIO_MMIO,
    Architecture,
    OnBoardUart,
    Platform,
)

__all__ = [
    "ARCHITECTURES", "BOARD_UARTS", "TARGETS", "WITHOUT_PCI", "WITHOUT_USB", "WITHOUT_VIRTIO_MMIO",
    "Architecture",
    "OnBoardUart", "Platform", "architecture",
]  # fmt: skip


def _found() -> dict[str, Architecture]:
    found = {}
    for module in pkgutil.iter_modules(__path__):
        if module.name != "base":
            entry = importlib.import_module(f"{__name__}.{module.name}").ARCHITECTURE
            found[entry.name] = entry
    return found


ARCHITECTURES: Mapping[str, Architecture] = _found()
"""By QEMU's target name."""


def architecture(name: str) -> Architecture:
    """Return the architecture of that name or alias.

    Raises:
        UsageError: nobody knows it; the nearest name is in the hint.
    """
    names: dict[str, Architecture] = {}
    for entry in ARCHITECTURES.values():
        names |= dict.fromkeys((entry.name, *entry.aliases), entry)
    if name in names:
        return names[name]
    import difflib  # only the way to an error needs it

    near = difflib.get_close_matches(name, names, 1)
    raise UsageError(
        f"there is no architecture {name!r}",
        hint=f"did you mean {near[0]}?" if near else f"known: {', '.join(ARCHITECTURES)}",
    )
