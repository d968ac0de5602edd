"""The options that the verbs share: what describes a VM, its binary and its guest."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click

KINDS = (
    "auto", "uart", "isa", "usb", "pci", "pci-2x", "pci-4x", "virtio", "virtconsole",
)  # fmt: skip
"""What --type takes; named here so that --help imports no device (a test holds them equal)."""

SHELLS = ("bash", "zsh", "fish")
"""What `vmserial completion` takes: the shells that click knows."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the user's words say about the VM, its binary and its guest.

    Attributes:
        input: the configuration's path; empty: options alone.
        qemu: binaries; empty: the one of the VM's architecture in ``$PATH``.
        guest: a profile's name or a kernel configuration's path; empty: not said.
        ports: how many; None: as the input says.
        hotplug: None: as the input says.
        memory: MiB; None: as the input says.
    """

    input: str = ""
    arch: str = ""
    ports: int | None = None
    machine_type: str = ""
    kind: str = ""
    console: str = ""
    backend: str = ""
    hotplug: bool | None = None
    guest: str = ""
    qemu: tuple[str, ...] = ()
    accel: str = ""
    memory: int | None = None
    cpu: str = ""
    vmid: int | None = None
    snapshot: str = ""


def _options(many_binaries: bool) -> list[Callable[[Any], Any]]:
    return [
        click.argument("input", required=False, default="", metavar="[INPUT]",
                       type=click.Path(allow_dash=True)),
        click.option("--arch", default="", metavar="ARCH",
                     help="The VM's architecture: aarch64, x86_64 (or arm64, amd64)."),
        click.option("--ports", type=click.IntRange(0, 4096), metavar="N",
                     help="How many serial ports: serial0 to serial<N-1>."),
        click.option("--machine", "machine_type", default="", metavar="TYPE",
                     help="The machine type: virt, q35, pc, or a versioned one."),
        click.option("--type", "kind", type=click.Choice(KINDS), default=None,
                     help="The device of every port but serial0."),
        click.option("--console", type=click.Choice(KINDS), default=None,
                     help="The device of serial0; auto is the board's own UART."),
        click.option("--backend", default="", metavar="TEXT",
                     help="The host side of the ports: socket, pty, file=PATH, tcp=HOST:PORT, "
                          "null, /dev/ttyS0 …"),
        click.option("--hotplug/--no-hotplug", default=None,
                     help="Place every port but serial0 where it can be unplugged and plugged."),
        click.option("--guest", default="", metavar="NAME|CONFIG",
                     help="What the guest's kernel carries: a profile (debian-12-arm64) or the "
                          "kernel's configuration file."),
        click.option("--qemu", multiple=many_binaries, default=None, metavar="PATH",
                     help="The QEMU binary" + (" (may be given several times)." if many_binaries
                                               else "; otherwise the one in $PATH.")),
        click.option("--accel", type=click.Choice(["auto", "kvm", "tcg"]), default=None,
                     help="The accelerator; auto takes KVM only where it is proven to work."),
        click.option("--memory", type=click.IntRange(16), metavar="MIB",
                     help="The VM's memory in MiB."),
        click.option("--cpu", default="", metavar="MODEL", help="The CPU model."),
        click.option("--vmid", type=click.IntRange(1), metavar="N",
                     help="The VM's number, where the file's name does not say it."),
        click.option("--snapshot", default="", metavar="NAME",
                     help="Take this snapshot's section of a PVE configuration."),
    ]  # fmt: skip


def machine_options(
    *, many_binaries: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a verb the options that describe a VM; it gets them as ``asked``.

    Args:
        many_binaries: ``--qemu`` may be given several times.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def collected(**words: Any) -> Any:
            mine: dict[str, Any] = {
                name: words.pop(name) for name in Asked.__dataclass_fields__ if name in words
            }
            binaries = mine["qemu"] or ()
            mine["qemu"] = (binaries,) if isinstance(binaries, str) else tuple(binaries)
            # click's Choice knows no empty default.
            for name in ("kind", "console", "accel"):
                mine[name] = mine[name] or ""
            asked = Asked(**mine)
            return function(asked=asked, **words)

        for option in reversed(_options(many_binaries)):
            option(collected)
        return collected

    return decorate


def json_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a verb ``--json``; it gets it as ``as_json``."""
    decorated: Callable[..., Any] = click.option(
        "--json", "as_json", is_flag=True, help="Print JSON instead of a table."
    )(function)
    return decorated
