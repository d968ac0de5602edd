"""``vmserial doctor``: what is wrong with a VM's serial ports, why, and what to do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from vmserial.cli.asked import Asked
from vmserial.cli.heeded import check
from vmserial.cli.options import VmCommand, fix_words, json_option, machine_options
from vmserial.cli.output import RED, alike, headline, item, print_json, ranges, say
from vmserial.cli.subject import FixWords, input_of, module_of, resolved

if TYPE_CHECKING:
    from vmserial.model import Finding


@click.command(
    "doctor",
    cls=VmCommand,
    epilog="""\b
Examples:
  vmserial doctor 142.conf
  vmserial doctor 142 --root copy-of-the-host
  vmserial doctor guest.xml
  vmserial doctor -- qemu-system-aarch64 -M virt -serial pty -serial pty
  vmserial doctor --boot - <command.txt
  vmserial doctor --all --root copy-of-the-host --junit doctor.xml
  vmserial doctor --arch aarch64 --ports 10 --type pci --json

Exit code 0: nothing is wrong; 1: there is something; with --all: with at least one VM.""",
)
@machine_options()
@click.option(
    "--live-probe",
    is_flag=True,
    help="Ask a paused QEMU as well: no network, no disk written, nothing of yours used.",
)
@click.option("--boot", is_flag=True, help="Prove every port on a booted test guest as well.")
@click.option("--all", "every", is_flag=True, help="All VMs of the PVE host at --root.")
@click.option("--junit", default="", metavar="FILE", type=click.Path(dir_okay=False),
              help="Write what is found as junit.xml, too.")  # fmt: skip
@fix_words
@json_option
def command(asked: Asked, words: FixWords, every: bool, junit: str, as_json: bool) -> int:
    """Say what would fail to start, what would be silently dead, why, and what to do.

    INPUT is a configuration, a libvirt domain (XML), a PVE VM's number, or a QEMU command: in a
    file, on stdin (-) or after --.
    """
    from vmserial.model import Severity

    if every:
        return _of_all(asked, words, junit, as_json)
    asked = resolved(asked)
    check(asked, "doctor")
    kind = input_of(asked).kind
    live = words.live_probe or words.boot
    if kind == "machine" and live:
        raise click.UsageError(
            "--live-probe and --boot are about what an owner starts; 'vmserial verify' proves "
            "what vmserial plans"
        )
    findings, about = module_of(kind).doctor(asked, words)
    findings += _shims()
    if kind in {"pve", "domain"} and live:
        from vmserial.cli.live_findings import of_source

        findings += of_source(asked, words, findings)
    findings.sort(key=lambda finding: list(Severity).index(finding.severity))
    wrong = [f for f in findings if f.severity is not Severity.NOTE]
    if junit:
        _write_junit(junit, {about: findings})
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


def _of_all(asked: Asked, words: FixWords, junit: str, as_json: bool) -> int:
    from vmserial.cli import all_vms

    if words.live_probe or words.boot:
        raise click.UsageError("--live-probe and --boot are about one VM, not --all")
    all_vms.check(asked)
    rows = all_vms.doctor(asked)
    if junit:
        name = {row.place.vmid: f"VM {row.place.vmid} {row.name}".strip() for row in rows}
        _write_junit(
            junit,
            {name[row.place.vmid]: row.findings for row in rows},
            {name[row.place.vmid]: row.problem for row in rows if row.problem},
        )
    return all_vms.tell(rows, as_json=as_json)


def _write_junit(
    path: str, found: Mapping[str, Sequence[Finding]], problems: Mapping[str, str] | None = None
) -> None:
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


def as_data(finding: Finding) -> dict[str, object]:
    """Return a finding as ``--json`` gives it."""
    return {
        "id": finding.id,
        "severity": str(finding.severity),
        "ports": list(finding.ports),
        "happens": finding.happens,
        "why": finding.why,
        "fix": finding.fix,
        "where": str(finding.where) if finding.where else "",
    }
