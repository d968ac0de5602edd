"""The rules of conftest.py, tried in a small project that uses it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parents[1] / "conftest.py"


def run(tmp_path: Path, body: str, path: str = os.environ["PATH"]) -> tuple[int, str]:
    """Run pytest on one live test with this body."""
    live = tmp_path / "live"
    live.mkdir()
    (tmp_path / "conftest.py").write_text(CONFTEST.read_text())
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = live: x\n")
    (live / "test_it.py").write_text(f"import os, pytest\n\ndef test_it(request):\n    {body}\n")
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=tmp_path,
        text=True,
        capture_output=True,
        timeout=60,
        env={**os.environ, "PATH": path},
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


def test_unit_tests_have_their_own_cache() -> None:
    assert "pytest-of-" in os.environ["XDG_CACHE_HOME"]
