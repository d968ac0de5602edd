"""junit.xml, in the form that Jenkins, GitLab and GitHub's readers agree on.

One ``testsuite`` a run, case, architecture, VM and kind; one ``testcase`` a check.
A lost VM is an ``error``, not a ``failure``: nothing was proven either way.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from vmserial.verify.results import Check, Verdict, grouped

if TYPE_CHECKING:
    from vmserial.report import Report, Run

_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def legal(text: str) -> str:
    r"""Return ``text`` with what XML 1.0 cannot hold (section 2.2) written as ``\x1b``."""
    return _ILLEGAL.sub(lambda match: f"\\x{ord(match.group()):02x}", text)


def xml(report: Report) -> str:
    """Return the whole file."""
    root = ET.Element("testsuites", name="vmserial verify")
    _count(root, report.checks)
    for run in report.runs:
        for group in grouped(
            run.checks, lambda c: (c.case, c.arch, c.machine, c.qemu, c.vm, c.guest, c.kind)
        ).values():
            root.append(_suite(group, run))
    ET.indent(root)
    body = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'


def _count(element: ET.Element, checks: tuple[Check, ...] | list[Check]) -> None:
    verdicts = Counter(check.verdict for check in checks)
    element.set("tests", str(len(checks)))
    element.set("failures", str(verdicts[Verdict.FAIL]))
    element.set("errors", str(verdicts[Verdict.LOST]))
    element.set("skipped", str(verdicts[Verdict.SKIPPED] + verdicts[Verdict.CANNOT]))
    element.set("time", f"{sum(check.seconds for check in checks):.3f}")


def _suite(checks: list[Check], run: Run) -> ET.Element:
    first = checks[0]
    name = ".".join(legal(part) for part in (first.case, first.arch, first.kind) if part)
    suite = ET.Element("testsuite", name=name)
    _count(suite, checks)
    if run.facts.started:
        suite.set("timestamp", legal(run.facts.started))
    properties = ET.SubElement(suite, "properties")
    facts = {
        "machine": first.machine,
        "qemu": first.qemu,
        "guest": first.guest,
        "vm": first.vm,
        "vmserial": run.facts.version,
        "run": run.name,
        "seed": run.facts.seed,
        "call": shlex.join(["vmserial", *run.facts.call]) if run.facts.call else "",
        "again": vm.again if (vm := run.vm(first)) else "",
        "interrupted": run.facts.interrupted,
        **{f"host.{key}": value for key, value in asdict(run.host).items()},
    }
    for key, value in facts.items():
        if value:
            ET.SubElement(properties, "property", name=key, value=legal(str(value)))
    seen: Counter[str] = Counter()
    for check in checks:
        seen[check.title] += 1
        count = seen[check.title]
        case = ET.SubElement(
            suite,
            "testcase",
            # Readers tell cases apart by class and name; a repeated one would hide the first.
            name=legal(check.title if count == 1 else f"{check.title} #{count}"),
            classname=f"vmserial.{name}",
            time=f"{check.seconds:.3f}",
        )
        _outcome(case, check)
    return suite


def _outcome(case: ET.Element, check: Check) -> None:
    message = legal(check.detail.partition("\n")[0] or str(check.verdict))
    if check.verdict is Verdict.SKIPPED:
        ET.SubElement(case, "skipped", message=message)
    elif check.verdict is Verdict.CANNOT:
        # The nearest that its readers know: it neither passed nor failed.
        ET.SubElement(case, "skipped", message=f"cannot: {message}")
    elif check.verdict in (Verdict.FAIL, Verdict.LOST):
        lost = check.verdict is Verdict.LOST
        kinds = ",".join(dict.fromkeys(fault.kind for fault in check.faults))
        trouble = ET.SubElement(
            case,
            "error" if lost else "failure",
            type=kinds or ("lost" if lost else "fail"),
            message=message,
        )
        trouble.text = legal(
            "\n".join([check.detail, *(f"{fault.kind}: {fault.detail}" for fault in check.faults)])
        )
    elif check.detail or check.depth:
        depth = f"proven to {check.depth:,} bytes" if check.depth else ""
        words = "; ".join(filter(None, (check.detail, depth)))
        ET.SubElement(case, "system-out").text = legal(words)
