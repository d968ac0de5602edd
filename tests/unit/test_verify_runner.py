"""verify's runner on the fake: what is tried, what is found, and how it ends."""

from __future__ import annotations

import asyncio
import itertools
import os
from dataclasses import replace
from pathlib import Path

import pytest
from fake_qemu import Fault
from fake_qemu.environment import LIMITS, environment, named, prove, request, verdicts

from vmserial.errors import PlanRefused, UsageError
from vmserial.guests.shell import Shell
from vmserial.model import (
    Capabilities,
    Chardev,
    GuestProfile,
    Machine,
    Nic,
    Null,
    Plan,
    SerialPort,
)
from vmserial.paths import runtime_base
from vmserial.planning.planner import plan
from vmserial.progress import Silent
from vmserial.sources import load
from vmserial.verify import results, results_file
from vmserial.verify.cases.maximum import find_limit
from vmserial.verify.request import Limits
from vmserial.verify.results import FaultKind, Verdict
from vmserial.verify.runner import Runner, _last_words, run
from vmserial.verify.setup import setup
from vmserial.verify.topologies import Builder, ports

BOTH = ("guest->host", "host->guest")


pytestmark = pytest.mark.usefixtures("quick_end")


# ------------------------------------------------------------------ all is well


def test_each_port_both_ways_alone_and_together(tmp_path: Path) -> None:
    report = prove(tmp_path)
    assert report.exit_code == 0
    assert {(c.port, c.direction, c.mode) for c in report.checks} == {
        (f"serial{n}", way, mode)
        for n in range(4)
        for way in BOTH
        for mode in ("alone", "together")
    } | {(f"serial{n}", "", "unattended") for n in (1, 2, 3)}
    assert all(c.verdict is Verdict.PASS and c.node for c in report.checks)
    assert all(c.bytes > 5000 for c in report.checks if c.direction)
    assert {c.kind for c in report.checks} == {"uart", "usb"}
    assert report.booted[0].nodes["serial0"] == "/dev/ttyAMA0"


def test_what_is_damaged_on_its_way_into_the_guest_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = Shell.put

    async def damaging(
        self: Shell, path: str, data: bytes, timeout: float = 60.0, *, checked: bool = True
    ) -> None:
        await put(self, path, bytes([data[0] ^ 1]) + data[1:], timeout, checked=checked)

    monkeypatch.setattr(Shell, "put", damaging)
    failed = verdicts(prove(tmp_path).checks, Verdict.FAIL)
    assert {(c.port, c.direction) for c in failed} == {("serial0", "guest->host")}
    assert all("arrived in the guest with other content" in c.detail for c in failed)


@pytest.mark.parametrize("kind", ["uart", "pci", "virtio", "virtconsole", "pci-2x"])
def test_other_kinds(tmp_path: Path, kind: str) -> None:
    report = prove(tmp_path, kinds=(kind,))
    assert report.exit_code == 0
    assert {c.verdict for c in report.checks} == {Verdict.PASS}


@pytest.mark.parametrize("kind", ["isa", "usb", "pci", "virtio"])
def test_x86(tmp_path: Path, kind: str) -> None:
    report = prove(tmp_path, arch="x86_64", kinds=(kind,))
    assert report.exit_code == 0
    assert len({c.port for c in report.checks}) == 4


@pytest.mark.parametrize("endpoint", ["pty", "tcp"])
def test_other_endpoints(tmp_path: Path, endpoint: str) -> None:
    assert prove(tmp_path, endpoint=endpoint).exit_code == 0


def test_two_uarts_from_qemu_9_1_on(tmp_path: Path) -> None:
    report = prove(tmp_path, kinds=("uart",), version=(10, 0, 0))
    assert report.exit_code == 0
    assert {c.node for c in report.checks} == {"/dev/ttyAMA0", "/dev/ttyAMA1"}


def test_the_seed_decides_the_bytes(tmp_path: Path) -> None:
    def numbers(seed: int, title: str = "a VM") -> list[int]:
        return list(itertools.islice(Runner(request(), Silent(), seed, None).numbers(title), 3))

    assert numbers(5) == numbers(5)
    assert not set(numbers(5)) & set(numbers(6))
    assert not set(numbers(5)) & set(numbers(5, "another VM"))
    assert len(set(numbers(5))) == 3
    assert prove(tmp_path, seed=5).seed == 5
    assert prove(tmp_path, seed=0).seed > 0


# ------------------------------------------------------------------ the input


def port(index: int, kind: str = "auto") -> SerialPort:
    return SerialPort(index, Chardev(Null()), kind=kind)


def test_an_input_is_verified_as_it_is(tmp_path: Path) -> None:
    machine = Machine("aarch64", (port(0), port(3, "virtio"), port(7, "usb")), name="mine")
    report = prove(tmp_path, machine=machine, given=True, cases=())
    assert report.exit_code == 0
    assert {(c.case, c.port, c.kind) for c in report.checks} == {
        ("input", "serial0", "uart"), ("input", "serial3", "virtio"), ("input", "serial7", "usb")
    }  # fmt: skip


def test_a_users_disks_and_networks_are_never_touched(tmp_path: Path) -> None:
    machine = Machine(
        "aarch64",
        (port(0), port(1)),
        nics=(Nic(0, mode="tap", bridge="vmbr0"),),
        args=("-device", "usb-tablet"),
        display=request().machine.display,
    )
    made = setup(machine, environment(tmp_path), "unix", lambda name: str(tmp_path / name))
    line = " ".join(made.argv)
    assert "tap" not in line
    assert "usb-tablet" not in line
    assert "-no-reboot" in line
    assert "its network cards" in made.notes[0]
    assert "its own args" in made.notes[0]
    whole = plan(machine, environment(tmp_path).capabilities, environment(tmp_path).guest.profile)
    assert any(option.role == "net" for option in whole.options)


@pytest.mark.parametrize(("count", "least", "most"), [(10, 512, 512), (1000, 1700, 2000)])
def test_the_vm_under_test_has_the_memory_that_its_ports_need(
    tmp_path: Path, count: int, least: int, most: int
) -> None:
    machine = Machine("aarch64", tuple(port(n, "virtio" if n else "auto") for n in range(count)))
    made = setup(machine, environment(tmp_path), "unix", lambda name: name)
    assert not made.plan.refusals
    assert least <= int(made.argv[made.argv.index("-m") + 1].removesuffix("M")) <= most


def test_a_controllers_thread_is_there_with_it(tmp_path: Path) -> None:
    conf = Path(__file__).parents[1] / "data" / "pve" / "142.conf"
    made = setup(load(str(conf)), environment(tmp_path), "unix", lambda name: name)
    assert "iothread,id=iothread-virtioscsi0" in made.argv
    assert any(word.endswith(",iothread=iothread-virtioscsi0") for word in made.argv)
    assert not any("drive-scsi0" in word for word in made.argv)


def test_a_refused_input_is_refused(tmp_path: Path) -> None:
    machine = Machine("aarch64", (port(0), port(1, "isa")))
    with pytest.raises(PlanRefused, match="isa-serial"):
        prove(tmp_path, machine=machine, given=True, cases=())


# ------------------------------------------------------------------ what cannot be tried


def test_large_pci_is_skipped_with_the_guests_limit(tmp_path: Path) -> None:
    report = prove(tmp_path, kinds=("pci",), cases=("large",))
    assert [c.verdict for c in report.checks] == [Verdict.SKIPPED]
    assert "guest-8250-limit" in report.checks[0].detail
    assert "4" in report.checks[0].detail
    assert not report.booted


def test_a_kind_that_the_architecture_lacks(tmp_path: Path) -> None:
    report = prove(tmp_path, kinds=("isa",), cases=("default", "large", "maximum", "hot-plug"))
    assert {c.verdict for c in report.checks} == {Verdict.SKIPPED}
    assert len(report.checks) == 4
    assert all(c.detail for c in report.checks)


def test_uart_cannot_be_hot_plugged(tmp_path: Path) -> None:
    report = prove(tmp_path, kinds=("uart",), cases=("hot-plug",))
    assert [c.verdict for c in report.checks] == [Verdict.SKIPPED]
    assert "cannot be hot-plugged" in report.checks[0].detail


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"cases": ("big",)}, "there is no case"),
        ({"cases": ("input",)}, "needs a configuration"),
        ({"cycles": -1}, "negative"),
        ({"alone": ()}, "payload sizes"),
        ({"together": (0,)}, "payload sizes"),
        ({"mutants": ("drop@serial77",)}, "which no VM"),
        ({"mutants": ("eat@serial1",)}, "kind of mutant"),
    ],
)
def test_bad_requests(tmp_path: Path, asked: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        prove(tmp_path, **asked)


# ------------------------------------------------------------------ maximum


@pytest.mark.parametrize(("kind", "most"), [("uart", 1), ("pci", 4), ("virtconsole", 8)])
def test_maximum_is_found_proven_and_one_more_refused(tmp_path: Path, kind: str, most: int) -> None:
    report = prove(tmp_path, kinds=(kind,), cases=("maximum",))
    assert report.exit_code == 0
    whole = {c.mode: c for c in report.checks if not c.port}
    assert whole["maximum"].maximum == most
    assert str(most + 1) in whole["refused"].detail
    assert whole["refused"].verdict is Verdict.PASS
    assert len({c.port for c in report.checks if c.kind == kind} - {""}) == most


def test_maximum_stops_at_the_ceiling(tmp_path: Path) -> None:
    report = prove(tmp_path, kinds=("usb",), cases=("maximum",), ceilings={"usb": 5})
    assert report.exit_code == 0
    assert max(c.maximum for c in report.checks) == 5


def test_maximum_is_no_proof_if_one_port_fails(tmp_path: Path) -> None:
    report = prove(
        tmp_path, Fault("drop", "serial3", at=100), kinds=("virtconsole",), cases=("maximum",)
    )
    assert report.exit_code == 1
    assert max(c.maximum for c in report.checks) == 0
    assert results.summary(report.checks)[0].maximum == 0


def test_the_limit_is_found_by_halving() -> None:
    tried: list[int] = []

    def planned(count: int) -> Plan:
        tried.append(count)
        machine = Machine("x86_64", tuple(ports("isa", count - 1)))
        return plan(machine, Capabilities((7, 2, 0), "x86_64"), GuestProfile("g", source="test"))

    limit = find_limit(planned)
    assert limit.ports == 4
    assert limit.refusals[0].id
    assert len(tried) < 8


# ------------------------------------------------------------------ nodes


def test_a_port_without_a_node_is_named(tmp_path: Path) -> None:
    report = prove(tmp_path, Fault("no-node", "serial2"), limits=replace(LIMITS, node=2.0))
    assert report.exit_code == 1
    failed = verdicts(report.checks, Verdict.FAIL)
    assert {c.port for c in failed} == {"serial2"}
    # Not without a client, nor with one: alone and together, both ways.
    assert len(failed) == 5
    assert all(named(c) == {FaultKind.NO_NODE} for c in failed)
    assert "usb:serial2" in failed[-1].detail


def test_a_node_of_somebody_else_is_shown_instead(tmp_path: Path) -> None:
    fault = Fault("rename", "serial2", text="stranger")
    report = prove(tmp_path, fault, limits=replace(LIMITS, node=2.0))
    failed = verdicts(report.checks, Verdict.FAIL)
    assert {c.port for c in failed} == {"serial2"}
    assert "stranger" in failed[0].detail


# ------------------------------------------------------------------ lost VMs


@pytest.mark.parametrize(
    ("fault", "words", "limits"),
    [
        (Fault("die", "serial2", at=900), "SIGKILL", LIMITS),
        (Fault("hang", "serial2", at=900), "did not answer", replace(LIMITS, hang=0.4)),
        (Fault("panic", "serial2", at=900), "panicked", LIMITS),
        (Fault("reset", "serial2", at=900), "reset", LIMITS),
        (Fault("die", "serial1", "in", at=10), "SIGKILL", LIMITS),
        (Fault("die-first"), "killed before it answered, by SIGKILL", LIMITS),
        (Fault("deaf-shell"), "no shell answered", replace(LIMITS, boot=1.0)),
    ],
)
def test_a_lost_vm_is_no_verdict_on_its_ports(
    tmp_path: Path, fault: Fault, words: str, limits: Limits
) -> None:
    report = prove(tmp_path, fault, limits=limits)
    assert report.exit_code == 3
    assert len(report.checks) == 16 + 3
    lost = verdicts(report.checks, Verdict.LOST)
    assert lost
    assert not verdicts(report.checks, Verdict.FAIL)
    assert all(words in c.detail for c in lost)
    # It was seen, and no bound waited for.
    assert report.seconds < LIMITS.boot


def test_a_lost_vm_loses_its_own_checks_only(tmp_path: Path) -> None:
    report = prove(tmp_path, Fault("die", "serial5", at=900), cases=("large", "default"))
    assert report.exit_code == 3
    assert {c.case for c in verdicts(report.checks, Verdict.LOST)} == {"large"}
    assert {c.case for c in verdicts(report.checks, Verdict.PASS)} >= {"default"}
    assert len(report.booted) == 2


def test_a_vm_that_is_lost_after_its_last_check_is_seen(tmp_path: Path) -> None:
    # The last bytes of the last transfer bring it down.
    clean = prove(tmp_path)
    size = sum(c.bytes for c in clean.checks if c.port == "serial3" and c.direction == BOTH[1])
    report = prove(tmp_path, Fault("die", "serial3", "in", at=size - 1))
    assert report.exit_code == 3


def test_a_qemu_that_does_not_start_failed(tmp_path: Path) -> None:
    words = "-device isa-serial: 'isa-serial' is not a valid device model name"
    report = prove(tmp_path, Fault("refuse-start", text=words))
    assert report.exit_code == 1
    first = report.checks[0]
    assert (first.verdict, first.mode) == (Verdict.FAIL, "start")
    assert words in first.detail
    assert {c.verdict for c in report.checks[1:]} == {Verdict.SKIPPED}


# ------------------------------------------------------------------ what is left behind


def children() -> set[str]:
    """Return the processes that this one has started and that still run."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[1] == str(os.getpid()) and fields[0] != "Z":
            found.add(path.parent.name)
    return found


@pytest.mark.parametrize(
    "faults", [(), (Fault("die", "serial2", at=900),), (Fault("hang", "serial2"),)]
)
@pytest.mark.usefixtures("own_runtime")
def test_nothing_is_left_behind(tmp_path: Path, faults: tuple[Fault, ...]) -> None:
    before, running = set(runtime_base().iterdir()), children()
    prove(tmp_path, *faults, limits=replace(LIMITS, hang=0.4))
    assert set(runtime_base().iterdir()) <= before
    assert children() <= running


@pytest.mark.usefixtures("own_runtime")
def test_a_cancelled_run_leaves_nothing_behind(tmp_path: Path) -> None:
    before, running = set(runtime_base().iterdir()), children()

    async def cancelled() -> None:
        made = environment(tmp_path, Fault("stall", "serial1", at=10))
        slow = replace(LIMITS, idle=30.0, transfer=30.0)
        task = asyncio.create_task(run(request(limits=slow), Silent(), [made]))
        while len(children()) == len(running):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.5)
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancelled())
    assert set(runtime_base().iterdir()) <= before
    assert children() <= running


def test_results_are_written_as_they_come(tmp_path: Path) -> None:
    out = tmp_path / "out"
    report = prove(tmp_path, Fault("die", "serial2", at=900), out=out)
    (found,) = results_file.read(out / "results.jsonl")
    assert found.checks == report.checks
    assert found.host.cores > 0
    assert found.run.seed == report.seed
    assert found.run.started == report.started
    # Whoever kills us leaves this: that it ended is said by the report.
    assert found.run.ended == ""


@pytest.mark.parametrize(("arch", "machine"), [("aarch64", "virt"), ("x86_64", "pc")])
def test_every_check_names_its_machine_type(tmp_path: Path, arch: str, machine: str) -> None:
    """Also where nobody asked for one, and in a check that is skipped."""
    report = prove(tmp_path, arch=arch, kinds=("usb", "pci"), cases=("default", "large"))
    assert verdicts(report.checks, Verdict.SKIPPED)
    assert {check.machine for check in report.checks} == {machine}


def test_reports_of_an_earlier_run_are_gone_before_the_first_check(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name in ("junit.xml", "report.html", "vms.json", "mine.txt"):
        (out / name).write_text("of another run")
    prove(tmp_path, out=out)
    assert {path.name for path in out.iterdir()} == {"results.jsonl", "mine.txt"}


def test_an_output_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot make"):
        prove(tmp_path, out=tmp_path / "file" / "out")


def test_titles_are_unique(tmp_path: Path) -> None:
    asked = request(kinds=("usb", "virtio"), cases=("default", "large", "maximum", "hot-plug"))
    made, _ = Builder(asked, environment(tmp_path)).build()
    titles = [one.title for one in made]
    assert len(set(titles)) == len(titles) == 6


@pytest.mark.parametrize("word", ["Kernel panic - not", "Oops: invalid", "BUG: kernel NULL"])
def test_the_last_words_of_a_broken_kernel_begin_with_the_reason(word: str) -> None:
    said = f"[ 1.0] usb 1-1: new\n[ 2.0] {word} reason\n" + "[ 2.1] RSP: 0018\n" * 200
    assert _last_words(said).startswith(f"{word} reason")
    assert _last_words(said.replace(word, "")).endswith("RSP: 0018\n")
