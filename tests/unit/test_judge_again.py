"""Command lines whose first mending left, or made, something to mend; found by the fuzzer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from vmserial.context import EditOptions, RuleContext
from vmserial.context.repairs import fresh
from vmserial.guests import profile
from vmserial.judging import Judgement, apply, engine, judge
from vmserial.model import Capabilities, Finding, Severity
from vmserial.rules.base import KINDS, Rule
from vmserial.rules.index import PHASES
from vmserial.sources.command import CommandLine
from vmserial.sources.command.edits import SetKey
from vmserial.sources.pve import Document
from vmserial.sources.pve.lower import PveHost, lower


def judged(command: CommandLine, arch: str) -> Judgement:
    capabilities = Capabilities((7, 2, 0), arch, onboard_uarts={"virt": 1})
    return judge(command, capabilities, profile.unknown(arch))


@pytest.mark.parametrize(
    ("arch", "serials", "kept"),
    [
        # "-serial none" takes the only UART's place: the port cannot go there again.
        ("aarch64", "none pty", "-serial none -device"),
        # The last one comes to the place that the moved one had: its chardev is "serial4" then.
        ("x86_64", "null null null vc vc null", "serial=serial4 -serial null"),
        ("aarch64", "null pty null pty null", "serial=serial3 -serial null"),
        ("x86_64", "none none pty pty pty pty", "-serial none -serial none -serial pty"),
    ],
)
def test_once_is_enough(arch: str, serials: str, kept: str) -> None:
    board = "virt" if arch == "aarch64" else "q35"
    words = " ".join(f"-serial {word}" for word in serials.split())
    verdict = judged(CommandLine.parse(f"qemu-system-{arch} -M {board} {words}"), arch)
    assert verdict.changes
    assert len({change.text for change in verdict.changes}) == len(verdict.changes)
    assert kept in verdict.command.text()
    again = judged(verdict.command, arch)
    assert again.changes == ()
    assert [flaw.id for flaw in again.found if flaw.severity.name != "NOTE"] == []


NO_PLACE = (
    "qemu-system-aarch64 -M virt -nodefaults -id 142 "
    "-device pci-bridge,id=pci.2,chassis_nr=2,bus=pcie.0,addr=0x1f "
    + "".join(f"-device virtio-rng-pci,bus=pci.2,addr=0x{slot:x} " for slot in range(0x19, 0x20))
)
"""PVE leaves these slots to others: taken, a port finds no place but the board's UART."""


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        # It does not move, and gets the chardev that was reported.
        (
            "-serial pty -device pci-serial,bus=pci.9",
            "-serial pty -chardev pty,id=serial1 -device pci-serial,bus=pci.9,chardev=serial1",
        ),
        # Of two ports of a card one could move: the other would be gone with the card.
        (
            "-chardev null,id=serial0 -chardev null,id=serial1 "
            "-device pci-serial-2x,chardev1=serial0,chardev2=serial1,bus=pci.9",
            "-device pci-serial-2x,chardev1=serial0,chardev2=serial1,bus=pci.9",
        ),
    ],
)
def test_a_port_without_a_place_stays(words: str, kept: str) -> None:
    verdict = judged(CommandLine.parse(NO_PLACE + words), "aarch64")
    assert len({change.text for change in verdict.changes}) == len(verdict.changes)
    assert verdict.command.text().endswith(kept)
    assert [flaw.id for flaw in verdict.unmended if flaw.severity.name != "NOTE"] == ["bus-missing"]
    assert judged(verdict.command, "aarch64").changes == ()


def test_only_what_was_changed_is_reported() -> None:
    words = (
        "qemu-system-aarch64 -M virt -nodefaults -chardev null,id=serial0 -chardev null,id=serial1 "
        "-device pci-serial,id=a,chardev=serial0 -device pci-serial,id=a,bus=pci.9,chardev=serial1"
    )
    verdict = judged(CommandLine.parse(words), "aarch64")
    assert [flaw.id for flaw in verdict.found] == ["id-taken", "bus-missing"]
    assert [change.id for change in verdict.changes] == ["bus-missing"]
    assert verdict.unmended == ()


def test_six_devices_of_one_id() -> None:
    ports = "".join(
        f" -chardev null,id=serial{n} -device usb-serial,id=a,chardev=serial{n}" for n in range(6)
    )
    words = f"qemu-system-aarch64 -M virt -nodefaults -device qemu-xhci,p2=8{ports}"
    verdict = judged(CommandLine.parse(words), "aarch64")
    ids = [option.params.get("id") for option in verdict.command.named("device")]
    assert ids == ["", "a", "a-2", "a-3", "a-4", "a-5", "a-6"]
    assert [change.id for change in verdict.changes] == ["id-taken"] * 5
    assert judged(verdict.command, "aarch64").changes == ()


def test_a_device_comes_after_the_controller_that_is_there() -> None:
    words = (
        "qemu-system-aarch64 -M virt -nodefaults -serial pty -chardev null,id=serial1 "
        "-device qemu-xhci,id=vmserial-xhci0,addr=1f.0,p2=15,multifunction=on"
    )
    verdict = judged(CommandLine.parse(words), "aarch64")
    assert [change.id for change in verdict.changes] == ["port-without-device"]
    assert verdict.command.text().startswith(f"{words} -device usb-serial,")
    assert judged(verdict.command, "aarch64").changes == ()


@pytest.mark.parametrize(
    ("others", "bus"),
    [
        ("-device qemu-xhci,id=x", "x.0"),
        ("-usb", "usb-bus.0"),
        # The board's own controller is number 0.
        ("-usb -device nec-usb-xhci", "usb-bus.1"),
    ],
)
def test_a_device_in_json_stays_on_its_bus(others: str, bus: str) -> None:
    # QEMU makes it after all others: it would find our controller first.
    words = f"""qemu-system-x86_64 -M pc -nodefaults {others} -chardev null,id=serial1
        -device '{{"driver":"usb-tablet"}}' -device usb-serial,bus=nope.0,chardev=serial1"""
    verdict = judged(CommandLine.parse(words.replace("\n", " ")), "x86_64")
    assert "-device qemu-xhci,id=vmserial-xhci0," in verdict.command.text()
    tablet = next(
        option for option in verdict.command.named("device")
        if option.params.get("driver") == "usb-tablet"
    )  # fmt: skip
    assert tablet.params.get("bus") == bus
    assert judged(verdict.command, "x86_64").changes == ()


def test_the_ports_of_a_card_do_not_share_its_id() -> None:
    words = (
        "qemu-system-aarch64 -M virt -nodefaults -serial pty "
        "-chardev null,id=serial1 -chardev null,id=serial2 "
        "-device pci-serial-2x,id=card,chardev1=serial1,chardev2=serial2,bus=pci.9"
    )
    verdict = judged(CommandLine.parse(words), "aarch64")
    made = [o.params.get("id") for o in verdict.command.named("device")]
    assert made == ["vmserial-xhci0", "card", "card-2"]
    assert {change.id for change in verdict.changes} == {"bus-missing"}


def test_ids_do_not_run_out() -> None:
    assert fresh("a", {f"a-{number}" for number in range(3000)}) == "a-3000"


@pytest.mark.parametrize(
    ("theirs", "port"),
    [("-device usb-tablet", "port=3"), ("-device usb-tablet,port=2,bus=vmserial-xhci0.0", "port=3"),
     ("-device usb-tablet -device usb-kbd", "port=4"), ("-device virtio-rng-pci", "port=2")],
)  # fmt: skip
def test_what_finds_our_controller_by_itself_has_a_place_there(theirs: str, port: str) -> None:
    words = (
        "qemu-system-aarch64 -M virt -nodefaults -serial pty "
        "-device qemu-xhci,id=vmserial-xhci0,addr=1f.0,p2=15,multifunction=on "
        "-chardev null,id=serial1 -device usb-serial,bus=vmserial-xhci0.0,port=1,chardev=serial1 "
        f"{theirs} -chardev null,id=serial2"
    )
    verdict = judged(CommandLine.parse(words), "aarch64")
    assert f",bus=vmserial-xhci0.0,{port},chardev=serial2" in verdict.command.text()
    assert [change.id for change in verdict.changes] == ["port-without-device"]
    assert judged(verdict.command, "aarch64").changes == ()


def test_a_chardev_on_a_machine_that_is_not_planned() -> None:
    words = "qemu-system-mips64 -M malta -serial chardev:serial0"
    verdict = judged(CommandLine.parse(words), "aarch64")
    assert [change.id for change in verdict.changes] == ["chardev-missing"]
    assert judged(verdict.command, "aarch64").changes == ()


def test_nulls_past_the_uarts_that_move_up() -> None:
    # The chardev that QEMU makes for each is called after its place, as serial1 to serial3 are.
    words = "".join(f" -serial chardev:serial{n} -serial null" for n in (1, 2, 3))
    chardevs = "".join(f" -chardev pty,id=serial{n}" for n in (1, 2, 3))
    command = CommandLine.parse(f"qemu-system-aarch64 -M virt -serial null{words}{chardevs}")
    verdict = judged(command, "aarch64")
    left = [o.value for o in verdict.command.named("serial")]
    assert left == ["null", "none", "none", "none"]
    assert len(verdict.changes) == 6
    assert judged(verdict.command, "aarch64").changes == ()


@pytest.mark.parametrize(
    ("words", "id", "mended"),
    [
        # The one that names no port comes first, and gets the lowest.
        (
            "-device qemu-xhci,id=x -device usb-serial,always-plugged=on,chardev=serial1 "
            "-device usb-serial,always-plugged=on,port=1,chardev=serial2",
            "usb-port-taken",
            "bus=vmserial-xhci0.0",
        ),
        # QEMU looks at the other functions when function 0 comes.
        (
            "-device pci-serial,addr=5.1,chardev=serial1 -device pci-serial,addr=5,chardev=serial2",
            "pci-function",
            "addr=5,chardev=serial2,multifunction=on",
        ),
    ],
)
def test_what_qemu_refuses_is_named(words: str, id: str, mended: str) -> None:
    chardevs = "-chardev null,id=serial1 -chardev null,id=serial2"
    words = f"qemu-system-aarch64 -M virt -nodefaults {chardevs} {words}"
    verdict = judged(CommandLine.parse(words), "aarch64")
    assert [flaw.id for flaw in verdict.found] == [id]
    assert mended in verdict.command.text()
    assert verdict.unmended == ()
    assert judged(verdict.command, "aarch64").changes == ()


def test_the_next_one_is_in_the_way_as_much() -> None:
    # Each that is moved lets the next one, which names no place either, have slot 5.
    controllers = " ".join(f"-device virtio-serial-pci,id={letter}" for letter in "abcdefghij")
    words = f"qemu-system-aarch64 -M virt {controllers} -device e1000,addr=5 -serial null"
    verdict = judged(CommandLine.parse(words), "aarch64")
    moved = [change.text.split(":")[0] for change in verdict.changes]
    assert moved == list("defghij")
    assert judged(verdict.command, "aarch64").changes == ()


def test_a_repair_that_does_not_help_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its finding comes back each time: all else is mended, and its owner is told of it."""

    def never(ctx: RuleContext) -> Iterator[Finding]:
        for port in ctx.ports[:1]:
            edit = SetKey(port.option, "chardev", port.chardev_id)
            yield rule.of_port(port, "it stays", EditOptions((edit,), "nothing changed"))

    rule = Rule("caution", Severity.DEAD, KINDS, never)
    monkeypatch.setattr(engine, "PHASES", (*PHASES, (rule,)))
    text = "qemu-system-x86_64 -M q35 -chardev null,id=serial0 -device usb-serial,chardev=serial0"
    verdict = judged(CommandLine.parse(text), "x86_64")
    assert [change.id for change in verdict.changes if change.id == "caution"] == []
    assert {change.id for change in verdict.changes} >= {"id-taken", "usb-no-bus"}
    assert [finding.id for finding in verdict.unmended] == ["caution"]


def test_what_mends_a_lowered_command_is_worked_out_when_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lowered = lower(Document.parse("arch: aarch64\nserial0: socket\nserial1: socket\n", "100.conf"),
                    100, PveHost("", (7, 2, 0)))  # fmt: skip
    known = Capabilities((7, 2, 0), "aarch64", onboard_uarts={"virt": 1})
    guest = profile.unknown("aarch64")
    whole = judge(lowered, known, guest)
    assert whole.changes
    assert whole.answers
    made: list[str] = []
    real = apply.applied

    def counted(*given: Any) -> Any:
        made.append("")
        return real(*given)

    monkeypatch.setattr(apply, "applied", counted)
    looked = judge(lowered, known, guest)
    assert looked.found == whole.found
    assert looked.findings == whole.findings
    assert not made, "it was worked out for who only looks"
    assert looked.changes == whole.changes
    assert len(looked.answers) == len(whole.answers)
    assert looked.command.argv() == whole.command.argv()
    assert made == [""]
    with pytest.raises(AttributeError):
        looked.nothing  # type: ignore[attr-defined] # noqa: B018
