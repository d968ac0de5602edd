"""``<qemu:override>``: properties of devices that a user sets past libvirt.  Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vmserial.options import Scalar
from vmserial.sources.libvirt.elements import Element
from vmserial.sources.libvirt.view import QEMU_NAMESPACE, Domain


@dataclass(frozen=True)
class Overrides:
    """What a domain overrides: of each device's alias the ``<property>`` elements."""

    properties: Mapping[str, tuple[Element, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, domain: Domain) -> Overrides:
        """Read a domain."""
        found: dict[str, tuple[Element, ...]] = {}
        for element in domain.root.children:
            if not element.name.endswith("override") or element.namespace != QEMU_NAMESPACE:
                continue
            for device in element.children:
                for front in device.children:
                    found[device.get("alias")] = tuple(front.children)
        return cls(found)

    def applied(self, id: str, keys: list[tuple[str, Scalar]]) -> list[tuple[str, Scalar]]:
        """Return a device's keys as they are after its overrides."""
        mine = self.properties.get(id)
        if not mine:
            return keys
        values = dict(keys)
        for element in mine:
            name, type, value = element.get("name"), element.get("type"), element.get("value")
            if type == "remove":
                values.pop(name, None)
            else:
                values[name] = _value(type, value)
        return list(values.items())


def _value(type: str, value: str) -> Scalar:
    if type == "bool":
        return value == "true"
    if type in {"signed", "unsigned"} and value.lstrip("-").isdecimal() and len(value) < 20:
        return int(value)
    return value
