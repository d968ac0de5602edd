"""``vmserial shim``: a wrapper in the emulator's place that mends serial ports at each start."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from vmserial.cli import completing
from vmserial.cli.options import KINDS, json_option
from vmserial.cli.output import complain, print_json, say

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vmserial.model import Capabilities, GuestProfile
    from vmserial.shim.facts import Facts
    from vmserial.shim.install import Order, Step
    from vmserial.shim.status import State
    from vmserial.shim.tree import Tree


@click.group(
    "shim",
    epilog="""\b
Examples:
  vmserial shim install
  vmserial shim install --binary qemu-system-aarch64 --path /usr/local/lib/vmserial/emulator
  vmserial shim status
  vmserial shim remove

What follows from it, and how to ask for more than four ports on PVE: docs/shim.md.""",
)
def command() -> None:
    """Put a shim in the emulator's place, so that PVE, libvirt or a script start VMs that work.

    It gets the whole command line, mends its serial ports and becomes the real QEMU, in the
    same process. Configurations stay as they are.
    """


def _places(function: Any) -> Any:
    for option in reversed((
        click.option("--root", default="", metavar="DIR", type=click.Path(file_okay=False),
                     help="A tree (a chroot, a copy of a host) instead of this system."),
        click.option("--base", default="", metavar="DIR",
                     help="Where the shim keeps its own files; /usr/lib/vmserial-shim."),
    )):  # fmt: skip
        function = option(function)
    return function


@command.command(
    "install",
    short_help="Put the shim in place, or renew it.",
    epilog="""\b
Examples:
  vmserial shim install --dry-run
  vmserial shim install --binary /usr/bin/qemu-system-aarch64 --guest debian-12-arm64
  vmserial shim install --binary qemu-system-aarch64 --dir /usr/local/bin --type usb --hotplug

  vmserial shim install --again      after an upgrade of QEMU, of Python or of vmserial""",
)
@click.option(
    "--binary",
    default="",
    metavar="NAME|PATH",
    help="The emulator; else PVE's /usr/bin/kvm, else the one of this machine.",
)
@click.option(
    "--path",
    default="",
    metavar="FILE",
    type=click.Path(),
    help="A wrapper beside the binary, for libvirt's <emulator>; nothing is diverted.",
)
@click.option(
    "--dir",
    "directory",
    default="",
    metavar="DIR",
    type=click.Path(file_okay=False),
    help="The same under the emulator's own name, for PATH.",
)
@click.option(
    "--type",
    "kind",
    default="auto",
    type=click.Choice(KINDS),
    metavar="KIND",
    help=f"The device of ports that need another one: {', '.join(KINDS)}.",
)
@click.option("--hotplug", is_flag=True, help="Every port but the first is hot-pluggable.")
@click.option(
    "--logs", default="", metavar="DIR", help="Give each port's chardev a log file there."
)
@click.option(
    "--guest",
    default="",
    shell_complete=completing.guest,
    metavar="PROFILE",
    help="Which system the guests run (`vmserial guest list`), or its kernel's "
    "configuration; else Debian 12.",
)
@click.option(
    "--ask",
    default="",
    metavar="BINARY",
    help="With --root: the same emulator where it runs, to be asked instead.",
)
@click.option("--python", default="", metavar="FILE", help="The interpreter; /usr/bin/python3.")
@click.option(
    "--log",
    default="",
    metavar="FILE",
    help="Where changes are written down; /var/log/vmserial-shim.log.",
)
@click.option(
    "--again", is_flag=True, help="Renew all that is installed, each with its own options."
)
@click.option("--dry-run", is_flag=True, help="Say what would be done.")
@_places
def install_(
    binary: str, path: str, directory: str, kind: str, hotplug: bool, logs: str, guest: str,
    ask: str, python: str, log: str, again: bool, dry_run: bool, root: str, base: str,
) -> None:  # fmt: skip
    """Put the shim in the emulator's place, or renew it."""
    from vmserial.errors import UsageError
    from vmserial.judging import RepairPolicy
    from vmserial.shim import bundle, places
    from vmserial.shim.aim import aim, names_of
    from vmserial.shim.facts import Facts
    from vmserial.shim.install import Order

    if path and directory:
        raise UsageError("--path and --dir are two ways", hint="give one of them")
    tree = _tree(root)
    if again:
        _refuse_with_again(
            binary=binary, path=path, dir=directory, type=kind != "auto", hotplug=hotplug,
            logs=logs, guest=guest, python=python, log=log,
        )  # fmt: skip
        for order in _orders_again(tree, _base(tree, base), ask):
            _installed(tree, order, dry_run)
        return
    emulator = _emulator(tree, binary)
    if directory:
        path = f"{_absolute(directory, root)}/{emulator.rpartition('/')[2]}"
    elif path:
        path = _absolute(path, root)
    way, target, real = aim(tree, emulator, path, _base(tree, base))
    here = real if tree.at(real).is_file() else target
    capabilities = _asked(ask or str(tree.at(here)), real)
    profile = _guest(guest, capabilities.target)
    policy = RepairPolicy(kind, hotplug, _absolute(logs, root) if logs else "")
    order = Order(
        way, target, real, Facts(tree.key(here), capabilities, profile, policy),
        base=_base(tree, base), log=log or places.LOG, python=python or bundle.PYTHON,
        names=names_of(tree, target) if way == "divert" else (),
    )  # fmt: skip
    _installed(tree, order, dry_run)


def _refuse_with_again(**given: object) -> None:
    from vmserial.errors import UsageError

    for name, value in given.items():
        if value:
            raise UsageError(
                f"--{name} and --again exclude each other: each shim keeps its own options",
                hint="install that one with its new options, without --again", where=f"--{name}",
            )  # fmt: skip


def _installed(tree: Tree, order: Order, dry_run: bool) -> None:
    from vmserial.shim.install import install

    done = _do(install(tree, order), dry_run)
    if not dry_run:
        say(f"{order.target}: {'installed' if done else 'all is as it should be'}")
        if order.way == "path":
            say(f"libvirt: <emulator>{order.target}</emulator>; a script: start {order.target}")


def _orders_again(tree: Tree, base: str, ask: str) -> Iterator[Order]:
    """Yield what was installed, with the same options, for the binaries as they are now.

    Raises:
        UsageError: nothing is installed, or nobody knows any more how.
    """
    from vmserial.errors import UsageError
    from vmserial.shim.aim import aim, names_of
    from vmserial.shim.facts import Facts
    from vmserial.shim.install import Order
    from vmserial.shim.status import states

    found = list(states(tree, base))
    if not found:
        raise UsageError(f"no shim is installed in {base}", hint="leave --again out")
    for state in found:
        record, facts = state.record, state.facts
        if record is None or facts is None:
            raise UsageError(
                f"{state.target}: what it was installed with cannot be read any more",
                hint="vmserial shim remove, then install it with its options",
            )
        emulator = record.target if record.way == "divert" else record.real
        way, target, real = aim(
            tree, emulator, "" if record.way == "divert" else record.target, base
        )
        here = real if tree.at(real).is_file() else target
        capabilities = _asked(ask or str(tree.at(here)), real)
        yield Order(
            way, target, real, Facts(tree.key(here), capabilities, facts.guest, facts.policy),
            base=base, log=record.log, python=record.python,
            names=names_of(tree, target) if way == "divert" else (),
        )  # fmt: skip


@command.command(
    "status",
    short_help="Say what is installed, and whether it is whole.",
    epilog="""\b
Examples:
  vmserial shim status
  vmserial shim status --json""",
)
@click.option("--lines", default=5, type=click.IntRange(0), metavar="N",
              help="How many of the last changes to show; 5.")  # fmt: skip
@_places
@json_option
def status_(lines: int, root: str, base: str, as_json: bool) -> int:
    """Say what is installed where, whether it is whole and its facts are fresh; 1 if not."""
    from vmserial.shim.status import states

    tree = _tree(root)
    found = list(states(tree, _base(tree, base), lines))
    if as_json:
        print_json([_as_data(state) for state in found])
    elif not found:
        say(f"no shim is installed in {_base(tree, base)}")
    else:
        for state in found:
            _show(state)
    return 0 if found and not any(state.wrong for state in found) else 1


@command.command(
    "remove",
    short_help="Take the shim away.",
    epilog="""\b
Examples:
  vmserial shim remove --dry-run
  vmserial shim remove /usr/bin/qemu-system-aarch64""",
)
@click.argument("targets", nargs=-1, metavar="[WRAPPER]...")
@click.option("--dry-run", is_flag=True, help="Say what would be done.")
@_places
def remove_(targets: tuple[str, ...], dry_run: bool, root: str, base: str) -> None:
    """Take the shim away, whole or half-installed: all of them, or those named.

    VMs that run are not touched; the real binary is at its path at each moment.
    """
    from vmserial.shim.install import remove

    tree = _tree(root)
    wanted = [_absolute(target, root) for target in targets]
    if not _do(remove(tree, _base(tree, base), wanted), dry_run):
        say("no shim is installed")


def _tree(root: str) -> Tree:
    from vmserial.errors import UsageError
    from vmserial.shim.tree import Tree

    if not root:
        return Tree()
    path = os.path.realpath(root)
    if not os.path.isdir(path):  # noqa: PTH112 - a bare string is all that is needed
        raise UsageError(f"there is no directory {root}", hint="--root is a tree's root directory")
    return Tree("" if path == "/" else path)


def _absolute(path: str, root: str) -> str:
    """Return a path of the tree; on this system it may be relative."""
    return path if root else os.path.abspath(path)  # noqa: PTH100 - links stay as they are


def _base(tree: Tree, said: str) -> str:
    from vmserial.shim.places import BASE

    return _absolute(said, tree.root) if said else BASE


def _emulator(tree: Tree, said: str) -> str:
    """Return the emulator's path in the tree.

    Raises:
        UsageError: there is none.
    """
    from vmserial.errors import UsageError
    from vmserial.qemu.binary import SHIMS, find

    if "/" in said:
        found = _absolute(said, tree.root)
    elif not tree.root:
        # PVE starts /usr/bin/kvm; elsewhere it is a name for the same binary, or not there.
        pve = not said and os.path.lexists("/usr/bin/kvm") and os.path.isdir("/etc/pve")  # noqa: PTH112
        found = "/usr/bin/kvm" if pve else find(os.uname().machine, said or None)
        # A shim that stands there already is what is to be renewed.
        found = next((shim for shim, real in SHIMS.items() if real == found), found)
    else:
        found = f"/usr/bin/{said or 'kvm'}"
    if not os.path.lexists(tree.at(found)):
        raise UsageError(f"there is no {found}", hint="name the emulator with --binary")
    return found


def _asked(binary: str, real: str) -> Capabilities:
    """Ask the binary what it has, as far as the shim needs to know.

    Raises:
        BinaryError: it does not run.
        UsageError: nobody knows the architecture.
    """
    from vmserial.machines import architecture
    from vmserial.qemu.binary import probe, trimmed

    known = architecture(probe(binary, refresh=True).target)
    types = [platform.name for platform in known.platforms if platform.uart]
    capabilities = probe(binary, machine_types=types)
    return replace(trimmed(capabilities, ()), machines=capabilities.machines, binary=real)


def _guest(said: str, target: str) -> GuestProfile:
    """Return which system the guests run: as said, or as assumed.

    Raises:
        UsageError: nobody knows it.
    """
    from vmserial.guests import profile
    from vmserial.machines import architecture

    return profile.resolve(said) if said else profile.unknown(architecture(target).name)


def _do(steps: Sequence[Step], dry_run: bool) -> bool:
    """Do the steps, or say them; tell whether there was anything to do."""
    from vmserial.shim.install import run

    for step in steps:
        if dry_run:
            say(f"would {step.text}")
        else:
            complain(f"vmserial: {step.text}")
            run([step])
    return bool(steps)


def _show(state: State) -> None:
    record, facts = state.record, state.facts
    say(f"{state.target}: {'not right' if state.wrong else 'fine'}")
    if record is not None:
        how = "by dpkg-divert" if record.way == "divert" else "beside it"
        also = f", also as {', '.join(record.names)}" if record.names else ""
        say(f"  starts {record.real} ({how}{also})")
        say(f"  vmserial {record.version}, {record.python}, in {record.home}")
    if facts is not None:
        say(f"  {_known(facts)}")
    for text in state.wrong:
        say(f"  wrong: {text}")
    for text in state.notes:
        say(f"  note: {text}")
    for line in state.last:
        say(f"  {line}")


def _known(facts: Facts) -> str:
    has, policy = facts.capabilities, facts.policy
    uarts = ", ".join(f"{name}: {count}" for name, count in has.onboard_uarts.items())
    guest = facts.guest.name + (" (assumed)" if facts.guest.assumed else "")
    more = " hot-pluggable" * policy.hotplug + (f", logs in {policy.logs}" if policy.logs else "")
    return (
        f"QEMU {has.version_text} {has.target}"
        + (f" (UARTs of {uarts})" if uarts else "")
        + f", guests {guest}, type {policy.kind}{more}"
    )


def _as_data(state: State) -> dict[str, Any]:
    record, facts = state.record, state.facts
    return {
        "target": state.target,
        "fine": not state.wrong,
        "wrong": list(state.wrong),
        "notes": list(state.notes),
        "way": record.way if record else "",
        "real": record.real if record else "",
        "home": record.home if record else "",
        "version": record.version if record else "",
        "log": record.log if record else "",
        "qemu": facts.capabilities.version_text if facts else "",
        "target_arch": facts.capabilities.target if facts else "",
        "guest": facts.guest.name if facts else "",
        "type": facts.policy.kind if facts else "",
        "hotplug": facts.policy.hotplug if facts else False,
        "last": list(state.last),
    }
