"""``make demo`` is right only if every step is: each way to be wrong turns it red."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]

PROGRAM = '''\
#!{python}
"""Writes what vmserial writes, but for what a test changed."""
import json
import sys
from pathlib import Path

words, changed = sys.argv[1:], "{changed}"
verb = words[0]


def out(option):
    return Path(words[words.index(option) + 1])


def results(checks):
    folder = out("--out")
    folder.mkdir(parents=True)
    for name in ("junit.xml", "report.html"):
        if changed != "no report":
            (folder / name).write_text("")
    (folder / "results.jsonl").write_text("".join(json.dumps(c) + "\\n" for c in checks))


def check(case, port="", way="", mode="", verdict="pass", detail=""):
    return dict(case=case, port=port, direction=way, mode=mode, verdict=verdict, detail=detail)


def ports(case, count):
    return [check(case, f"serial{{n}}", way, mode) for n in range(count)
            for way in ("guest->host", "host->guest") for mode in ("alone", "together")]


code = 0
if verb == "doctor" and "--junit" in words:
    code = 0 if changed == "doctor is content" else 1
    id = "isa-limit" if changed == "doctor finds another" else "pve-isa-on-aarch64"
    out("--junit").write_text(f"""<testsuites><testsuite><testcase name="serial1: {{id}}">
        <failure/></testcase></testsuite></testsuites>""")
elif verb == "doctor":
    code = 1 if changed == "still wrong" else 0
elif verb == "fix":
    args = "-serial chardev:serial1" if changed == "on board" else "-device x,chardev=serial1"
    text = Path(words[1]).read_text().replace("serial1: socket", f"args: {{args}}")
    if changed == "nothing mended":
        text = Path(words[1]).read_text()
    if changed == "a line lost":
        text = text.replace("cores: 2\\n", "")
    out("-o").write_text(text)
elif "large" in words:
    checks = ports("large", 9 if changed == "nine ports" else 10)
    checks += ports("default", 3 if changed == "three ports" else 4)
    if changed != "no hot-plug":
        checks.append(check("hot-plug"))
    if changed == "a port fails":
        checks[0]["verdict"] = "fail"
    results(checks)
elif "--fixed" in words:
    code = 1 if changed == "an exit code" else 0
    checks = ports("command", 2)
    results(checks[:-1] if changed == "one way" else checks)
else:
    said = "isa-serial,chardev=serial1: 'isa-serial' is not a valid device model name"
    code = 0 if changed == "the VM starts" else 1
    results([
        check("command", verdict="fail", detail="killed" if changed == "another end" else said),
        check("command", "serial1", verdict="fail",
              detail="" if changed == "no finding" else "[pve-isa-on-aarch64]"),
    ])
sys.exit(code)
'''


@pytest.fixture
def demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], int]:
    """Return what runs the demo in a directory of its own, with one thing changed."""
    loader = SourceFileLoader("demo_script", str(ROOT / "scripts" / "demo"))
    spec = spec_from_loader("demo_script", loader)
    assert spec is not None
    module: ModuleType = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "demo_script", module)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader.exec_module(module)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")

    def run(changed: str) -> int:
        program = tmp_path / "vmserial"
        program.write_text(PROGRAM.format(python=sys.executable, changed=changed))
        program.chmod(0o755)
        code: int = module.main([str(program)])
        return code

    return run


def test_it_is_green_where_each_step_is_as_it_must_be(demo: Callable[[str], int]) -> None:
    assert demo("") == 0
    assert demo("on board") == 0, "a QEMU whose board has a second UART"
    # What an earlier run wrote proves nothing of this one.
    assert demo("nothing mended") == 1


@pytest.mark.parametrize(
    ("changed", "step", "words"),
    [
        ("doctor is content", 1, "the exit code is 0, and 1 is right"),
        ("doctor finds another", 1, "isa-limit"),
        ("the VM starts", 2, "the exit code is 0, and 1 is right"),
        ("another end", 2, "no check failed with 'isa-serial'"),
        ("no finding", 2, "[pve-isa-on-aarch64]"),
        ("no report", 2, "report.html"),
        ("nothing mended", 3, "no args: line has serial1"),
        ("a line lost", 3, "lines are gone that were right: ['cores: 2']"),
        ("still wrong", 5, "the exit code is 1, and 0 is right"),
        ("an exit code", 6, "the exit code is 1, and 0 is right"),
        ("one way", 6, "not proven: serial1 host->guest, together"),
        ("nine ports", 7, "not proven: serial9 guest->host, alone"),
        ("three ports", 7, "not proven: serial3 guest->host, alone"),
        ("a port fails", 7, "not proven: serial0 guest->host, alone"),
        ("no hot-plug", 7, "no port was unplugged"),
    ],
)
def test_it_is_red_where_one_step_is_not(
    demo: Callable[[str], int], changed: str, step: int, words: str,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert demo(changed) == 1
    said = capfd.readouterr().err
    assert f"demo: step {step} is not as it must be: " in said
    assert words in said
