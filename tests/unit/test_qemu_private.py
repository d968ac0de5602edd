"""Which index QEMU gives an isa-serial: what the board has of its own counts."""

from __future__ import annotations

import pytest

from vmserial.model import Capabilities
from vmserial.qemu.isolation import isolate
from vmserial.sources.command import CommandLine, CommandView

DEVICE = "-device isa-serial,chardev=c -chardev pty,id=c"


@pytest.mark.parametrize(
    ("words", "arch", "index"),
    [
        # The super I/O chip's two are there without a -serial, and with one; its third is no ISA.
        ("-M malta -nodefaults", "mips64el", 2),
        ("-M malta -nodefaults -serial pty -serial pty -serial pty", "mips64el", 2),
        ("-M pc -nodefaults", "x86_64", 0),
        ("-M pc -nodefaults -serial pty -serial pty", "x86_64", 2),
        # Of microvm's -serial one is wired up, and that not always.
        ("-M microvm -nodefaults -serial pty -serial pty", "x86_64", 1),
        ("-M microvm,isa-serial=off -nodefaults -serial pty", "x86_64", 0),
        ("-M microvm,isa-serial=off", "x86_64", 0),
    ],
)
def test_an_isa_serial_is_known_by_the_index_that_it_gets(
    words: str, arch: str, index: int
) -> None:
    command = CommandLine.parse(f"qemu-system-{arch} {words} {DEVICE}")
    view = CommandView.of(command, arch=arch)
    made = isolate(view, Capabilities((7, 2, 22), arch), lambda name: f"/p/{name}")
    assert [port.number for port in made.ports if port.driver == "isa-serial"] == [index]
