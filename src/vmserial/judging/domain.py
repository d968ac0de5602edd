"""Judging and repairing a libvirt domain.  Pure: a document in, a document out.

verdict = judge(document, capabilities, guest)
verdict.findings        what is wrong
verdict.text            the repaired XML; what nothing concerns is as it was, byte for byte
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vmserial.context import RepairPolicy
from vmserial.errors import UsageError
from vmserial.judging import engine
from vmserial.judging.base import Answer, Change, Judgement
from vmserial.model import Capabilities, Finding, GuestProfile, Severity, worst_first
from vmserial.sources.command import CommandOption
from vmserial.sources.libvirt.document import Document
from vmserial.sources.libvirt.elements import Element
from vmserial.sources.libvirt.lower import lower
from vmserial.sources.libvirt.raise_ import Raised, raise_
from vmserial.sources.libvirt.rewriting import ALWAYS_PLUGGED
from vmserial.sources.libvirt.view import Domain

if TYPE_CHECKING:
    from vmserial.model.host import HostFacts

KINDS = ("auto", "usb", "pci", "virtio")
"""Kinds of ports that a domain can be asked for."""


@dataclass(frozen=True)
class DomainVerdict:
    """What became of a domain.

    Attributes:
        findings: what is wrong, the worst first.
        changes: what was repaired.
        document: the repaired document; the given one where nothing was to be done.
        left: what no change answers, the worst first; without what is only to be known.
    """

    findings: tuple[Finding, ...]
    changes: tuple[Change, ...]
    document: Document
    left: tuple[Finding, ...]

    @property
    def text(self) -> str:
        """The repaired XML; bytes that are not UTF-8 as surrogates."""
        return self.document.raw.decode("utf-8", "surrogateescape")


def judge(
    document: Document,
    capabilities: Capabilities,
    guest: GuestProfile,
    policy: RepairPolicy | None = None,
    *,
    host: HostFacts | None = None,
    repair: bool = True,
) -> DomainVerdict:
    """Say what is wrong with a domain's serial ports, and repair what can be repaired.

    A repaired domain has nothing left to repair.

    Args:
        document: the domain's XML.
        capabilities: of the QEMU that it runs on.
        guest: what the guest's kernel carries.
        policy: what its owner prefers.
        host: what was seen of the host; None: nothing that depends on it is said.
        repair: False: only say what is wrong, which is half of the work.

    Raises:
        ConfigError: it is no domain.
        UsageError: a kind of port is asked for that libvirt does not have.
    """
    policy = policy or RepairPolicy()
    if policy.kind not in KINDS:
        raise UsageError(
            f"a domain's port cannot become {policy.kind!r}",
            hint="libvirt has --type usb, pci and virtio",
        )
    changes: list[Change] = []
    first: Judgement | None = None
    refused: tuple[Finding, ...] = ()
    # What did not help is not tried again, and not kept.
    vain: set[engine.Key] = set()
    tried: set[engine.Key] = set()
    before, made = document, 0
    for _ in range(engine.ROUNDS):
        domain = Domain.of(document)
        command = lower(domain, capabilities.version)
        verdict = engine.judge(command, capabilities, guest, policy, host=host)
        first = first or verdict
        if again := {engine.key(answer.finding) for answer in verdict.answers} & tried - vain:
            vain |= again
            tried = set()
            document, changes = before, changes[:made]
            continue
        answers = [answer for answer in verdict.answers if engine.key(answer.finding) not in vain]
        refused = tuple(a.finding for a in verdict.answers if engine.key(a.finding) in vain)
        if not (answers and repair):
            break
        raised = raise_(domain, command, answers, verdict.origin, verdict.support)
        refused += tuple(answers[place].finding for place in raised.refused)
        if raised.document is document:
            break
        before, made = document, len(changes)
        tried = {
            engine.key(a.finding) for place, a in enumerate(answers) if place not in raised.refused
        }
        changes += _changes(answers, raised)
        document = raised.document
    assert first is not None
    left = [*verdict.unmended, *refused]
    return DomainVerdict(
        _shown(first.found, first), tuple(changes), document,
        _shown([each for each in left if each.severity is not Severity.NOTE], verdict),
    )  # fmt: skip


def _changes(answers: Sequence[Answer], raised: Raised) -> list[Change]:
    """Return what was done of one round."""
    found: list[Change] = []
    for place, answer in enumerate(answers):
        if place in raised.refused or place in raised.silent:
            continue
        moves = raised.moves.get(place, ())
        found += [Change(answer.finding.id, (_port(text),), text) for text in moves]
        if not moves:
            found += _own(answer)
    if raised.plugs:
        found.append(
            Change("usb-not-plugged", (), f"-global {ALWAYS_PLUGGED}: each usb-serial is there "
                   "from its start")
        )  # fmt: skip
    return found


def _own(answer: Answer) -> Iterable[Change]:
    """Return what the judge says of an answer."""
    return answer.changes


def _port(text: str) -> str:
    return text.partition(":")[0]


def _shown(found: Iterable[Finding], verdict: Judgement) -> tuple[Finding, ...]:
    """Return findings with cause and way out, as a domain's owner meets them.

    Whoever wrote the XML never wrote the option that a rule names, and what libvirt refuses
    QEMU never gets to say.
    """
    shown = [_named(f, verdict) for f in found if not _said_by_libvirt(f, verdict)]
    # What QEMU would say in two ways libvirt refuses in one.
    once = {(f.id, f.happens, f.ports): f for f in reversed(shown)}
    shown = [f for f in shown if once[f.id, f.happens, f.ports] is f]
    return worst_first(finding.explained() for finding in shown)


def _said_by_libvirt(finding: Finding, verdict: Judgement) -> bool:
    """Tell whether libvirt's own refusal says it already, of what it adds by itself."""
    option = finding.options[0] if finding.options else None
    if not isinstance(option, CommandOption) or verdict.origins is None:
        return False
    gaps = verdict.origins.command.gaps
    if not any(gap.id == "refused" and gap.rule == finding.id for gap in gaps):
        return False
    lowered = verdict.origin(option)
    return lowered is not None and lowered.origin.handle is None


def _named(finding: Finding, verdict: Judgement) -> Finding:
    option = finding.options[0] if finding.options else None
    if not isinstance(option, CommandOption):
        return finding
    lowered = verdict.origin(option)
    element = lowered.origin.handle if lowered is not None else None
    name = f"<{element.name}>" if isinstance(element, Element) else ""
    name = finding.ports[-1] if finding.ports else name
    if finding.ports and (words := _refusal(finding, option, verdict)):
        happens = f"{name}: libvirt refuses the domain: {words}"
        return finding.but(happens=happens, severity=Severity.FAILS)
    subject = f"-{option.name} {option.value}"
    if not name or not finding.happens.startswith(subject):
        return finding
    return finding.but(happens=name + finding.happens[len(subject) :])


def _refusal(finding: Finding, option: CommandOption, verdict: Judgement) -> str:
    """Return what libvirt says where a rule says what QEMU would."""
    lowered = verdict.origin(option)
    if lowered is None or verdict.origins is None:
        return ""
    for gap in verdict.origins.command.gaps:
        same = gap.handle is lowered.origin.handle or finding.id == "libvirt-no-usb"
        if gap.id == "refused" and gap.rule in {finding.id, "usb-no-bus"} and same:
            return gap.text
    return ""
