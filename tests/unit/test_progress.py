"""Progress: lines for logs, a moving line for terminals, nothing where nobody wants it."""

from __future__ import annotations

import io

import pytest

from vmserial import progress


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_plain_says_each_step_once_and_life_now_and_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    stream = io.StringIO()
    reporter = progress.Plain(stream)
    reporter.step("fetching")
    reporter.advance(1, 4, "one.deb")
    now += 5.0
    reporter.advance(2, 4, "two.deb")
    reporter.advance(3, 4, "three.deb")
    now += 5.0
    reporter.advance(7, 0)
    reporter.note("a note")
    reporter.close()
    assert stream.getvalue().splitlines() == [
        "fetching",
        "fetching: 50 % two.deb",
        "fetching: 7",
        "a note",
    ]


def test_live_leaves_finished_steps_and_notes() -> None:
    stream = Terminal()
    reporter = progress.Live(stream)
    reporter.advance(1, 2, "[red]not markup[/]")
    reporter.step("fetching [bold]")
    reporter.note("a note")
    reporter.step("booting")
    reporter.close()
    reporter.close()
    text = stream.getvalue()
    for words in ("fetching [bold] (0.0 s)", "a note", "booting (0.0 s)"):
        assert words in text
    assert text.index("fetching [bold] (") < text.index("booting (")


def test_silent_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    reporter = progress.reporter(quiet=True)
    reporter.step("x")
    reporter.advance(1, 2)
    reporter.note("y")
    reporter.close()
    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_the_live_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", Terminal())
    assert isinstance(progress.reporter(), progress.Live)


def test_a_log_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", io.StringIO())
    assert isinstance(progress.reporter(), progress.Plain)
