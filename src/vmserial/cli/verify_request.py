"""What `verify`'s options ask for, and what does not go together."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vmserial.cli.gather import read_machine, tell
from vmserial.cli.output import complain
from vmserial.cli.subject import input_of
from vmserial.cli.vm_options import VmOptions
from vmserial.errors import UsageError

if TYPE_CHECKING:
    from vmserial.verify.request import VerifyRequest

_PLANNED = {
    "ports": "--ports", "kinds": "--type", "port_kinds": "--type", "console_kind": "--console",
    "hotplug": "--hotplug", "machine_type": "--machine", "accel": "--accel", "cpu": "--cpu",
    "memory_mib": "--memory", "vcpus": "--vcpus", "name": "--name",
}  # fmt: skip
"""Fields of :class:`Asked` that change what is planned, and nothing that stands."""

_MENDING = frozenset({"kinds", "hotplug"})
"""Of these, what `fix` listens to."""


def stands(asked: VmOptions, cases: Sequence[str], *, fixed: bool, paused: bool) -> bool:
    """Tell whether an input is proven as it stands, and not as vmserial plans it.

    Args:
        asked: with its input read.
        cases: what --case names.
        fixed: --fixed is given.
        paused: --paused is given.

    Raises:
        UsageError: options that do not go together.
    """
    _refuse_backends(asked)
    given = input_of(asked)
    if given.given and len(asked.archs) > 1:
        raise UsageError(
            "an INPUT has one architecture", hint="give --arch once, or leave INPUT out",
            where="--arch",
        )  # fmt: skip
    if given.kind == "machine" or (cases and "input" not in cases):
        for name, said in (("--fixed", fixed), ("--paused", paused)):
            if said:
                raise UsageError(
                    f"{name} is about a PVE configuration, a domain or a command as it stands",
                    hint="TOML, options and the cases besides input are proven as they are planned",
                    where=name,
                )
        if given.kind == "command":
            raise UsageError(
                f"--case {cases[0]} is planned, and a command is proven as it stands",
                hint="leave --case out; or --arch aarch64 --case large, without the command",
                where="--case",
            )
        return False
    if any(case != "input" for case in cases):
        raise UsageError(
            "the case input is proven as it stands, the other cases as they are planned",
            hint="run verify twice: with --case input, and with the others",
            where="--case",
        )
    for name, option in _PLANNED.items():
        if getattr(asked, name) not in (None, "", ()) and not (fixed and name in _MENDING):
            mends = name in _MENDING
            raise UsageError(
                f"{option} changes nothing: {asked.input or 'the command'} is proven as it stands",
                hint=f"--fixed {option} proves what `fix {option}` would make" if mends
                else "leave it out; what vmserial itself plans is proven without an INPUT, or of "
                "TOML (vmserial convert)",
                where=option,
            )  # fmt: skip
    _refuse_others(asked, given.kind)
    if len(asked.kinds) > 1:
        raise UsageError(
            "fix takes one --type at a time", hint="run verify --fixed once for each",
            where="--type",
        )  # fmt: skip
    return True


def _refuse_others(asked: VmOptions, kind: str) -> None:
    """Refuse what is of another kind of input."""
    if kind == "domain" and (asked.arch or asked.archs):
        raise UsageError(
            f"--arch changes nothing: {asked.input} says its own", hint="leave it out",
            where="--arch",
        )  # fmt: skip
    for option, said in (
        ("--vmid", asked.vmid is not None), ("--snapshot", asked.snapshot is not None),
        ("--pending", asked.pending),
    ):  # fmt: skip
        if said and kind != "pve":
            raise UsageError(
                f"{option} is of a PVE configuration, and {asked.input or 'this'} is none",
                hint="leave it out", where=option,
            )  # fmt: skip


_BOOTED = {
    "mutants": "--mutant", "sizes": "--sizes", "suites": "--suite", "kernel": "--kernel",
    "mirror": "--mirror", "image": "--image", "login": "--login", "take_ports": "--take-ports",
    "cloud_init": "--cloud-init",
}  # fmt: skip
"""What a paused QEMU, which carries no data and boots nothing, has no part for."""


def refuse_booted(words: Mapping[str, Any]) -> None:
    """Refuse beside --paused what is of a guest that boots.

    Raises:
        UsageError: naming the option.
    """
    for name, option in _BOOTED.items():
        if words.get(name):
            raise UsageError(
                f"{option} is of a guest that boots, and --paused boots none",
                hint="leave one of them out", where=option,
            )  # fmt: skip


def _refuse_backends(asked: VmOptions) -> None:
    """Refuse what would be ignored: a port under test has a host side of the test's own."""
    for option, said in (
        ("--backend", asked.backend or asked.port_backends), ("--socket-dir", asked.socket_dir)
    ):  # fmt: skip
        if said:
            raise UsageError(
                f"{option} has no part in a proof: each port under test gets a private host side",
                hint="--endpoint unix, pty or tcp says which kind",
                where=option,
            )


def standing_request(
    asked: VmOptions, *, ceilings: tuple[str, ...] = (), cycles: int | None = None,
    endpoint: str = "unix", **words: Any,
) -> VerifyRequest:  # fmt: skip
    """Return what the options ask for of an input that is proven as it stands.

    Raises:
        UsageError: an option is of a case that is planned.
    """
    from vmserial.model import Machine
    from vmserial.verify.request import VerifyRequest

    for option, said in (
        ("--ceiling", ceilings), ("--cycles", cycles is not None),
        ("--endpoint", endpoint != "unix"),
    ):  # fmt: skip
        if said:
            raise UsageError(
                f"{option} is of the cases that vmserial plans",
                hint="leave it out: an input is proven as it stands, on private unix sockets",
                where=option,
            )
    if words.get("image"):
        raise UsageError(
            "--image is of the cases that vmserial plans, and this input is proven as it stands",
            hint="leave INPUT out, or give it as TOML (vmserial convert)",
            where="--image",
        )
    words.pop("cases", None)
    # The board is found out from the command itself.
    return VerifyRequest(Machine("", ()), binaries=asked.qemu, **_shared(**words))


def request(
    asked: VmOptions, *, ceilings: tuple[str, ...] = (), sizes: str | None = None,
    cycles: int | None = None, timeout: float | None = None, **words: Any,
) -> VerifyRequest:  # fmt: skip
    """Return what the options ask for.

    Raises:
        UsageError: an option's value is wrong, or two do not go together.
    """
    from vmserial.verify.request import CEILINGS, LARGE_PORTS, VerifyRequest
    from vmserial.verify.setup import AMPLE_MIB

    if asked.input and len(asked.kinds) > 1:
        raise UsageError(
            "an INPUT can be tried with one --type at a time",
            hint="run verify once for each type",
            where=asked.input,
        )
    machine = read_machine(asked)
    tell(machine.notes)
    if asked.memory_mib is None and "memory" not in machine.lines:
        # Nobody wants it smaller than its ports need; the VM under test gets what they do.
        machine = replace(machine, memory_mib=AMPLE_MIB)
    more = _shared(sizes=sizes, timeout=timeout, **words)
    if cycles is not None:
        more["cycles"] = cycles
    made = VerifyRequest(
        machine,
        # A number of ports is an input as good as a file.
        given=bool(asked.input) or asked.ports is not None,
        kinds=asked.kinds,
        binaries=asked.qemu,
        ceilings={**CEILINGS, **dict(_ceiling(text) for text in ceilings)},
        **more,
    )
    if asked.ports is not None and "input" not in made.chosen_cases:
        complain(
            f"vmserial: warning: --ports has no part in {', '.join(made.chosen_cases)} "
            f"(large is serial0 and {LARGE_PORTS} more; add --case input)"
        )
    return replace(made, kinds=() if asked.kinds == ("auto",) else made.kinds)


_FULL_SYSTEM = 180.0
"""Seconds that a full system's boot may take."""


_MOST_JOBS = 4
"""VMs at a time, unless told otherwise: each keeps a processor busy, and all of them one process
of ours."""


def _shared(
    *, sizes: str | None = None, timeout: float | None = None, **words: Any
) -> dict[str, Any]:
    """Return the fields of a request that all inputs have.

    Raises:
        UsageError: an option of a kernel of one's own, and there is none.
    """
    from vmserial.verify.request import TOGETHER, Limits
    from vmserial.verify.wire.form import LADDERS

    seeded = words.pop("cloud_init", False)
    if words.get("login") or seeded:
        option = "--cloud-init" if seeded else "--login"
        if not words.get("image"):
            raise UsageError(
                f"{option} is of a full system, and no image of one is named", hint="add --image",
                where=option,
            )  # fmt: skip
        if seeded:
            from vmserial.guests import cloudinit

            words["login"] = cloudinit.login(words["login"])
        else:
            from vmserial.guests.login import parse

            words["login"] = parse(words["login"])
        # A full system under TCG asks for a name after 24 to 80 s.
        timeout = timeout or _FULL_SYSTEM
    if words.get("take_ports") and not (words.get("login") or words.get("kernel")):
        raise UsageError(
            "--take-ports is of a guest of your own", hint="add --image and --login, or --kernel",
            where="--take-ports",
        )  # fmt: skip
    for name, option in (("config", "--kernel-config"), ("append", "--append")):
        # UEFI starts an image without a kernel, and that kernel's limits may be known.
        if words.get(name) and not (
            words.get("kernel") or (name == "config" and words.get("image"))
        ):
            raise UsageError(
                f"{option} is of a kernel of your own, and none is named",
                hint="add --kernel and --initrd",
                where=option,
            )
    words["jobs"] = words.get("jobs") or min(len(os.sched_getaffinity(0)), _MOST_JOBS)
    more: dict[str, Any] = {name: value for name, value in words.items() if value}
    if sizes is not None:
        ladder = LADDERS[sizes]
        more |= {"alone": ladder, "together": tuple(dict.fromkeys((*ladder, *TOGETHER[-1:])))}
    if timeout is not None:
        more["limits"] = Limits().for_boot(timeout)
    return more


def _ceiling(text: str) -> tuple[str, int]:
    from vmserial.sources.ports import nearest
    from vmserial.verify.request import CEILINGS

    match = re.fullmatch(r"([a-z0-9-]+)=([0-9]{1,4})", text)
    if match is None or match[1] not in CEILINGS:
        raise UsageError(
            f"{text!r} is not a ceiling",
            hint=f"write virtio=240; {nearest(match[1] if match else '', CEILINGS)}",
            where="--ceiling",
        )
    return match[1], int(match[2])
