"""What libvirt makes of a domain, cut down to what the lowering promises: the comparable form.

Used with a real libvirt (tests/live) and with what one said once (tests/data).
"""

from __future__ import annotations

import gzip
import json
import re
import shlex
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from vmserial.sources.command import CommandLine

RECORDED = Path(__file__).parents[1] / "data" / "libvirt-native.json.gz"

Native = tuple[tuple[str, str], ...]
"""Each option: its name and its keys, sorted, as one text; a refusal is ``("refused", words)``."""

LEFT_OUT = frozenset(
    """
    name S accel cpu m smp overcommit display no-user-config nodefaults rtc no-shutdown boot sandbox
    msg mon audiodev no-acpi blockdev netdev vnc spice watchdog-action bios kernel initrd append
    fsdev
    """.split()
)
"""Options that no port depends on, or that are the same for each domain."""

BEHIND = frozenset(
    """
    drive bootindex mac netdev max_outputs rng removable audiodev vgamem_mb mount_tag fsdev vhostfd
    guest-cid
    """.split()
)
"""Keys about what is behind a device: a disk's image, a network, a screen's size."""

NO_PLACE = frozenset({"scsi-hd", "ide-hd", "ide-cd", "hda-duplex"})
"""Disks behind a controller and codecs of a sound card: no port shares their bus."""

_WORDS = re.compile(r"\A(?:XML error|internal error|unsupported configuration|invalid argument): ")
_VERSION = re.compile(r"\A(pc|virt|pseries|s390-ccw-virtio)(?:-i440fx|-q35)?-[0-9.]+\Z")


def native(argv: Sequence[str], no_place: frozenset[str] = NO_PLACE) -> Native:
    """Return the comparable form of a command."""
    found: list[tuple[str, str]] = []
    for option in CommandLine.from_words(list(argv)).options:
        values = dict(option.params.values)
        if option.name == "netdev" and "guestfwd" in (option.value or ""):
            found.append(("netdev", re.sub(r"[^a-z0-9.]+", " ", option.value or "")))
            continue
        if option.name in LEFT_OUT or values.get("id") == "charmonitor":
            continue
        if option.name == "object" and values.get("qom-type") != "tls-creds-x509":
            continue
        if option.name == "machine":
            # libvirt writes the version that an alias stands for today.
            kind = values.get("type", "")
            if _VERSION.match(kind):
                kind = re.sub(r"-[0-9.]+\Z", "", kind)
            kind = {"pc": "pc-i440fx", "q35": "pc-q35"}.get(kind, kind)
            values = {"type": kind, "usb": values.get("usb", "")}
        if values.get("driver") in no_place:
            continue
        if "dir" in values:
            values["dir"] = "of qemu.conf"
        if "/channel/target/domain-" in values.get("path", ""):
            values["path"] = "libvirt's own"
        if option.name in {"device", "chardev", "object", "machine"}:
            keys = sorted((k, v) for k, v in values.items() if k not in BEHIND)
            found.append((option.name, ",".join(f"{k}={v}" for k, v in keys)))
        else:
            found.append((option.name, option.value or ""))
    return tuple(found)


def said(text: str, no_place: frozenset[str] = NO_PLACE) -> Native:
    """Return the comparable form of what ``virsh domxml-to-native`` prints."""
    words = shlex.split(text)
    first = next(n for n, word in enumerate(words) if "/qemu-system-" in word)
    return native(words[first:], no_place)


def refused(text: str) -> Native:
    """Return the comparable form of virsh's error."""
    line = next(line for line in reversed(text.splitlines()) if "error: " in line)
    return (("refused", _WORDS.sub("", line.rpartition("error: ")[2])),)


PLACE = ("bus", "addr", "multifunction", "port", "nr", "index", "iobase", "irq", "reg", "devno",
         "chassis", "chassis_nr", "p2", "p3", "max_ports", "name", "scsi-id", "lun", "unit",
         "channel", "driver")  # fmt: skip
"""What the guest sees of a device's place."""

_ALIASES = {"lsi": "lsi53c895a", "ahci": "ich9-ahci"}


def places(found: Native) -> dict[str, dict[str, str]]:
    """Return the place of each device by its id, and how many ``-serial`` there are."""
    made: dict[str, dict[str, str]] = {}
    for name, text in found:
        if name == "device":
            values = dict(pair.partition("=")[::2] for pair in text.split(","))
            values["driver"] = _ALIASES.get(values["driver"], values["driver"])
            made[values.get("id", text)] = {key: values[key] for key in PLACE if key in values}
        elif name == "serial":
            made[f"-serial {text}"] = {}
    return made


@cache
def recorded() -> dict[str, Native]:
    """Return what libvirt 9.0 with QEMU 7.2 said of each domain (``scripts/record-libvirt``)."""
    with gzip.open(RECORDED, "rt", encoding="utf-8") as file:
        found = json.load(file)
    return {name: tuple((k, v) for k, v in options) for name, options in found.items()}


def record(found: dict[str, Native]) -> None:
    """Write what libvirt said."""
    text = json.dumps(found, indent=0, ensure_ascii=False)
    RECORDED.write_bytes(gzip.compress(text.encode(), mtime=0))
