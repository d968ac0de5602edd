"""One option's value in QEMU's key=value grammar or as JSON: read, and changed key by key.

Whatever is not changed keeps its bytes.  A doubled comma is one comma; a part
without ``=`` is the implied first key's value, else a bool (``server``), with
``no`` before it an ``off`` (``nowait``), as util/qemu-option.c reads it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from vmserial.errors import ConfigError, UsageError
from vmserial.lazy import once
from vmserial.options import Scalar, scalar_text
from vmserial.records import record

_PART = re.compile(r"(?:[^,]|,,)*", re.DOTALL)
_BLANKS = re.compile(r"[ \t\r\n]*")
_KEY = re.compile(r"[A-Za-z0-9_.\-\[\]]+\Z")
_DEPTH = 400
_MEMBER = re.compile(
    r'[ \t\r\n]*"([^"\\\x00-\x1f]*)"[ \t\r\n]*:[ \t\r\n]*'
    r'(?:"([^"\\\x00-\x1f]*)"|(0|-?[1-9][0-9]*|true|false))[ \t\r\n]*([,}])'
)
"""One member of a JSON object whose value is a string without escapes, an integer or a bool."""

_HELP = frozenset({"help", "?"})
_WORDS = {"true": "on", "false": "off"}


@record(frozen=True, slots=True)
class Param:
    """One key and its value.

    Attributes:
        key: the key; of a part that stands first without one, the implied key.
        value: as text, with single commas; a JSON bool is ``on`` or ``off``.
        start: where its source begins in the option's value.
        end: where it ends.
        written: ``pair``, ``implied`` (no key), ``bare`` (no value) or ``json``.
    """

    key: str
    value: str
    start: int
    end: int
    written: str


@record(frozen=True)
class Params:
    """The value of one option.

    Attributes:
        source: the value as written.
        items: its keys and values in order.
        is_json: it is a JSON object; nested keys are joined by dots.
    """

    source: str
    items: tuple[Param, ...]
    is_json: bool = False

    @classmethod
    def parse(
        cls, source: str, implied: str = "", *, where: str = "", json_too: bool = False
    ) -> Params:
        """Read a value.

        Args:
            source: the value.
            implied: the key of a first part that has none.
            where: for the error's place.
            json_too: a value that begins with a brace is JSON.

        Raises:
            ConfigError: it begins as JSON and is not an object.
        """
        if json_too and source.lstrip(" \t\r\n").startswith("{"):
            return cls(source, tuple(_json_items(source, where)), True)
        if ",," in source:
            return cls(source, tuple(_key_value_items(source, implied)))
        return _Plain(source, implied)

    @once
    def values(self) -> Mapping[str, str]:
        """The values by key; of several the last, as QEMU takes it."""
        return {item.key: item.value for item in self.items}

    @once
    def bare(self) -> frozenset[str]:
        """The keys that stand without a value somewhere; each is a bool."""
        return frozenset([item.key for item in self.items if item.written == "bare"])

    @once
    def asks_for_help(self) -> bool:
        """QEMU only lists devices or properties and ends (qemu_opts_parse's help)."""
        first = self.items[:1]
        return not self.bare.isdisjoint(_HELP) or any(
            item.written == "implied" and item.value in _HELP for item in first
        )

    def get(self, key: str, default: str = "") -> str:
        """Return a key's value."""
        return self.values.get(key, default)

    def with_key(self, key: str, value: Scalar) -> str:
        """Return the source with a key set; each other key keeps its bytes.

        Raises:
            UsageError: the key cannot be written, or is within an object of the JSON.
        """
        if not _KEY.match(key):
            raise UsageError(f"{key!r} cannot be the name of a property", hint="check its spelling")
        found = [item for item in self.items if item.key == key]
        if self.is_json:
            return self._json_with_key(key, value, found)
        doubled = scalar_text(value).replace(",", ",,")
        if not found:
            # One comma at the end separates already; doubled it would be a part of the value.
            ended = (len(self.source) - len(self.source.rstrip(","))) % 2 == 1
            joint = "," if self.source and not ended else ""
            return f"{self.source}{joint}{key}={doubled}"
        item = found[-1]
        # A value with "=" would make an implied first part a key.
        bare = item.written == "implied" and "=" not in doubled and doubled
        new = doubled if bare else f"{key}={doubled}"
        return self.source[: item.start] + new + self.source[item.end :]

    def _json_with_key(self, key: str, value: Scalar, found: list[Param]) -> str:
        member = f"{json.dumps(key)}:{json.dumps(value, ensure_ascii=False)}"
        if found:
            return self.source[: found[-1].start] + member + self.source[found[-1].end :]
        nested = any(item.key.startswith(f"{key}.") for item in self.items)
        if nested or (
            "." in key and any(item.key.startswith(key.split(".")[0] + ".") for item in self.items)
        ):
            raise UsageError(
                f"{key!r} is an object within the JSON, or stands within one",
                hint="replace the option's whole value",
            )
        close = self.source.rindex("}")
        before = self.source[:close].rstrip(" \t\r\n")
        joint = "" if before.endswith("{") and not self.items else ","
        return before + joint + member + self.source[len(before) :]

    def without_key(self, key: str) -> str:
        """Return the source without a key; as it is if the key is not there.

        Raises:
            UsageError: the key is within an object of the JSON.
        """
        source = self.source
        spans = sorted({(i.start, i.end, i.key, i.written) for i in self.items}, reverse=True)
        for start, end, found, written in spans:
            if found != key:
                continue
            if written == "nested":
                raise UsageError(
                    f"{key!r} stands within an object of the JSON",
                    hint="replace the option's whole value",
                )
            after = re.compile(r"[ \t\r\n]*,[ \t\r\n]*" if self.is_json else ",").match(source, end)
            if after:
                source = source[:start] + source[after.end() :]
            else:
                before = re.sub(r"[ \t\r\n]*,[ \t\r\n]*\Z" if self.is_json else r",\Z", "",
                                source[:start])  # fmt: skip
                source = before + source[end:]
        return source


class _Plain(Params):
    """A key=value text without a doubled comma; where its parts stand is seldom asked for."""

    def __init__(self, source: str, implied: str) -> None:
        values: dict[str, str] = {}
        bare: set[str] = set()
        for place, part in enumerate(source.split(",")):
            key, equals, value = part.partition("=")
            if not equals:
                if not place and implied and part:
                    key, value = implied, part
                elif place and part.startswith("no") and len(part) > 2:
                    key, value = part[2:], "off"
                    bare.add(key)
                elif part:
                    value = "on"
                    bare.add(key)
                else:
                    continue
            values[key] = value
        first = source.partition(",")[0]
        self.__dict__.update(
            source=source, implied=implied, values=values, bare=frozenset(bare),
            asks_for_help=not bare.isdisjoint(_HELP) or (bool(implied) and first in _HELP),
        )  # fmt: skip

    @once
    def items(self) -> tuple[Param, ...]:
        """Its keys and values in order."""
        return tuple(_key_value_items(self.source, self.__dict__["implied"]))


def _key_value_items(source: str, implied: str) -> list[Param]:
    items: list[Param] = []
    position = 0
    while position <= len(source):
        match = _PART.match(source, position)
        assert match is not None
        part = match.group()
        key, equals, value = part.partition("=")
        value = value.replace(",,", ",")
        key = key.replace(",,", ",")
        if equals:
            items.append(Param(key, value, position, match.end(), "pair"))
        elif position == 0 and implied and part:
            items.append(Param(implied, key, 0, match.end(), "implied"))
        elif part.startswith("no") and len(part) > 2 and position:
            items.append(Param(key[2:], "off", position, match.end(), "bare"))
        elif part:
            items.append(Param(key, "on", position, match.end(), "bare"))
        position = match.end() + 1
    return items


def _json_items(source: str, where: str) -> list[Param]:
    """Read the members of a JSON object with their spans."""
    if (flat := _flat_items(source)) is not None:
        return flat
    items: list[Param] = []
    decoder = json.JSONDecoder()
    try:
        if _nesting(source) > _DEPTH:
            raise ValueError("it is nested too deeply")
        whole, end = decoder.raw_decode(source, _skip(source, 0))
        if source[end:].strip(" \t\r\n"):
            raise ValueError(f"something follows the object at column {end + 1}")
        position = _skip(source, _skip(source, 0) + 1)
        while source[position] != "}":
            start = position
            key, position = decoder.raw_decode(source, position)
            position = _skip(source, _skip(source, position) + 1)
            value, position = decoder.raw_decode(source, position)
            if isinstance(value, dict):
                for name, text in _flat(f"{key}.", value):
                    items.append(Param(name, text, start, position, "nested"))
            else:
                number = key == "addr" and isinstance(value, int) and value is not True
                text = _address_text(value) if number else _json_text(value)
                items.append(Param(key, text, start, position, "json"))
            position = _skip(source, position)
            if source[position] == ",":
                position = _skip(source, position + 1)
        del whole
    except (ValueError, RecursionError, IndexError) as error:
        raise ConfigError(
            f"the JSON cannot be read: {error}",
            hint="check its quotes, commas and braces; in a shell it stands in single quotes",
            where=where,
        ) from None
    return items


def _flat_items(source: str) -> list[Param] | None:
    """Read an object as libvirt writes it, without escapes and other objects; else None."""
    opened = source.find("{")
    items: list[Param] = []
    position = opened + 1
    while match := _MEMBER.match(source, position):
        key, text, other, ends = match.groups()
        if other is None:
            value = text
        elif key == "addr" and other.isdecimal():
            value = _address_text(int(other))
        else:
            value = _WORDS.get(other, other)
        items.append(Param(key, value, match.start(1) - 1, match.end(2 if other is None else 3)
                           + (other is None), "json"))  # fmt: skip
        position = match.end()
        if ends == "}":
            return None if source[position:].strip(" \t\r\n") else items
    return None


def _nesting(source: str) -> int:
    depth = deepest = 0
    for char in source:
        if char in "{[":
            depth += 1
            deepest = max(deepest, depth)
        elif char in "}]":
            depth -= 1
    return deepest


def _skip(source: str, position: int) -> int:
    match = _BLANKS.match(source, position)
    assert match is not None
    return match.end()


def _flat(prefix: str, value: Any) -> list[tuple[str, str]]:
    if not isinstance(value, dict):
        return [(prefix[:-1], _json_text(value))]
    return [pair for key, inner in value.items() for pair in _flat(f"{prefix}{key}.", inner)]


def _address_text(number: int) -> str:
    """Return what ``addr`` with this number in JSON would be as text.

    QEMU takes a number for slot * 8 + function, and a text for a hexadecimal slot: 28 is
    03.4, "28" is refused (7.2, seen).  What is past a byte is another kind of address.
    """
    return f"{number >> 3:x}.{number & 7}" if 0 <= number <= 0xFF else str(number)


def _json_text(value: Any) -> str:
    if isinstance(value, bool):
        return scalar_text(value)
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
