"""One check for each parser: what must hold whatever the bytes are.

Each takes an input and returns nothing.  Only a VmserialError may come out of a
parser, with words and a hint; whatever else comes out of a check is a defect.
The fuzzer (``run.py``) and the replay in the unit tests call the same checks.
"""

from __future__ import annotations

from collections.abc import Callable

from vmserial.errors import VmserialError
from vmserial.guests import profile
from vmserial.judging import judge
from vmserial.judging.domain import judge as judge_domain
from vmserial.model import Capabilities
from vmserial.sources import toml
from vmserial.sources.command import (
    CommandLine,
    CommandView,
    Remove,
    RemoveKey,
    SetKey,
    edited,
)
from vmserial.sources.libvirt import Document as DomainDocument
from vmserial.sources.libvirt import Domain
from vmserial.sources.libvirt import machine as domain_machine
from vmserial.sources.pve import Document, machine

ARM = Capabilities((7, 2, 0), "aarch64", onboard_uarts={"virt": 1})
GUEST = profile.unknown("aarch64")


def said(error: VmserialError) -> None:
    """Hold an error to what every error has to say, in words that can be printed."""
    assert error.message, "an error without words"
    assert error.hint, f"{error.message!r} has no hint"
    str(error)


def conf(data: bytes) -> None:
    """A PVE configuration: never refused as a document, written back as it was."""
    text = data.decode("utf-8", "surrogateescape")
    document = Document.parse(text, "142.conf")
    assert document.text() == text, "not written back as it was"
    for snapshot in (None, *list(document.snapshots)[:2]):
        try:
            machine(document, 142, snapshot=snapshot, pending=snapshot is None)
        except VmserialError as error:
            said(error)


def argv(data: bytes) -> None:
    """A command line: written back as it was, mended to a fixed point, edited where asked.

    With NUL bytes it is a list of words, as in /proc/PID/cmdline.
    """
    command = argv_read(data)
    if command is None:
        return
    try:
        mended = judge(command, ARM, GUEST)
        again = judge(mended.command, ARM, GUEST) if mended.changes else mended
        assert not (mended.changes and again.changes), "what was mended is mended again"
    except VmserialError as error:
        said(error)
        return
    if command.options:
        # One of them, so that an input takes little time; the input's length says which.
        _edit(command, len(data) % len(command.options))


def argv_read(data: bytes) -> CommandLine | None:
    """Read a command line as text, or as words, and look at it; None if it is refused."""
    text = data.decode("utf-8", "surrogateescape")
    try:
        if "\0" in text:
            words = text.split("\0")
            command = CommandLine.from_words(words)
            assert [word.value for word in command.words] == words, "words were changed"
        else:
            command = CommandLine.parse(text)
            assert command.text() == text, "not written back as it was"
        # -readconfig files hold the input itself, so that their reader is fuzzed as well.
        CommandView.of(command, read_file=lambda _: text)
    except VmserialError as error:
        said(error)
        return None
    return command


def _edit(command: CommandLine, number: int) -> None:
    option = command.options[number]
    before = [(o.name, o.value) for o in command.options]
    try:
        removed = edited(command, [Remove(option)])
        # Words, not options: without it a word can become the argument of an unknown option.
        words = [word.value for word in command.words]
        left = words[: option.first] + words[option.last + 1 :]
        assert [word.value for word in removed.words] == left, f"{option} was not removed"
        if option.value is None:
            return
        changed = edited(command, [SetKey(option, "id", "a b")])
        assert changed.options[number].params.get("id") == "a b", f"{option}: id was not set"
        again = edited(changed, [RemoveKey(changed.options[number], "id")])
        assert not again.options[number].params.get("id"), f"{option}: id was not removed"
        for result in (changed, again):
            got = [(o.name, o.value) for o in result.options]
            got[number] = before[number]
            assert got == before, f"an edit of {option} changed another option"
    except VmserialError as error:
        said(error)


def toml_(data: bytes) -> None:
    """Our own format."""
    try:
        toml.read(data.decode("utf-8", "surrogateescape"), "vm.toml")
    except VmserialError as error:
        said(error)


def xml(data: bytes) -> None:
    """A libvirt domain: its bytes kept, mended to a document again."""
    document = xml_read(data)
    if document is None:
        return
    try:
        verdict = judge_domain(document, ARM, GUEST)
        DomainDocument.parse(verdict.document.raw, "mended.xml")
    except VmserialError as error:
        said(error)


def xml_read(data: bytes) -> DomainDocument | None:
    """Read a domain and make a Machine of it; None if it is no document."""
    try:
        document = DomainDocument.parse(data, "vm.xml")
    except VmserialError as error:
        said(error)
        return None
    assert document.edited(()).raw == data, "not written back as it was"
    try:
        domain_machine(Domain.of(document))
    except VmserialError as error:
        said(error)
    return document


TARGETS: dict[str, Callable[[bytes], None]] = {
    "conf": conf,
    "argv": argv,
    "toml": toml_,
    "xml": xml,
}
