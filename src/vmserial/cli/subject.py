"""The one place that tells what a verb is about, and reads it.

A VM's number, a file, a pipe, standard input, shell text in one argument, the words after
``--``, a libvirt domain's name, or options alone: :func:`resolved` reads it once and tells by
its content what it is (:mod:`vmserial.sources.detect`).  Without click.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

from vmserial.cli.vm_options import VmOptions
from vmserial.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from vmserial.model import Finding
    from vmserial.pve.tree import Place

Kind = Literal["command", "domain", "pve", "machine"]

ARGUMENT = "the argument"
"""What messages call shell text that was given in one argument."""

OF_DOMAIN = "domain "
"""What the name of a domain begins with that was read by its name."""
_VMID = re.compile(r"[1-9][0-9]{0,8}\Z")
_DOMAIN_NAME = re.compile(r"[A-Za-z0-9_][\w.+:@-]{0,127}\Z")
_STDIN = frozenset({"-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"})
_ENDINGS = (".conf", ".toml", ".xml", ".sh", ".txt", ".log", ".cfg", ".yaml", ".yml", ".json")
_VIRSH_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Input:
    """What a verb is about.

    Attributes:
        kind: the module ``cli/subject_<kind>.py`` knows it; ``machine`` is TOML, or options
            alone.
        name: what messages call it; empty for words after ``--`` and for options alone.
        raw: its bytes; empty for words and for options alone.
        path: the file that it stands in and can be written back to; empty if there is none.
        words: a command that was given word by word.
        place: a PVE VM's place in a tree; None where a configuration stands for itself.
    """

    kind: Kind
    name: str = ""
    raw: bytes = b""
    path: str = ""
    words: tuple[str, ...] = ()
    place: Place | None = None

    @property
    def vmid(self) -> int:
        """The number that a PVE configuration's place or name tells; 0 if nothing does."""
        if self.place is not None:
            return self.place.vmid
        match = re.search(r"(?:\A|/)([1-9][0-9]{0,8})\.conf\Z", self.name)
        return int(match[1]) if match else 0

    @property
    def given(self) -> bool:
        """There is an input: not options alone."""
        return bool(self.name or self.words)


@dataclass(frozen=True, slots=True)
class FixWords:
    """What was asked of `doctor` or `fix` beside the VM itself.

    Attributes:
        diff: show what would change.
        apply: write it in its place.
        output: write it here; ``-`` is stdout.
        pretty: a command line with one option a line.
        way: of a PVE VM: ``args`` or ``shim``; empty is ``args``.
        logs: a directory: each port that keeps no log gets one there.
        as_json: print JSON.
        live_probe: ask a paused QEMU as well.
        boot: prove it on a test guest as well.
        no_check: of `fix`: do not ask a paused QEMU whether the change makes it worse.
        named: what is wrong is only named; what mends it is not asked.
    """

    diff: bool = False
    apply: bool = False
    output: str = ""
    pretty: bool = False
    way: str = ""
    logs: str = ""
    as_json: bool = False
    live_probe: bool = False
    boot: bool = False
    no_check: bool = False
    named: bool = False


class Subject(Protocol):
    """A module that knows one kind of subject: ``cli/subject_<kind>.py``."""

    def doctor(self, asked: VmOptions, words: FixWords) -> tuple[list[Finding], str]:
        """Return what is wrong, and what it is about in a few words."""

    def fix(self, asked: VmOptions, words: FixWords) -> int:
        """Mend it, print or write it, and return the exit code."""


def module_of(kind: Kind) -> Subject:
    """Return the module that knows a kind of subject."""
    import importlib

    module: Any = importlib.import_module(f"vmserial.cli.subject_{kind}")
    subject: Subject = module
    return subject


def resolved(asked: VmOptions) -> VmOptions:
    """Return ``asked`` with its input read: ``given`` is set, ``input`` is what messages call it.

    Raises:
        UsageError: it cannot be read, or two inputs are given.
        ConfigError: it is nothing that describes a VM.
    """
    if asked.given is not None:
        return asked
    found = _input(asked)
    _refuse_places(asked, found)
    return replace(asked, input=found.name, given=found)


def _refuse_places(asked: VmOptions, found: Input) -> None:
    """Refuse what says where an input is looked for that was not looked for there."""
    if asked.root != "/" and not _VMID.match(asked.input):
        raise UsageError(
            "--root says where a PVE VM's number is looked up, and none is given",
            hint="give a VM's number, or --all of doctor and fix", where="--root",
        )  # fmt: skip
    if asked.connect and not found.name.startswith(OF_DOMAIN):
        raise UsageError(
            "--connect is about a libvirt domain's name, and none is given",
            hint="give the name that 'virsh list --all' shows", where="--connect",
        )  # fmt: skip


def input_of(asked: VmOptions) -> Input:
    """Return what a verb is about, as :func:`resolved` finds it."""
    found = resolved(asked).given
    assert found is not None
    return found


def _input(asked: VmOptions) -> Input:
    text = asked.input
    if asked.command:
        if text:
            raise UsageError(
                f"{text} and a command after -- are two inputs", hint="give one of them",
                where="--",
            )  # fmt: skip
        return Input("command", words=asked.command)
    if not text:
        if _says_a_vm(asked) or not _stdin_is_for_us():
            return Input("machine")
        _await_stdin()
    if text in {"", *_STDIN}:
        return _told(_stdin(), "stdin")
    if _VMID.match(text):
        return _of_tree(asked, int(text))
    if not os.path.lexists(text):
        if _is_text(text):
            return _told(text.encode("utf-8", "surrogateescape"), ARGUMENT)
        if _DOMAIN_NAME.match(text) and not text.lower().endswith(_ENDINGS):
            return _told(_dumpxml(text, asked.connect), f"{OF_DOMAIN}{text}")
    return _of_file(asked, text)


def _says_a_vm(asked: VmOptions) -> bool:
    """Tell whether options alone describe a VM, so that stdin is somebody else's."""
    return bool(asked.arch or asked.ports is not None or asked.machine_type)


def _is_text(text: str) -> bool:
    return any(char.isspace() for char in text) or text.startswith("<")


def _told(raw: bytes, name: str, path: str = "", place: Place | None = None) -> Input:
    from vmserial.sources.detect import detect

    kind = detect(raw, name)
    return Input("machine" if kind == "toml" else kind, name, raw, path, (), place)


def _of_file(asked: VmOptions, path: str) -> Input:
    from vmserial.sources import read_bytes

    found = _told(read_bytes(path), path)
    # A pipe, <(...) or a device is read once: there is nothing to write back to.
    regular = stat.S_ISREG(os.stat(path).st_mode)  # noqa: PTH116 - pathlib takes 4 ms
    place = place_in_tree(path) if found.kind == "pve" else None
    if place is not None and asked.vmid is not None:
        place = replace(place, vmid=asked.vmid)
    return replace(found, path=path if regular else "", place=place)


def place_in_tree(path: str) -> Place | None:
    """Return the place of a configuration within a tree, which has its own lock and host."""
    wanted = f"{os.sep}etc{os.sep}pve{os.sep}"
    if wanted not in os.path.abspath(path) and wanted not in os.path.realpath(path):  # noqa: PTH100
        return None
    from pathlib import Path

    from vmserial.pve import tree

    try:
        place = tree.of_path(Path(path))
    except UsageError:
        return None
    return place if place.root is not None else None


def _of_tree(asked: VmOptions, vmid: int) -> Input:
    from pathlib import Path

    from vmserial.pve import tree

    try:
        place = tree.find(Path(asked.root), vmid)
    except UsageError as error:
        if asked.root != "/":
            raise
        raise UsageError(
            error.message if error.message.startswith("there is no VM") else
            f"{vmid} is taken for a PVE VM's number, and this is no PVE host",
            hint=error.hint if error.message.startswith("there is no VM") else
            f"give its file ({vmid}.conf), or --root and a copy of the host's files",
            where=asked.root,
        ) from None  # fmt: skip
    conf = tree.read(place)
    return Input("pve", str(place.path), conf.raw, str(place.path), (), place)


# ------------------------------------------------------------------ standard input


def _stdin_is_for_us() -> bool:
    """Tell whether somebody pipes or redirects something into us, which nothing else says."""
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (OSError, ValueError, AttributeError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISREG(mode)


def _await_stdin() -> None:
    """Wait for what is piped into us without a word of the user's.

    Raises:
        UsageError: nothing comes: the pipe is most likely not meant for us.
    """
    import select

    from vmserial.sources import WAIT_SECONDS

    if not select.select([sys.stdin.fileno()], [], [], WAIT_SECONDS)[0]:
        raise UsageError(
            f"nothing describes a VM, and nothing came from stdin for {WAIT_SECONDS:g} s",
            hint="give a file, a VM's number, a command after --, or --arch and --ports; "
            "- waits for stdin as long as it takes",
        )


def _stdin() -> bytes:
    from vmserial.sources import MAX_BYTES
    from vmserial.sources.detect import refused_binary

    try:
        raw = sys.stdin.buffer.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(
            f"stdin cannot be read: {error.strerror}", hint="give a file", where="stdin"
        ) from None
    if len(raw) > MAX_BYTES:
        raise refused_binary(raw[: 1 << 16], "stdin") or ConfigError(
            f"more than {MAX_BYTES >> 20} MiB come in: that is no configuration",
            hint="give the configuration, not a disk or a kernel", where="stdin",
        )  # fmt: skip
    return raw


# ------------------------------------------------------------------ libvirt


def _dumpxml(name: str, connect: str) -> bytes:
    """Return a domain's XML as virsh gives it.

    Raises:
        UsageError: there is no virsh, or it does not give it.
    """
    import shutil
    import subprocess

    pipe = f"virsh dumpxml {name} | vmserial doctor -"
    virsh = shutil.which("virsh")
    if virsh is None:
        raise UsageError(
            f"there is no file {name}, and no virsh to ask for a domain of that name",
            hint=f"check the path; or run this where libvirt is: {pipe}",
            where=name,
        )
    words = [virsh, *(("-c", connect) if connect else ()), "dumpxml", "--", name]
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, timeout=_VIRSH_SECONDS,
            env={**os.environ, "LC_ALL": "C.UTF-8"},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        said = str(error)
    else:
        if done.returncode == 0:
            return done.stdout
        said = done.stderr.decode("utf-8", "replace").strip().removeprefix("error: ")
        said = said.replace("\nerror: ", ": ")
    raise UsageError(
        f"there is no file {name}, and virsh does not give a domain of that name: {said}",
        hint="'virsh list --all' shows the names; --connect qemu:///system names another libvirt",
        where=name,
    )
