"""Capabilities as plain data for JSON, and back; packed, for who reads them at every start."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
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
        "cpus": " ".join(sorted(capabilities.cpus)),
        "board_properties": {
            name: " ".join(sorted(keys))
            for name, keys in sorted(capabilities.board_properties.items())
        },
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


class _Devices(Mapping[str, DeviceType]):
    """Devices of a binary, each made when it is asked for: a call asks for few of hundreds.

    Args:
        rows: of each device its bus, whether it can be plugged, and its properties, blanks
            between them.
        aliases: further names, and whose they are.
    """

    def __init__(self, rows: Mapping[str, tuple[str, bool, str]], aliases: Mapping[str, str]):
        self._rows, self._aliases = rows, aliases
        self._made: dict[str, DeviceType] = {}

    def __getitem__(self, name: str) -> DeviceType:
        own = name if name in self._rows else self._aliases[name]
        made = self._made.get(own)
        if made is None:
            bus, hotpluggable, properties = self._rows[own]
            made = DeviceType(own, bus, frozenset(properties.split(" ")) - {""}, hotpluggable)
            self._made[own] = made
        return made

    def __contains__(self, name: object) -> bool:
        return name in self._rows or name in self._aliases

    def __iter__(self) -> Iterator[str]:
        yield from self._rows
        yield from self._aliases

    def __len__(self) -> int:
        return len(self._rows) + len(self._aliases)


def packed(capabilities: Capabilities) -> dict[str, Any]:
    """Return what :func:`to_json` does in fewer pieces; the inverse of :func:`unpacked`."""
    data = to_json(capabilities)
    data["devices"] = {
        name: [bus, hotpluggable, " ".join(properties)]
        for name, (bus, hotpluggable, properties) in data["devices"].items()
    }
    return data


def unpacked(data: Mapping[str, Any]) -> Capabilities:
    """Return the capabilities that :func:`packed` wrote.

    Raises:
        UsageError: it is something else.
    """
    try:
        bare = from_json({**data, "devices": {}, "aliases": {}})
        return replace(bare, devices=_Devices(data["devices"], data["aliases"]))
    except (KeyError, TypeError) as error:
        raise UsageError(f"this is not what is remembered of a QEMU binary: {error!r}") from None


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
            cpus=frozenset(str(data.get("cpus", "")).split()),
            board_properties={
                str(k): frozenset(str(v).split())
                for k, v in data.get("board_properties", {}).items()
            },
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
