"""The group of verbs, imported one at a time, and the one place where errors become words.

Exit codes: 0 done; 1 something is wrong with the VM (a finding, a refusal, a
failed port); 2 the call or the input is wrong; 3 the VM was lost and nothing is
proven; 70 a defect of vmserial; 130, 141, 143 ended by Ctrl-C, by a reader that
left, by SIGTERM.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import importlib
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from vmserial.errors import VmserialError

BUG_EXIT = 70
"""EX_SOFTWARE of sysexits(3)."""
INTERRUPTED_EXIT = 130
UNWRITABLE_EXIT = 2
BROKEN_PIPE_EXIT = 141

CALL = "vmserial.call"
"""Where click's context keeps the words of the whole command line."""

_NOT_TAKEN = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""A full disk behind stdout, or a terminal that is gone (EIO): no defect of ours."""

VERBS: dict[str, str] = {
    "doctor": "Say what would fail or be silently dead, why, and what to do.",
    "fix": "Mend a QEMU command, a libvirt domain or a PVE VM where it stands.",
    "undo": "Put back what fix --apply or shim install changed.",
    "pve": "List the VMs of a PVE host or of a copy of its files, with what is wrong.",
    "convert": "Write the serial ports in another format: PVE, libvirt, TOML, QEMU command.",
    "showcmd": "Print the QEMU command line.",
    "plan": "Show each port's device, bus, address and guest node, with the reason.",
    "run": "Start the VM in the foreground and say where each port is reached.",
    "verify": "Boot test guests and prove every port in both directions.",
    "report": "Tell of runs of verify together, and compare them with earlier ones.",
    "probe": "Show what a QEMU binary has.",
    "explain": "Say cause and way out of a finding or of an error text.",
    "shim": "Mend what PVE, libvirt or a script starts, without changing it.",
    "guest": "List or fetch the test guests.",
    "completion": "Print the script that completes vmserial's words in your shell.",
}
"""The verbs in the order that teaches; here, so that --help imports none of them."""


class Verbs(click.Group):
    """The verbs; a verb's module is imported when it is called."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:  # fmt: skip
        """Keep the words of the whole command line: a report says how it was called."""
        words = tuple(args)
        made = super().make_context(info_name, args, parent, **extra)
        made.meta[CALL] = words
        return made

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of VERBS."""
        del ctx
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the verb and return it; None if there is no such verb."""
        del ctx
        if cmd_name not in VERBS:
            return None
        module = importlib.import_module(f"vmserial.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the nearest verb when there is no such one."""
        word = args[0]
        if word not in VERBS and not word.startswith("-") and not ctx.resilient_parsing:
            import difflib  # only the way to an error needs it

            near = difflib.get_close_matches(word, VERBS, 1)
            if near:
                hint = f"did you mean '{near[0]}'?"
            elif "." in word or "/" in word:
                hint = f"a file needs a verb before it: vmserial plan {word}"
            else:
                hint = f"the verbs are {', '.join(VERBS)}"
            raise click.UsageError(f"there is no verb '{word}'; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs without importing them."""
        del ctx
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb; a reader of our output that left ends it quietly."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:
            _silence(sys.stdout)
            raise click.exceptions.Exit(BROKEN_PIPE_EXIT) from None
        return result

    def main(self, args: Sequence[str] | None = None, *more: Any, **extra: Any) -> Any:
        """Run a command line and end the process with its exit code, as click's own does."""
        if not extra.get("standalone_mode", True):
            return super().main(args, *more, **extra)
        sys.exit(run(args))


def _silence(stream: Any) -> None:
    """Point a stream's descriptor at /dev/null, so that its last flush cannot fail."""
    with contextlib.suppress(OSError, io.UnsupportedOperation):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


def _show_version(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    del parameter
    if value and not ctx.resilient_parsing:
        from vmserial import __version__

        click.echo(f"vmserial {__version__}")
        ctx.exit()


HELP = """\
Give a QEMU virtual machine serial ports that work, and prove it.

The three commands that matter:

\b
  vmserial doctor 142.conf             what is wrong with this VM, and what to do
  vmserial showcmd 142.conf --pretty   the QEMU command line that starts it
  vmserial verify 142.conf             boot a test guest, prove every port both ways

INPUT is a PVE configuration (VMID.conf) or a TOML file of vmserial's own. Without one, options
describe the VM: --arch aarch64 --ports 10.
"""


@click.group(
    "vmserial",
    cls=Verbs,
    help=HELP,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    subcommand_metavar="VERB [INPUT] [OPTIONS]",
    epilog="'vmserial VERB --help' shows a verb's options and examples.",
)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version,
    help="Print the version and exit.",
)  # fmt: skip
def main() -> None:
    """Carry the verbs; --version is the only thing that stands without one."""


def run(args: Sequence[str] | None = None) -> int:
    """Run one command line and return the process's exit code.

    Args:
        args: the words after the program's name; None for the process's own.
    """
    _open_closed_streams()
    _tolerate_odd_text()
    try:
        return _run(args)
    finally:
        _tell_trouble()


def _tell_trouble() -> None:
    """Say once, after all else, where things could not be remembered."""
    paths = sys.modules.get("vmserial.paths")
    if paths is None or not paths.TROUBLE:
        return  # nothing that remembers was even imported
    from vmserial.cli.output import complain

    with contextlib.suppress(OSError):
        for text in paths.TROUBLE:
            complain(f"vmserial: note: {text}")
    paths.TROUBLE.clear()


def _run(args: Sequence[str] | None) -> int:
    from vmserial.errors import VmserialError

    try:
        with _ended_by_signals():
            result = main.main(
                None if args is None else list(args), prog_name="vmserial", standalone_mode=False
            )
    except click.Abort:
        return INTERRUPTED_EXIT
    except KeyboardInterrupt:
        return INTERRUPTED_EXIT
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.ClickException as error:
        _show_misuse(error)
        return error.exit_code
    except VmserialError as error:
        if _debugging():
            raise
        _show_error(error)
        return error.exit_code
    except Exception as error:
        if _debugging():
            raise
        if isinstance(error, OSError) and error.errno in _NOT_TAKEN:
            _silence(sys.stdout)
            hint = "see where stdout and stderr go, and the free space there"
            _complain(f"cannot write: {error.strerror}", "", hint)
            return UNWRITABLE_EXIT
        name = type(error).__name__
        _complain(
            f"a defect in vmserial: {name}: {error}",
            "",
            "please report it; VMSERIAL_DEBUG=1 before the command shows where it happened",
        )
        return BUG_EXIT
    return result if isinstance(result, int) else 0


def _open_closed_streams() -> None:
    """Put /dev/null where a standard stream is closed, as after ``2>&-``.

    Python has None for it, and the next file or socket to be opened would get its number.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # The lowest number that is free is the one that is missing.
            null = os.open(os.devnull, os.O_RDWR)
            os.set_inheritable(null, True)
            setattr(sys, name, os.fdopen(null, mode, encoding="utf-8"))


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end us as Ctrl-C does: what was begun is cleaned up."""
    before: dict[int, Any] = {}

    def end(number: int, frame: object) -> None:
        del frame
        # Only the first: what it sets off is bounded and must not be cut short.
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        raise SystemExit(128 + number)

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_DFL:  # nohup(1) has it ignored
                before[number] = signal.signal(number, end)
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def _debugging() -> bool:
    return os.environ.get("VMSERIAL_DEBUG", "") not in ("", "0")


def _show_misuse(error: click.ClickException) -> None:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "vmserial"
    _complain(error.format_message(), "", f"'{path} --help' shows the options and examples")


def _show_error(error: VmserialError) -> None:
    _complain(error.message, error.where, error.hint)


def _complain(message: str, where: str, hint: str) -> None:
    from vmserial.cli.output import complain

    for label, text in (("vmserial: error", message), ("  where", where), ("  hint", hint)):
        if text:
            complain(f"{label}: {text.rstrip()}".replace("\n", "\n    "))


def _odd_text(error: UnicodeError) -> tuple[str | bytes, int]:
    """Write a file name's undecodable bytes as they were, and escape what is left."""
    try:
        return codecs.lookup_error("surrogateescape")(error)
    except UnicodeError:
        return codecs.lookup_error("backslashreplace")(error)


def _tolerate_odd_text() -> None:
    """Keep a path that is not in the terminal's encoding from ending us with a traceback."""
    codecs.register_error("vmserial", _odd_text)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="vmserial")
