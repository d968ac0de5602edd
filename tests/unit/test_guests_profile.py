"""Guest profiles: kernel configurations and the table of known systems."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmserial.errors import ConfigError, UsageError
from vmserial.guests import profile

CONFIG = """#
# Automatically generated file; DO NOT EDIT.
# Linux/arm64 6.1.0 Kernel Configuration
#
CONFIG_SERIAL_8250=y
CONFIG_SERIAL_8250_PCI=y
CONFIG_SERIAL_8250_NR_UARTS=32
CONFIG_SERIAL_8250_RUNTIME_UARTS=4
CONFIG_USB_XHCI_HCD=m
CONFIG_USB_SERIAL_FTDI_SIO=m
CONFIG_VIRTIO_CONSOLE=m
CONFIG_HOTPLUG_PCI_PCIE=y
"""


def test_a_configuration_is_read() -> None:
    found = profile.from_config(CONFIG, name="mine")
    assert (found.nr_uarts, found.runtime_uarts, found.kernel) == (32, 4, (6, 1))
    assert found.uarts_8250 == 4
    assert found.usb_serial
    assert found.virtio_console
    assert found.pci_hotplug
    assert found.pci_serial
    assert "NR_UARTS 32" in found.source


@pytest.mark.parametrize(
    ("symbol", "attribute"),
    [
        ("USB_SERIAL_FTDI_SIO", "usb_serial"),
        ("USB_XHCI_HCD", "usb_serial"),
        ("VIRTIO_CONSOLE", "virtio_console"),
        ("HOTPLUG_PCI_PCIE", "pci_hotplug"),
        ("SERIAL_8250_PCI", "pci_serial"),
    ],
)
def test_what_is_not_set_is_not_there(symbol: str, attribute: str) -> None:
    lines = [line for line in CONFIG.splitlines() if symbol not in line]
    text = "\n".join([*lines, f"# CONFIG_{symbol} is not set"])
    assert getattr(profile.from_config(text, name="x"), attribute) is False


def test_the_command_line_raises_the_limit_but_never_past_nr_uarts() -> None:
    assert profile.from_config(CONFIG, name="x", append="quiet 8250.nr_uarts=8").uarts_8250 == 8
    assert profile.from_config(CONFIG, name="x", append="8250.nr_uarts=99").uarts_8250 == 32
    assert profile.parameter_of("x8250.nr_uarts=9") is None
    assert profile.resolve("debian-12-amd64", append="8250.nr_uarts=16").uarts_8250 == 16


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("debian-11-arm64", 4),
        ("debian-13-arm64", 4),
        ("debian-12-amd64", 4),
        ("debian-13-amd64", 32),
        ("ubuntu-22.04-arm64", 32),
        ("ubuntu-24.04-arm64", 48),
        ("openeuler-22.03-aarch64", 4),
        ("openeuler-24.03-aarch64", 32),
    ],
)
def test_known_systems(name: str, limit: int) -> None:
    assert profile.resolve(name).uarts_8250 == limit


@pytest.mark.parametrize(
    ("release", "limit", "usb", "assumed"),
    [
        ("6.1.0-50-amd64", 4, True, False),
        ("6.12.117+deb13-amd64", 32, True, False),
        ("6.12.117+deb13-riscv64", 4, True, False),
        ("7.2.13+deb14-riscv64", 6, True, False),
        # Between two that were looked at: as the one before.
        ("6.17.2-riscv64", 4, True, True),
        ("5.10.0-30-686-pae", 4, True, True),
        ("6.1.0-50-cloud-amd64", 4, False, False),
        ("7.2.13+deb14-rt-arm64", 4, True, False),
        ("6.8.0-45-generic", 48, True, False),
        ("5.14.0-503.11.1.el9_5.x86_64", 4, True, False),
        ("6.6.0-28.0.0.34.oe2403.aarch64", 32, True, False),
    ],
)
def test_a_guest_is_its_kernel(release: str, limit: int, usb: bool, assumed: bool) -> None:
    guest = profile.resolve(release)
    assert (guest.name, guest.uarts_8250, guest.usb_serial) == (release, limit, usb)
    assert guest.assumed is assumed
    assert guest.kernel == tuple(int(part) for part in release.split(".")[:2])


@pytest.mark.parametrize("release", ["6.1.0", "6.1.0-50-vax", "amd64", "6.8.0-generic"])
def test_a_kernel_that_no_system_is_known_of(release: str) -> None:
    assert profile.of_release(release) is None


def test_a_kernel_that_qemu_loads_tells_its_guest_by_its_name() -> None:
    guest = profile.assumed("x86_64", "8250.nr_uarts=9", "/boot/vmlinuz-6.1.0-50-cloud-amd64")
    assert (guest.assumed, guest.usb_serial, guest.uarts_8250) == (False, False, 9)
    assert guest.source.startswith("the kernel vmlinuz-6.1.0-50-cloud-amd64: ")
    for other in ("/boot/vmlinuz-5", "/boot/kernel", "6.1.0-50-cloud-amd64", ""):
        assert profile.assumed("x86_64", "", other) == profile.unknown("x86_64")


def test_drivers_are_built_in_modules_or_absent() -> None:
    drivers = dict(profile.from_config(CONFIG, name="x").drivers)
    assert drivers["8250_pci"] == "built in"
    assert drivers["ftdi_sio"] == "module"
    assert drivers["amba-pl011"] == "absent"
    assert profile.from_config(CONFIG, name="x").lacks("shpchp")
    assert not profile.resolve("debian-12-arm64").lacks("shpchp"), "it is not known"


def test_nobody_named_it() -> None:
    guest = profile.unknown("arm64")
    assert guest.assumed
    assert guest.name == "debian-12-arm64"


def test_files(tmp_path: Path) -> None:
    plain, packed = tmp_path / "config-6.1", tmp_path / "config.gz"
    plain.write_text(CONFIG)
    packed.write_bytes(gzip.compress(CONFIG.encode()))
    assert profile.resolve(str(plain)).nr_uarts == profile.resolve(str(packed)).nr_uarts == 32


def test_embedded_configuration() -> None:
    image = b"\x7fELF" + b"x" * 100 + b"IKCFG_ST" + gzip.compress(CONFIG.encode()) + b"IKCFG_ED"
    assert profile.embedded_config(image) == CONFIG
    assert profile.embedded_config(b"no") == ""
    assert profile.embedded_config(b"IKCFG_STbroken") == ""


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        profile.resolve("debian-12-arm")
    assert "debian-12-arm64" in caught.value.hint
    with pytest.raises(UsageError):
        profile.resolve("/no/such/file")
    with pytest.raises(UsageError):
        profile.resolve(str(tmp_path))
    broken = tmp_path / "broken.gz"
    broken.write_bytes(b"\x1f\x8bxx")
    with pytest.raises(ConfigError):
        profile.resolve(str(broken))
    bomb = tmp_path / "bomb.gz"
    bomb.write_bytes(gzip.compress(bytes(64 << 20)))
    with pytest.raises(ConfigError, match="larger"):
        profile.resolve(str(bomb))


@given(st.text(max_size=300))
def test_text_without_config_lines_is_an_error(text: str) -> None:
    if "CONFIG_" in text:
        return
    with pytest.raises(ConfigError):
        profile.from_config(text, name="x")
