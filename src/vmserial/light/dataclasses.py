"""A stand-in for :mod:`dataclasses`: the same classes, made without exec().

The real one imports inspect, ast and dis, and compiles the methods of each
class from text: half of the time that mending a command line, or printing one,
would take.  Here all classes share methods that look at their fields.  It knows
what vmserial uses; anything else is a TypeError when the class is made, which
the tests would show.  ``slots=True`` is accepted and makes none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


class _Missing:
    def __repr__(self) -> str:
        return "<MISSING>"


MISSING: Any = _Missing()


class FrozenInstanceError(AttributeError):
    """A field of a frozen object was to be changed."""


class Field:
    """A field and its options."""

    def __init__(
        self,
        *,
        default: Any = MISSING,
        default_factory: Any = MISSING,
        init: bool = True,
        repr: bool = True,
        hash: bool | None = None,
        compare: bool = True,
        metadata: Mapping[Any, Any] | None = None,
    ) -> None:
        if not init:
            raise TypeError("init=False is not known here")
        self.name = ""
        self.default, self.default_factory = default, default_factory
        self.repr, self.compare = repr, compare
        self.hash = compare if hash is None else hash
        self.metadata = metadata


def field(**options: Any) -> Any:
    """Return a field with options."""
    return Field(**options)


def dataclass(cls: type | None = None, /, **options: Any) -> Any:
    """Give a class its __init__, __eq__, __hash__ and __repr__."""
    return (lambda late: _made(late, **options)) if cls is None else _made(cls, **options)


def _fields(cls: type) -> dict[str, Field]:
    found: dict[str, Field] = {}
    for base in cls.__mro__[-1:0:-1]:
        found |= base.__dict__.get("__dataclass_fields__", {})
    for name, annotation in cls.__annotations__.items():
        if str(annotation).startswith(("ClassVar", "typing.ClassVar")):
            continue
        given = cls.__dict__.get(name, MISSING)
        if isinstance(given, Field):
            made = given
            if made.default is MISSING:
                delattr(cls, name)
            else:
                setattr(cls, name, made.default)
        else:
            made = Field(default=given)
        made.name = name
        found[name] = made
    return found


def _made(
    cls: type, *, frozen: bool = False, eq: bool = True, repr: bool = True, slots: bool = False
) -> type:
    del slots
    fields = _fields(cls)
    methods: dict[str, Any] = {"__init__": _init(fields, hasattr(cls, "__post_init__"))}
    if repr:
        methods["__repr__"] = _repr(tuple(name for name, f in fields.items() if f.repr))
    if eq:
        methods["__eq__"] = _eq(tuple(name for name, f in fields.items() if f.compare))
        methods["__hash__"] = (
            _hash(tuple(name for name, f in fields.items() if f.hash)) if frozen else None
        )
    if frozen:
        methods |= {"__setattr__": _refuse, "__delattr__": _refuse}
    for name, method in methods.items():
        if name not in cls.__dict__ or (name == "__hash__" and cls.__dict__[name] is None):
            setattr(cls, name, method)
    cls.__dataclass_fields__ = fields  # type: ignore[attr-defined]
    return cls


def _init(fields: dict[str, Field], post: bool) -> Callable[..., None]:
    names = tuple(fields)
    places = {name: place for place, name in enumerate(names)}
    defaults = {f.name: f.default for f in fields.values() if f.default is not MISSING}
    factories = tuple(
        (places[f.name], f.name, f.default_factory)
        for f in fields.values() if f.default_factory is not MISSING
    )  # fmt: skip

    def __init__(self: Any, /, *values: Any, **named: Any) -> None:
        own, count = self.__dict__, len(values)
        if count > len(names):
            raise TypeError(f"{type(self).__name__} takes {len(names)} values")
        for name in named:
            if places.get(name, -1) < count:
                raise TypeError(f"{type(self).__name__} has no {name}, or has it twice")
        # All at once: most of a command's objects have one or two of ten fields named.
        own.update(defaults)
        for place, name, factory in factories:
            if place >= count and name not in named:
                own[name] = factory()
        own.update(zip(names, values, strict=False))
        own.update(named)
        if len(own) < len(names):
            lacking = ", ".join(name for name in names if name not in own)
            raise TypeError(f"{type(self).__name__} needs {lacking}")
        if post:
            self.__post_init__()

    return __init__


def _repr(names: tuple[str, ...]) -> Callable[[Any], str]:
    def __repr__(self: Any) -> str:
        parts = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"{type(self).__qualname__}({parts})"

    return __repr__


def _eq(names: tuple[str, ...]) -> Callable[[Any, object], bool]:
    def __eq__(self: Any, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        one, two = self.__dict__, other.__dict__
        return all(one[name] is two[name] or one[name] == two[name] for name in names)

    return __eq__


def _hash(names: tuple[str, ...]) -> Callable[[Any], int]:
    def __hash__(self: Any) -> int:
        own = self.__dict__
        return hash(tuple([own[name] for name in names]))

    return __hash__


def _refuse(_: object, name: str, *__: object) -> None:
    raise FrozenInstanceError(f"cannot change field {name!r}")


def replace(given: Any, /, **changes: Any) -> Any:
    """Return a copy with some fields changed."""
    own = given.__dict__
    return type(given)(**{name: own[name] for name in given.__dataclass_fields__} | changes)


def fields(given: Any) -> tuple[Field, ...]:
    """Return the fields of a class or an object."""
    return tuple(given.__dataclass_fields__.values())


def is_dataclass(given: Any) -> bool:
    """Tell whether it is one, or is of one."""
    return hasattr(given, "__dataclass_fields__")
