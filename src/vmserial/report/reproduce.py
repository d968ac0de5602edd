"""The command that tries one VM of a run again, with the same bytes; pure."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Sequence
from itertools import pairwise

_FLAGS = frozenset({"-q", "--quiet", "--json"})
"""Words of the call that change nothing of what is tried."""


def again(
    call: Sequence[str], seed: int, *, cases: Collection[str] = (), kind: str = "",
    arch: str = "", suite: str = "", binary: str = "",
) -> str:  # fmt: skip
    """Return the command line that tries a VM of a run again, as shell text.

    The seed and the VM decide the bytes, so the other VMs can be left out.

    Args:
        call: the words of the run's own command line, without the program's name.
        seed: of the run's data; 0: it sent none, as a firmware gets none.
        cases: what was tried on the VM.
        kind: the device kind that it is about; empty for an input.
        arch: QEMU's target name.
        suite: the guest's Debian release; empty for a guest of the user's own.
        binary: the QEMU that ran it.

    Returns:
        The command; empty where the call is not known.  The call itself where it is not
        one of ``verify``.
    """
    if not call:
        return ""
    if call[0] != "verify":
        return shlex.join(["vmserial", *call])
    end = call.index("--") if "--" in call else len(call)
    words, rest = list(call[:end]), list(call[end:])
    added = ["--seed", str(seed)] if seed else []
    dropped = {"--seed", "--out"}
    # What is proven as it stands has one case, which is not one of --case.
    if _values(words, "--case") or kind:
        dropped.add("--case")
        added += [word for case in cases for word in ("--case", case)]
    if kind:
        dropped.add("--type")
        added += ["--type", kind]
    for option, value in (("--arch", arch), ("--suite", suite), ("--qemu", binary)):
        if value and len(_values(words, option)) > 1:
            dropped.add(option)
            added += [option, value]
    return shlex.join(["vmserial", *_without(words, dropped), *added, *rest])


def piped(call: Sequence[str]) -> bool:
    """Tell whether a call read its input from a pipe, which nobody can read again."""
    end = call.index("--") if "--" in call else len(call)
    return any(word == "-" or word.startswith(("/dev/fd/", "/proc/self/")) for word in call[:end])


def _values(words: Sequence[str], option: str) -> list[str]:
    """Return the values of an option, wherever it stands."""
    values = [word.partition("=")[2] for word in words if word.startswith(f"{option}=")]
    return values + [value for word, value in pairwise(words) if word == option]


def _without(words: Sequence[str], options: Collection[str]) -> list[str]:
    """Return the words without some options and their values.

    Of ``--type`` only what is for all ports is taken out: ``--type serial3=pci`` stays.
    """
    kept: list[str] = []
    rest = iter(words)
    for word in rest:
        option, equals, value = word.partition("=")
        if option in options:
            value = value if equals else next(rest, "")
            if option == "--type" and value.startswith("serial"):
                kept += [option, value]
        elif word not in _FLAGS:
            kept.append(word)
    return kept
