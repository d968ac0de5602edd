"""Texts and logs that explain once did not know, or took for something else; C2, C4, C5, E, F."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_cli_main import ROOT

from vmserial import catalogue
from vmserial.cli import main

QEMU = "qemu-system-x86_64: "
NO_FILE = "No such file or directory"


def ids(text: str) -> list[str]:
    return [match.doc.id for match in catalogue.matches(text)]


def test_c2_not_a_tty_is_a_node_without_a_uart() -> None:
    assert ids("agetty[412]: /dev/ttyS0: not a tty") == ["ttys-unbacked"]
    assert ids("agetty[412]: /dev/ttyS4: not a character device") == ["tty-is-a-file"]
    assert ids("FATAL: failed to add port: Filedes is not a tty") == ["tty-is-a-file"]


@pytest.mark.parametrize(
    ("text", "id"),
    [
        (f"{QEMU}-chardev pipe,id=a,path=/tmp/pp: Could not open '/tmp/pp': {NO_FILE}",
         "pipe-missing"),
        (f"{QEMU}-serial pipe:/tmp/pp: Could not open '/tmp/pp': {NO_FILE}", "pipe-missing"),
        (f"{QEMU}-monitor pipe:/tmp/pp: Could not open '/tmp/pp': {NO_FILE}", "pipe-missing"),
        ("error: internal error: process exited while connecting to monitor: "
         "2026-11-27T10:00:00.000000Z qemu-system-x86_64: -chardev pipe,id=charserial0,"
         f"path=/tmp/pp: Could not open '/tmp/pp': {NO_FILE}", "pipe-missing"),
        (f"{QEMU}-serial /dev/ttyUSB7: Could not open '/dev/ttyUSB7': {NO_FILE}", "tty-missing"),
        (f"{QEMU}-serial file:/nodir/x: Could not open '/nodir/x': {NO_FILE}", "directory-missing"),
        (f"{QEMU}-serial unix:/tmp/s: Failed to connect to '/tmp/s': {NO_FILE}", "socket-missing"),
        (f"{QEMU}-chardev serial,id=a,path=/tmp/s: Could not open '/tmp/s': No such device or "
         "address", "not-openable-as-file"),
        (f"{QEMU}-drive file=/tmp/d.qcow2: Could not open '/tmp/d.qcow2': {NO_FILE}",
         "file-missing"),
        (f"cat: /dev/ttyS9: {NO_FILE}", "tty-node-missing"),
        (f"bash: /dev/ttyAMA1: {NO_FILE}", "tty-node-missing"),
        (f"stty: /dev/ttyUSB0: {NO_FILE}", "ttyusb-missing"),
        (f'2026/11/28 socat[7577] E open("/dev/ttyS9", 02, 0666): {NO_FILE}', "tty-node-missing"),
        (f'2026/11/28 socat[7519] E connect(, AF=1 "/tmp/s", 15): {NO_FILE}',
         "client-finds-no-socket"),
    ],
)  # fmt: skip
def test_c4_a_file_that_is_missing_is_told_by_what_it_was_to_be(text: str, id: str) -> None:
    assert ids(text) == [id]


def test_c4_the_bare_words_name_all_that_it_can_be() -> None:
    assert ids(f"Could not open '/tmp/pp': {NO_FILE}") == ["file-missing"]
    doc = catalogue.by_id("file-missing")
    assert doc is not None
    others = {"pipe-missing", "socket-missing", "tty-node-missing", "tty-missing"}
    assert others <= set(doc.see)


def test_c5_pve_no_such_serial_device_is_first_of_all_a_tty_that_is_gone() -> None:
    (match,) = catalogue.matches("TASK ERROR: no such serial device")
    assert match.doc.id == "tty-missing"
    assert "USB adapter" in match.doc.cause
    assert "pve-backend-unknown" in match.doc.see
    assert any(way.startswith("PVE: `ls -l /dev/ttyUSB0`") for way in match.doc.resolution)


@pytest.mark.parametrize(
    ("text", "id"),
    [
        ("-chardev serial,id=a,path=/dev/ttyS0: Could not open '/dev/ttyS0': Operation not "
         "permitted", "tty-not-permitted"),
        ("-chardev serial,id=a,path=/dev/pts/0: Could not open '/dev/pts/0': Device or resource "
         "busy", "tty-busy"),
        ("FATAL: cannot open /dev/ttyUSB0: Device or resource busy", "tty-busy"),
        ('socat[7] E open("/dev/ttyS0", 02002, 0666): Device or resource busy', "tty-busy"),
        ("-device sclpconsole,chardev=b: Multiple VT220 operator consoles are not supported",
         "sclp-limit"),
        ("-device sclplmconsole,chardev=b: Multiple line-mode operator consoles are not supported",
         "sclp-limit"),
        ("-device sclpconsole,chardev=b: SCLP event initialization failed.", "sclp-limit"),
        ("error: Guest agent is not responding: QEMU guest agent is not connected",
         "guest-agent-not-connected"),
        ("QEMU guest agent is not running", "guest-agent-not-connected"),
        ("error: argument unsupported: QEMU guest agent is not configured",
         "guest-agent-not-configured"),
        ("error: unsupported configuration: Only the first console can be a serial port",
         "libvirt-serial-console-first"),
        ("error: XML error: Attempted double use of PCI Address 0000:00:05.0", "pci-slot-taken"),
        ("error: internal error: PTY device is not yet assigned", "libvirt-pty-unassigned"),
        ("only root can set 'serial0' config for real devices", "pve-serial-needs-root"),
        ("can't migrate VM which uses local devices: serial0", "pve-migration-blocked"),
        ("VM 142 qmp command 'guest-ping' failed - got timeout", "pve-qmp-failed"),
        ("VM 142 qmp command failed - VM 142 not running", "pve-qmp-failed"),
        ("VM 142 qmp command 'device_add' failed - Bus 'pci.9' not found", "bus-missing"),
        ("systemd[1]: Dependency failed for Serial Getty on ttyS0.", "getty-no-device"),
        ("systemd[1]: Dependency failed for serial-getty@ttyS0.service - Serial Getty on ttyS0.",
         "getty-no-device"),
        ("starting serial terminal on interface serial0 (press Ctrl+O to exit)", "console-silent"),
        ("Connected to domain 'guest'\nEscape character is ^] (Ctrl + ])\n", "console-silent"),
        ("Connected to domain guest\nEscape character is ^]\n\n\n", "console-silent"),
        ("E unix socket address 117 characters long, max length is 108", "socket-path-too-long"),
        ("UNIX socket path '/Users/me/Library/x' is too long\nPath must be less than 104 bytes",
         "socket-path-too-long"),
    ],
)  # fmt: skip
def test_e_the_text_is_known(text: str, id: str) -> None:
    assert ids(text) == [id]


def test_e_a_silent_screen_names_the_guests_causes_first() -> None:
    doc = catalogue.by_id("console-silent")
    assert doc is not None
    assert doc.cause.index("getty") < doc.cause.index("console=") < doc.cause.index("no device")
    ways = " ".join(doc.resolution)
    assert "serial-getty@ttyS0" in ways
    assert "console=ttyS0" in ways


LOG = f"one\n{QEMU}-device usb-serial: speed mismatch trying to attach usb device\n"


def test_f_the_name_of_a_log_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("task.log", "a task's log", "-serial"):
        Path(name).write_text(LOG)
        assert main.run(["explain", "--json", name]) == 0
        out, err = capsys.readouterr()
        (found,) = json.loads(out)
        assert (found["id"], found["number"]) == ("usb-speed", 2)
        assert f"{name} is a file: it is read" in err


def test_f_an_id_is_an_id_also_where_a_file_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("isa-limit").write_text(LOG)
    assert main.run(["explain", "isa-limit"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("isa-limit: ")
    assert err == ""


@pytest.mark.parametrize("words", ["tmp", "x" * 5000, "a\0b", "/nodir/task.log", "none.log"])
def test_f_what_is_no_file_is_a_text(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tmp").mkdir()
    assert main.run(["explain", words]) == 1
    err = capsys.readouterr().err
    assert "nothing is known of" in err
    assert ("it is not the name of a file that is there" in err) == words.endswith(".log")


def test_f_a_file_that_cannot_be_read_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loop = tmp_path / "task.log"
    loop.write_text("")
    assert main.run(["explain", str(loop)]) == 2
    assert "the text is empty" in capsys.readouterr().err
    assert main.run(["explain", "/proc/self/mem"]) == 2
    assert "cannot read /proc/self/mem: Input/output error" in capsys.readouterr().err


@pytest.mark.parametrize("between", [b"\n", b" "], ids=["lines", "one-line"])
def test_f_fifty_megabytes_in_one_line_are_read(between: bytes) -> None:
    """As a whole process, in processor time: a log of 50 MB takes about half a second."""
    line = b"[%6d.%06d] serial 0000:00:07.%d: ttyS%d at I/O 0x%x (irq = %d) is a 16550A"
    lines = [line % (n, n, n % 8, n % 4, n, n % 16) for n in range(20_000)]
    log = between.join(lines * 32 + [b"kvm: speed mismatch trying to attach usb device", b""])
    assert len(log) > 50_000_000 - 8_000_000
    before = os.times()
    done = subprocess.run(
        [sys.executable, "-m", "vmserial", "explain", "-"], input=log, capture_output=True,
        timeout=300, env={**os.environ, "PYTHONPATH": str(ROOT / "src")}, check=True,
    )  # fmt: skip
    after = os.times()
    assert done.stdout.startswith(b"usb-speed: ")
    spent = after.children_user + after.children_system
    spent -= before.children_user + before.children_system
    assert len(log) / spent > 20e6 / 2, "half of what is asked for, for a slow machine"


def test_f_a_log_twice_as_long_takes_no_more_than_twice_the_time() -> None:
    """The same words, once in a line each and once in one line without an end."""
    catalogue.matches("the documents are read")
    for between in ("\n", " "):
        text = between.join([LOG.strip(), "usb 1-1: new full-speed USB device number 2"] * 9000)

        def spent(times: int, text: str = text) -> float:
            begin = time.process_time()
            catalogue.matches(text * times)
            return time.process_time() - begin

        once = min(spent(2) for _ in range(3))
        assert min(spent(8) for _ in range(3)) < 4 * once * 1.8
