"""The option grammar: what is written is read back, and nothing gets out of its value."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmserial.errors import UsageError
from vmserial.options import Option, check_id, pretty, render, split_params

KEYS = st.from_regex(r"[a-z][a-z0-9\-]{0,8}", fullmatch=True)
VALUES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)


@given(
    head=st.from_regex(r"[a-z][a-z0-9\-]{0,8}", fullmatch=True),
    params=st.lists(st.tuples(KEYS, VALUES), max_size=6),
)
def test_written_options_are_read_back(head: str, params: list[tuple[str, str]]) -> None:
    value = Option("-device", head, tuple(params)).value()
    assert value is not None
    assert split_params(value) == (head, tuple(params))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("socket,id=a,path=/x,,y", ("socket", (("id", "a"), ("path", "/x,y")))),
        ("socket,server,nowait", ("socket", (("server", "on"), ("wait", "off")))),
        ("path=/a,,,id=b", ("", (("path", "/a,"), ("id", "b")))),
        ("", ("", ())),
    ],
)
def test_split(text: str, expected: object) -> None:
    assert split_params(text) == expected


def test_a_comma_cannot_start_another_key() -> None:
    value = Option("-chardev", "file", (("path", "/tmp/x,id=evil"),)).value()
    assert value == "file,path=/tmp/x,,id=evil"


@pytest.mark.parametrize("key", ["a=b", "a,b", "", "a b"])
def test_a_key_that_the_grammar_cannot_carry_is_refused(key: str) -> None:
    with pytest.raises(UsageError):
        Option("-device", "x", ((key, "1"),)).value()


def test_nul_is_refused() -> None:
    with pytest.raises(UsageError):
        Option("-kernel", raw="a\0b").value()


@pytest.mark.parametrize("bad", ["", "1a", "a b", "a,b", "ä", "a\n"])
def test_bad_ids(bad: str) -> None:
    with pytest.raises(UsageError):
        check_id(bad)


def test_bool_and_lone_flag() -> None:
    options = [Option("-nodefaults"), Option("-device", "d", (("on", True), ("n", 3)))]
    assert render(options) == ["-nodefaults", "-device", "d,on=on,n=3"]


@settings(max_examples=60, deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=8))
def test_pretty_is_shell_for_the_same_words(words: list[str]) -> None:
    script = f"printf '%s\\0' {pretty(['qemu', *words])}"
    done = subprocess.run(["sh", "-c", script], capture_output=True, check=True, timeout=60)
    assert done.stdout.decode().split("\0")[:-1] == ["qemu", *words]


def test_pretty_has_one_option_a_line() -> None:
    text = pretty(["qemu", "-name", "a b", "-append", "-x", "-device", "d,id=x -y"])
    assert text.splitlines() == [
        "qemu \\",
        "  -name 'a b' \\",
        "  -append -x \\",
        "  -device 'd,id=x -y'",
    ]
