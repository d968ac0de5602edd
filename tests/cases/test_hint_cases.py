"""Inputs that vmserial once answered wrongly, each test named after its case: hints."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from cli_inputs import fake_qemu, put_into, vmserial
from plans import binary

from vmserial.cli.main import run
from vmserial.guests import profile
from vmserial.model import Chardev, Machine, Pty, SerialPort
from vmserial.planning.planner import plan
from vmserial.qemu import binary as qemu_binary


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a directory with one input of each kind, where one QEMU 7.2 is known."""
    return put_into(tmp_path, monkeypatch)


def test_c10_a_hint_names_the_vms_own_architecture_and_number_and_fix(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = fake_qemu(here / "bin" / "qemu-system-riscv64", "riscv64")
    known = replace(binary("riscv64"), binary=str(program), onboard_uarts={"virt": 1})
    qemu_binary._Cache(str(program)).store(known)
    text = "qemu-system-riscv64 -M virt -serial pty -serial pty -serial pty\n"
    (here / "start.sh").write_text(text)
    assert run(["doctor", "start.sh"]) == 1
    out = capsys.readouterr().out
    assert "[onboard-uart-limit]" in out
    assert "vmserial plan --arch riscv64 --ports 3" in out
    assert "`vmserial fix start.sh` mends it" in out
    assert "--arch aarch64" not in out
    assert run(["doctor", "--", *text.split()]) == 1
    assert "`vmserial fix -- …` mends it" in capsys.readouterr().out


def _tree_of(here: Path) -> Path:
    """Return a host's copy with one VM: its second port does not start."""
    conf = here / "copy/etc/pve/nodes/h/qemu-server/203.conf"
    conf.parent.mkdir(parents=True)
    conf.write_text("arch: aarch64\nserial0: socket\nserial1: socket\nagent: 1,type=isa\n")
    return conf


def test_c10_a_hint_names_the_pve_vm_that_was_asked_about(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    conf = _tree_of(here)
    assert run(["doctor", "203", "--root", "copy"]) == 1
    out = capsys.readouterr().out
    path = conf.relative_to(here)
    assert f"`vmserial fix {path} --apply` keeps" in out
    assert "`qm set 203 --agent 1`" in out
    assert "142" not in out
    # The call works as it stands.
    assert run(["fix", str(path), "--apply", "--no-check"]) == 0
    assert "args:" in conf.read_text()


def test_c10_a_hint_for_what_came_from_a_pipe_writes_nothing_back(here: Path) -> None:
    conf = _tree_of(here)
    code, out, _ = vmserial(f"vmserial doctor - <{conf}")
    assert code == 1
    assert "`vmserial fix -` keeps" in out
    assert "`qm set VMID --agent 1`" in out


@pytest.mark.parametrize("verb", [["pve", "list"], ["doctor", "--all"]])
def test_c10_the_next_call_finds_the_vm_in_the_same_tree(
    here: Path, capsys: pytest.CaptureFixture[str], verb: list[str]
) -> None:
    _tree_of(here)
    assert run([*verb, "--root", "copy"]) == 1
    assert "'vmserial doctor 203 --root copy' says what to do" in capsys.readouterr().out
    assert run(["doctor", "203", "--root", "copy"]) == 1


def test_c10_what_fix_leaves_has_the_hint_that_doctor_gives(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    conf = _tree_of(here)
    conf.write_text("arch: aarch64\nserial1: socket\nvga: serial1\n")
    assert run(["doctor", "203", "--root", "copy"]) == 1
    asked = set(re.findall("`vmserial fix [^`]*`", capsys.readouterr().out))
    assert run(["fix", "203", "--root", "copy", "--no-check"]) == 1
    left = capsys.readouterr().err
    assert asked
    assert asked <= set(re.findall("`vmserial fix [^`]*`", left))
    assert "142" not in left


# ------------------------------------------------------------------ ports by their names


def test_a4_a_console_is_named_as_a_serial_port_is(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_qemu(here / "bin" / "qemu-system-s390x", "s390x")
    console = "<console type='pty'><target type='sclp'/></console>"
    (here / "s.xml").write_text(
        "<domain type='qemu'><name>s</name><memory>1</memory><os><type arch='s390x' "
        "machine='s390-ccw-virtio'>hvm</type></os><devices><serial type='pty'/>"
        f"{console}{console}</devices></domain>"
    )
    assert run(["doctor", "s.xml"]) == 1
    out = capsys.readouterr().out
    assert "fails to start: console1, console2 (s.xml:1)  [sclp-limit]" in out
    assert "and the same for console2" in out


def test_d1_a_port_that_is_planned_by_another_number_is_named(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_qemu(here / "bin" / "qemu-system-x86_64", "x86_64")
    (here / "u.xml").write_text(
        "<domain type='qemu'><name>u</name><memory>1</memory><os><type arch='x86_64' "
        "machine='q35'>hvm</type></os><devices><serial type='pty'><target type='usb-serial'/>"
        "</serial><serial type='pty'><target type='isa-serial'/></serial></devices></domain>"
    )
    assert run(["plan", "u.xml"]) == 0
    answer = capsys.readouterr()
    assert "serial0 is planned as serial1" in answer.err
    assert "serial1 is planned as serial0" in answer.err


# ------------------------------------------------------------------ C9: each board's own UART


@pytest.mark.parametrize(
    ("arch", "blocks"),
    [("aarch64", True), ("arm", True), ("riscv64", False), ("s390x", False), ("ppc64", False),
     ("loongarch64", False)],
)  # fmt: skip
def test_c9_only_a_board_with_a_pl011_is_said_to_have_one(arch: str, blocks: bool) -> None:
    machine = Machine(arch, (SerialPort(0, Chardev(Pty())),))
    made = plan(machine, binary(arch), profile.unknown(arch))
    assert [each.kind for each in made.assignments] == ["uart"]
    assert any("pl011" in text for text in made.warnings) == blocks
    assert any("pl011" in text for text in made.assignments[0].cautions) == blocks


# ------------------------------------------------------------------ D10: heeded or refused


@pytest.mark.parametrize(
    ("words", "option"),
    [
        ("guest.xml --arch x86_64", "--arch"),
        ("guest.xml --pending", "--pending"),
        ("guest.xml --snapshot before", "--snapshot"),
        ("start.sh --vmid 142", "--vmid"),
        ("guest.xml --paused --mutant drop@serial0", "--mutant"),
        ("guest.xml --paused --sizes full", "--sizes"),
        ("142.conf --paused --suite trixie", "--suite"),
    ],
)
def test_d10_verify_refuses_what_it_would_ignore(
    here: Path, capsys: pytest.CaptureFixture[str], words: str, option: str
) -> None:
    del here
    assert run(["verify", *words.split()]) == 2
    assert f"where: {option}\n" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["plan", "showcmd"])
def test_d10_what_is_laid_over_an_input_is_not_what_its_owner_starts(
    here: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    conf = _tree_of(here)
    conf.write_text("arch: aarch64\nserial0: socket\nvga: serial0\n")
    call = ["203", "--root", "copy", "--socket-dir", "/elsewhere", "--ports", "3"]
    assert run(["doctor", *call[:3]]) == 0
    assert run([verb, *call]) == 0
    assert "vmserial doctor says why" not in capsys.readouterr().err


def test_c10_the_call_that_is_named_has_the_options_that_it_needs(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "v.sh").write_text("qemu-system-$ARCH -M virt -serial pty -serial pty\n")
    assert run(["doctor", "v.sh", "--arch", "aarch64"]) == 1
    assert "`vmserial fix v.sh --arch aarch64` mends it" in capsys.readouterr().out
    assert run(["fix", "v.sh", "--arch", "aarch64", "--no-check"]) == 0
    (here / "kylin.conf").write_text("serial0: socket\nserial1: socket\n")
    capsys.readouterr()
    assert run(["doctor", "kylin.conf", "--arch", "aarch64", "--vmid", "7"]) == 1
    assert "`vmserial fix kylin.conf --arch aarch64 --vmid 7 --apply`" in capsys.readouterr().out
    assert run(["fix", *"kylin.conf --arch aarch64 --vmid 7 --apply --no-check".split()]) == 0
    capsys.readouterr()
    words = ["-M", "virt", "-serial", "pty", "-serial", "pty"]
    assert run(["doctor", "--arch", "aarch64", "--", "qemu-system-aarch64", *words]) == 1
    assert "`vmserial fix --arch aarch64 -- …` mends it" in capsys.readouterr().out


def test_a_template_which_pve_never_starts_has_no_dead_port(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    conf = _tree_of(here)
    conf.write_text("arch: aarch64\nserial0: socket\nserial1: socket\ntemplate: 1\n")
    assert run(["doctor", "203", "--root", "copy"]) == 0
    assert "a template: PVE starts it for its disks alone" in capsys.readouterr().out
    conf.write_text(conf.read_text().replace("template: 1", "template: 0"))
    assert run(["doctor", "203", "--root", "copy"]) == 1
