"""A full system that UEFI starts from its own disk."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from plans import binary

from vmserial import chardevs
from vmserial.errors import UsageError
from vmserial.guests import images
from vmserial.machines import architecture
from vmserial.model import Machine, SerialPort
from vmserial.verify.request import TestEnvironment
from vmserial.verify.setup import setup


def disk(folder: Path, begin: bytes = b"") -> Path:
    path = folder / "disk.img"
    path.write_bytes(begin.ljust(4096, b"\0"))
    return path


@pytest.mark.parametrize(
    ("arch", "flags"), [("x86_64", {"-drive"}), ("aarch64", {"-bios"})]
)  # fmt: skip
def test_an_image_is_started_by_uefi_without_a_kernel(
    arch: str, flags: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = tmp_path / "CODE.fd"
    code.write_bytes(b"")
    known = replace(architecture(arch), firmware=str(code))
    monkeypatch.setattr("vmserial.guests.images.architecture", lambda _: known)
    guest = images.by_firmware(arch, disk(tmp_path))
    made = setup(
        Machine(arch, (SerialPort(0, chardevs.parse("socket=/x")),)),
        TestEnvironment(binary(arch), guest), "unix", lambda name: f"/run/{name}",
    )  # fmt: skip
    assert "-kernel" not in made.argv
    assert flags <= set(made.argv)
    assert any(str(code) in word for word in made.argv)
    assert any("snapshot=on" in word and "disk.img" in word for word in made.argv)
    assert not any("firmware" in note for note in made.notes)


def test_what_uefi_does_not_start_is_refused_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file_system = disk(tmp_path, b"\0" * 1080 + b"\x53\xef")
    refused = {
        ("s390x", file_system): "s390x is not started by UEFI",
        ("x86_64", file_system): "without partitions",
        ("x86_64", tmp_path / "none"): "cannot be read",
    }
    code = tmp_path / "CODE.fd"
    code.write_bytes(b"")
    for (arch, image), words in refused.items():
        known = replace(architecture(arch), firmware=str(code))
        monkeypatch.setattr("vmserial.guests.images.architecture", lambda _, known=known: known)
        with pytest.raises(UsageError, match=words) as caught:
            images.by_firmware(arch, image)
        assert caught.value.hint
        assert caught.value.where == "--image"
    missing = replace(architecture("x86_64"), firmware=str(tmp_path / "no"))
    monkeypatch.setattr("vmserial.guests.images.architecture", lambda _: missing)
    with pytest.raises(UsageError, match="no UEFI to start the image with"):
        images.by_firmware("x86_64", disk(tmp_path))
