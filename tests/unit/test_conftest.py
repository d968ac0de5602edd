"""The rules of conftest.py, tried in a small project that uses it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import abreast
import pytest
from hypothesis import settings

CONFTEST = Path(__file__).parents[1] / "conftest.py"


def run(
    tmp_path: Path, body: str, path: str = os.environ["PATH"], *options: str
) -> tuple[int, str]:
    """Run pytest on one live test with this body, and whatever else stands there."""
    live = tmp_path / "live"
    live.mkdir(exist_ok=True)
    (tmp_path / "conftest.py").write_text(CONFTEST.read_text())
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = live: x\n")
    (live / "test_it.py").write_text(f"import os, pytest\n\ndef test_it(request):\n    {body}\n")
    result = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *("-p", "no:hypothesispytest", *options, str(tmp_path)),
        ],
        cwd=tmp_path,
        text=True,
        capture_output=True,
        timeout=180,
        env={
            **os.environ,
            "PATH": path,
            "VMSERIAL_MADE": str(tmp_path / "made"),
            "PYTHONPATH": str(CONFTEST.parent),
        },
    )
    return result.returncode, result.stdout


@pytest.fixture
def binaries(tmp_path: Path) -> str:
    """Return a $PATH where the QEMU binaries are there by name."""
    where = tmp_path / "bin"
    where.mkdir()
    for name in ("qemu-system-aarch64", "qemu-system-x86_64"):
        (where / name).write_text("#!/bin/sh\n")
        (where / name).chmod(0o755)
    return str(where)


def test_a_live_test_runs_where_there_is_a_qemu(tmp_path: Path, binaries: str) -> None:
    code, said = run(tmp_path, "assert request.node.get_closest_marker('live')", binaries)
    assert code == 0, said
    assert "1 passed" in said


def test_a_live_test_fails_where_there_is_none(tmp_path: Path) -> None:
    code, said = run(tmp_path, "pass", "/nonexistent")
    assert code == 1
    assert "scripts/system-packages" in said


def test_a_live_test_that_skips_fails(tmp_path: Path, binaries: str) -> None:
    code, said = run(tmp_path, "pytest.skip('no kvm')", binaries)
    assert code == 1
    assert "must not be skipped" in said
    assert "no kvm" in said


def test_generated_examples_have_no_bound_of_wall_time() -> None:
    assert settings().deadline is None


def test_unit_tests_have_their_own_cache() -> None:
    assert "pytest-of-" in os.environ["XDG_CACHE_HOME"]


def test_alone_the_quick_tests_speak_first_and_side_by_side_the_slow_ones(
    tmp_path: Path, binaries: str
) -> None:
    for name, options, first in (
        ("alone", ["-p", "no:xdist"], "test_quick.py"),
        ("abreast", ["-p", "abreast", "-n", "1"], "live/test_it.py"),
    ):
        where = tmp_path / name
        where.mkdir()
        (where / "test_quick.py").write_text("def test_quick():\n    pass\n")
        code, said = run(where, "pass", binaries, "-vv", *options)
        assert code == 0, said
        done = [line for line in said.splitlines() if "PASSED" in line]
        assert len(done) == 2
        assert first in done[0]


@pytest.mark.parametrize(("name", "made"), [("test_libvirt_it", 1), ("test_else", 2)])
def test_who_shares_a_thing_of_the_session_runs_on_one_worker(
    name: str, made: int, tmp_path: Path, binaries: str
) -> None:
    """The other name shows that they would not otherwise."""
    (tmp_path / "live").mkdir()
    (tmp_path / "live" / f"{name}.py").write_text(
        "import os, pytest\n"
        "@pytest.fixture(scope='session')\ndef shared():\n"
        "    with open(os.environ['VMSERIAL_MADE'], 'a') as made:\n        made.write('x')\n"
        + "".join(f"def test_{n}(shared):\n    pass\n" for n in range(4))
    )
    code, said = run(tmp_path, "pass", binaries, "-p", "abreast", "-n", "2")
    assert code == 0, said
    assert "5 passed" in said
    assert (tmp_path / "made").read_text() == "x" * made


def test_two_more_run_at_once_than_there_are_cores(tmp_path: Path, binaries: str) -> None:
    body = "assert os.environ['PYTEST_XDIST_WORKER_COUNT'] == '3'"
    every = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(every)})
    try:
        code, said = run(tmp_path, body, binaries, "-p", "abreast", "-n", "auto")
    finally:
        os.sched_setaffinity(0, every)
    assert code == 0, said


def test_each_group_has_tests() -> None:
    """A file that was renamed would leave its group, and nobody would see it."""
    here = Path(__file__).parents[1]
    names = [
        f"{path.relative_to(here.parent)}::{found[1]}"
        for path in here.rglob("test_*.py")
        for found in re.finditer(r"^def (test_\w+)", path.read_text(), re.MULTILINE)
    ]
    for known in abreast.TOGETHER:
        assert any(abreast.group(name) == known for name in names), known


def test_who_asks_for_the_libvirtd_is_in_its_group() -> None:
    live = CONFTEST.parent / "live"
    asking = [p.name for p in live.glob("test_*.py") if "libvirt: PrivateLibvirt" in p.read_text()]
    assert len(asking) > 1
    for name in asking:
        assert abreast.group(f"tests/live/{name}::test_it") == "libvirt", name
