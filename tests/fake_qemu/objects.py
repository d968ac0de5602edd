"""The fake's object tree: what qom-list and qom-get say of its devices."""

from __future__ import annotations

from dataclasses import dataclass, field

from fake_qemu.refused import Refused

PERIPHERAL = "/machine/peripheral"


@dataclass
class Objects:
    """The devices with their properties, by id."""

    made: dict[str, dict[str, str]] = field(default_factory=dict)

    def list(self) -> list[dict[str, str]]:
        """Return what qom-list says of /machine/peripheral."""
        return [
            {"name": id, "type": f"child<{params['driver']}>"} for id, params in self.made.items()
        ]

    def get(self, path: str, name: str) -> str | int | bool:
        """Return what qom-get says of a device."""
        id = path.removeprefix(f"{PERIPHERAL}/")
        if id not in self.made:
            raise Refused(f"Device '{path}' not found", "DeviceNotFound")
        params = self.made[id]
        if name == "type":
            return params["driver"]
        if name == "parent_bus":
            bus = params.get("bus", "pcie.0")
            above = bus.removesuffix(".0")
            root = f"{PERIPHERAL}/{above}" if above in self.made else "/machine/unattached"
            return f"{root}/{bus}"
        if name not in params:
            raise Refused(f"Property '{params['driver']}.{name}' not found")
        value = params[name]
        if name == "addr":
            slot, _, function = value.partition(".")
            return int(slot, 16) * 8 + int(function or "0")
        if name == "nr":
            return int(value)
        return {"on": True, "off": False}.get(value, value)
