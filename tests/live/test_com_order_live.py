"""isa-serial in odd orders: a plan has each port where QEMU itself puts it."""

from __future__ import annotations

import re
import shlex
import subprocess

import pytest
from plans import ROOMY, binary

from vmserial.planning import planner
from vmserial.sources.command.document import CommandLine
from vmserial.sources.command.machine import machine

BASE = "qemu-system-x86_64 -M pc -nodefaults -display none -S"
IDS = "abcd"


@pytest.mark.parametrize(
    ("serials", "devices", "order"),
    [
        ("", "a,index=1 b,index=0", "ab"),
        ("", "a,index=3 b", "ab"),
        ("", "a b", "ab"),
        ("chardev:c", "a,index=3 b", "cab"),
        ("chardev:c", "a,iobase=0x2e8,irq=3 b", "cab"),
        ("none chardev:c", "a,index=0", "ca"),
    ],
)
def test_a_plan_has_each_com_port_where_qemu_puts_it(
    serials: str, devices: str, order: str
) -> None:
    words = " ".join(
        [f"-serial {one}" for one in serials.split()]
        + [f"-device isa-serial,id={one[0]},chardev={one}" for one in devices.split()]
    )
    chardevs = " ".join(f"-chardev null,id={id}" for id in IDS)
    command = f"{BASE} {chardevs} {words}"
    made = planner.plan(machine(CommandLine.parse(command)), binary("x86_64"), ROOMY)
    planned = [one.identity.value for one in made.assignments]
    done = subprocess.run(
        [*shlex.split(command), "-monitor", "stdio"], input="info qtree\nquit\n", text=True,
        capture_output=True, timeout=30,
    )  # fmt: skip
    tree = re.findall(r'dev: isa-serial, id "(\w*)".*?iobase = (\d+)', done.stdout, re.S)
    # A -serial's device has no id, and its chardev is c.
    there = {id or "c": hex(int(base)) for id, base in tree}
    assert planned == [there[id] for id in order], done.stderr
