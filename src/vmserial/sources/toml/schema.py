"""The keys of our own TOML format, as data: read by the reader, the errors and the docs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from vmserial.devices import KINDS
from vmserial.limits import ISA_SERIAL_PORTS, PCI_SLOTS, PVE_KEYS
from vmserial.sources.ports import MAX_INDEX, STATES

KeyKind = Literal["text", "number", "switch", "words", "numbers", "table", "tables", "options"]

WORD = r"[A-Za-z0-9][A-Za-z0-9._-]*"
UUID = r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"


@dataclass(frozen=True, slots=True)
class Key:
    """One key.

    Attributes:
        name: as it is written.
        kind: ``text``, ``number``, ``switch`` (true or false), ``words`` (a list of
            texts), ``numbers``, ``table``, ``tables`` (``[[name]]``) or ``options``
            (a table of names to texts, numbers or switches).
        about: one line for the docs.
        choices: the only texts allowed; empty for any.
        pattern: what a text, or each of the words, must match wholly; empty for any.
        low: a number is at least this.
        high: a number is at most this.
        required: it must be there.
        keys: of a table.
    """

    name: str
    kind: KeyKind
    about: str
    choices: tuple[str, ...] = ()
    pattern: str = ""
    low: int = 0
    high: int = 0
    required: bool = False
    keys: tuple[Key, ...] = ()

    def matches(self, text: str) -> bool:
        """Tell whether ``text`` is of the form that the key asks for."""
        return not self.pattern or re.fullmatch(self.pattern, text, re.DOTALL) is not None


TYPES = ("auto", *KINDS)

_BACKEND = "the host side: `socket`, `socket=PATH`, `pty`, `tcp=HOST:PORT`, `file=PATH`, …"

SCHEMA: tuple[Key, ...] = (
    Key("arch", "text", "QEMU's target: `aarch64`, `x86_64`", required=True),
    Key("name", "text", "the VM's name", pattern=r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"),
    Key("machine_type", "text", "`virt`, `q35`, `pc`, `microvm` or a versioned name", pattern=WORD),
    Key("machine_options", "options", "further properties of `-machine`"),
    Key("accel", "text", "`auto` takes KVM only where it is proven", ("auto", "kvm", "tcg")),
    Key("memory", "number", "MiB", low=16, high=4 << 20),
    Key("uuid", "text", "the VM's UUID in SMBIOS", pattern=UUID),
    Key("tablet", "switch", "a USB tablet"),
    Key("keyboard", "switch", "a USB keyboard"),
    Key("usb_controller", "text", "the controller of tablet and keyboard", pattern=WORD),
    Key("scsi_controller", "text", "`virtio-scsi-pci` (default), `lsi`, `pvscsi`, …",
        pattern=WORD),
    Key("balloon", "switch", "a memory balloon"),
    Key("rng", "switch", "a random number generator fed from the host"),
    Key("vmgenid", "text", "a VM generation id (x86 only)", pattern=UUID),
    Key("localtime", "switch", "the clock runs in local time"),
    Key("args", "words", "further words for QEMU, put last"),
    Key("taken", "words", "root-bus places that ports must not use, as `1d.0`",
        pattern=r"[01]?[0-9a-fA-F](\.[0-7])?"),
    Key("free_slots", "numbers", "the only root-bus slots that ports may use", low=0,
        high=PCI_SLOTS - 1),
    Key("ports", "number", "how many: `serial0` to `serial<ports - 1>`",
        low=0, high=MAX_INDEX + 1),
    Key("backend", "text", _BACKEND + "; for all of `ports`, with `{n}` and `{name}`"),
    Key("type", "text", "the device kind of all of `ports` but `serial0`", TYPES),
    Key("console_type", "text", "the device kind of `serial0`", TYPES),
    Key("hotplug", "switch", "all of `ports` but `serial0` can be unplugged and plugged"),
    Key("socket_dir", "text", "where a bare `socket` listens; default `/run/vmserial/<name>`",
        pattern="/.*"),
    Key("port", "tables", "one port; overrides what `ports` says of it, or adds one", keys=(
        Key("index", "number", "N of `serialN`", low=0, high=MAX_INDEX, required=True),
        Key("backend", "text", _BACKEND),
        Key("type", "text", "the device kind", TYPES),
        Key("hotplug", "switch", "it can be unplugged and plugged"),
        Key("state", "text", "`unplugged`: the device comes later; `absent`: the backend, too",
            STATES),
        Key("com", "number", "of an isa port: which of the PC's four it is, from 0",
            low=0, high=ISA_SERIAL_PORTS - 1),
    )),
    Key("cpu", "table", "the processor", keys=(
        Key("model", "text", "`host`, `max`, `cortex-a57`, …", pattern=WORD),
        Key("flags", "words", "`+aes`, `-pcid`, `sve=off`, …",
            pattern=r"[+-]?[A-Za-z0-9._-]+(=[^,]*)?"),
    )),
    Key("topology", "table", "processors", keys=(
        Key("vcpus", "number", "at start", low=1, high=4096),
        Key("sockets", "number", "sockets", low=1, high=4096),
        Key("cores", "number", "cores of a socket", low=1, high=4096),
    )),
    Key("display", "table", "graphics", keys=(
        Key("kind", "text", "the card; `serial`: none, the console is a port",
            ("none", "serial", "std", "cirrus", "vmware", "qxl", "virtio", "virtio-gl")),
        Key("serial", "number", "for kind `serial`, the port", low=0, high=MAX_INDEX),
        Key("memory", "number", "MiB of video memory", low=4, high=512),
    )),
    Key("agent", "table", "the QEMU guest agent's port", keys=(
        Key("kind", "text", "what carries it", ("virtio", "isa")),
        Key("path", "text", "its socket; default `<socket_dir>/agent`", pattern="/.*"),
    )),
    Key("firmware", "table", "firmware", keys=(
        Key("kind", "text", "`default` is the machine's own", ("default", "seabios", "ovmf")),
        Key("code", "text", "the read-only image of ovmf", pattern="/.*"),
        Key("variables", "text", "the writable variable store", pattern="/.*"),
        Key("variables_format", "text", "its format", ("raw", "qcow2")),
    )),
    Key("boot", "table", "a kernel that QEMU loads itself", keys=(
        Key("kernel", "text", "`-kernel`", required=True),
        Key("initrd", "text", "`-initrd`"),
        Key("append", "text", "`-append`"),
    )),
    Key("smbios", "table", "SMBIOS type 1", keys=tuple(
        Key(name, "text", f"the field {name}")
        for name in ("manufacturer", "product", "version", "serial", "sku", "family")
    )),
    Key("disk", "tables", "one drive", keys=(
        Key("bus", "text", "where it is", ("ide", "sata", "scsi", "virtio"), required=True),
        Key("index", "number", "its number on the bus", low=0,
            high=PVE_KEYS["scsi"] - 1, required=True),
        Key("path", "text", "the image or device; none: no medium", pattern="/.*"),
        Key("format", "text", "`raw` unless the name ends in `.qcow2`", ("raw", "qcow2")),
        Key("cdrom", "switch", "an optical drive"),
        Key("readonly", "switch", "the guest cannot write"),
        Key("cache", "text", "as QEMU's", ("none", "writethrough", "writeback", "unsafe",
                                           "directsync")),
        Key("discard", "switch", "pass the guest's discards on"),
        Key("ssd", "switch", "it does not rotate"),
        Key("serial", "text", "its serial number", pattern="[ -~]{1,36}"),
        Key("boot_index", "number", "place in the boot order, from 1", low=1, high=99),
    )),
    Key("nic", "tables", "one network card", keys=(
        Key("index", "number", "its number", low=0, high=PVE_KEYS["net"] - 1, required=True),
        Key("model", "text", "`virtio`, `e1000`, …", pattern=WORD),
        Key("mac", "text", "its address", pattern="[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}"),
        Key("mode", "text", "`user`: behind QEMU; `tap`: on the host", ("user", "tap")),
        Key("bridge", "text", "a tap joins this bridge", pattern=r"[A-Za-z0-9._-]{1,15}"),
        Key("ifname", "text", "the tap's name", pattern=r"[A-Za-z0-9._-]{1,15}"),
        Key("queues", "number", "pairs of queues", low=1, high=64),
        Key("mtu", "number", "bytes", low=68, high=65520),
        Key("link_down", "switch", "the cable is out"),
        Key("boot_index", "number", "place in the boot order, from 1", low=1, high=99),
    )),
)  # fmt: skip
"""Every key, in the order of the docs."""


def reference() -> str:
    """Return the schema as Markdown tables, as docs/formats.md holds them."""
    lines: list[str] = []
    _table(lines, SCHEMA)
    for key in SCHEMA:
        if key.keys:
            head = f"[[{key.name}]]" if key.kind == "tables" else f"[{key.name}]"
            lines += ["", f"`{head}`: {key.about}", ""]
            _table(lines, key.keys)
    return "\n".join(lines) + "\n"


def _table(lines: list[str], keys: tuple[Key, ...]) -> None:
    lines += ["| key | value | meaning |", "|---|---|---|"]
    for key in keys:
        if key.kind in {"table", "tables"}:
            continue
        if key.choices:
            value = ", ".join(f"`{choice}`" for choice in key.choices)
        elif key.kind == "number":
            value = f"{key.low} … {key.high}"
        else:
            value = _KIND[key.kind]
        name = f"`{key.name}`" + (" (required)" if key.required else "")
        lines.append(f"| {name} | {value} | {key.about} |")


_KIND = {
    "text": "text",
    "switch": "true, false",
    "words": "list of texts",
    "numbers": "list of numbers",
    "options": "table",
}
