"""Cache, atomic writes, locks and run directories, and what happens when an owner dies."""

from __future__ import annotations

import fcntl
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from vmserial import paths
from vmserial.errors import UsageError
from vmserial.limits import SUN_PATH_MAX

HOLD = """
import sys
from vmserial.paths import RunDirectory
run = RunDirectory()
(run.path / "socket").write_text("left behind")
print(run.path, flush=True)
sys.stdin.read()
"""


def holder() -> tuple[subprocess.Popen[str], Path]:
    """Start another process that has a run directory, and wait until it does."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": ":".join(sys.path)},
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def end(process: subprocess.Popen[str]) -> None:
    process.communicate(timeout=60)


# ------------------------------------------------------------------ cache


def test_cache_dir_is_private_and_follows_xdg(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "c"))
    made = paths.cache_dir("qemu", "x")
    assert made == tmp_path / "c" / "vmserial" / "qemu" / "x"
    assert stat.S_IMODE(made.stat().st_mode) == 0o700


def test_cache_dir_ignores_a_relative_xdg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert paths.cache_dir() == tmp_path / ".cache" / "vmserial"


def test_cache_dir_on_a_file_is_a_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(UsageError, match="cannot make") as caught:
        paths.cache_dir("qemu")
    assert caught.value.hint


# ------------------------------------------------------------------ writing


def test_write_atomic_replaces_and_leaves_nothing_aside(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    paths.write_atomic(target, "one")
    paths.write_atomic(target, b"two", 0o644)
    assert target.read_bytes() == b"two"
    assert stat.S_IMODE(target.stat().st_mode) == 0o644
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a.json"
    paths.write_atomic(target, "old")

    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match="No space left"):
        paths.write_atomic(target, "new")
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_write_atomic_into_nowhere(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file or directory"):
        paths.write_atomic(tmp_path / "none" / "a", "x")


# ------------------------------------------------------------------ locks


def test_a_lock_excludes_and_is_let_go(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    told: list[int] = []
    with paths.locked(lock, 1):
        with (
            pytest.raises(UsageError, match="another process"),
            paths.locked(lock, 0.05, lambda: told.append(1)),
        ):
            pass
        assert told == [1]
    with paths.locked(lock, 0):
        pass


def test_a_lock_is_waited_for(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    order: list[str] = []
    waiting = threading.Event()

    def second() -> None:
        with paths.locked(lock, 10, waiting.set):
            order.append("second")

    thread = threading.Thread(target=second)
    with paths.locked(lock, 1):
        thread.start()
        assert waiting.wait(10)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


# ------------------------------------------------------------------ run directories


def test_start_time() -> None:
    assert paths.start_time(os.getpid()) > 0
    with pytest.raises(ProcessLookupError):
        paths.start_time(2**22 + 1)


def test_run_directory_is_private_short_owned_and_removed(own_runtime: Path) -> None:
    with paths.RunDirectory() as run:
        assert run.path.parent == own_runtime / "vmserial"
        assert stat.S_IMODE(run.path.stat().st_mode) == 0o700
        pid, started = (run.path / "owner").read_text().split()
        assert (int(pid), int(started)) == (os.getpid(), paths.start_time(os.getpid()))
        assert len(run.socket("vm.serial10")) < 100
        (run.path / "state").write_text("x")
    assert not run.path.exists()
    run.close()


def test_a_long_runtime_dir_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * 60)
    long.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    with paths.RunDirectory() as run:
        assert str(run.path).startswith(f"/tmp/vmserial-{os.getuid()}/")


@pytest.mark.usefixtures("own_runtime")
def test_a_socket_name_that_is_too_long_is_refused() -> None:
    with paths.RunDirectory() as run:
        room = SUN_PATH_MAX - len(str(run.path)) - 1
        assert len(run.socket("x" * room)) == SUN_PATH_MAX
        with pytest.raises(UsageError, match="longer than 107"):
            run.socket("x" * (room + 1))


def test_a_base_that_is_a_link_is_refused(
    own_runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (own_runtime / "vmserial").symlink_to(tmp_path)
    with pytest.raises(UsageError, match="not a directory of this user"):
        paths.RunDirectory()
    (own_runtime / "vmserial").unlink()
    monkeypatch.setattr(os, "getuid", lambda: 4242)
    (own_runtime / "vmserial").mkdir()
    with pytest.raises(UsageError, match="not a directory of this user"):
        paths.runtime_base()


def test_a_base_open_to_others_is_closed(own_runtime: Path) -> None:
    (own_runtime / "vmserial").mkdir(mode=0o777)
    (own_runtime / "vmserial").chmod(0o777)
    base = paths.runtime_base()
    assert stat.S_IMODE(base.stat().st_mode) == 0o700


@pytest.mark.usefixtures("own_runtime")
def test_the_directory_of_a_killed_owner_is_swept_by_the_next() -> None:
    process, path = holder()
    with paths.RunDirectory() as run:
        # Its owner lives: it stays.
        assert path.exists()
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        end(process)
        assert (path / "socket").exists()
        with paths.RunDirectory():
            assert not path.exists()
        assert run.path.exists()


@pytest.mark.usefixtures("own_runtime")
def test_the_directory_is_removed_when_the_interpreter_ends() -> None:
    process, path = holder()
    assert path.exists()
    end(process)
    assert not path.exists()


def test_a_directory_between_its_owners_name_and_its_lock_is_not_swept(
    own_runtime: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process looks just then."""
    lock = fcntl.flock
    looked: list[int] = []

    def late(descriptor: int, how: int) -> None:
        if not looked:
            looked.append(how)
            assert paths.sweep(paths.runtime_base()) == []
        lock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with paths.RunDirectory() as run:
        assert looked
        assert run.path.is_relative_to(own_runtime)


def test_an_unfinished_directory_is_swept_only_when_it_is_old(own_runtime: Path) -> None:
    base = own_runtime / "vmserial"
    base.mkdir(mode=0o700)
    unfinished = base / ".nabcd"
    unfinished.mkdir()
    assert paths.sweep(base) == []
    os.utime(unfinished, (1, 1))
    assert paths.sweep(base) == [unfinished]
    assert not unfinished.exists()


@pytest.mark.usefixtures("own_runtime")
def test_a_forked_child_does_not_remove_it() -> None:
    with paths.RunDirectory() as run:
        pid = os.fork()
        if pid == 0:
            run.close()
            os._exit(0)
        os.waitpid(pid, 0)
        assert run.path.exists()
