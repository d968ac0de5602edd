"""The command line as a whole: verbs, errors in words, exit codes, lazy imports."""

from __future__ import annotations

import errno
import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from vmserial import __version__
from vmserial.cli import main
from vmserial.cli.options import KINDS, SHELLS
from vmserial.devices import KINDS as DEVICE_KINDS
from vmserial.errors import ConfigError, LostVMError, QemuStartError, VmserialError

ROOT = Path(__file__).parents[2]
HEAVY = ("asyncio", "rich", "jinja2", "qemu.qmp", "vmserial.verify", "vmserial.guests.images")


def process(*words: str, code: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line as a process of its own."""
    command = [sys.executable, "-c", code] if code else [sys.executable, "-m", "vmserial"]
    return subprocess.run(
        [*command, *words],
        text=True,
        capture_output=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), **environment},
    )


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Return a function that makes `vmserial probe` raise something."""

    def arrange(error: BaseException) -> None:
        def raises(*_words: object) -> Any:
            raise error

        monkeypatch.setattr("vmserial.cli.probe._binaries", raises)

    return arrange


# ------------------------------------------------------------------ verbs and help


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["--version"]) == 0
    assert capsys.readouterr().out == f"vmserial {__version__}\n"


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["--help"]) == 0
    text = capsys.readouterr().out
    for words in ("vmserial doctor 142.conf", "vmserial showcmd 142.conf", "vmserial verify"):
        assert words in text
    for verb in main.VERBS:
        assert f"\n  {verb} " in text


@pytest.mark.parametrize("verb", main.VERBS)
def test_each_verb_has_examples(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run([verb, "--help"]) == 0
    text = capsys.readouterr().out
    assert "Examples:" in text
    assert f"\n    vmserial {verb}" in text


@pytest.mark.parametrize("verb", main.VERBS)
def test_a_verb_says_of_itself_what_the_list_says(verb: str) -> None:
    command: click.Command = importlib.import_module(f"vmserial.cli.{verb}").command
    assert command.name == verb
    assert command.help


def test_nothing_at_all_shows_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run([]) == 2
    assert "The three commands that matter" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("pln", "did you mean 'plan'?"),
        ("142.conf", "vmserial plan 142.conf"),
        ("xyzzy", "the verbs are doctor, fix, undo"),
    ],
)
def test_unknown_verb(word: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run([word]) == 2
    assert hint in capsys.readouterr().err


def test_the_types_are_the_devices() -> None:
    assert set(KINDS) == {"auto", *DEVICE_KINDS}


@pytest.mark.parametrize("shell", SHELLS)
def test_completion(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["completion", shell]) == 0
    assert "_VMSERIAL_COMPLETE" in capsys.readouterr().out


def test_completion_completes() -> None:
    words = {"COMP_WORDS": "vmserial sho", "COMP_CWORD": "1"}
    result = process(_VMSERIAL_COMPLETE="bash_complete", **words)
    assert result.stdout == "plain,showcmd\n"


# ------------------------------------------------------------------ errors


def test_an_error_has_place_and_hint(
    broken: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    broken(ConfigError("memory is not a number", hint="write 2048", where="142.conf:3"))
    assert main.run(["probe"]) == 2
    assert capsys.readouterr().err == (
        "vmserial: error: memory is not a number\n  where: 142.conf:3\n  hint: write 2048\n"
    )


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (VmserialError("x"), 1),
        (QemuStartError("x", stderr="boom", returncode=1), 1),
        (ConfigError("x"), 2),
        (LostVMError("x"), 3),
        (click.UsageError("x"), 2),
        (KeyboardInterrupt(), 130),
        (ZeroDivisionError("x"), 70),
        (RecursionError("x"), 70),
        (BrokenPipeError(errno.EPIPE, "Broken pipe"), 141),
    ],
)
def test_exit_codes(
    error: BaseException, code: int, broken: Callable[[BaseException], None],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    broken(error)
    assert main.run(["probe"]) == code
    assert "Traceback" not in capsys.readouterr().err


def test_a_defect_says_so_and_how_to_see_more(
    broken: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    broken(ZeroDivisionError("division by zero"))
    assert main.run(["probe"]) == main.BUG_EXIT
    text = capsys.readouterr().err
    assert "a defect in vmserial: ZeroDivisionError: division by zero" in text
    assert "VMSERIAL_DEBUG=1" in text


def test_debugging_shows_where(
    broken: Callable[[BaseException], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VMSERIAL_DEBUG", "1")
    broken(ZeroDivisionError("x"))
    with pytest.raises(ZeroDivisionError):
        main.run(["probe"])


def test_the_lines_of_a_long_error_hang_together(
    broken: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    broken(VmserialError("one\ntwo\n", hint="three"))
    main.run(["probe"])
    assert capsys.readouterr().err == "vmserial: error: one\n    two\n  hint: three\n"


def test_no_terminal_obeys_an_error(
    broken: Callable[[BaseException], None], capsys: pytest.CaptureFixture[str]
) -> None:
    broken(VmserialError("a name with \x1b[2J in it"))
    main.run(["probe"])
    assert capsys.readouterr().err == "vmserial: error: a name with \\x1b[2J in it\n"


@pytest.mark.parametrize(
    ("words", "path"),
    [(["plan", "--ports", "x"], "vmserial plan"), (["--frobnicate"], "vmserial")],
)
def test_misuse_names_the_help(
    words: list[str], path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(words) == 2
    text = capsys.readouterr().err
    assert text.startswith("vmserial: error: ")
    assert f"  hint: '{path} --help' shows" in text


# ------------------------------------------------------------------ as a process


def test_a_reader_that_leaves_is_no_error() -> None:
    """As in `vmserial … | head -1`: quiet, with the status of SIGPIPE."""
    code = (
        "import sys\n"
        "from vmserial.cli import completion, main\n"
        "from vmserial.cli.output import say\n"
        "completion.command.callback = lambda shell: [say('x' * 1000) for _ in range(1000)]\n"
        "sys.exit(main.run(['completion', 'bash']))"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    assert running.stdout is not None
    assert running.stderr is not None
    running.stdout.read(1)
    running.stdout.close()
    said = running.stderr.read()
    running.stderr.close()
    assert running.wait(30) == main.BROKEN_PIPE_EXIT
    assert said == b""


def test_the_group_itself_ends_the_process() -> None:
    """The script in bin/, and click's CliRunner, call the group."""
    with pytest.raises(SystemExit) as ended:
        main.main(["pln"])
    assert ended.value.code == 2


def test_ctrl_c_ends_with_130() -> None:
    code = (
        "import os, signal, sys; from vmserial.cli import completion, main\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's & ignores it
        f"completion.command.callback = lambda shell: os.kill(os.getpid(), {signal.SIGINT:d})\n"
        "sys.exit(main.run(['completion', 'bash']))"
    )
    result = process(code=code)
    assert result.returncode == main.INTERRUPTED_EXIT
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(("words", "code"), [("--version", 0), ("probe /nowhere", 2)])
def test_a_closed_stream_is_no_traceback(closed: str, words: str, code: int) -> None:
    result = subprocess.run(
        ["sh", "-c", f'"$0" -m vmserial {words} {closed}', sys.executable],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    assert result.returncode == code
    assert "Traceback" not in result.stderr
    assert "defect" not in result.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_behind_stdout_is_said_in_its_own_words(unbuffered: str) -> None:
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [sys.executable, "-m", "vmserial", "completion", "bash"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            env={
                **os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONUNBUFFERED": unbuffered,
            },
        )  # fmt: skip
    assert result.returncode == main.UNWRITABLE_EXIT
    assert "vmserial: error: cannot write: No space left on device" in result.stderr
    assert "Traceback" not in result.stderr
    assert "defect" not in result.stderr


def test_odd_file_names_are_no_traceback() -> None:
    """A name that is not in the terminal's encoding is written as the bytes that it is."""
    name = os.fsdecode(b"/nowhere/\xff\xfe")
    result = subprocess.run(
        [sys.executable, "-m", "vmserial", "probe", name],
        capture_output=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONIOENCODING": ""},
    )
    assert result.returncode == 2
    assert b"Traceback" not in result.stderr
    assert b"nowhere" in result.stderr


def loaded(*words: str, before: str = "", **environment: str) -> set[str]:
    """Return which of the heavy modules a command line imports."""
    code = (
        f"import json, sys; from vmserial.cli.main import run\n{before}\n"
        f"status = run({list(words)!r})\n"
        f"print(json.dumps([status, *(m for m in {HEAVY!r} if m in sys.modules)]), file=sys.stderr)"
    )
    result = process(code=code, **environment)
    status, *found = json.loads(result.stderr.splitlines()[-1])
    assert status == 0, result.stderr
    return set(found)


@pytest.mark.parametrize(
    "words", [("--help",), ("--version",), *((verb, "--help") for verb in main.VERBS)]
)
def test_help_imports_nothing_heavy(words: tuple[str, ...]) -> None:
    # verify's help lists the cases, which are the files of its rooms.
    few = {"asyncio", "vmserial.verify"} if words[0] == "verify" else set()
    assert loaded(*words) <= few


def test_heavy_imports_would_be_seen() -> None:
    assert loaded("--version", before="import asyncio, rich") == {"asyncio", "rich"}
