"""The article's tables in a terminal."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest

from vmserial.report.table import (
    Cell,
    Table,
    clean,
    collapsed,
    plain,
    problems,
    rate_text,
    show,
    tables,
    width,
    widths,
)
from vmserial.verify.results import (
    GUEST_TO_HOST,
    HOST_TO_GUEST,
    Check,
    Direction,
    Fault,
    FaultKind,
    Verdict,
)


def check(port: str = "serial1", direction: Direction = GUEST_TO_HOST, **more: object) -> Check:
    made = Check(
        "default", "aarch64", "virt", "7.2.22", "debian-12-arm64", "usb", port, direction,
        bytes=10240, seconds=0.01,
    )  # fmt: skip
    return replace(made, **more)  # type: ignore[arg-type]


BOTH = [check(p, way) for p in ("serial1", "serial2") for way in (GUEST_TO_HOST, HOST_TO_GUEST)]
LOSS = check(
    "serial2", HOST_TO_GUEST, mode="together", verdict=Verdict.FAIL, detail="1 byte lost",
    faults=(Fault(FaultKind.TIMEOUT), Fault(FaultKind.LOSS)),
)  # fmt: skip
HOTPLUG = [
    check("serial1", way, case="hot-plug", unplugged="usbserial1", plugged="usbserial1")
    for way in (GUEST_TO_HOST, HOST_TO_GUEST)
] + [check("serial4", case="hot-plug", unplugged="/", plugged="usbserial4", verdict=Verdict.LOST)]


def by_title(checks: list[Check]) -> dict[str, list[list[str]]]:
    return {t.title: [[c.text for c in row] for row in t.rows] for t in tables(checks)}


def test_the_articles_tables() -> None:
    made = by_title([*BOTH, LOSS, *HOTPLUG, check("", "", case="maximum", maximum=60)])
    assert made == {
        "default: aarch64 virt, QEMU 7.2.22": [
            ["debian-12-arm64", "serial1", "usb", "pass", "pass"],
            ["debian-12-arm64", "serial2", "usb", "pass", "fail: loss, timeout"],
        ],
        "hot-plug: aarch64 virt, QEMU 7.2.22": [
            ["debian-12-arm64", "usbserial1", "usbserial1", "pass", "pass"],
            ["debian-12-arm64", "/", "usbserial4", "lost", "-"],
        ],
        "the VM as a whole": [["maximum", "usb", "pass", ""]],
        "summary": [
            ["debian-12-arm64", "usb", "60 proven", "lost",
             "sends 1,000 KiB/s, receives 1,000 KiB/s", "fail"],
        ],
    }  # fmt: skip


def test_columns() -> None:
    columns = {t.title.split(":")[0]: t.columns for t in tables([*BOTH, *HOTPLUG])}
    assert columns == {
        "default": ("guest system", "port", "kind", "send", "receive"),
        "hot-plug": ("guest system", "unplugged id", "plugged id", "send", "receive"),
        "summary": ("guest system", "kind", "ports in one VM", "hot-plug", "rate", "verdict"),
    }


def test_send_is_the_guests_view() -> None:
    (first, _) = tables([check(direction=GUEST_TO_HOST, verdict=Verdict.FAIL)])
    assert [cell.text for cell in first.rows[0][3:]] == ["fail", "-"]
    (first, _) = tables([check(direction=HOST_TO_GUEST, verdict=Verdict.FAIL)])
    assert [cell.text for cell in first.rows[0][3:]] == ["-", "fail"]
    (first, _) = tables([check(direction="", verdict=Verdict.SKIPPED, detail="no\nnode")])
    assert [cell.text for cell in first.rows[0][3:]] == ["skipped: no node"] * 2


def test_summary_without_a_limit_says_what_was_proven() -> None:
    made = by_title([*BOTH, replace(LOSS, port="serial3")])
    assert made["summary"][0][2] == "2 proven, no limit sought"
    assert made["summary"][0][3] == "not tried"
    assert by_title([LOSS])["summary"][0][2] == "-"


@pytest.mark.parametrize(
    ("maximum", "planned", "text"),
    [
        (61, 61, "61 proven, the most that can be planned"),
        (16, 512, "16 proven, the most that were tried; 512 can be planned"),
        (0, 512, "2 proven, not the most; 512 can be planned"),
        (16, 0, "16 proven"),
    ],
)
def test_a_maximum_says_of_what(maximum: int, planned: int, text: str) -> None:
    """The ceiling of a run is no limit of the kind's."""
    whole = check("", "", case="maximum", maximum=maximum, planned=planned)
    assert by_title([*BOTH, whole])["summary"][0][2] == text


def test_a_port_beside_a_hot_plug_stayed_up() -> None:
    """An isa port cannot be hot-plugged, whatever went on around it."""
    stays = [
        check("serial1", way, case="hot-plug", kind="isa", mode="during")
        for way in (GUEST_TO_HOST, HOST_TO_GUEST)
    ]
    made = by_title([*HOTPLUG[:2], *stays])
    assert [row[:4] for row in made["hot-plug: aarch64 virt, QEMU 7.2.22"]] == [
        ["debian-12-arm64", "usbserial1", "usbserial1", "pass"],
        ["debian-12-arm64", "serial1 stays", "serial1 stays", "pass"],
    ]
    assert {row[1]: row[3] for row in made["summary"]} == {"usb": "pass", "isa": "stayed up"}
    bad = replace(stays[0], verdict=Verdict.FAIL)
    assert by_title([bad])["summary"][0][3] == "fail beside it"


def test_a_rate_of_all_at_once_where_no_port_was_timed_alone() -> None:
    made = [check(mode="together", bytes=65536, seconds=0.5), check(bytes=4096, seconds=0.0)]
    rows = by_title(made)["summary"]
    assert rows[0][-2] == "sends 128 KiB/s a port, all at once"
    rows = by_title([*made, check(bytes=65536, seconds=0.25)])["summary"]
    assert rows[0][-2] == "sends 256 KiB/s"


def test_what_failed_of_a_whole_vm_has_no_holes() -> None:
    (line,) = problems([check("", "", case="", mode="start", verdict=Verdict.FAIL, detail="why")])
    assert line.text == "FAIL usb vm start: why"


def test_vms_have_tables_of_their_own() -> None:
    titles = [t.title for t in tables([check(vm="default aarch64 usb"), check(vm="other")])]
    assert titles == [
        "default aarch64 usb, QEMU 7.2.22", "default: other, QEMU 7.2.22", "summary",
    ]  # fmt: skip


def test_nothing() -> None:
    assert tables([]) == []
    assert problems(BOTH) == []


def test_problems_are_named() -> None:
    found = problems([*BOTH, LOSS, HOTPLUG[-1]])
    assert [line.text for line in found] == [
        "FAIL default usb serial2 host->guest together: 1 byte lost",
        "LOST hot-plug usb serial4 guest->host alone / out usbserial4 in of the VM: no detail",
    ]


def test_a_lost_vm_is_told_once() -> None:
    gone = replace(HOTPLUG[-1], vm="one", detail="QEMU ended by SIGSEGV")
    found = problems([gone, replace(gone, port="serial5"), replace(gone, vm="two")])
    assert len(found) == 2
    assert "and 1 more checks of one: QEMU ended by SIGSEGV" in found[0].text


def test_plain_is_aligned() -> None:
    table = Table("t", ("guest", "n"), ((Cell("麒麟"), Cell("1")), (Cell("ascii!"), Cell("22"))))
    assert plain(table) == ("t\n  guest   n\n  ------  --\n  麒麟    1\n  ascii!  22\n")
    assert width("麒麟é") == 5


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [("a\x1b[31mb", "a\\x1b[31mb"), ("a\nb\t", "a b"), ("é麒", "é麒"), ("\x9b0m", "\\x9b0m")],
)
def test_nothing_reaches_the_terminal_raw(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned
    stream = io.StringIO()
    show([check(verdict=Verdict.FAIL, detail=text, guest=text)], stream)
    assert stream.getvalue().replace("\n", "").isprintable()


def test_long_tables_are_collapsed() -> None:
    checks = [check(f"serial{n}") for n in range(1, 241)]
    checks[99] = replace(checks[99], verdict=Verdict.FAIL)
    table = collapsed(tables(checks)[0])
    assert [[c.text for c in row[1:4]] for row in table.rows] == [
        ["serial1 … serial99 (99 ports)", "usb", "pass"],
        ["serial100", "usb", "fail"],
        ["serial101 … serial240 (140 ports)", "usb", "pass"],
    ]
    # A guest shows its ports in an order of its own.
    turned = [*checks[150:], *checks[:150]]
    assert collapsed(tables(turned)[0]).rows == table.rows
    short = tables(checks[:10])[0]
    assert collapsed(short) is short
    hotplug = tables(HOTPLUG * 20)[0]
    assert collapsed(hotplug) is hotplug


def test_rates() -> None:
    assert rate_text(512) == "0.5 KiB/s"
    assert rate_text(1 << 24) == "16,384 KiB/s"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("columns", [200, 120, 80, 60, 40, 24])
def test_no_word_is_broken_in_a_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The columns were made narrower than their words: "skippe d"."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = Terminal()
    skip = check("", "", verdict=Verdict.SKIPPED, detail="the driver of this kind is not there")
    checks = [*BOTH, LOSS, *HOTPLUG, skip, check("", "", case="maximum", maximum=60, planned=512)]
    show(checks, terminal)
    words = re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue())
    shown = {word.removesuffix(":") for word in re.findall(r"[^\s┃│]+", words)}
    for table in tables(checks):
        for text in (*table.columns, *(cell.text for row in table.rows for cell in row)):
            assert {word.removesuffix(":") for word in text.split() if text != "-"} <= shown


def test_columns_get_what_they_need() -> None:
    table = Table("t", ("a", "b"), ((Cell("12 34 56 78"), Cell("12345")),))
    assert widths(table, 20) == [11, 5]
    assert widths(table, 10) == [5, 5]
    assert widths(table, 7) == [2, 5]
    assert widths(table, 6) is None
    assert widths(Table("t", ("a",), ((Cell("x" * 90),),)), 40) == [40]


def test_a_terminal_gets_colours_and_a_pipe_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal, pipe = Terminal(), io.StringIO()
    for stream in (terminal, pipe):
        show([*BOTH, LOSS, check("serial3", guest="[bold]not markup[/]")], stream)
    for words in ("serial1", "fail: loss, timeout", "FAIL default", "[bold]not markup[/]"):
        assert words in terminal.getvalue()
        assert words in pipe.getvalue()
    assert "\x1b[" in terminal.getvalue()
    assert "\x1b" not in pipe.getvalue()
