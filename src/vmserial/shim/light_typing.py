"""A stand-in for :mod:`typing` within the shim: names that nothing looks at when it runs."""

from __future__ import annotations

TYPE_CHECKING = False


class _Form:
    """Any name of typing; with brackets, with ``|`` and called it stays what it is."""

    def __getitem__(self, item: object) -> _Form:
        return self

    def __or__(self, other: object) -> _Form:
        return self

    __ror__ = __or__

    def __call__(self, *_: object, **__: object) -> _Form:
        return self


class Protocol:
    """A base class that asks for nothing."""


def cast(_: object, value: object) -> object:
    """Return the value."""
    return value


def __getattr__(name: str) -> _Form:
    if name.startswith("__"):
        raise AttributeError(name)
    return _Form()
