"""Whole verify runs against the fake, in about a second each."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fake_qemu.faults import Fault
from fake_qemu.program import make
from vmserial.guests.images import TestGuest
from vmserial.model import Capabilities, GuestProfile, Machine
from vmserial.progress import Silent
from vmserial.verify.request import Limits, TestEnvironment, VerifyReport, VerifyRequest
from vmserial.verify.results import Check, FaultKind, Verdict
from vmserial.verify.runner import run
from vmserial.verify.wire.form import SMOKE

LIMITS = Limits(
    boot=20.0, node=10.0, per_node=0.05, command=20.0, transfer=20.0, per_byte=1e-4, idle=1.0,
    settle=0.03, hang=10.0, late=0.3,
)  # fmt: skip
"""Bounds for a guest that is a process of this machine, which may be busy.

Where a fault is found by reaching one of them, a test makes that one alone smaller.
"""

_AT_ONCE = 3

SIZES = (*SMOKE, 4097)


def environment(
    folder: Path, *faults: Fault, arch: str = "aarch64", version: tuple[int, int, int] = (7, 2, 0)
) -> TestEnvironment:
    """Return a fake with ``faults`` and its guest."""
    nothing = Path("/dev/null")
    console = {"aarch64": "ttyAMA0", "x86_64": "ttyS0"}[arch]
    uarts = {"virt": 2 if version >= (9, 1, 0) else 1}
    return TestEnvironment(
        Capabilities(
            version, arch, binary=str(make(folder, *faults, version=version)), onboard_uarts=uarts
        ),
        TestGuest(
            name="fake-guest", arch=arch, suite="", release="6.1.0", kernel=nothing,
            packed=nothing, initrd=nothing, config=None, console=console, shell="control",
            profile=GuestProfile("fake-guest", source="the tests", kernel=(6, 1)),
            append=f"console={console} quiet loglevel=1",
        ),
    )  # fmt: skip


def request(**asked: Any) -> VerifyRequest:
    """Return a request that is quick; ``arch`` and any field may be given."""
    machine = asked.pop("machine", None) or Machine(asked.pop("arch", "aarch64"), ())
    usual: dict[str, Any] = {
        "kinds": ("usb",), "cases": ("default",), "limits": LIMITS, "seed": 7, "alone": SIZES,
        "together": SIZES, "cycles": 1,
    }  # fmt: skip
    return VerifyRequest(machine, **{**usual, **asked})


def prove(folder: Path, *faults: Fault, **asked: Any) -> VerifyReport:
    """Run a verification on a fake with ``faults``."""
    return asyncio.run(_prove(folder, faults, asked))


def prove_all(folder: Path, faults: Sequence[Fault], **asked: Any) -> list[VerifyReport]:
    """Run a verification for each fault, several at once; the reports are in their order."""

    async def everything() -> list[VerifyReport]:
        few = asyncio.Semaphore(_AT_ONCE)

        async def one(number: int, fault: Fault) -> VerifyReport:
            own = folder / str(number)
            own.mkdir()
            async with few:
                return await _prove(own, (fault,), asked)

        return await asyncio.gather(*(one(n, fault) for n, fault in enumerate(faults)))

    return asyncio.run(everything())


async def _prove(folder: Path, faults: Sequence[Fault], asked: dict[str, Any]) -> VerifyReport:
    asked = dict(asked)
    arch = asked.get("arch", "aarch64")
    version = asked.pop("version", (7, 2, 0))
    made = environment(folder, *faults, arch=arch, version=version)
    return await run(request(**asked), Silent(), [made])


def verdicts(checks: tuple[Check, ...], verdict: Verdict) -> list[Check]:
    """Return the checks with that verdict."""
    return [check for check in checks if check.verdict is verdict]


def named(check: Check) -> set[FaultKind]:
    """Return the names of what went wrong in a check."""
    return {fault.kind for fault in check.faults}
