"""``vmserial pve``: the VMs of a Proxmox VE host, or of a copy of its files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from vmserial.cli import completing
from vmserial.cli.hints import below
from vmserial.cli.named import as_data
from vmserial.cli.options import json_option
from vmserial.cli.output import print_json, print_table, ranges, say
from vmserial.cli.vm_options import VmOptions

if TYPE_CHECKING:
    from vmserial.pve.listing import Listed


@click.group(
    "pve",
    epilog="""\b
Examples:
  vmserial pve list
  vmserial doctor 142
  vmserial fix 142 --apply""",
)
def command() -> None:
    """Look at all VMs of a Proxmox VE host, or of a copy of its files."""


@command.command(
    "list",
    epilog="""\b
Examples:
  vmserial pve list
  vmserial pve list --root copy-of-the-host --arch aarch64
  vmserial pve list --json

Exit code 1: something is wrong with a VM.""",
)
@click.option(
    "--root",
    default="/",
    metavar="DIR",
    type=click.Path(),
    help="The directory that stands for / of a PVE host, or one with <VMID>.conf files.",
)
@click.option(
    "--arch",
    default="",
    shell_complete=completing.arch,
    metavar="ARCH",
    help="The host's architecture, which VMs have that do not say one: aarch64, x86_64.",
)
@json_option
def list_command(root: str, arch: str, as_json: bool) -> int:
    """Show all VMs, their serial ports and what is wrong with them."""
    rows = _rows(Path(root), arch)
    if as_json:
        print_json([_data(row) for row in rows])
    else:
        _show(rows, root)
    return 1 if any(row.findings or row.problem for row in rows) else 0


def _rows(root: Path, arch: str) -> list[Listed]:
    from vmserial.cli.beside import each
    from vmserial.cli.pve_vm import of_conf
    from vmserial.errors import UsageError
    from vmserial.machines import architecture
    from vmserial.pve import tree
    from vmserial.pve.listing import Listed, listed

    host = architecture(arch).name if arch else ""

    def row(place: tree.Place) -> Listed:
        try:
            conf = tree.read(place)
            vm = of_conf(VmOptions(), conf, host or tree.host_arch(place.root), quiet=True)
            return listed(conf, vm.machine, vm.capabilities, vm.guest, shim=vm.shim,
                          look_at=vm.look)  # fmt: skip
        except UsageError as error:
            # One file that cannot be read must not hide the others.
            where = f"{error.where}: " if error.where else ""
            return Listed(place.vmid, place.node, problem=f"{where}{error.message}")

    return each(row, list(tree.places(root)))


def _show(rows: list[Listed], root: str) -> None:
    print_table(
        ("vmid", "name", "arch", "ports", "wrong"),
        (
            (
                str(row.vmid),
                row.name,
                row.arch,
                ", ".join(f"{p.name} {p.kind or '-'} ({p.way})" for p in row.ports) or "-",
                row.problem or _wrong(row) or "-",
            )
            for row in rows
        ),
    )
    bad = [row for row in rows if row.findings or row.problem]
    say()
    if bad:
        some = "one VM has" if len(bad) == 1 else f"{len(bad)} of {len(rows)} VMs have"
        doctor = f"vmserial doctor {bad[0].vmid}{below(root)}"
        say(f"{some} something wrong: '{doctor}' says what to do")
    else:
        say(f"{len(rows)} VM{'' if len(rows) == 1 else 's'}: nothing is wrong")


def _wrong(row: Listed) -> str:
    ports: dict[str, list[str]] = {}
    for finding in row.findings:
        ports.setdefault(finding.id, []).extend(finding.ports)
    return "; ".join(f"{id} {ranges(names)}".strip() for id, names in ports.items())


def _data(row: Listed) -> dict[str, object]:
    return {
        "vmid": row.vmid,
        "node": row.node,
        "name": row.name,
        "arch": row.arch,
        "ports": [
            {"name": p.name, "backend": p.backend, "kind": p.kind, "way": p.way} for p in row.ports
        ],
        "findings": [as_data(finding) for finding in row.findings],
        "problem": row.problem,
    }
