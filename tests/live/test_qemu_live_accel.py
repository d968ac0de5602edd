"""The tiny guests on real QEMU: they end it under TCG, and nothing of them stays."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from vmserial.qemu.accel import GUESTS, proven, try_guest
from vmserial.qemu.binary import find

pytestmark = pytest.mark.live

STUCK = {"x86_64": bytes(0x10000 - 16) + b"\xeb\xfe" + bytes(14), "aarch64": b"\0\0\0\x14"}
"""Images whose first instruction jumps to itself."""


def children() -> list[str]:
    """Return the names of this process's children."""
    pid = os.getpid()
    names = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            head, _, tail = status.read_text().rpartition(")")
        except OSError:
            continue
        if tail.split()[1] == str(pid) and tail.split()[0] != "Z":
            names.append(head.partition("(")[2])
    return names


@pytest.mark.parametrize("arch", GUESTS)
def test_a_tiny_guest_ends_qemu_under_tcg(arch: str) -> None:
    # The bound is not the product's: this machine may be busy with other tests.
    assert try_guest(find(arch), GUESTS[arch], "tcg", 20) == ""


@pytest.mark.parametrize("arch", GUESTS)
def test_a_guest_that_does_not_get_there_is_told_apart(arch: str) -> None:
    stuck = replace(GUESTS[arch], image=STUCK[arch])
    start = time.monotonic()
    assert "did not end within 1 s" in try_guest(find(arch), stuck, "tcg")
    assert time.monotonic() - start < 15
    assert [name for name in children() if name.startswith("qemu")] == []


@pytest.mark.parametrize("arch", GUESTS)
def test_a_qemu_that_does_not_start_is_told_apart(arch: str) -> None:
    broken = replace(GUESTS[arch], options=(*GUESTS[arch].options, "-device", "nosuch"))
    assert "QEMU ended with status 1" in try_guest(find(arch), broken, "tcg", 20)


@pytest.mark.parametrize("arch", GUESTS)
def test_the_proof_is_bounded_and_cached(
    arch: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = find(arch)
    start = time.monotonic()
    found = proven(path, arch)
    assert time.monotonic() - start < 15
    assert found.reason
    if os.uname().machine != arch or not os.access("/dev/kvm", os.R_OK | os.W_OK):
        assert found.accel == "tcg"
    assert [name for name in children() if name.startswith("qemu")] == []
    if "not known" not in found.reason:
        start = time.process_time()
        assert proven(path, arch) == found
        assert time.process_time() - start < 0.05
