"""Who in a full system has a port open: a getty, brltty, ModemManager."""

from __future__ import annotations

import re
import shlex
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass

from vmserial.errors import LostVMError, ShellError
from vmserial.guests.shell import Shell
from vmserial.verify.results import Fault, FaultKind

NODES = "tty[A-Z]|hvc|vport"
"""Names in /dev of what a port can be."""

# One process for all; a readlink for each descriptor would take seconds under TCG.
_LOOK = (
    'vs_p=$$; while [ "$vs_p" -gt 1 ]; do echo "own $vs_p"; '
    "read -r vs_x </proc/$vs_p/stat || break; vs_x=${vs_x##*) }; vs_x=${vs_x#* }; "
    "vs_p=${vs_x%% *}; done; "
    "ls -l /proc/[0-9]*/fd 2>/dev/null | grep -E '^/proc|-> /dev/({})'; :"
)


@dataclass(frozen=True, slots=True)
class Holder:
    """A process of the guest's that has a port open: its name and number."""

    name: str
    pid: int

    def __str__(self) -> str:
        """As ``agetty (pid 231)``."""
        return f"{self.name} (pid {self.pid})"


def pids(output: str, path: str) -> list[int]:
    """Return who has ``path`` open, from what the guest listed; pure.

    The login that the tests run in has its own tty open, and only waits: it is left out.
    """
    own, found, pid = set(), [], 0
    for line in output.splitlines():
        if match := re.fullmatch(r"own ([0-9]+)", line):
            own.add(int(match[1]))
        elif match := re.fullmatch(r"/proc/([0-9]+)/fd:", line):
            pid = int(match[1])
        elif line.endswith(f" -> {path}") and pid not in own and pid not in found:
            found.append(pid)
    return found


async def holders(shell: Shell, path: str, timeout: float, nodes: str = NODES) -> list[Holder]:
    """Return who has a node open; one who is not root sees only what is the user's own.

    Raises:
        LostVMError: the guest does not answer within ``timeout`` seconds.
    """
    found = []
    for pid in pids(await shell.run(_LOOK.replace("{}", nodes), timeout), path):
        try:
            name = (await shell.run(f"cat /proc/{pid}/comm 2>/dev/null", timeout)).strip()
        except ShellError:
            continue
        found.append(Holder(name or "a process", pid))
    return found


@dataclass(frozen=True)
class Keeper:
    """A full system's claims to its ports.

    Attributes:
        shell: in it.
        bound: seconds for a command.
        stack: of the VM; with it, what was stopped is started again.
        nodes: names in /dev of what a port can be.
    """

    shell: Shell
    bound: float
    stack: AsyncExitStack
    nodes: str = NODES

    async def trouble(
        self, path: str, error: ShellError | None, *, take: bool
    ) -> tuple[Fault, ...]:
        """Return why the user cannot have a port; nothing if nobody keeps it.

        Args:
            path: its node.
            error: of opening it; None: before that, who has it open.
            take: stop who has.

        Raises:
            LostVMError: the guest does not answer.
        """
        why = await (self.unopened(path, error) if error else self.held(path, take=take))
        return (Fault(FaultKind.HELD, why),) if why else ()

    async def held(self, path: str, *, take: bool) -> str:
        """Return who has a node open, in words, after those were stopped that may be.

        Args:
            path: the node.
            take: stop them.

        Raises:
            LostVMError: the guest does not answer.
        """
        found = await holders(self.shell, path, self.bound, self.nodes)
        if found and take:
            await self._release(path, found)
            found = await holders(self.shell, path, self.bound, self.nodes)
        if not found:
            return ""
        words = f"{path} is held by {', '.join(map(str, found))}"
        return words if take else f"{words}; --take-ports stops it while the ports are tested"

    async def unopened(self, path: str, error: ShellError) -> str:
        """Return whose a node is that the user may not open; nothing if it is another error."""
        if "ermission denied" not in error.message:
            return ""
        listed = (await self.shell.run(f"ls -l {path}", self.bound)).split()
        owner = f"is {listed[2]}:{listed[3]} ({listed[0]})" if len(listed) > 3 else "is not yours"
        return f"permission denied: {path} {owner}"

    async def _release(self, path: str, found: list[Holder]) -> None:
        unit = shlex.quote(f"serial-getty@{path.removeprefix('/dev/')}.service")
        done = await self.shell.run(
            f"if systemctl -q is-active {unit}; then systemctl stop {unit} && echo stopped; "
            f"else kill {' '.join(str(one.pid) for one in found)}; fi 2>/dev/null; sleep 1",
            self.bound,
        )
        if "stopped" in done:
            self.stack.push_async_callback(self._start, unit)

    async def _start(self, unit: str) -> None:
        # A guest that is gone has nothing to put back.
        with suppress(ShellError, LostVMError):
            await self.shell.run(f"systemctl --no-block start {unit}", self.bound)
