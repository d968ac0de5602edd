"""A guest's bound is put off by what it had to wait for a processor, and by nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from vmserial.guests import patience
from vmserial.guests.patience import Waited, patient, put_off, waited


class Clock:
    """A bound that only notes when it is over."""

    def __init__(self) -> None:
        self.at = 100.0
        self.over = False

    def when(self) -> float:
        return self.at

    def reschedule(self, when: float | None) -> None:
        assert when is not None
        self.at = when

    def expired(self) -> bool:
        return self.over


def told(*seconds: float) -> Callable[[], float]:
    """Return what says one after the other, and ends who asks further."""
    left = iter(seconds)

    def starved() -> float:
        for each in left:
            return each
        raise asyncio.CancelledError

    return starved


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_LOOK", 0.0)


@pytest.mark.parametrize(
    ("seconds", "at"),
    [
        ((5.0, 5.0, 5.0), 100.0),
        ((5.0, 6.5, 6.5, 8.0), 103.0),
        # A thread that waited longest has ended.
        ((5.0, 2.0, 3.0), 101.0),
        # At most so long, in all.
        ((0.0, 20.0, 50.0, 99.0), 130.0),
    ],
)
def test_it_is_put_off_by_what_was_waited(seconds: Iterable[float], at: float) -> None:
    bound = Clock()

    async def main() -> None:
        await asyncio.gather(put_off(bound, told(*seconds), 30.0), return_exceptions=True)

    asyncio.run(main())
    assert bound.at == at


def test_what_is_over_is_not_put_off() -> None:
    bound = Clock()
    bound.over = True
    asyncio.run(put_off(bound, told(0.0, 9.0), 30.0))
    assert bound.at == 100.0


@pytest.mark.parametrize("starved", [None, lambda: 7.0])
def test_a_guest_that_hangs_has_its_bound(starved: Callable[[], float] | None) -> None:
    async def main() -> None:
        async with patient(0.05, starved):
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        asyncio.run(main())


def test_a_bound_goes_on_by_what_is_waited_and_most_three_times_itself() -> None:
    async def main(most: float) -> float:
        loop = asyncio.get_running_loop()
        begin = loop.time()
        with pytest.raises(TimeoutError):
            async with patient(0.2, lambda: min(loop.time() - begin, most)):
                await asyncio.Event().wait()
        return loop.time() - begin

    # On a busy host all of it may take longer, and never less.
    assert asyncio.run(main(0.1)) >= 0.3 - 0.02
    assert asyncio.run(main(9.0)) >= 0.8 - 0.02


def test_what_comes_soon_is_no_reason_to_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "_LOOK", 60.0)

    def looked() -> float:
        raise AssertionError("it looked")

    async def main() -> None:
        async with patient(30.0, looked):
            await asyncio.sleep(0.05)

    asyncio.run(main())


def test_a_process_waited_as_long_as_its_thread_that_waited_longest(tmp_path: Path) -> None:
    for thread, text in {"1": "5 1500000000 9", "2": "5 2500000000 9", "3": "", "4": "x y"}.items():
        folder = tmp_path / "77" / "task" / thread
        folder.mkdir(parents=True)
        (folder / "schedstat").write_text(text)
    assert waited(77, tmp_path) == 2.5
    assert waited(78, tmp_path) == 0.0


def test_a_thousand_who_wait_ask_the_kernel_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "_LOOK", 60.0)
    folder = tmp_path / "77" / "task" / "1"
    folder.mkdir(parents=True)
    (folder / "schedstat").write_text("5 1500000000 9")
    starved = Waited(77, tmp_path)
    assert starved() == 1.5
    (folder / "schedstat").write_text("5 2500000000 9")
    assert {starved() for _ in range(1000)} == {1.5}
    monkeypatch.setattr(patience, "_LOOK", 0.0)
    later = Waited(77, tmp_path)
    assert later() == 2.5
    (folder / "schedstat").write_text("5 3500000000 9")
    assert later() == 3.5


def test_a_bound_that_is_far_is_looked_at_seldom() -> None:
    async def main() -> int:
        looks = 0

        def looked() -> float:
            nonlocal looks
            looks += 1
            return 0.0

        async with patient(1000.0, looked):
            await asyncio.sleep(0.2)
        return looks

    # Without a pause of its own it would be asked hundreds of times.
    assert asyncio.run(main()) <= 2
