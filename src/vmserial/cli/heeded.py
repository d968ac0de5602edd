"""Which options a verb heeds for which kind of input; the others are refused, not ignored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from vmserial.cli.subject import FixWords, Input, input_of
from vmserial.cli.vm_options import VmOptions
from vmserial.errors import UsageError

Verb = Literal["doctor", "fix", "plan", "showcmd", "run", "convert"]

OPTIONS: Mapping[str, str] = {
    "arch": "--arch", "name": "--name", "ports": "--ports", "machine_type": "--machine",
    "kinds": "--type", "port_kinds": "--type", "console_kind": "--console",
    "backend": "--backend", "port_backends": "--backend", "socket_dir": "--socket-dir",
    "hotplug": "--hotplug", "guest": "--guest", "qemu": "--qemu", "accel": "--accel",
    "memory_mib": "--memory", "vcpus": "--vcpus", "cpu": "--cpu", "kernel": "--kernel",
    "initrd": "--initrd", "append": "--append", "vmid": "--vmid", "snapshot": "--snapshot",
    "pending": "--pending",
}  # fmt: skip
"""Fields of :class:`Asked` and the options that set them.  ``--root`` and ``--connect`` say where
an input is: :mod:`vmserial.cli.subject` heeds or refuses them."""

_VM = frozenset(OPTIONS) - {"guest", "qemu", "vmid", "snapshot", "pending"}
"""What describes a VM: it is laid over the input, and planned."""
_HOST = frozenset({"guest", "qemu"})
_PVE = frozenset({"vmid", "snapshot", "pending"})
_JUDGED = frozenset({"hotplug", "append"}) | _HOST
"""What a judge of something that stands already listens to."""

_MENDED = (
    "a command or a domain is judged and mended as it stands; `vmserial plan` and `showcmd` take "
    "it and lay options over it"
)
_HINTS: Mapping[str, str] = {
    "command": _MENDED,
    "domain": _MENDED,
    "pve": "fix changes the serial ports of a configuration and nothing else of it",
    "toml": "leave it out",
    "options": "leave it out, or give the input that it is about",
}


def check(asked: VmOptions, verb: Verb, target: str = "") -> None:
    """Refuse an option that the verb does not heed for this kind of input.

    Args:
        asked: with its input read.
        verb: the verb.
        target: of convert, the format that is written.

    Raises:
        UsageError: naming the option.
    """
    given = input_of(asked)
    kind = _kind(given)
    heeded = _heeded(verb, kind, target)
    usual = VmOptions()
    for name, option in OPTIONS.items():
        if name not in heeded and getattr(asked, name) != getattr(usual, name):
            raise _refused(option, f"{verb} --to {target}" if target else verb, kind, name)


def _kind(given: Input) -> str:
    if given.kind != "machine":
        return given.kind
    return "toml" if given.given else "options"


def _heeded(verb: Verb, kind: str, target: str) -> frozenset[str]:
    if verb in {"doctor", "fix"} and kind in {"command", "domain"}:
        more = {"arch"} if kind == "command" else set[str]()
        # The kind is that of ports which need another device.
        return _JUDGED | more | ({"kinds"} if verb == "fix" else set())
    if verb == "fix" and kind == "pve":
        ports = {"arch", "ports", "kinds", "port_kinds", "console_kind", "backend",
                 "port_backends", "socket_dir", "hotplug", "append", "vmid"}  # fmt: skip
        return frozenset(ports) | _HOST | {"snapshot", "pending"}  # it refuses these two itself
    if verb == "convert":
        # A target that is planned needs a binary and a guest; the number is also that of the
        # configuration which is written.
        host = _HOST if target in {"argv", "libvirt"} else frozenset[str]()
        number = {"vmid"} if target == "pve" else set()
        return _VM | host | (_PVE if kind == "pve" else number)
    return _VM | _HOST | (_PVE if kind == "pve" else frozenset())


def _refused(option: str, verb: str, kind: str, name: str) -> UsageError:
    what = {
        "command": "a QEMU command", "domain": "a libvirt domain",
        "pve": "a PVE configuration", "toml": "a TOML file", "options": "options alone",
    }[kind]  # fmt: skip
    if name in _PVE and kind != "pve":
        return UsageError(
            f"{option} is of a PVE configuration, and this is {what}",
            hint="leave it out", where=option,
        )  # fmt: skip
    return UsageError(
        f"{option} has no part in `{verb}` of {what}", hint=_HINTS[kind], where=option
    )


def check_fix(asked: VmOptions, words: FixWords) -> None:
    """Refuse what `fix` does not heed for this kind of input, or not together.

    Raises:
        UsageError: naming the option.
    """
    kind = _kind(input_of(asked))
    if words.pretty and kind != "command":
        raise UsageError(
            "--pretty is the form of a QEMU command, and this is none",
            hint="leave it out; --diff shows what would change", where="--pretty",
        )  # fmt: skip
    if words.way and kind != "pve":
        raise UsageError(
            "--way is about a PVE VM, and this is none",
            hint="leave it out; `vmserial shim install` mends what libvirt or a script starts",
            where="--way",
        )
    for option, given in (("--diff", words.diff), ("--pretty", words.pretty)):
        if given and words.as_json:
            raise UsageError(
                f"{option} and --json are two forms of the same", hint="take one", where=option
            )
