"""What the benchmarks share; that they measure is theirs, that they can be run is shown here."""

from __future__ import annotations

import ast
import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

HERE = Path(__file__).parents[2] / "benchmarks"
NO_BENCHMARK = {"common", "table"}


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return benchmarks/common.py."""
    monkeypatch.syspath_prepend(str(HERE))
    monkeypatch.delitem(sys.modules, "common", raising=False)
    return importlib.import_module("common")


def test_the_ratio_is_the_median_of_the_rounds_own(module: ModuleType) -> None:
    # One slow round of both, as of a machine that is busy for a while.
    row = module.Row.of("x", "ms", [1.0, 100.0, 2.0], peer="p", base=[2.0, 200.0, 1.0])
    assert (row.figure, row.base, row.ratio) == (2.0, 2.0, 0.5)


def test_a_table_has_a_line_for_each_row_and_its_columns_stand_below_each_other(
    module: ModuleType,
) -> None:
    rows = [module.Row("short", 1.5, "ms"), module.Row("a longer name", 20, "s", "p", 10, 2.0)]
    head, *lines = module.table(rows).splitlines()
    assert len(lines) == 2
    at = head.index("beside")
    assert lines[1][at : at + 1] == "p"
    assert lines[1].endswith("2")


def test_what_is_compared_runs_in_turn(module: ModuleType) -> None:
    order: list[str] = []

    def measure(name: str) -> float:
        order.append(name)
        return 1.0

    taken = module.in_turn({"a": lambda: measure("a"), "b": lambda: measure("b")}, 2)
    assert order == ["a", "b", "b", "a"]
    assert taken == {"a": [1.0, 1.0], "b": [1.0, 1.0]}


def test_a_process_that_fails_is_no_figure(module: ModuleType) -> None:
    assert module.spent([sys.executable, "-c", "pass"]).processor > 0
    with pytest.raises(SystemExit, match=r"ended with 3.*why"):
        module.spent([sys.executable, "-c", "print('why'); raise SystemExit(3)"])


def test_an_earlier_build_that_is_not_here_is_said_and_today_is_measured(
    module: ModuleType,
) -> None:
    with module.builds("0" * 40) as both:
        row = both.compared("x", lambda build: float(build is both.today), rounds=3)
    assert row.figure == 1.0
    assert row.ratio is None
    assert "not in this clone" in row.peer


def test_each_build_imports_its_own_tree(module: ModuleType) -> None:
    code = "import vmserial, sys; print(float(vmserial.__file__.startswith(sys.argv[1])))"
    with module.builds("HEAD") as both:
        assert both.today.seconds(code, str(both.today.src)) == 1.0
        if both.earlier is not None:  # no repository: a source archive
            assert both.earlier.src != both.today.src
            assert both.earlier.seconds(code, str(both.earlier.src)) == 1.0


@pytest.mark.parametrize("name", sorted(p.stem for p in HERE.glob("*.py")))
def test_each_benchmark_gives_rows(name: str) -> None:
    tree = ast.parse((HERE / f"{name}.py").read_text())
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert ("rows" in functions) is (name not in NO_BENCHMARK)
