"""The picture of a VM: every port, in its place, with its node and its verdict."""

from __future__ import annotations

import re
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from plans import ROOMY, binary, machine
from report_pages import MADE, REPORT, plan

from vmserial.model import Plan
from vmserial.planning import planner
from vmserial.report.html import page
from vmserial.report.topology import CHARACTER, WIDE, Picture, draw, shorten
from vmserial.verify.results import (
    Verdict,
)


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
