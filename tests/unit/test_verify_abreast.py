"""VMs side by side: the same report as one after the other, and an end that leaves nothing out."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fake_qemu.environment import environment, prove, request

from vmserial.progress import Silent
from vmserial.verify.abreast import abreast, ahead
from vmserial.verify.request import VerifyReport
from vmserial.verify.results import NOT_RUN, Check, Verdict
from vmserial.verify.runner import run

pytestmark = pytest.mark.usefixtures("quick_end")

KINDS = ("uart", "usb", "pci", "virtio")


def name(check: Check) -> tuple[str, ...]:
    return (check.vm, check.case, check.port, check.mode, check.direction)


def test_the_report_is_that_of_one_after_the_other(tmp_path: Path) -> None:
    (tmp_path / "beside").mkdir()
    (tmp_path / "after").mkdir()
    beside = prove(tmp_path / "beside", kinds=KINDS, jobs=2)
    after = prove(tmp_path / "after", kinds=KINDS)
    assert beside.exit_code == 0
    vms = [vm for vm, _ in itertools.groupby(check.vm for check in beside.checks)]
    assert vms == [vm for vm, _ in itertools.groupby(check.vm for check in after.checks)]
    assert len(vms) == len(KINDS)
    assert sorted(map(name, beside.checks)) == sorted(map(name, after.checks))
    assert [one.title for one in beside.booted] == [one.title for one in after.booted]


def test_what_is_cut_short_has_every_check(tmp_path: Path) -> None:
    kept: list[VerifyReport] = []
    working: list[asyncio.Task[VerifyReport]] = []

    class Cutting(Silent):
        def step(self, text: str) -> None:
            if "each alone" in text:
                working[0].cancel()

    async def cut() -> None:
        asked = request(kinds=KINDS, jobs=2)
        working.append(
            asyncio.create_task(run(asked, Cutting(), [environment(tmp_path)], keep=kept.append))
        )
        with pytest.raises(asyncio.CancelledError):
            await working[0]

    asyncio.run(cut())
    (report,) = kept
    assert report.interrupted
    assert len({check.vm for check in report.checks}) == len(KINDS)
    assert all(c.detail == NOT_RUN for c in report.checks if c.verdict is Verdict.SKIPPED)
    assert len({name(check) for check in report.checks}) == len(report.checks)


def test_so_many_at_a_time_and_the_first_error_ends_the_others() -> None:
    running, most, ended = 0, 0, []

    async def one(number: int) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            await asyncio.sleep(0.01 if number < 4 else 30)
            if number == 3:
                raise LookupError
        finally:
            running -= 1
            ended.append(number)

    async def everything() -> None:
        work = [lambda number=number: one(number) for number in range(8)]
        with pytest.raises(LookupError):
            await abreast(work, 2)

    asyncio.run(everything())
    assert most == 2
    assert running == 0
    assert set(ended) == {0, 1, 2, 3, 4}


def test_what_is_made_ahead_comes_in_order_and_so_does_its_error() -> None:
    made: list[int] = []

    async def source() -> AsyncIterator[int]:
        for number in range(5):
            made.append(number)
            yield number
        raise LookupError

    async def everything() -> list[tuple[int, int]]:
        taken: list[tuple[int, int]] = []

        async def take() -> None:
            async for number in ahead(source(), 2):
                await asyncio.sleep(0.001)
                taken.append((number, len(made)))

        with pytest.raises(LookupError):
            await take()
        async with contextlib.aclosing(ahead(source(), 2)) as left:
            async for _ in left:
                break
        return taken

    taken = asyncio.run(everything())
    assert [number for number, _ in taken] == [0, 1, 2, 3, 4]
    assert all(made > number + 1 for number, made in taken[:-1])
