"""What `doctor` found as junit.xml: one testsuite a VM, one testcase a finding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.etree import ElementTree as ET

from vmserial.model import Finding, Severity
from vmserial.report.junit import legal


def xml(found: Mapping[str, Sequence[Finding]], problems: Mapping[str, str] | None = None) -> str:
    """Return the whole file.

    Args:
        found: by what it is about, all that was found; nothing wrong is one passed case.
        problems: by what it is about, why it could not be judged: an error, not a failure.
    """
    problems = problems or {}
    root = ET.Element("testsuites", name="vmserial doctor")
    for about in dict.fromkeys([*found, *problems]):
        findings = found.get(about, ())
        root.append(_suite(about, findings, problems.get(about, "")))
    for name in ("tests", "failures", "errors"):
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in root)))
    ET.indent(root)
    body = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'


def _suite(about: str, findings: Sequence[Finding], problem: str) -> ET.Element:
    suite = ET.Element("testsuite", name=legal(about))
    wrong = [finding for finding in findings if finding.severity is not Severity.NOTE]
    if problem:
        case = ET.SubElement(suite, "testcase", name="can be judged", classname="vmserial.doctor")
        ET.SubElement(case, "error", type="unread", message=legal(problem))
    elif not wrong:
        ET.SubElement(suite, "testcase", name="nothing is wrong", classname="vmserial.doctor")
    for finding in wrong:
        ports = ", ".join(finding.ports) or "the VM"
        case = ET.SubElement(
            suite, "testcase", name=legal(f"{ports}: {finding.id}"), classname="vmserial.doctor"
        )
        if finding.where:
            case.set("file", legal(finding.where.file))
            case.set("line", str(finding.where.line))
        trouble = ET.SubElement(case, "failure", type=finding.id, message=legal(finding.happens))
        trouble.text = legal(f"{finding.severity}: {finding.why}\ndo: {finding.fix}")
    notes = [finding.happens for finding in findings if finding.severity is Severity.NOTE]
    if notes:
        ET.SubElement(suite, "system-out").text = legal("\n".join(dict.fromkeys(notes)))
    suite.set("tests", str(len(suite.findall("testcase"))))
    suite.set("failures", str(len(wrong)))
    suite.set("errors", str(int(bool(problem))))
    return suite
