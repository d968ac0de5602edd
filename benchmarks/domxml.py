#!/usr/bin/env python3
"""A libvirt domain into a QEMU command line: vmserial beside `virsh domxml-to-native`.

The same domains, with 2, 10 and 40 serial ports, go through `vmserial showcmd`,
through virsh with libvirt embedded in it, and through virsh and a libvirtd on a
private socket.  Per item: virsh with many commands in one process less virsh
with one, beside vmserial's functions (read the file, parse, plan, render) in a
process that has them loaded; the same in processor time, which tells more where the
machine is busy.  Last, what Python itself takes before it does anything.

Needs what `make test` installs.  The accounts that libvirt asks for are made in a mount
namespace where the machine has none (a full libvirt-daemon-system brings them).

    .venv/bin/python benchmarks/domxml.py [ROUNDS]
"""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from time import perf_counter

from common import TESTS, Row, alone, environment, in_turn, milliseconds

sys.path += [str(TESTS / part) for part in ("unit", "live")]


from private_libvirt import ACCOUNTS, PrivateLibvirt

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


@contextmanager
def accounts(where: Path) -> Iterator[list[str]]:
    """Give the words before a command that needs libvirt's accounts; none where they are there."""
    try:
        pwd.getpwnam("libvirt-qemu")
        missing = False
    except KeyError:
        missing = os.geteuid() == 0  # a user's own libvirt does not ask for them
    if not missing:
        yield []
        return
    with subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", f"set -e\n{ACCOUNTS}echo ready\nexec sleep 86400", "sh",
         str(where)], stdout=subprocess.PIPE, text=True,
    ) as holder:  # fmt: skip
        try:
            assert holder.stdout is not None
            if holder.stdout.readline() != "ready\n":
                raise SystemExit("no mount namespace with libvirt's accounts can be made here")
            yield ["nsenter", f"--mount=/proc/{holder.pid}/ns/mnt"]
        finally:
            holder.kill()


def output(words: list[str], env: dict[str, str]) -> str:
    """Return what a process says."""
    done = subprocess.run(words, capture_output=True, text=True, env=env, timeout=300)
    if done.returncode:
        raise SystemExit(f"{words[:4]}: {done.stderr}")
    return done.stdout


def in_process(path: Path, capabilities: Capabilities) -> None:
    """Convert BATCH times, as `vmserial showcmd` does once it is loaded."""
    guest = profile.unknown("aarch64")
    for _ in range(BATCH):
        command_line(planner.plan(load(str(path)), capabilities, guest))


def wall(work: Callable[[], object]) -> float:
    """Return the milliseconds of an item of a batch."""
    begin = perf_counter()
    work()
    return (perf_counter() - begin) * 1000 / BATCH


def busy(work: Callable[[], object]) -> float:
    """Return the processor milliseconds of an item of a batch, here and in its processes."""
    begin = os.times()
    work()
    return (sum(os.times()[:4]) - sum(begin[:4])) * 1000 / BATCH


def compared(path: Path, libvirts: dict[str, list[str]], root: str, rounds: int) -> Iterator[Row]:
    """Measure one domain beside each way to ask libvirt."""
    plain = {"PATH": os.environ["PATH"], "HOME": root, "LC_ALL": "C"}
    verb = f"domxml-to-native qemu-argv {path}"
    wanted = path.read_text().count("<serial ")

    def virsh(way: str, count: int) -> list[str]:
        return [*libvirts[way], "; ".join([verb] * count)]

    showcmd = [sys.executable, "-m", "vmserial", "showcmd", str(path)]
    # The first runs ask the emulator and fill the caches.
    for words, env in ((showcmd, environment()), *((virsh(way, 1), plain) for way in libvirts)):
        assert output(words, env).count("-chardev pty") == wanted, words
    processes = {way: partial(milliseconds, virsh(way, 1), plain) for way in libvirts}
    whole = in_turn({"vmserial": partial(milliseconds, showcmd), **processes}, rounds)
    for way in libvirts:
        yield Row.of(
            f"a domain with {wanted} ports, showcmd", "ms", whole["vmserial"], peer=way,
            base=whole[way],
        )  # fmt: skip
    capabilities, _ = capabilities_of(load(str(path)))
    in_process(path, capabilities)

    def item(measure: Callable[[Callable[[], object]], float], way: str) -> float:
        """Return one of many: what the process itself takes falls out."""
        many = measure(lambda: output(virsh(way, BATCH + 1), plain))
        return many - measure(lambda: output(virsh(way, 1), plain))

    for name, measure in (("", wall), (", processor", busy)):
        # A daemon's processor time is not a child's.
        ways = [way for way in libvirts if measure is wall or "embedded" in way]
        items = {way: partial(item, measure, way) for way in ways}
        ours = partial(measure, partial(in_process, path, capabilities))
        taken = in_turn({"vmserial": ours, **items}, max(3, rounds // 4))
        for way in ways:
            yield Row.of(
                f"a domain with {wanted} ports, in-process{name}", "ms", taken["vmserial"],
                peer=f"{way}, per item", base=taken[way],
            )  # fmt: skip


def floor(rounds: int) -> Iterator[Row]:
    """Measure what Python takes without vmserial."""
    python = sys.executable
    runs = {
        "python -I -S -c pass": [python, "-I", "-S", "-c", "pass"],
        "python -c pass": [python, "-c", "pass"],
        "python -c 'import click'": [python, "-c", "import click"],
        "python -c 'import dataclasses, re, json'": [python, "-c", "import dataclasses, re, json"],
        "vmserial --version": [python, "-m", "vmserial", "--version"],
    }
    taken = in_turn({name: partial(milliseconds, words) for name, words in runs.items()}, rounds)
    for name in runs:
        yield Row.of(name, "ms", taken[name])


def rows(rounds: int = 15) -> Iterator[Row]:
    """Measure it."""
    with (
        tempfile.TemporaryDirectory(prefix="vmsbench-") as root,
        PrivateLibvirt(["/usr/bin/qemu-system-aarch64"]) as daemon,
    ):
        Path(root, "etc").mkdir()
        Path(root, "etc/qemu.conf").write_text(
            'user = "root"\ngroup = "root"\nsecurity_driver = "none"\n'
        )
        (where := Path(root, "accounts")).mkdir()
        with accounts(where) as before:
            embedded = ["virsh", "-q", "-c", f"qemu:///embed?root={root}"]
            libvirts = {
                "virsh, libvirt embedded": [*before, *embedded],
                "virsh and libvirtd": ["virsh", "-q", "-c", daemon.uri],
            }
            for ports in PORTS:
                path = Path(root, f"bench{ports}.xml")
                path.write_text(domain(ports))
                yield from compared(path, libvirts, root, rounds)
    yield from floor(rounds)


if __name__ == "__main__":
    alone(rows, 15)
