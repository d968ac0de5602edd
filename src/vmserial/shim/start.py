"""Mending one command line within the shim: bytes in, bytes out, and what to write down."""

from __future__ import annotations

import json
import posix
from dataclasses import replace

from vmserial.judging import Judgement, judge
from vmserial.model import Severity
from vmserial.shim.facts import Facts
from vmserial.sources.command import CommandLine

STALE = "the binary has changed since the installation: run vmserial shim install --again"


def mended(words: list[bytes], real: bytes, facts: bytes) -> tuple[list[bytes], list[str]]:
    """Mend a command line's serial ports.

    Args:
        words: the command line, the wrapper's path first.
        real: the real binary's path.
        facts: what the installation wrote.

    Returns:
        The mended command line, and a line for the log about each change.

    Raises:
        VmserialError: the command line cannot be read, or the facts cannot.
        OSError: the real binary is not there.
    """
    known = Facts.from_json(json.loads(facts))
    status = posix.stat(real)
    now = known.of((status.st_size, status.st_mtime_ns))
    # Under its own name: a wrapper may be called anything, and a word among its
    # arguments (-accel kvm) could be taken for the emulator.
    program = f"qemu-system-{now.capabilities.target}"
    text = [program, *(word.decode("utf-8", "surrogateescape") for word in words[1:])]
    policy = replace(now.policy, cautious=True)
    verdict = judge(CommandLine.from_words(text), now.capabilities, now.guest, policy)
    result = verdict.command.argv()
    lines = _lines(verdict)
    if lines and now is not known:
        lines.append(STALE)
    if result == text:
        return words, lines
    return [words[0], *(w.encode("utf-8", "surrogateescape") for w in result[1:])], lines


def _lines(verdict: Judgement) -> list[str]:
    lines = [_said(change.text) for change in verdict.changes]
    for finding in verdict.unmended:
        if finding.severity is not Severity.NOTE:
            ports = ", ".join(finding.ports) or "the VM"
            lines.append(_said(f"{ports}: {finding.id} is left ({finding.severity})"))
    named = verdict.command.named("name")
    if lines and named and (name := named[-1].params.get("guest")):
        return [f"{_said(name)}: {line}" for line in lines]
    return lines


def _said(text: str) -> str:
    """Return text as one line that no terminal and no reader of the log obeys."""
    return ascii(text)[1:-1]
