"""``vmserial probe``: what a QEMU binary has, as far as serial ports care."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from vmserial.cli import completing
from vmserial.cli.options import json_option
from vmserial.cli.output import complain, print_json, print_table, say

if TYPE_CHECKING:
    from vmserial.model import Capabilities
    from vmserial.qemu.accel import Proof


@click.command(
    "probe",
    epilog="""\b
Examples:
  vmserial probe
  vmserial probe --arch x86_64
  vmserial probe /opt/qemu/bin/qemu-system-aarch64 --json

What it finds is remembered by the binary's path, time of change and size.""",
)
@click.argument("binary", required=False, default="", type=click.Path())
@click.option("--arch", default="", metavar="ARCH", shell_complete=completing.arch,
              help="Without a BINARY: only the one of this architecture.")  # fmt: skip
@click.option("--refresh", is_flag=True, help="Ask again, whatever is remembered.")
@json_option
def command(binary: str, arch: str, refresh: bool, as_json: bool) -> None:
    """Show what a QEMU BINARY has: serial devices, on-board UARTs, accelerators.

    Without BINARY: those in $PATH for the architectures that vmserial knows.
    """
    found = list(_rows(binary, arch, refresh))
    if as_json:
        print_json(found)
        return
    for number, facts in enumerate(found):
        if number:
            say()
        _show(facts)


def _rows(binary: str, arch: str, refresh: bool) -> Iterator[dict[str, Any]]:
    """Yield what each binary has; where none was named a bad one hides no other.

    Raises:
        BinaryError: the one that was named cannot be asked, or none of all can.
    """
    from vmserial.errors import VmserialError

    paths = _binaries(binary, arch)
    failed: list[VmserialError] = []
    for path in paths:
        try:
            yield _facts(*_probe(path, arch, refresh))
        except VmserialError as error:
            failed.append(error)
            if binary or arch or len(failed) == len(paths):
                raise
            yield {"binary": path, "problem": error.message, "hint": error.hint}


def _binaries(binary: str, arch: str) -> list[str]:
    """Return the paths to ask.

    Raises:
        BinaryError: there is none, or the one named is not there.
        UsageError: nobody knows the architecture.
    """
    from vmserial.errors import BinaryError
    from vmserial.machines import ARCHITECTURES, architecture
    from vmserial.qemu.binary import find

    if binary or arch:
        return [find(architecture(arch).name if arch else "", binary or None)]
    found = []
    for name, known in ARCHITECTURES.items():
        try:
            found.append(find(name))
        except BinaryError as error:
            # Most machines have no QEMU for those that are only planned.
            if known.suites:
                complain(f"vmserial: warning: {error.message} ({error.hint})")
    if not found:
        raise BinaryError(
            "no QEMU is in $PATH",
            hint="install qemu-system-arm or qemu-system-x86 (Debian), or name a binary",
        )
    return found


def _probe(path: str, arch: str, refresh: bool) -> tuple[Capabilities, Proof]:
    from vmserial.machines import ARCHITECTURES, architecture
    from vmserial.qemu import accel
    from vmserial.qemu.binary import probe

    wanted = architecture(arch).name if arch else ""
    capabilities = probe(path, arch=wanted, refresh=refresh)
    known = ARCHITECTURES.get(capabilities.target)
    if known is not None:
        types = [platform.name for platform in known.platforms if platform.uart]
        capabilities = probe(path, machine_types=types)
    return capabilities, accel.proven(path, capabilities.target, refresh=refresh)


def _facts(capabilities: Capabilities, proof: Proof) -> dict[str, Any]:
    from vmserial.devices import KINDS
    from vmserial.machines import ARCHITECTURES

    known = ARCHITECTURES.get(capabilities.target)
    return {
        "binary": capabilities.binary,
        "version": capabilities.version_text,
        "package": capabilities.package,
        "target": capabilities.target,
        "accelerator": {"use": proof.accel, "why": proof.reason},
        "onboard_uarts": dict(capabilities.onboard_uarts),
        "machine_types": {
            platform.name: platform.name in capabilities.machines
            for platform in (known.platforms if known else ())
        },
        "kinds": {
            name: {"device": kind.driver, "there": kind.driver in capabilities.devices,
                   "title": kind.title}
            for name, kind in KINDS.items() if kind.driver
        },
        "controllers": {
            name: name in capabilities.devices
            for name in ("qemu-xhci", "virtio-serial-pci", "pcie-root-port", "pci-bridge")
        },
        "backends": sorted(capabilities.chardevs),
    }  # fmt: skip


def _show(facts: dict[str, Any]) -> None:
    if "problem" in facts:
        say(f"{facts['binary']}: cannot be asked: {facts['problem']}")
        say(f"  hint: {facts['hint']}")
        return
    package = f" ({facts['package']})" if facts["package"] else ""
    say(f"{facts['binary']}: QEMU {facts['version']}{package}, {facts['target']}")
    say(f"  accelerator: {facts['accelerator']['use']}: {facts['accelerator']['why']}")
    for name, there in facts["machine_types"].items():
        uarts = facts["onboard_uarts"].get(name)
        count = "" if uarts is None else f", on-board UARTs: {uarts} (measured)"
        say(f"  machine type {name}: {'there' if there else 'missing'}{count}")
    missing = [name for name, there in facts["controllers"].items() if not there]
    if missing:
        say(f"  missing controllers: {', '.join(missing)}")
    say(f"  backends: {', '.join(facts['backends'])}\n")
    print_table(
        ("type", "device", "in this binary", "what it is"),
        (
            (name, kind["device"], "yes" if kind["there"] else "no", kind["title"])
            for name, kind in facts["kinds"].items()
        ),
    )
