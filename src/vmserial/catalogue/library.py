"""Where the documents are, and how each is found: by its id one file, all for matching."""

from __future__ import annotations

import os
import re
from functools import cache

from vmserial.catalogue.document import DocumentError, RuleDoc, parse

GROUPS = ("backends", "devices", "places", "guest", "owner", "host", "texts")
"""The directories below ``rules/``; ``texts`` has what no rule of the judge finds."""

_RULES = os.path.join(os.path.dirname(os.path.dirname(__file__)), "rules")  # noqa: PTH118, PTH120
# importlib.resources would take 18 ms to import, all documents take less than half of that.

_ID = re.compile(r"(?=.{1,80}\Z)[a-z0-9]+(?:-[a-z0-9]+)*")
"""A longer one would be no name of a file."""


@cache
def by_id(id: str) -> RuleDoc | None:
    """Return the document of that id, or None; no other file is read.

    Raises:
        DocumentError: the file is not in the form of documents.
    """
    if not _ID.fullmatch(id):
        return None
    name = id.replace("-", "_")
    for group in GROUPS:
        try:
            content = _read(group, name)
        except FileNotFoundError:
            continue
        return _parsed(content, group, name)
    return None


@cache
def documents() -> tuple[RuleDoc, ...]:
    """Return all documents in the order of their ids.

    Raises:
        DocumentError: a file is not in the form of documents.
    """
    found = [
        _parsed(_read(group, file[:-3]), group, file[:-3])
        for group in GROUPS
        for file in os.listdir(f"{_RULES}/{group}")  # noqa: PTH208
        if file.endswith(".md")
    ]
    return tuple(sorted(found, key=lambda doc: doc.id))


def ids() -> list[str]:
    """Return the ids of all documents, in order, without reading one."""
    names = (file for group in GROUPS for file in os.listdir(f"{_RULES}/{group}"))  # noqa: PTH208
    return sorted(name[:-3].replace("_", "-") for name in names if name.endswith(".md"))


def _read(group: str, name: str) -> str:
    with open(f"{_RULES}/{group}/{name}.md", encoding="utf-8") as stream:  # noqa: PTH123
        return stream.read()


def _parsed(content: str, group: str, name: str) -> RuleDoc:
    file = f"rules/{group}/{name}.md"
    doc = parse(content, file)
    if doc.id != name.replace("_", "-"):
        raise DocumentError(f"the id is {doc.id}, not that of the file's name", where=f"{file}:1")
    return doc
