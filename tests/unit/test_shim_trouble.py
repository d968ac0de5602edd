"""Safe as root, and whatever goes wrong in the shim, the emulator gets the given words."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from shim_stage import PORTS, Shim, installed, stage

from vmserial.shim import boot
from vmserial.shim.start import STALE

SEEN = ("--", "/proc/self/cmdline")


@pytest.fixture(scope="module")
def master() -> Iterator[Shim]:
    with stage() as directory:
        yield installed(directory, "/bin/cat")


@pytest.fixture
def shim(master: Shim) -> Iterator[Shim]:
    """A copy to be spoilt."""
    with stage() as directory:
        home = directory / "lib" / "key" / "generation"
        shutil.copytree(master.home, home)
        copy = Shim(directory, "", master.real, home).before(master.real)
        path = directory / "qemu-system-aarch64"
        Path(copy.path).rename(path)
        yield Shim(directory, str(path), master.real, home)


def words_of(shim: Shim, *more: str, **how: object) -> tuple[list[str], str]:
    """Return the words that the emulator gets for the article's ports, and stderr."""
    done = shim.run(*SEEN, *more, *PORTS, **how)
    said = [line for line in done.stderr.decode().splitlines() if line.startswith("vmserial-shim")]
    return done.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1], "\n".join(said)


def mended(shim: Shim, *more: str, **how: object) -> bool:
    return any(word.startswith("usb-serial,") for word in words_of(shim, *more, **how)[0])


def passed_on(shim: Shim, *more: str, **how: object) -> str:
    """Check that all words came unchanged, and return what was said on stderr."""
    words, said = words_of(shim, *more, **how)
    assert words == [shim.path, *SEEN, *more, *PORTS]
    return said


def test_it_mends_what_is_whole(shim: Shim) -> None:
    words, said = words_of(shim)
    assert words[0] == shim.path
    assert [w.split(",")[0] for w in words if w.startswith(("usb", "isa", "qemu-xhci"))] == [
        "qemu-xhci", "usb-serial",
    ]  # fmt: skip
    assert said == ""
    assert "serial1: isa-serial -> usb-serial" in shim.log.read_text()


# ------------------------------------------------------------------ who could have written it


def everything(shim: Shim) -> list[Path]:
    """Return each file and directory that the wrapper reads or goes through, and is ours."""
    home = shim.home
    files = [home / "modules", home / "facts.json", next(home.glob("code.*"))]
    return [shim.directory, shim.directory / "lib", home.parent, home, *files]


@pytest.mark.parametrize("number", range(7))
@pytest.mark.parametrize("mode", [0o020, 0o002, 0o1002], ids=oct)
def test_a_place_that_others_can_write_to_is_not_read(shim: Shim, number: int, mode: int) -> None:
    path = everything(shim)[number]
    path.chmod(path.stat().st_mode | mode)
    said = passed_on(shim)
    assert f"others can change {path}" in said
    assert "passed on as it is" in said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("number", range(7))
def test_a_place_of_somebody_else_is_not_read(shim: Shim, number: int) -> None:
    path = everything(shim)[number]
    os.chown(path, 12345, -1)
    assert "others can change" in passed_on(shim)


@pytest.mark.parametrize("number", range(1, 7))
def test_a_link_is_not_followed(shim: Shim, number: int) -> None:
    path = everything(shim)[number]
    moved = path.rename(path.with_name("moved"))
    path.symlink_to(moved)
    passed_on(shim)


def test_below_tmp_nothing_is_read(shim: Shim, tmp_path: Path) -> None:
    everybodys = tmp_path / "tmp"
    everybodys.mkdir()
    everybodys.chmod(0o1777)
    shutil.copytree(shim.home, everybodys / "home", symlinks=True)
    moved = shim.patched(repr(os.fsencode(shim.home)), repr(os.fsencode(everybodys / "home")))
    assert "others can change" in passed_on(moved)


def test_the_rule() -> None:
    me = os.geteuid()
    for mode, uid, kind, expected in (
        (0o040755, 0, 0o040000, True),
        (0o040755, me, 0o040000, True),
        (0o040755, me + 1, 0o040000, False),
        (0o040775, 0, 0o040000, False),
        (0o041777, 0, 0o040000, False),
        (0o120777, 0, 0o040000, False),
        (0o100644, 0, 0o100000, True),
        (0o100646, 0, 0o100000, False),
        (0o010644, 0, 0o100000, False),
    ):
        status = SimpleNamespace(st_mode=mode, st_uid=uid)
        assert boot.safe(status, kind) is expected  # type: ignore[arg-type]


def test_a_pipe_in_the_place_of_a_file_does_not_hold_it_up(shim: Shim) -> None:
    (shim.home / "facts.json").unlink()
    os.mkfifo(shim.home / "facts.json", 0o600)
    assert "facts.json" in passed_on(shim)


def test_nothing_of_the_callers_is_imported(shim: Shim) -> None:
    """Modules in the current directory, in PYTHONPATH, beside the wrapper, in the user's site."""
    traps = shim.directory / "traps"
    user = traps / "lib" / "python3.11" / "site-packages"
    user.mkdir(parents=True)
    mark = shim.directory / "trapped"
    names = (
        "json", "re", "enum", "posix", "marshal", "os", "types", "functools", "dataclasses",
        "typing", "pkgutil", "sitecustomize", "usercustomize", "vmserial", "encodings",
    )  # fmt: skip
    for name in names:
        for place in (traps, user, shim.directory):
            (place / f"{name}.py").write_text(f"open({str(mark)!r}, 'a').write({name!r})\n")
    (traps / "startup.py").write_text(f"open({str(mark)!r}, 'a').write('startup')\n")
    environment = {
        "PYTHONPATH": str(traps), "PYTHONSTARTUP": str(traps / "startup.py"),
        "PYTHONUSERBASE": str(traps), "PYTHONINSPECT": "1", "PYTHONWARNINGS": "error",
        "PYTHONBREAKPOINT": "json.x", "PYTHONPYCACHEPREFIX": str(traps), "HOME": str(traps),
        "PYTHONPLATLIBDIR": str(traps), "PYTHONEXECUTABLE": str(traps / "x"),
    }  # fmt: skip
    assert mended(shim, cwd=traps, env=environment)
    assert mended(shim, cwd=traps, env={**environment, "PYTHONHOME": str(traps)})
    assert not mark.exists()
    assert not list(shim.directory.glob("**/__pycache__"))


# ------------------------------------------------------------------ what goes wrong


def broken(shim: Shim, file: str) -> Path:
    return next(shim.home.glob(file))


@pytest.mark.parametrize("file", ["modules", "facts.json", "code.*"])
@pytest.mark.parametrize("content", [b"", b"\0\xff garbage", b"{}", None], ids=repr)
def test_broken_files(shim: Shim, file: str, content: bytes | None) -> None:
    path = broken(shim, file)
    if content is None:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    else:
        path.write_bytes(content)
    assert "passed on as it is" in passed_on(shim)


def test_missing_files(shim: Shim) -> None:
    shim.home.rename(shim.home.with_name("elsewhere"))
    assert "FileNotFoundError" in passed_on(shim)


def test_another_python_compiles_the_sources(shim: Shim) -> None:
    broken(shim, "code.*").rename(shim.home / "code.00000000")
    assert mended(shim)
    assert "Python has changed" in shim.log.read_text()


TROUBLE = {
    "an error": "raise ValueError('secret')",
    "an exit": "raise SystemExit(3)",
    "no memory": "raise MemoryError",
    "no end": "exec('while True: pass')",
    "no end that catches": "exec('while True:\\n try:\\n  while True: pass\\n"
    " except Exception: pass')",
    "recursion": "f = lambda: f(); f()",
    "an interrupt": "raise KeyboardInterrupt",
    "nonsense": "return 7",
}


@pytest.mark.parametrize("text", TROUBLE.values(), ids=TROUBLE)
def test_trouble_in_the_engine(shim: Shim, text: str) -> None:
    call = "        result, lines = start.mended("
    bad = shim.patched(call, f"        {text}\n{call}")
    bad = bad.patched("CPU_SECONDS = 5.0", "CPU_SECONDS = 0.3")
    said = passed_on(bad)
    assert "passed on as it is" in said
    assert "secret" not in said


def test_a_command_line_that_nobody_can_read(shim: Shim) -> None:
    """Its words may be a secret: none of them is shown."""
    secret = "secret,id=s0,data=hunter2"
    said = passed_on(shim, "-object", secret, "-device", '{"driver": hunter2')
    assert said == "vmserial-shim: ConfigError: the command line is passed on as it is"
    assert not shim.log.exists()


def test_a_secret_is_not_written_down(shim: Shim) -> None:
    assert mended(shim, "-object", "secret,id=s0,data=hunter2", "-name", "guest=a")
    assert "hunter2" not in shim.log.read_text()


def test_a_shim_that_starts_itself_ends(shim: Shim) -> None:
    loop = shim.before(shim.path).patched(repr(os.fsencode(shim.path)), repr(
        os.fsencode(shim.directory / "before-qemu-system-aarch64-patched")))  # fmt: skip
    done = loop.run(*PORTS)
    assert done.returncode == 127
    assert b"is the shim itself" in done.stderr


def test_no_binary(shim: Shim) -> None:
    gone = shim.before(str(shim.directory / "gone"))
    done = gone.run(*PORTS)
    assert done.returncode == 127
    assert b"gone: No such file or directory" in done.stderr
    (shim.directory / "gone").write_bytes(b"\x7fELF")
    (shim.directory / "gone").chmod(0o600)
    assert gone.run("-version").returncode == 126


def test_a_shim_that_is_removed_at_this_moment(shim: Shim) -> None:
    """Its path is the real binary again when it comes to start the one that is gone."""
    shutil.copy2(shim.real, shim.directory / "aside")
    gone = shim.before(str(shim.directory / "gone"))
    late = gone.patched(
        "    refusal = become(",
        f"    posix.rename({os.fsencode(shim.directory / 'aside')!r}, given[0])\n"
        "    refusal = become(",
    )
    assert late.run(*SEEN, *PORTS).stdout.decode().split("\0")[:-1] == [late.path, *SEEN, *PORTS]


def test_stale_facts_believe_in_one_uart(shim: Shim) -> None:
    facts = json.loads((shim.home / "facts.json").read_text())
    facts["capabilities"]["onboard_uarts"] = {"virt": 2}
    facts["capabilities"]["version"] = [9, 1, 0]
    (shim.home / "facts.json").write_text(json.dumps(facts))
    fresh, _ = words_of(shim)
    facts["binary"][1] += 1
    (shim.home / "facts.json").write_text(json.dumps(facts))
    assert STALE not in shim.log.read_text()
    stale, _ = words_of(shim)
    assert [fresh.count("-serial"), stale.count("-serial")] == [2, 1]
    assert STALE in shim.log.read_text()


# ------------------------------------------------------------------ the log


def test_the_log_is_one_line_a_change(shim: Shim) -> None:
    assert mended(shim, "-name", "guest=a\n2026-01-01T00:00:00Z b\x1b[31m,process=x")
    line = shim.log.read_text().splitlines()
    assert len(line) == 1
    assert line[0].endswith("port 1")
    assert r" a\n2026-01-01T00:00:00Z b\x1b[31m: serial1: isa-serial -> usb-serial" in line[0]
    assert shim.log.stat().st_mode & 0o777 == 0o640 & ~_umask()


def _umask() -> int:
    now = os.umask(0)
    os.umask(now)
    return now


def link(log: Path) -> None:
    log.symlink_to(log.with_name("aim"))


def other_name(log: Path) -> None:
    log.with_name("aim").write_text("")
    os.link(log.with_name("aim"), log)


def writable(log: Path) -> None:
    log.write_text("")
    log.chmod(0o666)


@pytest.mark.parametrize("make", [link, other_name, writable, os.mkfifo, Path.mkdir])
def test_a_log_that_is_not_safe_is_not_written(shim: Shim, make: Callable[[Path], None]) -> None:
    make(shim.log)
    words, said = words_of(shim)
    assert any(word.startswith("usb-serial,") for word in words)
    assert "serial1: isa-serial -> usb-serial" in said
    aim = shim.log.with_name("aim")
    assert not aim.exists() or aim.read_text() == ""


def test_a_log_that_has_grown_gives_way(shim: Shim) -> None:
    shim.log.write_text("x" * boot.LOG_BYTES + "\n")
    shim.log.chmod(0o640)
    for _ in range(3):
        assert mended(shim)
    old = Path(f"{shim.log}.1")
    assert old.stat().st_size > boot.LOG_BYTES
    assert shim.log.read_text().count("isa-serial -> usb-serial") == 2


def test_nothing_is_said_where_stderr_is_closed(shim: Shim) -> None:
    """A socket that the caller left on descriptor 2 must not get our words either."""
    shim.log.mkdir()
    done = subprocess.run(
        [shim.path, *SEEN, *PORTS], stdout=subprocess.PIPE, timeout=60,
        preexec_fn=lambda: os.close(2),
    )  # fmt: skip
    assert b"usb-serial" in done.stdout


# ------------------------------------------------------------------ what it leaves alone


@pytest.mark.parametrize(
    "words",
    [
        ["-version"],
        ["--version"],
        ["-help"],
        ["-machine", "help"],
        ["-device", "help"],
        ["-device", "isa-serial,help"],
        ["-M", "none", *PORTS],
        "-S -no-user-config -nodefaults -nographic -machine none,accel=kvm:tcg "
        "-qmp unix:/x/qmp.monitor,server=on,wait=off -pidfile /x/serial.pid -daemonize".split(),
        ["-m", "512", "-drive", "file=/serial/x.qcow2"],
        [],
    ],
    ids=lambda words: " ".join(words)[:40],
)
def test_questions_need_no_engine(words: list[str]) -> None:
    assert not boot.wanted([b"qemu", *(word.encode() for word in words)])


def test_a_probe_reads_nothing(shim: Shim) -> None:
    """Even where the shim's own files are gone, nothing is said."""
    shutil.rmtree(shim.home)
    done = shim.run("/proc/self/cmdline", "-machine", "none,accel=kvm:tcg")
    assert b"vmserial-shim" not in done.stderr
    assert done.stderr


@pytest.mark.parametrize(
    "words",
    [
        PORTS,
        ["-serial", "stdio"],
        ["--serial", "stdio"],
        ["-device", "virtconsole,chardev=x"],
        ["-device", "spapr-vty,chardev=x"],
        ["-device", "sclpconsole,chardev=x"],
        ["-device", "virtserialport,chardev=x"],
        ["-chardev", "socket,id=serial4,path=/x"],
        ["-chardev", "pty,id=charserial1"],
        ["-device", '{"driver":"pci-serial","chardev":"c"}'],
    ],
    ids=lambda words: " ".join(words)[:40],
)
def test_ports_need_it(words: list[str]) -> None:
    assert boot.wanted([b"qemu", *(word.encode() for word in words)])


def test_the_monitors_socket_of_a_caller_is_not_touched(shim: Shim) -> None:
    """What a socket has waiting for the emulator is still there."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(b"for qemu")
        os.set_inheritable(theirs.fileno(), True)
        shim.run(*SEEN, *PORTS, pass_fds=[theirs.fileno()])
        assert theirs.recv(100) == b"for qemu"


def test_it_takes_little_time_to_give_up(shim: Shim) -> None:
    begin = time.process_time()
    before = os.times().children_user
    passed_on(shim.patched("CPU_SECONDS = 5.0", "CPU_SECONDS = 0.001"))
    assert time.process_time() - begin + os.times().children_user - before < 5
    assert signal.getitimer(signal.ITIMER_VIRTUAL) == (0.0, 0.0)
