"""What the host sides of a command need of the host, and whether it is there.  Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from vmserial.context.listeners import families
from vmserial.sources.command import CommandOption, CommandView
from vmserial.values import is_on

if TYPE_CHECKING:
    from vmserial.context.context import RuleContext
    from vmserial.model.host import HostFacts

TTYS = frozenset({"serial", "tty"})
"""Backends that are a tty of the host (``tty`` is the older name)."""

_OPEN = frozenset(
    {"braille", "console", "file", "memory", "pipe", "ringbuf", "stdio", "testdev", "wctablet"}
)
"""Backends that a device finds open when it is made (seen with 7.2: ``info qtree``, host on)."""

_SHUT = frozenset({"null"})
"""Backends that never are."""

_OWNERS = (
    "/var/run/qemu-server/", "/run/qemu-server/", "/var/lib/libvirt/", "/run/libvirt/",
    "/var/run/libvirt/",
)  # fmt: skip
"""Directories that PVE and libvirt make at the start of a VM."""

_LOCAL = frozenset({"127.0.0.1", "localhost", "::1", "0.0.0.0", "::", ""})
"""Hosts that are this one."""


def written(backend: str, params: Mapping[str, str]) -> Iterator[str]:
    """Yield the paths that QEMU makes itself: a server's socket, a file, a log."""
    path = params.get("path", "")
    if path and (
        backend == "file"
        or (
            backend == "socket"
            and is_on(params.get("server"))
            and not is_on(params.get("abstract"))
        )
    ):
        yield path
    if params.get("logfile"):
        yield params["logfile"]


def opened(view: CommandView) -> Iterator[tuple[CommandOption, str]]:
    """Yield the files that QEMU reads at its start: kernel, initrd, firmware, drives."""
    for option in view.options:
        path = ""
        if option.name in {"kernel", "initrd", "dtb", "bios"}:
            path = option.value or ""
        elif option.name == "drive":
            path = option.params.get("file")
        # "-bios NAME" is looked for in QEMU's own directory, "nbd:…" is a protocol.
        if path.startswith("/"):
            yield option, path


def parent(path: str) -> str:
    """Return the directory of a path, as :func:`vmserial.host.look` names it."""
    head = path.rpartition("/")[0]
    return head or ("/" if path.startswith("/") else ".")


def owners_own(ctx: RuleContext, path: str) -> bool:
    """Tell whether a directory is one that who starts the VM makes at the start."""
    return path.startswith(_OWNERS) and (ctx.owner != "user" or ctx.is_pve)


def reconnects(params: Mapping[str, str]) -> bool:
    """Tell whether a client tries again for as long as nobody listens."""
    return any(params.get(key, "0") not in {"", "0"} for key in ("reconnect", "reconnect-ms"))


def client_at_start(backend: str, params: Mapping[str, str]) -> bool | None:
    """Tell whether the host side is open while the guest starts; None: it depends on others.

    Run with QEMU 7.2.  A server that does not wait, a pty, a client that tries again may have
    somebody by then, and after a reset of the guest more likely than not.
    """
    if is_on(params.get("mux")):
        return None
    if backend == "socket":
        if is_on(params.get("server")):
            return True if is_on(params.get("wait"), True) else None
        return None if reconnects(params) else True
    if backend in _OPEN | TTYS:
        return True
    return False if backend in _SHUT else None


def nobody_listens(host: HostFacts, name: str, port: int) -> bool:
    """Tell whether no process of this host listens on a TCP port of its own loopback."""
    if not host.tcp_seen or name not in _LOCAL:
        return False
    return all(listener.port != port for listener in host.tcp)


def families_taken(host: HostFacts, backend: str, params: Mapping[str, str]) -> set[int]:
    """Return the families (4, 6) in which a TCP server's port is another process's.

    A server without a host listens in both, and QEMU starts if one of them is free
    (seen with 7.2); one with ``to=`` looks for a free port.
    """
    port = params.get("port", "")
    if (
        backend != "socket" or not port.isdecimal() or not is_on(params.get("server"))
        or params.get("to")
    ):  # fmt: skip
        return set()
    name, own = params.get("host", ""), families(params)
    taken: set[int] = set()
    for listener in host.tcp:
        if listener.port != int(port):
            continue
        wanted = {"": {4, 6}, "localhost": {4}, "0.0.0.0": {4}, "127.0.0.1": {4},
                  "::": {6}, "::1": {6}}.get(name, set())  # fmt: skip
        if listener.family not in wanted & own:
            continue
        everywhere = name in {"", "0.0.0.0", "::"}
        if everywhere or listener.anywhere or listener.address in {"127.0.0.1", "::1"}:
            taken.add(listener.family)
    return taken
