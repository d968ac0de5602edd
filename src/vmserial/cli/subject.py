"""What `doctor` and `fix` are about: a command, a libvirt domain, a PVE VM, a configuration."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import click

from vmserial.cli.asked import Asked
from vmserial.cli.options import with_options

if TYPE_CHECKING:
    from vmserial.model import Finding

Kind = Literal["command", "domain", "pve", "machine"]

_VMID = re.compile(r"[1-9][0-9]{0,8}\Z")
_LOOK = 4096
"""Bytes of a file that tell what it is."""


@dataclass(frozen=True, slots=True)
class FixWords:
    """What was asked of `doctor` or `fix` beside the VM itself.

    Attributes:
        diff: show what would change.
        apply: write it in its place.
        output: write it here; ``-`` is stdout.
        pretty: a command line with one option a line.
        way: of a PVE VM: ``args`` or ``shim``.
        root: the directory that stands for ``/`` of a PVE host.
        logs: a directory: each port that keeps no log gets one there.
        as_json: print JSON.
        command: the words after ``--``.
        live_probe: ask a paused QEMU as well.
        boot: prove it on a test guest as well.
        no_check: of `fix`: do not ask a paused QEMU whether the change makes it worse.
    """

    diff: bool = False
    apply: bool = False
    output: str = ""
    pretty: bool = False
    way: str = "args"
    root: str = "/"
    logs: str = ""
    as_json: bool = False
    command: tuple[str, ...] = ()
    live_probe: bool = False
    boot: bool = False
    no_check: bool = False


class Subject(Protocol):
    """A module that knows one kind of subject: ``cli/subject_<kind>.py``."""

    def doctor(self, asked: Asked, words: FixWords) -> tuple[list[Finding], str]:
        """Return what is wrong, and what it is about in a few words."""

    def fix(self, asked: Asked, words: FixWords) -> int:
        """Mend it, print or write it, and return the exit code."""


class CommandAfterDashes(click.Command):
    """Keeps the words after ``--`` apart: they are a QEMU command line, not ours."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Cut at the first ``--``."""
        if "--" in args:
            at = args.index("--")
            ctx.meta["vmserial.command"] = tuple(args[at + 1 :])
            args = args[:at]
        return super().parse_args(ctx, args)


_SHARED = (
    click.option("--root", default="/", metavar="DIR", type=click.Path(),
                 help="The directory that stands for / of a PVE host: a copy of its files."),
)  # fmt: skip


def fix_words(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb its :class:`FixWords` as ``words``, from the options it has."""

    @functools.wraps(function)
    def collected(**given: Any) -> Any:
        # --json is every verb's own.
        names = FixWords.__dataclass_fields__.keys() - {"as_json"}
        mine = {name: given.pop(name) for name in names if name in given}
        mine["command"] = click.get_current_context().meta.get("vmserial.command", ())
        return function(words=FixWords(**mine), **given)

    return with_options(_SHARED)(collected)


def kind_of(asked: Asked, words: FixWords) -> Kind:
    """Tell what a verb is about.

    Raises:
        click.UsageError: a file and a command line are given together.
    """
    if words.command:
        if asked.input:
            raise click.UsageError(f"{asked.input} and a command after -- are two; give one")
        return "command"
    if asked.input == "-":
        return "command"
    if _VMID.match(asked.input):
        return "pve"
    if not asked.input:
        return "machine"
    name = asked.input.lower()
    if name.endswith((".toml", ".conf")):
        return "machine" if name.endswith(".toml") else "pve"
    start = _start_of(asked.input)
    if name.endswith(".xml") or start.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return "domain"
    if re.search(rb"(?:\A|[\s/'\"])(?:qemu-system-[a-z0-9_]+|qemu-kvm|kvm)['\"]?\s+", start):
        return "command"
    return "machine"


def module_of(kind: Kind) -> Subject:
    """Return the module that knows a kind of subject."""
    import importlib

    module: Any = importlib.import_module(f"vmserial.cli.subject_{kind}")
    subject: Subject = module
    return subject


def _start_of(path: str) -> bytes:
    """Return how a file begins; nothing for a pipe, or for what cannot be read."""
    try:
        if not os.path.isfile(path):  # noqa: PTH113 - the rest of the way is os, too
            return b""
        with open(path, "rb") as file:  # noqa: PTH123 - as above
            return file.read(_LOOK)
    except (OSError, ValueError):
        return b""
