"""``vmserial verify``: boot test guests and prove every port in both directions."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vmserial.cli import completing
from vmserial.cli.delivery import call, carry_out
from vmserial.cli.options import VmCommand, json_option, machine_options, with_options
from vmserial.cli.subject import resolved
from vmserial.cli.vm_options import VmOptions

if TYPE_CHECKING:
    from vmserial.cli.delivery import Begin
    from vmserial.progress import Reporter
    from vmserial.verify.recording import Keep
    from vmserial.verify.request import VerifyReport

SIZES = ("full", "short", "smoke")
"""What --sizes takes; a test holds it equal to the verification's own."""

ENDPOINTS = ("unix", "pty", "tcp")


class CaseName(click.ParamType[str]):
    """The name of a case; they are not known before one is asked for, as a file each has one."""

    name = "case"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name if there is such a case."""
        from vmserial.verify.cases import planned

        if value not in planned():
            self.fail(f"{value!r} is none of {', '.join(planned())}.", param, ctx)
        return str(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[Any]:
        """Complete the names."""
        del ctx, param
        from click.shell_completion import CompletionItem

        from vmserial.verify.cases import planned

        return [CompletionItem(name) for name in planned() if name.startswith(incomplete)]


class Verify(VmCommand):
    """The verb, whose help lists the cases."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the cases, then what else there is to say."""
        from vmserial.verify.cases import planned

        with formatter.section("Cases"):
            formatter.write_dl(
                [
                    (f"{name}{' *' if case.usual else ''}", case.about)
                    for name, case in planned().items()
                ]
            )
        super().format_epilog(ctx, formatter)


_OPTIONS = [
    click.option("--case", "cases", type=CaseName(), multiple=True, metavar="CASE",
                 help="What to try; several. Without it: input if there is one, else those "
                      "below with a star."),
    click.option("--suite", "suites", multiple=True, metavar="SUITE",
                 shell_complete=completing.suite,
                 help="Debian suites whose kernels are the guests: bullseye, bookworm (the "
                      "default where it has one), trixie, sid; trixie-cloud, trixie-rt: of "
                      "that flavour; several."),
    click.option("--kernel", default="", metavar="PATH", type=click.Path(),
                 help="A kernel of your own as the guest; with --initrd."),
    click.option("--initrd", default="", metavar="PATH", type=click.Path(),
                 help="Its initial RAM disk; it must end in a shell on the console."),
    click.option("--kernel-config", "config", default="", metavar="PATH", type=click.Path(),
                 help="Its configuration file, so that its limits are known."),
    click.option("--append", default="", metavar="TEXT",
                 help="Further words for its command line."),
    click.option("--image", default="", metavar="PATH", type=click.Path(),
                 help="The disk of a full system as the guest, with --login; UEFI starts it, or "
                      "--kernel and --initrd. It is never written."),
    click.option("--login", default="", metavar="USER[:FILE]",
                 help="Log in where it asks; the file's first line is the password."),
    click.option("--cloud-init", is_flag=True,
                 help="Of a cloud image, which has no password: a seed for its cloud-init gives "
                      "root, or the USER of --login, one that is used once."),
    click.option("--take-ports", is_flag=True,
                 help="Stop what in it has a port under test open, such as a getty."),
    click.option("--stage", type=click.Choice(["firmware"]),
                 help="Boot the VM's firmware instead, without a system: which ports does it "
                      "write to, and which does it obey?"),
    click.option("--firmware", default="", metavar="NAME|FILE",
                 help="Which one: seabios, ovmf, aavmf, edk2, u-boot, grub, grub-serial, grub-efi, "
                      "grub-efi-serial, or a file; without it the VM's own."),
    click.option("--out", metavar="DIR", type=click.Path(path_type=Path),
                 help="Write results.jsonl, junit.xml, report.html and the logs there."),
    click.option("--sizes", type=click.Choice(SIZES), help="How many sizes of data are sent."),
    click.option("--seed", type=click.IntRange(0), default=0, metavar="N",
                 help="Of the data: the same seed sends the same bytes; 0: a new one."),
    click.option("--cycles", type=click.IntRange(0), metavar="N",
                 help="How many hot-plug cycles."),
    click.option("--ceiling", "ceilings", multiple=True, metavar="KIND=N",
                 help="How many ports of a kind case maximum boots at most."),
    click.option("--jobs", type=click.IntRange(1), metavar="N",
                 help="VMs at a time; without it one for each processor, up to four."),
    click.option("--endpoint", type=click.Choice(ENDPOINTS), default="unix",
                 help="The host side of the ports under test."),
    click.option("--timeout", type=click.FloatRange(1.0), metavar="SECONDS",
                 help="For the guest's boot (60); every other bound grows with it."),
    click.option("--mutant", "mutants", multiple=True, metavar="KIND@PORT",
                 help="Damage a port's path on purpose, to see that it is found: drop@serial3."),
    click.option("--mirror", default="", metavar="URL",
                 help="Where the guests' Debian packages come from; else as this machine's apt."),
    click.option("--fixed", is_flag=True,
                 help="Prove what `vmserial fix` would make of INPUT, not INPUT as it stands."),
    click.option("--paused", is_flag=True,
                 help="Boot nothing: ask a paused QEMU about INPUT's ports (0.3 s)."),
    click.option("-q", "--quiet", is_flag=True, help="No progress on stderr."),
]  # fmt: skip


@click.command(
    "verify",
    cls=Verify,
    epilog="""\b
Examples:
  vmserial verify 142
  vmserial verify 142 --fixed --out out/
  vmserial verify guest.xml
  vmserial verify start-vm.sh
  vmserial verify -- qemu-system-aarch64 -M virt -serial pty -serial pty
  vmserial verify --arch aarch64 --type usb --case large --case hot-plug --out out/
  vmserial verify --arch all --case default
  vmserial verify --arch aarch64 --suite bullseye --suite bookworm --suite trixie
  vmserial verify 142.conf --kernel Image --initrd initrd.gz --kernel-config config
  vmserial verify --arch x86_64 --image disk.img --kernel K --initrd I --login root:password-file
  vmserial verify --arch x86_64 --image cloud.qcow2 --cloud-init --ports 4 --case input
  vmserial verify --arch x86_64 --ports 6 --mutant drop@serial3
  vmserial verify --arch aarch64 --ports 4 --stage firmware --firmware u-boot

\b
A PVE configuration, a libvirt domain and a QEMU command are proven as they stand: a private copy
of the command that PVE, libvirt or you start. A port that would be dead is red and names what
`vmserial doctor` finds; --fixed proves what `vmserial fix` would make. TOML and options are
proven as vmserial plans them.

\b
Exit code 0: all passed; 1: something failed, or nothing could be tried; 3: the VM was lost, which
proves nothing either way.""",
)
@machine_options(guest=False, many=True)
@with_options(_OPTIONS)
@json_option
def command(asked: VmOptions, as_json: bool, quiet: bool, **words: Any) -> int:
    """Boot test guests and prove every port in both directions.

    The data is framed, seeded and checksummed: loss, duplication, reordering, corruption and
    crossed ports are each found by name.
    """
    from vmserial.cli import verify_request
    from vmserial.progress import reporter

    asked = resolved(asked)
    stage, firmware = words.pop("stage"), words.pop("firmware")
    if stage or firmware:
        from vmserial.cli.verify_stage import begin as stage_begin

        with contextlib.closing(reporter(quiet)) as progress:
            begin = stage_begin(asked, stage, firmware, words, progress)
            return carry_out(begin, progress, out=words["out"], as_json=as_json)
    fixed, paused = words.pop("fixed"), words.pop("paused")
    stands = verify_request.stands(asked, words["cases"], fixed=fixed, paused=paused)
    if paused:
        verify_request.refuse_booted(words)
    words["call"] = call()
    with contextlib.closing(reporter(quiet)) as progress:
        if stands:
            begin = _as_it_stands(asked, words, progress, fixed=fixed, paused=paused)
        else:
            begin = _as_planned(asked, words, progress)
        return carry_out(begin, progress, out=words["out"], as_json=as_json)


def _as_planned(asked: VmOptions, words: dict[str, Any], progress: Reporter) -> Begin:
    """Prove what vmserial plans; each architecture in its turn."""
    from vmserial.cli.verify_request import request
    from vmserial.verify import runner

    requests = [
        request(replace(asked, arch=arch, archs=()), **words)
        for arch in asked.archs or (asked.arch,)
    ]
    work = [(one, runner.find_environments(one, progress)) for one in requests]

    async def begin(keep: Keep) -> VerifyReport:
        report: VerifyReport | None = None
        for number, (one, environments) in enumerate(work, 1):
            seeded = one if report is None else replace(one, seed=report.seed)
            report = await runner.run(
                seeded, progress, environments, before=report, later=work[number:], keep=keep
            )
        assert report is not None
        return report

    return begin


def _as_it_stands(
    asked: VmOptions, words: dict[str, Any], progress: Reporter, *, fixed: bool, paused: bool
) -> Begin:
    """Prove the command that the input's owner starts."""
    from vmserial.cli.standing import standing
    from vmserial.cli.verify_request import standing_request
    from vmserial.qemu.binary import probe
    from vmserial.qemu.liveprobe import understand
    from vmserial.verify import standing as stands

    asked_for = standing_request(asked, **words)
    config = asked_for.config
    made, binary = standing(replace(asked, guest=config) if config else asked, fixed=fixed)
    view, capabilities = understand(made.command, binary=binary, arch=made.arch, root=made.root)
    environments = () if paused else stands.environments(capabilities, view, asked_for, progress)
    binaries = asked_for.binaries or (capabilities.binary,)
    alone = () if environments else tuple(probe(one, arch=view.arch) for one in binaries)
    return lambda keep: stands.run(
        made, asked_for, progress, view=view, environments=environments, asked=alone, keep=keep
    )
