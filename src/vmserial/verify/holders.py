"""Who in a full system has a port open: a getty, brltty, ModemManager."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from vmserial.errors import LostVMError, ShellError
from vmserial.guests.shell import Shell
from vmserial.verify.results import Fault, FaultKind

NODES = "tty[A-Z]|hvc|vport|bus/usb/"
"""Names in /dev of what a port can be, and of the USB devices that libusb opens."""

_SECONDS = "1 2 3 4 5 6 7 8"
"""How long who has a USB device may take over its end, one each."""

_TRIES = 5
"""How often, once a second, a device is offered to its driver; the bus may still be busy."""

# One process for all; a readlink for each descriptor would take seconds under TCG.
_LOOK = (
    'vs_p=$$; while [ "$vs_p" -gt 1 ]; do echo "own $vs_p"; '
    "read -r vs_x </proc/$vs_p/stat || break; vs_x=${vs_x##*) }; vs_x=${vs_x#* }; "
    "vs_p=${vs_x%% *}; done; "
    "ls -l /proc/[0-9]*/fd 2>/dev/null | grep -E '^/proc|-> /dev/({})'; :"
)


# The USB device of a serial number: its node, and each interface with its driver.
_USB = (
    "for vs_n in /sys/bus/usb/devices/*/serial; do "
    '[ -r "$vs_n" ] && read -r vs_x <"$vs_n" && [ "$vs_x" = {} ] || continue; '
    "vs_n=${vs_n%/serial}; read -r vs_x <$vs_n/busnum; read -r vs_p <$vs_n/devnum; "
    "printf 'node /dev/bus/usb/%03d/%03d\\n' $vs_x $vs_p; "
    "for vs_x in $vs_n/*:*; do vs_p=$(readlink $vs_x/driver); "
    'echo "interface ${vs_x##*/} ${vs_p##*/}"; done; done; :'
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
    # Nobody ends the first process.
    own, found, pid = {1}, [], 0
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


def usb_place(output: str) -> tuple[str, dict[str, str]]:
    """Return a USB device's node, and by its interfaces their drivers; pure.

    The node is empty where the guest shows no such device.
    """
    node, drivers = "", {}
    for line in output.splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "node":
            node = rest
        elif kind == "interface":
            name, _, driver = rest.partition(" ")
            drivers[name] = driver
    return node, drivers


def service(cgroup: str) -> str:
    """Return the systemd service that a process is of, from its /proc/PID/cgroup; pure.

    Of a user's own session the manager's service holds more than this one: it is no answer.
    """
    for line in cgroup.splitlines():
        name = line.rpartition("/")[2]
        if "/user.slice/" not in line and name.endswith(".service"):
            return name
    return ""


@dataclass(frozen=True)
class Keeper:
    """A full system's claims to its ports.

    What has a port open is stopped on request: a service by systemd, anything else by
    SIGSTOP, so that an init that starts its gettys anew has no reason to.  With ``stack``
    all of it is put back.

    Attributes:
        shell: in it.
        bound: seconds for a command.
        stack: of the VM; with it, what was stopped is started again.
        tell: told what was put back, or was not.
        nodes: names in /dev of what a port can be.
    """

    shell: Shell
    bound: float
    stack: AsyncExitStack
    tell: Callable[[str], None] = field(default=lambda _: None)
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
        found = await self._awake(path)
        if found and take:
            for one in found:
                await self._stop(one)
            found = await self._awake(path)
        if not found:
            return ""
        words = f"{path} is held by {', '.join(map(str, found))}"
        return words if take else f"{words}; --take-ports stops it while the ports are tested"

    async def grabbed(self, serial: str, *, take: bool) -> str:
        """Return who has a usb-serial that has no tty: a program took it by libusb.

        brltty does so; the driver of its tty is then not bound, and the port looks dead.

        Args:
            serial: the USB device's serial number.
            take: end that program and give the device to its driver; it has a tty then.

        Returns:
            In words who has it; empty if nobody has, or not any more.

        Raises:
            LostVMError: the guest does not answer.
        """
        look = _USB.replace("{}", shlex.quote(serial))
        node, drivers = usb_place(await self.shell.run(look, self.bound))
        claimed = [name for name, driver in drivers.items() if driver == "usbfs"]
        if not node or not claimed:
            return ""
        found = await holders(self.shell, node, self.bound, self.nodes)
        who = ", ".join(map(str, found)) or "a program that this user may not see"
        words = f"ttyUSB was taken by {who} (libusb, {node})"
        if not take:
            return f"{words}; --take-ports ends it"
        for one in found:
            await self._stop(one, end=True)
        probe = "; ".join(f"echo {name} >/sys/bus/usb/drivers_probe" for name in claimed)
        for _ in range(_TRIES):
            await self.shell.run(f"{{ {probe}; }} 2>/dev/null; sleep 1", self.bound)
            _, drivers = usb_place(await self.shell.run(look, self.bound))
            if all(drivers.get(name) not in ("usbfs", "") for name in claimed):
                return ""
        return words

    async def unopened(self, path: str, error: ShellError) -> str:
        """Return whose a node is that the user may not open; nothing if it is another error."""
        if "ermission denied" not in error.message:
            return ""
        listed = (await self.shell.run(f"ls -l {path}", self.bound)).split()
        owner = f"is {listed[2]}:{listed[3]} ({listed[0]})" if len(listed) > 3 else "is not yours"
        return f"permission denied: {path} {owner}"

    async def _awake(self, path: str) -> list[Holder]:
        """Return who has a node open and is not stopped: who may take its bytes."""
        found = []
        for one in await holders(self.shell, path, self.bound, self.nodes):
            state = await self._read(f"/proc/{one.pid}/status")
            if not re.search(r"(?m)^State:\s+T", state):
                found.append(one)
        return found

    async def _read(self, path: str) -> str:
        """Return a file of the guest's; empty if it is gone."""
        return await self.shell.run(f"cat {path} 2>/dev/null; :", self.bound)

    async def _stop(self, one: Holder, *, end: bool = False) -> None:
        """Stop who has a port, and have it put back.

        Args:
            one: who.
            end: it must let go of what it has open; not only be silent.
        """
        unit = service(await self._read(f"/proc/{one.pid}/cgroup"))
        if unit:
            name = shlex.quote(unit)
            done = await self.shell.run(
                f"systemctl stop {name} 2>/dev/null && echo stopped; :", self.bound
            )
            if "stopped" in done:
                self.stack.push_async_callback(self._start, unit)
                return
        if end:
            # What udev or init starts again may begin anew; there is nothing else to put back.
            # brltty takes a while over its leave, and has the device until it is gone.
            gone = f"kill -0 {one.pid} 2>/dev/null || break; sleep 1"
            await self.shell.run(
                f"kill {one.pid} 2>/dev/null; for vs_n in {_SECONDS}; do {gone}; done; "
                f"kill -9 {one.pid} 2>/dev/null; :",
                self.bound,
            )
            return
        await self.shell.run(f"kill -STOP {one.pid} 2>/dev/null; :", self.bound)
        self.stack.push_async_callback(self._wake, one)

    async def _start(self, unit: str) -> None:
        name = shlex.quote(unit)
        await self._back(unit, f"systemctl start {name}; systemctl is-active {name}", "active")

    async def _wake(self, one: Holder) -> None:
        await self._back(
            str(one), f"kill -CONT {one.pid}; cat /proc/{one.pid}/status", "State:\t[RSD]"
        )

    async def _back(self, what: str, command: str, proof: str) -> None:
        """Put something back, and tell whether it is; a guest that is gone has nothing."""
        try:
            said = await self.shell.run(f"{{ {command}; }} 2>&1; :", self.bound)
        except (ShellError, LostVMError):
            return
        if re.search(rf"(?m)^{proof}", said):
            self.tell(f"{what} had a port that was tested, was stopped, and runs again")
        else:
            words = " ".join(said.split())[-200:]
            self.tell(f"{what} was stopped for the tests and does not run again: {words}")
