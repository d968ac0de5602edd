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
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from vmserial.guests import profile
from vmserial.judge import Wishes
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


def seconds(command: list[str]) -> float:
    """Return the wall time of one process."""
    begin = time.perf_counter()
    pid = os.posix_spawn(command[0], command, os.environ)
    _, status = os.waitpid(pid, 0)
    assert status == 0, (command, status)
    return time.perf_counter() - begin


def installed(directory: Path) -> str:
    """Install a shim before /bin/true and return its path."""
    tree = Tree()
    true = tree.resolved("/bin/true")
    names = "usb-serial qemu-xhci pci-serial virtserialport virtconsole virtio-serial-pci"
    binary = Capabilities(
        (7, 2, 0), "aarch64", devices={n: DeviceType(n) for n in names.split()},
        onboard_uarts={"virt": 1},
    )  # fmt: skip
    facts = Facts(tree.key(true), binary, profile.unknown("aarch64"), Wishes())
    target = str(directory / "qemu-system-aarch64")
    base, log = str(directory / "lib"), str(directory / "log")
    run(install(tree, Order("path", target, true, facts, base=base, log=log)))
    return target


def main(rounds: int = 40) -> None:
    """Print the figures."""
    # Not in /tmp: a shim below a directory that everybody may write to mends nothing.
    directory = Path(tempfile.mkdtemp(prefix="vmserial-shim-", dir=Path("~/.cache").expanduser()))
    try:
        shim = installed(directory)
        commands = {
            "plain exec": ["/bin/true", *SERIAL.split()],
            "shim, nothing serial": [shim, *PLAIN.split()],
            "shim, three ports mended": [shim, *SERIAL.split()],
            "python -ISB -c pass": [bundle.PYTHON, bundle.FLAGS, "-c", "pass"],
        }
        for command in commands.values():
            seconds(command)
        rows = [{name: seconds(words) for name, words in commands.items()} for _ in range(rounds)]
        written = (directory / "log").read_text().count("\n")
        assert written == 3 * (rounds + 1), written
    finally:
        shutil.rmtree(directory)
    version = subprocess.run(
        [bundle.PYTHON, "--version"], capture_output=True, text=True, check=True
    ).stdout.strip()
    print(f"{rounds} rounds, {version}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}")
    for name in commands:
        own = [row[name] * 1000 for row in rows]
        added = [(row[name] - row["plain exec"]) * 1000 for row in rows]
        ratio = [row[name] / row["plain exec"] for row in rows]
        bare = [row[name] / row["python -ISB -c pass"] for row in rows]
        print(
            f"{name:26} min {min(own):5.1f}  median {statistics.median(own):5.1f} ms   "
            f"added: min {min(added):5.1f}  median {statistics.median(added):5.1f} ms   "
            f"ratio: {statistics.median(ratio):5.1f}, to bare Python {statistics.median(bare):4.1f}"
        )


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:2]))
