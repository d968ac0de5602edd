"""Converting: every backend and every format; what was not named as lost comes back."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmserial.cli import convert as verb
from vmserial.model import Chardev, HostTty, Machine, Null, Pty, SerialPort, UnixSocket
from vmserial.sources import converting, libvirt, pve, toml
from vmserial.sources.command import CommandLine
from vmserial.sources.command.machine import machine as machine_of_command
from vmserial.sources.converting import SAMPLES, TARGETS, Converted, convert

ROOT = Path(__file__).parents[2]


def back(result: Converted, target: str, vmid: int = 0) -> Machine:
    """Read a result by the reader of its format."""
    if target == "toml":
        return toml.read(result.text, "vm.toml")
    if target == "pve":
        return pve.machine(pve.Document.parse(result.text, "vm.conf"), vmid)
    if target == "libvirt":
        raw = result.text.encode()
        return libvirt.machine(libvirt.Domain.of(libvirt.Document.parse(raw, "vm.xml")))
    return machine_of_command(CommandLine.parse(result.text, "vm.sh"))


def named(result: Converted) -> set[str]:
    """Return the ports of which something was named as lost."""
    return {note.message.partition(":")[0] for note in result.losses}


def check(machine: Machine, target: str) -> Converted:
    """Convert; each port that was not named is there again as it was."""
    result = convert(machine, target)
    found = {port.name: port for port in back(result, target).ports}
    for port in machine.ports:
        if port.name in named(result):
            continue
        wanted = replace(port, where=None)
        if target in {"libvirt", "argv"} and port.kind == "auto":
            wanted = replace(wanted, kind=found[port.name].kind)
        if target == "argv":
            # A port's place on the command line can be unplugged or cannot; nothing says it.
            # Which COM port it is, is said there.
            wanted = replace(wanted, hotplug=False, com=found[port.name].com)
        assert replace(found[port.name], where=None) == wanted
    return result


LOGS = (("", False), ("/var/log/raw", False), ("/var/log/raw", True))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("sample", SAMPLES, ids=[f"{n}-{type(b).__name__}" for n, b in SAMPLES])
@pytest.mark.parametrize("log", LOGS, ids=["nolog", "log", "logappend"])
def test_every_backend_is_carried_or_named(
    sample: tuple[str, object], target: str, log: tuple[str, bool]
) -> None:
    """The full product of backends and formats."""
    chardev = Chardev(sample[1], *log)  # type: ignore[arg-type]
    check(Machine("x86_64", (SerialPort(0, chardev, "usb"),), machine_type="q35"), target)


def test_a_loss_that_is_not_named_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check itself: without the note of a lost option it fails."""
    monkeypatch.setattr("vmserial.sources.losses.Losses.port", lambda *_: None)
    port = SerialPort(0, Chardev(UnixSocket("/run/a", wait=True)), "usb")
    with pytest.raises(AssertionError):
        check(Machine("x86_64", (port,), machine_type="q35"), "libvirt")


BACKENDS = st.sampled_from([backend for _, backend in SAMPLES]) | st.builds(
    UnixSocket, st.text("ab,=%{}n/ &<\"'é", min_size=1, max_size=12).map(lambda t: f"/run/{t}")
)


@st.composite
def machines(draw: st.DrawFn) -> Machine:
    """Return VMs with a few ports of any kind and backend."""
    indexes = draw(st.lists(st.integers(0, 40), min_size=1, max_size=5, unique=True))
    ports = tuple(
        SerialPort(
            index, Chardev(draw(BACKENDS)), draw(st.sampled_from(["auto", "usb", "virtio",
                "virtconsole"])),
            hotplug=draw(st.booleans()) and index > 0,
        )
        for index in sorted(indexes)
    )  # fmt: skip

    # No two ports may share a place of the host: only the first keeps its backend,
    # and sockets get the port's number.
    def own(port: SerialPort) -> SerialPort:
        backend = port.chardev.backend
        if not isinstance(backend, UnixSocket):
            return replace(port, chardev=Chardev(Pty()))
        return replace(port, chardev=Chardev(replace(backend, path=f"{backend.path}{port.index}")))

    ports = tuple(own(port) if number else port for number, port in enumerate(ports))
    return Machine(draw(st.sampled_from(["aarch64", "x86_64"])), ports,
                   memory_mib=draw(st.integers(16, 4096)))  # fmt: skip


@pytest.mark.parametrize("target", TARGETS)
@settings(max_examples=40, deadline=None)
@given(machine=machines())
def test_machines_come_back(target: str, machine: Machine) -> None:
    """Whatever was not named as lost comes back, and so do memory and architecture."""
    result = check(machine, target)
    again = back(result, target)
    assert (again.arch, again.memory_mib) == (machine.arch, machine.memory_mib)


def test_docs_have_the_table_and_the_verb_all_formats() -> None:
    """The table of docs/formats.md is made by the writers."""
    assert converting.reference() in (ROOT / "docs" / "formats.md").read_text()
    assert verb.TARGETS == TARGETS


def test_pve_keeps_its_own_lines() -> None:
    """What PVE can say is said in its own words."""
    ports = (
        SerialPort(0, Chardev(UnixSocket("/var/run/qemu-server/142.serial0"))),
        SerialPort(1, Chardev(HostTty("/dev/ttyS1")), "usb"),
        SerialPort(4, Chardev(Null())),
    )
    text = convert(Machine("aarch64", ports), "pve", vmid=142).text
    assert "serial0: socket\nserial1: /dev/ttyS1\n" in text
    assert text.startswith("#vmserial serial1: type=usb\n#vmserial serial4: null\n")


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("qemu-system-aarch64 -M virt -serial pty -serial null", ["uart", "uart"]),
        ("qemu-system-x86_64 -M q35 -serial pty", ["isa"]),
        ("qemu-system-x86_64 -nodefaults -chardev pty,id=a -device usb-serial,chardev=a", ["usb"]),
        ("qemu-system-x86_64 -nodefaults -chardev pty,id=serial4", ["auto"]),
        (
            "qemu-system-x86_64 -nodefaults -chardev pty,id=a -device pci-serial,chardev=a "
            "-chardev pty,id=b -device virtconsole,chardev=b -chardev pty,id=c "
            "-device virtserialport,chardev=c",
            ["pci", "virtconsole", "virtio"],
        ),
    ],
)
def test_a_command_as_a_machine(text: str, kinds: list[str]) -> None:
    """The kind follows the driver."""
    made = machine_of_command(CommandLine.parse(text, "vm.sh"))
    assert [port.kind for port in made.ports] == kinds
    assert made.origin == "argv"


def run(*words: str, text: str = "") -> subprocess.CompletedProcess[str]:
    """Run the verb as a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "vmserial", "convert", *words], input=text, text=True,
        capture_output=True, timeout=120, check=False,
    )  # fmt: skip


def test_the_verb(tmp_path: Path) -> None:
    """Exit codes, -o without and with --force, a command after -- and on stdin."""
    out = tmp_path / "vm.toml"
    words = ("--to", "toml", "-o", str(out))
    done = run(*words, "--", "qemu-system-aarch64", "-M", "virt", "-serial", "pty")
    assert (done.returncode, out.read_text().count("[[port]]")) == (0, 1), done.stderr
    before = out.read_bytes()
    again = run(*words, "-", text="qemu-system-aarch64 -serial null -device foo")
    assert (again.returncode, out.read_bytes()) == (2, before)
    assert "there already" in again.stderr
    forced = run(*words, "--force", "-", text="qemu-system-aarch64 -serial null -device foo")
    assert forced.returncode == 0
    assert "foo" in forced.stderr
    lost = run("--to", "toml", "-", text="qemu-system-aarch64 -chardev spicevmc,id=a "
               "-device usb-serial,chardev=a")  # fmt: skip
    assert lost.returncode == 1
    assert out.read_bytes() != before
    assert run("--to", "pve", str(tmp_path / "none.toml")).returncode == 2
