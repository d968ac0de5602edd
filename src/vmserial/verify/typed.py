"""Data from a file, with each value of its field's kind: a file may hold anything; pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from math import isfinite
from typing import Any


def typed(cls: type[Any], data: Any) -> dict[str, Any]:
    """Return those keys of ``data`` that are fields of a dataclass, each of its field's kind.

    Raises:
        TypeError: ``data`` is no object, or a value is of another kind.
        ValueError: a number is not a number.
    """
    if not isinstance(data, Mapping):
        raise TypeError("not an object")
    found: dict[str, Any] = {}
    for field in fields(cls):
        if field.name not in data:
            continue
        value = data[field.name]
        kind = str(field.type)
        wanted = next((made for name, made in _JSON.items() if kind.startswith(name)), (str,))
        if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
            raise TypeError(f"{field.name} is {type(value).__name__}")
        if isinstance(value, float) and not isfinite(value):
            raise ValueError(f"{field.name} is {value}")
        found[field.name] = tuple(value) if isinstance(value, list) else value
    return found


_JSON: dict[str, tuple[type, ...]] = {
    "int": (int,), "float": (int, float), "bool": (bool,), "tuple": (list, tuple), "list": (list,),
}  # fmt: skip
"""How a field's kind is written in JSON; all others are text."""
