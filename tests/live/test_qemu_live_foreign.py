"""QEMU of other Debian releases: fetched, started, probed, and as recorded.

Needs the network of a Debian mirror, so only in the long run.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from test_qemu_live_binary import TYPES, hold_against_record

from vmserial.errors import ImageError
from vmserial.guests.foreign import fetch
from vmserial.qemu import binary
from vmserial.qemu.accel import GUESTS, try_guest
from vmserial.qemu.process import VirtualMachine

pytestmark = [pytest.mark.live, pytest.mark.full]

SUITES = {"bullseye": (5, 2), "trixie": (10, 0), "sid": (11, 1)}


@pytest.mark.parametrize("suite", SUITES)
def test_a_foreign_qemu_is_as_good_as_an_installed_one(suite: str) -> None:
    for arch, path in fetch(suite, ["aarch64", "x86_64"]).items():
        found = binary.probe(str(path), machine_types=TYPES[arch], arch=arch, refresh=True)
        if suite != "sid":  # sid moves on
            assert found.version[:2] == SUITES[suite]
        hold_against_record(found)
        assert try_guest(str(path), GUESTS[arch], "tcg", 20) == ""

        async def start(words: list[str]) -> VirtualMachine:
            async with VirtualMachine(words, paused=True) as vm:
                await vm.monitor.execute("query-status")
            return vm

        words = [str(path), "-machine", TYPES[arch][0], "-accel", "tcg", "-display", "none"]
        vm = asyncio.run(start([*words, "-nodefaults"]))
        assert vm.returncode == 0
        # No module of the host's own QEMU was tried.
        assert vm.stderr_text() == ""


def test_a_suite_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="does not have a Release file"):
        fetch("nosuchsuite", ["aarch64"], tmp_path)
