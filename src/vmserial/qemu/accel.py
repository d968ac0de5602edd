"""Whether KVM really runs guests here: proven by one, not concluded from /dev/kvm.

There are hosts, nested ones above all, where /dev/kvm opens, QEMU starts, and a
kernel never gets through its first second: each guest instruction is emulated
(measured on one: 1.4 million a second; the tiny guest of four instructions ran,
Linux did not come past its decompressor).  So the guest that is tried does what a
kernel does first, 40 million instructions of it, and then ends QEMU.  KVM counts
if that takes less than a second; hardware takes about 0.02, TCG 0.1.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from vmserial.errors import UsageError
from vmserial.model import Capabilities
from vmserial.paths import memory_dir, write_atomic

PROGRESS_BOUND = 1.0
"""Seconds from the start of QEMU until the guest must have ended it."""

_SCHEMA = 1
_DEVICE = Path("/dev/kvm")
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Proof:
    """The accelerator to use, and why."""

    accel: Literal["kvm", "tcg"]
    reason: str


@dataclass(frozen=True, slots=True)
class TinyGuest:
    """A firmware image that works a little and then ends QEMU.

    Attributes:
        hosts: machine names (uname) of the hosts whose KVM runs it.
        image: the image, given with ``-bios``.
        options: the board it needs, without accelerator and CPU.
        kvm: what KVM needs beside ``-accel kvm``.
        status: QEMU's exit status when the guest ran.
    """

    hosts: tuple[str, ...]
    image: bytes
    options: tuple[str, ...]
    kvm: tuple[str, ...]
    status: int


# Assembled from tests/data/tinyguest/x86_64.S, which says what it does; a test compares them.
_X86_CODE = bytes.fromhex(
    "fafc31c08ec0be00febf0080b9f0012ef3a4ea178000008ed8660f011640810f20c00c010f22c066"
    "ea2f8000000800b8100000008ed88ec08ed0bf0010000031c0b900100000f3abc705001000000320"
    "0000c7050020000003300000c7050030000083000000c705083000009300e0fe0f20e083c8200f22"
    "e0b8001000000f22d8b9800000c00f320d000100000f300f20c00d000000800f22c0eaa180000018"
    "00bc00700000c70425004200000c811800c7042504420000008e00000f011c2546810000c70425f0"
    "002000ff010000c704255003200000070000b011e620b020e621b004e621b001e621b0fee621b034"
    "e643b0a9e640b004e640b9002d3101ffc975fcbb03000000fbf4ebfdb020e620ffcb740248cfb02a"
    "e6f4ebfacccccccc0000000000000000ffff0000009bcf00ffff00000093cf00ffff0000009baf00"
    "1f00208100000f020040"
)
_X86_RESET = bytes.fromhex("e90dfe")  # jmp to the code, 512 bytes before the ROM's end


def _x86() -> bytes:
    """Return a 64 KiB ROM; the CPU starts 16 bytes before its end (Intel SDM 3A, 10.1.4)."""
    code = _X86_CODE.ljust(0x1F0, b"\0") + _X86_RESET.ljust(16, b"\x90")
    return code.rjust(0x10000, b"\0")


def _aarch64() -> bytes:
    """Return a loop, then PSCI SYSTEM_OFF (Arm DEN0022: 0x84000008); tests/data/tinyguest."""
    words = (
        0x52A02621,  # mov  w1, #0x1310000   20 million
        0x71000421,  # subs w1, w1, #1
        0x54FFFFE1,  # b.ne the line above
        0x52800100,  # mov  w0, #0x8
        0x72B08000,  # movk w0, #0x8400, lsl #16
        0xD4000002,  # hvc  #0
        0x14000000,  # b    .
    )
    return b"".join(word.to_bytes(4, "little") for word in words)


GUESTS: Mapping[str, TinyGuest] = {
    "x86_64": TinyGuest(
        hosts=("x86_64",),
        image=_x86(),
        options=("-machine", "q35", "-device", "isa-debug-exit,iobase=0xf4,iosize=4"),
        kvm=("-cpu", "host"),
        # isa-debug-exit's status is twice the value written, plus one.
        status=0x2A << 1 | 1,
    ),
    "aarch64": TinyGuest(
        hosts=("aarch64",),
        image=_aarch64(),
        options=("-machine", "virt"),
        # The default GICv2 is not there on hosts with a GICv3.
        kvm=("-machine", "gic-version=host", "-cpu", "host"),
        status=0,
    ),
}
"""By QEMU's target name.  Any other target is run by TCG."""


def try_guest(
    binary: str, guest: TinyGuest, accel: Literal["kvm", "tcg"], bound: float = PROGRESS_BOUND
) -> str:
    """Run a tiny guest; return an empty string if it ended QEMU in time, else what happened.

    Raises:
        BinaryError: the binary cannot be started.
    """
    from vmserial.paths import RunDirectory
    from vmserial.qemu.ask import run_bounded

    with RunDirectory() as rundir:
        image = rundir.path / "guest.bin"
        image.write_bytes(guest.image)
        outcome = run_bounded(
            [
                binary, *guest.options, *(guest.kvm if accel == "kvm" else ("-cpu", "max")),
                "-accel", accel, "-m", "32", "-nodefaults", "-display", "none",
                "-no-reboot", "-bios", str(image),
            ],
            bound=bound,
        )  # fmt: skip
    if outcome.cut:
        return f"a tiny guest did not end within {bound:g} s"
    if outcome.returncode == guest.status:
        return ""
    return f"QEMU ended with status {outcome.returncode}: {outcome.words or 'no words'}"


def proven(binary: str, arch: str, *, refresh: bool = False) -> Proof:
    """Return which accelerator to use for a target, and why; at most a second once a boot.

    Args:
        binary: from :func:`vmserial.qemu.binary.find`.
        arch: QEMU's target name.
        refresh: try again whatever was found before.

    Raises:
        BinaryError: the binary cannot be started.
    """
    host = os.uname().machine
    guest = GUESTS.get(arch)
    if guest is None or host not in guest.hosts:
        return Proof("tcg", f"KVM cannot run {arch} guests on a {host} host")
    if not _DEVICE.exists():
        return Proof("tcg", f"there is no {_DEVICE}")
    try:
        os.close(os.open(_DEVICE, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return Proof("tcg", f"{_DEVICE} cannot be opened: {error.strerror}")
    key = _key(binary)
    name = re.sub(r"[^\w.\-]", "_", binary, flags=re.ASCII)[-120:]
    home = memory_dir("accel")
    path = None if home is None else home / f"{name}.json"
    if path is not None and not refresh and (known := _load(path, key)) is not None:
        return known
    trouble = try_guest(binary, guest, "kvm")
    if not trouble:
        proof = Proof("kvm", "a tiny guest ran under KVM")
    elif try_guest(binary, guest, "tcg"):
        # Not even TCG was in time: this host is too busy now for an answer that lasts.
        return Proof("tcg", f"{trouble}, nor under TCG: not known, so KVM is not used")
    else:
        proof = Proof("tcg", f"KVM does not work here: {trouble}")
    if path is None:
        return proof
    with contextlib.suppress(UsageError):
        data = {"key": key, "accel": proof.accel, "reason": proof.reason}
        write_atomic(path, json.dumps(data))
    return proof


def with_proof(capabilities: Capabilities, proof: Proof) -> Capabilities:
    """Return the capabilities with KVM among the accelerators if it is proven."""
    if proof.accel != "kvm":
        return replace(capabilities, accelerators=capabilities.accelerators - {"kvm"})
    return replace(capabilities, accelerators=capabilities.accelerators | {"kvm"})


def _key(binary: str) -> list[str | int]:
    """Return what a result holds for: this binary, this kernel, this boot."""
    with contextlib.suppress(OSError):
        status = Path(binary).stat()
        boot = _BOOT_ID.read_text(encoding="ascii").strip()
        return [_SCHEMA, binary, status.st_mtime_ns, status.st_size, os.uname().release, boot]
    return []


def _load(path: Path, key: list[str | int]) -> Proof | None:
    try:
        data = json.loads(path.read_bytes())
        if not key or data["key"] != key or data["accel"] not in ("kvm", "tcg"):
            return None
        return Proof(data["accel"], str(data["reason"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
