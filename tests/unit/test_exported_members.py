"""The names that ``import vmserial`` gives: pinned, documented, typed, imported late."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import ModuleType

import pytest
from plans import remembered
from test_cli_docs import stage

import vmserial
from vmserial.cli import main
from vmserial.model import Severity
from vmserial.planning import planner
from vmserial.shim import bundle

ROOT = Path(__file__).parents[2]

NAMES = [
    "Capabilities", "Finding", "GuestProfile", "Machine", "Plan", "RepairPolicy", "SerialPort",
    "Severity", "Verdict", "VmserialError", "explain", "judge", "load", "plan", "probe",
]  # fmt: skip

SIGNATURES = {
    "explain": "(text: 'str') -> 'tuple[RuleDoc, ...]'",
    "judge": "(vm: 'Source | Machine', capabilities: 'Capabilities', "
    "guest: 'GuestProfile | str | None' = None, policy: 'RepairPolicy | None' = None) "
    "-> 'Verdict'",
    "load": "(source: 'str | bytes | os.PathLike[str] | Sequence[str]', *, "
    "vmid: 'int | None' = None, arch: 'str' = '') -> 'Source'",
    "plan": "(vm: 'Source | Machine', capabilities: 'Capabilities', "
    "guest: 'GuestProfile | str | None' = None) -> 'Plan'",
    "probe": "(binary: 'str | os.PathLike[str]', *, machine_type: 'str' = '') -> 'Capabilities'",
}

FIELDS = {
    "Finding": "id severity happens why fix ports where options repairs assumed",
    "Plan": "machine qemu guest options assignments control warnings assumptions refusals",
    "SerialPort": "index chardev kind hotplug state where",
    "Verdict": "findings changes text left",
}
"""What programs read of what they are given; a class may grow at its end."""


def test_the_names_are_these() -> None:
    assert vmserial.__all__ == NAMES
    assert set(NAMES) <= set(dir(vmserial))
    assert "__version__" in dir(vmserial)


@pytest.mark.parametrize("name", NAMES)
def test_each_is_documented_and_no_module(name: str) -> None:
    member = getattr(vmserial, name)
    # A room of the same name would take its place as soon as somebody imports it.
    assert not isinstance(member, ModuleType)
    assert not (ROOT / "src" / "vmserial" / name).exists()
    assert not (ROOT / "src" / "vmserial" / f"{name}.py").exists()
    said = inspect.getdoc(member) or ""
    assert len(said) > 20
    assert not said.startswith(f"{name}(")
    assert f"`{name}" in (ROOT / "docs" / "api.md").read_text()


@pytest.mark.parametrize("name", SIGNATURES)
def test_signatures_stay(name: str) -> None:
    function = getattr(vmserial, name)
    assert str(inspect.signature(function)) == SIGNATURES[name]
    assert "Args:" in function.__doc__
    assert f"`{name}(" in (ROOT / "docs" / "api.md").read_text()


def test_all_functions_are_pinned() -> None:
    functions = {name for name in NAMES if inspect.isfunction(getattr(vmserial, name))}
    assert functions == set(SIGNATURES)


@pytest.mark.parametrize("name", FIELDS)
def test_what_programs_read_stays(name: str) -> None:
    member = getattr(vmserial, name)
    assert is_dataclass(member)
    wanted = FIELDS[name].split()
    assert [field.name for field in fields(member)][: len(wanted)] == wanted


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'vmserial' has no attribute 'jugde'"):
        vmserial.jugde  # type: ignore[attr-defined]  # noqa: B018


def fresh(code: str) -> str:
    """Run code in an interpreter of its own; return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60,
        env={"PYTHONPATH": str(ROOT / "src"), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


LOADED = "print(sorted(n for n in sys.modules if n.partition('.')[0] == 'vmserial'))"


def test_importing_the_package_loads_nothing_else() -> None:
    assert fresh(f"import sys, vmserial; {LOADED}") == "['vmserial']\n"
    assert (
        fresh("import sys; had = {*sys.modules}; import vmserial; print({*sys.modules} - had)")
        == "{'vmserial'}\n"
    )
    # dir() and a star's list are no use of a name either.
    assert fresh(f"import sys, vmserial; dir(vmserial); {LOADED}") == "['vmserial']\n"
    assert "vmserial.api" in fresh(f"import sys, vmserial; vmserial.load; {LOADED}")


def test_a_name_stays_whatever_else_is_imported() -> None:
    rooms = sorted(path.parent.name for path in (ROOT / "src/vmserial").glob("*/__init__.py"))
    imports = "".join(f"import vmserial.{room}\n" for room in rooms)
    told = fresh(
        f"import vmserial\n{imports}"
        "print([n for n in vmserial.__all__ if type(getattr(vmserial, n)).__name__ == 'module'])"
    )
    assert told == "[]\n"


def test_the_shim_has_none_of_it() -> None:
    names = {module.name for module in bundle.modules()}
    assert "vmserial" in names
    assert not names & {"vmserial.api", "vmserial.guests", "vmserial.planning.planner"}


def examples() -> list[str]:
    text = (ROOT / "docs" / "api.md").read_text()
    return re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def test_the_documents_programs_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One after the other in one process, as somebody tries them out."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("PATH", str(remembered(tmp_path).parent), prepend=":")
    first, second = examples()
    exec(compile(first, "docs/api.md", "exec"), {})
    said = capsys.readouterr().out
    assert "fails to start serial1 " in said
    assert "[pve-isa-on-aarch64]" in said
    assert "args: -device qemu-xhci," in said
    exec(compile(second, "docs/api.md", "exec"), {})
    said = capsys.readouterr().out
    assert "pci-serial" in said
    assert "serial9 usb " in said
    assert "cannot read the configuration" in said
    assert "8250" in said


def test_a_domain_and_its_repair(tmp_path: Path) -> None:
    qemu = vmserial.probe(remembered(tmp_path))
    xml = """<domain type='qemu'><name>g</name><memory>65536</memory><os><type arch='aarch64'
    machine='virt'>hvm</type></os><devices><serial type='pty'/><serial type='pty'/></devices>
    </domain>"""
    verdict = vmserial.judge(vmserial.load(xml), qemu)
    assert not verdict.ok
    assert verdict.changes
    assert not verdict.left
    again = vmserial.judge(vmserial.load(verdict.text), qemu)
    assert again.ok, again.findings
    assert again.text == verdict.text


@pytest.mark.parametrize("name", ["142.conf", "guest.xml", "start-vm.sh", "lab.toml"])
def test_it_finds_what_doctor_finds_and_mends_what_fix_mends(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stage(tmp_path, monkeypatch)
    (tmp_path / "lab.toml").write_text('arch = "aarch64"\nports = 7\ntype = "pci"\n')
    verdict = vmserial.judge(vmserial.load(name), vmserial.probe("qemu-system-aarch64"))
    assert main.run(["doctor", name, "--json"]) == 1
    told = [(f["id"], *f["ports"]) for f in json.loads(capsys.readouterr().out)]
    of_this_host = {"directory-missing"}
    assert [(f.id, *f.ports) for f in verdict.findings] == [
        each for each in told if each[0] not in of_this_host
    ]
    if name != "lab.toml":
        assert main.run(["fix", name, "--no-check", "-o", "mended"]) == 0
        assert verdict.text == (tmp_path / "mended").read_text()


def test_what_is_planned_is_judged_as_the_planner_sees_it(tmp_path: Path) -> None:
    qemu = vmserial.probe(remembered(tmp_path))
    toml = 'arch = "aarch64"\nports = 10\ntype = "pci"\n'
    vm = vmserial.load(toml)
    verdict = vmserial.judge(vm, qemu)
    assert {f.id for f in verdict.left} == {"guest-8250-limit"}
    assert verdict.text == toml
    assert vmserial.judge(vm.machine, qemu).findings == verdict.findings
    guest = vmserial.GuestProfile("mine", nr_uarts=32, runtime_uarts=32)
    assert vmserial.judge(vm, qemu, guest).ok
    assert vmserial.plan(vm, qemu, guest) == planner.plan(vm.machine, qemu, guest)


def test_what_its_owner_prefers_is_heeded_of_each_source(tmp_path: Path) -> None:
    qemu = vmserial.probe(remembered(tmp_path))
    policy = vmserial.RepairPolicy(kind="virtio", logs="/var/log/vm")
    conf = (ROOT / "examples" / "142.conf").read_bytes()
    command = ["qemu-system-aarch64", "-M", "virt", "-serial", "pty", "-chardev", "pty,id=c",
               "-device", "isa-serial,chardev=c"]  # fmt: skip
    for vm in (vmserial.load(conf, vmid=142), vmserial.load(command)):
        text = vmserial.judge(vm, qemu, policy=policy).text
        assert "virtserialport" in text
        assert "logfile=/var/log/vm/" in text


def test_a_binary_of_another_architecture_is_refused(tmp_path: Path) -> None:
    qemu = vmserial.probe(remembered(tmp_path))
    for vm in ("serial0: socket\nmemory: 512\n", "qemu-system-x86_64 -serial pty"):
        with pytest.raises(vmserial.VmserialError, match="for x86_64, and the binary is"):
            vmserial.judge(vmserial.load(vm), qemu)


def test_explain_takes_ids_and_texts() -> None:
    assert [doc.id for doc in vmserial.explain("guest-8250-limit\n")] == ["guest-8250-limit"]
    assert vmserial.explain("nothing of that kind is known here") == ()
    assert Severity is vmserial.Severity
