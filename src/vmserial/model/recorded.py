"""Capabilities as plain data for JSON, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from vmserial.errors import UsageError
from vmserial.model.hardware import Capabilities, DeviceType, MachineType


def to_json(capabilities: Capabilities) -> dict[str, Any]:
    """Return capabilities as plain JSON data; the inverse of :func:`from_json`."""
    return {
        "version": list(capabilities.version),
        "target": capabilities.target,
        "package": capabilities.package,
        "binary": capabilities.binary,
        "measured": capabilities.measured,
        "trimmed": capabilities.trimmed,
        "accelerators": sorted(capabilities.accelerators),
        "chardevs": sorted(capabilities.chardevs),
        "onboard_uarts": dict(sorted(capabilities.onboard_uarts.items())),
        "machines": [
            [m.name, m.alias, m.max_cpus, m.default, m.deprecated]
            for name, m in sorted(capabilities.machines.items())
            if name == m.name
        ],
        "devices": {
            name: [d.bus, d.hotpluggable, sorted(d.properties)]
            for name, d in sorted(capabilities.devices.items())
            if name == d.name
        },
        "aliases": {
            name: d.name for name, d in sorted(capabilities.devices.items()) if name != d.name
        },
    }


def from_json(data: Mapping[str, Any]) -> Capabilities:
    """Return the capabilities that :func:`to_json` wrote.

    Raises:
        UsageError: it is something else.
    """
    try:
        major, minor, micro = data["version"]
        devices = {
            name: DeviceType(name, bus, frozenset(properties), hotpluggable)
            for name, (bus, hotpluggable, properties) in data["devices"].items()
        }
        return Capabilities(
            version=(int(major), int(minor), int(micro)),
            target=str(data["target"]),
            package=str(data["package"]),
            binary=str(data["binary"]),
            measured=bool(data["measured"]),
            # Before this was said, what had no binary was a recorded one.
            trimmed=bool(data.get("trimmed", not data["binary"])),
            accelerators=frozenset(data["accelerators"]),
            chardevs=frozenset(data["chardevs"]),
            onboard_uarts={str(k): int(v) for k, v in data["onboard_uarts"].items()},
            machines=by_name(MachineType(*row) for row in data["machines"]),
            devices=devices | {name: devices[of] for name, of in data["aliases"].items()},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(
            f"this is not the description of a QEMU binary: {error!r}",
            hint="make one with scripts/record-capabilities",
        ) from None


def by_name(machines: Iterable[MachineType]) -> dict[str, MachineType]:
    """Return machine types by their names and their aliases."""
    found: dict[str, MachineType] = {}
    for machine in machines:
        found[machine.name] = machine
        if machine.alias:
            found[machine.alias] = machine
    return found
