"""What a rule is.

No dataclass, no regular expression and no class for each: the emulator shim makes all of
them on every start of a VM.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from vmserial.context import Port, RuleContext
from vmserial.model import Finding, Repair, Severity
from vmserial.sources.command import CommandOption

if TYPE_CHECKING:
    from vmserial.model.origin import Owner

IDS, USES, SOCKETS, STDIO, LOSSES, ENDS = 0, 1, 2, 3, 4, 5
"""Phases of the host sides; the last is about what the host has at their places."""

KINDS, ONBOARD, ISA, DRIVERS, ASKED, GUEST_8250, CONSOLES = 10, 11, 12, 13, 14, 15, 16
"""Phases of the devices: in each, what an earlier one moves away no longer counts."""

PLACES, HOT_PLUG = 20, 30
"""Phases of the places."""

PLATFORM, HOST = "platform", "host"
"""What a rule can need: a machine type on which serial ports are planned; a look at the host."""

COLLISION = "collision"
"""What a rule about places needs: a device that does not get the place that it asks for."""

PVE, LIBVIRT = "pve", "libvirt"
"""Owners that a rule can need."""

_OWNERS = frozenset({PVE, LIBVIRT})

Check = Callable[[RuleContext], Iterator[Finding]]


class Rule:
    """One thing that can be wrong.

    Attributes:
        id: stable, and the name of its file with ``-`` for ``_``.
        severity: what it does to the VM, where the finding says nothing else.
        phase: rules of one phase see the same facts; what their repairs move away does not
            count in the next.
        check: yields the findings.
        needs: what the rule is silent without: :data:`PLATFORM`, :data:`HOST`,
            :data:`COLLISION` (one that is this rule's matter), an owner, or the id of a
            :class:`~vmserial.model.origin.Gap` that must not be there.
        among: names of options, drivers and backends; where none of them is in the command, the
            rule is silent, and it is not asked.  Empty: it is always asked.
        aliases: its id where the option was written by that owner.
    """

    __slots__ = ("aliases", "among", "check", "id", "needs", "phase", "severity")

    def __init__(
        self,
        id: str,
        severity: Severity,
        phase: int,
        check: Check,
        needs: tuple[str, ...] = (),
        aliases: Mapping[Owner, str] | None = None,
        among: Iterable[str] = (),
    ) -> None:
        self.id, self.severity, self.phase = id, severity, phase
        self.check, self.needs, self.aliases = check, needs, aliases
        self.among = frozenset(among)

    def applies(self, ctx: RuleContext) -> bool:
        """Tell whether all that the rule needs is known, and what it is about is there."""
        return applies(self, ctx)

    @property
    def rule(self) -> Rule:
        """Itself; see :class:`Late`."""
        return self

    def id_for(self, ctx: RuleContext, option: CommandOption | None) -> str:
        """Return the rule's id, or its alias for the owner of the option."""
        if self.aliases is None or option is None:
            return self.id
        return self.aliases.get(ctx.owner_of(option), self.id)

    def of_port(
        self,
        port: Port,
        happens: str,
        *repairs: Repair,
        severity: Severity | None = None,
        fix: str = "",
        assumed: bool = False,
    ) -> Finding:
        """Return the finding about one port; the option that stands for it is named first."""
        return self.finding(
            f"{port.subject}: {happens}", port.option, (port.name,), repairs,
            severity=severity, fix=fix, assumed=assumed,
        )  # fmt: skip

    def of_asked(self, ctx: RuleContext, happens: str) -> Iterator[Finding]:
        """Yield a finding for each port of which whoever lowered the source says this rule.

        Args:
            ctx: with a lowered command.
            happens: what the user sees, after the port's name.
        """
        from dataclasses import replace

        assert ctx.lowered is not None
        for asked in ctx.lowered.command.asked:
            if asked.rule == self.id:
                finding = self.finding(f"{asked.name}: {happens}", None, (asked.name,))
                yield replace(finding, where=asked.where)

    def finding(
        self,
        happens: str,
        option: CommandOption | None,
        ports: tuple[str, ...] = (),
        repairs: Iterable[Repair] = (),
        *,
        severity: Severity | None = None,
        fix: str = "",
        assumed: bool = False,
    ) -> Finding:
        """Return a finding of this rule.

        Args:
            happens: what the user sees.
            option: what it is about; None: the VM as a whole.
            ports: the names of the ports.
            repairs: what mends it.
            severity: another one than the rule's.
            fix: what the owner can do, where the general way out does not fit.
            assumed: it, or its repair, rests on an assumed guest or host side.
        """
        return Finding(
            self.id, severity or self.severity, happens, "", fix, ports,
            option.where if option else None, (option,) if option else (), tuple(repairs), assumed,
        )  # fmt: skip


class Late:
    """A rule of which only what decides whether it is asked is known; the rest is in its file.

    Most rules have nothing to say about a VM: their files are not even read.

    Attributes:
        id: as :attr:`Rule.id`.
        needs: as :attr:`Rule.needs`.
        among: as :attr:`Rule.among`.
    """

    __slots__ = ("_module", "_rule", "among", "id", "needs")

    def __init__(self, module: str, needs: tuple[str, ...] = (), among: Iterable[str] = ()) -> None:
        self._module = f"{__package__}.{module}"
        self.id = module.rpartition(".")[2].replace("_", "-")
        self.needs, self.among = needs, frozenset(among)
        self._rule: Rule | None = None

    def applies(self, ctx: RuleContext) -> bool:
        """As :meth:`Rule.applies`."""
        return applies(self, ctx)

    @property
    def rule(self) -> Rule:
        """The rule itself."""
        found = self._rule
        if found is None:
            from importlib import import_module

            found = self._rule = import_module(self._module).RULE
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rule, name)


def applies(rule: Rule | Late, ctx: RuleContext) -> bool:
    """Tell whether all that a rule needs is known, and what it is about is there."""
    # Most commands have nothing of what most rules are about: one look instead of a walk.
    if rule.among and rule.among.isdisjoint(ctx.view.present):
        return False
    for need in rule.needs:
        if need == PLATFORM:
            there = ctx.platform is not None
        elif need == HOST:
            there = ctx.host is not None
        elif need == COLLISION:
            there = ctx.platform is not None and bool(ctx.occupancy.of(rule.id))
        elif need in _OWNERS:
            there = ctx.owner == need
        else:
            there = need not in ctx.gaps
        if not there:
            return False
    return True
