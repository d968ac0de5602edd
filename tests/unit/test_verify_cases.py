"""The cases that can be named: a file each, and every list of them is derived."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_qemu.environment import environment, request

from vmserial.cli import main
from vmserial.errors import UsageError
from vmserial.model import Machine
from vmserial.verify import cases
from vmserial.verify.cases import Planned, planned
from vmserial.verify.cases.data import DataCase
from vmserial.verify.request import VerifyRequest
from vmserial.verify.topologies import Builder, ports

ARM = Machine("aarch64", ())


def test_the_cases_and_their_order() -> None:
    assert list(planned()) == ["input", "default", "large", "maximum", "hot-plug", "refused"]
    assert VerifyRequest(ARM).chosen_cases == ("default", "large", "hot-plug")
    assert VerifyRequest(ARM, given=True).chosen_cases == ("input",)
    asked = VerifyRequest(ARM, cases=("hot-plug", "default"))
    assert asked.chosen_cases == ("default", "hot-plug")


def test_each_case_is_a_file_that_names_it() -> None:
    assert len({case.order for case in planned().values()}) == len(planned())
    for name, case in planned().items():
        assert case.name == name
        assert case.about


class Pair(Planned):
    """What a new file would hold."""

    name = "pair"
    about = "two ports"
    order = 9

    def add(self, builder: Builder, kind: str) -> None:
        builder.add(kind, ports(kind, 1), [DataCase(self.name, (1,), (1,))])


def test_a_new_case_needs_no_other_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is in the request, the VMs, the words of --case and the help."""
    (tmp_path / "pair.py").write_text("from test_verify_cases import Pair\nCASE = Pair()\n")
    monkeypatch.setattr(cases, "__path__", [*cases.__path__, str(tmp_path)])
    planned.cache_clear()
    try:
        asked = request(cases=("pair",))
        made, _ = Builder(asked, environment(tmp_path)).build()
        assert [case.name for one in made for case in one.cases] == ["pair"]
        assert main.run(["verify", "--help"]) == 0
        assert "two ports" in capsys.readouterr().out
        assert main.run(["verify", "--case", "pears"]) == 2
        assert "refused, pair" in capsys.readouterr().err
    finally:
        monkeypatch.undo()
        planned.cache_clear()
    with pytest.raises(UsageError, match="no case 'pair'"):
        request(cases=("pair",))


def test_the_help_marks_what_is_usual(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["verify", "--help"]) == 0
    text = capsys.readouterr().out
    for name, case in planned().items():
        assert f"  {name}{' *' if case.usual else ''}  " in text
