"""The short way of plain calls: the same words as the whole program, without what is slow."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from plans import remembered

ROOT = Path(__file__).resolve().parents[2]

Outcome = tuple[int, bytes, bytes]
Show = Callable[..., Outcome]

DOMAIN = """\
<domain type='qemu'><name>d</name><memory unit='MiB'>512</memory>
<os><type arch='aarch64' machine='virt'>hvm</type></os>
<devices>
  <serial type='pty'><target type='system-serial' port='0'/></serial>
  <serial type='unix'><source mode='bind' path='/run/a,b &amp; é'/>
    <target type='usb-serial' port='1'/></serial>
  <sound model='ich9'/>
</devices></domain>
"""
CONF = "arch: aarch64\nkvm: 0\nname: k\nmemory: 512\nserial0: socket\nserial1: socket\nfoo: bar\n"
TOML = "arch = 'aarch64'\nports = 20\nbackend = 'null'\naccel = 'tcg'\n"


COMMAND = '#!/bin/sh\nexec qemu-system-aarch64 -M virt -serial pty -serial pty "$@"  # é\n'


@pytest.fixture
def show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Show:
    """Return a function that runs a verb where one QEMU is known and none can be asked."""
    monkeypatch.setenv("PATH", str(remembered(tmp_path).parent))

    def run(
        *words: str, verb: str = "showcmd", code: str = "", out: str = "", **environment: str
    ) -> Outcome:
        command = ["-c", code] if code else ["-m", "vmserial"]
        with Path(out or os.devnull).open("wb") as sink:
            done = subprocess.run(
                [sys.executable, *command, verb, *words],
                stdout=sink if out else subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path,
                timeout=60, env={**os.environ, "PYTHONPATH": str(ROOT / "src"), **environment},
            )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    for name, text in (("d.xml", DOMAIN), ("142.conf", CONF), ("vm.toml", TOML)):
        (tmp_path / name).write_text(text)
    (tmp_path / "start.sh").write_text(COMMAND)
    (tmp_path / "odd.xml").write_bytes(DOMAIN.replace("é", "\x80").encode())
    (tmp_path / "x86.toml").write_text("arch = 'x86_64'\nports = 2\naccel = 'tcg'\n")
    (tmp_path / "wrong.xml").write_text("<domain><a></domain>")
    (tmp_path / "full.toml").write_text("arch = 'aarch64'\nports = 600\naccel = 'tcg'\n")
    (tmp_path / "kvm.xml").write_text(DOMAIN.replace("'qemu'", "'kvm'"))
    return run


QUICK = """
import os, sys
def refuse(*_):
    os.write(2, b"begun anew")
    os._exit(99)
os.execv = refuse
{defect}
from vmserial.cli.quick import main
main()
"""

PLAIN = ("d.xml", "142.conf", "vm.toml", "odd.xml")
FORMS = ((), ("--pretty",), ("--json",))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", PLAIN)
def test_a_plain_call_needs_only_the_short_way(
    show: Show, name: str, form: tuple[str, ...]
) -> None:
    code, out, err = show(*form, name, code=QUICK.format(defect=""))
    assert (code, out, err) == show(name, *form, VMSERIAL_QUICK="0")
    assert code == 0
    assert b"qemu-system-aarch64" in out


JUDGED = ("d.xml", "142.conf", "odd.xml", "start.sh", "wide.conf")


@pytest.mark.parametrize(
    ("verb", "form"),
    [("doctor", ()), ("doctor", ("--json",)), ("plan", ()), ("plan", ("--json",)),
     ("fix", ("--diff", "--no-check"))],
)  # fmt: skip
@pytest.mark.parametrize("name", [*JUDGED, "vm.toml"])
def test_a_plain_judgement_needs_only_the_short_way(
    show: Show, tmp_path: Path, name: str, verb: str, form: tuple[str, ...]
) -> None:
    """Byte for byte on both streams, and the same exit code."""
    (tmp_path / "wide.conf").write_text(
        CONF + "".join(f"#vmserial serial{n}: socket\n" for n in range(4, 20)) + "vmgenid: 1\n"
    )
    if (verb, name) in {("fix", "vm.toml"), ("fix", "wide.conf")}:
        assert show(*form, name, verb=verb) == show(*form, name, verb=verb, VMSERIAL_QUICK="0")
        return
    code, out, err = show(*form, name, verb=verb, code=QUICK.format(defect=""))
    assert (code, out, err) == show(name, *form, verb=verb, VMSERIAL_QUICK="0")
    assert code in {0, 1}
    assert out or verb == "fix"


def test_both_streams_into_one_keep_their_order(show: Show, tmp_path: Path) -> None:
    del show

    def together(switch: str) -> bytes:
        done = subprocess.run(
            [sys.executable, "-m", "vmserial", "fix", "--diff", "--no-check", "142.conf"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=tmp_path, timeout=60,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "VMSERIAL_QUICK": switch},
        )  # fmt: skip
        return done.stdout

    assert together("1") == together("0")
    assert together("1").count(b"would mend") == 1


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("doctor", ("d.xml", "--live-probe", "--no-such")), ("doctor", ("wrong.xml",)),
        ("doctor", ("d.xml", "--json", "--json")), ("doctor", ("nowhere.xml",)),
        ("fix", ("142.conf",)), ("fix", ("142.conf", "--diff", "--apply")),
        ("fix", ("142.conf", "--no-check", "--no-check")), ("plan", ("full.toml",)),
        ("plan", ("d.xml", "--pretty")), ("plan", ()), ("doctor", ("--all",)),
    ],
)  # fmt: skip
def test_whatever_else_of_a_judgement_is_said_by_the_whole_program(
    show: Show, verb: str, words: tuple[str, ...]
) -> None:
    assert show(*words, verb=verb) == show(*words, verb=verb, VMSERIAL_QUICK="0")


@pytest.mark.parametrize(
    "words",
    [
        ("x86.toml",), ("wrong.xml",), ("full.toml",), ("nowhere.xml",), (".",), ("",), (),
        ("d.xml", "vm.toml"), ("d.xml", "--pretty", "--json"), ("d.xml", "--pretty", "--pretty"),
        ("d.xml", "--no-such"), ("d.xml", "--help"), ("d.xml", "--arch", "x86_64"),
        ("--", "d.xml"), ("/dev/null",), ("kvm.xml",),
    ],
)  # fmt: skip
def test_whatever_else_is_said_by_the_whole_program(show: Show, words: tuple[str, ...]) -> None:
    assert show(*words) == show(*words, VMSERIAL_QUICK="0")


@pytest.mark.parametrize("environment", [{"LC_ALL": "C"}, {"PYTHONIOENCODING": "latin-1"},
                                         {"PYTHONIOENCODING": "ascii"}])  # fmt: skip
@pytest.mark.parametrize("name", PLAIN)
def test_in_any_encoding(show: Show, name: str, environment: dict[str, str]) -> None:
    assert show(name, **environment) == show(name, **environment, VMSERIAL_QUICK="0")


def test_a_binary_that_is_not_known_is_asked_by_the_whole_program(
    show: Show, tmp_path: Path
) -> None:
    program = tmp_path / "bin" / "qemu-system-aarch64"
    program.write_text("#!/bin/sh\nexit 3\n")
    asked = show("d.xml")
    assert asked == show("d.xml", VMSERIAL_QUICK="0")
    assert asked[0] != 0
    assert str(program).encode() in asked[2]
    assert show("d.xml", code=QUICK.format(defect=""))[::2] == (99, b"begun anew")


def test_a_pipe_is_read_once(show: Show, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.xml"
    os.mkfifo(pipe)
    with subprocess.Popen([sys.executable, "-c", f"open({str(pipe)!r}, 'w').write({DOMAIN!r})"]):
        code, out, _ = show(str(pipe))
    assert (code, out) == show("d.xml")[:2]


def test_a_full_disk_is_said(show: Show) -> None:
    code, _, err = show("vm.toml", out="/dev/full")
    assert code == 2
    assert b"cannot write: No space left on device" in err


def test_a_reader_that_left_is_no_error(show: Show, tmp_path: Path) -> None:
    del show
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "vmserial", "showcmd", "vm.toml"], stdout=write, cwd=tmp_path,
        stderr=subprocess.PIPE, timeout=60, env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream(show: Show, tmp_path: Path, closed: str) -> None:
    del show

    def outcome(switch: str) -> tuple[int, bytes, bytes]:
        done = subprocess.run(
            ["/bin/sh", "-c", f'"$0" -m vmserial showcmd d.xml {closed}', sys.executable],
            capture_output=True, cwd=tmp_path, timeout=60,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "VMSERIAL_QUICK": switch},
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr

    assert outcome("1") == outcome("0")


DEFECTS = [
    "import vmserial.light.dataclasses as d; d.replace = None",
    "import vmserial.light.pkgutil as p; p.iter_modules = lambda path: ()",
    "import vmserial.planning.planner as p; p.plan = None",
]


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_of_the_short_way_costs_only_time(show: Show, defect: str) -> None:
    """And the test of plain calls would see it: there the program may not begin anew."""
    code, _, err = show("142.conf", code=QUICK.format(defect=defect))
    assert (code, err) == (99, b"begun anew")
    anew = "os.execv = lambda path, words: (print(words[-2:], flush=True), os._exit(7))"
    assert show("142.conf", code=QUICK.format(defect=f"{defect}\n{anew}"))[:2] == (
        7, b"['showcmd', '142.conf']\n"
    )  # fmt: skip
