"""A libvirt domain: its XML in a file."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from vmserial.cli.gather import guest_profile
from vmserial.cli.hints import call, of_this_vm
from vmserial.cli.named import ids
from vmserial.cli.output import complain, print_json
from vmserial.cli.repaired import finish, write
from vmserial.cli.subject import FixWords, input_of
from vmserial.cli.vm_options import VmOptions
from vmserial.errors import BinaryError

if TYPE_CHECKING:
    from vmserial.judging.domain import DomainVerdict
    from vmserial.model import Capabilities, Finding
    from vmserial.sources.libvirt import Document, Domain

ASSUMED = (7, 2, 0)
"""The QEMU that is assumed where this machine has none for a domain: no newer one has less."""

_SERVES = {"arm": ("aarch64",), "x86_64": ("i386",)}
"""Emulators of another name that run a domain of this architecture: those of 64 bits run 32-bit
ARM, and libvirt's i686 is judged as x86."""


def doctor(asked: VmOptions, words: FixWords) -> tuple[list[Finding], str]:
    """Return what is wrong with a domain."""
    document = read(asked)
    verdict, domain = judged(asked, words, document)
    mended = {c.id for c in verdict.changes} - {finding.id for finding in verdict.left}
    found = _hinted(verdict.findings, asked, domain, mended)
    count = _count(domain)
    return found, f"{domain.name}: {count} serial port{'' if count == 1 else 's'}"


def _count(domain: Domain) -> int:
    return len(domain.serials) + len(domain.consoles)


def _hinted(
    findings: Iterable[Finding], asked: VmOptions, domain: Domain, mended: Collection[str] = ()
) -> list[Finding]:
    """Return findings whose hints name this domain's architecture and number of ports."""
    return of_this_vm(findings, call(asked), domain.arch, lambda: _count(domain), mended=mended)


def fix(asked: VmOptions, words: FixWords) -> int:
    """Print what would change, or write it."""
    document = read(asked)
    verdict, domain = judged(asked, words, document)
    worse = _worse(asked, words, document, verdict, domain)
    if worse:
        if words.as_json:
            print_json({"changes": [], "left": [], "worse": worse})
        return 1
    if words.as_json:
        print_json({
            "xml": verdict.document.raw.decode("utf-8", "replace"),
            "found": ids(verdict.findings),
            "changes": [
                {"id": c.id, "ports": list(c.ports), "text": c.text} for c in verdict.changes
            ],
            "left": [finding.id for finding in verdict.left],
            "written": write(
                input_of(asked).path, words, document.raw.decode("utf-8", "surrogateescape"),
                verdict.text,
            ),
        })  # fmt: skip
        return 1 if verdict.left else 0
    return finish(
        asked, words, before=document.raw.decode("utf-8", "surrogateescape"), after=verdict.text,
        changes=verdict.changes, left=_hinted(verdict.left, asked, domain),
        printed=not input_of(asked).path,
    )  # fmt: skip


def _worse(
    asked: VmOptions,
    words: FixWords,
    document: Document,
    verdict: DomainVerdict,
    domain: Domain,
) -> str:
    """Return why a change must not be made: what libvirt starts would be worse."""
    from vmserial.cli.never_worse import refused, said
    from vmserial.cli.standing import of_domain, refusals

    if words.no_check or not verdict.changes:
        return ""
    capabilities = capabilities_of(asked, domain, quiet=True)
    if not capabilities.binary:
        return ""
    before, lowered = of_domain(document, capabilities)
    after, then = of_domain(verdict.document, capabilities)
    if refusals(then) and not refusals(lowered):
        return said(f"libvirt would refuse the mended domain: {refusals(then)[0].text}")
    return refused(words, before, after, capabilities)


def read(asked: VmOptions) -> Document:
    """Read the domain.

    Raises:
        UsageError: it cannot be read.
        ConfigError: it is no XML.
    """
    from vmserial.sources.libvirt import Document

    given = input_of(asked)
    return Document.parse(given.raw, given.name)


def judged(asked: VmOptions, words: FixWords, document: Document) -> tuple[DomainVerdict, Domain]:
    """Judge a domain on its emulator, or on this machine's QEMU of that architecture.

    What the host has at the domain's paths and ports counts, too, if the domain's emulator is
    on this machine; of a domain that names none, if this machine has one for it.

    Args:
        asked: what was asked.
        words: the same.
        document: the domain.
    """
    from vmserial.cli.host_facts import here, of_lowered
    from vmserial.judging import RepairPolicy
    from vmserial.judging.domain import judge
    from vmserial.sources.libvirt import Domain

    domain = Domain.of(document)
    capabilities = capabilities_of(asked, domain)
    guest = guest_profile(asked, domain.arch, domain.cmdline)
    policy = RepairPolicy(asked.kind or "auto", bool(asked.hotplug), words.logs)
    host = None
    if capabilities.binary and here(domain.emulator):
        from vmserial.sources.libvirt.lower import lower

        host = of_lowered(lower(domain, capabilities.version))
    verdict = judge(document, capabilities, guest, policy, host=host, repair=not words.named)
    return verdict, domain


def capabilities_of(asked: VmOptions, domain: Domain, *, quiet: bool = False) -> Capabilities:
    """Ask the domain's own emulator, else its like; without any, an old one is assumed.

    Raises:
        UsageError: nobody knows the architecture.
        BinaryError: the one that was named does not work.
    """
    from vmserial.machines import architecture
    from vmserial.model import Capabilities
    from vmserial.qemu.binary import find, probe

    arch = architecture(domain.arch)
    named = asked.qemu[0] if asked.qemu else ""
    path = ""
    for candidate in dict.fromkeys((named or domain.emulator, "")):
        try:
            path = find(arch.name, candidate or None)
            break
        except BinaryError as error:
            if named:
                raise
            if not quiet:
                complain(f"vmserial: note: {error.message}")
    if not path and not quiet:
        complain(f"vmserial: note: QEMU {'.'.join(map(str, ASSUMED))} is assumed")
    if not path:
        return Capabilities(ASSUMED, arch.name, measured=False)
    # Other platforms cannot be measured: what the domain names must be one that has -serial.
    target = Path(path).name.removeprefix("qemu-system-")
    served = target if target in _SERVES.get(arch.name, ()) else arch.name
    return probe(path, machine_types=[arch.machine_type(domain.machine_type)], arch=served)
