#!/usr/bin/env python3
"""What the emulator shim adds to the start of a VM, as a whole process.

/bin/true stands for the emulator.  Each round starts it plainly, through the shim of
today and of an earlier build with a command line that has nothing serial and with one
that needs three ports mended, and the bare interpreter, one after the other, so that the
machine's speed falls out of the ratios.

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

from common import Build, Row, alone, builds, in_turn

from vmserial.shim import bundle

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


INSTALL = """
import sys
from vmserial.guests import profile
from vmserial.model import Capabilities, DeviceType
from vmserial.shim.facts import Facts
from vmserial.shim.install import Order, install, run
from vmserial.shim.tree import Tree
try:
    from vmserial.judging import RepairPolicy
except ImportError:  # as it was called before
    from vmserial.repair import Wishes as RepairPolicy
directory = sys.argv[1]
tree = Tree()
true = tree.resolved("/bin/true")
names = "usb-serial qemu-xhci pci-serial virtserialport virtconsole virtio-serial-pci"
binary = Capabilities(
    (7, 2, 0), "aarch64", devices={n: DeviceType(n) for n in names.split()},
    onboard_uarts={"virt": 1},
)
facts = Facts(tree.key(true), binary, profile.unknown("aarch64"), RepairPolicy())
run(install(tree, Order("path", f"{directory}/qemu-system-aarch64", true, facts,
                        base=f"{directory}/lib", log=f"{directory}/log")))
print(0)
"""


def installed(build: Build, directory: Path) -> str:
    """Install a build's shim before /bin/true and return its path."""
    directory.mkdir()
    build.seconds(INSTALL, str(directory))
    return str(directory / "qemu-system-aarch64")


def rows(rounds: int = 40) -> Iterator[Row]:
    """Measure it."""
    # Not in /tmp: a shim below a directory that everybody may write to mends nothing.
    place = Path("~/.cache").expanduser()
    place.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="vmserial-shim-", dir=place))
    lines = {"nothing serial": PLAIN.split(), "three ports mended": SERIAL.split()}
    commands = {
        "plain exec": ["/bin/true", *SERIAL.split()],
        "bare python": [bundle.PYTHON, bundle.FLAGS, "-c", "pass"],
    }
    try:
        with builds() as both:
            there = {"today": both.today, "earlier": both.earlier}
            for name, build in there.items():
                if build is not None:
                    shim = installed(build, directory / name)
                    commands |= {f"{name}, {line}": [shim, *lines[line]] for line in lines}
            measures = {name: partial(started, words) for name, words in commands.items()}
            for measure in measures.values():
                measure()
            taken = in_turn(measures, rounds)
        # The figures are nothing if it did not mend.
        written = (directory / "today" / "log").read_text().count("\n")
        assert written == 3 * (rounds + 1), written
    finally:
        shutil.rmtree(directory)

    def added(name: str) -> list[float]:
        return [own - bare for own, bare in zip(taken[name], taken["plain exec"], strict=True)]

    for line in lines:
        own = added(f"today, {line}")
        name = f"the shim adds to a start, {line}"
        if f"earlier, {line}" in taken:
            before = added(f"earlier, {line}")
            yield Row.of(name, "ms", own, peer=both.name, base=before, aim="ratio ≤ 1")
        yield Row.of(name, "ms", own, peer="python -ISB -c pass", base=taken["bare python"])


if __name__ == "__main__":
    alone(rows, 40)
