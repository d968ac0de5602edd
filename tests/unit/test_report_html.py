"""report.html: complete, self-contained, and nothing in it can break out."""

from __future__ import annotations

import html.parser
import json
import re
import stat
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from plans import ROOMY, binary, machine

from vmserial.errors import UsageError
from vmserial.model import Plan
from vmserial.options import render
from vmserial.planning import planner
from vmserial.report import Report, Vm, write_all
from vmserial.report.html import headline, matrices, page
from vmserial.report.topology import CHARACTER, WIDE, Picture, draw, shorten
from vmserial.verify.results import (
    GUEST_TO_HOST,
    HOST_TO_GUEST,
    Check,
    Fault,
    FaultKind,
    HostFacts,
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
    return Vm(title, made, ["qemu-system-aarch64", *render(made.options)], nodes)


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

    VOID = frozenset({"meta", "br", "link", "img", "input", "hr"})

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
REPORT = Report(tuple(checks(MADE)), HOST, (vm(MADE),), "0.1", "2026-11-22T18:00:00", 12.5)


def test_it_is_whole_and_needs_nothing_else() -> None:
    text = page(REPORT)
    reader = parsed(text)
    tags = {tag for tag, _ in reader.tags}
    assert {"h1", "table", "svg", "style", "details"} <= tags
    assert not tags & {"script", "link", "img", "iframe", "object", "base"}
    for _, attributes in reader.tags:
        assert not {"src", "href", "onclick", "onload", "srcset"} & set(attributes)
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
    made = [replace(REPORT.checks[0], verdict=v, detail="why") for v in verdicts]
    assert headline(made) == (words, verdict)
    assert words in parsed(page(Report(tuple(made), HOST))).text


def test_a_failure_is_seen_everywhere() -> None:
    bad = replace(
        REPORT.checks[3], verdict=Verdict.FAIL, detail="16 bytes lost at offset 5000",
        faults=(Fault(FaultKind.LOSS),),
    )  # fmt: skip
    assert bad.port == "serial1"
    text = page(replace(REPORT, checks=(*REPORT.checks[:3], bad, *REPORT.checks[4:])))
    reader = parsed(text)
    assert "1 of 40 checks failed" in reader.text
    assert "FAIL large usb serial1 host->guest alone: 16 bytes lost at offset 5000" in reader.text
    assert "fail: loss" in reader.text
    chips = [a for t, a in reader.tags if t == "li" and a.get("class") == "chip fail"]
    assert len(chips) == 1
    assert "16 bytes lost" in str(chips[0]["title"])
    assert 'class="node fail"' in text
    assert 'class="node fail"' not in page(REPORT)


def test_matrix_has_a_cell_for_each_port_direction_and_mode() -> None:
    (matrix,) = matrices(REPORT.checks)
    assert [row.title for row in matrix.rows] == [
        "guest → host, alone", "host → guest, alone",
        "guest → host, together", "host → guest, together",
    ]  # fmt: skip
    assert all([m.label for m in row.marks] == [str(n) for n in range(10)] for row in matrix.rows)
    cycles = [replace(REPORT.checks[0], case="hot-plug", unplugged="a", plugged="a")] * 3
    cycles[1] = replace(cycles[1], verdict=Verdict.FAIL, detail="cycle 2")
    (matrix,) = matrices(cycles)
    (mark,) = matrix.rows[0].marks
    assert (mark.label, mark.verdict) == ("a → a", Verdict.FAIL)
    assert mark.story.startswith("3 checks, ")
    assert "cycle 2" in mark.story


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
        REPORT.checks[0], case=EVIL, kind=EVIL, port=EVIL, guest=EVIL, qemu=EVIL, mode=EVIL,
        detail=EVIL, vm=EVIL, node=EVIL, verdict=Verdict.FAIL,
    )  # fmt: skip
    report = Report(
        (evil, replace(evil, verdict=Verdict.SKIPPED)),
        HostFacts(EVIL),
        (Vm(EVIL, made, ["q", EVIL.replace("\0", "")], {"serial1": EVIL}),),
        EVIL,
        EVIL,
    )
    text = page(report)
    reader = parsed(text)
    assert not {tag for tag, _ in reader.tags} & {"script", "b onload=x"}
    assert not any("onload" in attributes for _, attributes in reader.tags)
    assert "\x00" not in text
    assert "\x1b" not in text
    assert "{{7*7}}" in reader.text
    text.encode()


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
    assert sorted(out.iterdir()) == sorted(paths)
    lines = [json.loads(line) for line in paths[0].read_text().splitlines()]
    assert len(lines) == 40
    assert lines[0]["host"]["cpu"] == "Example CPU"
    assert ET.parse(paths[1]).getroot().get("tests") == "40"
    assert paths[2].read_text().startswith("<!DOCTYPE html>")
    assert stat.S_IMODE(paths[2].stat().st_mode) == 0o644
    write_all(out, replace(REPORT, checks=()))
    assert paths[0].read_text() == ""


def test_write_all_says_why_not(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError) as caught:
        write_all(tmp_path / "file" / "out", REPORT)
    assert "--out" in caught.value.hint
