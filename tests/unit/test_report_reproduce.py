"""The command that tries a VM again: it can be pasted, and it really is the same VM."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from fake_qemu import Fault
from fake_qemu.environment import SIZES, prove

from vmserial.cli.vm_options import VmOptions
from vmserial.report import run_of
from vmserial.report.reproduce import again, piped
from vmserial.verify.request import VerifyReport
from vmserial.verify.session import Session
from vmserial.verify.wire.transfer import Line, Transfer


@pytest.mark.parametrize(
    ("call", "options", "made"),
    [
        ("verify 142.conf", {"cases": ("input",)}, "verify 142.conf --seed 7"),
        ("verify 142.conf --out o --seed 3 -q --json", {"cases": ("input",)},
         "verify 142.conf --seed 7"),
        ("verify --arch aarch64", {"cases": ("default", "hot-plug"), "kind": "usb"},
         "verify --arch aarch64 --seed 7 --case default --case hot-plug --type usb"),
        ("verify --arch aarch64 --type usb --type=pci --case=large --cycles 5",
         {"cases": ("large",), "kind": "pci"},
         "verify --arch aarch64 --cycles 5 --seed 7 --case large --type pci"),
        ("verify a.conf --type serial3=pci --case input --case large", {"cases": ("input",)},
         "verify a.conf --type serial3=pci --seed 7 --case input"),
        ("verify a.conf --type serial3=pci --type usb", {"cases": ("input",)},
         "verify a.conf --type serial3=pci --type usb --seed 7"),
        ("verify --suite trixie --qemu /q", {"suite": "trixie", "binary": "/q"},
         "verify --suite trixie --qemu /q --seed 7"),
        ("verify --suite trixie --suite=bookworm --qemu /a --qemu /b",
         {"suite": "trixie", "binary": "/b"}, "verify --seed 7 --suite trixie --qemu /b"),
        ("verify --arch aarch64 --arch x86_64", {"arch": "x86_64", "kind": "isa"},
         "verify --seed 7 --type isa --arch x86_64"),
        ("verify --seed=9 --mutant drop@serial3", {}, "verify --mutant drop@serial3 --seed 7"),
        ("verify --out o -- qemu-system-x86_64 --seed 3", {"cases": ("command",)},
         "verify --seed 7 -- qemu-system-x86_64 --seed 3"),
        ("doctor --boot start.sh", {"cases": ("command",)}, "doctor --boot start.sh"),
    ],
)  # fmt: skip
def test_the_call_without_what_is_not_of_this_vm(
    call: str, options: dict[str, str], made: str
) -> None:
    assert again(call.split(), 7, **options) == f"vmserial {made}"


def test_it_can_be_pasted() -> None:
    call = ["verify", "a b's.conf", "--append", "x; rm -rf $HOME"]
    assert shlex.split(again(call, 7))[: len(call) + 1] == ["vmserial", *call]


def test_a_run_that_no_command_line_asked_for_has_none() -> None:
    assert again([], 7, cases=("input",)) == ""


@pytest.mark.parametrize(
    ("call", "pipe"),
    [("verify -", True), ("verify /dev/fd/63", True), ("verify 142.conf", False),
     ("verify -- qemu -serial -", False)],
)  # fmt: skip
def test_what_came_through_a_pipe_is_told(call: str, pipe: bool) -> None:
    assert piped(call.split()) is pipe


def test_the_command_of_a_vm_tries_the_same_vm_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last VM of many, alone: its checks, its verdicts and each byte of its data."""
    sent: dict[tuple[str, str], list[bytes]] = {}
    whole = Session.transfers

    def kept(self: Session, lines: list[Line], *more: object) -> list[Transfer]:
        made = whole(self, lines, *more)  # type: ignore[arg-type]
        for one in made:
            sent.setdefault((self.title, one.line.name), []).append(one.out.data)
        return made

    monkeypatch.setattr(Session, "transfers", kept)
    fault = Fault("drop", "serial2", at=3000)
    call = ("verify", "--arch", "aarch64", "--type", "usb", "--type", "virtio", "--case", "default",
            "--case", "large", "--out", "out")  # fmt: skip
    first = prove(
        tmp_path, fault, kinds=("usb", "virtio"), cases=("default", "large"), call=call, seed=99,
    )  # fmt: skip
    before, vm = dict(sent), run_of(first).vms[-1]
    sent.clear()
    second = repeated(tmp_path, fault, vm.again)
    assert sent == {key: data for key, data in before.items() if key[0] == vm.title}
    assert len(sent) == 10

    def said(report: VerifyReport) -> list[tuple[str, str, str]]:
        return [(c.title, c.verdict, c.detail) for c in report.checks if c.vm == vm.title]

    assert said(second) == said(first)
    assert {c.verdict for c in second.checks} == {"pass", "fail"}


def repeated(folder: Path, fault: Fault, command: str) -> VerifyReport:
    """Run a pasted command on the fake: its options through the verb's own parser."""
    from vmserial.cli.verify import command as verb
    from vmserial.cli.verify_request import request

    name, verify, *words = shlex.split(command)
    assert (name, verify) == ("vmserial", "verify")
    context = verb.make_context("verify", words)
    asked = request(
        VmOptions(arch=context.params["archs"][0], kinds=context.params["kind"]),
        seed=context.params["seed"], cases=context.params["cases"],
    )  # fmt: skip
    return prove(
        folder, fault, machine=asked.machine, kinds=asked.kinds, cases=asked.cases,
        seed=asked.seed, alone=SIZES, together=SIZES,
    )  # fmt: skip
