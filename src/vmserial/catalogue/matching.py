"""Find the documents of the catalogue that a text is about.

A log may have any size and need not have lines: it is read in blocks, and each costs a
bounded time.  Which words a block has is asked first, by a translation, a split and a
set, each one call over the whole block; only a text all of whose words are there is
looked for.  Its parts are looked for one after the other, as plain bytes; where one is
missing, the search goes on where it comes next.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import NamedTuple

from vmserial.catalogue.document import RuleDoc

BLOCK = 1 << 18
"""Bytes read at once.  Larger ones are no faster: this fits a processor's cache."""

BLANK_MOST = 400
"""Bytes that may stand where a text has a blank."""

OVERLAP = 1 << 13
"""Bytes of a line that is longer than a block which are looked at once more: more than
the longest text can have, so that none is cut in two.  A test holds it."""

_LONG = 1000
_BEFORE, _AFTER = 200, 500
"""Of a line of more than so many bytes, what is shown of it before and after the words."""

_LEAST = 6
"""Fewer characters stand in too many texts to mean one."""

_MOST = 2000
"""A fragment of more characters is none."""

_LEFT_OUT = re.compile(r"\s*(?:…|\.\.\.)\s*")

_LETTERS = bytes(c if chr(c).isascii() and chr(c).isalpha() else 0x20 for c in range(256))
"""Everything but ASCII's letters becomes a blank."""


@dataclass(frozen=True, slots=True)
class Match:
    """A document that a text is about.

    Attributes:
        doc: which.
        line: the first line with its words, without its end; of a long line the part
            around them.
        number: the number of that line, from 1.
        more: how many further lines say the same.
    """

    doc: RuleDoc
    line: str
    number: int
    more: int = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """What a log says.

    Attributes:
        matches: each document once, in the order of their lines.
        first: the beginning of the first line that is not blank.
        lines: how many lines it has.
    """

    matches: tuple[Match, ...]
    first: str
    lines: int


class _Pattern(NamedTuple):
    """A text as it is looked for.

    Attributes:
        doc: whose it is.
        parts: its literals.
        words: the whole words in them.
        spans: for each part how many bytes lie before it at most.
    """

    doc: RuleDoc
    parts: tuple[bytes, ...]
    words: frozenset[bytes]
    spans: tuple[int, ...]

    @classmethod
    def of(cls, doc: RuleDoc, literals: Sequence[str]) -> _Pattern:
        parts = tuple(literal.encode() for literal in literals)
        spans, before = [], 0
        for part in parts:
            spans.append(before)
            before += len(part) + BLANK_MOST
        return cls(doc, parts, frozenset(w for part in parts for w in _inner(part)), tuple(spans))


def _inner(part: bytes) -> list[bytes]:
    """Return the words of a literal that no blank beside it can make longer."""
    plain = part.translate(_LETTERS)
    words = plain.split()
    if words and plain[-1:] != b" ":
        words.pop()
    if words and plain[:1] != b" ":
        del words[0]
    return words


def _starts(pattern: _Pattern, block: bytes, limit: int) -> Iterator[int]:
    """Yield where a text begins, once a line, before ``limit``."""
    first, *rest = pattern.parts
    at, end_of_line = block.find(first, 0), -1
    while 0 <= at < limit:
        if end_of_line < at:
            end_of_line = block.find(b"\n", at)
            end_of_line = len(block) if end_of_line < 0 else end_of_line
        end = at + len(first)
        for part, span in zip(rest, pattern.spans[1:], strict=True):
            found = block.find(part, end, min(end + BLANK_MOST + len(part), end_of_line))
            if found < 0:
                # No earlier beginning reaches the place where the part comes next.
                later = block.find(part, end)
                if later < 0:
                    return
                at = block.find(first, max(at + 1, later - span))
                break
            end = found + len(part)
        else:
            yield at
            at = block.find(first, end_of_line)


@dataclass(slots=True)
class _Log:
    """A log while it is read.

    Attributes:
        patterns: the texts, of two that fit one line the first is meant.
        number: of the line that the next block begins in.
        best: the number of a line, the rank of the best text in it and what is shown of
            it: a line may go on in the next block.
    """

    patterns: Sequence[_Pattern]
    number: int = 1
    best: tuple[int, int, str] | None = None
    found: dict[str, Match] = field(default_factory=dict)

    def block(self, block: bytes, limit: int) -> None:
        """Look at the texts that begin before ``limit``."""
        words = frozenset(block.translate(_LETTERS).split())
        hits = [
            (start, rank)
            for rank, pattern in enumerate(self.patterns)
            if pattern.words <= words
            for start in _starts(pattern, block, limit)
        ]
        number, counted = self.number, 0
        for start, rank in sorted(hits):
            number += block.count(b"\n", counted, start)
            counted = start
            if self.best and self.best[0] == number and self.best[1] <= rank:
                continue
            if self.best and self.best[0] != number:
                self.line()
            self.best = (number, rank, self._shown(block, start, rank))
        self.number = number + block.count(b"\n", counted, limit)

    def line(self) -> None:
        """Note what the last line with a text is about."""
        if not self.best:
            return
        number, rank, line = self.best
        doc = self.patterns[rank].doc
        known = self.found.get(doc.id)
        self.found[doc.id] = (
            replace(known, more=known.more + 1) if known else Match(doc, line, number)
        )
        self.best = None

    def _shown(self, block: bytes, start: int, rank: int) -> str:
        if self.patterns[rank].doc.id in self.found:
            return ""  # a further line is only counted
        begin = block.rfind(b"\n", 0, start) + 1
        end = block.find(b"\n", start)
        end = len(block) if end < 0 else end
        left = right = ""
        if end - begin > _LONG:
            left, begin = ("… ", start - _BEFORE) if begin < start - _BEFORE else ("", begin)
            right, end = (" …", start + _AFTER) if end > start + _AFTER else ("", end)
        return left + block[begin:end].decode(errors="replace").rstrip() + right


def _filled(source: Callable[[int], bytes]) -> bytes:
    """Return a whole block, also of a source that gives less at once; less only at its end."""
    pieces, size = [], 0
    while size < BLOCK and (piece := source(BLOCK - size)):
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)


class Matcher:
    """Knows the words of all documents.

    Of two texts that fit one line that with more sure characters is meant, and those of
    a document whose rank is last only where no other fits; an id in brackets, as
    ``doctor`` prints it, before all.

    Args:
        documents: all.
    """

    def __init__(self, documents: Sequence[RuleDoc]) -> None:
        self._documents = documents
        texts = [(doc, text.literals) for doc in documents for text in doc.texts]
        texts.sort(key=lambda text: (text[0].last, -sum(map(len, text[1]))))
        named = [(doc, (f"[{doc.id}]",)) for doc in documents]
        self._patterns = [_Pattern.of(doc, literals) for doc, literals in [*named, *texts]]

    def matches(self, text: str) -> tuple[Match, ...]:
        """Return what is known of a text, each document once, in the order of their lines."""
        return self.read(BytesIO(text.encode(errors="surrogatepass")).read).matches

    def read(self, source: Callable[[int], bytes]) -> Reading:
        """Return what a log says; it is read block by block."""
        log = _Log(self._patterns)
        rest, first = b"", ""
        while True:
            piece = _filled(source)
            block = rest + piece
            if not first:
                first = block.lstrip()[:_LONG].partition(b"\n")[0].decode(errors="replace")
            limit = len(block)
            if piece:
                # Whole lines; of a line that is longer than a block what no text can leave.
                limit = block.rfind(b"\n") + 1 or max(0, len(block) - OVERLAP)
            log.block(block, limit)
            rest = block[limit:]
            if not piece:
                break
        log.line()
        ended = log.number - (block[-1:] in {b"", b"\n"})
        return Reading(tuple(log.found.values()), first.strip(), ended)

    def fragment(self, words: str) -> list[RuleDoc]:
        """Return the documents in whose texts these words stand."""
        parts = [re.escape(part) for part in _LEFT_OUT.split(words.strip()[:_MOST])]
        if sum(map(len, parts)) < _LEAST or len(words) > _MOST:
            return []
        # Each part at its first place is enough, and quick whatever was left out.
        pattern = re.compile(
            parts[0] + "".join(f"(?>.*?{part})" for part in parts[1:]), re.IGNORECASE
        )
        return [d for d in self._documents if any(pattern.search(t.example) for t in d.texts)]

    def nearest(self, words: str, most: int) -> list[RuleDoc]:
        """Return the documents that are the most like these words."""
        import difflib  # only where nothing is known

        words = words.strip()[:_MOST]
        close = difflib.get_close_matches(words, [d.id for d in self._documents], most)
        if close:
            return [d for near in close for d in self._documents if d.id == near]
        asked = _words(words)
        rated = []
        for rank, doc in enumerate(self._documents):
            said = [_words(t.example) for t in doc.texts] + [_words(f"{doc.id} {doc.title}")]
            score = max(len(asked & each) / (2 + len(each)) for each in said)
            if score > 0:
                rated.append((-score, rank))
        return [self._documents[rank] for _, rank in sorted(rated)[:most]]


_COMMON = frozenset("the and for not with that this are was has device error qemu port".split())


def _words(text: str) -> frozenset[str]:
    found = re.findall(r"[a-z][a-z0-9-]{2,}", text.lower())
    return frozenset(word for word in found if word not in _COMMON)
