"""``fix --apply`` killed, or refused by the system, at each call that writes: old or new, whole.

The calls are those of the kernel, seen and refused by strace(1), so none can be
forgotten: a call that is neither known to write nor known to be harmless fails
the test.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

DRIVER = Path(__file__).with_name("pve_fault_driver.py")
CONF = (
    "#a VM%3A two ports\narch: aarch64\nname: vm\nserial0: socket\nserial1: socket\n"
    "\n[snap]\nname: x\n"
)

WRITES = frozenset(
    "write pwrite64 writev pwritev pwritev2 fsync fdatasync sync_file_range syncfs rename renameat "
    "renameat2 link linkat unlink unlinkat symlink symlinkat ftruncate truncate fallocate fchmod "
    "fchmodat chmod fchown fchownat chown lchown mkdir mkdirat rmdir mknod mknodat utimensat "
    "setxattr fsetxattr copy_file_range sendfile creat".split()
)
HARMLESS = frozenset(
    "read pread64 readv close close_range fstat stat lstat newfstatat statx lseek mmap munmap "
    "mprotect mremap madvise brk rt_sigaction rt_sigprocmask rt_sigreturn getpid getppid gettid "
    "getuid geteuid getgid getegid flock futex clock_gettime clock_nanosleep getrandom readlink "
    "readlinkat getdents64 getcwd ioctl fcntl access faccessat faccessat2 exit exit_group umask "
    "sysinfo prlimit64 sched_getaffinity uname dup dup3 poll pselect6 select kill tgkill "
    "restart_syscall epoll_create1 gettimeofday time set_robust_list rseq sigaltstack".split()
)
ERRORS = ("ENOSPC", "EIO", "EACCES")
CALL = re.compile(r"(?:\[pid +\d+\] )?(\w+)\((.*)")


@dataclass(frozen=True)
class Site:
    """The n-th call of a kind."""

    call: str
    number: int


@dataclass(frozen=True)
class Outcome:
    """What a run left behind: its exit code, and whatever must not be."""

    code: int
    wrong: tuple[str, ...]


@contextmanager
def driver(tmp_path: Path, *mutant: str) -> Iterator[subprocess.Popen[str]]:
    """Start the process whose children run ``fix --apply``."""
    root = tree(tmp_path / "warm")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    environment |= {
        # Without a QEMU one is assumed; nothing but the tree is then written.
        "PATH": "/nonexistent",
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    with subprocess.Popen(
        [sys.executable, str(DRIVER), str(root), *mutant], env=environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        until(process, "ready")
        yield process
        assert process.stdin is not None
        process.stdin.close()


def until(process: subprocess.Popen[str], pattern: str) -> str:
    """Return the first line of the driver that is ``pattern``; fix prints others between."""
    assert process.stdout is not None
    for line in process.stdout:
        if re.fullmatch(pattern, line.strip()):
            return line.strip()
    raise AssertionError("the driver ended")


def tree(root: Path) -> Path:
    directory = root / "etc/pve/qemu-server"
    directory.mkdir(parents=True)
    (directory / "142.conf").write_text(CONF)
    (directory / "142.conf").chmod(0o660)
    (root / "var/lock/qemu-server").mkdir(parents=True)
    return root


def run(process: subprocess.Popen[str], root: Path, log: Path, *options: str) -> int:
    """Let ``fix --apply`` run in ``root`` under strace; return its exit code."""
    strace = shutil.which("strace")
    assert strace is not None, "there is no strace; run scripts/system-packages"
    assert process.stdin is not None
    process.stdin.write(f"{root}\n")
    process.stdin.flush()
    child = int(until(process, "[0-9]+"))
    stopped(child)
    with subprocess.Popen(
        [strace, "-q", "-s", "4096", "-o", str(log), *options, "-p", str(child)],
        stderr=subprocess.PIPE, text=True,
    ) as tracer:  # fmt: skip
        traced(child, tracer)
        os.kill(child, signal.SIGCONT)
        code = int(until(process, "-?[0-9]+"))
        tracer.wait(30)
    return code


def state(pid: int) -> dict[str, str]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def stopped(pid: int) -> None:
    deadline = time.monotonic() + 60
    while not state(pid)["State"].startswith("T"):
        assert time.monotonic() < deadline
        time.sleep(0.001)


def traced(pid: int, tracer: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while state(pid)["TracerPid"] != str(tracer.pid):
        if tracer.poll() is not None:
            os.kill(pid, signal.SIGKILL)
            assert tracer.stderr is not None
            raise AssertionError(f"strace cannot attach: {tracer.stderr.read()}")
        assert time.monotonic() < deadline
        time.sleep(0.001)


def sites(log: str) -> list[Site]:
    """Return the calls that write, as a run without faults made them; no other is unknown."""
    found = []
    count: Counter[str] = Counter()
    for line in log.splitlines():
        match = CALL.match(line)
        if match is None:
            continue
        call, words = match[1], match[2]
        count[call] += 1
        if call in WRITES or (
            call in {"open", "openat", "openat2"}
            and re.search("O_CREAT|O_TRUNC|O_WRONLY|O_RDWR|O_APPEND", words)
        ):
            found.append(Site(call, count[call]))
        elif call not in {"open", "openat", "openat2"}:
            assert call in HARMLESS, f"is {call} a call that writes? {line}"
    return found


def judged(root: Path, code: int, new: bytes, *, killed: bool) -> Outcome:
    """Look at what a run left."""
    wrong = []
    old = CONF.encode()
    directory = root / "etc/pve/qemu-server"
    present = (directory / "142.conf").read_bytes()
    if present not in (old, new):
        wrong.append(f"neither old nor new: {present!r}")
    if code == 0 and present != new:
        wrong.append("it says that all is well, and the old file is there")
    for path in directory.iterdir():
        if re.fullmatch(r"[0-9]+\.conf", path.name) and path.name != "142.conf":
            wrong.append(f"PVE would read {path.name} as a VM")
        if path.name != "142.conf" and not killed:
            wrong.append(f"{path.name} was left")
    kept = root / "var/backups/vmserial"
    for path in kept.iterdir() if kept.is_dir() else ():
        if ".tmp." in path.name:
            if not killed:
                wrong.append(f"{path.name} was left")
        elif path.suffix == ".sha256":
            if path.read_bytes() != f"{hashlib.sha256(new).hexdigest()}  142.conf\n".encode():
                wrong.append(f"the record {path.name} is not whole")
        elif path.read_bytes() != old:
            wrong.append(f"the backup {path.name} is not whole")
    names = ("142.conf.1", "142.conf.1.sha256")
    if present == new and not all((kept / name).exists() for name in names):
        wrong.append("it was changed without a backup, or without a record of it")
    return Outcome(code, tuple(wrong))


def faults(tmp_path: Path, *mutant: str) -> tuple[dict[str, Outcome], list[Site]]:
    """Run ``fix --apply`` with each fault at each call; return what each left."""
    found: dict[str, Outcome] = {}
    with driver(tmp_path, *mutant) as process:
        log = tmp_path / "log"
        root = tree(tmp_path / "whole")
        assert run(process, root, log) == 0
        new = (root / "etc/pve/qemu-server/142.conf").read_bytes()
        assert new != CONF.encode()
        assert judged(root, 0, new, killed=False).wrong == ()
        places = sites(log.read_text(errors="replace"))
        for place in places:
            for fault in ("KILL", *ERRORS):
                killed = fault == "KILL"
                what = f"signal={fault}" if killed else f"error={fault}"
                name = f"{place.call}-{place.number}-{fault}"
                root = tree(tmp_path / name)
                code = run(process, root, log, "-e", f"trace={place.call}", "-e",
                           f"inject={place.call}:{what}:when={place.number}")  # fmt: skip
                text = log.read_text(errors="replace")
                assert ("killed by SIGKILL" if killed else "(INJECTED)") in text, name
                assert not killed or code == -signal.SIGKILL, name
                found[name] = judged(root, code, new, killed=killed)
    return found, places


def test_the_file_is_whole_whatever_happens(tmp_path: Path) -> None:
    found, places = faults(tmp_path)
    assert {name: o.wrong for name, o in found.items() if o.wrong} == {}
    count = Counter(place.call for place in places)
    # The backup, its record and the file, each made durable, with their directories.
    assert count["rename"] + count["renameat"] + count["renameat2"] == 3
    assert count["fsync"] >= 6
    assert count["openat"] >= 2
    assert count["mkdir"] >= 1
    assert len(found) == 4 * len(places)


def test_a_naive_writer_is_caught(tmp_path: Path) -> None:
    found, _ = faults(tmp_path, "naive")
    wrong = {word.partition(":")[0] for outcome in found.values() for word in outcome.wrong}
    assert "neither old nor new" in wrong


def test_a_call_that_nobody_knows_is_noticed() -> None:
    assert sites('openat(AT_FDCWD, "x", O_RDONLY) = 3\nrename("a", "b") = 0\n') == [
        Site("rename", 1)
    ]
    with pytest.raises(AssertionError, match="io_uring_enter"):
        sites("io_uring_enter(3, 1, 0, 0, NULL, 8) = 1\n")
