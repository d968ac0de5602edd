"""``vmserial guest``: the guests that are known, and those that can be booted for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from vmserial.cli import completing
from vmserial.cli.options import json_option, with_options
from vmserial.cli.output import print_json, print_table

if TYPE_CHECKING:
    from vmserial.guests.images import TestGuest
    from vmserial.machines import Architecture


@click.group(
    "guest",
    epilog="""\b
Examples:
  vmserial guest list
  vmserial guest fetch --arch aarch64 --suite trixie
  vmserial guest fetch --json""",
)
def command() -> None:
    """List the guests that are known, or fetch those that `verify` boots."""


@command.command("list", short_help="List the guests that are known.")
@json_option
def list_guests(as_json: bool) -> None:
    """List the guests whose kernels are known, for --guest; some can be booted by `verify`."""
    from vmserial.guests.profile import KNOWN

    tests = _test_guests()
    rows = [
        {
            "name": name,
            "kernel": ".".join(map(str, profile.kernel or ())),
            "uarts_8250": profile.uarts_8250,
            "nr_uarts": profile.nr_uarts,
            "test_guest": tests.get(name, ""),
            "source": profile.source,
        }
        for name, profile in KNOWN.items()
    ]
    if as_json:
        print_json(rows)
        return
    print_table(
        ("name", "kernel", "8250 ports", "with 8250.nr_uarts=", "as a test guest"),
        (
            (
                str(row["name"]), str(row["kernel"]), str(row["uarts_8250"]),
                str(row["nr_uarts"]), str(row["test_guest"] or "-"),
            )
            for row in rows
        ),
    )  # fmt: skip


def _test_guests() -> dict[str, str]:
    """Return, for each system that can be booted for tests, where it stands."""
    from vmserial.guests.images import SUITES
    from vmserial.machines import ARCHITECTURES
    from vmserial.paths import cache_dir

    made = cache_dir("guests")
    found = {}
    for suite, number in SUITES.items():
        for arch in (a for a in ARCHITECTURES.values() if suite in a.suites):
            for flavour in ("", *arch.flavours):
                kind = "-".join(filter(None, (flavour, arch.debian)))
                there = next(made.glob(f"{suite}-{kind}-*"), None) is not None
                found[f"debian-{number}-{kind}"] = (
                    f"{_named(arch, suite, flavour)}, "
                    f"{'in the cache' if there else 'to be fetched'}"
                )
    return found


_FETCH = [
    click.option("--arch", "archs", multiple=True, metavar="ARCH", shell_complete=completing.arch,
                 help="Only of this architecture; several."),
    click.option("--suite", "suites", multiple=True, metavar="SUITE",
                 shell_complete=completing.suite,
                 help="Debian suite: bullseye, bookworm, trixie, sid; several. Without it the one "
                      "that `verify` takes: bookworm, where there is a kernel of it."),
    click.option("--flavour", "flavours", multiple=True, metavar="FLAVOUR",
                 type=click.Choice(("cloud", "rt")),
                 help="Of Debian's kernel: cloud (it has no USB), rt; several. As a suite of "
                      "`verify`: --suite trixie-cloud."),
    click.option("--mirror", default="", metavar="URL",
                 help="Where the packages come from; else as this machine's apt."),
    click.option("-q", "--quiet", is_flag=True, help="No progress on stderr."),
]  # fmt: skip


@command.command(
    "fetch",
    short_help="Fetch and make test guests.",
    epilog="""\b
Examples:
  vmserial guest fetch
  vmserial guest fetch --arch riscv64 --arch s390x
  vmserial guest fetch --arch aarch64 --suite bullseye --suite trixie
  vmserial guest fetch --arch x86_64 --suite trixie --flavour cloud --flavour rt""",
)
@with_options(_FETCH)
@json_option
def fetch(
    archs: tuple[str, ...], suites: tuple[str, ...], flavours: tuple[str, ...], mirror: str,
    quiet: bool, as_json: bool,
) -> None:  # fmt: skip
    """Fetch and make test guests now, so that `verify` needs no network later."""
    from vmserial.guests.images import SUITES, ensure
    from vmserial.machines import ARCHITECTURES, architecture
    from vmserial.progress import reporter

    progress = reporter(quiet)
    try:
        guests = [
            ensure(arch.name, _named(arch, suite, flavour), reporter=progress, mirror=mirror)
            for suite in suites or ("",)
            for flavour in flavours or ("",)
            for arch in map(architecture, archs or ARCHITECTURES)
            # Named by nobody, what has no guest of that suite or flavour is passed over.
            if archs or (suite in arch.suites if suite in SUITES else suite or arch.suites)
            if archs or not flavour or flavour in arch.flavours
        ]
    finally:
        progress.close()
    facts = [_facts(guest) for guest in guests]
    if as_json:
        print_json(facts)
        return
    columns = ("name", "release", "kernel", "initrd")
    print_table(columns, ([fact[column] for column in columns] for fact in facts))


def _named(arch: Architecture, suite: str, flavour: str) -> str:
    """Return a suite as a test guest is asked for: ``trixie-cloud``."""
    if not flavour:
        return suite
    return f"{suite or next(iter(arch.suites), '')}-{flavour}"


def _facts(guest: TestGuest) -> dict[str, Any]:
    return {
        "name": guest.name,
        "arch": guest.arch,
        "suite": guest.suite,
        "release": guest.release,
        "kernel": str(guest.kernel),
        "initrd": str(guest.initrd),
        "config": str(guest.config or ""),
        "append": guest.append,
        "uarts_8250": guest.profile.uarts_8250,
    }
