"""Generated bad input through reader, planner and showcmd: no traceback, no hang, no injection."""

from __future__ import annotations

import random
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from plans import planned

from generated import check, generator
from vmserial.cli.main import main
from vmserial.options import Option


def test_a_few_hundred_inputs() -> None:
    done = check.many(range(600))
    assert done.total() == 600
    # Neither all refused nor all taken, or the generator would show nothing.
    assert min(done["planned"], done["refused"]) > 90, done


@pytest.mark.full
@pytest.mark.parametrize("first", range(0, 1_000_000, 100_000))
def test_a_million_inputs(first: int) -> None:
    step = 10_000
    parts = (range(n, n + step) for n in range(first, first + 100_000, step))
    done: Counter[str] = Counter()
    with ProcessPoolExecutor() as pool:
        for part in pool.map(check.many, parts):
            done += part
    assert done.total() == 100_000
    assert min(done["planned"], done["refused"]) > 15_000, done


def test_through_the_command_itself(tmp_path: Path) -> None:
    conf = tmp_path / "100.conf"
    statuses: Counter[int] = Counter()
    for seed in range(150):
        conf.write_text(generator.configuration(random.Random(seed)), newline="")
        for verb in (["showcmd"], ["plan", "--json"], ["doctor"]):
            result = CliRunner().invoke(main, [*verb, str(conf)])
            assert result.exception is None or isinstance(result.exception, SystemExit), (
                seed, verb, result.exception,
            )  # fmt: skip
            assert "Traceback" not in result.output
            statuses[result.exit_code] += 1
    assert set(statuses) <= {0, 1, 2}
    assert statuses[0] > 20, statuses


# ------------------------------------------------------------------ the check can fail


@pytest.mark.parametrize(
    "extra",
    [
        Option("-monitor", raw="stdio", role="serial"),
        Option("-device", "usb-serial", (("id", "usbserial1"),), role="serial"),
        Option("-chardev", "null", (("id", "serial1"),), role="chardev"),
        Option("-chardev", "null", (("id", "more"),), role="chardev"),
    ],
)
def test_an_option_that_was_not_planned_is_seen(extra: Option) -> None:
    plan = planned()
    check.hold(plan)
    with pytest.raises(check.Injected):
        check.hold(replace(plan, options=(*plan.options, extra)))


def test_a_comma_that_was_not_doubled_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = planned(name="a,b=c")
    check.hold(plan)
    monkeypatch.setattr(check, "render", lambda options: [
        word.replace(",,", ",") for option in options for word in option.argv()
    ])  # fmt: skip
    with pytest.raises(check.Injected):
        check.hold(plan)
