"""The guest agent of a PVE configuration: off the ISA bus where that has no place for it."""

from __future__ import annotations

import re

from vmserial.judging import Change
from vmserial.judging.base import Judgement
from vmserial.model import Finding
from vmserial.sources.pve import Document, edits

_ISA = re.compile(r"(?:\A|,)type=isa(?=,|\Z)")


def with_virtio_agent(document: Document, verdict: Judgement) -> tuple[Document, Change | None]:
    """Give the agent a virtio port where its isa-serial is not there or one too many.

    Returns:
        The document, and what was changed; None where nothing was.
    """
    setting = document.main.values.get("agent")
    found = next((each for each in verdict.found if _is_about(document, each, "agent")), None)
    if setting is None or found is None:
        return document, None
    value = _ISA.sub("", setting.value).lstrip(",")
    if value == setting.value:
        return document, None
    text = f"agent: {setting.value} -> {value} (a virtio port carries it)"
    return edits.put(document, "agent", value), Change(found.id, (), text)


def _is_about(document: Document, finding: Finding, key: str) -> bool:
    """Tell whether a finding is first of all about what one line asks for."""
    for option in finding.options[:1]:
        for each in document.main.settings:
            if each.key == key and option.where.line == each.line:
                return True
    return False
