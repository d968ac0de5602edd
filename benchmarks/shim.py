#!/usr/bin/env python3
"""What the emulator shim adds to the start of a VM, as a whole process.

/bin/true stands for the emulator.  Each round starts it plainly, through the
shim with a command line that has nothing serial, through the shim with one that
needs three ports mended, and the bare interpreter, one after the other, so that
the machine's speed falls out of the ratios.

    .venv/bin/python benchmarks/shim.py [ROUNDS]
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from time import perf_counter

from common import Row, alone, in_turn

from vmserial.guests import profile
from vmserial.judge import RepairPolicy
from vmserial.model import Capabilities, DeviceType
from vmserial.shim import bundle
from vmserial.shim.facts import Facts
from vmserial.shim.install import Order, install, run
from vmserial.shim.tree import Tree

PLAIN = "-name vm -machine virt -m 512 -nodefaults -display none -device virtio-balloon-pci"
SERIAL = PLAIN + " -chardev socket,id=serial0,path=/run/s0,server=on,wait=off" + (
    " -serial chardev:serial0"
    + "".join(
        f" -chardev socket,id=serial{n},path=/run/s{n},server=on,wait=off"
        f" -device isa-serial,chardev=serial{n}"
        for n in (1, 2, 3)
    )
)  # fmt: skip


def started(command: list[str]) -> float:
    """Return the wall time of one process in milliseconds, without what subprocess adds."""
    begin = perf_counter()
    pid = os.posix_spawn(command[0], command, os.environ)
    _, status = os.waitpid(pid, 0)
    assert status == 0, (command, status)
    return (perf_counter() - begin) * 1000


def installed(directory: Path) -> str:
    """Install a shim before /bin/true and return its path."""
    tree = Tree()
    true = tree.resolved("/bin/true")
    names = "usb-serial qemu-xhci pci-serial virtserialport virtconsole virtio-serial-pci"
    binary = Capabilities(
        (7, 2, 0), "aarch64", devices={n: DeviceType(n) for n in names.split()},
        onboard_uarts={"virt": 1},
    )  # fmt: skip
    facts = Facts(tree.key(true), binary, profile.unknown("aarch64"), RepairPolicy())
    target = str(directory / "qemu-system-aarch64")
    base, log = str(directory / "lib"), str(directory / "log")
    run(install(tree, Order("path", target, true, facts, base=base, log=log)))
    return target


def rows(rounds: int = 40) -> Iterator[Row]:
    """Measure it."""
    # Not in /tmp: a shim below a directory that everybody may write to mends nothing.
    place = Path("~/.cache").expanduser()
    place.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="vmserial-shim-", dir=place))
    try:
        shim = installed(directory)
        commands = {
            "plain exec": ["/bin/true", *SERIAL.split()],
            "nothing serial": [shim, *PLAIN.split()],
            "three ports mended": [shim, *SERIAL.split()],
            "python -ISB -c pass": [bundle.PYTHON, bundle.FLAGS, "-c", "pass"],
        }
        for command in commands.values():
            started(command)
        taken = in_turn(
            {name: partial(started, words) for name, words in commands.items()},
            rounds,
        )
        written = (directory / "log").read_text().count("\n")
        assert written == 3 * (rounds + 1), written
    finally:
        shutil.rmtree(directory)
    plain, python = taken["plain exec"], taken["python -ISB -c pass"]
    for name in ("nothing serial", "three ports mended"):
        added = [own - bare for own, bare in zip(taken[name], plain, strict=True)]
        yield Row.of(
            f"the shim adds to a start, {name}", "ms", added,
            peer="python -ISB -c pass", base=python,
        )  # fmt: skip


if __name__ == "__main__":
    alone(rows, 40)
