"""report.html: complete, self-contained, and nothing in it can break out."""

from __future__ import annotations

import base64
import hashlib
import html.parser
import json
import re
import stat
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from plans import ROOMY, binary, machine

from vmserial.errors import UsageError
from vmserial.model import Plan
from vmserial.options import pretty, render
from vmserial.planning import planner
from vmserial.report import Report, Run, Vm, write_all
from vmserial.report.compare import Change, compare
from vmserial.report.html import headline, page, soft
from vmserial.report.topology import CHARACTER, WIDE, Picture, draw, shorten
from vmserial.report.views import Book
from vmserial.verify.results import (
    GUEST_TO_HOST,
    HOST_TO_GUEST,
    NOT_RUN,
    Check,
    Fault,
    FaultKind,
    HostFacts,
    RunFacts,
    Verdict,
)


def plan(ports: int, kind: str = "usb", arch: str = "aarch64", hotplug: bool = False) -> Plan:
    made = planner.plan(
        machine(arch, ports, kind, hotplug=hotplug), binary(arch), ROOMY, control=True
    )
    assert not made.refusals
    return made


def vm(made: Plan, title: str = "large aarch64 usb") -> Vm:
    nodes = {a.port.name: a.node.replace("*", str(n)) for n, a in enumerate(made.assignments)}
    return Vm(
        title, "7.2.22", "roomy", draw(made, nodes, {}, title),
        pretty(["qemu-system-aarch64", *render(made.options)]),
        again="vmserial verify --arch aarch64 --case large --seed 7",
        warnings=made.warnings, assumptions=made.assumptions, notes=("its disks",),
        log="[    0.1] Linux\n<b>a guest's word</b>\x1b[31m\n", log_file="console-large.log",
    )  # fmt: skip


def report(checks: Sequence[Check], *vms: Vm, **facts: Any) -> Report:
    return Report((Run(tuple(checks), HOST, replace(FACTS, **facts), vms),))


def checks(made: Plan, title: str = "large aarch64 usb") -> list[Check]:
    return [
        Check("large", "aarch64", "virt", "7.2.22", "roomy", a.kind, a.port.name, way,
              bytes=1000, seconds=0.1, mode=mode, vm=title)
        for mode in ("alone", "together")
        for a in made.assignments
        for way in (GUEST_TO_HOST, HOST_TO_GUEST)
    ]  # fmt: skip


class Reader(html.parser.HTMLParser):
    """Checks nesting, and keeps tags, attributes and texts."""

    VOID = frozenset({"meta", "br", "wbr", "link", "img", "input", "hr"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def parsed(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader


HOST = HostFacts("Example CPU", 2, 4096, "6.1", "3.11", (0.1, 0.2, 0.3), "tcg")
MADE = plan(10)
FACTS = RunFacts(
    7, ("verify", "--arch", "aarch64"), "0.1", "2026-11-22T18:00:00", "2026-11-22T18:00:13", 12.5
)
CHECKS = tuple(checks(MADE))
REPORT = report(CHECKS, vm(MADE))


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
        replace(c, verdict=Verdict.FAIL, detail=f"nothing of {c.port} came")
        for c in CHECKS if c.direction == GUEST_TO_HOST and c.kind == "usb"
    ]  # fmt: skip
    made = report([*CHECKS, *bad], vm(MADE))
    (problem,) = Book(made).problems
    assert problem.words == "nothing of the port came"
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
    assert "What was skipped, and why" in text
    assert "SKIPPED large uart: no driver" in text


# ------------------------------------------------------------------ the filter


def shown(text: str, chosen: Sequence[str], failed: bool) -> set[str]:
    """Return the ids of what the style sheet leaves visible, by its own rules."""
    reader = parsed(text)
    sheet = re.search(r"<style>(.*)</style>", text, re.DOTALL)
    assert sheet is not None
    rules = re.findall(
        r"^body((?::has\([^{]*?:checked\))+) \.x:not\(\.([a-z0-9]+)\) \{ display: none; \}$",
        sheet[1], re.MULTILINE,
    )  # fmt: skip
    assert rules
    on = {f":has(option[value={value}]:checked)" for value in chosen}
    on |= {":has(#only-failed:checked)"} if failed else set()
    needed = [cls for cond, cls in rules if set(re.findall(r":has\(.*?\)", cond)) <= on]
    return {
        str(a["id"])
        for _, a in reader.tags
        if a.get("id")
        and ("x" not in str(a.get("class")).split() or set(needed) <= set(str(a["class"]).split()))
    }


def test_the_filter_shows_what_was_chosen_and_hides_the_rest() -> None:
    bad = replace(CHECKS[5], verdict=Verdict.FAIL, detail="why")
    assert (bad.port, bad.kind) == ("serial2", "usb")
    lost = replace(CHECKS[0], verdict=Verdict.LOST, vm="another VM", detail="gone")
    made = report([*CHECKS, bad, lost], vm(MADE))
    text = page(made)
    number = {name: f"p{n}" for name, n in Book(made).names.ports.items()}
    kind = {name: f"k{n}" for name, n in Book(made).names.kinds.items()}
    rows = {f"c{n}": c for n, c in enumerate(made.checks, 1)}

    def visible(*chosen: str, failed: bool = False) -> list[Check]:
        return [rows[name] for name in sorted(shown(text, chosen, failed) & rows.keys(),
                                              key=lambda name: int(name[1:]))]  # fmt: skip

    assert visible() == list(rows.values())
    assert visible(failed=True) == [bad, lost]
    assert {c.port for c in visible(number["serial2"])} == {"serial2"}
    assert len(visible(number["serial2"])) == 5
    assert {c.kind for c in visible(kind["uart"])} == {"uart"}
    assert visible(number["serial2"], failed=True) == [bad]
    assert visible(kind["uart"], failed=True) == [lost]
    assert visible(number["serial2"], kind["uart"]) == []
    # A VM without any of what was chosen goes as a whole.
    assert {"vm1", "vm2"} <= shown(text, [], True)
    assert "vm2" not in shown(text, [number["serial2"]], True)
    for name, value in {**number, **kind}.items():
        assert f'<option value="{value}">{name}</option>' in text


def test_the_filter_needs_neither_a_script_nor_another_host() -> None:
    """And no inline style but the one whose digest the policy names."""
    text = page(REPORT)
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    (sheet,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(sheet.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )


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
    begin = time.monotonic()
    text = page(report(many, *(replace(vm(MADE), title=f"VM {n}") for n in range(4))))
    assert time.monotonic() - begin < 5
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


# ------------------------------------------------------------------ the picture


def picture(made: Plan) -> Picture:
    return draw(made, {}, {})


PLANS = [
    ("usb", 1, "aarch64", False), ("usb", 10, "aarch64", True), ("usb", 61, "aarch64", False),
    ("pci", 10, "aarch64", True), ("pci", 14, "x86_64", False), ("pci-4x", 9, "aarch64", False),
    ("virtio", 24, "aarch64", False), ("virtio", 25, "aarch64", False),
    ("virtio", 241, "aarch64", False), ("virtconsole", 8, "x86_64", False),
    ("auto", 30, "x86_64", False), ("auto", 2, "aarch64", False), ("usb", 0, "aarch64", False),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "ports", "arch", "hotplug"), PLANS)
def test_picture_shows_every_port_inside_its_frame(
    kind: str, ports: int, arch: str, hotplug: bool
) -> None:
    made = plan(ports, kind, arch, hotplug)
    result = picture(made)
    texts = [text.text for text in result.texts]
    for assignment in made.assignments:
        assert assignment.port.name in texts
        device = assignment.device
        titles = [b.title for b in result.boxes if b.title.startswith(f"{assignment.port.name}:")]
        assert titles
        assert any(str(assignment.identity) in title for title in titles)
        if device and ports <= WIDE:
            assert any(f"{device.driver} {device.id}"[:8] in text for text in texts)
    for box in [*result.panels, *result.boxes]:
        assert box.x >= 0
        assert box.y >= 0
        assert box.x + box.width <= result.width
        assert box.y + box.height <= result.height
    for text in result.texts:
        if text.turn or text.style in ("head", "column"):
            continue
        size = len(text.text) * CHARACTER
        left = text.x - {"start": 0, "middle": size / 2, "end": size}[text.anchor]
        assert left >= 0
        assert left + size <= result.width


@pytest.mark.parametrize(("kind", "ports", "arch", "hotplug"), PLANS)
def test_boxes_of_a_kind_do_not_overlap(kind: str, ports: int, arch: str, hotplug: bool) -> None:
    result = picture(plan(ports, kind, arch, hotplug))
    for style in ("host", "device", "controller", "node", "row"):
        boxes = [box for box in result.boxes if box.style.split()[0] == style]
        for number, one in enumerate(boxes):
            for two in boxes[number + 1 :]:
                assert (
                    one.x + one.width <= two.x
                    or two.x + two.width <= one.x
                    or one.y + one.height <= two.y
                    or two.y + two.height <= one.y
                )


def test_controllers_group_their_ports() -> None:
    result = picture(plan(61, "usb"))
    controllers = [b.title for b in result.boxes if b.style == "controller"]
    assert sum("qemu-xhci" in title for title in controllers) == 4
    assert [t.text for t in result.texts].count("15 ports") == 4


def test_real_node_and_verdict_are_shown() -> None:
    result = draw(MADE, {"serial1": "/dev/ttyUSB7"}, {"serial1": Verdict.FAIL}, "a vm")
    texts = {text.text: text.style for text in result.texts}
    assert texts["ttyUSB7"] == "name"
    assert texts["ttyUSB*"] == "name expected"
    assert texts["✗"] == "mark fail"
    (box,) = [b for b in result.boxes if "found as /dev/ttyUSB7" in b.title]
    assert box.style == "node fail"
    assert box.title.startswith("serial1: fail; expected /dev/ttyUSB*, known as usb:serial1")
    assert result.title.startswith("a vm: 10 serial ports")


def test_a_port_that_comes_later_is_dashed() -> None:
    made = machine("aarch64", 3, "usb", hotplug=True)
    late = replace(made, ports=(*made.ports[:2], replace(made.ports[2], state="unplugged")))
    result = picture(planner.plan(late, binary(), ROOMY))
    assert [b.style for b in result.boxes].count("device absent") == 1
    assert [line.style for line in result.lines].count("wire dashed") == 1


def test_svg_is_well_formed() -> None:
    (svg,) = re.findall(r"<svg.*?</svg>", page(REPORT), re.DOTALL)
    root = ET.fromstring(svg)
    assert root.get("role") == "img"
    assert root.get("aria-label")


def test_shorten() -> None:
    assert shorten("abcdef", 6) == "abcdef"
    assert shorten("abcdefghij", 7) == "…efghij"
    assert shorten("abcdefghijklmnop", 12) == "abc…ijklmnop"
    assert all(len(shorten("x" * 50, size)) == size for size in range(3, 50))


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
