"""A copy of a PVE cluster: its VMs fail or have dead ports, and all live after ``fix --apply``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pve_command
import pve_tree
import pytest
from pve_tree import VMS, Vm

from vmserial.cli import main
from vmserial.cli.pve import command as pve_verb
from vmserial.guests import profile
from vmserial.judging import judge
from vmserial.machines import architecture
from vmserial.qemu.binary import find, probe
from vmserial.sources.command import CommandLine
from vmserial.verify.command import prove_command
from vmserial.verify.results import Verdict

BOTH = {"guest->host", "host->guest"}

QUICK = (101, 203)
"""An aarch64 and an x86 VM for each run of the tests; all twenty are in the full one."""

Start = Callable[[list[str], str], CommandLine]
"""What QEMU gets of PVE's command: the same, or what the shim makes of it."""


def as_it_is(words: list[str], arch: str) -> CommandLine:
    del arch
    return CommandLine.from_words(words)


def through_the_shim(words: list[str], arch: str) -> CommandLine:
    """Return what the shim's own judgement makes of it; that it is started has tests of its own."""
    known = architecture(arch)
    types = [platform.name for platform in known.platforms]
    capabilities = probe(find(arch), machine_types=types, arch=arch)
    verdict = judge(CommandLine.from_words(words), capabilities, profile.unknown(arch))
    assert verdict.left == ()
    return verdict.command


WAYS: dict[str, Start] = {"args": as_it_is, "shim": through_the_shim}
"""The ways of ``fix``, each with what then stands between PVE and QEMU."""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a copy of the cluster's files."""
    return pve_tree.make(tmp_path / "host")


def listed(root: Path, capsys: pytest.CaptureFixture[str]) -> dict[int, dict[str, object]]:
    capsys.readouterr()
    pve_verb.main(["list", "--json", "--root", str(root)], standalone_mode=False)
    return {row["vmid"]: row for row in json.loads(capsys.readouterr().out)}


def ids(row: dict[str, object]) -> set[str]:
    findings = row["findings"]
    assert isinstance(findings, list)
    return {finding["id"] for finding in findings}


def test_all_twenty_are_listed_with_what_is_wrong(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = listed(tree, capsys)
    assert {vmid: ids(row) for vmid, row in rows.items()} == {vm.vmid: set(vm.before) for vm in VMS}
    assert {vmid: row["arch"] for vmid, row in rows.items()} == {vm.vmid: vm.arch for vm in VMS}
    assert len(rows) == 20


def test_after_fix_nothing_is_wrong_and_a_second_one_changes_nothing(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for vm in VMS:
        assert main.run(["fix", str(vm.vmid), "--root", str(tree), "--apply"]) == 0, vm.vmid
    rows = listed(tree, capsys)
    assert {vmid: ids(row) for vmid, row in rows.items() if ids(row)} == {}
    for vm in VMS:
        names = {port["name"] for port in rows[vm.vmid]["ports"]}  # type: ignore[attr-defined]
        # A port of the user's own words in args: has the next number that nobody has.
        own = {"serial4"} if "id=mine" in vm.text else set()
        assert names == {f"serial{number}" for number in vm.ports} | own
        path = pve_tree.conf(tree, vm)
        before = path.read_bytes()
        assert main.run(["fix", str(vm.vmid), "--root", str(tree), "--apply"]) == 0
        assert path.read_bytes() == before
        backup = tree / f"var/backups/vmserial/{vm.vmid}.conf.1"
        if before != vm.text.encode():
            assert backup.read_bytes() == vm.text.encode()
        else:
            assert not backup.exists()
            assert vm.vmid == 201


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "vm",
    [
        pytest.param(vm, id=str(vm.vmid), marks=[] if vm.vmid in QUICK else [pytest.mark.full])
        for vm in VMS
    ],
)
def test_pves_own_command_starts_and_all_ports_pass(tree: Path, vm: Vm, way: str) -> None:
    path = pve_tree.conf(tree, vm)
    if way == "args":
        before_fix(vm)
    code = main.run(["fix", str(vm.vmid), "--root", str(tree), "--apply", "--way", way])
    # Without a shim on the host, this way alone is not enough.
    assert code == 0 or way == "shim"
    words = pve_command.command(path.read_bytes().decode(), vm.vmid)
    report = prove_command(WAYS[way](words, vm.arch))
    wrong = [f"{c.title}: {c.verdict}: {c.detail}" for c in report.checks
             if c.verdict is not Verdict.PASS]  # fmt: skip
    assert wrong == []
    passed: dict[str, set[str]] = {}
    for check in report.checks:
        if check.direction:
            passed.setdefault(check.port, set()).add(check.direction)
    # An agent or a device of the user's is a port, too; it has a number past theirs.
    assert {name for name, ways in passed.items() if ways == BOTH} == passed.keys()
    assert {f"serial{number}" for number in vm.ports} <= passed.keys()


def before_fix(vm: Vm) -> None:
    """See that PVE's own command fails as the findings say, or lacks ports."""
    if "pve-backend-unknown" in vm.before:
        with pytest.raises(ValueError, match="no such serial device"):
            pve_command.command(vm.text, vm.vmid)
        return
    words = pve_command.command(vm.text, vm.vmid)
    if "isa-clash" in vm.before:
        # It starts, and two UARTs answer at one address: no guest can tell which is which.
        assert sum("isa-serial" in word for word in words) == 5
        assert "isa-serial,chardev=mine,index=3" in words
        return
    if vm.starts:
        there = {f"id=serial{number}" for number in vm.ports}
        missing = there - {part for word in words for part in word.split(",")}
        assert bool(missing) == bool(vm.before)
        return
    report = prove_command(CommandLine.from_words(words))
    (check,) = report.checks
    assert check.verdict is Verdict.FAIL
    isa = "Max. supported number of ISA serial ports is 4"
    arm = "'isa-serial' is not a valid device model name"
    assert (arm if vm.arch == "aarch64" else isa) in check.detail
