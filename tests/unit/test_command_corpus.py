"""Gathered command lines: read, written back, looked at, changed and judged, each of them."""

from __future__ import annotations

import json
import re
import shlex

import pytest
from corpus import Entry, command_lines
from hypothesis import given, settings
from hypothesis import strategies as st

from vmserial.errors import ConfigError, VmserialError
from vmserial.guests import profile
from vmserial.judging import judge
from vmserial.machines import ARCHITECTURES
from vmserial.model import Capabilities
from vmserial.sources.command import (
    CommandLine,
    CommandView,
    ReplaceValue,
    SetKey,
    edited,
    params,
)

ENTRIES = {entry.name: entry for entry in command_lines()}
REFUSED = {
    "documentation/i386/pc-3": "requires an argument",  # <backend> is the shell's <
    "documentation/invocation-19": "is not closed",
    "documentation/target-mips-1": "requires an argument",  # <kernel_image_file>
    "shapes/systemd-unit": "no QEMU system emulator",
}
"""What a shell would not run, or is no command."""

UNKNOWN = {"id", "rhel-flag", "avd", "netdelay", "qemu"}
"""Options that no QEMU has: Proxmox VE's -id, and those of forks."""

READ = [pytest.param(entry, id=name) for name, entry in ENTRIES.items() if name not in REFUSED]


def read(entry: Entry) -> CommandLine:
    if entry.words:
        return CommandLine.from_words(entry.words)
    return CommandLine.parse(entry.text)


def test_there_are_enough_of_each_source() -> None:
    counts = {
        source: sum(name.startswith(f"{source}/") for name in ENTRIES)
        for source in ("libvirt", "pve", "documentation", "tools", "shapes")
    }
    assert sum(counts.values()) >= 400
    assert all(counts.values()), counts


def test_nothing_of_the_machine_that_gathered_them() -> None:
    for entry in ENTRIES.values():
        text = " ".join((entry.text, *entry.words))
        assert not re.search(r"/tmp/(libvirt|tools|tmp)[a-z0-9_]{8}", text), entry.name


@pytest.mark.parametrize(("name", "why"), REFUSED.items())
def test_what_is_no_command_is_refused_with_its_reason(name: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        read(ENTRIES[name])


def written_back(entry: Entry, command: CommandLine) -> bool:
    if entry.words:
        return command.argv() == list(entry.words)
    return command.text() == entry.text


@pytest.mark.parametrize("entry", READ)
def test_it_is_written_back_byte_for_byte(entry: Entry) -> None:
    assert written_back(entry, read(entry))


@pytest.mark.parametrize("entry", READ)
def test_it_is_looked_at(entry: Entry) -> None:
    command = read(entry)
    view = CommandView.of(command)
    assert len(view.devices) <= len(command.named("device"))
    assert len(view.chardevs) <= len(command.named("chardev"))
    unknown = {
        note.message.split("'")[1].lstrip("-")
        for note in command.notes if "is no option" in note.message
    }  # fmt: skip
    assert unknown <= UNKNOWN


@pytest.mark.parametrize("entry", READ)
def test_its_words_are_the_shells(entry: Entry) -> None:
    command = read(entry)
    if entry.words or any(word.operator for word in command.words):
        return
    if re.search(r"[$`]|\\\r?\n.*\r|\r", entry.text):
        return
    plain = re.sub(r"\\\n", "", entry.text)
    assert [word.value for word in command.words] == shlex.split(plain, comments=True)


@pytest.mark.parametrize("entry", READ)
def test_no_change_changes_nothing(entry: Entry) -> None:
    command = read(entry)
    same = [ReplaceValue(o, o.value) for o in command.options if o.value is not None]
    after = edited(command, same)
    assert after.argv() == command.argv()
    assert edited(command, ()).text() == command.text()


@pytest.mark.parametrize("entry", READ)
def test_a_changed_device_leaves_all_else_as_it_was(entry: Entry) -> None:
    command = read(entry)
    for option in command.named("device"):
        after = edited(command, [SetKey(option, "x-test", "7")])
        changed = after.options[command.options.index(option)]
        assert changed.params.get("x-test") == "7"
        assert {**option.params.values, "x-test": "7"} == dict(changed.params.values)
        if command.source is not None:
            word = command.words[option.last]
            source = command.source
            assert after.text().startswith(source[: word.start])
            assert after.text().endswith(source[word.end :])
        others = [o.value for o in command.options if o is not option]
        assert others == [o.value for o in after.options if o is not changed]


@pytest.mark.parametrize("entry", READ)
def test_it_is_judged_and_what_is_mended_is_judged_right(entry: Entry) -> None:
    command = read(entry)
    arch = CommandView.of(command).arch or "x86_64"
    capabilities = Capabilities((7, 2, 0), arch)
    guest = profile.unknown(arch if arch in ARCHITECTURES else "x86_64")
    verdict = judge(command, capabilities, guest)
    assert all(finding.happens and finding.fix for finding in verdict.findings)
    if not verdict.changes:
        assert verdict.command.text() == command.text()
    again = judge(verdict.command, capabilities, guest)
    assert again.changes == ()
    assert again.command.text() == verdict.command.text()


def test_the_round_trip_can_fail() -> None:
    entry = ENTRIES["shapes/crlf"]
    assert not written_back(entry, CommandLine.parse(entry.text.replace("\r", "")))


# ------------------------------------------------------------ command lines that nobody gathered

PLAIN = st.text("abcxyz019._:/=-", min_size=1, max_size=8)
ODD = st.text("ab ,,='\"\\$`\n\t#;&<>(){}é機~!*?", max_size=8)
VALUE = st.one_of(PLAIN, ODD)
KEY = st.sampled_from(("id", "path", "chardev", "bus", "addr", "server", "driver", "x-y", "a.b"))
OPTIONS = st.sampled_from(("-device", "-chardev", "-serial", "-object", "-name", "--drive", "-M"))
PAIRS = st.lists(
    st.one_of(
        st.builds(lambda k, v: f"{k}={v.replace(',', ',,')}", KEY, VALUE),
        st.sampled_from(("server", "nowait", "isa-serial", "pty")),
    ),
    min_size=1,
    max_size=4,
).map(",".join)
JSON = st.dictionaries(KEY, st.one_of(VALUE, st.booleans(), st.integers(0, 99)), max_size=3).map(
    lambda found: __import__("json").dumps(found, ensure_ascii=False)
)


def single(value: str) -> str:
    return "'" + value.replace("'", "'\\''") + "'"


def double(value: str) -> str:
    return '"' + re.sub(r'(["$`\\])', r"\\\1", value) + '"'


def escaped(value: str) -> str:
    parts = (f"'{char}'" if char == "\n" else f"\\{char}" for char in value)
    return "".join(parts) or "''"


QUOTES = st.sampled_from((shlex.quote, single, double, escaped))
WORD = st.tuples(st.one_of(PAIRS, JSON, VALUE), QUOTES)
GAP = st.sampled_from((" ", "  ", " \\\n", " \\\n  ", "\t", " \\\r\n\t"))
OPTION = st.tuples(OPTIONS, GAP, WORD, GAP)
HEAD = st.sampled_from(
    ("", "exec ", "A=b ", "sudo -u qemu ", "# a comment\n", "#!/bin/sh\nset -e\n", "nice -n 5 ")
)
TAIL = st.sampled_from(("", "\n", " \n", " >log", " &", "\n# end\n", " ; ls"))


@settings(deadline=None)
@given(HEAD, st.lists(OPTION, max_size=5), TAIL)
def test_any_command_line(head: str, options: list[tuple], tail: str) -> None:  # type: ignore[type-arg]
    text = f"{head}qemu-system-x86_64 "
    wanted = []
    for number, (flag, gap, (value, quote), after) in enumerate(options, 1):
        # A continued line before a line's end would go on with what follows it.
        last = number == len(options) and tail.startswith("\n")
        text += f"{flag}{gap}{quote(value)}{'' if last else after}"
        wanted.append((flag.lstrip("-"), value))
    text = text.rstrip(" ") if not wanted else text
    text += tail
    try:
        command = CommandLine.parse(text)
    except VmserialError:
        assert text.endswith("\\")
        return
    assert command.text() == text
    assert [(option.name, option.value) for option in command.options] == wanted
    assert CommandLine.from_words(command.argv()).argv() == command.argv()
    for option in command.named("device"):
        try:
            after = edited(command, [SetKey(option, "id", "a,b")])
        except VmserialError:
            continue
        index = command.options.index(option)
        assert after.options[index].params.get("id") == "a,b"
        assert len(after.options) == len(command.options)


TEXT = st.text("ab01._:/,=- é", max_size=8)


@settings(deadline=None)
@given(st.lists(st.tuples(KEY, TEXT), max_size=5))
def test_any_readconfig_file(pairs: list[tuple[str, str]]) -> None:
    lines = ["# a file", '[device "d"]', *(f'  {key} = "{value}"' for key, value in pairs)]
    command = CommandLine.parse("qemu-system-x86_64 -readconfig a.cfg")
    view = CommandView.of(command, read_file=lambda _: "\n".join(lines))
    option = view.options[1]
    assert (option.name, option.in_file) == ("device", True)
    assert dict(option.params.values) == {"id": "d", **dict(pairs)}
    assert command.text() == "qemu-system-x86_64 -readconfig a.cfg"


MEMBERS = st.dictionaries(
    st.text("ab-. é\"\\", max_size=3),
    st.none() | st.booleans() | st.integers() | st.floats() | st.text("a,:{}\"\\ é", max_size=4)
    | st.dictionaries(st.text("z", max_size=1), st.integers(), max_size=1),
    max_size=4,
)  # fmt: skip


@given(MEMBERS, st.booleans(), st.sampled_from([(",", ":"), (" , ", " : ")]), st.data())
@settings(deadline=None, max_examples=300)
def test_the_short_way_to_read_json_reads_the_same(
    members: dict[str, object], ascii: bool, separators: tuple[str, str], data: st.DataObject
) -> None:
    """Most objects are flat, and read at once; whatever is not goes the long way."""
    text = json.dumps(members, ensure_ascii=ascii, separators=separators)
    if data.draw(st.booleans()):
        at = data.draw(st.integers(1, len(text)))
        text = text[:at] + data.draw(st.sampled_from('{}",:\\ \n1-0trul[')) + text[at:]
    short = params._flat_items(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(params, "_flat_items", lambda _: None)
        try:
            long = params._json_items(text, "here")
        except ConfigError:
            assert short is None
        else:
            assert short is None or short == long
