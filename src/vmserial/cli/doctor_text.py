"""What ``vmserial doctor`` prints; without click."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from vmserial.cli.heeded import check
from vmserial.cli.named import as_data
from vmserial.cli.output import RED, alike, headline, item, print_json, ranges, say
from vmserial.cli.subject import FixWords, input_of, module_of, resolved
from vmserial.cli.vm_options import VmOptions

if TYPE_CHECKING:
    from vmserial.model import Finding


def doctor(asked: VmOptions, words: FixWords, *, as_json: bool, junit: str = "") -> int:
    """Judge an input, print what is wrong with it, and return the exit code.

    Args:
        asked: the input and the options about it.
        words: --live-probe, --boot.
        as_json: print JSON.
        junit: a file that is written as well; empty for none.

    Raises:
        VmserialError: the input cannot be read or judged.
    """
    from vmserial.errors import UsageError

    asked = resolved(asked)
    check(asked, "doctor")
    kind = input_of(asked).kind
    live = words.live_probe or words.boot
    if kind == "machine" and live:
        raise UsageError(
            "--live-probe and --boot are about what an owner starts",
            hint="'vmserial verify' proves what vmserial plans",
            where="--boot" if words.boot else "--live-probe",
        )
    findings, about = module_of(kind).doctor(asked, words)
    findings += _shims()
    if kind in {"pve", "domain"} and live:
        from vmserial.cli.live_findings import of_source

        findings += of_source(asked, words, findings)
    if junit:
        write_junit(junit, {about: findings})
    return tell(findings, about, as_json=as_json)


def tell(findings: list[Finding], about: str, *, as_json: bool) -> int:
    """Print what was found, the worst first, and return the exit code."""
    from vmserial.model import Severity

    order = list(Severity)
    findings.sort(key=lambda finding: order.index(finding.severity))
    wrong = [f for f in findings if f.severity is not Severity.NOTE]
    if as_json:
        print_json([as_data(finding) for finding in findings])
        return 1 if wrong else 0
    groups = alike(wrong, lambda f: (f.id, f.happens, f.why, f.fix))
    for group in groups:
        _show(group)
    notes = [f.happens for f in findings if f.severity is Severity.NOTE]
    if notes:
        headline("Know")
        for note in dict.fromkeys(notes):
            item(note)
        say()
    if not groups:
        say(f"{about}: nothing is wrong")
        return 0
    things = "one thing is" if len(groups) == 1 else f"{len(groups)} things are"
    say(f"{about}: {things} wrong")
    return 1


def _shims() -> Iterator[Finding]:
    """Yield a note for each shim of vmserial's that stands before a binary that was asked."""
    from vmserial.model import Finding, Severity
    from vmserial.qemu.binary import SHIMS

    for shim, real in SHIMS.items():
        text = (
            f"a shim of vmserial's stands at {shim}: what starts it is mended at each start; "
            f"{real} behind it was asked, and the input is judged as without the shim"
        )
        yield Finding("caution", Severity.NOTE, text, "vmserial shim install", "know it")


def write_junit(
    path: str, found: Mapping[str, Sequence[Finding]], problems: Mapping[str, str] | None = None
) -> None:
    """Write what was found as junit.xml.

    Raises:
        UsageError: it cannot be written.
    """
    from pathlib import Path

    from vmserial.errors import UsageError
    from vmserial.report.findings import xml

    try:
        # In place: a CI job names a file that may be /dev/stdout or left from the last run.
        Path(path).write_text(xml(found, problems), encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise UsageError(
            f"the report cannot be written: {error.strerror}",
            hint="name a file in a directory that is there", where=path,
        ) from None  # fmt: skip


def _show(group: list[Finding]) -> None:
    finding = group[0]
    ports = [name for each in group for name in each.ports]
    places = dict.fromkeys(str(each.where) for each in group if each.where)
    place = f" ({', '.join(places)})" if places else ""
    headline(str(finding.severity), f": {ranges(ports) or 'the VM'}{place}  [{finding.id}]", RED)
    item(finding.happens, "  what: ")
    if len(group) > 1:
        item(f"and the same for {ranges(ports[1:])}", "        ")
    item(finding.why, "  why:  ")
    item(finding.fix, "  do:   ")
    item(f"vmserial explain {finding.id}", "  more: ")
    say()
