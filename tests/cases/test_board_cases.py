"""Boards, their defaults and their buses: commands answered wrongly before, each as run on 7.2."""

from __future__ import annotations

from dataclasses import replace

import pytest
from test_command_cases import HEAD, SCLP, judged, mended, wrong

import findings
from vmserial.judging import judge
from vmserial.model import GuestProfile, MachineType, Severity
from vmserial.sources.command import CommandLine

PSERIES = "qemu-system-ppc64 -M pseries"
VTY = "-chardev null,id=a -device spapr-vty,chardev=a,reg"
USB = "-chardev null,id=a -device usb-serial,chardev=a,always-plugged=on"


@pytest.mark.parametrize(
    "ports",
    [
        "-serial none -chardev null,id=a -device sclpconsole,chardev=a",
        "-serial none -serial pty -chardev null,id=a -device sclpconsole,chardev=a",
        "-serial pty -serial none -chardev null,id=a -device sclplmconsole,chardev=a",
    ],
)
def test_a4_of_a_serial_that_is_none_the_board_makes_no_console(ports: str) -> None:
    assert wrong(f"{SCLP} {ports}") == []
    used = ports.replace("-serial none", "-serial null")
    assert ("sclp-limit", Severity.FAILS) in wrong(f"{SCLP} {used}")


@pytest.mark.parametrize(
    "other", ["spapr-vscsi,reg=0x1000", "spapr-vlan,netdev=n,reg=4096 -netdev user,id=n"]
)
@pytest.mark.parametrize("first", [True, False])
def test_a5_another_device_at_the_address_of_a_port(other: str, first: bool) -> None:
    port = f"{VTY}=0x1000"
    parts = [port, f"-device {other}"] if first else [f"-device {other}", port]
    text = " ".join([PSERIES, "-nodefaults", *parts])
    assert wrong(text) == [("spapr-vty-clash", Severity.FAILS)]
    assert mended(text) == text.replace(",reg=0x1000", "", 1) if first else mended(text)


def test_a5_pseries_ends_its_ports_at_the_first_that_is_none() -> None:
    text = f"{PSERIES} -nodefaults -serial none -serial pty"
    assert wrong(text) == [("onboard-uart-limit", Severity.DEAD)]
    assert wrong(f"{PSERIES} -nodefaults -serial pty -serial pty") == []
    # The board's own count from there, too: its NVRAM is the first of them.
    assert ("spapr-vty-clash", Severity.FAILS) in wrong(f"{text} {VTY}=0x71000000")
    assert ("spapr-vty-clash", Severity.FAILS) not in wrong(f"{text} {VTY}=0x71000001")


def test_a5_what_follows_the_last_vty_of_pseries_keeps_its_host_side_elsewhere() -> None:
    socket = "path=/tmp/x.sock,server=on,wait=off"
    text = mended(f"{PSERIES} -serial null -serial none -serial unix:{socket[5:]}")
    assert "-serial null -serial none -device qemu-xhci" in text
    assert f"-chardev socket,id=serial1,{socket} -device usb-serial" in text


@pytest.mark.parametrize(
    ("words", "there"),
    [
        ("-display none", True), ("-nographic", True), ("-nodefaults -usb", True),
        ("-nodefaults -machine usb=on", True), ("-nodefaults", False), ("-vga none", False),
        ("-nodefaults -vga std", False), ("-machine usb=off", False),
    ],
)  # fmt: skip
def test_a8_pseries_has_usb_where_it_has_a_screen(words: str, there: bool) -> None:
    found = wrong(f"{PSERIES} {words} {USB}")
    assert found == ([] if there else [("usb-no-bus", Severity.FAILS)])
    if words == "-display none":
        # A keyboard and a mouse have the first two.
        assert ("usb-port-taken", Severity.FAILS) in wrong(f"{PSERIES} {words} {USB},port=2")
        assert wrong(f"{PSERIES} {words} {USB},port=3") == []


def of_default(text: str, arch: str, default: str) -> list[str]:
    known = findings.capabilities(arch)
    machines = {default: MachineType(default, default=True), "virt": MachineType("virt")}
    capabilities = replace(known, machines=machines, onboard_uarts={"g3beige": 2})
    verdict = judge(CommandLine.parse(text), capabilities, GuestProfile("unknown", assumed=True))
    return [f.id for f in verdict.found if f.severity is not Severity.NOTE]


def test_a7_a_command_without_a_machine_type_has_the_binarys() -> None:
    ports = "-serial pty -serial pty -serial pty"
    assert of_default(f"qemu-system-ppc {ports}", "ppc", "g3beige") == ["onboard-uart-limit"]
    assert of_default(f"qemu-system-ppc {ports[:-12]}", "ppc", "g3beige") == []
    pci = "-nodefaults -device pci-serial,chardev=a -chardev null,id=a"
    assert of_default(f"qemu-system-riscv64 {pci}", "riscv64", "spike") == ["pci-no-bus"]
    assert of_default(f"qemu-system-riscv64 -M virt {pci}", "riscv64", "spike") == []


def test_a1_no_machine_type_and_no_default() -> None:
    text = "qemu-system-aarch64 -nodefaults -serial null"
    assert wrong(text) == [("machine-unknown", Severity.FAILS)]
    (found,) = judged(text).found
    assert found.fix == "name one: -machine virt"
    assert wrong(text.replace("-nodefaults", "-machine virt -nodefaults")) == []


@pytest.mark.parametrize("value", ["con:", "COM1"])
def test_a3_a_backend_of_windows(value: str) -> None:
    found = {id for id, severity in wrong(f"{HEAD} -serial {value}") if severity is Severity.FAILS}
    assert found == ({"chardev-backend-unknown"} if value == "con:" else set())
