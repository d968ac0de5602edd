"""Style, types and layers, held as tests; each with a twin that shows that it can fail."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def tool(*words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run a tool of the environment in the project's root, on the sources of this tree."""
    return subprocess.run(
        words,
        cwd=ROOT,
        input=stdin,
        text=True,
        capture_output=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )


def ruff(*words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return tool(sys.executable, "-m", "ruff", *words, stdin=stdin)


def said(result: subprocess.CompletedProcess[str]) -> str:
    return result.stdout + result.stderr


def test_style() -> None:
    result = ruff("check", "--output-format=concise", ".")
    assert result.returncode == 0, said(result)


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        ("F401", '"""A module."""\n\nimport os\n'),
        ("D103", '"""A module."""\n\n\ndef public() -> None:\n    pass\n'),
        ("PTH118", '"""A module."""\n\nimport os\n\nWHERE = os.path.join("a", "b")\n'),
    ],
)
def test_style_can_fail(rule: str, source: str) -> None:
    result = ruff("check", "--stdin-filename", "src/vmserial/sample.py", "-", stdin=source)
    assert result.returncode == 1
    assert rule in said(result)


def test_form() -> None:
    result = ruff("format", "--check", ".")
    assert result.returncode == 0, said(result) + "\n`make format` puts it right"


def test_form_can_fail() -> None:
    result = ruff("format", "--check", "--stdin-filename", "sample.py", "-", stdin="x = 'a'\n")
    assert result.returncode == 1


def test_types() -> None:
    result = tool(sys.executable, "-m", "mypy")
    assert result.returncode == 0, said(result)


def test_types_can_fail(tmp_path: Path) -> None:
    sample = tmp_path / "sample.py"
    sample.write_text("def f(x): return x\n")
    result = tool(sys.executable, "-m", "mypy", str(sample))
    assert result.returncode == 1
    assert "no-untyped-def" in said(result)


def layers(config: Path) -> subprocess.CompletedProcess[str]:
    """Run import-linter with a configuration."""
    return tool(
        sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()",
        "--config", str(config), "--no-cache",
    )  # fmt: skip


def test_layers() -> None:
    result = layers(ROOT / "pyproject.toml")
    assert result.returncode == 0, said(result)


def test_layers_can_fail(tmp_path: Path) -> None:
    """The same contract with two rooms exchanged is broken by today's imports."""
    contract = rooms()
    order: list[str] = contract["layers"]
    here, there = order.index("planning"), order.index("model")
    order[here], order[there] = order[there], order[here]
    config = tmp_path / ".importlinter"
    listed = "\n    ".join(order)
    config.write_text(
        "[importlinter]\nroot_package = vmserial\n"
        "[importlinter:contract:rooms]\nname = rooms\ntype = layers\n"
        f"containers =\n    vmserial\nlayers =\n    {listed}\n"
    )
    result = layers(config)
    assert result.returncode == 1
    assert "vmserial.planning.planner" in said(result)


def rooms() -> dict[str, Any]:
    """Return the layers contract of pyproject.toml."""
    with (ROOT / "pyproject.toml").open("rb") as stream:
        contracts = tomllib.load(stream)["tool"]["importlinter"]["contracts"]
    return next(contract for contract in contracts if contract["id"] == "rooms")


def test_the_shims_modules_stand_in_its_list() -> None:
    shim = ROOT / "src" / "vmserial" / "shim"
    listed = re.findall(r"^:mod:`\.(\w+)`", (shim / "__init__.py").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(path.stem for path in shim.glob("[!_]*.py"))


def test_each_room_stands_in_the_architecture() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    for layer in rooms()["layers"][1:]:
        for room in layer.split(":"):
            assert re.search(rf"`{room.strip()}(\.py|/)`", text), room


def modules_named() -> list[tuple[str, str]]:
    """Return the rooms of the architecture, each with a module that it is said to have."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    rows = re.findall(r"^\| `(\w+/(?:\w+/)?)` \| (.*) \|$", text, re.MULTILINE)
    return [(room, module) for room, said in rows
            for module in re.findall(r"`(\w+(?:/\w+)*\.py|\w+/)`", said)]  # fmt: skip


def test_each_module_that_the_architecture_names_is_there() -> None:
    assert len(modules_named()) > 100
    source = ROOT / "src" / "vmserial"
    for room, module in modules_named():
        assert (source / room / module).exists() or (source / module).exists(), (room, module)


MOST_OF_A_FILE = 450
MOST_OF_A_CLASS = 250
MOST_OF_A_FUNCTION = 76
"""Lines of each; a test may tell a long story, so functions are counted in the program alone."""


def too_large(path: Path, *, functions: bool) -> Iterator[str]:
    """Yield what of a file has more lines than one reads at a time."""
    text = path.read_text()
    if (lines := len(text.splitlines())) > MOST_OF_A_FILE:
        yield f"{path}: {lines} lines, of {MOST_OF_A_FILE} at most"
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.ClassDef():
                most = MOST_OF_A_CLASS
            case ast.FunctionDef() | ast.AsyncFunctionDef() if functions:
                most = MOST_OF_A_FUNCTION
            case _:
                continue
        if (lines := (node.end_lineno or 0) - node.lineno + 1) > most:
            yield f"{path}:{node.lineno}: {node.name} has {lines} lines, of {most} at most"


def test_no_room_is_too_large() -> None:
    """What has grown past it has a part with a name of its own, which becomes a module."""
    program, tests = (sorted((ROOT / name).rglob("*.py")) for name in ("src", "tests"))
    assert len(program) > 300
    assert len(tests) > 100
    found = [each for path in program for each in too_large(path, functions=True)]
    found += [each for path in tests for each in too_large(path, functions=False)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("head", "line", "most"),
    [
        ("", "a = 1\n", MOST_OF_A_FILE),
        ("class A:\n", "    a = 1\n", MOST_OF_A_CLASS),
        ("def f():\n", "    a = 1\n", MOST_OF_A_FUNCTION),
        ("class A:\n    async def f():\n", "        a = 1\n", MOST_OF_A_FUNCTION + 1),
    ],
)
def test_a_room_can_be_too_large(tmp_path: Path, head: str, line: str, most: int) -> None:
    sample = tmp_path / "sample.py"
    sample.write_text(head + line * (most - head.count("\n")))
    assert not list(too_large(sample, functions=True))
    sample.write_text(head + line * (most - head.count("\n") + 1))
    (said,) = too_large(sample, functions=True)
    assert said.endswith("at most")
    assert bool(list(too_large(sample, functions=False))) == ("def" not in head)


def test_pins_have_hashes_and_no_addresses() -> None:
    for path in ROOT.glob("requirements/*.txt"):
        text = path.read_text()
        packages = [line for line in text.splitlines() if "==" in line]
        assert packages
        assert text.count("--hash=sha256:") >= len(packages)
        assert "://" not in text
        assert "--index" not in text
        assert "--find-links" not in text


def test_pins_cover_what_the_package_asks_for() -> None:
    pinned = (ROOT / "requirements" / "runtime.txt").read_text()
    with (ROOT / "pyproject.toml").open("rb") as stream:
        wanted = tomllib.load(stream)["project"]["dependencies"]
    for requirement in wanted:
        name = requirement.split()[0].replace(".", "-")
        assert f"\n{name}==" in f"\n{pinned}"
