"""The host that a verification ran on: what its figures depend on."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from vmserial.machines import Platform

_CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True)
class HostFacts:
    """The host's properties that figures depend on; nothing that tells whose host it is.

    Attributes:
        cpu: the processor's model.
        cores: processors that this process may use.
        memory_mib: RAM in MiB.
        kernel: the kernel's release.
        python: Python's version.
        load: load averages over 1, 5 and 15 minutes, at the time of asking.
        accel: the accelerator that was used, if one was.
    """

    cpu: str = ""
    cores: int = 0
    memory_mib: int = 0
    kernel: str = ""
    python: str = ""
    load: tuple[float, float, float] = (0.0, 0.0, 0.0)
    accel: str = ""

    @classmethod
    def gather(cls, accel: str = "") -> HostFacts:
        """Ask this host; what it does not tell stays empty."""
        try:
            load = os.getloadavg()
        except OSError:
            load = (0.0, 0.0, 0.0)
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return cls(
            cpu=_cpu_model(),
            cores=len(os.sched_getaffinity(0)),
            memory_mib=pages // (1 << 20),
            kernel=os.uname().release,
            python=".".join(map(str, sys.version_info[:3])),
            load=(round(load[0], 2), round(load[1], 2), round(load[2], 2)),
            accel=accel,
        )


def emulated_words(board: Platform | None, *, kvm: bool, cpuinfo: Path = _CPUINFO) -> str:
    """Return what a kernel needs to be told to boot on a board whose processor is emulated.

    TCG's time stamp counter is the host's own, which is 1 GHz where the host says nothing.  A
    wrong value makes the guest's clock run as much too fast or slow, and nothing else.

    Args:
        board: None: one that is not known.
        kvm: its processor is not emulated.
        cpuinfo: where Linux tells the frequency.
    """
    if board is None or kvm or not board.tcg_words:
        return ""
    try:
        found = re.search(r"^cpu MHz\s*:\s*(\d+(?:\.\d+)?)", cpuinfo.read_text("utf-8"), re.M)
    except OSError:
        found = None
    return board.tcg_words.format(tsc_khz=round(float(found[1]) * 1000) if found else 1_000_000)


def _cpu_model(cpuinfo: Path = _CPUINFO) -> str:
    """Return the CPU's name; on arm, where Linux gives none, its implementer and part."""
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return os.uname().machine
    found = dict(re.findall(r"^([^\t:\n]+?)\s*:[ \t]*(\S.*?)\s*$", text, re.MULTILINE))
    for key in ("model name", "Model", "cpu", "cpu model"):
        if key in found:
            return str(found[key])
    if "CPU part" in found:
        return (
            f"{os.uname().machine} implementer {found.get('CPU implementer', '?')} "
            f"part {found['CPU part']}"
        )
    return os.uname().machine
