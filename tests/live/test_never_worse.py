"""Random VMs through `fix` on the real QEMU: none is worse than it was.

A command is started as it is and as it is mended, both themselves and as the private copies
that `fix` asks: these must say the same.  Of a configuration or a domain the command that its
owner starts is asked, by a private copy: its paths and networks are not on this machine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from random_vms import Confs, Domains, Wider
from test_findings_live import here

from vmserial.cli import subject_domain
from vmserial.cli.standing import of_domain, refusals, standing
from vmserial.cli.subject import FixWords, resolved
from vmserial.cli.vm_options import VmOptions
from vmserial.context import EditOptions, RuleContext
from vmserial.errors import QemuStartError
from vmserial.guests import profile
from vmserial.judging import RepairPolicy, judge
from vmserial.machines import ARCHITECTURES
from vmserial.model import Finding, GuestProfile
from vmserial.qemu.neverworse import worse
from vmserial.qemu.process import VirtualMachine
from vmserial.rules.base import Check, Rule
from vmserial.rules.devices import onboard_uart_limit, usb_not_plugged
from vmserial.sources.command import CommandLine, CommandView
from vmserial.sources.command.edits import ReplaceValue, SetKey

COMMANDS, DOMAINS, CONFS = 300, 100, 100
"""How many of each the long run tries."""


def some(count: int, few: int) -> list[object]:
    """Return the seeds: a few in each run, all in the long one."""
    return [
        seed if seed < few else pytest.param(seed, marks=pytest.mark.full) for seed in range(count)
    ]


def mended(command: CommandLine, arch: str, kind: str = "auto") -> CommandLine:
    """Return what the judge makes of a command."""
    guest = profile.unknown(arch) if arch in ARCHITECTURES else GuestProfile("unknown")
    return judge(command, here(arch), guest, RepairPolicy(kind=kind)).command


def started(words: list[str]) -> tuple[bool, dict[str, bool], str]:
    """Start a command itself, paused; return whether it starts, its front ends, its words."""

    async def ask() -> tuple[bool, dict[str, bool], str]:
        try:
            async with VirtualMachine(
                [*words, "-display", "none", "-accel", "tcg"], paused=True, reset_is_loss=False
            ) as vm:
                answer = await vm.monitor.execute("query-chardev")
                return True, {c["label"]: c["frontend-open"] for c in answer}, ""
        except QemuStartError as error:
            return False, {}, error.stderr

    return asyncio.run(ask())


def closed(before: list[str], after: list[str]) -> str:
    """Return what is worse about the second command, both started themselves; empty: nothing."""
    starts, ends, _ = started(before)
    if not starts:
        return ""
    still, now, said = started(after)
    if not still:
        return f"it does not start: {said}"
    view = CommandView.of(CommandLine.from_words(after))
    waits = {d.get("chardev") for d in view.devices if d.driver == "virtserialport"}
    # What QEMU named itself may have a chardev of its own now.
    named = {entry.id for entry in CommandView.of(CommandLine.from_words(before)).chardevs}
    shut = [id for id in named - waits if ends.get(id) and not now.get(id)]
    return f"{shut} are no longer open" if shut else ""


@pytest.mark.parametrize("seed", some(COMMANDS, 40))
def test_a_random_command(seed: int, tmp_path: Path) -> None:
    generator = Wider(seed, tmp_path)
    words = generator.command()
    before = CommandLine.from_words(words)
    after = mended(before, generator.arch, generator.random.choice(["auto", "auto", "virtio"]))
    if after.argv() == words:
        return
    assert closed(words, after.argv()) == ""
    assert worse(before, after, arch=generator.arch) is None


def of_file(path: Path, seed: int) -> None:
    asked = resolved(VmOptions(input=str(path), vmid=142 if path.suffix == ".conf" else None))
    before, name = standing(asked)
    after, _ = standing(asked, fixed=True)
    if before.command.argv() != after.command.argv():
        found = worse(before.command, after.command, binary=name, arch=before.arch)
        assert found is None, f"seed {seed}: {found}"


@pytest.mark.parametrize("seed", some(CONFS, 15))
def test_a_random_configuration(seed: int, tmp_path: Path) -> None:
    path = tmp_path / "142.conf"
    path.write_text(Confs(seed).text())
    of_file(path, seed)


@pytest.mark.parametrize("seed", some(DOMAINS, 15))
def test_a_random_domain(seed: int, tmp_path: Path) -> None:
    path = tmp_path / "r.xml"
    path.write_text(Domains(seed).xml())
    of_file(path, seed)
    asked = resolved(VmOptions(input=str(path)))
    document = subject_domain.read(asked)
    verdict, domain = subject_domain.judged(asked, FixWords(), document)
    capabilities = subject_domain.capabilities_of(asked, domain)
    _, before = of_domain(document, capabilities)
    _, after = of_domain(verdict.document, capabilities)
    # Nor does libvirt refuse what it took before.
    assert refusals(before) or not refusals(after)


# ------------------------------------------------------------------ it can be red


def unplugged(ctx: RuleContext) -> Iterator[Finding]:
    """Set a value that QEMU refuses: what started no longer does."""
    for port in ctx.occupancy.on_usb:
        if port.option.params.get("always-plugged") != "perhaps":
            edit = SetKey(port.option, "always-plugged", "perhaps")
            yield usb_not_plugged.RULE.of_port(port, "mutant", EditOptions((edit,), "mutant"))


def silenced(ctx: RuleContext) -> Iterator[Finding]:
    """Take the host side from a port that lives: an open front end is closed."""
    for port in ctx.ports:
        if port.onboard is not None and port.onboard.host.form == "inline":
            edit = ReplaceValue(port.option, "none")
            yield onboard_uart_limit.RULE.of_port(port, "mutant", EditOptions((edit,), "mutant"))


@pytest.mark.parametrize(
    ("rule", "mutant"),
    [(usb_not_plugged.RULE, unplugged), (onboard_uart_limit.RULE, silenced)],
    ids=["does-not-start", "closed"],
)
def test_a_mutant_of_a_repair_turns_it_red(
    rule: Rule, mutant: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rule, "check", mutant)
    for seed in range(40):
        generator = Wider(seed, tmp_path)
        before = CommandLine.from_words(generator.command())
        after = mended(before, generator.arch)
        found = worse(before, after, arch=generator.arch)
        if found is not None:
            assert bool(found.words) is (mutant is unplugged)
            assert bool(found.closed) is (mutant is silenced)
            return
    pytest.fail("no random command shows the mutant")
