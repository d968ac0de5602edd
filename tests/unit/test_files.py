"""Replacing a file: whole or not at all, never over another's change, and one at a time."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from vmserial.errors import ConfigError
from vmserial.files import Backups, digest, locked, new_file, record_of, replace_file

OLD, NEW = b"serial0: socket\n", b"args: -x\nserial0: socket\n"
KEPT = ["142.conf.vmserial-1.bak", "142.conf.vmserial-1.bak.sha256"]


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    path = tmp_path / "142.conf"
    path.write_bytes(OLD)
    path.chmod(0o640)
    return path


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_the_new_content_is_there_and_the_old_is_kept(conf: Path, tmp_path: Path) -> None:
    backups = Backups(tmp_path / "deep" / "kept", "142.conf.")
    first = replace_file(conf, OLD, NEW, backups)
    assert conf.read_bytes() == NEW
    assert conf.stat().st_mode & 0o7777 == 0o640
    assert first == tmp_path / "deep/kept/142.conf.1"
    assert first.read_bytes() == OLD
    assert first.stat().st_mode & 0o777 == 0o600
    assert record_of(first).read_text() == f"{hashlib.sha256(NEW).hexdigest()}  142.conf\n"
    assert first.parent.stat().st_mode & 0o777 == 0o700
    second = replace_file(conf, NEW, OLD, backups)
    assert (second.name, second.read_bytes(), conf.read_bytes()) == ("142.conf.2", NEW, OLD)
    assert names(tmp_path) == ["142.conf", "deep"]


def test_the_backup_stands_beside_it_unless_said_otherwise(conf: Path) -> None:
    assert replace_file(str(conf), OLD, NEW).name == "142.conf.vmserial-1.bak"
    assert names(conf.parent) == ["142.conf", *KEPT]


def test_the_mode_does_not_depend_on_the_umask(conf: Path) -> None:
    conf.chmod(0o664)
    before = os.umask(0o077)
    try:
        replace_file(conf, OLD, NEW)
    finally:
        os.umask(before)
    assert conf.stat().st_mode & 0o7777 == 0o664


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_owner_stays(conf: Path) -> None:
    os.chown(conf, 12345, 54321)
    replace_file(conf, OLD, NEW)
    found = conf.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (12345, 54321, 0o640)


def test_a_symlink_stays_one(conf: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.conf"
    link.symlink_to("142.conf")
    replace_file(link, OLD, NEW, Backups(tmp_path / "kept", "x"))
    assert link.is_symlink()
    assert conf.read_bytes() == NEW


def test_a_change_in_the_meantime_is_never_overwritten(conf: Path) -> None:
    conf.write_bytes(b"somebody else's\n")
    with pytest.raises(ConfigError, match="changed the file in the meantime") as caught:
        replace_file(conf, OLD, NEW)
    assert digest(OLD) in caught.value.message
    assert digest(b"somebody else's\n") in caught.value.message
    assert conf.read_bytes() == b"somebody else's\n"
    assert names(conf.parent) == ["142.conf"]


def test_a_change_while_it_is_written_is_seen_too(
    conf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync

    def meanwhile(descriptor: int) -> None:
        real(descriptor)
        conf.write_bytes(b"late\n")

    monkeypatch.setattr(os, "fsync", meanwhile)
    with pytest.raises(ConfigError, match="in the meantime"):
        replace_file(conf, OLD, NEW)
    assert conf.read_bytes() == b"late\n"
    assert names(conf.parent) == ["142.conf", *KEPT]


def test_pves_digest_is_sha1() -> None:
    assert digest(b"") == "da39a3ee5e6b4b0d3255bfef95601890afd80709"


@pytest.mark.parametrize("call", ["fsync", "write", "fchmod"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EACCES])
def test_an_error_leaves_the_old_content_and_no_temporary_file(
    conf: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int
) -> None:
    def refused(*words: object) -> None:
        del words
        raise OSError(number, os.strerror(number))

    conf.chmod(0o666)
    monkeypatch.setattr(os, call, refused)
    before = os.umask(0o022)
    try:
        with pytest.raises(ConfigError) as caught:
            replace_file(conf, OLD, NEW)
    finally:
        os.umask(before)
    assert caught.value.hint
    assert conf.read_bytes() == OLD
    assert not [name for name in names(conf.parent) if ".tmp." in name]


def test_a_file_system_without_directory_fsync_or_chmod_is_no_error(
    conf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync

    def only_files(descriptor: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):  # noqa: PTH112
            raise OSError(errno.EINVAL, "Invalid argument")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", only_files)
    replace_file(conf, OLD, NEW)
    assert conf.read_bytes() == NEW


def test_a_new_file_is_never_one_that_is_there(tmp_path: Path) -> None:
    path = tmp_path / "out.conf"
    new_file(path, NEW)
    assert path.read_bytes() == NEW
    with pytest.raises(ConfigError, match="there already"):
        new_file(path, OLD)
    assert path.read_bytes() == NEW
    with pytest.raises(ConfigError, match="cannot be written"):
        new_file(tmp_path / "no" / "such", OLD)
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(ConfigError, match="there already"):
        new_file(tmp_path / "dangling", OLD)
    assert names(tmp_path) == ["dangling", "out.conf"]


# ------------------------------------------------------------------ locks

HOLDER = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(fd, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def test_a_lock_that_another_process_holds_is_waited_for_in_bounds(tmp_path: Path) -> None:
    lock = tmp_path / "lock-142.conf"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(lock)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as holder:  # fmt: skip
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        begin = time.monotonic()
        with pytest.raises(ConfigError, match="has held the lock"), locked(lock, 0.3):
            pass
        assert 0.3 <= time.monotonic() - begin < 30
        assert holder.stdin is not None
        # It lets go while we wait.
        threading.Timer(0.2, holder.stdin.close).start()
        with locked(lock, 60):
            pass
    assert lock.exists()


def test_a_lock_is_gone_with_its_holder_and_the_file_stays(tmp_path: Path) -> None:
    lock = tmp_path / "lock-1.conf"
    for _ in range(2):
        with locked(lock, 5), pytest.raises(ConfigError), locked(lock, 0):
            pass
    assert lock.read_bytes() == b""


def test_a_directory_can_be_locked(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(ConfigError), locked(tmp_path, 0):
        pass


def test_a_lock_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="lock file"), locked(tmp_path / "no" / "lock"):
        pass
