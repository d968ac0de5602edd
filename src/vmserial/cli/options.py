"""The options that the verbs share: what describes a VM, its binary and its guest."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from typing import Any

import click

from vmserial.cli import completing
from vmserial.cli.subject import FixWords
from vmserial.cli.vm_options import Single, VmOptions

KINDS = (
    "auto", "uart", "isa", "usb", "pci", "pci-2x", "pci-4x", "virtio", "virtconsole",
)  # fmt: skip
"""What --type takes; named here so that --help imports no device (a test holds them equal)."""

SHELLS = ("bash", "zsh", "fish")
"""What `vmserial completion` takes: the shells that click knows."""

_ONE_PORT = re.compile(r"serial([0-9]{1,4})=(.*)\Z", re.DOTALL)

Option = Callable[[Any], Any]
"""What click.option() returns."""


class Kind(click.ParamType[str]):
    """A device kind, or ``serialN=KIND`` for one port."""

    name = "kind"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text if its kind is known."""
        text = str(value)
        single = _ONE_PORT.match(text)
        if (single[2] if single else text) not in KINDS:
            self.fail(f"{text!r} is none of {', '.join(KINDS)}, nor serialN= one of them.",
                      param, ctx)  # fmt: skip
        return text

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[Any]:
        """Complete the kinds."""
        del ctx, param
        from click.shell_completion import CompletionItem

        return [CompletionItem(kind) for kind in KINDS if kind.startswith(incomplete)]


def _archs(said: Sequence[str], *, many: bool) -> tuple[str, ...]:
    """Return the architectures that --arch names, each once; all: those with a test guest."""
    if not many or "all" not in said:
        return tuple(dict.fromkeys(said))
    from vmserial.machines import ARCHITECTURES

    return tuple(arch.name for arch in ARCHITECTURES.values() if arch.suites)


_VM = [
    click.argument("input", required=False, default="", metavar="[INPUT]", type=click.Path()),
    click.option("--arch", "archs", multiple=True, metavar="ARCH", shell_complete=completing.arch,
                 help="The VM's architecture: aarch64, x86_64 (or arm64, amd64)."),
    click.option("--ports", type=click.IntRange(0), metavar="N",
                 help="How many serial ports: serial0 to serial<N-1>."),
    click.option("--type", "kind", type=Kind(), multiple=True, metavar="KIND",
                 help="The device of every port but serial0, or of one: serial3=pci. Kinds: "
                      f"{', '.join(KINDS)}."),
    click.option("--console", "console_kind", type=click.Choice(KINDS), metavar="KIND",
                 help="The device of serial0; auto is the board's own UART."),
    click.option("--backend", multiple=True, metavar="TEXT",
                 help="The host side of the ports, or of one (serial3=pty): socket, socket=PATH, "
                      "pty, tcp=HOST:PORT, file=PATH, null, /dev/ttyS0 …; {n} is the port's "
                      "number."),
    click.option("--socket-dir", default="", metavar="DIR",
                 help="Where the ports' sockets are made."),
    click.option("--hotplug/--no-hotplug", default=None,
                 help="Every port but serial0 can be unplugged and plugged."),
    click.option("--machine", "machine_type", default="", metavar="TYPE",
                 help="The machine type: virt, q35, pc, or a versioned one; with "
                      "properties: virt,aia=aplic-imsic."),
]  # fmt: skip

_GUEST = [
    click.option("--guest", default="", metavar="NAME|CONFIG", shell_complete=completing.guest,
                 help="What the guest's kernel carries: a profile (debian-12-arm64) or the "
                      "kernel's configuration file."),
    click.option("--kernel", default="", metavar="PATH", type=click.Path(),
                 help="A kernel that QEMU loads itself."),
    click.option("--initrd", default="", metavar="PATH", type=click.Path(),
                 help="Its initial RAM disk."),
    click.option("--append", default="", metavar="WORDS",
                 help="Its command line; without --kernel: what the guest's own has."),
]  # fmt: skip

_MORE = [
    click.option("--name", default="", help="The VM's name."),
    click.option("--accel", type=click.Choice(["auto", "kvm", "tcg"]),
                 help="The accelerator; auto takes KVM only where it is proven to work."),
    click.option("--memory", "memory_mib", type=int, metavar="MIB", help="Memory in MiB."),
    click.option("--vcpus", type=int, metavar="N", help="Virtual processors."),
    click.option("--cpu", default="", metavar="MODEL", help="The CPU model and its flags."),
    click.option("--vmid", type=click.IntRange(1), metavar="N",
                 help="The VM's number, where the file's name does not say it."),
    click.option("--snapshot", metavar="NAME",
                 help="Take this snapshot's section of a PVE configuration."),
    click.option("--pending", is_flag=True,
                 help="Take a PVE configuration as it is after its pending changes."),
    click.option("--root", default="/", metavar="DIR", type=click.Path(),
                 help="The directory that stands for / of a PVE host: a copy of its files."),
    click.option("--connect", default="", metavar="URI",
                 help="The libvirt that a domain's name is asked of, as of virsh -c."),
]  # fmt: skip


class VmCommand(click.Command):
    """A verb that takes a VM; words after ``--`` are kept apart: a QEMU command, not ours."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Cut at the first ``--``.

        Raises:
            click.UsageError: a command line stands there without it.
        """
        if "--" in args:
            at = args.index("--")
            ctx.meta[_COMMAND] = tuple(args[at + 1 :])
            args = args[:at]
        given = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.UsageError:
            pairs = zip(["", *given], given, strict=False)
            bare = next((w for b, w in pairs if b != "--qemu" and _BARE_EMULATOR.match(w)), "")
            if not bare:
                raise
            raise click.UsageError(
                f"a QEMU command stands after --: vmserial {self.name} -- {bare} …", ctx
            ) from None


_COMMAND = "vmserial.command"
_BARE_EMULATOR = re.compile(r"(?:\S*/)?(?:qemu-system-[a-z0-9_]+|qemu-kvm|kvm)\Z")

_GUEST_NAMES = frozenset({"guest", "kernel", "initrd", "append"})
"""Fields of :class:`Asked` that come from ``_GUEST``."""


def machine_options(
    *, guest: bool = True, many: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a verb the options that describe a VM; it gets them as ``asked``.

    Args:
        guest: with ``--guest``, ``--kernel`` and what belongs to it.
        many: ``--arch``, ``--qemu`` and ``--type`` may be given several times, for one run each.
    """
    binary = "The QEMU binary, otherwise the one in $PATH"
    qemu = click.option(
        "--qemu", multiple=True, metavar="PATH",
        help=f"{binary}; several for one run each." if many else f"{binary}.",
    )  # fmt: skip
    options = [*_VM, *(_GUEST if guest else ()), qemu, *_MORE]

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def collected(**words: Any) -> Any:
            mine: dict[str, Any] = {
                name: words.pop(name)
                for name in VmOptions.__dataclass_fields__
                # A verb without the guest's options may have its own of these names.
                if name in words and (guest or name not in _GUEST_NAMES)
            }
            mine["kinds"], mine["port_kinds"] = _split("--type", mine["kind"])
            backends, mine["port_backends"] = _split("--backend", mine["backend"])
            archs = mine["archs"] = _archs(mine["archs"], many=many)
            single = {"--backend": backends}
            if not many:
                single |= {"--arch": archs}
                single |= {"--type": mine["kinds"], "--qemu": mine["qemu"]}
            for option, values in single.items():
                if len(values) > 1:
                    raise click.UsageError(f"{option} is given twice: {' and '.join(values)}")
            mine["kind"] = mine["kinds"][0] if len(mine["kinds"]) == 1 else ""
            mine["arch"] = archs[0] if len(archs) == 1 else ""
            mine["backend"] = "".join(backends)
            for name in ("console_kind", "accel"):
                mine[name] = mine[name] or ""
            mine["command"] = click.get_current_context().meta.get(_COMMAND, ())
            return function(asked=VmOptions(**mine), **words)

        return with_options(options)(collected)

    return decorate


def fix_words(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb its :class:`FixWords` as ``words``, from the options it has."""

    @functools.wraps(function)
    def collected(**given: Any) -> Any:
        # --json is every verb's own.
        names = FixWords.__dataclass_fields__.keys() - {"as_json"}
        mine = {name: given.pop(name) for name in names if name in given}
        if "way" in mine:
            mine["way"] = mine["way"] or ""
        return function(words=FixWords(**mine), **given)

    return collected


def with_options(options: Sequence[Option]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a verb options in this order; so they stand in a list and not in a tower."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            option(function)
        return function

    return decorate


def _split(option: str, texts: tuple[str, ...]) -> tuple[tuple[str, ...], Single]:
    """Return what is for all ports, and what is for single ones.

    Raises:
        click.UsageError: two values for one port.
    """
    shared: list[str] = []
    single: dict[int, str] = {}
    for text in dict.fromkeys(texts):
        match = _ONE_PORT.match(text)
        if match is None:
            shared.append(text)
        elif int(match[1]) in single:
            raise click.UsageError(f"{option} is given twice for serial{match[1]}")
        else:
            single[int(match[1])] = match[2]
    return tuple(shared), tuple(single.items())


def json_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb ``--json``; it gets it as ``as_json``."""
    decorated: Callable[..., Any] = click.option(
        "--json", "as_json", is_flag=True, help="Print JSON instead of a table."
    )(function)
    return decorated
