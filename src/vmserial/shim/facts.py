"""What the shim knows when it starts: learnt at its installation, kept as JSON.

Asking the binary at each start would take longer than all the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from vmserial.errors import UsageError
from vmserial.judging import RepairPolicy
from vmserial.model import Capabilities, GuestProfile
from vmserial.model.recorded import from_json, to_json

_GUEST = (
    "name", "source", "assumed", "kernel", "nr_uarts", "runtime_uarts", "nr_uarts_parameter",
    "usb_serial", "virtio_console", "pci_hotplug", "pci_serial",
)  # fmt: skip


@dataclass(frozen=True)
class Facts:
    """What was learnt at the installation.

    Attributes:
        binary: the real binary's size and time of change in ns, as they were then.  Not its
            inode: on an overlay file system a second name has another one.
        capabilities: what it has.
        guest: what the guests' kernels carry.
        policy: what the owner prefers.
    """

    binary: tuple[int, int]
    capabilities: Capabilities
    guest: GuestProfile
    policy: RepairPolicy

    def of(self, binary: tuple[int, int]) -> Facts:
        """Return what holds for the binary as it is now.

        Of one that was changed since, an upgrade most likely, only the least is
        believed of its board: one UART.  A port on a UART that is not there
        would be dead; a port that did not need another device is alive.
        """
        if binary == self.binary:
            return self
        uarts = {name: min(count, 1) for name, count in self.capabilities.onboard_uarts.items()}
        less = replace(self.capabilities, onboard_uarts=uarts, measured=False)
        return replace(self, capabilities=less)

    def to_json(self) -> dict[str, Any]:
        """Return plain data; the inverse of :meth:`from_json`."""
        return {
            "binary": list(self.binary),
            "capabilities": to_json(self.capabilities),
            "guest": {name: getattr(self.guest, name) for name in _GUEST},
            "wishes": {
                "kind": self.policy.kind,
                "hotplug": self.policy.hotplug,
                "logs": self.policy.logs,
            },
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Facts:
        """Read what :meth:`to_json` wrote.

        Raises:
            UsageError: it is something else.
        """
        try:
            size, changed = data["binary"]
            guest = dict(data["guest"])
            kernel = guest.pop("kernel")
            return cls(
                (size, changed),
                from_json(data["capabilities"]),
                GuestProfile(kernel=tuple(kernel) if kernel else None, **guest),
                RepairPolicy(**data["wishes"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise UsageError(
                f"this is no file of facts: {error!r}", hint="run vmserial shim install again"
            ) from None
