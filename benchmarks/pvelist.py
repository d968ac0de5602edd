#!/usr/bin/env python3
"""`vmserial pve list` over 300 VMs as a whole process, beside an earlier build of vmserial.

The VMs are the twenty of tests/unit/pve_tree.py, fifteen times each, on two nodes.

    .venv/bin/python benchmarks/pvelist.py [ROUNDS]
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from common import TESTS, Build, Row, alone, builds

sys.path.append(str(TESTS / "unit"))

import pve_tree

TIMES = 15


def tree(root: Path) -> int:
    """Write the cluster; return how many VMs it has."""
    vms = [
        replace(vm, vmid=vm.vmid + 1000 * number) for number in range(TIMES) for vm in pve_tree.VMS
    ]
    pve_tree.make(root)
    for vm in vms:
        path = root / "etc/pve/nodes"
        # A copy has its original's architecture, whatever its own number is.
        node = "intel" if vm.vmid % 1000 >= 200 else "arm"
        (path / node / "qemu-server" / f"{vm.vmid}.conf").write_bytes(vm.text.encode())
    return len(vms)


def listed(words: tuple[str, ...], build: Build) -> float:
    """Return the milliseconds of one listing."""
    return build.vmserial("pve", "list", *words).wall * 1000


def rows(rounds: int = 7) -> Iterator[Row]:
    """Measure it."""
    with tempfile.TemporaryDirectory(prefix="vmserial-bench-") as name, builds() as both:
        count = tree(Path(name))
        for form in ((), ("--json",)):
            yield both.compared(
                " ".join(("pve list", *form)) + f", {count} VMs",
                partial(listed, (*form, "--root", name)),
                rounds=rounds,
                aim="ratio ≤ 0.5",
            )


if __name__ == "__main__":
    alone(rows, 7)
