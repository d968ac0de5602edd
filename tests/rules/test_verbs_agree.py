"""All verbs name the same findings: doctor, fix, plan, showcmd, verify, pve list and the shim.

Over every rule's command, the golden domains, the configurations that PVE's own words are known
of, every case's input (tests/data/cases) and the twenty VMs.  What this host has at the inputs'
places is left out of the look, for the inputs name places of other hosts: a case that is about
the host says what it has.
"""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import case_inputs
import pve_tree
import pytest

import findings
from vmserial.cli.main import run
from vmserial.guests import profile
from vmserial.judging import RepairPolicy
from vmserial.machines import architecture
from vmserial.model import Finding, Severity
from vmserial.model.host import HostFacts
from vmserial.model.origin import LoweredCommand
from vmserial.qemu.binary import probe
from vmserial.rules.index import PHASES
from vmserial.shim import start
from vmserial.shim.facts import Facts
from vmserial.shim.tree import Tree
from vmserial.sources.command import CommandLine
from vmserial.sources.libvirt import Document as DomainDocument
from vmserial.sources.libvirt import Domain
from vmserial.sources.libvirt.lower import lower as lower_domain
from vmserial.sources.pve import Document
from vmserial.sources.pve.lower import PveHost
from vmserial.sources.pve.lower import lower as lower_conf

DATA = Path(__file__).parents[1] / "data"
COMMANDS = [findings.RULES / id / "bad.args" for id in findings.ids()]
DOMAINS = sorted((DATA / "libvirt").glob("*.xml"))
CONFS = sorted((DATA / "pve-says").glob("*.conf"))
EVERYWHERE = ("aarch64", "arm", "x86_64", "i386")
"""Whose QEMU `make test` installs; the others are asked in test-full."""

ALIASES = {alias: rule.id for rules in PHASES for rule in rules
           for alias in (rule.aliases or {}).values()}  # fmt: skip
OWNERS = {rule.id for rules in PHASES for rule in rules
          if rule.check.__module__.startswith("vmserial.rules.owner.")}  # fmt: skip


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at no host."""
    monkeypatch.setattr("vmserial.host.look", lambda *_: HostFacts())


ELSEWHERE = [path for path in case_inputs.INPUTS if case_inputs.arch(path) not in EVERYWHERE]


def inputs(files: list[Path]) -> list[Any]:
    return [
        pytest.param(
            path,
            id=path.parent.name if path.stem == "bad" else path.name,
            marks=[] if case_inputs.arch(path) in EVERYWHERE else [pytest.mark.full],
        )
        for path in files
    ]


class Verbs:
    """What each verb names of one input."""

    def __init__(self, capsys: pytest.CaptureFixture[str], out: Path, *call: str) -> None:
        self.capsys, self.out, self.call = capsys, out, call

    def said(self, verb: str, *flags: str) -> tuple[str, str]:
        code = run([verb, *flags, *self.call])
        answer = self.capsys.readouterr()
        assert code in {0, 1}, answer.err
        return answer.out, answer.err

    def doctor(self) -> set[str]:
        found = json.loads(self.said("doctor", "--json")[0])
        return {each["id"] for each in found if each["severity"] != Severity.NOTE}

    def fix(self) -> set[str]:
        return set(json.loads(self.said("fix", "--json", "--no-check")[0])["found"])

    def planned(self, verb: str) -> set[str]:
        """Of those that plan: their words on stderr, whatever becomes of the plan."""
        code = run([verb, *self.call])
        assert code in {0, 1, 2}
        words = self.capsys.readouterr().err
        return set(re.findall(r"^vmserial: [a-z ]+: .* \[([a-z0-9-]+)\] \(vmserial doctor",
                              words, re.MULTILINE))  # fmt: skip

    def verify(self) -> set[str]:
        told = self.said("verify", "--paused", "--out", str(self.out))[1]
        # What a running VM has itself is told, and is no red check.
        held = set(re.findall(r"\[([a-z0-9-]+)\]; it is not counted", told))
        lines = (self.out / "results.jsonl").read_text().splitlines()
        checks = [json.loads(line) for line in lines]
        bad = [check["detail"] for check in checks if check["verdict"] not in {"pass", "skipped"}]
        return held | {id for detail in bad for id in re.findall(r"\[([a-z0-9-]+)\]", detail)}


def all_agree(verbs: Verbs, *, paused: bool = True) -> set[str]:
    expected = verbs.doctor()
    assert verbs.fix() == expected
    assert verbs.planned("plan") == expected
    assert verbs.planned("showcmd") == expected
    if paused:
        assert verbs.verify() == expected
    return expected


def by_the_shim(
    words: list[str], arch: str, monkeypatch: pytest.MonkeyPatch, *, assumed_guest: bool = True
) -> set[str]:
    """Return what the shim finds in a command, before it mends it."""
    seen: list[Finding] = []
    judge = vars(start)["judge"]

    def watched(command: Any, capabilities: Any, guest: Any, policy: RepairPolicy) -> object:
        verdict = judge(
            command, capabilities, guest, replace(policy, assumed_guest=assumed_guest)
        )  # fmt: skip
        seen.extend(verdict.found)
        return verdict

    monkeypatch.setattr(start, "judge", watched)
    real = shutil.which(f"qemu-system-{arch}")
    assert real
    machine = architecture(arch).machine_type("")
    capabilities = probe(real, machine_types=[machine], arch=arch)
    known = Facts(Tree().key(real), capabilities, profile.unknown(arch), RepairPolicy())
    facts = json.dumps(known.to_json()).encode()
    start.mended([word.encode() for word in words], real.encode(), facts)
    return {finding.id for finding in seen if finding.severity is not Severity.NOTE}


def on_the_command(expected: set[str]) -> set[str]:
    """Return what the shim can see of it: no lines that never reach it, no owner's names."""
    seen = {ALIASES.get(id, id) for id in expected - OWNERS}
    return {id for id in seen if not id.startswith("pve-")}


def started(path: Path) -> LoweredCommand | CommandLine:
    """Return the command that an input's owner starts."""
    if path.suffix == ".xml":
        return lower_domain(Domain.of(DomainDocument.parse(path.read_bytes())), (7, 2, 0))
    if path.suffix == ".conf":
        document = Document.parse(path.read_text(), "142.conf")
        # A start applies what is pending.
        pending = document.pending is not None
        return lower_conf(document, 142, PveHost("", (7, 2, 0)), pending=pending)
    return CommandLine.parse(path.read_text())


def by_its_shim(path: Path, expected: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Hold the shim's findings against those of the others; it looks at no host."""
    command, arch = started(path), case_inputs.arch(path)
    if isinstance(command, CommandLine):
        assert by_the_shim(command.argv(), arch, monkeypatch) == expected
    elif not any(gap.id == "refused" for gap in command.gaps):
        # What an assumed guest has no room for is, under PVE, only to be known.
        found = by_the_shim(
            command.argv(), arch, monkeypatch, assumed_guest=path.suffix != ".conf"
        )  # fmt: skip
        assert found == on_the_command(expected)


def given(path: Path, tmp_path: Path) -> str:
    """Return an input as it is given to a verb: a configuration has its VM's number."""
    if path.suffix == ".conf":
        path = Path(shutil.copy(path, tmp_path / "142.conf"))
    return str(path)


@pytest.mark.live
@pytest.mark.parametrize("path", inputs([*COMMANDS, *DOMAINS, *CONFS]))
def test_of_a_golden(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = all_agree(Verbs(capsys, tmp_path / "out", given(path, tmp_path)))
    by_its_shim(path, expected, monkeypatch)


@pytest.mark.live
@pytest.mark.parametrize("path", inputs(case_inputs.INPUTS))
def test_of_a_case(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    verbs = Verbs(capsys, tmp_path / "out", given(path, tmp_path))
    unseen = verbs.doctor()
    monkeypatch.setattr("vmserial.host.look", lambda *_: case_inputs.host(path))
    all_agree(verbs)
    by_its_shim(path, unseen, monkeypatch)


@pytest.mark.parametrize("path", ELSEWHERE, ids=lambda path: path.name)
def test_of_a_case_whose_qemu_is_not_here(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All but those that start it; `make test-full` has its QEMU."""
    case_inputs.emulator(tmp_path, case_inputs.arch(path))
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    all_agree(Verbs(capsys, tmp_path / "out", given(path, tmp_path)), paused=False)


@pytest.mark.live
def test_of_twenty_vms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = pve_tree.make(tmp_path)
    assert run(["pve", "list", "--json", "--root", str(root)]) == 1
    rows = {row["vmid"]: {f["id"] for f in row["findings"]}
            for row in json.loads(capsys.readouterr().out)}  # fmt: skip
    assert run(["doctor", "--all", "--json", "--root", str(root)]) == 1
    capsys.readouterr()
    for vm in pve_tree.VMS:
        verbs = Verbs(capsys, tmp_path / "out", str(vm.vmid), "--root", str(root))
        assert all_agree(verbs) == rows[vm.vmid] == vm.before, vm.vmid


@pytest.mark.live
@pytest.mark.parametrize(("view", "bad"), [
    (["--snapshot", "before"], {"isa-limit"}), ([], set()),
])  # fmt: skip
def test_of_a_snapshot(
    view: list[str], bad: set[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = "args: " + " ".join(
        f"-chardev null,id=m{n} -device isa-serial,chardev=m{n}" for n in range(5)
    )
    file = tmp_path / "142.conf"
    file.write_text(f"serial0: socket\n\n[before]\n{card}\n")
    verbs = Verbs(capsys, tmp_path / "out", str(file), *view)
    found = verbs.doctor()
    assert found == verbs.planned("showcmd") == verbs.verify()
    assert found == bad


def test_of_the_cases_in_one_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    node = tmp_path / "etc/pve/nodes/h/qemu-server"
    node.mkdir(parents=True)
    confs = [path for path in case_inputs.INPUTS if path.suffix == ".conf"]
    assert len(confs) > 25
    for vmid, path in enumerate(confs, 1000):
        shutil.copy(path, node / f"{vmid}.conf")
    assert run(["pve", "list", "--json", "--root", str(tmp_path)]) == 1
    rows = {row["vmid"]: {f["id"] for f in row["findings"]}
            for row in json.loads(capsys.readouterr().out)}  # fmt: skip
    for vmid, path in enumerate(confs, 1000):
        verbs = Verbs(capsys, tmp_path, str(vmid), "--root", str(tmp_path))
        assert verbs.doctor() == verbs.fix() == rows[vmid], path.name


def test_a_verb_that_says_less_is_seen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vmserial.cli.subject_command.ids", lambda _: [])
    path = next(path for path in COMMANDS if path.parent.name == "isa-limit")
    with pytest.raises(AssertionError):
        all_agree(Verbs(capsys, tmp_path / "out", str(path)), paused=False)
