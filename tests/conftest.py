"""What all tests share: live tests are never skipped, and nothing reads the user's cache.

tests/abreast.py says how they run side by side.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from private_libvirt import PrivateLibvirt

# Its bound of 0.2 s for an example is wall time, and other tests run beside.
settings.register_profile("vmserial", deadline=None)
settings.load_profile("vmserial")

LIVE = Path(__file__).parent / "live"
SLOW = ("test_lint.py", "test_shim_install.py")
BINARIES = ("qemu-system-aarch64", "qemu-system-x86_64")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what stands in tests/live, and choose who goes first.

    Alone the quick tests speak first.  Side by side the slow ones begin, so that no worker
    is left with one of them at the end while the others have nothing to do.
    """
    for item in items:
        if LIVE in item.path.parents:
            item.add_marker("live")
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.path.name not in SLOW)
        items.sort(key=lambda item: item.get_closest_marker("live") is None)
    else:
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


@pytest.fixture
def own_runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Run directories that no other process makes; its path is short, for the sockets in it.

    Who makes a run directory removes those of dead owners beside it, so what is to be
    found after a kill stands here.
    """
    with tempfile.TemporaryDirectory(prefix="vs") as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        yield Path(folder)


@pytest.fixture(autouse=True)
def own_cache(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Give all but live tests a cache of their own (live ones need the real one's guests)."""
    # What an earlier test in this process has asked is not told in the next one's answer.
    binary = sys.modules.get("vmserial.qemu.binary")
    if binary is not None:
        binary.SHIMS.clear()
    if request.node.get_closest_marker("live") is None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


EMULATORS = ("aarch64", "x86_64", "i386", "arm", "riscv64", "ppc64", "s390x", "mips64el")
"""Those that the tests have domains of; libvirt knows loongarch64 from 11.0 on."""


@pytest.fixture
def quick_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A QEMU that answers nothing is killed after a moment."""
    monkeypatch.setattr("vmserial.qemu.process._QUIT_BOUND", 0.2)
    monkeypatch.setattr("vmserial.qemu.process._TERM_BOUND", 0.2)


@pytest.fixture(scope="session")
def libvirt() -> Iterator[PrivateLibvirt]:
    """Give a libvirtd of our own, with each emulator that is installed; it starts in seconds."""
    from private_libvirt import PrivateLibvirt

    found = (shutil.which(f"qemu-system-{arch}") for arch in EMULATORS)
    with PrivateLibvirt([path for path in found if path]) as running:
        yield running
