"""Tables and words: aligned, short, and never obeyed by a terminal."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmserial.cli import output
from vmserial.model import refusal


def test_a_table_is_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(("port", "type"), [("serial0", "uart"), ("serial10", "usb")])
    assert capsys.readouterr().out == "port      type\nserial0   uart\nserial10  usb\n"


def test_a_table_without_rows_has_its_head(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(("port", "type"), [])
    assert capsys.readouterr().out == "port  type\n"


def test_a_row_must_have_all_cells() -> None:
    with pytest.raises(ValueError, match="zip"):
        output.print_table(("port", "type"), [("serial0",)])


def test_a_terminal_gets_a_drawn_table(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    output.print_table(("port", "what"), [("serial0", "[bold]not markup[/] \x1b[2J")])
    text = capsys.readouterr().out
    assert "━" in text or "─" in text
    assert "[bold]not markup[/] \\x1b[2J" in text


def test_styles_are_for_terminals(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    output.headline("Know", ": this")
    assert capsys.readouterr().out == "Know: this\n"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    output.headline("Know", ": this")
    assert capsys.readouterr().out == "\x1b[1mKnow\x1b[0m: this\n"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, grün, 串口", "plain, grün, 串口"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("\udcff", "\\udcff"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert output.printable(text) == shown


@given(st.text())
def test_nothing_that_is_shown_controls_a_terminal(text: str) -> None:
    shown = output.printable(text)
    assert all(char.isprintable() or char in "\n\t" for char in shown)


@given(st.dictionaries(st.text(), st.text()))
def test_json_is_ascii_and_reads_back(data: dict[str, str]) -> None:
    import contextlib
    import io

    stream = io.StringIO()
    with contextlib.redirect_stdout(stream):
        output.print_json(data)
    assert stream.getvalue().isascii()
    assert json.loads(stream.getvalue()) == data


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ([], ""),
        (["serial0"], "serial0"),
        (["serial2", "serial1", "serial3"], "serial1-serial3"),
        (["serial0", "serial2", "serial3", "serial10"], "serial0, serial2-serial3, serial10"),
    ],
)
def test_ranges(names: list[str], text: str) -> None:
    assert output.ranges(names) == text


def test_a_section_without_lines_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_section("Know", [])
    assert capsys.readouterr().out == ""
    output.print_section("Know", ["one"])
    assert capsys.readouterr().out == "\nKnow\n  one\n"


def test_what_differs_only_in_the_port_is_one_group() -> None:
    items = [
        refusal("full", f"no room for serial{n} any more", "ask for fewer", ports=(f"serial{n}",))
        for n in (1, 2, 10)
    ]
    other = refusal("full", "no room for serial3 here", "ask for fewer", ports=("serial3",))
    whole = refusal("full", "no room at all", "ask for fewer")
    groups = output.alike([*items, other, whole], lambda r: (r.id, r.happens, r.fix))
    assert groups == [items, [other], [whole]]


def test_long_items_are_folded_on_a_terminal_only(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "one two three-four " * 6
    output.item(text.strip(), "  do: ")
    assert capsys.readouterr().out == f"  do: {text.strip()}\n"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    output.item(text.strip(), "  do: ")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 2
    assert all(len(line) <= 40 for line in lines)
    assert lines[0].startswith("  do: one")
    assert all(line.startswith("      ") for line in lines[1:])
