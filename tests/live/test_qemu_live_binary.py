"""The probe of the installed binaries, held against what was recorded of them."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from vmserial.errors import BinaryError
from vmserial.model import Capabilities
from vmserial.qemu import ask, binary

pytestmark = pytest.mark.live

DATA = Path(__file__).parent.parent / "data" / "capabilities"
TYPES = {"aarch64": ("virt",), "x86_64": ("q35", "pc")}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def recorded(found: Capabilities) -> Capabilities | None:
    major, minor, _ = found.version
    path = DATA / f"qemu-{major}.{minor}-{found.target}.json"
    return binary.from_json(json.loads(path.read_text())) if path.exists() else None


def hold_against_record(found: Capabilities) -> None:
    """Compare with the recording of that version; its packager may leave devices out."""
    expected = recorded(found)
    if expected is not None and found.package.startswith("Debian"):
        assert found.onboard_uarts == expected.onboard_uarts
        for name in found.devices.keys() & expected.devices.keys():
            assert found.devices[name] == expected.devices[name]
    for name in ("usb-serial", "pci-serial-4x", "virtio-serial-pci", "qemu-xhci"):
        assert found.devices[name].properties
    assert found.onboard_uarts
    assert found.chardevs >= {"socket", "pty", "null", "file"}


@pytest.mark.parametrize("arch", TYPES)
def test_the_installed_binary_is_as_recorded(arch: str) -> None:
    path = binary.find(arch)
    found = binary.probe(path, machine_types=TYPES[arch], arch=arch)
    hold_against_record(found)
    assert "tcg" in found.accelerators


@pytest.mark.parametrize("arch", TYPES)
def test_what_does_not_plug_is_what_qemu_says_does_not(arch: str) -> None:
    """device_add without any bus tells: it fails for want of a bus, or before that.

    Newer versions look for the bus first; these are asked with a bus that takes
    hot-plug, and only about what should not plug, which leaves it as it is.
    """
    path = binary.find(arch)
    found = binary.probe(path)
    if found.version >= (10, 0, 0):
        names = [
            n for n in binary.INTERESTING
            if n in found.devices and found.devices[n].bus == "PCI"
            and not found.devices[n].hotpluggable
        ]  # fmt: skip
        answers = ask.ask(
            path,
            ["-machine", TYPES[arch][0], "-nodefaults", "-display", "none", "-S",
             "-device", "pcie-root-port,id=plugs"],
            {name: ("device_add", {"driver": name, "bus": "plugs"}) for name in names},
            bound=60,
        )  # fmt: skip
        assert len(names) > 5
        assert set(answers.errors.values()) == {
            f"Device '{name}' does not support hotplugging" for name in names
        }
        return
    names = [n for n in binary.INTERESTING if n in found.devices and found.devices[n].bus]
    answers = ask.ask(
        path,
        ["-machine", "none", "-nodefaults", "-display", "none", "-S"],
        {name: ("device_add", {"driver": name}) for name in names},
        bound=60,
    )
    assert answers.errors.keys() == set(names)
    said = {name for name in names if "pluggable device type" in answers.errors[name]}
    isa = {name for name in names if found.devices[name].bus == "ISA"}
    assert {name for name in names if not found.devices[name].hotpluggable} == said | isa
    assert said


@pytest.mark.parametrize("arch", TYPES)
def test_a_warm_probe_takes_less_than_5_ms(arch: str) -> None:
    path = binary.find(arch)
    first = binary.probe(path, machine_types=TYPES[arch])
    times = []
    for _ in range(5):
        start = time.process_time()
        assert binary.probe(path, machine_types=TYPES[arch]) == first
        times.append(time.process_time() - start)
    assert min(times) < 0.005


def test_secure_adds_the_second_uart() -> None:
    path = binary.find("aarch64")
    assert binary.measure_uarts(path, "virt", (("secure", "on"),)) == 2
    assert binary.probe(path).onboard_uarts == {"virt,secure=on": 2}


def test_another_architectures_binary() -> None:
    with pytest.raises(BinaryError, match="a QEMU for x86_64, not for aarch64"):
        binary.probe(binary.find("x86_64"), arch="aarch64")


@pytest.mark.parametrize("name", ["/bin/cat", "/bin/true", "/bin/yes", "/usr/bin/env"])
def test_programs_that_are_not_qemu(name: str) -> None:
    with pytest.raises(BinaryError, match="did not speak QMP"):
        binary.probe(name)


def test_a_machine_that_cannot_start() -> None:
    with pytest.raises(BinaryError, match=r"does not start a q35.*nosuch"):
        binary.measure_uarts(binary.find("x86_64"), "q35", (("nosuch", "1"),))
