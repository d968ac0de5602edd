"""``vmserial run``: the planned VM in the foreground, and where each port is reached."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from vmserial.cli.heeded import check
from vmserial.cli.named import named_and_planned
from vmserial.cli.options import VmCommand, machine_options
from vmserial.cli.output import complain, print_table, say
from vmserial.cli.subject import resolved
from vmserial.cli.vm_options import VmOptions

if TYPE_CHECKING:
    from vmserial.model import Plan
    from vmserial.qemu.process import VirtualMachine


@click.command(
    "run",
    cls=VmCommand,
    epilog="""\b
Examples:
  vmserial run 142.conf
  vmserial run vm.toml --backend pty
  vmserial run --arch aarch64 --ports 10 --backend socket

Ctrl-C ends the VM as a pulled plug does; nothing is left behind. Exit code 0: the VM shut itself
down; 1: it did not start, or QEMU failed.""",
)
@machine_options()
def command(asked: VmOptions) -> None:
    """Start the planned VM in the foreground and say where each port is reached."""
    from vmserial.cli.host_facts import of_plan
    from vmserial.errors import PlanRefused
    from vmserial.model import Severity
    from vmserial.planning.planner import require
    from vmserial.qemu.loop import run_interruptible

    asked = resolved(asked)
    check(asked, "run")
    made = named_and_planned(asked)
    require(made)
    with _socket_directories(made):
        wrong = [f for f in of_plan(made) if f.severity in {Severity.FAILS, Severity.LOST}]
        if wrong:
            raise PlanRefused(
                "\n".join(finding.happens for finding in wrong),
                hint="; ".join(dict.fromkeys(finding.fix for finding in wrong)),
            )
        told = {str(note) for note in made.machine.notes}
        for warning in made.warnings:
            if warning not in told:
                complain(f"vmserial: know: {warning}")
        try:
            run_interruptible(_supervise(made))
        finally:
            _remove_sockets(made)


def _remove_sockets(plan: Plan) -> None:
    """Remove the sockets that a QEMU left which was killed; those of others are left alone."""
    from vmserial import host

    for socket in _sockets(plan):
        with contextlib.suppress(OSError):
            if socket.is_socket() and not host.listened(str(socket)):
                socket.unlink()


def _sockets(plan: Plan) -> list[Path]:
    """Return the sockets that QEMU makes: of the ports, and of the guest's agents."""
    from vmserial.values import is_on

    found = []
    for option in plan.options:
        if option.flag != "-chardev" or option.head != "socket":
            continue
        values = option.said("backend") or {}
        if values.get("path") and is_on(values.get("server")) and not is_on(values.get("abstract")):
            found.append(Path(values["path"]))
    return found


@contextlib.contextmanager
def _socket_directories(plan: Plan) -> Iterator[None]:
    """Make the directories that the ports' sockets need, and remove those afterwards.

    Raises:
        UsageError: one cannot be made.
    """
    made: list[Path] = []
    try:
        for directory in dict.fromkeys(socket.parent for socket in _sockets(plan)):
            missing = [d for d in (directory, *directory.parents) if not d.exists()]
            for each in reversed(missing):
                _make(each)
                made.append(each)
        yield
    finally:
        for directory in reversed(made):
            with contextlib.suppress(OSError):
                directory.rmdir()


def _make(directory: Path) -> None:
    from vmserial.errors import UsageError

    try:
        directory.mkdir(mode=0o700)
    except OSError as error:
        raise UsageError(
            f"cannot make the sockets' directory {directory}: {error.strerror}",
            hint="name one that you may write to: --socket-dir DIR",
        ) from None


async def _supervise(plan: Plan) -> None:
    """Run the VM until it ends.

    Raises:
        QemuError: QEMU did not start, or ended with a failure.
    """
    from vmserial.cli.data import command_line
    from vmserial.errors import QemuError
    from vmserial.model import Stdio
    from vmserial.qemu.child import status_text
    from vmserial.qemu.process import VirtualMachine

    on_terminal = any(isinstance(a.port.chardev.backend, Stdio) for a in plan.assignments)
    async with VirtualMachine(
        command_line(plan), reset_is_loss=False, foreground=on_terminal
    ) as vm:
        await _show_places(vm, plan)
        complain(f"{plan.machine.name} runs (process {vm.pid}); Ctrl-C ends it")
        status = await vm.wait_closed()
        if status != 0:
            raise QemuError(
                f"QEMU ended{status_text(status)}: {vm.stderr_text().strip() or 'it said nothing'}",
                hint="`vmserial showcmd --pretty` shows the whole command",
            )


async def _show_places(vm: VirtualMachine, plan: Plan) -> None:
    """Print where each port is reached, as QEMU itself says it (a pty's name is its choice)."""
    import sys

    from vmserial import chardevs
    from vmserial.model import Pty, TcpSocket, UnixSocket

    names = {c["label"]: str(c["filename"]) for c in await vm.monitor.execute("query-chardev")}
    rows = []
    for a in plan.assignments:
        backend = a.port.chardev.backend
        name = names.get(a.chardev_id, "").removeprefix("disconnected:")
        if isinstance(backend, Pty):
            place = name.removeprefix("pty:")
        elif isinstance(backend, UnixSocket) and backend.server and not backend.abstract:
            place = backend.path
        elif isinstance(backend, TcpSocket) and backend.server:
            place = name.partition(",")[0]
        else:
            place = chardevs.text(a.port.chardev)
        rows.append((a.port.name, a.kind, place or a.port.state, a.node))
    print_table(("port", "type", "reached at", "node in the guest"), rows)
    say()
    sys.stdout.flush()
