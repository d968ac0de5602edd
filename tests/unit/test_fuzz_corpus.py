"""What the fuzzer kept, replayed: no crash, no slow input, and each check catches a mutant."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from fuzz import store, targets

from vmserial.sources import toml
from vmserial.sources.command import CommandLine
from vmserial.sources.command.params import Params
from vmserial.sources.libvirt import Document as DomainDocument
from vmserial.sources.pve import Document

SECONDS = 2.0
"""Processor time for one input; the slowest kept one needs some 0.05 s."""

NAMES = sorted(targets.TARGETS)


@pytest.mark.parametrize("name", NAMES)
def test_kept_inputs(name: str) -> None:
    inputs = store.inputs(name)
    assert len(inputs) >= 100
    assert sum(map(len, inputs)) < 1_000_000
    for data in inputs:
        begin = time.process_time()
        targets.TARGETS[name](data)
        assert time.process_time() - begin < SECONDS, data


# ---------------------------------------------------------------- time against size


def grown(name: str, data: bytes, size: int) -> bytes:
    """Return ``data`` repeated up to a size, so that it is still of its format."""
    if name != "xml":
        return data * (size // len(data))
    before, found, rest = data.partition(b"<devices>")
    inside, _, after = rest.rpartition(b"</devices>")
    if not found or not inside:
        return data + b"<!--" + b" " * size + b"-->"
    return before + found + inside * (size // len(inside)) + b"</devices>" + after


def growth(check: Callable[[bytes], object], name: str, data: bytes) -> float:
    """Return how much more time four times the input takes; 4 is linear, 16 quadratic."""
    spent = []
    for size in (4_000, 16_000):
        large = grown(name, data, size)
        begin = time.process_time()
        check(large)
        spent.append(time.process_time() - begin)
    return spent[1] / max(spent[0], 0.02)


READERS: dict[str, Callable[[bytes], object]] = {
    **targets.TARGETS,
    "argv": targets.argv_read,
    "xml": targets.xml_read,
}
"""The parsers without the judging of what they read."""


@pytest.mark.parametrize("name", NAMES)
def test_time_grows_as_the_input(name: str) -> None:
    inputs = [data for data in store.inputs(name) if 20 <= len(data) <= 4_000]
    for data in inputs[:: max(1, len(inputs) // 25)]:
        # Twice, for whatever else runs on the machine.
        assert min(growth(READERS[name], name, data) for _ in range(2)) < 10, data


def test_quadratic_time_is_seen() -> None:
    def slow(data: bytes) -> None:
        begin = time.process_time()
        while time.process_time() - begin < 0.05 * (len(data) / 4_000) ** 2:
            pass

    assert growth(slow, "conf", b"a" * 100) > 10


# ---------------------------------------------------------------- mutants


@dataclass(frozen=True)
class Mutant:
    """A parser with a defect."""

    parser: str
    owner: Any
    attribute: str
    instead: Callable[..., Any]


def _breaks(original: Callable[..., Any], when: str) -> Callable[..., Any]:
    def broken(first: Any, *rest: Any, **more: Any) -> Any:
        text = first.decode("utf-8", "replace") if isinstance(first, bytes) else first
        if when in text:
            raise IndexError("list index out of range")
        return original(first, *rest, **more)

    return broken


def _doubles_the_comma(params: Params, key: str, value: Any) -> str:
    old = [item for item in params.items if item.key == key]
    if old or params.is_json or not params.source:
        return WITH_KEY(params, key, value)
    return f"{params.source},{key}={value}"


WITH_KEY = Params.with_key
MUTANTS = (
    Mutant("conf", Document, "text", lambda d: "\n".join(line.rstrip("\r") for line in d.lines)),
    Mutant("conf", Document, "parse", _breaks(Document.parse, "[PENDING]")),
    Mutant("argv", CommandLine, "text", lambda c: " ".join((c.source or "").split(" "))[:300]),
    Mutant("argv", CommandLine, "parse", _breaks(CommandLine.parse, "$'")),
    Mutant("argv", Params, "with_key", _doubles_the_comma),
    Mutant("toml", toml, "read", _breaks(toml.read, "[[")),
    Mutant("xml", DomainDocument, "parse", _breaks(DomainDocument.parse, "<serial")),
    Mutant("xml", DomainDocument, "edited", lambda d, _: DomainDocument(d.raw[:-1], "", d.root)),
)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: f"{m.parser}-{m.attribute}")
def test_a_defect_is_caught(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    instead = mutant.instead
    if mutant.attribute == "parse":
        instead = staticmethod(instead)
    monkeypatch.setattr(mutant.owner, mutant.attribute, instead)
    with pytest.raises((AssertionError, IndexError)):
        _replay(mutant.parser)


def _replay(parser: str) -> None:
    for data in store.inputs(parser):
        targets.TARGETS[parser](data)
