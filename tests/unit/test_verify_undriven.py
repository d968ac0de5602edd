"""A kernel without a driver is told from a dead port: by what the guest says of itself."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from local_shell import over_socket

from vmserial.guests.shell import Shell
from vmserial.verify import undriven
from vmserial.verify.holders import Keeper
from vmserial.verify.results import CANNOT, FaultKind


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("kernel 6.12-cloud\ndriver\n", "kernel 6.12-cloud has no USB (there is no /sys/bus/usb)"),
        ("kernel 6.8-kvm\nbus\n", "kernel 6.8-kvm has no ftdi_sio"),
        ("kernel 6.12\nbus\ndriver\n", ""),
        ("", ""),
    ],
)
def test_what_the_guest_says_is_told_in_words(said: str, words: str) -> None:
    assert (words in undriven.reason(said)) if words else undriven.reason(said) == ""


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        ((), "no USB"),
        (("drivers/usb",), "no ftdi_sio"),
        (("drivers/ftdi_sio",), ""),
    ],
)
def test_it_is_looked_for_in_sysfs(
    there: tuple[str, ...], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in there:
        (tmp_path / "usb" / name).mkdir(parents=True)
    look = undriven._LOOK.replace("/sys/bus/usb", str(tmp_path / "usb"))
    monkeypatch.setattr(undriven, "_LOOK", f"modprobe() {{ return 1; }}\n{look}")

    async def main() -> str:
        async with over_socket(["sh"]) as stream:
            shell = Shell(*stream)
            await shell.ready(10)
            found = await undriven.undriven(shell, 10)
            await shell.close()
            return found

    found = asyncio.run(main())
    assert (expected in found) if expected else found == ""


@pytest.mark.parametrize(
    ("bus", "taken", "kinds"),
    [(False, "", [FaultKind.NO_DRIVER]), (True, "", []), (True, "by brltty", [FaultKind.HELD])],
)
def test_why_there_is_no_tty(
    bus: bool, taken: str, kinds: list[FaultKind], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def grabbed(_: Keeper, serial: str, *, take: bool) -> str:
        del serial, take
        return taken

    async def run(command: str, timeout: float) -> str:
        del command, timeout
        return "kernel 6.12\ndriver\n" + ("bus\n" if bus else "")

    monkeypatch.setattr(Keeper, "grabbed", grabbed)
    keeper = Keeper(cast(Shell, SimpleNamespace(run=run)), 1.0, contextlib.AsyncExitStack())
    found = asyncio.run(keeper.missing("serial1", take=False))
    assert [fault.kind for fault in found] == kinds
    assert {*kinds} <= CANNOT
