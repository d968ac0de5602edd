"""The same work on many things, in processes beside this one."""

from __future__ import annotations

import os
import time

import pytest

from vmserial.cli.beside import WORTH, each


def test_what_several_processes_make_stands_in_the_order_of_what_it_is_made_of() -> None:
    made = each(lambda number: (number, os.getpid()), range(100), processes=3)
    assert [number for number, _ in made] == list(range(100))
    assert len({pid for _, pid in made}) == 3


def test_a_few_things_are_worth_no_process() -> None:
    made = each(lambda _: os.getpid(), range(WORTH - 1), processes=3)
    assert set(made) == {os.getpid()}


def test_the_first_is_made_before_all_others_and_they_have_what_it_left() -> None:
    seen: list[int] = []

    def work(number: int) -> list[int]:
        seen.append(number)
        return list(seen)

    assert all(before[0] == 0 for before in each(work, range(WORTH), processes=2))


def test_what_another_process_cannot_give_is_made_here() -> None:
    here = os.getpid()

    def work(number: int) -> object:
        return (lambda: number) if os.getpid() != here else number  # nobody can pickle the one

    assert each(work, range(WORTH), processes=2) == list(range(WORTH))


def test_an_error_of_the_work_is_seen_and_no_process_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fork, made = os.fork, list[int]()

    def noted() -> int:
        pid = fork()
        if pid:
            made.append(pid)
        return pid

    monkeypatch.setattr(os, "fork", noted)

    def work(number: int) -> None:
        if number == 1:
            raise LookupError("the second")
        if number == WORTH - 1:
            time.sleep(60)

    with pytest.raises(LookupError, match="the second"):
        each(work, range(WORTH), processes=2)
    assert made
    for pid in made:  # whoever else runs tests in this process has children of its own
        with pytest.raises(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
