"""The process that the shim becomes is the one that the caller would have got without it.

cat(1) and ls(1) stand for QEMU: they show what the kernel knows of the process.
Each check has a mutant of the wrapper, in tests/mutants/test_shim_mutants.py.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from shim_stage import PORTS, Shim, installed, stage

SHOWN = ("status", "environ", "limits", "cgroup")


@pytest.fixture(scope="module")
def shim() -> Iterator[Shim]:
    with stage() as directory:
        yield installed(directory, "/bin/cat")


def shown(program: str, files: tuple[str, ...], more: tuple[str, ...], **how: Any) -> list[bytes]:
    """Return files of /proc/self as ``program`` finds them, the pid and times left out."""
    done = subprocess.run(
        [program, "--", *(f"/proc/self/{file}" for file in files), *more],
        capture_output=True, timeout=60, **how,
    )  # fmt: skip
    changing = (b"Pid", b"PPid", b"Tgid", b"Ngid", b"NStgid", b"NSpid", b"NSpgid", b"NSsid", b"Vm",
                b"Rss", b"voluntary", b"nonvoluntary", b"Name", b"Threads", b"Cpus", b"Mems",
                b"FDSize", b"SigQ", b"Speculation", b"HugetlbPages")  # fmt: skip
    return [line for line in done.stdout.split(b"\n") if not line.startswith(changing)]


SERIAL = {"nothing serial": (), "mended": PORTS}


@pytest.mark.parametrize("more", SERIAL.values(), ids=SERIAL)
def test_signals_mask_limits_umask_and_environment_stay(shim: Shim, more: tuple[str, ...]) -> None:
    def odd() -> None:
        os.umask(0o037)
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP, signal.SIGVTALRM})
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, 300))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    for prepare in (None, odd):
        assert same(shim, more, preexec_fn=prepare)


def same(shim: Shim, more: tuple[str, ...], **how: Any) -> bool:
    """Tell whether a process is the same with and without the shim."""
    plain, shimmed = (shown(path, SHOWN, more, **how) for path in (shim.real, shim.path))
    assert len(plain) > 20
    return plain == shimmed


@pytest.mark.parametrize("more", SERIAL.values(), ids=SERIAL)
@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"LC_ALL": "C"},
        {"LC_CTYPE": "C"},
        {"LC_CTYPE": "POSIX", "LANG": "de_DE.ISO-8859-1"},
        {"LC_CTYPE": "C.UTF-8"},
        {"LANG": "C", "A": "\udcff\udc80=", "B": "", "C": "x\ny", "BASH_FUNC_f%%": "() { :;}"},
        {"PYTHONPATH": "/x", "PYTHONHOME": "/y", "PYTHONSTARTUP": "/z", "PYTHONUTF8": "0"},
        {"PYTHONCOERCECLOCALE": "1", "PYTHONINSPECT": "1", "PYTHONVERBOSE": "1"},
    ],
    ids=str,
)
def test_the_environment_is_kept_byte_for_byte(
    shim: Shim, environment: dict[str, str], more: tuple[str, ...]
) -> None:
    assert environment_of(shim.path, environment, more) == environment_of(
        shim.real, environment, more
    )


def environment_of(program: str, environment: dict[str, str], more: tuple[str, ...]) -> bytes:
    """Return the environment that the process has in the end."""
    words = [program, "--", "/proc/self/environ", *more]
    return subprocess.run(words, env=environment, capture_output=True, timeout=60).stdout


def test_a_malformed_environment_is_kept_too(shim: Shim) -> None:
    """Entries without "=" and an entry twice: execve(2) takes them, Python's mapping does not."""
    code = (
        "import ctypes, sys\n"
        "words = [w.encode() for w in sys.argv[1:]]\n"
        "odd = [b'NOVALUE', b'A=1', b'A=2', b'=x', b'LC_CTYPE=C', b'Z=\\xff']\n"
        "array = lambda items: (ctypes.c_char_p * (len(items) + 1))(*items, None)\n"
        "ctypes.CDLL(None).execve(words[0], array(words), array(odd))\n"
    )
    for more in SERIAL.values():
        found = [
            subprocess.run(
                [sys.executable, "-c", code, program, "--", "/proc/self/environ", *more],
                capture_output=True, timeout=60,
            ).stdout
            for program in (shim.real, shim.path)
        ]  # fmt: skip
        assert found[0] == found[1] == b"NOVALUE\0A=1\0A=2\0=x\0LC_CTYPE=C\0Z=\xff\0"


@pytest.mark.parametrize("more", SERIAL.values(), ids=SERIAL)
def test_descriptors_stay_and_none_is_added(shim: Shim, more: tuple[str, ...]) -> None:
    assert descriptors(shim.before("/bin/ls").path, more) == descriptors("/bin/ls", more)


def descriptors(program: str, more: tuple[str, ...], stdin: int | None = None) -> list[str]:
    """Return the descriptors that the process has in the end, with what they lead to.

    Among them a listening socket (libvirt's ``-chardev socket,fd=``) and one that
    execv(2) closes.
    """
    with socket.socket() as listener, Path("/etc/passwd").open("rb") as file:
        listener.listen()
        wanted = [os.dup(listener.fileno()), os.dup(file.fileno())]

        def place() -> None:
            for number, source in zip((3, 7, 9), (wanted[0], wanted[1], wanted[0]), strict=True):
                os.dup2(source, 60 + number)
            for number in (3, 7, 9):
                os.dup2(60 + number, number)
                os.close(60 + number)

        try:
            done = subprocess.run(
                [program, "-l", "--", "/proc/self/fd", *more],
                stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                stdin=subprocess.DEVNULL if stdin is None else stdin,
                timeout=60, close_fds=False, preexec_fn=place,
            )  # fmt: skip
        finally:
            for number in wanted:
                os.close(number)
    lines = [line.partition(" -> ") for line in done.stdout.decode().splitlines()]
    # What ls opens itself leads to its own /proc/PID/fd; pipes have a number of their own.
    return sorted(
        f"{left.split()[-1]} {left[:10]} {right.split('[')[0]}"
        for left, _, right in lines
        if right and not right.startswith("/proc/")
    )


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)], ids=str)
@pytest.mark.parametrize("more", SERIAL.values(), ids=SERIAL)
def test_closed_standard_streams_stay_closed(
    shim: Shim, closed: tuple[int, ...], more: tuple[str, ...], tmp_path: Path
) -> None:
    def close() -> None:
        for number in closed:
            os.close(number)

    results = []
    for name, program in (("plain", "/usr/bin/env"), ("shim", shim.before("/usr/bin/env").path)):
        out = tmp_path / f"{name}{len(more)}"
        # env stands for QEMU here: it starts ls, after the options that it takes for variables.
        words = [program, "sh", "-c", f"ls /proc/$$/fd > {out}", "x", *more]
        subprocess.run(words, preexec_fn=close, timeout=60)
        results.append(out.read_text().split())
    assert results[0] == results[1]
    # The shell has its own output on 1 while ls runs, and its copy of a closed 1 nowhere.
    assert not {str(n) for n in closed if n != 1} & set(results[1])


def test_the_pid_and_the_parent_stay(shim: Shim) -> None:
    process = subprocess.Popen(
        [shim.path, "--", "/proc/self/stat", *PORTS], stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    out = process.communicate(timeout=60)[0].decode()
    fields = out.rpartition(")")[2].split()
    assert int(out.split()[0]) == process.pid
    assert int(fields[1]) == os.getpid()


def test_argv0_is_the_path_that_was_called(shim: Shim) -> None:
    """PVE knows its own processes by argv[0] (kvm, qemu-*), whatever file runs."""
    kvm = shim.directory / "kvm"
    kvm.symlink_to(shim.path)
    for path in (shim.path, str(kvm)):
        for more in SERIAL.values():
            words = [path, "--", "/proc/self/cmdline", *more]
            done = subprocess.run(words, capture_output=True, timeout=60)
            assert done.stdout.split(b"\0")[0] == path.encode()


def test_the_name_of_the_process_is_the_called_one(shim: Shim) -> None:
    """Ps -C kvm finds it: the wrapper starts the binary under a link of that name."""
    names = shim.home / "names"
    (names / "kvm").symlink_to(shim.real)
    kvm = shim.directory / "bin" / "kvm"
    kvm.parent.mkdir()
    kvm.symlink_to(shim.path)
    try:
        done = subprocess.run(
            [kvm, "--", "/proc/self/comm", "/proc/self/cmdline", *PORTS], capture_output=True,
            timeout=60,
        )  # fmt: skip
    finally:
        (names / "kvm").unlink()
    assert done.stdout.startswith(b"kvm\n" + os.fsencode(kvm) + b"\0")


ODD = [
    b"",
    b"-",
    b"--",
    b"\xff\xfe",
    "ä€𝄞".encode(),
    b"a\nb\tc",
    b"'\"\\$(x)`",
    b"\x1b[31m",
    b"=,,",
]


@pytest.mark.parametrize("locale", ["C", "C.UTF-8", "en_US.ISO-8859-1", ""], ids=str)
def test_every_byte_of_the_arguments_is_kept(shim: Shim, locale: str) -> None:
    environment = {"LC_ALL": locale} if locale else {}
    for more in SERIAL.values():
        words = [b"--", b"/proc/self/cmdline", *ODD, *(word.encode() for word in more)]
        done = shim.run(*words, env=environment)
        found = done.stdout.split(b"\0")[: len(words) - len(more) + 1]
        assert found[1:] == words[: len(words) - len(more)]


def test_a_name_that_is_no_utf_8_is_mended_and_kept(shim: Shim) -> None:
    done = shim.run(b"--", b"/proc/self/cmdline", b"-name", b"\xe4\xff", *PORTS)
    words = done.stdout.split(b"\0")
    assert words[words.index(b"-name") + 1] == b"\xe4\xff"
    assert b"usb-serial" in done.stdout
    assert b"isa-serial" not in done.stdout


def test_a_huge_command_line_is_passed(shim: Shim) -> None:
    """As long as execve(2) takes; and when the mended one is too long, the given one is tried."""
    long = ["-append", "x" * 100_000] * 10 + ["-fw_cfg", "name=opt/x,string=y"] * 2_000
    plain = subprocess.run(
        [shim.real, "--", "/proc/self/cmdline", *long, *PORTS], capture_output=True, timeout=60
    ).stdout
    done = shim.run("--", "/proc/self/cmdline", *long, *PORTS).stdout
    assert len(done) > 1_000_000
    assert done.split(b"\0")[1 : 2 + len(long)] == plain.split(b"\0")[1 : 2 + len(long)]


def test_the_caller_sees_the_exit_code_and_the_signal(shim: Shim) -> None:
    python = shim.before(os.path.realpath(sys.executable))
    for code, expected in (
        ("raise SystemExit(7)", 7),
        ("import os; os.kill(os.getpid(), 9)", -signal.SIGKILL),
        ("import os; os.kill(os.getpid(), 13)", 0),  # Python ignores SIGPIPE, QEMU as well
        ("import os, signal; signal.signal(15, signal.SIG_DFL); os.kill(os.getpid(), 15)",
         -signal.SIGTERM),
    ):  # fmt: skip
        assert python.run("-ISc", code, *PORTS).returncode == expected


def test_timers_of_the_caller_run_on(shim: Shim) -> None:
    """``perl -e 'alarm 60; exec …'``: the alarm is for the emulator as well."""
    python = shim.before(os.path.realpath(sys.executable))
    code = "import signal as s; print(s.getitimer(s.ITIMER_REAL)[0] > 1, s.getitimer(1))"

    def arm() -> None:
        signal.setitimer(signal.ITIMER_REAL, 500)

    done = python.run("-ISc", code, *PORTS, preexec_fn=arm)
    assert done.stdout == b"True (0.0, 0.0)\n"


def test_a_signal_while_the_shim_works_does_what_it_does_to_qemu(shim: Shim) -> None:
    pause = "        give_back()\n        posix.write(1, b'!')\n        time.sleep(60)\n"
    slow = shim.patched("        give_back()\n", pause)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        with subprocess.Popen(
            [slow.path, "/dev/null"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            preexec_fn=hear_all,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            assert process.stdout.read(1) == b"!"
            process.send_signal(number)
            assert process.communicate(timeout=60) == (b"", b"")
        assert process.returncode == -number


def hear_all() -> None:
    """Heed every signal, whoever started the tests: nohup and a shell's & have some ignored."""
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
