"""What each way of mending a PVE VM means for its owner; pure words."""

from __future__ import annotations

import re

from vmserial.pve.mend import Mended, Way

_CHARDEV = re.compile(r"-chardev ([\w-]+),(?:\S*,)?id=([\w.-]+)")

OTHER: dict[Way, Way] = {"args": "shim", "shim": "args"}

_IN_SHORT: dict[Way, str] = {
    "args": "'--way args' puts the ports into args: and needs nothing installed; only root@pam "
    "can change them afterwards, and 'qm terminal' does not know them",
    "shim": "'--way shim' keeps PVE's own lines, so that 'qm terminal', the web interface and "
    "pending changes go on working; it needs 'vmserial shim install' on every node that may "
    "run the VM",
}


def consequences(mended: Mended, way: Way, vmid: int) -> list[str]:
    """Return what the owner has to know about the way that was chosen, and the other one."""
    stay = [f"{name} stays as it is: {why}" for name, why in mended.placeless]
    if not mended.changes:
        return stay
    said = _args(mended, vmid) if way == "args" else _shim(mended, vmid)
    said += (*mended.renumbered, *stay)
    return [
        *said,
        "it takes effect at the next cold start: PVE plugs no serial port into a running VM",
        "snapshots keep the configuration that they were taken with: after a rollback call fix "
        "again",
        f"the other way: {_IN_SHORT[OTHER[way]]}",
    ]


def _args(mended: Mended, vmid: int) -> list[str]:
    if not mended.moved:
        return []
    first = mended.moved[0]
    said = [
        f"PVE no longer has a line for {', '.join(mended.moved)}: 'qm terminal {vmid} -iface "
        f"{first}' says that it is not configured{_attach(mended, vmid)}",
        "only root@pam may set args: and whoever else edits the VM in the web interface cannot "
        "change it, but keeps it",
        "migration: PVE does not look into args; the target needs the same QEMU devices, and "
        "host devices or files that args name",
    ]
    kinds = {mended.kinds.get(name) for name in mended.moved}
    if "usb" in kinds:
        said.append(
            "usb-serial blocks live migration and snapshots with RAM; --type pci or virtio does not"
        )
    return said


def _attach(mended: Mended, vmid: int) -> str:
    """Return how a port that PVE no longer knows is attached to; empty if none can be."""
    args = mended.document.main.values.get("args")
    backends = {id: kind for kind, id in _CHARDEV.findall(args.value if args else "")}
    for name in mended.moved:
        if backends.get(name) == "socket":
            return (
                f"; attach with: socat -,rawer,escape=0x1d "
                f"UNIX-CONNECT:/var/run/qemu-server/{vmid}.{name}"
            )
    return ""


def _shim(mended: Mended, vmid: int) -> list[str]:
    said = []
    lines = [name for name in mended.kept if name != "serial0"]
    if lines:
        said.append(
            f"{', '.join(lines)} keep PVE's own lines: 'qm terminal {vmid} -iface {lines[-1]}' "
            "works, and so do the web interface's settings"
        )
    if mended.moved:
        said.append(
            f"{', '.join(mended.moved)}: PVE has no line for them; args asks by a chardev alone, "
            "with which a QEMU without the shim starts, too, but without the port"
        )
    if any(wish.port.kind != "auto" for wish in mended.wished if wish.port.name in mended.moved):
        said.append(
            "the shim sees PVE's command, not the configuration: it chooses the devices by its own "
            "settings, not by '#vmserial … type='"
        )
    said.append("without the shim (another node, after its removal) the VM may not start")
    return said
