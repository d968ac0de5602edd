"""A kernel without a driver is told from a dead port: by what the guest says of itself."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
from local_shell import over_socket
from plans import planned

from vmserial.guests.shell import Shell
from vmserial.verify import undriven
from vmserial.verify.results import CANNOT, FaultKind
from vmserial.verify.wire.transfer import Line

NO_USB = "kernel 6.12-cloud\nasked usb\nasked ftdi_sio\n"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (NO_USB, "kernel 6.12-cloud has no USB (there is no /sys/bus/usb)"),
        ("kernel 6.8-kvm\nusb\nasked ftdi_sio\n", "kernel 6.8-kvm has no ftdi_sio"),
        ("kernel 6.12\nusb\nftdi_sio\n", ""),
        ("kernel 6.12\nasked usb\nusb\nasked ftdi_sio\nftdi_sio\n", ""),  # not loaded yet
        ("kernel 6.12\n", ""),  # without a list of its modules
        ("", ""),
    ],
)
def test_what_the_guest_says_is_told_in_words(said: str, words: str) -> None:
    assert (words in undriven.reason(said)) if words else undriven.reason(said) == ""


@pytest.mark.parametrize(
    ("there", "modules", "expected"),
    [
        ((), "", "no USB"),
        (("drivers/usb",), "", "no ftdi_sio"),
        (("drivers/usb",), "ftdi_sio", ""),
        ((), "usbcore ftdi_sio", ""),
        (("drivers/ftdi_sio",), "", ""),
        ((), None, ""),
    ],
)
def test_it_is_looked_for_in_sysfs_and_among_the_modules(
    there: tuple[str, ...], modules: str | None, expected: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    for name in there:
        (tmp_path / "usb" / name).mkdir(parents=True)
    look = undriven._LOOK.replace("/sys/bus/usb", str(tmp_path / "usb"))
    monkeypatch.setattr(undriven, "_LOOK", look.replace("/lib/modules/", f"{tmp_path}/"))
    if modules is not None:
        here = tmp_path / os.uname().release
        here.mkdir()
        listed = "".join(f"kernel/drivers/{name}.ko.xz:\n" for name in modules.split())
        (here / "modules.dep").write_text(listed)
    lines = [Line(one) for one in planned(ports=2, kind="usb").assignments]

    async def main() -> list[Line]:
        async with over_socket(["sh"]) as stream:
            shell = Shell(*stream)
            await shell.ready(10)
            found = await undriven.driven(lines, shell, 10)
            await shell.close()
            return found

    found = asyncio.run(main())
    assert [one.name for one in found] == ["serial0", "serial1"][: 1 if expected else 2]
    assert [fault.kind for fault in lines[1].trouble] == [FaultKind.NO_DRIVER] * bool(expected)
    assert all(expected in fault.detail for fault in lines[1].trouble)
    assert FaultKind.NO_DRIVER in CANNOT


def test_ports_of_other_kinds_are_not_asked_about() -> None:
    lines = [Line(one) for one in planned(ports=2, kind="pci").assignments]
    nobody = cast(Shell, SimpleNamespace())
    assert len(asyncio.run(undriven.driven(lines, nobody, 1.0))) == 2
