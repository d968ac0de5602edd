"""Inputs that vmserial once answered wrongly, each test named after its case: boards and files."""

from __future__ import annotations

import pytest
from test_command_cases import judged

from vmserial.model import Severity


@pytest.mark.parametrize(
    ("command", "instead"),
    [
        ("qemu-system-aarch64 -M raspi3b", ""),
        ("qemu-system-aarch64 -M sbsa-ref", ""),
        ("qemu-system-x86_64 -M q35", "virtio-serial-pci"),
        ("qemu-system-x86_64", "virtio-serial-pci"),
        ("qemu-system-s390x -M s390-ccw-virtio", "virtio-serial-ccw"),
        ("qemu-system-ppc64 -M pseries", "virtio-serial-pci"),
    ],
)
def test_a8_a_board_without_virtio_mmio(command: str, instead: str) -> None:
    """Seen with QEMU 7.2.22; virt, vexpress and microvm have it and start."""
    words = f"{command} -nodefaults -device virtio-serial-device"
    (found,) = [f for f in judged(words).found if f.severity is Severity.FAILS]
    assert found.id == "pci-no-bus"
    assert found.happens.endswith("No 'virtio-bus' bus found for device 'virtio-serial-device'")
    assert instead in found.fix


@pytest.mark.parametrize(
    "command",
    ["qemu-system-aarch64 -M virt", "qemu-system-arm -M vexpress-a9", "qemu-system-riscv64 -M virt",
     "qemu-system-x86_64 -M microvm", "qemu-system-aarch64 -M xlnx-versal-virt"],
)  # fmt: skip
def test_a8_a_board_with_virtio_mmio(command: str) -> None:
    words = f"{command} -nodefaults -device virtio-serial-device"
    assert not [f for f in judged(words).found if f.severity is Severity.FAILS]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("-chardev file,path=/v/x,id=a -serial chardev:a "
         "-chardev pty,id=b,logfile=/v/x -serial chardev:b", 0),
        ("-serial file:/v/x -serial file:/v/x", 1),
    ],
)  # fmt: skip
def test_a16_two_ports_that_write_one_file(text: str, left: int) -> None:
    """What is not a log is its reader's: it is named, and not mended."""
    verdict = judged(f"qemu-system-x86_64 -nodefaults {text}")
    (found,) = [f for f in verdict.found if f.id == "log-shared"]
    assert found.ports == ("serial0", "serial1")
    assert len(verdict.left) == left
    assert not [f for f in judged(
        "qemu-system-x86_64 -nodefaults -serial file:/dev/null -serial file:/dev/null"
    ).found if f.id == "log-shared"]  # fmt: skip
