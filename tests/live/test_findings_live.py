"""Each finding on the real QEMU: it fails as the finding says, and mended it does not.

QEMU runs paused: no guest is needed to see whether it takes a command line.  What
is dead only in the guest is proven on a booted one in test_findings_boot.py.
"""

from __future__ import annotations

import functools
import json
import re
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest
from _pytest.mark.structures import ParameterSet

import findings
from vmserial.model import Capabilities, Severity
from vmserial.qemu.binary import find, probe
from vmserial.sources.command import CommandLine, CommandView

RUNS_SECONDS = 60.0
"""Within this QEMU has answered its monitor or ended; it takes a tenth of a second."""


@functools.cache
def here(arch: str) -> Capabilities:
    """Return what this machine's QEMU has."""
    return probe(find(arch), machine_types=["virt", "q35"], arch=arch)


def argv_of(command: CommandLine, directory: Path) -> list[str]:
    """Return the words that start a command paused, with its sockets in ``directory``."""
    # A name that is padded to a length keeps it.
    longer = "x" * (len(str(directory)) - len("/run/vm"))
    words = [word.replace("/run/vm/" + longer, f"{directory}/") for word in command.argv()]
    return [*(word.replace("/run/vm", str(directory)) for word in words), "-S"]


def started(command: CommandLine, directory: Path, say: str = "quit\n") -> tuple[bool, str]:
    """Start a command paused and end it through its monitor: did it run, and all its words."""
    argv = argv_of(command, directory)
    if not any("stdio" in word for word in argv):
        argv += ["-monitor", "stdio"]
    ended = subprocess.run(
        argv, input=say, capture_output=True, text=True, timeout=RUNS_SECONDS, check=False
    )
    return ended.returncode == 0, ended.stderr + ended.stdout


def asked(command: CommandLine, directory: Path, *questions: dict[str, object]) -> list[str]:
    """Start a command paused, ask over QMP, and return the answers as text."""
    said = [{"execute": "qmp_capabilities"}, *questions, {"execute": "quit"}]
    ended = subprocess.run(
        [*argv_of(command, directory), "-qmp", "stdio"], capture_output=True, text=True,
        input="".join(json.dumps(each) for each in said), timeout=RUNS_SECONDS, check=False,
    )  # fmt: skip
    lines = [line for line in ended.stdout.splitlines() if '"return"' in line or '"error"' in line]
    return lines[1:]


FAILING = [
    id for id in findings.ids()
    if any(f.id == id and f.severity is Severity.FAILS for f in findings.judged(id).found)
    # Refused while the VM runs, or kept waiting: not at the start.
    and id not in {"not-hot-pluggable", "chardev-waits"}
]  # fmt: skip


@pytest.mark.parametrize("id", findings.run(FAILING))
def test_qemu_fails_with_the_words_of_the_finding(id: str, tmp_path: Path) -> None:
    runs, words = started(findings.command(id), tmp_path)
    assert not runs
    said = [f.happens for f in findings.judged(id, on=here).found if f.severity is Severity.FAILS]
    # QEMU ends at the first of them.
    meant = [_plain(re.split("; |\\(-chardev", text.split(": ", 1)[1])[0]) for text in said]
    assert any(text in _plain(words) for text in meant), (words, meant)


def judged_alike(path: Path) -> tuple[bool, str, list[str]]:
    """Return whether an input of a rule starts, QEMU's words, and what would fail by us."""
    command = CommandLine.parse(path.read_text(), path.name)
    found = findings.judged(path.parent.name, command, on=here).found
    said = [f.happens for f in found if f.severity is Severity.FAILS]
    with tempfile.TemporaryDirectory() as directory:
        runs, words = started(command, Path(directory))
        padded = "/run/vm/" + "x" * (len(directory) - len("/run/vm"))
        if padded in command.text():
            words = words.replace(f"{directory}/", padded)
    return runs, words, said


def inputs(which: str) -> list[ParameterSet]:
    """Return the further inputs of rules: those that show one way more of a finding."""
    return [
        pytest.param(path, id=f"{path.parent.name}-{path.stem}",
                     marks=() if arch in findings.INSTALLED else pytest.mark.full)
        for id in FAILING for path in sorted((findings.RULES / id).glob(f"{which}*.args"))
        # TLS wants a host's certificates.
        if path.name != "bad.args" and path.parent.name + which != "object-missinggood"
        for arch in [CommandView.of(CommandLine.parse(path.read_text())).arch]
    ]  # fmt: skip


@pytest.mark.parametrize("path", inputs("bad"))
def test_each_way_to_be_wrong_fails_with_the_words_of_the_finding(path: Path) -> None:
    runs, words, said = judged_alike(path)
    assert not runs
    meant = [_plain(re.split("; |\\(-chardev", text.split(": ", 1)[1])[0]) for text in said]
    assert any(text.split(": a -")[0] in _plain(words) for text in meant), (words, meant)


@pytest.mark.parametrize("path", inputs("good"))
def test_what_is_named_as_good_starts(path: Path) -> None:
    runs, words, said = judged_alike(path)
    assert runs, words
    assert said == []


@pytest.mark.parametrize("id", findings.run(
    id for id in findings.ids() if id not in findings.FAILING_STILL | {"stdio-twice"}
))  # fmt: skip
def test_mended_it_starts(id: str, tmp_path: Path) -> None:
    command = findings.judged(id, on=here).command
    if id == "socket-path-too-long":
        text = re.sub(r"/run/(?:long-name-of-a-directory/)+", f"{tmp_path}/", command.text())
        command = CommandLine.parse(text)
    runs, words = started(command, tmp_path)
    assert runs, words


@pytest.mark.parametrize("id", findings.run(
    id for id in findings.ids() if findings.arch(id) not in findings.GUESTS
))  # fmt: skip
def test_mended_each_port_has_a_device(id: str, tmp_path: Path) -> None:
    """Where there is no guest that could use it."""
    command = findings.judged(id, on=here).command
    ports = sorted(
        {name for flaw in findings.judged(id).found for name in flaw.ports} | {"serial0"}
    )
    questions: list[dict[str, object]] = [
        {"execute": "chardev-remove", "arguments": {"id": name}} for name in ports
    ]
    refused = asked(command, tmp_path, *questions)
    assert [json.loads(each)["error"]["desc"] for each in refused[: len(ports)]] == [
        f"Chardev '{name}' is busy" for name in ports
    ]


@pytest.mark.parametrize(
    ("id", "said", "meant"),
    [
        ("property-unknown", "chardev,digi", "chardev=digi"),
        ("pci-no-bus", "raspi3b", "virt"),
        ("chardev-backend-unknown", "chardev,a", "chardev:a"),
        ("chardev-id", "1a", "serial0"),
        ("machine-unknown", "-nodefaults", "-machine virt"),
    ],
)
def test_it_starts_as_its_owner_is_told_to_mend_it(
    id: str, said: str, meant: str, tmp_path: Path
) -> None:
    (flaw,) = [flaw for flaw in findings.judged(id, on=here).found if flaw.id == id]
    assert meant in flaw.explained().fix
    runs, words = started(
        CommandLine.parse(findings.command(id).text().replace(said, meant)), tmp_path
    )
    assert runs, words


@pytest.mark.parametrize("mended", [False, True])
def test_a_tcp_port_that_nobody_can_reach(mended: bool, tmp_path: Path) -> None:
    id = "chardev-incomplete"
    command = findings.judged(id, on=here).command if mended else findings.command(id)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    argv = [word.replace("4322", str(port)) for word in argv_of(command, tmp_path)]
    with subprocess.Popen(
        [*argv, "-qmp", "stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as qemu:  # fmt: skip
        try:
            assert qemu.stdout is not None
            # Its chardevs are there before it greets.
            assert "QMP" in qemu.stdout.readline()
            with socket.socket() as client:
                assert (client.connect_ex(("127.0.0.1", port)) == 0) is mended
        finally:
            qemu.kill()


def test_stdio_is_left_to_the_first(tmp_path: Path) -> None:
    argv = argv_of(findings.judged("stdio-twice", on=here).command, tmp_path)
    argv += ["-qmp", f"unix:{tmp_path}/qmp,server=on"]
    with subprocess.Popen(
        argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as qemu:  # fmt: skip
        try:
            assert qemu.stderr is not None
            # Its monitor is the last that QEMU waits for: all chardevs are there.
            assert "waiting for connection" in qemu.stderr.readline()
        finally:
            qemu.kill()


def test_qemu_waits_for_a_client_and_mended_does_not(tmp_path: Path) -> None:
    argv = argv_of(findings.command("chardev-waits"), tmp_path)
    with subprocess.Popen(
        [*argv, "-monitor", "stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    ) as qemu:  # fmt: skip
        try:
            assert qemu.stderr is not None
            assert "waiting for connection" in qemu.stderr.readline()
            # A client ends the waiting; without one there is no end to see.
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(tmp_path / "serial1"))
                words, _ = qemu.communicate("quit\n", timeout=RUNS_SECONDS)
            assert "monitor" in words
        finally:
            qemu.kill()


def test_a_port_that_cannot_be_unplugged_and_mended_can(tmp_path: Path) -> None:
    unplug: dict[str, object] = {"execute": "device_del", "arguments": {"id": "pci1"}}
    (refused,) = asked(findings.command("not-hot-pluggable"), tmp_path, unplug)[:1]
    assert "Bus 'pcie.0' does not support hotplugging" in refused
    (taken,) = asked(findings.judged("not-hot-pluggable", on=here).command, tmp_path, unplug)[:1]
    assert '"return"' in taken


@pytest.mark.parametrize("mended", [False, True])
def test_a_usb_port_that_is_not_plugged_and_mended_is(mended: bool, tmp_path: Path) -> None:
    id = "usb-not-plugged"
    command = findings.judged(id, on=here).command if mended else findings.command(id)
    place: dict[str, object] = {"path": "/machine/peripheral-anon/device[0]"}
    (answer,) = asked(
        command, tmp_path, {"execute": "qom-get", "arguments": {**place, "property": "attached"}}
    )[:1]
    assert json.loads(answer) == {"return": mended}


@pytest.mark.parametrize("mended", [False, True])
def test_two_ports_on_one_socket(mended: bool, tmp_path: Path) -> None:
    id = "port-clash"
    command = findings.judged(id, on=here).command if mended else findings.command(id)
    with subprocess.Popen(
        [*argv_of(command, tmp_path), "-qmp", "stdio"], stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True,
    ) as qemu:  # fmt: skip
        try:
            assert qemu.stdin is not None
            assert qemu.stdout is not None
            assert "QMP" in qemu.stdout.readline()
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(tmp_path / "serial1"))
                said = ({"execute": "qmp_capabilities"}, {"execute": "query-chardev"},
                        {"execute": "quit"})  # fmt: skip
                words, _ = qemu.communicate("".join(map(json.dumps, said)), timeout=RUNS_SECONDS)
        finally:
            qemu.kill()
    answer = next(line for line in words.splitlines() if "serial1" in line)
    places = {entry["label"]: entry["filename"] for entry in json.loads(answer)["return"]}
    # A client of serial1 reaches serial1 only where the two have sockets of their own.
    assert places["serial1"].startswith("disconnected") is not mended


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", text.replace("'", "")).strip().rstrip(".")
