"""A Machine as our own TOML; :func:`vmserial.sources.toml.reader.read` reads it back.

Each part is read back on its own while it is written: what the schema does not
allow, or what would not come back as it was, is left out and named.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

from vmserial import chardevs
from vmserial.errors import ConfigError, UsageError
from vmserial.model import Chardev, Disk, Machine, Nic, Note, Null, SerialPort
from vmserial.sources.losses import Losses
from vmserial.sources.toml.reader import read

_BARE = re.compile(r"[A-Za-z0-9_-]+\Z")
_SIMPLE = (
    ("machine_type", "machine_type"), ("accel", "accel"), ("memory_mib", "memory"),
    ("uuid", "uuid"), ("tablet", "tablet"), ("keyboard", "keyboard"),
    ("usb_controller", "usb_controller"), ("scsi_controller", "scsi_controller"),
    ("balloon", "balloon"), ("rng", "rng"), ("vmgenid", "vmgenid"), ("localtime", "localtime"),
)  # fmt: skip
"""Fields that are a key of their own."""


def write(machine: Machine) -> tuple[str, tuple[Note, ...]]:
    """Return the text, and what it cannot say."""
    return _Writer(machine).write()


class _Writer:
    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.losses = Losses(machine, "TOML")
        self.bare = Machine(machine.arch, ())
        self.data: dict[str, Any] = {"arch": machine.arch}

    def write(self) -> tuple[str, tuple[Note, ...]]:
        self.part("name", {"name": self.machine.name})
        for field, key in _SIMPLE:
            value = getattr(self.machine, field)
            if value != getattr(self.bare, field):
                self.part(field, {key: value})
        self.lists()
        self.tables()
        self.rows()
        for port in sorted(self.machine.ports, key=lambda p: p.index):
            self.port(port)
        return dump(self.data), tuple(self.losses.notes)

    def lists(self) -> None:
        machine = self.machine
        if machine.args:
            self.part("args", {"args": list(machine.args)})
        if machine.taken:
            places = [f"{slot:x}.{function}" for slot, function in sorted(machine.taken)]
            self.part("taken", {"taken": places})
        if machine.free_slots:
            self.part("free_slots", {"free_slots": list(machine.free_slots)})

    def tables(self) -> None:
        machine, bare = self.machine, self.bare
        if machine.machine_options:
            self.part("machine_options", {"machine_options": dict(machine.machine_options)})
        if machine.smbios:
            self.part("smbios", {"smbios": dict(machine.smbios)})
        if machine.cpu != bare.cpu:
            self.part("cpu", {"cpu": _given(model=machine.cpu.model, flags=[*machine.cpu.flags])})
        if machine.topology != bare.topology:
            self.part("topology", {"topology": dict(vars(machine.topology))})
        if machine.display != bare.display:
            shown = machine.display
            table = _given(kind=shown.kind, serial=shown.serial, memory=shown.memory_mib)
            self.part("display", {"display": table})
        if machine.agent is not None:
            agent = _given(kind=machine.agent.kind, path=machine.agent.path)
            self.part("agent", {"agent": agent})
        if machine.firmware != bare.firmware:
            self.part("firmware", {"firmware": _given(**vars(machine.firmware))})
        if machine.boot is not None:
            self.part("boot", {"boot": _given(**vars(machine.boot))})

    def rows(self) -> None:
        """Write disks and cards, each on its own."""
        rows: tuple[tuple[str, str, tuple[Disk | Nic, ...]], ...] = (
            ("disk", "disks", self.machine.disks), ("nic", "nics", self.machine.nics),
        )  # fmt: skip
        for key, field, entries in rows:
            for entry in entries:
                row = {name: value for name, value in vars(entry).items()
                       if name != "where" and (value or name == "index")}  # fmt: skip
                name = f"{row['bus']}{row['index']}" if key == "disk" else f"net{row['index']}"
                self.part(field, {key: [row]}, (replace(entry, where=None),), f"{name}: it")

    def part(self, field: str, data: dict[str, Any], wanted: Any = None, name: str = "") -> None:
        """Add a part if it reads back as ``wanted``, by default the machine's own."""
        wanted = getattr(self.machine, field) if wanted is None else wanted
        why = ""
        try:
            found = getattr(read(dump({"arch": self.machine.arch, **data}), ""), field)
        except (ConfigError, UsageError) as error:
            found, why = None, error.message
        if _bare(found) != _bare(wanted):
            self.losses.vm(name or f"{field.replace('_', ' ')} {_shown(wanted)}", why,
                           self.machine.place_of(field))  # fmt: skip
            return
        for key, value in data.items():
            if isinstance(value, list) and isinstance(self.data.get(key), list):
                self.data[key].extend(value)
            else:
                self.data[key] = value

    def port(self, port: SerialPort) -> None:
        row: dict[str, Any] = {"index": port.index, "backend": chardevs.text(port.chardev)}
        if port.kind != "auto":
            row["type"] = port.kind
        if port.hotplug:
            row["hotplug"] = True
        if port.state != "plugged":
            row["state"] = port.state
        if port.com is not None:
            row["com"] = port.com
        why = self.not_read(port, row)
        if why is not None:
            self.losses.port(port, f"its backend {row['backend']!r}", why or "null is written")
            stand_in = replace(port, chardev=Chardev(Null()))
            row["backend"] = "null"
            if (why := self.not_read(stand_in, row)) is not None:
                self.losses.port(port, "the port", why)
                return
        self.data.setdefault("port", []).append(row)

    def not_read(self, port: SerialPort, row: dict[str, Any]) -> str | None:
        """Return why a port does not come back as it is; None if it does."""
        try:
            found = read(dump({"arch": self.machine.arch, "port": [row]}), "").ports
        except (ConfigError, UsageError) as error:
            return error.message
        if _bare(found) == (replace(port, where=None),):
            return None
        return "text in braces stands for the port's number or the VM's name there"


def _given(**values: Any) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value}


def _shown(value: Any) -> str:
    """Return a value for people: an object by its fields, as the file would have them."""
    if isinstance(value, tuple):
        return "; ".join(_shown(entry) for entry in value)
    text = str(value)
    if hasattr(value, "__dataclass_fields__"):
        fields = {name: getattr(value, name) for name in value.__dataclass_fields__}
        text = ", ".join(
            f"{name}={_shown(entry)}" for name, entry in fields.items()
            if name != "where" and entry not in ("", None, (), False)
        )  # fmt: skip
    return text if len(text) <= 60 else text[:57] + "..."


def _bare(value: Any) -> Any:
    """Return a field's value without the places where its parts stand."""
    if isinstance(value, tuple):
        return tuple(_bare(entry) for entry in value)
    if hasattr(value, "where"):
        return replace(value, where=None)
    return value


# ------------------------------------------------------------------ the syntax


def dump(data: dict[str, Any]) -> str:
    """Return data as TOML: keys first, then tables, then lists of tables."""
    lines = [f"{_key(k)} = {_value(v)}" for k, v in data.items() if not _is_table(v)]
    for name, table in data.items():
        if _is_table(table):
            head = f"[{_key(name)}]" if isinstance(table, dict) else f"[[{_key(name)}]]"
            for row in [table] if isinstance(table, dict) else table:
                lines += ["", head, *(f"{_key(k)} = {_value(v)}" for k, v in row.items())]
    return "\n".join(lines) + "\n"


def _is_table(value: Any) -> bool:
    return isinstance(value, dict) or (
        isinstance(value, list) and bool(value) and isinstance(value[0], dict)
    )


def _key(name: str) -> str:
    return name if _BARE.match(name) else _value(name)


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(_value(entry) for entry in value)}]"
    if isinstance(value, str):
        # JSON's escapes are TOML's, too; only DEL must be escaped in addition.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)
