"""Each input that was once answered wrongly: what doctor says of it now, named after its case."""

from __future__ import annotations

import ast
import json
import re
import shutil
from pathlib import Path

import case_inputs
import pytest
from case_inputs import CASES, FOUND, INPUTS

from vmserial.cli.main import run
from vmserial.rules import base

ALL = [
    *(f"A{n}" for n in range(1, 17)), *(f"B{n}" for n in range(1, 14)),
    *(f"C{n}" for n in range(1, 15)), *(f"D{n}" for n in range(1, 12)), "E", "F",
]  # fmt: skip
"""The cases; what has no input of a VM's (an error text, a call) has a test of its own."""


LOST = "output-lost-while-detached"
"""A note that most inputs have."""


def said(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return what doctor finds in an input, notes as well."""
    if path.suffix == ".conf":
        path = Path(shutil.copy(path, tmp_path / "142.conf"))
    code = run(["doctor", "--json", str(path)])
    answer = capsys.readouterr()
    assert code in {0, 1}, answer.err
    return sorted({finding["id"] for finding in json.loads(answer.out)} - {LOST})


@pytest.mark.parametrize("path", INPUTS, ids=lambda path: path.name)
def test_doctor_says_what_is_right_of(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    case_inputs.emulator(tmp_path, case_inputs.arch(path))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr("vmserial.host.look", lambda *_: case_inputs.host(path))
    assert said(path, tmp_path, capsys) == FOUND[path.name]


def test_a_rule_that_is_silent_is_seen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(base, "applies", lambda rule, _: rule.id != "stdio-twice")
    with pytest.raises(AssertionError):
        test_doctor_says_what_is_right_of(CASES / "A1.args", tmp_path, capsys, monkeypatch)


def test_each_input_has_its_answer_and_each_case_its_test() -> None:
    assert FOUND.keys() == {path.name for path in INPUTS}
    tests = [
        node.name for path in Path(__file__).parents[1].rglob("test_*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]  # fmt: skip
    of = {path.stem.partition("-")[0] for path in INPUTS}
    of |= {match[1].upper() for name in tests if (match := re.match(r"test_([a-f]\d*)_", name))}
    assert set(ALL) <= of
