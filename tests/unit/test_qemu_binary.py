"""Probing a binary: what is asked, what is read, what is cached, and what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from vmserial.errors import BinaryError, UsageError
from vmserial.model import Capabilities, DeviceType
from vmserial.model.recorded import packed, unpacked
from vmserial.qemu import ask, binary

DATA = Path(__file__).parent.parent / "data" / "capabilities"
RECORDED = sorted(DATA.glob("*.json"))

ANSWERS = """\
import json, os, sys
table = json.loads(%r)
print(json.dumps({"QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 9},
      "package": " (Debian)"}, "capabilities": []}}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    key = request["execute"]
    if key == "quit":
        break
    if key == "device-list-properties":
        key += " " + request["arguments"]["typename"]
    if key in table.get("abort on", ()):
        sys.stderr.write("missing object type\\n")
        sys.exit(1)
    answer = {"id": request["id"]}
    if key in table:
        answer["return"] = table[key]
    else:
        answer["error"] = {"class": "GenericError", "desc": "unknown"}
    print(json.dumps(answer), flush=True)
"""

QDM = """\
USB devices:
name "qemu-xhci", bus PCI
name "sysbus-ohci", bus System, desc "OHCI USB Controller", no-user

Input devices:
name "isa-serial", bus ISA
name "virtio-serial-pci", bus PCI, alias "virtio-serial"
name "usb-serial", bus usb-bus, desc "a, comma"
name "VGA", bus PCI
name "vmgenid"
"""

TABLE = {
    "query-target": {"arch": "x86_64"},
    "query-machines": [
        {"name": "pc-q35-7.2", "alias": "q35", "cpu-max": 288},
        {"name": "pc-i440fx-7.2", "alias": "pc", "cpu-max": 255, "is-default": True},
        {"name": "pc-1.0", "cpu-max": 255, "deprecated": True},
    ],
    "query-chardev-backends": [{"name": "socket"}, {"name": "null"}],
    "human-monitor-command": QDM,
    "device-list-properties usb-serial": [{"name": "chardev"}, {"name": "always-plugged"}],
    "device-list-properties virtio-serial-pci": [{"name": "max_ports"}],
    "qom-list-types": [{"name": "accel"}, {"name": "tcg-accel"}, {"name": "kvm-accel"}],
    "query-chardev": [
        {"label": "uart0", "frontend-open": True},
        {"label": "uart1", "frontend-open": True},
        {"label": "uart2", "frontend-open": False},
        {"label": "compat_monitor0", "frontend-open": True},
    ],
}


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def script(path: Path, text: str) -> str:
    """Write an executable Python script."""
    path.write_text(f"#!{sys.executable} -IS\n{text}")
    path.chmod(0o755)
    return str(path)


def fake(path: Path, **changes: object) -> str:
    """Write a binary that answers from a table; a None takes an answer away."""
    table = {key: value for key, value in {**TABLE, **changes}.items() if value is not None}
    return script(path, ANSWERS % json.dumps(table))


# ------------------------------------------------------------------ asking


def test_a_binary_is_read_as_it_answers(tmp_path: Path) -> None:
    found = binary.probe(fake(tmp_path / "qemu"), machine_types=("q35", "nope", ""))
    assert found.version == (7, 2, 9)
    assert found.version_text == "7.2.9"
    assert found.target == "x86_64"
    assert found.package == "Debian"
    assert found.chardevs == {"socket", "null"}
    # KVM is compiled in, but only a proof makes it count.
    assert found.accelerators == {"tcg"}
    assert found.onboard_uarts == {"q35": 2}
    assert set(found.machines) == {"pc-q35-7.2", "q35", "pc-i440fx-7.2", "pc", "pc-1.0"}
    assert found.machines["q35"].name == "pc-q35-7.2"
    assert found.machines["pc"].default
    assert found.machines["pc-1.0"].deprecated
    assert found.machines["pc"].max_cpus == 255
    assert found.devices["usb-serial"] == DeviceType(
        "usb-serial", "usb-bus", frozenset({"chardev", "always-plugged"}), True
    )
    assert found.devices["virtio-serial"] == found.devices["virtio-serial-pci"]
    assert found.devices["virtio-serial"].properties == {"max_ports"}
    assert "sysbus-ohci" not in found.devices
    assert not found.devices["isa-serial"].hotpluggable
    assert not found.devices["VGA"].hotpluggable
    assert not found.devices["vmgenid"].hotpluggable
    assert found.devices["qemu-xhci"].hotpluggable


def test_a_device_that_kills_the_binary_is_left_out(tmp_path: Path) -> None:
    found = binary.probe(
        fake(tmp_path / "qemu", **{"abort on": ["device-list-properties usb-serial"]})
    )
    assert "usb-serial" not in found.devices
    # What came after it was asked again.
    assert found.devices["virtio-serial-pci"].properties == {"max_ports"}
    assert found.accelerators == {"tcg"}


def test_a_listing_that_kills_the_binary_costs_only_that(tmp_path: Path) -> None:
    found = binary.probe(fake(tmp_path / "qemu", **{"abort on": ["qom-list-types"]}))
    assert found.accelerators == {"tcg"}
    assert "usb-serial" in found.devices


def test_without_info_qdm_the_help_text_is_read(tmp_path: Path) -> None:
    text = ANSWERS % json.dumps({**TABLE, "human-monitor-command": None})
    text = text.replace("table = ", "TABLE = ", 1)
    text = (
        f"import sys\nif 'help' in sys.argv:\n    print({QDM!r})\n    sys.exit(0)\n" + text
    ).replace("TABLE = ", "table = ", 1)
    text = text.replace("if key in table:", "if table.get(key) is not None:")
    found = binary.probe(script(tmp_path / "qemu", text))
    assert "usb-serial" in found.devices


@pytest.mark.parametrize("missing", ["query-target", "query-machines", "query-chardev-backends"])
def test_a_binary_without_an_answer_that_is_needed(tmp_path: Path, missing: str) -> None:
    with pytest.raises(BinaryError, match="did not speak QMP"):
        binary.probe(fake(tmp_path / "qemu", **{missing: None}))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import sys; sys.exit('no such option')", "ended with status 1.*no such option"),
        ("print('hello')", "ended with status 0"),
        ("while True: print('x' * 65536)", "prints without end"),
        ("import time; time.sleep(60)", "did not answer within"),
        ("print('{\"QMP\": 3}')", "ended with status 0"),
        ("print('[1]'); print('{')", "ended with status 0"),
        ("import os; os.kill(os.getpid(), 11)", "ended with status -11"),
    ],
)
def test_what_is_not_qemu_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: str
) -> None:
    monkeypatch.setattr(binary, "PROBE_BOUND", 0.5)
    with pytest.raises(BinaryError, match=words) as caught:
        binary.probe(script(tmp_path / "qemu", text))
    assert caught.value.hint


def test_another_target_is_refused(tmp_path: Path) -> None:
    path = fake(tmp_path / "qemu")
    assert binary.probe(path, arch="x86_64").target == "x86_64"
    with pytest.raises(BinaryError, match="for x86_64, not for aarch64"):
        binary.probe(path, arch="aarch64")


def test_uarts(tmp_path: Path) -> None:
    path = fake(tmp_path / "qemu")
    assert binary.measure_uarts(path, "q35") == 2
    with pytest.raises(BinaryError, match="no machine type 'virt'"):
        binary.measure_uarts(path, "virt")
    broken = fake(tmp_path / "broken", **{"query-chardev": None})
    with pytest.raises(BinaryError, match="does not start a q35"):
        binary.measure_uarts(broken, "q35")


def test_uarts_are_remembered_by_machine_options(tmp_path: Path) -> None:
    path = fake(tmp_path / "qemu")
    binary.probe(path, machine_types=("q35",), machine_options=(("smm", "off"),))
    # The options' count must not answer for the machine without them.
    found = binary.probe(path)
    assert found.onboard_uarts == {"q35,smm=off": 2}


# ------------------------------------------------------------------ the cache


def test_it_is_asked_once(tmp_path: Path) -> None:
    path = fake(tmp_path / "qemu")
    first = binary.probe(path, machine_types=("q35",))
    status = Path(path).stat()
    script(Path(path), "raise SystemExit('must not be started')".ljust(status.st_size))
    Path(path).write_bytes(Path(path).read_bytes()[: status.st_size])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert binary.probe(path, machine_types=("q35",)) == first
    with pytest.raises(BinaryError):
        binary.probe(path, refresh=True)


def test_a_changed_binary_is_asked_again(tmp_path: Path) -> None:
    path = fake(tmp_path / "qemu")
    assert binary.probe(path).target == "x86_64"
    fake(tmp_path / "qemu", **{"query-target": {"arch": "i386"}})
    os.utime(path, (1, 1))
    assert binary.probe(path).target == "i386"


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"key": 1}', '{"capabilities": {}}'])
def test_a_broken_cache_is_made_anew(tmp_path: Path, text: str) -> None:
    path = fake(tmp_path / "qemu")
    first = binary.probe(path)
    (cached,) = (tmp_path / "cache" / "vmserial" / "qemu").iterdir()
    cached.write_text(text)
    assert binary.probe(path) == first
    assert json.loads(cached.read_text())["capabilities"]


def test_the_warm_path_imports_nothing_that_talks(tmp_path: Path) -> None:
    path = fake(tmp_path / "qemu")
    binary.probe(path)
    code = (
        "import sys, time; from vmserial.qemu import binary\n"
        f"start = time.process_time(); binary.probe({path!r})\n"
        "print(time.process_time() - start)\n"
        "print([n for n in ('asyncio', 'subprocess', 'qemu.qmp', 'ctypes') if n in sys.modules])"
    )
    output = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert output[1] == "[]"
    assert float(output[0]) < 0.1


# ------------------------------------------------------------------ recorded ones


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_recorded_capabilities(path: Path) -> None:
    assert path.stat().st_size < 60_000
    found = binary.from_json(json.loads(path.read_text()))
    _, version, arch = path.stem.split("-")
    assert found.version_text.startswith(version + ".")
    assert found.target == arch
    assert found.measured
    assert binary.from_json(binary.to_json(found)) == found
    uarts = {
        "aarch64": {"virt": 2 if found.version >= (9, 1, 0) else 1},
        "ppc64": {"pseries": 8},
        "s390x": {"s390-ccw-virtio": 2},
        "x86_64": {"pc": 4, "q35": 4},
    }
    assert found.onboard_uarts == uarts[arch]
    if arch in {"x86_64", "ppc64"}:  # some of ppc64's boards have an ISA bus
        assert found.devices["isa-serial"].bus == "ISA"
    else:
        assert "isa-serial" not in found.devices
    if arch == "aarch64":
        assert "vmgenid" not in found.devices or found.version >= (10, 0, 0)
    if arch != "s390x":  # it has no USB
        assert "always-plugged" in found.devices["usb-serial"].properties
    own = "virtio-serial-ccw" if arch == "s390x" else "virtio-serial-pci"
    assert found.devices["virtio-serial"] == found.devices[own]


def test_all_versions_are_recorded() -> None:
    proven = [(version, arch) for version in ("5.2", "7.2", "10.0", "11.1")
              for arch in ("aarch64", "x86_64")]  # fmt: skip
    judged = [("7.2", "ppc64"), ("7.2", "s390x")]
    assert [path.stem for path in RECORDED] == sorted(
        f"qemu-{version}-{arch}" for version, arch in [*proven, *judged]
    )


@pytest.mark.parametrize("change", [{"version": [1]}, {"devices": 3}, {"machines": [["a"] * 9]}])
def test_json_that_is_something_else(change: dict[str, object]) -> None:
    data = json.loads(RECORDED[0].read_text())
    with pytest.raises(UsageError, match="not the description"):
        binary.from_json({**data, **change})


def test_too_old() -> None:
    assert "older than 5.2" in binary.too_old(Capabilities((4, 2, 1), "x86_64"))
    assert binary.too_old(Capabilities((5, 2, 0), "x86_64")) == ""


def test_trimmed() -> None:
    full = binary.from_json(json.loads(RECORDED[0].read_text()))
    more = replace(full, devices={**full.devices, "x": DeviceType("x")}, binary="/somewhere")
    assert binary.trimmed(more, ("virt",)).devices == full.devices
    assert binary.trimmed(more, ("nope",)).machines == {}
    assert binary.trimmed(more, ()).binary == ""


# ------------------------------------------------------------------ finding


def test_find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = script(tmp_path / "qemu-system-riscv64", "")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert binary.find("riscv64") == path
    assert binary.find("riscv64", "qemu-system-riscv64") == path
    assert binary.find("aarch64", path) == path
    monkeypatch.chdir(tmp_path)
    assert binary.find("riscv64", "./qemu-system-riscv64") == path
    with pytest.raises(BinaryError, match="no qemu-system-aarch64 in") as caught:
        binary.find("aarch64")
    assert "qemu-system-arm" in caught.value.hint


def test_find_for_the_host_knows_the_other_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = script(tmp_path / "qemu-kvm", "")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert binary.find(os.uname().machine) == path


def test_find_refuses_by_name(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    (tmp_path / "text").write_text("not a program")
    for name, words in (
        (str(tmp_path / "none"), "there is no"),
        ("no-such-name", "there is no"),
        (str(tmp_path / "link"), "dangling"),
        (str(tmp_path), "not an executable"),
        (str(tmp_path / "text"), "not an executable"),
    ):
        with pytest.raises(BinaryError, match=words) as caught:
            binary.find("aarch64", name)
        assert caught.value.hint


def test_a_script_without_an_interpreter(tmp_path: Path) -> None:
    (tmp_path / "qemu").write_text("#!/nonexistent/interpreter\n")
    (tmp_path / "qemu").chmod(0o755)
    with pytest.raises(BinaryError):
        binary.probe(str(tmp_path / "qemu"))


# ------------------------------------------------------------------ bounded runs


def test_a_bounded_run_is_killed_in_time(tmp_path: Path) -> None:
    start = time.monotonic()
    path = script(tmp_path / "x", "import time; time.sleep(60)")
    outcome = ask.run_bounded([path], bound=0.3)
    assert outcome.cut == "time"
    assert outcome.returncode == -9
    assert time.monotonic() - start < 15


def test_a_bounded_run_that_closes_its_output_and_stays(tmp_path: Path) -> None:
    path = script(tmp_path / "x", "import os, time; os.close(1); os.close(2); time.sleep(60)")
    assert ask.run_bounded([path], bound=0.5).cut == "time"


def test_a_bounded_run_whose_input_is_not_read(tmp_path: Path) -> None:
    path = script(tmp_path / "x", "print('done')")
    outcome = ask.run_bounded([path], b"x" * 1_000_000, bound=10)
    assert (outcome.cut, outcome.output) == ("", b"done\n")


def test_a_bounded_run_gets_long_input_whole(tmp_path: Path) -> None:
    path = script(tmp_path / "x", "import sys; print(len(sys.stdin.read(300000)))")
    assert ask.run_bounded([path], b"x" * 300_000, bound=10).output == b"300000\n"


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda path: path.stem)
def test_what_is_remembered_is_what_was_asked(recorded: Path) -> None:
    given = binary.from_json(json.loads(recorded.read_text()))
    found = unpacked(json.loads(json.dumps(packed(given))))
    assert found == given
    assert given == found
    assert {**found.devices} == {**given.devices}
    assert "no-such-device" not in found.devices
    assert found.devices.get("no-such-device") is None
    assert all(found.devices[name].name == device.name for name, device in given.devices.items())


def test_planning_and_judging_read_the_cache_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = fake(tmp_path / "qemu")
    binary.probe(path)
    binary.probe(path)
    monkeypatch.setattr(binary, "unpacked", None)
    assert binary.probe(path).target == "x86_64"
