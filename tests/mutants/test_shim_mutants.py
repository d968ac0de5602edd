"""Each check of the process that the shim becomes fails for a wrapper that does it wrong."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from shim_stage import PORTS, Shim, installed, stage
from test_shim_process import descriptors, environment_of, same

BEGIN = "    gc.disable()  # a tenth of the time, and the memory is gone at execv(2)\n"


@pytest.fixture(scope="module")
def shim() -> Iterator[Shim]:
    with stage() as directory:
        yield installed(directory, "/bin/cat")


def kept(shim: Shim) -> bool:
    """Tell whether signals, mask, limits, umask and environment are those of a plain start."""
    return same(shim, PORTS)


def descriptors_kept(shim: Shim) -> bool:
    """Tell whether the descriptors are those of a plain start."""
    text = Path(shim.path).read_text().replace(repr(b"/usr/bin/cat"), repr(b"/usr/bin/ls"))
    path = shim.directory / "ls-mutant"
    path.write_text(text)
    path.chmod(0o755)
    return descriptors(str(path), PORTS) == descriptors("/bin/ls", PORTS)


def environment_kept(shim: Shim) -> bool:
    """Tell whether the environment is kept byte for byte, in the C locale."""
    found = [environment_of(p, {"LC_CTYPE": "C", "X": "1"}, PORTS) for p in (shim.path, shim.real)]
    return found[0] == found[1] and environment_of(shim.path, {}, PORTS) == b""


def pid_kept(shim: Shim) -> bool:
    """Tell whether the process is the one that was started."""
    pid = os.posix_spawn(shim.path, [shim.path, "--", "/proc/self/stat", *PORTS], {}, file_actions=[
        (os.POSIX_SPAWN_OPEN, 1, str(shim.directory / "out"), os.O_WRONLY | os.O_CREAT, 0o600),
        (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
    ])  # fmt: skip
    os.waitpid(pid, 0)
    return (shim.directory / "out").read_text().split()[0] == str(pid)


def words_kept(shim: Shim) -> bool:
    """Tell whether argv[0] and odd bytes are kept."""
    done = shim.run(b"--", b"/proc/self/cmdline", b"\xff", *PORTS, env={"LC_ALL": "C"})
    return done.stdout.split(b"\0")[:4] == [
        os.fsencode(shim.path), b"--", b"/proc/self/cmdline", b"\xff"
    ]  # fmt: skip


def timers_kept(shim: Shim) -> bool:
    """Tell whether no timer of the shim's own is left to the emulator."""
    text = Path(shim.path).read_text().replace(repr(b"/usr/bin/cat"), repr(b"/usr/bin/python3"))
    path = shim.directory / "python-mutant"
    path.write_text(text)
    path.chmod(0o755)
    code = "import signal; print(signal.getitimer(signal.ITIMER_VIRTUAL))"
    mutant = Shim(shim.directory, str(path), "/usr/bin/python3", shim.home)
    return mutant.run("-ISc", code, *PORTS).stdout == b"(0.0, 0.0)\n"


CHECKS: list[Callable[[Shim], bool]] = [
    kept, descriptors_kept, environment_kept, pid_kept, words_kept, timers_kept
]  # fmt: skip

FORK = "    if child := posix.fork():\n        posix._exit(posix.waitpid(child, 0)[1] >> 8)\n"
MUTANTS: dict[str, tuple[Callable[[Shim], bool], str, str]] = {
    "closes a descriptor": (descriptors_kept, BEGIN, BEGIN + "    posix.close(7)\n"),
    "leaves one open": (descriptors_kept, BEGIN, BEGIN + "    posix.dup2(0, 50)\n"),
    "has one closed by execv": (
        descriptors_kept, BEGIN, BEGIN + "    posix.set_inheritable(3, False)\n"
    ),
    "adds a variable": (environment_kept, BEGIN, BEGIN + "    posix.putenv(b'X', b'2')\n"),
    "leaves LC_CTYPE": (environment_kept, "posix.unsetenv(b\"LC_CTYPE\")", "pass"),
    "leaves another LC_CTYPE": (
        environment_kept, "posix.putenv(b\"LC_CTYPE\", before[0])", "pass"
    ),
    "ignores SIGPIPE": (kept, "(_signal.SIGPIPE, _signal.SIGXFSZ)", "(_signal.SIGXFSZ,)"),
    "ignores SIGXFSZ": (kept, "(_signal.SIGPIPE, _signal.SIGXFSZ)", "(_signal.SIGPIPE,)"),
    "blocks a signal": (kept, BEGIN, BEGIN + "    _signal.pthread_sigmask(0, (10,))\n"),
    "changes the umask": (kept, BEGIN, BEGIN + "    posix.umask(0o77)\n"),
    "changes a limit": (
        kept, BEGIN, BEGIN + "    import resource; resource.setrlimit(4, (0, 0))\n"
    ),
    "starts a child": (pid_kept, BEGIN, BEGIN + FORK),
    "changes argv[0]": (
        words_kept, "posix.execv(real, attempt)", "posix.execv(real, [real, *attempt[1:]])"
    ),
    "reads the words by the locale": (
        words_kept, "            return words[-len(sys.argv) :]\n",
        "            return [w.encode('ascii', 'replace') for w in sys.argv]\n",
    ),
    "leaves its timer": (
        timers_kept, "            _signal.setitimer(_signal.ITIMER_VIRTUAL, 0.0)\n",
        "            pass\n",
    ),
}  # fmt: skip


def test_the_shim_itself_passes(shim: Shim) -> None:
    for check in CHECKS:
        assert check(shim), check.__doc__


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_caught(shim: Shim, name: str) -> None:
    check, old, new = MUTANTS[name]
    assert not check(shim.patched(old, new))
