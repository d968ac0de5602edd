"""What all tests share: live tests are never skipped, and nothing reads the user's cache."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from pathlib import Path

import pytest

LIVE = Path(__file__).parent / "live"
BINARIES = ("qemu-system-aarch64", "qemu-system-x86_64")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what stands in tests/live, and let the quick tests speak first."""
    for item in items:
        if LIVE in item.path.parents:
            item.add_marker("live")
    items.sort(key=lambda item: item.get_closest_marker("live") is not None)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail a live test where there is no QEMU: a skip would look like a proof."""
    if item.get_closest_marker("live") is None:
        return
    missing = [name for name in BINARIES if shutil.which(name) is None]
    if missing:
        pytest.fail(
            f"there is no {' and no '.join(missing)}; run scripts/system-packages", pytrace=False
        )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a live test's skip into a failure."""
    del call
    report = yield
    if report.skipped and item.get_closest_marker("live") and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"a live test must not be skipped ({reason})"
    return report


@pytest.fixture(autouse=True)
def own_cache(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Give all but live tests a cache of their own (live ones need the real one's guests)."""
    if request.node.get_closest_marker("live") is None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
