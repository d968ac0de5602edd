#!/usr/bin/env python3
"""A libvirt domain into a QEMU command line: vmserial beside `virsh domxml-to-native`.

The same domains, with 2, 10 and 40 serial ports, go through `vmserial showcmd`,
through virsh with libvirt embedded in it, and through virsh and a libvirtd on a
private socket.  Whole processes run in turn, so that the machine's speed falls
out of the ratios.  Per item: virsh with many commands in one process less virsh
with one, beside vmserial's functions (read the file, parse, plan, render) in a
process that has them loaded.  The same in processor time,
which tells more where the machine is busy.  Last, what Python itself takes before it does anything.

Needs libvirt-daemon-system and libvirt-clients (scripts/system-packages).

    .venv/bin/python benchmarks/domxml.py [ROUNDS]
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "tests" / part) for part in ("unit", "live")]

# ruff: noqa: E402 - what stands in tests/ is found only now
from private_libvirt import PrivateLibvirt

from vmserial.cli.data import command_line
from vmserial.cli.gather import capabilities_of
from vmserial.guests import profile
from vmserial.model import Capabilities
from vmserial.planning import planner
from vmserial.sources import load

PORTS = (2, 10, 40)
BATCH = 200


def domain(ports: int) -> str:
    """Return a domain: one on-board UART, the others usb-serial, 15 on a controller."""
    controllers = "".join(
        f"<controller type='usb' index='{n}' model='qemu-xhci' ports='15'/>"
        for n in range((ports + 13) // 15)
    )
    usb = "".join(
        f"<serial type='pty'><target type='usb-serial' port='{n}'/>"
        f"<address type='usb' bus='{(n - 1) // 15}' port='{(n - 1) % 15 + 1}'/></serial>"
        for n in range(1, ports)
    )
    return (
        f"<domain type='qemu'><name>bench{ports}</name><memory unit='MiB'>512</memory>"
        "<vcpu>1</vcpu><os><type arch='aarch64' machine='virt'>hvm</type></os><devices>"
        f"<emulator>/usr/bin/qemu-system-aarch64</emulator>{controllers}"
        "<serial type='pty'><target type='system-serial' port='0'/></serial>"
        f"{usb}</devices></domain>"
    )


def output(words: list[str], environment: dict[str, str]) -> str:
    """Return what a process says."""
    done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=300)
    if done.returncode:
        sys.exit(f"{words[:4]}: {done.stderr}")
    return done.stdout


def seconds(words: list[str], environment: dict[str, str]) -> float:
    """Return the wall time of a process."""
    begin = time.perf_counter()
    output(words, environment)
    return time.perf_counter() - begin


def in_process(path: Path, capabilities: Capabilities, times: int) -> float:
    """Return the seconds of one conversion: what `vmserial showcmd` does, once it is loaded."""
    guest = profile.unknown("aarch64")
    begin = time.perf_counter()
    for _ in range(times):
        command_line(planner.plan(load(str(path)), capabilities, guest))
    return (time.perf_counter() - begin) / times


def processor(work: Callable[[], object]) -> float:
    """Return the processor seconds of some work, here and in its processes."""
    begin = os.times()
    work()
    return sum(os.times()[:4]) - sum(begin[:4])


def median_ms(values: list[float]) -> str:
    """Return a median and the least in milliseconds."""
    return f"median {statistics.median(values) * 1000:7.2f} ms  min {min(values) * 1000:7.2f} ms"


def compared(path: Path, daemon: PrivateLibvirt, root: str, rounds: int) -> None:
    """Print the figures of one domain."""
    ours = dict(os.environ)
    ours.pop("PYTHONDONTWRITEBYTECODE", None)
    plain = {"PATH": "/usr/bin:/bin", "HOME": root, "LC_ALL": "C"}
    verb = f"domxml-to-native qemu-argv {path}"

    def virsh(uri: str, count: int) -> list[str]:
        return ["virsh", "-q", "-c", uri, "; ".join([verb] * count)]

    embedded, private = f"qemu:///embed?root={root}", daemon.uri
    showcmd = [sys.executable, "-m", "vmserial", "showcmd", str(path)]
    runs: dict[str, tuple[list[str], dict[str, str]]] = {
        "vmserial showcmd": (showcmd, ours),
        "virsh, embedded": (virsh(embedded, 1), plain),
        "virsh, libvirtd": (virsh(private, 1), plain),
    }
    # The first runs ask the emulator and fill the caches.
    wanted = path.read_text().count("<serial ")
    for name, (words, environment) in runs.items():
        text = output(words, environment)
        assert text.count("-chardev pty") == wanted, (name, text)
    rows = [{n: seconds(*run) for n, run in runs.items()} for _ in range(rounds)]
    print(f"\n{wanted} ports, whole process, {rounds} rounds")
    for name in runs:
        against = [row["vmserial showcmd"] / row[name] for row in rows]
        print(f"  {name:20} {median_ms([r[name] for r in rows])}   "
              f"vmserial takes {statistics.median(against):.2f} x")  # fmt: skip

    def per_item(uri: str, environment: dict[str, str]) -> float:
        many = seconds(virsh(uri, BATCH + 1), environment)
        return (many - seconds(virsh(uri, 1), environment)) / BATCH

    measures: dict[str, Callable[[], float]] = {
        "vmserial": lambda: in_process(path, capabilities, BATCH),
        "virsh, embedded": lambda: per_item(embedded, runs["virsh, embedded"][1]),
        "virsh, libvirtd": lambda: per_item(private, runs["virsh, libvirtd"][1]),
    }
    capabilities, _ = capabilities_of(load(str(path)))
    in_process(path, capabilities, 1)
    items = [{n: take() for n, take in measures.items()} for _ in range(max(3, rounds // 4))]
    print(f"{wanted} ports, per item, {BATCH} in one process, {len(items)} rounds")
    busy = {
        "vmserial": lambda: processor(lambda: in_process(path, capabilities, BATCH)) / BATCH,
        "virsh, embedded": lambda: (
            (
                processor(lambda: seconds(virsh(embedded, BATCH + 1), plain))
                - processor(lambda: seconds(virsh(embedded, 1), plain))
            )
            / BATCH
        ),
    }
    spent = [{n: take() for n, take in busy.items()} for _ in range(max(3, rounds // 4))]
    for name in measures:
        ratio = [row[name] / row["vmserial"] for row in items]
        print(f"  {name:20} {median_ms([r[name] for r in items])}   "
              f"{statistics.median(ratio):.2f} x vmserial's")  # fmt: skip
    print(f"{wanted} ports, per item, processor time")
    for name in busy:
        ratio = [row[name] / row["vmserial"] for row in spent]
        print(f"  {name:20} {median_ms([r[name] for r in spent])}   "
              f"{statistics.median(ratio):.2f} x vmserial's")  # fmt: skip


def floor(rounds: int) -> None:
    """Print what Python takes without vmserial."""
    python = sys.executable
    runs = {
        "python -I -S -c pass": [python, "-I", "-S", "-c", "pass"],
        "python -c pass": [python, "-c", "pass"],
        "… import click": [python, "-c", "import click"],
        "… dataclasses, re, json": [python, "-c", "import dataclasses, re, json, enum"],
        "vmserial --version": [python, "-m", "vmserial", "--version"],
    }
    environment = dict(os.environ)
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    rows = [{n: seconds(words, environment) for n, words in runs.items()} for _ in range(rounds)]
    print(f"\nPython's floor, {rounds} rounds")
    for name in runs:
        print(f"  {name:24} {median_ms([row[name] for row in rows])}")


def main(rounds: int = 15) -> None:
    """Print the figures."""
    print(f"{output(['virsh', '--version'], dict(os.environ)).strip()} libvirt, "
          f"Python {sys.version.split()[0]}, {os.cpu_count()} CPUs, "
          f"load {os.getloadavg()[0]:.1f}")  # fmt: skip
    with (
        tempfile.TemporaryDirectory(prefix="vmsbench-") as root,
        PrivateLibvirt(["/usr/bin/qemu-system-aarch64"]) as daemon,
    ):
        Path(root, "etc").mkdir()
        Path(root, "etc/qemu.conf").write_text(
            'user = "root"\ngroup = "root"\nsecurity_driver = "none"\n'
        )
        for ports in PORTS:
            path = Path(root, f"bench{ports}.xml")
            path.write_text(domain(ports))
            compared(path, daemon, root, rounds)
    floor(rounds)


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:2]))
