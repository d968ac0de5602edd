"""Records compare, hash and print as the frozen dataclasses that they are to mypy."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

import pytest

from vmserial.records import record


def made(how: object) -> type:
    class Place:
        bus: str
        slot: int = 0
        notes: str = field(default="", compare=False, repr=False)

    return how(Place)  # type: ignore[operator, no-any-return]


@pytest.mark.parametrize("slots", [False, True])
def test_a_record_is_as_the_frozen_dataclass_of_the_same_fields(slots: bool) -> None:
    own = made(record(frozen=True, slots=slots))
    other = made(dataclass(frozen=True, slots=slots))
    assert own("pci.0", notes="x") == own("pci.0")
    assert own("pci.0") != own("pci.0", 1)
    assert hash(own("pci.0", 2, "x")) == hash(other("pci.0", 2, "y")) == hash(own("pci.0", 2))
    assert repr(own("pci.0", 2)) == repr(other("pci.0", 2))
    assert [each.name for each in fields(own)] == [each.name for each in fields(other)]


def test_a_record_without_eq_is_told_apart_by_what_it_is() -> None:
    own = made(record(frozen=True, eq=False))
    one = own("pci.0")
    assert one != own("pci.0")
    assert {one: 1}[one] == 1
