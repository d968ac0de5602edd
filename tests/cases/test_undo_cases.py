"""Inputs that vmserial once answered wrongly: fix, undo, one VM or all of a host."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from cli_inputs import CONF, DOMAIN, INPUTS, put_into

from vmserial.cli.main import run


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a directory with one input of each kind, where one QEMU 7.2 is known."""
    return put_into(tmp_path, monkeypatch)


def test_f_a_dry_run_says_what_it_would_mend(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (["start.sh", "--no-check"], ["guest.xml"], ["142.conf"]):
        assert run(["fix", *words]) == 0
        said = capsys.readouterr().err
        assert "would mend: " in said
        assert "\nmended: " not in f"\n{said}"
        assert run(["fix", *words, "--apply"]) == 0
        said = capsys.readouterr().err
        assert "mended: " in said
        assert "would mend: " not in said
    assert run(["fix", str(here / "start.sh"), "--no-check"]) == 0


def test_f_what_cannot_be_written_is_not_called_mended(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "there").write_text("x")
    assert run(["fix", "guest.xml", "-o", "there"]) == 2
    assert "mended" not in capsys.readouterr().err


@pytest.mark.parametrize("name", ["start.sh", "guest.xml", "142.conf"])
def test_undo_puts_back_what_fix_wrote_and_a_second_undo_the_fix(
    here: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--no-check"] if name == "start.sh" else []
    assert run(["fix", *more, name, "--apply"]) == 0
    mended = (here / name).read_text()
    assert run(["undo"]) == 0
    assert f"{name}.vmserial-1.bak" in capsys.readouterr().out
    assert run(["undo", name]) == 0
    shown = capsys.readouterr()
    assert f"+++ {name} (as it was)" in shown.out
    assert "nothing was written" in shown.err
    assert (here / name).read_text() == mended
    assert run(["undo", name, "--apply"]) == 0
    assert (here / name).read_text() == INPUTS[name]
    assert run(["undo", name, "--apply"]) == 0
    assert (here / name).read_text() == mended
    assert run(["undo", name, "--backup", "1", "--apply"]) == 0
    assert (here / name).read_text() == INPUTS[name]


def test_undo_refuses_what_somebody_else_wrote_since(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = here / "guest.xml"
    assert run(["fix", "guest.xml", "--apply"]) == 0
    path.write_text(path.read_text() + "<!-- mine -->\n")
    assert run(["undo", "guest.xml", "--apply"]) == 2
    assert "somebody changed the file after guest.xml.vmserial-1.bak" in capsys.readouterr().err
    assert "<!-- mine -->" in path.read_text()
    assert run(["undo", "guest.xml"]) == 0
    assert "--apply alone would refuse" in capsys.readouterr().err
    assert run(["undo", "guest.xml", "--apply", "--force"]) == 0
    assert path.read_text() == DOMAIN
    assert "<!-- mine -->" in (here / "guest.xml.vmserial-2.bak").read_text()


def test_undo_of_an_older_backup_sees_a_change_between_two_fixes(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = here / "guest.xml"
    assert run(["fix", "guest.xml", "--apply"]) == 0
    path.write_text(DOMAIN.replace("<devices>", "<devices><!-- mine -->"))
    assert run(["fix", "guest.xml", "--apply"]) == 0
    assert run(["undo", "guest.xml", "--backup", "1", "--apply"]) == 2
    assert "after guest.xml.vmserial-1.bak" in capsys.readouterr().err
    assert run(["undo", "guest.xml", "--apply"]) == 0
    assert "<!-- mine -->" in path.read_text()


def test_undo_without_a_record_of_what_was_written_asks_for_force(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["fix", "guest.xml", "--apply"]) == 0
    (here / "guest.xml.vmserial-1.bak.sha256").unlink()
    assert run(["undo", "guest.xml", "--apply"]) == 2
    assert "nobody wrote down" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--apply"], "--apply needs the file"),
        (["start.sh"], "nothing is kept of this"),
        (["nowhere.sh"], "nothing is kept of this"),
        (["/no/such/dir/a"], "nothing is kept of this"),
        (["142"], "this is neither a PVE host"),
    ],
)
def test_undo_says_what_it_cannot(
    here: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["undo", *words, "--root", str(here / "bin")]) == 2
    assert said in capsys.readouterr().err


def host_of(here: Path) -> Path:
    root = here / "host"
    (root / "etc/pve/qemu-server").mkdir(parents=True)
    (root / "var/lock/qemu-server").mkdir(parents=True)
    for vmid, text in ((142, CONF), (143, CONF), (144, "arch: aarch64\nserial0: socket\n")):
        (root / f"etc/pve/qemu-server/{vmid}.conf").write_text(text)
    return root


def test_undo_of_a_pve_vm_takes_its_lock(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = host_of(here)
    conf = root / "etc/pve/qemu-server/142.conf"
    assert run(["fix", "142", "--root", str(root), "--apply"]) == 0
    conf.write_text(conf.read_text() + "lock: backup\n")
    assert run(["undo", "142", "--root", str(root), "--apply", "--force"]) == 2
    assert "locked by a task of PVE: backup" in capsys.readouterr().err
    conf.write_text(conf.read_text().removesuffix("lock: backup\n"))
    assert run(["undo", "--root", str(root), "--json"]) == 0
    assert '"what": "VM of ' in capsys.readouterr().out
    assert run(["undo", "142", "--root", str(root), "--apply"]) == 0
    assert conf.read_text() == CONF
    assert (root / "var/lock/qemu-server/lock-142.conf").exists()
    assert (root / "var/backups/vmserial/142.conf.2").exists()


def test_doctor_all_and_fix_all(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = str(host_of(here))
    (here / "host/etc/pve/qemu-server/145.conf").write_text("serial0: nonesuch=x\n")
    assert run(["doctor", "--all", "--root", root]) == 1
    out = capsys.readouterr().out
    assert re.search(r"^142 +kylin +fails to start +serial1 +pve-isa-on-aarch64$", out, re.M)
    assert re.search(r"^144 .* nothing is wrong$", out, re.M)
    assert re.search(r"^145 .*unread", out, re.M)
    assert "3 of 4 VMs have something wrong" in out
    assert run(["fix", "--all", "--root", root]) == 1
    shown = capsys.readouterr()
    assert "would mend" in shown.out
    assert "nothing was written" in shown.err
    assert run(["fix", "--all", "--root", root, "--apply", "--json"]) == 1
    rows = json.loads(capsys.readouterr().out)
    assert [bool(row["backup"]) for row in rows] == [True, True, False, False]
    assert rows[0]["left"] == []
    (here / "host/etc/pve/qemu-server/145.conf").unlink()
    assert run(["doctor", "--all", "--root", root]) == 0
    assert "4 VMs" not in capsys.readouterr().out
    for words in (["142"], ["--vmid", "3"], ["--boot"], ["--pending"]):
        assert run(["doctor", "--all", "--root", root, *words]) == 2
    for words in (["-o", "x"], ["--diff"], ["--pretty"]):
        assert run(["fix", "--all", "--root", root, *words]) == 2


def test_doctor_junit_names_each_finding(here: Path) -> None:
    root = str(host_of(here))
    assert run(["doctor", "--all", "--root", root, "--junit", "all.xml"]) == 1
    suites = ElementTree.parse(here / "all.xml").getroot()
    assert suites.attrib == {
        "name": "vmserial doctor", "tests": "3", "failures": "2", "errors": "0",
    }  # fmt: skip
    case = suites.find("testsuite[@name='VM 142 kylin']/testcase")
    assert case is not None
    assert case.get("name") == "serial1: pve-isa-on-aarch64"
    assert case.get("file", "").endswith("142.conf")
    failure = case.find("failure")
    assert failure is not None
    assert failure.get("type") == "pve-isa-on-aarch64"
    assert run(["doctor", "guest.xml", "--junit", "one.xml"]) == 1
    assert int(ElementTree.parse(here / "one.xml").getroot().get("failures", "0")) > 0
    assert run(["doctor", "guest.xml", "--junit", "no/such/dir.xml"]) == 2
