"""`verify` of what people have, as it stands: what its owner would leave dead is red."""

from __future__ import annotations

import io
import socket
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from vmserial.cli.main import run
from vmserial.cli.subject import FixWords, Kind, module_of, resolved
from vmserial.cli.vm_options import VmOptions
from vmserial.guests import images
from vmserial.model import Severity
from vmserial.progress import Silent
from vmserial.verify import session
from vmserial.verify.results import Check, FaultKind, Verdict
from vmserial.verify.results_file import read

DEAD = "qemu-system-aarch64 -M virt -nodefaults -serial pty -serial pty"
CONF = "arch: aarch64\nmemory: 2048\nserial0: socket\nserial1: socket\n"
DOMAIN = """<domain type='qemu'><name>r</name><memory>524288</memory>
<os><type arch='aarch64' machine='virt'>hvm</type></os>
<devices><emulator>/usr/bin/qemu-system-aarch64</emulator>
<controller type='usb' model='qemu-xhci'/>
<serial type='pty'><target type='system-serial' port='0'/></serial>
<serial type='pty'><target type='system-serial' port='1'/></serial>
<serial type='pty'><target type='usb-serial' port='2'/></serial>
</devices></domain>
"""


def verify(out: Path, *words: str) -> tuple[int, list[Check]]:
    # What boots nothing has no sizes.
    sizes = [] if "--paused" in words else ["--sizes", "smoke"]
    status = run(["verify", *sizes, "-q", "--out", str(out), *words])
    checks = [check for one in read(out / "results.jsonl") for check in one.checks]
    return status, checks


def red(checks: list[Check]) -> dict[str, str]:
    """Return what is said of each port that is not right."""
    return {c.port: c.detail for c in checks if c.verdict is Verdict.FAIL}


def condemned(path: Path, kind: Kind) -> set[tuple[str, str]]:
    """Return the ids and ports that doctor names."""
    asked = resolved(VmOptions(input=str(path), vmid=142 if kind == "pve" else None))
    found, _ = module_of(kind).doctor(asked, FixWords())
    return {
        (finding.id, port)
        for finding in found
        if finding.severity is not Severity.NOTE
        for port in finding.ports or ("",)
    }


def test_a_command_with_a_dead_port(tmp_path: Path) -> None:
    status, checks = verify(tmp_path, "--", *DEAD.split())
    assert status == 1
    said = red(checks)
    assert set(said) == {"serial1"}
    assert said["serial1"].endswith("[onboard-uart-limit]")
    assert sum(c.port == "serial0" and c.verdict is Verdict.PASS for c in checks) == 4
    assert 'failures="4"' in (tmp_path / "junit.xml").read_text()
    assert "onboard-uart-limit" in (tmp_path / "report.html").read_text()
    status, checks = verify(tmp_path, "--fixed", "--", *DEAD.split())
    assert status == 0
    assert {c.port: c.kind for c in checks} == {"serial0": "uart", "serial1": "usb"}


def test_a_script_on_stdin_that_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "#!/bin/sh\nexec qemu-system-aarch64 -M virt -nodefaults -chardev pty,id=a \\\n"
    text += "  -device isa-serial,chardev=a\n"
    stdin = SimpleNamespace(buffer=io.BytesIO(text.encode()))
    monkeypatch.setattr(sys, "stdin", stdin)
    status, checks = verify(tmp_path, "-")
    assert status == 1
    whole = next(c for c in checks if not c.port)
    assert "'isa-serial' is not a valid device model name" in whole.detail
    assert whole.detail.endswith("[kind-not-on-arch]")
    assert whole.faults[0].kind is FaultKind.REFUSED


@pytest.mark.parametrize(
    ("name", "text", "kind"), [("142.conf", CONF, "pve"), ("r.xml", DOMAIN, "domain")]
)
def test_c13_what_doctor_condemns_does_not_pass(
    name: str, text: str, kind: Kind, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_text(text)
    status, checks = verify(tmp_path / "as-it-stands", str(path))
    assert status == 1
    wanted = condemned(path, kind)
    assert wanted
    said = {(id, c.port) for c in checks if c.verdict is not Verdict.PASS
            for id, _ in wanted if f"[{id}]" in c.detail}  # fmt: skip
    assert wanted <= said
    status, checks = verify(tmp_path / "fixed", "--fixed", str(path))
    assert (status, red(checks)) == (0, {})


def test_a_qemu_that_boots_no_test_guest_is_asked_while_paused(tmp_path: Path) -> None:
    board = ["qemu-system-loongarch64", "-M", "virt", "-m", "2G"]
    words = ["--", *board, "-serial", "pty", "-serial", "pty"]
    status, checks = verify(tmp_path, *words)
    assert status == 1
    assert set(red(checks)) == {"serial1"}
    assert {c.mode for c in checks} == {"paused"}
    status, checks = verify(tmp_path, "--fixed", *words)
    assert (status, red(checks)) == (0, {})


def test_what_the_host_lacks_counts_and_what_the_vm_itself_may_hold_does_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head = ["--paused", "--", "qemu-system-x86_64", "-nodefaults", "-serial"]
    status, checks = verify(tmp_path, *head, "unix:/no/such/directory/s,server=on,wait=off")
    assert status == 1
    assert red(checks)["serial0"].endswith("[directory-missing]")
    with socket.create_server(("127.0.0.1", 0)) as server:
        place = f"tcp:127.0.0.1:{server.getsockname()[1]},server=on,wait=off"
        status, checks = verify(tmp_path, *head, place)
    assert (status, red(checks)) == (0, {})
    assert "it is not counted: a VM that runs has it itself" in capsys.readouterr().err
    domain = tmp_path / "r.xml"
    source = "<serial type='unix'><source mode='bind' path='/no/such/directory/s'/>"
    domain.write_text(DOMAIN.replace("<serial type='pty'>", source, 1))
    status, checks = verify(tmp_path / "out", "--paused", str(domain))
    assert status == 1
    assert red(checks)["serial0"].endswith("[directory-missing]")


NOISE = (
    "echo 7 >/proc/sys/kernel/printk; "
    "{ while sleep 0.05; do echo '<4>a driver has something to say' >/dev/kmsg; done & } "
    "2>/dev/null"
)
"""A kernel that talks on its console all the time."""


@pytest.mark.parametrize("quieted", [True, False])
def test_c14_a_kernel_of_ones_own_that_talks(
    quieted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest = images.ensure("aarch64", "bookworm", reporter=Silent())
    quiet = session._QUIET if quieted else ":"
    monkeypatch.setattr(session, "_QUIET", f"{NOISE}; {quiet}")
    status, checks = verify(
        tmp_path, "--kernel", str(guest.kernel), "--initrd", str(guest.initrd),
        "--kernel-config", str(guest.config), "--append", "vmserial_shell=console",
        "--", *DEAD.split()[:-2],
    )  # fmt: skip
    assert status == (0 if quieted else 1)
    if not quieted:
        said = red(checks)["serial0"]
        assert "that nobody sent" in said
        assert "a driver has something to say" in said
        assert "a message of the guest's kernel" in said
