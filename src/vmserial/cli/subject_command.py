"""A QEMU command line: after ``--``, on stdin, or in a file."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from vmserial.cli.gather import guest_profile, tell
from vmserial.cli.hints import call, of_this_vm
from vmserial.cli.host_facts import facts, here
from vmserial.cli.named import ids
from vmserial.cli.never_worse import refused
from vmserial.cli.output import complain, print_json
from vmserial.cli.repaired import finish, write
from vmserial.cli.subject import ARGUMENT, FixWords, input_of
from vmserial.cli.vm_options import VmOptions
from vmserial.errors import BinaryError, UsageError
from vmserial.sources import read_file

if TYPE_CHECKING:
    from vmserial.judging import Judgement
    from vmserial.model import Capabilities, Finding
    from vmserial.sources.command import CommandLine


def doctor(asked: VmOptions, words: FixWords) -> tuple[list[Finding], str]:
    """Return what is wrong with a command line."""
    command = read(asked)
    verdict, capabilities = judged(asked, words, command)
    left = {finding.id for finding in verdict.left}

    findings = _hinted(
        verdict.findings, asked, command, capabilities.target,
        mended={change.id for change in verdict.changes} - left,
    )  # fmt: skip
    if words.live_probe:
        from vmserial.cli.live_findings import probed

        findings += probed(command, capabilities.target, capabilities.binary, findings)
    if words.boot:
        from vmserial.cli.live_findings import booted

        findings += booted(command, asked, capabilities.binary)
    return findings, "the command"


def _hinted(
    findings: Iterable[Finding],
    asked: VmOptions,
    command: CommandLine,
    arch: str,
    mended: Collection[str] = (),
) -> list[Finding]:
    """Return findings whose hints name this command's architecture and number of ports."""

    def ports() -> int:
        from vmserial.sources.command import CommandView

        view = CommandView.of(command, arch=arch, read_file=read_file)
        return len(view.onboard) + len(view.serial_devices)

    return of_this_vm(findings, call(asked), arch, ports, mended=mended)


def fix(asked: VmOptions, words: FixWords) -> int:
    """Print the mended command line, or write it where it came from."""
    from vmserial.sources.command.layout import pretty

    command = read(asked)
    verdict, capabilities = judged(asked, words, command)
    worse = refused(words, command, verdict.command, capabilities)
    if worse:
        if words.as_json:
            print_json({"command": command.argv(), "changes": [], "left": [], "worse": worse})
        return 1
    given = input_of(asked)
    text = pretty(verdict.command) if words.pretty else verdict.command.text()
    if given.words or command.source is None or given.name == ARGUMENT:
        text += "\n"  # a list of words, or one argument, has no end of line of its own
    if words.as_json:
        written = write(given.path, words, command.text(), text)
        print_json({**_json(verdict), "written": written})
        return 1 if verdict.left else 0
    return finish(
        asked, words, before=command.text(), after=text, changes=verdict.changes,
        left=_hinted(verdict.left, asked, command, capabilities.target), printed=not given.path,
    )  # fmt: skip


def read(asked: VmOptions, *, quiet: bool = False) -> CommandLine:
    """Read the command line; its notes are told unless ``quiet``.

    Raises:
        UsageError: there is none, or it cannot be read.
    """
    from vmserial.sources.command import CommandLine

    given = input_of(asked)
    if given.words:
        command = CommandLine.from_words(given.words)
    else:
        command = CommandLine.from_bytes(given.raw, given.name)
    if not quiet:
        tell(command.notes)
    return command


def judged(
    asked: VmOptions, words: FixWords, command: CommandLine
) -> tuple[Judgement, Capabilities]:
    """Judge a command line on its own binary, or on this machine's of that architecture.

    What the host has at the command's paths and ports counts, too, if the command's emulator
    is on this machine.

    Args:
        asked: what was asked.
        words: the same.
        command: the command line.

    Raises:
        UsageError: nothing tells its architecture.
        BinaryError: this machine has no such binary.
    """
    from vmserial.judging import RepairPolicy, judge
    from vmserial.machines import ARCHITECTURES
    from vmserial.model import GuestProfile
    from vmserial.sources.command import CommandView

    capabilities = capabilities_of(asked, command)
    known = capabilities.target in ARCHITECTURES
    guest = (
        guest_profile(
            asked, capabilities.target, _last(command, "append"), _last(command, "kernel")
        )
        if known or asked.guest
        else GuestProfile("unknown", assumed=True)
    )
    policy = RepairPolicy(asked.kind or "auto", bool(asked.hotplug), words.logs)
    host = None
    if here(command.program):
        view = CommandView.of(command, arch=capabilities.target, read_file=read_file)
        host = facts(view)
    verdict = judge(command, capabilities, guest, policy, host=host, read_file=read_file)
    return verdict, capabilities


def capabilities_of(asked: VmOptions, command: CommandLine) -> Capabilities:
    """Ask the command's own binary; where this machine does not have it, its like.

    Raises:
        UsageError: nothing tells the architecture.
        BinaryError: this machine has no such binary.
    """
    from vmserial.machines import ARCHITECTURES, architecture
    from vmserial.qemu.binary import find, probe
    from vmserial.sources.command import CommandView

    asked_arch = architecture(asked.arch).name if asked.arch else ""
    view = CommandView.of(command, arch=asked_arch, read_file=read_file)
    arch = view.arch or asked_arch
    if asked_arch and arch != asked_arch:
        raise UsageError(
            f"--arch says {asked_arch}, and the command's emulator is of {arch}",
            hint="leave --arch out", where="--arch",
        )  # fmt: skip
    binary = asked.qemu[0] if asked.qemu else ""
    if not binary and command.program and "$" not in command.program:
        try:
            binary = find(arch, command.program)
        except BinaryError as error:
            if not arch:
                raise UsageError(
                    f"nothing tells the architecture of {command.program!r}",
                    hint="give --arch aarch64 or --arch x86_64", where=command.file,
                ) from None  # fmt: skip
            _check_target(command, arch)
            if command.program != f"qemu-system-{arch}":
                complain(
                    f"vmserial: note: {error.message}; qemu-system-{arch} of this machine is asked"
                )
    if not binary and not arch:
        raise UsageError(
            "nothing tells the architecture of this command",
            hint="give --arch aarch64 or --arch x86_64", where=command.file,
        )  # fmt: skip
    path = find(arch, binary or None)
    machine_type = view.machine_type.partition("+pve")[0]
    if not machine_type and arch in ARCHITECTURES:
        machine_type = ARCHITECTURES[arch].machine_type("")
    if not machine_type:
        machine_type = probe(path, arch=arch).default_machine
    secure = view.machine.get("secure")
    options = (("secure", secure),) if secure else ()
    try:
        return probe(path, machine_types=[machine_type], machine_options=options, arch=arch)
    except BinaryError:
        # A board that does not start for the measurement: the rest is known all the same.
        return probe(path, arch=arch)


def _check_target(command: CommandLine, arch: str) -> None:
    """Refuse a command whose emulator is none of QEMU's.

    Raises:
        UsageError: it is not.
    """
    import difflib  # only the way to an error needs it

    from vmserial.machines import TARGETS

    if arch in TARGETS:
        return
    near = difflib.get_close_matches(arch, TARGETS, 1)
    meant = f"did you mean qemu-system-{near[0]}? " if near else ""
    raise UsageError(
        f"there is no {command.program}: QEMU has no target {arch!r}",
        hint=f"{meant}check the emulator's name; --qemu names another binary, --arch its target",
        where=command.file,
    )


def _last(command: CommandLine, name: str) -> str:
    values = [option.value or "" for option in command.named(name)]
    return values[-1] if values else ""


def _json(verdict: Judgement) -> dict[str, object]:
    return {
        "command": verdict.command.argv(),
        "found": ids(verdict.found),
        "changes": [
            {"id": c.id, "ports": list(c.ports), "text": c.text} for c in verdict.changes
        ],
        "left": [finding.id for finding in verdict.left],
    }  # fmt: skip
