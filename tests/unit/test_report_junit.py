"""junit.xml as its readers want it."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmserial.report import Report, Run
from vmserial.report.junit import legal, xml
from vmserial.verify.hostfacts import HostFacts
from vmserial.verify.results import (
    GUEST_TO_HOST,
    Check,
    Fault,
    FaultKind,
    RunFacts,
    Verdict,
)

PASS = Check("default", "aarch64", "virt", "7.2.22", "debian-12-arm64", "usb", "serial1",
             GUEST_TO_HOST, seconds=0.5)  # fmt: skip
CHECKS = (
    PASS,
    replace(PASS, port="serial2", verdict=Verdict.FAIL, detail="16 bytes lost\nmore",
            faults=(Fault(FaultKind.LOSS, "16 bytes lost"), Fault(FaultKind.EXTRA, "x"))),
    replace(PASS, port="serial3", verdict=Verdict.LOST, detail="panic"),
    replace(PASS, port="serial4", verdict=Verdict.SKIPPED, detail="no node"),
    replace(PASS, kind="pci", detail="fine"),
    PASS,
)  # fmt: skip
FACTS = RunFacts(7, ("verify", "a b.conf"), "0.1", "2026-11-22T18:00:00")
REPORT = Report((Run(CHECKS, HostFacts("a cpu", 2), FACTS),))


def test_counts_and_outcomes() -> None:
    root = ET.fromstring(xml(REPORT))
    assert root.tag == "testsuites"
    assert root.attrib == {"name": "vmserial verify", "tests": "6", "failures": "1",
                           "errors": "1", "skipped": "1", "time": "3.000"}  # fmt: skip
    usb, pci = root.findall("testsuite")
    assert usb.attrib == {"name": "default.aarch64.usb", "tests": "5", "failures": "1",
                          "errors": "1", "skipped": "1", "time": "2.500",
                          "timestamp": "2026-11-22T18:00:00"}  # fmt: skip
    cases = {case.get("name"): case for case in usb.findall("testcase")}
    assert list(cases) == [
        "serial1 guest->host alone", "serial2 guest->host alone", "serial3 guest->host alone",
        "serial4 guest->host alone", "serial1 guest->host alone #2",
    ]  # fmt: skip
    failure = cases["serial2 guest->host alone"].find("failure")
    assert failure is not None
    assert failure.attrib == {"type": "loss,extra", "message": "16 bytes lost"}
    assert failure.text == "16 bytes lost\nmore\nloss: 16 bytes lost\nextra: x"
    error = cases["serial3 guest->host alone"].find("error")
    assert error is not None
    assert error.attrib == {"type": "lost", "message": "panic"}
    skipped = cases["serial4 guest->host alone"].find("skipped")
    assert skipped is not None
    assert skipped.attrib == {"message": "no node"}
    assert list(cases["serial1 guest->host alone"]) == []
    assert {c.get("classname") for c in cases.values()} == {"vmserial.default.aarch64.usb"}
    assert pci.findtext("testcase/system-out") == "fine"


def test_facts_are_properties() -> None:
    root = ET.fromstring(xml(REPORT))
    facts = {p.get("name"): p.get("value") for p in root.iterfind("testsuite[1]/properties/*")}
    assert facts["qemu"] == "7.2.22"
    assert facts["host.cpu"] == "a cpu"
    assert facts["vmserial"] == "0.1"
    assert facts["seed"] == "7"
    assert facts["call"] == "vmserial verify 'a b.conf'"
    assert "interrupted" not in facts
    assert "vm" not in facts


def test_each_run_has_suites_of_its_own() -> None:
    two = Report((Run((PASS,), name="one"), Run((PASS,), name="two")))
    root = ET.fromstring(xml(two))
    names = [p.get("value") for p in root.iterfind("testsuite/properties/property[@name='run']")]
    assert names == ["one", "two"]


def test_empty() -> None:
    root = ET.fromstring(xml(Report(())))
    assert root.get("tests") == "0"
    assert len(root) == 0


@pytest.mark.parametrize("text", ["\x00\x1b[31m", "\ud800", "\ufffe", "<&\"'>]]>", "\x0b"])
def test_any_text_is_well_formed(text: str) -> None:
    bad = replace(PASS, case=text, kind=text, guest=text, port=text, detail=text, mode=text,
                  verdict=Verdict.FAIL, faults=(Fault(FaultKind.LOSS, text),))  # fmt: skip
    facts = RunFacts(1, (text,), text, text, interrupted=True)
    root = ET.fromstring(xml(Report((Run((bad,), HostFacts(text), facts, name=text),))))
    failure = root.find("testsuite/testcase/failure")
    assert failure is not None
    assert failure.get("message") == legal(text)


@given(st.text(st.characters()))
def test_legal_is_what_a_parser_takes(text: str) -> None:
    element = ET.Element("a")
    element.text = legal(text)
    ET.fromstring(ET.tostring(element, encoding="utf-8"))
