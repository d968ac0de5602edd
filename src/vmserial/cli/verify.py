"""``vmserial verify``: boot test guests and prove every port in both directions."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vmserial.cli.asked import Asked
from vmserial.cli.gather import read_machine, tell
from vmserial.cli.options import VmCommand, json_option, machine_options, with_options
from vmserial.cli.output import complain, print_json

if TYPE_CHECKING:
    from vmserial.verify.request import VerifyReport, VerifyRequest

CASES = ("input", "default", "large", "maximum", "hot-plug")
"""What --case takes; a test holds it equal to the verification's own."""

SIZES = ("full", "short", "smoke")
"""What --sizes takes; a test holds it equal to the verification's own."""

ENDPOINTS = ("unix", "pty", "tcp")


_OPTIONS = [
    click.option("--case", "cases", type=click.Choice(CASES), multiple=True,
                 help="What to try; several. Without it: input if there is one, else default, "
                      "large and hot-plug."),
    click.option("--suite", "suites", multiple=True, metavar="SUITE",
                 help="Debian releases whose kernels are the guests: bullseye, bookworm (the "
                      "default), trixie; several."),
    click.option("--kernel", default="", metavar="PATH", type=click.Path(),
                 help="A kernel of your own as the guest; with --initrd."),
    click.option("--initrd", default="", metavar="PATH", type=click.Path(),
                 help="Its initial RAM disk; it must end in a shell on the console."),
    click.option("--kernel-config", "config", default="", metavar="PATH", type=click.Path(),
                 help="Its configuration file, so that its limits are known."),
    click.option("--append", default="", metavar="TEXT",
                 help="Further words for its command line."),
    click.option("--out", metavar="DIR", type=click.Path(path_type=Path),
                 help="Write results.jsonl, junit.xml, report.html and the logs there."),
    click.option("--sizes", type=click.Choice(SIZES), help="How many sizes of data are sent."),
    click.option("--seed", type=click.IntRange(0), default=0, metavar="N",
                 help="Of the data: the same seed sends the same bytes; 0: a new one."),
    click.option("--cycles", type=click.IntRange(0), metavar="N",
                 help="How many hot-plug cycles."),
    click.option("--ceiling", "ceilings", multiple=True, metavar="KIND=N",
                 help="How many ports of a kind case maximum boots at most."),
    click.option("--endpoint", type=click.Choice(ENDPOINTS), default="unix",
                 help="The host side of the ports under test."),
    click.option("--timeout", type=click.FloatRange(1.0), metavar="SECONDS",
                 help="For the guest's boot (60); every other bound grows with it."),
    click.option("--mutant", "mutants", multiple=True, metavar="KIND@PORT",
                 help="Damage a port's path on purpose, to see that it is found: drop@serial3."),
    click.option("--mirror", default="", metavar="URL",
                 help="Where the guests' Debian packages come from; else as this machine's apt."),
    click.option("-q", "--quiet", is_flag=True, help="No progress on stderr."),
]  # fmt: skip


@click.command(
    "verify",
    cls=VmCommand,
    epilog="""\b
Examples:
  vmserial verify 142.conf
  vmserial verify --arch aarch64 --type usb --case large --case hot-plug --out out/
  vmserial verify --arch aarch64 --suite bullseye --suite bookworm --suite trixie
  vmserial verify 142.conf --kernel Image --initrd initrd.gz --kernel-config config
  vmserial verify --arch x86_64 --ports 6 --mutant drop@serial3

\b
Cases: input (the ports of INPUT or --ports), default (1 + 3), large (1 + 9), maximum (found by
trying), hot-plug. Exit code 0: all passed; 1: something failed, or nothing could be tried; 3: the
VM was lost, which proves nothing either way.""",
)
@machine_options(guest=False, many=True)
@with_options(_OPTIONS)
@json_option
def command(asked: Asked, as_json: bool, quiet: bool, **words: Any) -> int:
    """Boot test guests and prove every port in both directions.

    The data is framed, seeded and checksummed: loss, duplication, reordering, corruption and
    crossed ports are each found by name.
    """
    from vmserial.progress import reporter
    from vmserial.qemu.loop import run_interruptible
    from vmserial.verify import runner

    asked_for = request(asked, **words)
    started = datetime.now(UTC)
    progress = reporter(quiet)
    try:
        environments = runner.find_environments(asked_for, progress)
        report = run_interruptible(runner.run(asked_for, progress, environments))
    finally:
        progress.close()
    try:
        if asked_for.out is not None:
            _write(asked_for.out, report, started)
    finally:
        # Also where the disk is full: what was found out is worth more than its files.
        if as_json:
            print_json(_json(report))
        else:
            from vmserial.report.table import show

            show(report.checks, sys.stdout)
    for note in dict.fromkeys(note for booted in report.booted for note in booted.notes):
        complain(f"vmserial: note: {note}")
    complain(f"vmserial: {len(report.checks)} checks, {report.seconds:.1f} s, seed {report.seed}")
    return report.exit_code


def _write(out: Path, report: VerifyReport, started: datetime) -> None:
    """Write the report's files and say where."""
    from vmserial import __version__
    from vmserial.report import Report, Vm, write_all

    written = write_all(
        out,
        Report(
            checks=report.checks,
            host=report.host,
            vms=tuple(
                Vm(booted.title, booted.plan, booted.argv, booted.nodes) for booted in report.booted
            ),
            version=__version__,
            started=started.isoformat(timespec="seconds"),
            seconds=report.seconds,
        ),
    )
    complain(f"vmserial: wrote {', '.join(str(path) for path in written)}")


def request(
    asked: Asked, *, ceilings: tuple[str, ...] = (), sizes: str | None = None,
    cycles: int | None = None, timeout: float | None = None, **words: Any,
) -> VerifyRequest:  # fmt: skip
    """Return what the options ask for.

    Raises:
        UsageError: an option's value is wrong, or two do not go together.
    """
    from vmserial.errors import UsageError
    from vmserial.verify.request import CEILINGS, LARGE_PORTS, TOGETHER, Limits, VerifyRequest
    from vmserial.verify.wire.form import LADDERS

    if asked.input and len(asked.kinds) > 1:
        raise UsageError(
            "an INPUT can be tried with one --type at a time",
            hint="run verify once for each type",
            where=asked.input,
        )
    for name, option in (("config", "--kernel-config"), ("append", "--append")):
        if words.get(name) and not words.get("kernel"):
            raise UsageError(
                f"{option} is of a kernel of your own, and none is named",
                hint="add --kernel and --initrd",
                where=option,
            )
    machine = read_machine(asked)
    tell(machine.notes)
    more: dict[str, Any] = {name: value for name, value in words.items() if value}
    if cycles is not None:
        more["cycles"] = cycles
    if sizes is not None:
        ladder = LADDERS[sizes]
        more |= {"alone": ladder, "together": tuple(dict.fromkeys((*ladder, *TOGETHER[-1:])))}
    if timeout is not None:
        usual = Limits()
        by = timeout / usual.boot
        more["limits"] = Limits(
            **{name: getattr(usual, name) * by for name in Limits.__dataclass_fields__}
        )
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


def _ceiling(text: str) -> tuple[str, int]:
    from vmserial.errors import UsageError
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


def _json(report: VerifyReport) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "exit_code": report.exit_code,
        "seed": report.seed,
        "seconds": report.seconds,
        "host": asdict(report.host),
        "checks": [check.to_json() for check in report.checks],
    }
