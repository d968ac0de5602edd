"""Which accelerator counts, and how long a proof lasts."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from vmserial.model import Capabilities
from vmserial.qemu import accel
from vmserial.qemu.accel import GUESTS, Proof, proven, with_proof

HOST = os.uname().machine
SOURCES = Path(__file__).parent.parent / "data" / "tinyguest"
FORMATS = {"x86_64": "elf64-x86-64", "aarch64": "elf64-little"}

KVM = "a tiny guest ran under KVM"


class Tries:
    """Stands in for running a tiny guest: what each accelerator's guest comes to."""

    def __init__(self, **outcomes: str) -> None:
        self.outcomes = outcomes
        self.seen: list[str] = []

    def __call__(self, _binary: str, _guest: object, name: str) -> str:
        self.seen.append(name)
        return self.outcomes[name]


@pytest.fixture(autouse=True)
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An x86_64 host with a /dev/kvm that opens, and a binary."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    device = tmp_path / "kvm"
    device.write_text("")
    monkeypatch.setattr(accel, "_DEVICE", device)
    names = os.uname_result(("Linux", "host", "6.1.0", "#1", "x86_64"))
    monkeypatch.setattr(os, "uname", lambda: names)
    (tmp_path / "boot_id").write_text("one\n")
    monkeypatch.setattr(accel, "_BOOT_ID", tmp_path / "boot_id")
    (tmp_path / "qemu").write_text("binary")
    return tmp_path


def tries(monkeypatch: pytest.MonkeyPatch, **outcomes: str) -> Tries:
    made = Tries(**outcomes)
    monkeypatch.setattr(accel, "try_guest", made)
    return made


def test_kvm_that_runs_a_guest_counts_and_is_tried_once(
    host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tries(monkeypatch, kvm="")
    assert proven(str(host / "qemu"), "x86_64") == Proof("kvm", KVM)
    assert proven(str(host / "qemu"), "x86_64") == Proof("kvm", KVM)
    assert made.seen == ["kvm"]
    proven(str(host / "qemu"), "x86_64", refresh=True)
    assert made.seen == ["kvm", "kvm"]


def test_kvm_that_hangs_does_not_count_and_is_tried_once(
    host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tries(monkeypatch, kvm="it hung", tcg="")
    for _ in range(2):
        found = proven(str(host / "qemu"), "x86_64")
        assert found == Proof("tcg", "KVM does not work here: it hung")
    assert made.seen == ["kvm", "tcg"]


def test_a_host_too_busy_for_tcg_gives_no_lasting_answer(
    host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries(monkeypatch, kvm="it hung", tcg="it hung")
    found = proven(str(host / "qemu"), "x86_64")
    assert found.accel == "tcg"
    assert "not known" in found.reason
    tries(monkeypatch, kvm="")
    assert proven(str(host / "qemu"), "x86_64").accel == "kvm"


@pytest.mark.parametrize("change", ["binary", "boot", "release"])
def test_a_proof_ends_with_what_it_was_made_on(
    host: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    tries(monkeypatch, kvm="")
    proven(str(host / "qemu"), "x86_64")
    if change == "binary":
        os.utime(host / "qemu", (1, 1))
    elif change == "boot":
        (host / "boot_id").write_text("two\n")
    else:
        names = os.uname_result(("Linux", "host", "6.2.0", "#1", "x86_64"))
        monkeypatch.setattr(os, "uname", lambda: names)
    made = tries(monkeypatch, kvm="it hung", tcg="")
    assert proven(str(host / "qemu"), "x86_64").accel == "tcg"
    assert made.seen == ["kvm", "tcg"]


def test_a_broken_cache_is_tried_anew(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries(monkeypatch, kvm="")
    proven(str(host / "qemu"), "x86_64")
    (cached,) = (host / "cache" / "vmserial" / "accel").iterdir()
    for text in ("", "[]", json.dumps({**json.loads(cached.read_text()), "accel": "magic"})):
        cached.write_text(text)
        made = tries(monkeypatch, kvm="")
        assert proven(str(host / "qemu"), "x86_64").accel == "kvm"
        assert made.seen == ["kvm"]


@pytest.mark.parametrize("arch", ["aarch64", "riscv64"])
def test_another_architecture_is_never_tried(
    host: Path, monkeypatch: pytest.MonkeyPatch, arch: str
) -> None:
    made = tries(monkeypatch)
    found = proven(str(host / "qemu"), arch)
    assert found == Proof("tcg", f"KVM cannot run {arch} guests on a x86_64 host")
    assert made.seen == []


def test_no_device(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tries(monkeypatch, kvm="")
    proven(str(host / "qemu"), "x86_64")
    (host / "kvm").unlink()
    # A proof of before does not outlive the device.
    assert proven(str(host / "qemu"), "x86_64") == Proof("tcg", f"there is no {host / 'kvm'}")
    assert made.seen == ["kvm"]


def test_a_device_that_does_not_open(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tries(monkeypatch, kvm="")
    (host / "kvm").unlink()
    (host / "kvm").mkdir()
    found = proven(str(host / "qemu"), "x86_64")
    assert found.accel == "tcg"
    assert "cannot be opened: Is a directory" in found.reason
    assert made.seen == []


def test_with_proof() -> None:
    plain = Capabilities((9, 0, 0), "x86_64")
    assert with_proof(plain, Proof("kvm", "")).accelerators == {"tcg", "kvm"}
    assert with_proof(plain, Proof("tcg", "")).accelerators == {"tcg"}
    proved = with_proof(plain, Proof("kvm", ""))
    assert with_proof(proved, Proof("tcg", "")).accelerators == {"tcg"}


def test_the_guests_images() -> None:
    x86 = GUESTS["x86_64"].image
    # The reset vector jumps backwards to the code, which is the last 512 bytes.
    assert len(x86) == 0x10000
    start = 0x10000 - 16 + 3 + int.from_bytes(x86[-15:-13], "little", signed=True)
    assert start == 0x10000 - 512
    assert x86[start] == 0xFA  # cli
    assert len(GUESTS["aarch64"].image) == 28


ASSEMBLERS = {
    "x86_64": (("as", "--64") if HOST == "x86_64" else (), ("x86_64-linux-gnu-as", "--64")),
    "aarch64": (
        ("as",) if HOST == "aarch64" else (),
        ("aarch64-linux-gnu-as",),
        ("llvm-mc", "-triple=aarch64", "-filetype=obj"),
    ),
}


@pytest.mark.parametrize("arch", ASSEMBLERS)
def test_the_images_are_their_sources(arch: str, tmp_path: Path) -> None:
    words = next((words for words in ASSEMBLERS[arch] if words and shutil.which(words[0])), None)
    assert words is not None, f"there is no assembler for {arch}; run scripts/system-packages dev"
    assert shutil.which("objcopy"), "there is no objcopy; run scripts/system-packages dev"

    def assemble(text: str) -> bytes:
        (tmp_path / "a.S").write_text(text)
        output, image = str(tmp_path / "a.o"), str(tmp_path / "a.bin")
        subprocess.run([*words, "-o", output, str(tmp_path / "a.S")], check=True)
        copy = ["objcopy", "-I", FORMATS[arch], "-O", "binary", "-j", ".text", output, image]
        subprocess.run(copy, check=True)
        return Path(image).read_bytes()

    source = (SOURCES / f"{arch}.S").read_text()
    code = assemble(source)
    assert GUESTS[arch].image.endswith(code)
    assert len(code) == (512 if arch == "x86_64" else len(GUESTS[arch].image))
    changed = source.replace("$3, %ebx", "$4, %ebx").replace("w0, #0x8\n", "w0, #0x9\n")
    assert assemble(changed) != code
