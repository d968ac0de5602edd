"""Runs for tests of the report's page: plans, their VMs and checks, and a reader of the page."""

from __future__ import annotations

import html.parser
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from plans import ROOMY, binary, machine

from vmserial.model import Plan
from vmserial.options import pretty, render
from vmserial.planning import planner
from vmserial.report import Report, Run, Vm
from vmserial.report.topology import draw
from vmserial.verify.hostfacts import HostFacts
from vmserial.verify.results import (
    GUEST_TO_HOST,
    HOST_TO_GUEST,
    Check,
    RunFacts,
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
