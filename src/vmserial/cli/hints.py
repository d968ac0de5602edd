"""The hints of findings, in the words of the VM that they are about."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vmserial.cli.vm_options import VmOptions
    from vmserial.model import Finding
    from vmserial.pve.tree import Place

_PLAN = re.compile(r"vmserial plan --arch [a-z0-9_]+ --ports [0-9]+")
"""As the documents have it: an example's architecture and number."""

_VERB = re.compile(r"(?<=vmserial )([a-z]+) 142(?:\.conf)?\b")
"""A call of ours about the VM that the documents have as their example."""

_NUMBER = re.compile(r"\b142\b")
"""That VM's number in PVE's own calls and paths."""

_ARGUMENT, _STDIN, _WORDS = "'…'", "-", "-- …"
"""How an input is given that is no file."""


def of_this_vm(
    findings: Iterable[Finding],
    given: str,
    arch: str,
    ports: Callable[[], int],
    mended: Collection[str] = (),
    vmid: int = 0,
) -> list[Finding]:
    """Return findings whose hints name the VM's own architecture and number, and `fix`.

    Args:
        findings: what is wrong.
        given: how the VM is given to another verb: see :func:`call`.
        arch: the VM's.
        ports: counts its ports; called where a hint needs it.
        mended: the ids of those that `fix` mends here.
        vmid: a PVE VM's number; 0 where nobody knows it.
    """
    found = []
    for finding in findings:
        finding = finding.explained()
        fix = finding.fix
        if _PLAN.search(fix):
            fix = _PLAN.sub(f"vmserial plan --arch {arch} --ports {max(ports(), 1)}", fix)
        if _general(finding):
            fix = _NUMBER.sub(str(vmid or "VMID"), _VERB.sub(lambda of: f"{of[1]} {given}", fix))
        fix = fix.replace("vmserial fix --way", f"vmserial fix {given} --way")
        if _is_no_file(given):
            # There is nothing to write back to.
            fix = fix.replace(f"fix {given} --apply", f"fix {given}")
        if finding.id in mended and "vmserial fix" not in fix:
            fix = f"`vmserial fix {given}` mends it; or: {fix}"
        found.append(finding if fix == finding.fix else replace(finding, fix=fix))
    return found


def _general(finding: Finding) -> bool:
    """Tell whether the hint is the documents': one of a rule's own has the VM's numbers."""
    from vmserial.catalogue import by_id

    entry = by_id(finding.id)
    return entry is not None and finding.fix == entry.resolution[0]


def of_place(place: Place) -> str:
    """Return how a PVE VM of a tree is given: by its number on its own host, else by its file."""
    import shlex

    on_host = place.root is not None and str(place.root) == "/"
    return str(place.vmid) if on_host else shlex.quote(str(place.path))


def below(root: str) -> str:
    """Return what a call needs to find a VM's number in the same tree."""
    import shlex

    return "" if root == "/" else f" --root {shlex.quote(root)}"


def call(asked: VmOptions) -> str:
    """Return how the input is given to another verb, with the options that say what it is."""
    import shlex

    from vmserial.cli.subject import ARGUMENT, OF_DOMAIN, input_of

    given = input_of(asked)
    said = (
        ("--arch", asked.arch), ("--vmid", "" if asked.vmid is None else str(asked.vmid)),
        ("--connect", asked.connect),
    )  # fmt: skip
    options = [f"{name} {shlex.quote(value)}" for name, value in said if value]
    if given.words:
        return " ".join([*options, _WORDS])
    if given.place is not None:
        what = of_place(given.place)
    elif given.path:
        what = shlex.quote(given.path)
    elif given.name.startswith(OF_DOMAIN):
        what = shlex.quote(given.name.removeprefix(OF_DOMAIN))
    else:
        what = _ARGUMENT if given.name == ARGUMENT else _STDIN
    return " ".join([what, *options])


def _is_no_file(given: str) -> bool:
    """Tell whether a call is about what is no file, so that nothing can be written back."""
    return given.startswith((_STDIN + " ", _ARGUMENT)) or given == _STDIN or _WORDS in given
