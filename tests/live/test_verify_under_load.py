"""A busy host makes nothing red, and damage keeps its name on it: repeats beside busy loops."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
from test_verify_live import prove, wrong

from vmserial.verify.mutants import parse
from vmserial.verify.request import VerifyReport
from vmserial.verify.results import Verdict
from vmserial.verify.wire.form import SHORT, SMOKE

pytestmark = [pytest.mark.live, pytest.mark.full]

REPEATS = 20
LOOPS = 2

DAMAGE = (
    "drop@serial1", "swap@serial2", "duplicate@serial3", "corrupt@serial4", "stall@serial5",
    "late-extra@serial6", "crosswire@serial7+serial8",
)  # fmt: skip
"""One mutant of each kind; serial0 and serial9 are left whole."""


@pytest.fixture(scope="module", autouse=True)
def busy() -> Iterator[None]:
    """Keep two processors busy."""
    loops = [
        subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"]) for _ in range(LOOPS)
    ]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


@pytest.mark.parametrize(("arch", "kinds"), [("aarch64", ("usb", "virtio")), ("x86_64", ("usb",))])
def test_nothing_is_red(arch: str, kinds: tuple[str, ...]) -> None:
    found = {n: wrong(prove(arch, kinds=kinds, cases=("default",))) for n in range(REPEATS)}
    assert {number: words for number, words in found.items() if words} == {}


@pytest.mark.parametrize("arch", ["aarch64", "x86_64"])
def test_each_damage_has_its_name_and_touches_no_other_port(arch: str) -> None:
    for number in range(REPEATS):
        report = prove(
            arch, kinds=("usb",), cases=("large",), mutants=DAMAGE, alone=SMOKE, together=SHORT
        )
        assert misnamed(report) == [], f"repeat {number}, seed {report.seed}"


def misnamed(report: VerifyReport) -> list[str]:
    """Return the checks whose verdict, or the name of whose fault, is not their mutant's."""
    expected = {
        port: mutant.expected
        for mutant in map(parse, DAMAGE)
        for port in (mutant.port, mutant.other)
    }
    bad = []
    for check in report.checks:
        fault = expected.get(check.port)
        kinds = {one.kind for one in check.faults}
        verdict = Verdict.FAIL if fault else Verdict.PASS
        if check.verdict is not verdict or (fault and fault not in kinds):
            place = f"{check.port} {check.direction} {check.mode}"
            bad.append(f"{place}: {check.verdict}, {sorted(kinds)}: {check.detail[:300]}")
    return bad
