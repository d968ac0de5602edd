"""A parsed text held against the schema: which key is wrong, where it stands, what it is to be."""

from __future__ import annotations

import re
from typing import Any

from vmserial.errors import ConfigError
from vmserial.model import SourceRef
from vmserial.sources import ports
from vmserial.sources.toml.lines import Lines, Path
from vmserial.sources.toml.schema import Key

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_OPTION = re.compile(r"[A-Za-z0-9_.-]+\Z")

_PLURAL = {"words": "texts", "numbers": "numbers"}


class Checked:
    """A text of our own format, by which each error is told its line.

    Args:
        text: TOML.
        file: its name, for messages.
    """

    def __init__(self, text: str, file: str) -> None:
        self.file = file
        self._source = text
        self._lines: Lines | None = None

    def where(self, *path: str | int) -> SourceRef:
        """Return the place of a key."""
        if self._lines is None:
            self._lines = Lines(self._source)
        return SourceRef(self.file, self._lines.of(path))

    def fail(self, path: Path, message: str, hint: str) -> ConfigError:
        """Return an error at a key's place."""
        return ConfigError(message, hint=hint, where=str(self.where(*path)))

    def check(self, data: dict[str, Any], keys: tuple[Key, ...], path: Path) -> None:
        """Raise ConfigError unless ``data`` is what ``keys`` allow."""
        known = {key.name: key for key in keys}
        for name, value in data.items():
            key = known.get(name)
            if key is None:
                table = f" in [{path[0]}]" if path else ""
                raise self.fail(
                    (*path, name), f"there is no key {name!r}{table}", ports.nearest(name, known)
                )
            self._value(key, value, (*path, name))
        for key in keys:
            if key.required and key.name not in data:
                table = f" of [{path[0]}]" if path else ""
                raise self.fail(
                    path, f"the key {key.name!r}{table} is missing", f"add it: {key.about}"
                )

    def _value(self, key: Key, value: Any, path: Path) -> None:
        """Check one value."""
        match key.kind:
            case "text":
                self._text(key, value, path)
            case "number":
                self._number(key, value, path)
            case "switch":
                if not isinstance(value, bool):
                    raise self._wrong(key, value, path, "true or false")
            case "words" | "numbers":
                if not isinstance(value, list):
                    raise self._wrong(key, value, path, f"a list of {_PLURAL[key.kind]}")
                for entry in value:
                    (self._text if key.kind == "words" else self._number)(key, entry, path)
            case "table":
                if not isinstance(value, dict):
                    raise self._wrong(key, value, path, f"a table: write [{key.name}]")
                self.check(value, key.keys, path)
            case "tables":
                if not isinstance(value, list) or not all(isinstance(e, dict) for e in value):
                    raise self._wrong(key, value, path, f"a list of tables: write [[{key.name}]]")
                for number, entry in enumerate(value):
                    self.check(entry, key.keys, (*path, number))
            case "options":
                self._options(key, value, path)

    def _wrong(self, key: Key, value: Any, path: Path, wanted: str) -> ConfigError:
        shown = repr(value)
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        return self.fail(path, f"{key.name} = {shown} is not {wanted}", f"it is: {key.about}")

    def _text(self, key: Key, value: Any, path: Path) -> None:
        if not isinstance(value, str):
            raise self._wrong(key, value, path, "a text in quotes")
        if _CONTROL.search(value):
            raise self._wrong(key, value, path, "a text without control characters")
        if key.choices and value not in key.choices:
            raise self.fail(
                path,
                f"{key.name} = {value!r} is none of {', '.join(key.choices)}",
                ports.nearest(value, key.choices),
            )
        if not key.matches(value):
            raise self._wrong(key, value, path, f"of the form {key.pattern}")

    def _number(self, key: Key, value: Any, path: Path) -> None:
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._wrong(key, value, path, "a whole number")
        if not key.low <= value <= key.high:
            raise self._wrong(key, value, path, f"from {key.low} to {key.high}")

    def _options(self, key: Key, value: Any, path: Path) -> None:
        if not isinstance(value, dict):
            raise self._wrong(key, value, path, f"a table: write [{key.name}]")
        for name, entry in value.items():
            if not _OPTION.match(name):
                raise self.fail(
                    (*path, name),
                    f"{name!r} cannot be the name of a property",
                    "check its spelling",
                )
            if not isinstance(entry, str | int) or (
                isinstance(entry, str) and _CONTROL.search(entry)
            ):
                raise self._wrong(key, entry, (*path, name), "a text, a number, true or false")
