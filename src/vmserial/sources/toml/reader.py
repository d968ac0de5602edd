"""Our own format: TOML with everything that a Machine holds (docs/formats.md).

Unknown keys are errors that name the nearest known one; each error has the file
and the line.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from typing import Any

from vmserial.errors import ConfigError, UsageError
from vmserial.limits import PVE_KEYS
from vmserial.machines import architecture
from vmserial.model import (
    Agent,
    Cpu,
    DirectBoot,
    Disk,
    Display,
    Firmware,
    Machine,
    Nic,
    SerialPort,
    SourceRef,
    Topology,
)
from vmserial.options import scalar_text
from vmserial.sources import ports
from vmserial.sources.toml.checked import Checked
from vmserial.sources.toml.lines import Path
from vmserial.sources.toml.schema import SCHEMA, reference

__all__ = ["SCHEMA", "read", "reference"]

_DECODE = re.compile(r" \(at line ([0-9]+), column ([0-9]+)\)\Z")


def read(text: str, file: str) -> Machine:
    """Read a machine.

    Args:
        text: TOML 1.0.
        file: its name, for messages.

    Raises:
        ConfigError: it is not TOML, or not as the schema says.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        place = _DECODE.search(message)
        line = int(place.group(1)) if place else text.count("\n") + 1
        raise ConfigError(
            f"not TOML: {_DECODE.sub('', message)}",
            hint="see https://toml.io for the syntax; texts need quotes",
            where=str(SourceRef(file, line)),
        ) from None
    except (ValueError, RecursionError):
        raise ConfigError(
            "not TOML that can be read: a number or a nesting is beyond all bounds",
            hint="see docs/formats.md for an example",
            where=file,
        ) from None
    return _Reader(text, file).machine(data)


class _Reader(Checked):
    """Builds the machine of a parsed text that is as the schema says."""

    # -------------------------------------------------------------- the machine

    def machine(self, data: dict[str, Any]) -> Machine:
        """Return the machine that ``data`` describes."""
        self.check(data, SCHEMA, ())
        try:
            arch = architecture(data["arch"]).name
        except UsageError as error:
            raise self.fail(("arch",), error.message, error.hint) from None
        name = data.get("name", "vm")
        directory = data.get("socket_dir", ports.default_socket_dir(name))
        fields: dict[str, Any] = {
            key: data[key]
            for key in ("machine_type", "accel", "uuid", "tablet", "keyboard", "usb_controller",
                        "scsi_controller", "balloon", "rng", "vmgenid", "localtime")
            if key in data
        }  # fmt: skip
        if "memory" in data:
            fields["memory_mib"] = data["memory"]
        if "cpu" in data:
            fields["cpu"] = Cpu(data["cpu"].get("model", ""), tuple(data["cpu"].get("flags", ())))
        if "display" in data:
            display = data["display"]
            fields["display"] = Display(
                display.get("kind", "none"), display.get("serial", 0), display.get("memory", 0)
            )
        if "agent" in data:
            fields["agent"] = Agent(
                data["agent"].get("kind", "virtio"),
                data["agent"].get("path", f"{directory}/agent"),
                self.where("agent"),
            )
        if "firmware" in data:
            fields["firmware"] = Firmware(**data["firmware"])
        if "boot" in data:
            fields["boot"] = DirectBoot(**data["boot"])
        if "args" in data:
            fields |= {"args": tuple(data["args"]), "args_where": self.where("args")}
        found_ports = self.ports(data, name, directory)
        found_disks, found_nics = self.disks(data.get("disk", [])), self.nics(data.get("nic", []))
        self.boot_indexes(data)
        return Machine(
            arch,
            found_ports,
            name=name,
            topology=self.topology(data.get("topology", {})),
            machine_options=tuple(
                (key, scalar_text(value)) for key, value in data.get("machine_options", {}).items()
            ),
            smbios=tuple(data.get("smbios", {}).items()),
            disks=found_disks,
            nics=found_nics,
            taken=frozenset(_place(text) for text in data.get("taken", ())),
            free_slots=tuple(data.get("free_slots", ())),
            notes=() if found_ports else (ports.no_ports_note(self.file),),
            origin="toml",
            where=SourceRef(self.file),
            lines={key: self.where(key) for key in data},
            **fields,
        )

    def topology(self, data: dict[str, Any]) -> Topology:
        sockets, cores = data.get("sockets", 1), data.get("cores", 0)
        vcpus = data.get("vcpus", sockets * (cores or 1))
        # "vcpus = 4" alone is four cores.
        cores = cores or -(-vcpus // sockets)
        if vcpus > sockets * cores or sockets * cores > 4096:
            raise self.fail(
                ("topology",),
                f"{vcpus} vcpus do not fit {sockets} sockets of {cores} cores (4096 at most)",
                "vcpus is at most sockets times cores",
            )
        return Topology(vcpus, sockets, cores)

    def ports(self, data: dict[str, Any], name: str, directory: str) -> tuple[SerialPort, ...]:
        """Return the ports of ``ports`` and of each ``[[port]]``."""
        count = data.get("ports", 0)
        backend = data.get("backend", "socket")
        where = self.where("backend" if "backend" in data else "ports")
        own: dict[int, int] = {}
        for number, entry in enumerate(data.get("port", [])):
            first = own.setdefault(entry["index"], number)
            if first != number:
                raise self.fail(
                    ("port", number, "index"),
                    f"serial{entry['index']} is given twice",
                    f"line {self.where('port', first, 'index').line} gives it, too",
                )
        # A port with a backend of its own has no part in the shared one.
        overridden = {index for index, number in own.items() if "backend" in data["port"][number]}
        shared = ports.shared_backend(
            backend,
            [n for n in sorted({*range(count), *own}) if n not in overridden],
            name=name,
            sockets=f"{directory}/serial",
            where=where,
        )
        made: dict[int, SerialPort] = {}
        for index, chardev in shared.items():
            kind = data.get("type" if index else "console_type", "auto")
            made[index] = SerialPort(
                index, chardev, kind, data.get("hotplug", False) and index > 0, where=where
            )
        for number, entry in enumerate(data.get("port", [])):
            index = entry["index"]
            if "backend" in entry:
                chardev = ports.own_backend(
                    entry["backend"], index, name=name, sockets=f"{directory}/serial",
                    where=self.where("port", number, "backend"),
                )  # fmt: skip
            else:
                chardev = shared[index]
            made[index] = SerialPort(
                index,
                chardev,
                entry.get("type", data.get("type" if index else "console_type", "auto")),
                entry.get("hotplug", data.get("hotplug", False) and index > 0),
                entry.get("state", "plugged"),
                self.where("port", number),
                entry.get("com"),
            )
        found = tuple(made[index] for index in sorted(made))
        ports.check_distinct(found, "give each port a place of its own")
        return found

    def disks(self, entries: list[dict[str, Any]]) -> tuple[Disk, ...]:
        found: list[Disk] = []
        for number, entry in enumerate(entries):
            bus, index = entry["bus"], entry["index"]
            if index >= PVE_KEYS[bus]:
                raise self.fail(
                    ("disk", number, "index"),
                    f"{bus}{index} does not exist: {bus} has {PVE_KEYS[bus]} places",
                    f"number it from 0 to {PVE_KEYS[bus] - 1}",
                )
            path = entry.get("path", "")
            if not path and not entry.get("cdrom"):
                raise self.fail(
                    ("disk", number), f"{bus}{index} has no path", "only a cdrom can be empty"
                )
            given = {key: value for key, value in entry.items() if key != "path"}
            given.setdefault("format", "qcow2" if path.endswith(".qcow2") else "raw")
            found.append(Disk(path=path, where=self.where("disk", number), **given))
        self.distinct("disk", [f"{disk.bus}{disk.index}" for disk in found])
        return tuple(found)

    def nics(self, entries: list[dict[str, Any]]) -> tuple[Nic, ...]:
        found: list[Nic] = []
        for number, entry in enumerate(entries):
            nic = Nic(where=self.where("nic", number), **entry)
            if nic.bridge or nic.ifname:
                if entry.get("mode") == "user":
                    raise self.fail(
                        ("nic", number, "mode"),
                        f"net{nic.index} has a bridge or an ifname, but mode user",
                        'remove mode, or write mode = "tap"',
                    )
                nic = replace(nic, mode="tap")
            found.append(nic)
        self.distinct("nic", [f"net{nic.index}" for nic in found])
        return tuple(found)

    def distinct(self, table: str, names: list[str]) -> None:
        for number, name in enumerate(names):
            if name in names[:number]:
                raise self.fail(
                    (table, number, "index"), f"{name} is given twice", "number them differently"
                )

    def boot_indexes(self, data: dict[str, Any]) -> None:
        """Refuse one place in the boot order for two devices; QEMU would not start."""
        seen: dict[int, Path] = {}
        for table in ("disk", "nic"):
            for number, entry in enumerate(data.get(table, [])):
                path: Path = (table, number, "boot_index")
                place = entry.get("boot_index")
                if place is not None and seen.setdefault(place, path) != path:
                    raise self.fail(
                        path,
                        f"boot_index {place} is given twice",
                        f"line {self.where(*seen[place]).line} gives it, too",
                    )


def _place(text: str) -> tuple[int, int]:
    """Read ``1d.2`` (slot and function); a slot alone is its function 0."""
    slot, _, function = text.partition(".")
    return int(slot, 16), int(function or "0")
