"""Two servers of one TCP port: both of this VM, or one of another process."""

from __future__ import annotations

from collections.abc import Iterator

from vmserial.context import EditOptions, RuleContext
from vmserial.context.hostends import families_taken
from vmserial.context.listeners import TcpServer, families
from vmserial.model import Finding, Severity
from vmserial.rules.base import SOCKETS, Rule
from vmserial.sources.command.edits import ReplaceValue, SetKey


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the servers whose port an earlier one has, or a process of the host."""
    for server in ctx.host_sides.tcp:
        if server.rival is None:
            continue
        name = ctx.port_at(server.option, server.id)
        first = ctx.port_at(server.rival.option, server.rival.id)
        yield RULE.finding(
            f"{server.option}: Failed to find an available port: Address already in use; TCP port "
            f"{server.port} is that of {first}", server.option,
            tuple(each for each in (first, name) if each.startswith("serial")),
            _moved(server, name),
            fix=f"give {name} another TCP port", assumed=True,
        )  # fmt: skip
    if ctx.host is None:
        return
    for option, id, backend, params in ctx.view.host_ends():
        taken = families_taken(ctx.host, backend, params)
        if taken and (params.get("host") or taken == families(params)):
            yield RULE.finding(
                f"{option}: Failed to find an available port: Address already in use; a process "
                f"of this host listens on TCP port {params['port']} (if it is not this VM itself, "
                "running already)", option, ctx.ports_at(option, id),
            )  # fmt: skip


def _moved(server: TcpServer, name: str) -> tuple[EditOptions, ...]:
    """Return how the server gets a port of its own; a monitor's is for its owner to choose."""
    option, text = server.option, f"{name}: its TCP port is {server.free}"
    if not server.free:
        return ()
    if option.name == "chardev":
        return (EditOptions((SetKey(option, "port", server.free),), text),)
    value, place = option.value or "", f":{server.port}"
    if option.name != "serial" or value.count(place) != 1:
        return ()
    return (EditOptions((ReplaceValue(option, value.replace(place, f":{server.free}")),), text),)


RULE = Rule("address-in-use", Severity.FAILS, SOCKETS, check)
