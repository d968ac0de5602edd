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
