"""report.html: one file that needs nothing else, neither network nor script."""

from __future__ import annotations

import base64
import hashlib
import re
import shlex
from collections import Counter
from collections.abc import Sequence

import jinja2
from markupsafe import Markup, escape

from vmserial.report import Report, Run
from vmserial.report.compare import STORIES, Change
from vmserial.report.junit import legal
from vmserial.report.reproduce import piped
from vmserial.report.table import clean, summary_table
from vmserial.report.topology import MARKS
from vmserial.report.views import Book, Names
from vmserial.verify.hostfacts import HostFacts
from vmserial.verify.results import NOT_RUN, Check, Verdict, exit_code

LONG = 28
"""Characters of a word that is broken where a line ends, because it fits in no column."""


def headline(checks: Sequence[Check]) -> tuple[str, Verdict]:
    """Return what all checks say in one sentence, and the verdict that colours it."""
    counts = Counter(check.verdict for check in checks)
    total = len(checks)
    skipped = f"; {counts[Verdict.SKIPPED]} skipped" if counts[Verdict.SKIPPED] else ""
    if counts[Verdict.CANNOT]:
        skipped += f"; {counts[Verdict.CANNOT]} of what a device cannot carry"
    if counts[Verdict.FAIL]:
        lost = f"; {counts[Verdict.LOST]} lost with the VM" if counts[Verdict.LOST] else ""
        return f"{counts[Verdict.FAIL]} of {total} checks failed{lost}{skipped}", Verdict.FAIL
    if counts[Verdict.LOST]:
        lost = f"The VM was lost: {counts[Verdict.LOST]} of {total} checks prove nothing"
        return f"{lost}{skipped}", Verdict.LOST
    if not counts[Verdict.PASS]:
        return f"Nothing was proven{skipped}", Verdict.SKIPPED
    passed = "1 check" if counts[Verdict.PASS] == 1 else f"All {counts[Verdict.PASS]} checks"
    return f"{passed} passed{skipped}", Verdict.PASS


def cut_short(runs: Sequence[Run]) -> list[str]:
    """Return a sentence for each run that did not come to its end."""
    found = []
    for run in runs:
        name = f"{run.name}: " if run.name else ""
        left = sum(check.detail == NOT_RUN for check in run.checks)
        if run.facts.interrupted:
            found.append(f"{name}Interrupted: {left} of {len(run.checks)} checks were not run.")
        elif not run.whole:
            found.append(f"{name}The run was killed: what it had still to do is not known.")
    return found


def _facts(host: HostFacts) -> list[tuple[str, str]]:
    facts = (
        ("processor", host.cpu),
        ("cores", str(host.cores or "")),
        ("memory", f"{host.memory_mib:,} MiB" if host.memory_mib else ""),
        ("kernel", host.kernel),
        ("accelerator", host.accel),
        ("load", ", ".join(f"{load:.2f}" for load in host.load)),
        ("Python", host.python),
    )
    return [(key, value) for key, value in facts if value]


def _run_facts(run: Run) -> list[tuple[str, str]]:
    facts = run.facts
    guests = ", ".join(dict.fromkeys(clean(c.guest) for c in run.checks if c.guest))
    qemus = ", ".join(dict.fromkeys(clean(c.qemu) for c in run.checks if c.qemu))
    found = (
        ("vmserial", facts.version),
        ("QEMU", qemus),
        ("guest", guests),
        ("host's kernel", run.host.kernel),
        ("seed", str(facts.seed or "")),
        ("started", facts.started),
        ("took", f"{facts.seconds:.1f} s" if facts.seconds else ""),
    )
    return [(key, clean(value)) for key, value in found if value]


def call_text(run: Run) -> str:
    """Return a run's own command line as shell text; empty where it is not known."""
    return shlex.join(["vmserial", *run.facts.call]) if run.facts.call else ""


def soft(text: object) -> Markup:
    """Return text whose lines end between words, and inside of one only at a ``/``, ``,`` ….

    A word that has no such place and fits in no column is broken anywhere.
    """
    parts = []
    for word in re.split(r"(\s+)", str(text)):
        if len(word) <= 12:
            parts.append(escape(word))
            continue
        pieces = re.split(r"(?<=[/,;:=_.@-])(?=[^/,;:=_.@-])", word)
        parts.append(
            Markup("<wbr>").join(
                Markup('<span class="any">{}</span>').format(piece)
                if len(piece) > LONG else escape(piece)
                for piece in pieces
            )
        )  # fmt: skip
    return Markup("").join(parts)


def style(source: str, names: Names) -> str:
    """Return the page's style sheet: the file's, and the rules of the filter."""
    return f"\n{source}\n{names.rules()}"


def digest(text: str) -> str:
    """Return what a content security policy says of an inline style sheet."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def page(report: Report) -> str:
    """Return the whole page."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("vmserial.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["soft"] = soft
    assert environment.loader is not None
    source, _, _ = environment.loader.get_source(environment, "report.css")
    sentence, verdict = headline(report.checks)
    counts = Counter(check.verdict for check in report.checks)
    book = Book(report)
    sheet = style(source, book.names)
    compared = report.comparison
    code = compared.exit_code(report.checks) if compared else exit_code(report.checks)
    cut = cut_short(report.runs)
    text = environment.get_template("report.html.j2").render(
        report=report,
        book=book,
        sheet=Markup(sheet),  # our own file, and rules made of numbers
        digest=digest(sheet),
        sentence=sentence,
        verdict=verdict,
        cut=cut,
        exit_code=code,
        counts=[(v, MARKS[v], counts[v]) for v in Verdict],
        marks=MARKS,
        summary=summary_table(report.checks),
        runs=[
            (run, call_text(run), piped(run.facts.call), _run_facts(run), _facts(run.host))
            for run in report.runs
        ],
        compared=compared,
        changes=[
            (change, STORIES[change], compared.of(change))
            for change in Change
            if compared and change is not Change.SAME and compared.counts[change]
        ],
    )
    return legal(text)
