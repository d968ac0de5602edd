"""A run that is cut short keeps a report of what was done, and of what was not."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_qemu import Fault
from fake_qemu.environment import LIMITS, environment, request

from vmserial.model import Finding, Machine, Severity
from vmserial.progress import Silent
from vmserial.sources.command import CommandLine, CommandView
from vmserial.verify import standing
from vmserial.verify.request import VerifyReport, VerifyRequest
from vmserial.verify.results import NOT_RUN, Verdict
from vmserial.verify.results_file import read
from vmserial.verify.runner import run


def cut(begin: Any, kept: list[VerifyReport], when: Any) -> VerifyReport:
    """Begin a run, cancel it as soon as ``when()`` is true, and return what it kept."""

    async def main() -> None:
        task = asyncio.create_task(begin(kept.append))
        while not when():
            assert not task.done(), task
            await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    (report,) = kept
    return report


def test_what_was_not_run_is_there_also_of_later_architectures(tmp_path: Path) -> None:
    """The first VM stands still; a second kind and a second board are to come."""
    slow = replace(LIMITS, idle=60.0, transfer=60.0)
    made = environment(tmp_path, Fault("stall", "serial1", at=10))
    (tmp_path / "x86").mkdir()
    other = environment(tmp_path / "x86", arch="x86_64")
    asked = request(kinds=("usb", "pci"), limits=slow, out=tmp_path / "out", call=("verify",))
    later = request(arch="x86_64", kinds=("usb",), limits=slow)
    results = tmp_path / "out" / "results.jsonl"
    report = cut(
        lambda keep: run(asked, Silent(), [made], later=[(later, [other])], keep=keep),
        [], results.exists,
    )  # fmt: skip
    assert report.interrupted
    assert report.call == ("verify",)
    assert {(c.arch, c.kind) for c in report.checks} >= {
        ("aarch64", "usb"), ("aarch64", "pci"), ("x86_64", "usb"), ("x86_64", "isa"),
    }  # fmt: skip
    assert len(report.checks) == 3 * (16 + 3)
    assert len({(c.vm, c.title) for c in report.checks}) == len(report.checks)
    for check in report.checks:
        assert check.verdict is Verdict.PASS or check.detail == NOT_RUN
    # What has come is on the disk, whatever becomes of us.
    (found,) = read(results)
    assert found.checks == report.checks


def test_a_command_that_was_cut_short_still_has_what_is_found_without_a_vm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []

    async def waits(*_words: object) -> None:
        begun.append("one")
        await asyncio.sleep(60)

    monkeypatch.setattr(standing, "prove_on", waits)
    command = CommandLine.from_words(["qemu-system-aarch64", "-M", "virt"])
    view = CommandView.of(command)
    made = environment(tmp_path)
    found = Finding("tty-missing", Severity.FAILS, "no such tty", "why", "do", ("serial0",))
    asked = VerifyRequest(Machine("aarch64", ()), seed=5)
    report = cut(
        lambda keep: standing.run(
            standing.Standing(command, (found,)), asked, Silent(),
            view=view, environments=[made, made], keep=keep,
        ),
        [], lambda: begun,
    )  # fmt: skip
    assert report.interrupted
    assert [(c.verdict, c.detail) for c in report.checks[:2]] == [(Verdict.SKIPPED, NOT_RUN)] * 2
    assert [c.detail for c in report.checks[2:]] == ["no such tty [tty-missing]"]
    assert report.checks[2].verdict is Verdict.FAIL


def test_a_run_that_nobody_cuts_short_keeps_nothing(tmp_path: Path) -> None:
    kept: list[VerifyReport] = []
    report = asyncio.run(run(request(), Silent(), [environment(tmp_path)], keep=kept.append))
    assert not kept
    assert not report.interrupted
    assert report.started
