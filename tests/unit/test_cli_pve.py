"""``vmserial pve list``, and ``doctor`` and ``fix`` of a PVE VM: words, codes, what is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import pve_tree
import pytest
from click.testing import CliRunner

from vmserial.cli import main
from vmserial.cli.pve import command
from vmserial.judging import RepairPolicy
from vmserial.model import Capabilities, GuestProfile
from vmserial.shim.facts import Facts
from vmserial.shim.places import Record
from vmserial.shim.status import State
from vmserial.shim.tree import Tree


@pytest.fixture(autouse=True)
def no_qemu(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no QEMU: an old one is assumed."""
    monkeypatch.setenv("PATH", "/nonexistent")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return pve_tree.make(tmp_path / "host")


def pve_list(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(command, ["list", *words], standalone_mode=False)
    assert result.exception is None
    return int(result.return_value), result.output


# ------------------------------------------------------------------ list


def test_list_shows_all_vms(root: Path) -> None:
    code, text = pve_list("--root", str(root))
    lines = text.splitlines()
    assert code == 1
    assert lines[0].split() == ["vmid", "name", "arch", "ports", "wrong"]
    assert len(lines) == 23
    (article,) = [line for line in lines if line.startswith("101")]
    # It does not start: it has no devices.
    assert "serial0 - (pve), serial1 - (pve)" in article
    assert article.endswith("pve-isa-on-aarch64 serial1")
    assert "19 of 20 VMs have something wrong" in lines[-1]


def test_list_as_json(root: Path) -> None:
    code, text = pve_list("--root", str(root), "--json")
    rows = json.loads(text)
    assert code == 1
    assert [row["vmid"] for row in rows] == [vm.vmid for vm in pve_tree.VMS]
    first = rows[0]
    assert (first["node"], first["name"], first["arch"]) == ("arm", "kylin-v10", "aarch64")
    assert first["ports"][1] == {
        "name": "serial1", "backend": "socket=/var/run/qemu-server/101.serial1", "kind": "",
        "way": "pve",
    }  # fmt: skip
    assert first["findings"][0]["id"] == "pve-isa-on-aarch64"


def test_one_file_that_cannot_be_read_hides_no_other(tmp_path: Path) -> None:
    (tmp_path / "1.conf").write_text("serial0: nonesuch=x\n")
    (tmp_path / "2.conf").write_text("serial0: socket\n")
    code, text = pve_list("--root", str(tmp_path))
    assert code == 1
    assert "1.conf:1" in text
    assert "serial0 isa (pve)" in text
    (tmp_path / "1.conf").unlink()
    code, text = pve_list("--root", str(tmp_path))
    assert code == 0
    assert "nothing is wrong" in text


def test_the_hosts_architecture_can_be_said(tmp_path: Path) -> None:
    (tmp_path / "2.conf").write_text("serial0: socket\nserial1: socket\n")
    assert pve_list("--root", str(tmp_path))[0] == 0
    code, text = pve_list("--root", str(tmp_path), "--arch", "arm64")
    assert code == 1
    assert "aarch64" in text


# ------------------------------------------------------------------ doctor and fix


def test_doctor_of_a_number(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["doctor", "101", "--root", str(root)]) == 1
    out = capsys.readouterr().out
    assert "[pve-isa-on-aarch64]" in out
    assert "VM 101 (kylin-v10): 2 serial ports: one thing is wrong" in out
    assert main.run(["doctor", "201", "--root", str(root)]) == 0
    assert main.run(["doctor", "999", "--root", str(root)]) == 2


def test_fix_shows_and_writes_nothing_unless_told(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = root / "etc/pve/qemu-server/101.conf"
    before = path.read_bytes()
    assert main.run(["fix", "101", "--root", str(root)]) == 0
    out, err = capsys.readouterr()
    assert "-serial1: socket" in out
    assert "+args: -device qemu-xhci," in out
    assert "would mend: serial1" in err
    assert "qm terminal 101 -iface serial1" in err
    assert "--way shim" in err
    assert "nothing was written" in err
    assert main.run(["fix", "101", "--root", str(root), "--diff"]) == 0
    assert capsys.readouterr().out == out
    assert path.read_bytes() == before
    assert not (root / "var/backups").exists()


def test_fix_writes_once(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = root / "etc/pve/qemu-server/101.conf"
    assert main.run(["fix", "101", "--root", str(root), "--apply"]) == 0
    assert f"as it was: {root}/var/backups/vmserial/101.conf.1" in capsys.readouterr().err
    mended = path.read_bytes()
    assert main.run(["fix", str(path), "--apply"]) == 0
    assert "nothing was changed" in capsys.readouterr().err
    assert path.read_bytes() == mended
    assert main.run(["doctor", "101", "--root", str(root)]) == 0


def test_fix_into_another_file(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "101.conf"
    assert main.run(["fix", "101", "--root", str(root), "-o", str(out)]) == 0
    assert b"args: -device" in out.read_bytes()
    assert (root / "etc/pve/qemu-server/101.conf").read_text() == pve_tree.VMS[0].text


def test_fix_as_json(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["fix", "101", "--root", str(root), "--json", "--apply"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["vmid"] == 101
    assert [change["id"] for change in data["changes"]] == ["pve-isa-on-aarch64"]
    assert data["backup"].endswith("/var/backups/vmserial/101.conf.1")
    assert data["left"] == []


def test_the_shims_way_without_a_shim_is_not_done(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["fix", "101", "--root", str(root), "--way", "shim"]) == 1
    assert "[pve-shim-missing]" in capsys.readouterr().err


def test_the_shims_way_with_a_shim(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def states(tree: Tree, base: str, lines: int) -> list[State]:
        seen.append((tree.root, base, lines))
        facts = Facts((1, 1), Capabilities((9, 0, 0), "aarch64"), GuestProfile("x"), RepairPolicy())
        beside = record("path", "/opt/qemu-system-aarch64")
        return [State(r.target, r, facts, (), (), ()) for r in (beside, record("divert", TARGET))]

    home = "/usr/lib/vmserial-shim/x/1"
    monkeypatch.setattr("vmserial.shim.status.states", states)
    monkeypatch.setattr(
        "vmserial.shim.places.wrapper_home", lambda tree, path: home if path == TARGET else tree
    )
    assert main.run(["doctor", "101", "--root", str(root)]) == 0
    assert main.run(["fix", "101", "--root", str(root), "--way", "shim"]) == 0
    # It is a shim of aarch64's binary.
    assert main.run(["doctor", "206", "--root", str(root)]) == 1
    assert seen[0] == (str(root), "/usr/lib/vmserial-shim", 0)


TARGET = "/usr/bin/qemu-system-aarch64"


def record(way: Literal["divert", "path"], target: str) -> Record:
    return Record("1", way, target, "/r", "/usr/lib/vmserial-shim/x/1", "/usr/bin/python3", "/l")


def test_a_kind_can_be_chosen(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["fix", "102", "--root", str(root), "--type", "virtio", "--diff"]) == 0
    out = capsys.readouterr().out
    assert out.count("virtserialport") == 3 + 3
    assert main.run(["fix", "102", "--root", str(root), "--type", "pci", "--diff"]) == 0
    assert capsys.readouterr().out.count("-device pci-serial,id=pciserial") == 3


def test_logs_of_the_ports_that_args_has(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["fix", "102", "--root", str(root), "--logs", "/var/log/vm", "--apply"]
    assert main.run(words) == 0
    text = (root / "etc/pve/qemu-server/102.conf").read_text()
    assert text.count("logfile=") == 3
    assert "logfile=/var/log/vm/102.serial1.log,logappend=on" in text
    assert "serial0: socket\n" in text
    capsys.readouterr()
    assert main.run(words) == 0
    assert "nothing was changed" in capsys.readouterr().err


def test_another_view_is_not_mended(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["fix", "109", "--root", str(root), "--pending"]) == 2
    assert main.run(["fix", "109", "--root", str(root), "--snapshot", "before-upgrade"]) == 2
    assert "stay as they are" in capsys.readouterr().err


def test_a_locked_vm_is_refused(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = root / "etc/pve/qemu-server/101.conf"
    path.write_text(path.read_text() + "lock: migrate\n")
    assert main.run(["fix", "101", "--root", str(root), "--apply"]) == 2
    assert "locked by a task of PVE: migrate" in capsys.readouterr().err


# ------------------------------------------------------------------ whose architecture it is


@pytest.mark.parametrize("verb", ["doctor", "plan", "showcmd", "fix", "verify"])
def test_no_verb_takes_another_architecture_than_the_configuration_says(
    verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "142.conf"
    path.write_text("memory: 512\narch: aarch64\nserial0: socket\n")
    assert main.run([verb, str(path), "--arch", "x86_64"]) == 2
    said = capsys.readouterr().err
    assert "--arch says x86_64, and the configuration says arch: aarch64" in said
    assert f"where: {path}:2" in said


def test_the_same_architecture_may_be_said_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "142.conf"
    path.write_text("memory: 512\narch: aarch64\nserial0: socket\n")
    for said in ("aarch64", "arm64"):
        assert main.run(["doctor", str(path), "--arch", said]) == 0
    path.write_text("memory: 512\nserial0: socket\n")
    assert main.run(["doctor", str(path), "--arch", "x86_64"]) == 0
    capsys.readouterr()


def test_an_architecture_that_pve_does_not_know_is_named_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "142.conf"
    path.write_text("memory: 512\narch: riscv64\nserial0: socket\n")
    assert main.run(["doctor", str(path)]) == 1
    said = capsys.readouterr().out
    assert f"fails to start: the VM ({path}:2)  [pve-arch-unknown]" in said
    assert "it knows no architecture riscv64" in said


# ------------------------------------------------------------------ ports of the user's own words


OWN = (
    "memory: 512\narch: x86_64\nserial0: socket\nagent: 1\nargs: -chardev pty,id=mine "
    "-device usb-serial,chardev=mine,always-plugged=on -chardev null,id=other "
    "-device pci-serial,chardev=other -serial stdio -chardev null,id=qga "
    "-device virtserialport,chardev=qga,name=org.qemu.guest_agent.1\n"
)


def test_the_users_own_ports_in_args_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "142.conf"
    path.write_text(OWN)
    main.run(["doctor", str(path)])
    assert "4 serial ports" in capsys.readouterr().out.splitlines()[-1]
    path.write_text("".join(line for line in OWN.splitlines(True) if "args" not in line))
    main.run(["doctor", str(path)])
    assert "1 serial port:" in capsys.readouterr().out.splitlines()[-1]


def test_the_users_own_ports_in_args_are_listed(tmp_path: Path) -> None:
    (tmp_path / "142.conf").write_text(OWN.replace(" -serial stdio", ""))
    (row,) = json.loads(pve_list("--root", str(tmp_path), "--json")[1])
    assert [(p["backend"], p["kind"], p["way"]) for p in row["ports"]] == [
        ("socket=/var/run/qemu-server/142.serial0", "isa", "pve"),
        ("pty", "usb", "args"),
        ("null", "pci", "args"),
    ]
    (tmp_path / "142.conf").write_text(OWN)
    (row,) = json.loads(pve_list("--root", str(tmp_path), "--json")[1])
    # It does not start: -serial stdio has the id of the line's chardev.
    assert [(p["kind"], p["way"]) for p in row["ports"]] == [("", "pve"), *[("", "args")] * 3]
    assert row["ports"][3]["backend"] == "stdio,signal=on"
