"""report.html: complete, self-contained, and nothing in it can break out."""

from __future__ import annotations

import json
import re
import stat
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from report_pages import CHECKS, FACTS, HOST, MADE, REPORT, Reader, parsed, report, vm

from vmserial.errors import UsageError
from vmserial.report import Report, Run, Vm, write_all
from vmserial.report.compare import Change, compare
from vmserial.report.html import headline, page, soft
from vmserial.report.topology import draw
from vmserial.report.views import Book
from vmserial.verify.hostfacts import HostFacts
from vmserial.verify.results import (
    GUEST_TO_HOST,
    NOT_RUN,
    Fault,
    FaultKind,
    RunFacts,
    Verdict,
)


def test_it_is_whole_and_needs_nothing_else() -> None:
    text = page(REPORT)
    reader = parsed(text)
    tags = {tag for tag, _ in reader.tags}
    assert {"h1", "table", "svg", "style", "details"} <= tags
    assert not tags & {"script", "link", "img", "iframe", "object", "base"}
    for _, attributes in reader.tags:
        assert not {"src", "onclick", "onload", "srcset", "style", "action"} & set(attributes)
        # Links lead into the page, or to the log beside it.
        assert re.fullmatch(r"#[a-z0-9-]+|console-large\.log", attributes.get("href") or "#a")
    # The SVG's namespace is a name, not an address that anything loads.
    assert text.replace("http://www.w3.org/2000/svg", "").find("http") == text.replace(
        "http://www.w3.org/2000/svg", ""
    ).find("http-equiv")
    assert "url(" not in text
    assert "@import" not in text
    assert "prefers-color-scheme: dark" in text
    for words in (
        "All 40 checks passed",
        "Example CPU",
        "roomy",
        "7.2.22",
        "12.5 s",
        "guest → host, together",
        "-device usb-serial,id=usbserial9",
        "qemu-xhci",
        "vmserial verify --arch aarch64",
        "a guest's word",
    ):
        assert words in reader.text, words


@pytest.mark.parametrize(
    ("verdicts", "words", "verdict"),
    [
        ([Verdict.PASS, Verdict.PASS], "All 2 checks passed", Verdict.PASS),
        ([Verdict.PASS, Verdict.SKIPPED], "1 check passed; 1 skipped", Verdict.PASS),
        ([Verdict.PASS, Verdict.FAIL, Verdict.LOST],
         "1 of 3 checks failed; 1 lost with the VM", Verdict.FAIL),
        ([Verdict.PASS, Verdict.LOST], "The VM was lost: 1 of 2 checks prove nothing",
         Verdict.LOST),
        ([Verdict.SKIPPED], "Nothing was proven; 1 skipped", Verdict.SKIPPED),
        ([], "Nothing was proven", Verdict.SKIPPED),
    ],
)  # fmt: skip
def test_headline(verdicts: list[Verdict], words: str, verdict: Verdict) -> None:
    made = [replace(CHECKS[0], verdict=v, detail="why") for v in verdicts]
    assert headline(made) == (words, verdict)
    assert words in parsed(page(report(made))).text


def test_a_failure_is_seen_everywhere() -> None:
    bad = replace(
        CHECKS[3], verdict=Verdict.FAIL, detail="16 bytes lost at offset 5000",
        faults=(Fault(FaultKind.LOSS),),
    )  # fmt: skip
    assert bad.port == "serial1"
    made = draw(MADE, {}, {"serial1": Verdict.FAIL})
    text = page(report((*CHECKS[:3], bad, *CHECKS[4:]), replace(vm(MADE), picture=made)))
    reader = parsed(text)
    assert "1 of 40 checks failed" in reader.text
    assert "FAIL large usb: 16 bytes lost at offset 5000" in reader.text
    assert "fail: loss" in reader.text
    chips = [a for t, a in reader.tags if t == "li" and "chip fail" in (a.get("class") or "")]
    # One where it says what is wrong, one in the VM's matrix.
    assert len(chips) == 2
    titles = [a for t, a in reader.tags if t == "a" and "16 bytes lost" in (a.get("title") or "")]
    assert [a["href"] for a in titles] == ["#c4", "#c4"]
    assert 'class="node fail"' in text
    assert 'class="node fail"' not in page(REPORT)


def test_matrix_has_a_cell_for_each_port_direction_and_mode() -> None:
    (matrix,) = Book(REPORT).sections[0].matrices
    assert [row.title for row in matrix.rows] == [
        "guest → host, alone", "host → guest, alone",
        "guest → host, together", "host → guest, together",
    ]  # fmt: skip
    assert all([m.label for m in row.marks] == [str(n) for n in range(10)] for row in matrix.rows)
    cycles = [replace(CHECKS[0], case="hot-plug", unplugged="a", plugged="a")] * 3
    cycles[1] = replace(cycles[1], verdict=Verdict.FAIL, detail="cycle 2")
    (matrix,) = Book(report(cycles)).sections[0].matrices
    (mark,) = matrix.rows[0].marks
    assert (mark.label, mark.verdict) == ("a → a", Verdict.FAIL)
    assert mark.story.startswith("3 checks, ")
    assert "cycle 2" in mark.story


# ------------------------------------------------------------------ what leads where


def ids(reader: Reader) -> list[str]:
    return [str(a["id"]) for _, a in reader.tags if a.get("id")]


def test_every_link_in_the_page_has_its_end() -> None:
    bad = replace(CHECKS[5], verdict=Verdict.FAIL, detail="why")
    rest = replace(bad, vm="", verdict=Verdict.SKIPPED)
    twice = (*CHECKS, bad, rest, CHECKS[0], CHECKS[0])
    one = Run(twice, HOST, FACTS, (vm(MADE),), "one")
    two = Run(twice, HOST, FACTS, (vm(MADE),), "two")
    reader = parsed(page(Report((one, two), compare([one, two], [replace(one, checks=CHECKS)]))))
    found = ids(reader)
    assert len(found) == len(set(found))
    links = {str(a["href"]) for _, a in reader.tags if str(a.get("href", "")).startswith("#")}
    assert {link.removeprefix("#") for link in links} <= set(found)
    assert len([name for name in found if re.fullmatch(r"c\d+", name)]) == 2 * len(twice)


def test_a_check_leads_to_its_diagram_its_log_and_its_command() -> None:
    text = page(REPORT)
    row = re.search(r'<tr id="c7".*?</tr>', text, re.DOTALL)
    assert row is not None
    assert re.findall(r'href="([^"]+)"', row[0]) == ["#vm1-map", "#vm1-log", "#vm1-again"]
    found = ids(parsed(text))
    assert {"vm1-map", "vm1-log", "vm1-again"} <= set(found)
    assert "vmserial verify --arch aarch64 --case large --seed 7" in text
    assert 'href="console-large.log"' in text


def test_what_is_wrong_comes_first_and_once_for_all_ports() -> None:
    bad = [
        replace(c, verdict=Verdict.FAIL, detail=f"nothing of {c.port} came; chardev={c.port}")
        for c in CHECKS if c.direction == GUEST_TO_HOST and c.kind == "usb"
    ]  # fmt: skip
    made = report([*CHECKS, *bad], vm(MADE))
    (problem,) = Book(made).problems
    assert problem.words == "nothing of the port came; chardev=serialN"
    assert len(problem.chips) == len(bad)
    text = page(made)
    places = [text.index(f'id="{name}"') for name in ("summary", "wrong", "contents", "filter")]
    assert places == sorted(places)
    assert places[-1] < text.index('id="vm1"')


def test_what_became_of_what_is_told_once_a_vm() -> None:
    bad = tuple(replace(c, verdict=Verdict.FAIL, detail=f"no {c.port}") for c in CHECKS)
    gone = replace(CHECKS[0], port="serial77")
    now = report([*bad], vm(MADE)).runs
    compared = compare(now, [replace(now[0], checks=(*CHECKS, gone))])
    made = Report(now, compared)
    book = Book(made)
    (uart, usb) = book.changed(compared.of(Change.REGRESSED))
    assert (uart.words, len(uart.chips)) == ("no serial0", 4)
    assert (usb.title, usb.story, usb.words) == ("large usb", "pass → fail", "no the port")
    assert len(uart.chips) + len(usb.chips) == len(CHECKS)
    assert {mark.target for mark in usb.chips} <= set(ids(parsed(page(made))))
    # What is gone has no place in the page.
    (lost,) = book.changed(compared.of(Change.GONE))
    assert [mark.target for mark in lost.chips] == [""]


def test_a_lost_vm_is_one_problem() -> None:
    gone = [replace(c, verdict=Verdict.LOST, detail="panic") for c in CHECKS]
    (problem,) = Book(report(gone, vm(MADE))).problems
    assert (problem.verdict, problem.words, len(problem.chips)) == (Verdict.LOST, "panic", 40)


def test_what_was_skipped_says_why() -> None:
    skip = replace(CHECKS[0], verdict=Verdict.SKIPPED, detail="no driver", vm="", port="")
    text = parsed(page(report([*CHECKS, skip], vm(MADE)))).text
    assert "What was skipped or cannot be, and why" in text
    assert "SKIPPED large uart: no driver" in text


# ------------------------------------------------------------------ the call and the end


def test_how_it_was_called_is_in_the_page() -> None:
    text = parsed(page(report(CHECKS, call=("verify", "a b.conf", "--out", "o")))).text
    assert "vmserial verify 'a b.conf' --out o" in text
    assert "--seed 7" in text
    assert "came through a pipe" not in text
    assert "came through a pipe" in page(report(CHECKS, call=("verify", "-")))


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"interrupted": True}, "Interrupted: 1 of 40 checks were not run."),
        ({"ended": ""}, "The run was killed"),
        ({}, ""),
    ],
)
def test_a_run_that_did_not_come_to_its_end_says_so(facts: dict[str, Any], words: str) -> None:
    left = replace(CHECKS[0], verdict=Verdict.SKIPPED, detail=NOT_RUN)
    text = parsed(page(report((left, *CHECKS[1:]), **facts))).text
    assert words in text
    assert ("Interrupted" in text or "killed" in text) == bool(words)


# ------------------------------------------------------------------ words


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("skipped", "skipped"),
        ("no such driver here", "no such driver here"),
        ("/dev/virtio-ports/serial3", "/<wbr>dev/<wbr>virtio-<wbr>ports/<wbr>serial3"),
        ("<b>&amp;", "&lt;b&gt;&amp;amp;"),
        ("a" * 29, f'<span class="any">{"a" * 29}</span>'),
        (f"{'a' * 12},{'b' * 12}", f"{'a' * 12},<wbr>{'b' * 12}"),
    ],
)
def test_a_line_ends_between_words(text: str, made: str) -> None:
    assert str(soft(text)) == made


def test_no_rule_breaks_ordinary_words() -> None:
    """``anywhere`` makes a column as narrow as a letter: "skippe d"."""
    sheet = re.search(r"<style>(.*)</style>", page(REPORT), re.DOTALL)
    assert sheet is not None
    assert re.findall(r"([^{}]+)\{[^{}]*anywhere", sheet[1]) != []
    for selector in re.findall(r"([^{}]+)\{[^{}]*anywhere", sheet[1]):
        assert selector.strip() in {".any", ".chip a", "pre.command"}
    assert "word-break" not in sheet[1]


def test_what_is_wider_than_a_telephone_says_so() -> None:
    text = page(REPORT)
    assert text.count('<div class="scroll') == text.count('class="hint"')
    assert re.search(r"@container \(max-width: \d+rem\) \{\s*\.hint \{ display: block; \}", text)


def test_four_hundred_checks_are_made_and_weigh_little() -> None:
    many = [
        replace(c, vm=f"VM {n}", port=f"serial{n + 4 * m}")
        for n in range(4) for m in range(3) for c in CHECKS
    ]  # fmt: skip
    assert len(many) == 480
    begin = time.process_time()
    text = page(report(many, *(replace(vm(MADE), title=f"VM {n}") for n in range(4))))
    assert time.process_time() - begin < 5
    assert len(text) < 1_000_000


# ------------------------------------------------------------------ nothing breaks out


EVIL = "</title></style><script>alert(1)</script>\"'<b onload=x>{{7*7}}\x00\x1b\ud800"


def test_nothing_breaks_out() -> None:
    made = replace(
        MADE,
        guest=replace(MADE.guest, name=EVIL),
        machine=replace(MADE.machine, name=EVIL, machine_type=EVIL),
        warnings=(EVIL,),
        assumptions=(EVIL,),
    )
    evil = replace(
        CHECKS[0], case=EVIL, kind=EVIL, port=EVIL, guest=EVIL, qemu=EVIL, mode=EVIL,
        detail=EVIL, vm=EVIL, node=EVIL, verdict=Verdict.FAIL,
    )  # fmt: skip
    shown = Vm(
        EVIL, EVIL, EVIL, draw(made, {"serial1": EVIL}, {"serial1": Verdict.FAIL}, EVIL),
        EVIL, EVIL, (EVIL,), (EVIL,), (EVIL,), (EVIL,), EVIL, EVIL,
    )  # fmt: skip
    run = Run(
        (evil, replace(evil, verdict=Verdict.SKIPPED), replace(evil, verdict=Verdict.LOST)),
        HostFacts(EVIL), RunFacts(1, (EVIL,), EVIL, EVIL, EVIL), (shown,), EVIL,
    )  # fmt: skip
    before = replace(run, checks=(replace(evil, verdict=Verdict.PASS), replace(evil, port="x")))
    text = page(Report((run, run), compare([run, run], [before])))
    reader = parsed(text)
    assert not {tag for tag, _ in reader.tags} & {"script", "b onload=x"}
    assert not any("onload" in attributes for _, attributes in reader.tags)
    assert "\x00" not in text
    assert "\x1b" not in text
    assert "{{7*7}}" in reader.text
    text.encode()
    # No word of theirs is a class, an id or a rule.
    for _, attributes in reader.tags:
        assert re.fullmatch(r"[a-z0-9 -]*", attributes.get("class") or "")
        assert re.fullmatch(r"[a-z0-9-]*", attributes.get("id") or "")


# ------------------------------------------------------------------ files


def test_write_all(tmp_path: Path) -> None:
    out = tmp_path / "a" / "b"
    paths = write_all(out, REPORT)
    assert [path.name for path in paths] == ["results.jsonl", "junit.xml", "report.html"]
    assert sorted(out.iterdir()) == sorted([*paths, out / "vms.json"])
    lines = [json.loads(line) for line in paths[0].read_text().splitlines()]
    assert len(lines) == 40
    assert lines[0]["host"]["cpu"] == "Example CPU"
    assert ET.parse(paths[1]).getroot().get("tests") == "40"
    assert paths[2].read_text().startswith("<!DOCTYPE html>")
    assert stat.S_IMODE(paths[2].stat().st_mode) == 0o644
    write_all(out, report(()))
    assert paths[0].read_text() == ""


def test_write_all_says_why_not(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError) as caught:
        write_all(tmp_path / "file" / "out", REPORT)
    assert "--out" in caught.value.hint
