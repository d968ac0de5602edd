"""explain: what it prints for an id, a text, a log and nothing, and with which exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from test_cli_main import ROOT, loaded, process

from vmserial import catalogue
from vmserial.cli import main

ISA = "'isa-serial' is not a valid device model name"


def run(*words: str) -> int:
    return main.run(["explain", *words])


def test_all_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["id", "effect", "what"]
    assert len(lines) == 1 + len(catalogue.documents())
    assert lines[1:] == sorted(lines[1:])
    assert run("--json") == 0
    data = json.loads(capsys.readouterr().out)
    assert [each["id"] for each in data] == catalogue.ids()


def test_an_id(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("isa-limit") == 0
    text = capsys.readouterr().out
    assert text.startswith("isa-limit: a fifth isa-serial (does not start)\n  what: ")
    assert "  says: Max. supported number of ISA serial ports is 4 (QEMU 5.2 to 11.1)" in text
    assert "\n        libvirt: `<target type='pci-serial'>`" in text
    assert run("isa-limit", "--json") == 0
    (data,) = json.loads(capsys.readouterr().out)
    assert data["effect"] == "does not start"
    assert data["texts"][0]["seen"] == "QEMU 5.2 to 11.1"
    assert "line" not in data


@pytest.mark.parametrize(
    "words",
    [
        (ISA,),
        (f"qemu-system-aarch64: -device isa-serial,chardev=h: {ISA}",),
        (f"-device isa-serial,chardev=h: {ISA}",),
        ("-chardev", "h", "--", "-device", "isa-serial:", *ISA.split()),
        ("kind-not-on-arch",),
    ],
)
def test_an_error_text(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*words) == 0
    assert capsys.readouterr().out.startswith("kind-not-on-arch: ")


def test_a_text_has_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--json", f"one\ntwo: {ISA}\nthree: {ISA}") == 0
    (data,) = json.loads(capsys.readouterr().out)
    assert (data["line"], data["number"], data["more"]) == (f"two: {ISA}", 2, 1)
    assert run(f"one\ntwo: {ISA}\nthree: {ISA}") == 0
    assert f"  line: two: {ISA} (line 2; 1 more such lines)\n" in capsys.readouterr().out


def test_a_log_on_standard_input() -> None:
    log = f"a\xe9\0\r\nkvm: {ISA}\r\nspeed mismatch trying to attach usb device\n"
    result = subprocess.run(
        [sys.executable, "-m", "vmserial", "explain", "-"],
        input=log.encode("latin-1"), capture_output=True, timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip
    assert result.returncode == 0
    heads = [line for line in result.stdout.decode().splitlines() if line and line[0] != " "]
    assert [head.partition(":")[0] for head in heads] == ["kind-not-on-arch", "usb-speed"]


def test_nothing_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("isa-limt") == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "nothing is known of 'isa-limt'\n  near: isa-limit: " in captured.err
    assert run("--json", "qwzrtp") == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out) == []
    assert "'vmserial explain' lists all that is known" in captured.err
    assert run("qwzrtp isa-limit\nxyzzyx") == 1
    err = capsys.readouterr().err
    assert "these 2 lines" in err
    assert "near" not in err


def test_what_stands_in_many_texts_means_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("not found") == 1
    assert "near: " in capsys.readouterr().err


@pytest.mark.parametrize("words", [("",), ("  ", ""), ("--jsno",), ("--json=x", "isa-limit")])
def test_bad_use(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*words) == 2
    assert "hint: " in capsys.readouterr().err


def test_no_terminal_obeys_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(f"\x1b]0;title\x07{ISA}") == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\x07" not in out


def test_ids_are_completed() -> None:
    words = {"COMP_WORDS": "vmserial explain isa-l", "COMP_CWORD": "2"}
    assert process(_VMSERIAL_COMPLETE="bash_complete", **words).stdout == "plain,isa-limit\n"


def test_other_verbs_do_not_load_what_recognizes_texts() -> None:
    """A finding's own document is one file; all of them are read to recognize a text."""
    code = (
        "import sys; from vmserial.cli.main import run\n"
        "import vmserial.qemu.process\n"
        "run(sys.argv[1:])\n"
        "print('vmserial.catalogue.matching' in sys.modules)"
    )
    for words, there in (
        (("plan", "--arch", "aarch64", "--ports", "5"), "False"),
        (("doctor", "--arch", "aarch64", "--ports", "9", "--type", "pci"), "False"),
        (("explain", "isa-limit"), "False"),
        (("explain", "speed", "mismatch"), "True"),
    ):
        assert process(*words, code=code).stdout.splitlines()[-1] == there
    assert loaded("explain", "isa-limit") == set()
