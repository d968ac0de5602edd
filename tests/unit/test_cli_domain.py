"""`doctor` and `fix` of a libvirt domain as a user types them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from vmserial.cli.main import run

DATA = Path(__file__).parents[1] / "data" / "libvirt"


@pytest.fixture
def guest(tmp_path: Path) -> Path:
    """A domain with four default serials."""
    return Path(shutil.copy(DATA / "aarch64-untyped.xml", tmp_path / "guest.xml"))


def test_doctor_then_fix_in_place(guest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = guest.read_bytes()
    assert run(["doctor", str(guest), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert {f["id"] for f in found} >= {"onboard-uart-limit", "output-lost-while-detached"}
    assert run(["fix", str(guest)]) == 0
    said = capsys.readouterr()
    assert "+      <target type='usb-serial'/>" in said.out
    assert "nothing was written" in said.err
    assert guest.read_bytes() == before
    assert run(["fix", str(guest), "--apply"]) == 0
    assert guest.read_bytes() != before
    assert run(["doctor", str(guest)]) == 0
    capsys.readouterr()
    assert run(["fix", str(guest), "--diff"]) == 0
    assert not capsys.readouterr().out


def test_fix_as_json_and_of_another_kind(guest: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["fix", str(guest), "--type", "virtio", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert "<target type='virtio' name='serial3'/>" in told["xml"]
    # QEMU 9.1 and later wire up two of the four UARTs, older ones one.
    assert [change["id"] for change in told["changes"]][-2:] == ["onboard-uart-limit"] * 2
    assert told["left"] == []


def test_what_a_domain_cannot(guest: Path) -> None:
    assert run(["fix", str(guest), "--type", "pci-4x"]) == 2


def test_a_domain_of_libvirts_is_planned(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["showcmd", str(DATA / "aarch64-untyped.xml")]) == 0
    assert "usb-serial" in capsys.readouterr().out


def test_showcmd_takes_the_domains_own_emulator(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = tmp_path / "qemu-kvm"
    own.symlink_to(str(shutil.which("qemu-system-aarch64")))
    guest = tmp_path / "guest.xml"
    text = (DATA / "aarch64-typed.xml").read_text()
    there = "/usr/bin/qemu-system-aarch64"
    assert f"<emulator>{there}</emulator>" in text
    for emulator, taken in ((own, own), ("/opt/none/qemu-kvm", None)):
        guest.write_text(text.replace(there, str(emulator)))
        assert run(["showcmd", "--json", str(guest)]) == 0
        said = capsys.readouterr()
        shown = json.loads(said.out)[0]
        if taken is not None:
            assert shown == str(taken)
            assert "the emulator" not in said.err
        else:
            assert shown.endswith("qemu-system-aarch64")
            assert f"replaced: the emulator {emulator}: {shown} is taken" in said.err
