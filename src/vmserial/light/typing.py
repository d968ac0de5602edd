"""A stand-in for :mod:`typing`: names that nothing looks at when it runs."""

from __future__ import annotations

TYPE_CHECKING = False


class _Form:
    """Any name of typing; with brackets, with ``|`` and called it stays what it is."""

    def __init__(self, words: tuple[object, ...] = ()) -> None:
        self.words = words

    def __getitem__(self, item: object) -> _Form:
        return _Form(item if isinstance(item, tuple) else (item,))

    def __or__(self, other: object) -> _Form:
        return self

    __ror__ = __or__

    def __call__(self, *_: object, **__: object) -> _Form:
        return self

    __iter__ = None
    """With brackets alone, ``word in form`` would ask for one item after the other for ever."""


class Protocol:
    """A base class that asks for nothing."""


def cast(_: object, value: object) -> object:
    """Return the value."""
    return value


def get_args(form: _Form) -> tuple[object, ...]:
    """Return what stands in the brackets."""
    return form.words


def __getattr__(name: str) -> _Form:
    if name[0] == "_" or name[0].islower():
        raise AttributeError(name)  # a function does something, and none but these is known
    return _Form()
