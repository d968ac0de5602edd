"""Which machine type and version PVE starts a VM with, and what follows from them.

A configuration without a version follows the installed QEMU; of Windows, PVE pins
the version that the VM was made with, so that it finds the same hardware after an
upgrade of the host.  (qemu-server 9.2.6, Machine.pm; facts in docs/pve.md.)
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from vmserial.sources.pve.map import Board
from vmserial.sources.pve.reading import Reading, on

Version = tuple[int, ...]

_MACHINE = re.compile(
    r"(?P<name>pc|q35|virt|pc-i440fx|pc-q35)?(?:-(?P<version>[0-9]+\.[0-9]+))?"
    r"(?:\+pve(?P<revision>[0-9]+))?(?P<pxe>\.pxe)?\Z"
)
_CREATION = re.compile(r"([0-9]+)\.([0-9]+)")
_TOP_REVISION: Mapping[Version, int] = {(4, 1): 2, (9, 2): 1, (10, 0): 1, (11, 0): 2}
"""PVE's newest revision of a QEMU version's machine types; 0 of all others."""

_WINDOWS = {
    "w2k": 5, "w2k3": 5, "wxp": 5, "w2k8": 6, "wvista": 6, "win7": 7, "win8": 8, "win10": 10,
    "win11": 11,
}  # fmt: skip
"""PVE's number of a Windows version, by ostype."""

_PINNED_OF = (9, 1)
"""Since this ``creation-qemu`` PVE pins Windows to it; of all earlier ones to 5.1."""

OLDEST_PIN = (5, 1)


@dataclass(frozen=True)
class Pins:
    """What a VM is pinned to.

    Attributes:
        board: whose PCI map holds.
        type: the machine type as stock QEMU takes it.
        behaves: the version whose behaviour PVE shows, PVE's revision last.
        windows: PVE's number of the Windows version; 0: none.
        linux: the guest is said to be a Linux of today (``ostype: l26``).
        created: the QEMU that made the VM (``meta``); empty if nobody says.
        pinned: the configuration names no version, and PVE does.
        asked: what the configuration names, where stock QEMU takes another name.
        viommu: ``intel`` or ``virtio``.
        s3, s4: sleep states are asked for.
    """

    board: Board
    type: str
    behaves: Version
    windows: int = 0
    linux: bool = False
    created: Version = ()
    pinned: bool = False
    asked: str = ""
    viommu: str = ""
    s3: bool = False
    s4: bool = False

    def since(self, *version: int) -> bool:
        """Tell whether the machine behaves as this version or a later one."""
        return self.behaves >= version

    @property
    def versioned(self) -> bool:
        """The configuration itself names a version."""
        return not self.pinned and re.search(r"-[0-9]", self.type) is not None

    @property
    def modern_usb(self) -> bool:
        """PVE gives its USB devices one xhci controller."""
        return self.since(7, 1) and (self.linux or self.windows > 7)


def pins(reading: Reading, arch: str, installed: Version) -> Pins:
    """Return what a configuration is pinned to.

    Args:
        reading: of it.
        arch: QEMU's target name.
        installed: QEMU's version on the host.
    """
    parts = reading.props("machine", "type") or {}
    asked = parts.get("type", "")
    match = _MACHINE.match(asked)
    if asked and match is None:
        # PVE drops a line whose type is not of its pattern.
        reading.reject("machine")
        parts, asked = {}, ""
    name = (match["name"] if match else None) or ("virt" if arch == "aarch64" else "pc")
    version = _version(match["version"]) if match and match["version"] else ()
    board: Board = (
        "aarch64" if name == "virt" or arch == "aarch64" else "q35" if "q35" in name else "i440fx"
    )
    ostype = reading.text("ostype")
    windows = _WINDOWS.get(ostype, 0)
    made = (reading.props("meta", "ctime") or {}).get("creation-qemu", "")
    creation = _CREATION.match(made)
    created = (int(creation[1]), int(creation[2])) if creation else ()
    pinned = bool(windows) and not version
    revision = int(match["revision"]) if match and match["revision"] else 0
    if pinned:
        wanted = created if created >= _PINNED_OF else OLDEST_PIN
        version = min(wanted, installed[:2])
        revision = 0 if version == wanted else _TOP_REVISION.get(version, 0)
        name = {"i440fx": "pc-i440fx", "q35": "pc-q35", "aarch64": "virt"}[board]
    behaves = (*version, revision) if version else (
        *installed[:2], _TOP_REVISION.get(installed[:2], 0)
    )  # fmt: skip
    stock = f"{name}-{version[0]}.{version[1]}" if version else name
    renamed = asked if match and (match["revision"] or match["pxe"]) else ""
    return Pins(
        board, stock, behaves, windows, ostype == "l26", created, pinned, renamed,
        parts.get("viommu", ""), on(parts, "enable-s3"), on(parts, "enable-s4"),
    )  # fmt: skip


def _version(text: str) -> Version:
    return tuple(int(part) for part in text.split("."))
