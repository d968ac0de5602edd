"""An edit of a command line changes its option and no other byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_command_document import LIBVIRT, PVE, SCRIPT

from vmserial.errors import UsageError
from vmserial.options import Option
from vmserial.sources.command import (
    CommandLine,
    CommandOption,
    CommandView,
    InsertAfter,
    Remove,
    RemoveKey,
    ReplaceValue,
    SetKey,
    edited,
)

USB = Option("-device", "usb-serial", (("chardev", "serial1"), ("bus", "xhci.0")))


def last(command: CommandLine, name: str) -> CommandOption:
    return command.named(name)[-1]


def test_pve_repair() -> None:
    command = CommandLine.parse(PVE)
    option = last(command, "device")
    line = "  -device 'isa-serial,chardev=serial1' \\\n"
    xhci = Option("-device", "qemu-xhci", (("id", "xhci"), ("addr", "0x1d")))
    result = edited(command, [InsertAfter(option, (xhci, USB)), Remove(option)])
    assert result.text() == PVE.replace(
        line,
        "  -device 'qemu-xhci,id=xhci,addr=0x1d' \\\n"
        "  -device 'usb-serial,chardev=serial1,bus=xhci.0' \\\n",
    )
    assert edited(command, [Remove(option)]).text() == PVE.replace(line, "")
    replaced = edited(command, [SetKey(option, "driver", "pci-serial"), SetKey(option, "id", "a")])
    assert replaced.text() == PVE.replace(
        "'isa-serial,chardev=serial1'", "'pci-serial,chardev=serial1,id=a'"
    )


def test_libvirt_repair() -> None:
    command = CommandLine.parse(LIBVIRT)
    result = edited(
        command,
        [
            SetKey(last(command, "device"), "nr", 4),
            RemoveKey(last(command, "chardev"), "logappend"),
            InsertAfter(None, (USB,)),
        ],
    )
    assert result.text() == LIBVIRT.replace('"nr":3', '"nr":4').replace(
        ",logappend=on", ""
    ).replace(
        "-msg timestamp=on", "-msg timestamp=on \\\n-device usb-serial,chardev=serial1,bus=xhci.0"
    )


def test_two_on_one_line() -> None:
    text = "kvm \\\n  -m 1 -smp 2 \\\n  -serial pty\n"
    command = CommandLine.parse(text)
    assert edited(command, [Remove(command.options[0])]).text() == text.replace("-m 1 ", "")
    assert edited(command, [Remove(command.options[1])]).text() == text.replace(" -smp 2", "")
    assert edited(command, [Remove(command.options[2])]).text() == "kvm \\\n  -m 1 -smp 2\n"
    everything = edited(command, [Remove(option) for option in command.options])
    assert everything.argv() == ["kvm"]


def test_comments_and_tail_stay() -> None:
    text = "kvm -m 1\n# the port\n-serial pty\n# the rest\n-S >log &\n"
    command = CommandLine.parse(text)
    result = edited(command, [Remove(command.named("serial")[0])])
    assert result.argv() == ["kvm", "-m", "1", "-S"]
    assert "# the port" in result.text()
    assert "# the rest" in result.text()
    assert result.text().endswith("-S >log &\n")


def test_quoting_follows_the_neighbours() -> None:
    command = CommandLine.parse("kvm -name \"a\" -append 'b' -m 1 -serial pty")
    edits = [ReplaceValue(option, "x y") for option in command.options]
    assert edited(command, edits).text() == "kvm -name \"x y\" -append 'x y' -m 'x y' -serial 'x y'"
    edits = [ReplaceValue(option, "$x'`") for option in command.options]
    assert edited(command, edits).argv()[2::2] == ["$x'`"] * 4


def test_list_of_words() -> None:
    command = CommandLine.from_words(["kvm", "-serial", "pty", "-S"])
    result = edited(
        command,
        [InsertAfter(command.options[0], (USB,)), ReplaceValue(command.options[0], "a b")],
    )
    assert result.argv() == ["kvm", "-serial", "a b", *USB.argv(), "-S"]
    assert edited(result, [Remove(result.options[0])]).argv() == ["kvm", *USB.argv(), "-S"]


def test_what_cannot_be_done() -> None:
    command = CommandLine.parse("kvm -S -serial pty -readconfig f")
    alone, serial, _ = command.options
    with pytest.raises(UsageError, match="takes no value"):
        edited(command, [ReplaceValue(alone, "x")])
    with pytest.raises(UsageError, match="both"):
        edited(command, [Remove(serial), ReplaceValue(serial, "x")])
    with pytest.raises(UsageError, match="NUL"):
        edited(command, [ReplaceValue(serial, "\0")])
    with pytest.raises(UsageError, match="not an option of this"):
        edited(CommandLine.parse("kvm -m 1"), [Remove(serial)])
    view = CommandView.of(command, read_file=lambda _: '[device "x"]\n')
    with pytest.raises(UsageError, match="stands in a file"):
        edited(command, [Remove(view.options[-1])])


# ------------------------------------------------------------------ properties

documents = st.sampled_from([PVE, LIBVIRT, SCRIPT])
values = st.text(st.characters(exclude_characters="\0", codec="utf-8"))


def others(command: CommandLine, without: int) -> list[tuple[str, str | None]]:
    pairs = [(option.flag, option.value) for option in command.options]
    return pairs[:without] + pairs[without + 1 :]


@given(documents, st.integers(0, 99), values)
def test_a_new_value_touches_only_its_word(text: str, number: int, value: str) -> None:
    command = CommandLine.parse(text)
    valued = [option for option in command.options if option.value is not None and option.flag]
    option = valued[number % len(valued)]
    result = edited(command, [ReplaceValue(option, value)])
    index = command.options.index(option)
    assert result.options[index].value == value
    assert others(result, index) == others(command, index)
    word, new = command.words[option.last], result.words[option.last]
    assert result.text()[: new.start] == text[: word.start]
    assert result.text()[new.end :] == text[word.end :]


@given(documents, st.integers(0, 99))
def test_a_removed_option_takes_nothing_with_it(text: str, number: int) -> None:
    command = CommandLine.parse(text)
    index = number % len(command.options)
    result = edited(command, [Remove(command.options[index])])
    assert [(o.flag, o.value) for o in result.options] == others(command, index)
    assert [w.source for w in result.words[result.tail :]] == [
        w.source for w in command.words[command.tail :]
    ]


@given(documents, st.integers(0, 99), values, values)
def test_an_added_option_stands_where_it_was_put(
    text: str, number: int, first: str, second: str
) -> None:
    command = CommandLine.parse(text)
    index = number % len(command.options)
    new = (Option("-append", raw=first), Option("-name", second or "a", (("process", first),)))
    result = edited(command, [InsertAfter(command.options[index], new)])
    pairs = [(option.flag, option.value) for option in result.options]
    assert pairs[index + 1 : index + 3] == [("-append", first), ("-name", new[1].value())]
    assert pairs[: index + 1] + pairs[index + 3 :] == [(o.flag, o.value) for o in command.options]


def test_options_alone_as_the_article_shows_them() -> None:
    text = (
        "-chardev 'socket,id=serial0,path=/var/run/qemu-server/142.serial0,server=on,wait=off' \\\n"
        "-serial chardev:serial0 \\\n"
        "-chardev pty,id=charserial1\n"
        "-device 'isa-serial,chardev=serial1' \\\n"
    )
    command = CommandLine.parse(text)
    assert command.program == ""
    assert command.text() == text
    assert [option.name for option in command.options] == ["chardev", "serial", "chardev", "device"]
    result = edited(command, [SetKey(last(command, "device"), "driver", "pci-serial")])
    assert result.text() == text.replace("isa-serial", "pci-serial")
    assert edited(command, [Remove(command.options[0])]).options[0].name == "serial"


def test_a_line_broken_within_quotes_is_noted() -> None:
    command = CommandLine.parse("kvm -append 'root=x \\\n  -v'")
    assert "within single quotes" in command.notes[0].message
    assert command.text().endswith("-v'")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("isa-serial,", "isa-serial,id=a"),
        ("isa-serial", "isa-serial,id=a"),
        ("file,path=/a,,", "file,path=/a,,,id=a"),
        ("file,path=/a,,,", "file,path=/a,,,id=a"),
    ],
)
def test_a_comma_at_the_end_is_not_doubled(value: str, expected: str) -> None:
    command = CommandLine.from_words(["qemu-system-x86_64", "-device", value])
    changed = edited(command, [SetKey(command.options[0], "id", "a")])
    assert changed.options[0].value == expected
    assert changed.options[0].params.get("id") == "a"


def test_a_number_before_a_removed_option_does_not_become_a_file_descriptor() -> None:
    command = CommandLine.parse("qemu-system-x86_64 -smp 2 -S>out 2>&1\n")
    result = edited(command, [Remove(command.named("S")[0])])
    assert result.text() == "qemu-system-x86_64 -smp 2 >out 2>&1\n"


def test_a_key_that_a_later_set_gives_is_changed_there() -> None:
    text = (
        "qemu-system-x86_64 -set device.x.addr=4 -device pci-serial,id=x,addr=5 "
        "-set device.x.addr=6 -set device.y.addr=7"
    )
    command = CommandLine.parse(text)
    device = next(option for option in command.options if option.name == "device")
    changed = edited(command, [SetKey(device, "addr", "9")])
    assert changed.text() == text.replace("x.addr=6", "x.addr=9")
    assert CommandView.of(changed).devices[0].get("addr") == "9"
    removed = edited(command, [RemoveKey(device, "addr")])
    assert CommandView.of(removed).devices[0].get("addr") == ""
    assert "-set device.y.addr=7" in removed.text()
