"""What libvirt itself refuses, in its own words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from vmserial.context import EditOptions, Port, Relocate, RuleContext
from vmserial.model import Finding, Repair, Severity
from vmserial.rules.base import KINDS, LIBVIRT, Rule
from vmserial.sources.command.edits import RemoveKey, SetKey

_ELSEWHERE = frozenset({
    "bus-missing", "isa-clash", "isa-limit", "pci-slot-taken", "spapr-vty-clash", "usb-no-bus",
    "usb-port-taken", "virtio-port-range", "virtio-port-taken",
})  # fmt: skip
"""Refusals that other rules see by themselves: QEMU would be no less stopped."""


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield a finding for each refusal."""
    assert ctx.lowered is not None
    ports = {}
    for port in ctx.ports:
        option = ctx.lowered.of(port.option)
        if option is not None:
            ports[id(option.origin.handle)] = port
    for gap in ctx.lowered.command.gaps:
        if gap.id != "refused" or gap.rule in _ELSEWHERE:
            continue
        of = ports.get(id(gap.handle))
        name = f"{of.name}: " if of is not None else ""
        finding = RULE.finding(
            f"{name}libvirt refuses the domain: {gap.text}", of.option if of else None,
            (of.name,) if of else (), _repairs(ctx, of, gap.rule) if of else (),
            fix=gap.fix or _way_out(of, gap.rule, gap.text),
        )  # fmt: skip
        yield replace(finding, id=gap.rule or RULE.id, where=gap.where)


def _repairs(ctx: RuleContext, port: Port, rule: str) -> list[Repair]:
    option = port.option
    if rule == "kind-not-on-arch" and ctx.platform is not None:
        return [Relocate(port)]
    if rule == "libvirt-address-kind":
        # No key of QEMU's: only the domain says it.
        edit = RemoveKey(option, "address")
        return [EditOptions((edit,), f"{port.name}: libvirt chooses its address")]
    if rule == "id-taken" and (entry := ctx.chardevs.get(port.chardev_id)):
        same = SetKey(entry.option, "id", port.chardev_id)
        return [EditOptions((same,), f"{port.name}: without an alias that another port has")]
    return []


def _way_out(port: Port | None, rule: str, text: str) -> str:
    if rule == "chardev-incomplete" and port is not None:
        lacks = text.split()[2]
        return f"write <source {lacks}='…'/> into the element of {port.name}"
    return ""


RULE = Rule("libvirt-refused", Severity.FAILS, KINDS, check, needs=(LIBVIRT,))
