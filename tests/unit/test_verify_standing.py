"""An input as it stands: which check names which finding, and what a paused QEMU proves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from vmserial.model import Finding, Severity
from vmserial.qemu.liveprobe import PortSeen, Probed
from vmserial.verify.results import Check, FaultKind, Verdict, exit_code
from vmserial.verify.standing import Named, paused_checks

ABOUT = Check("command", "aarch64", "virt", "7.2.22", "none", "", mode="paused")


def finding(id: str, severity: Severity, *ports: str) -> Finding:
    return Finding(id, severity, f"{id} happens", "why", "do", ports)


def red(port: str, detail: str = "no node") -> Check:
    return replace(ABOUT, port=port, verdict=Verdict.FAIL, detail=detail)


def test_a_red_port_names_its_finding() -> None:
    named = Named([finding("onboard-uart-limit", Severity.DEAD, "serial1")])
    assert named.named(red("serial1")).detail == "no node [onboard-uart-limit]"
    # The second check of the port says it as well, and twice says nobody.
    assert named.named(red("serial1", "x [onboard-uart-limit]")).detail.count("[") == 1
    assert named.named(red("serial2")).detail == "no node"
    assert named.rest() == []


def test_what_no_check_shows_is_left_over() -> None:
    tty = finding("tty-missing", Severity.FAILS, "serial0", "serial1")
    note = finding("to-know", Severity.NOTE, "serial0")
    named = Named([tty, note, finding("libvirt-no-usb", Severity.FAILS)])
    green = replace(ABOUT, port="serial0")
    assert named.named(green) == green
    assert named.named(red("serial1")).detail.endswith("[tty-missing]")
    assert [(port, one.id) for port, one in named.rest()] == [
        ("serial0", "tty-missing"), ("", "libvirt-no-usb")
    ]  # fmt: skip


def test_qemus_own_words_say_which_finding_a_refused_vm_is() -> None:
    found = [finding("bus-missing", Severity.FAILS), finding("isa-limit", Severity.FAILS)]
    named = Named(found)
    assert named.named(red("", "Bus 'x' not found [bus-missing]")).detail.count("[") == 1
    assert [one.id for _, one in named.rest()] == ["isa-limit"]
    # Words that nobody knows may be any of them.
    assert named.named(red("", "the cat sat")).detail == "the cat sat [bus-missing] [isa-limit]"
    assert named.rest() == []


def test_the_vms_check_calls_a_finding_as_its_owner_does() -> None:
    words = "'isa-serial' is not a valid device model name [kind-not-on-arch]"
    of_pve = Named([finding("pve-isa-on-aarch64", Severity.FAILS, "serial1")])
    assert of_pve.named(red("", words)).detail.endswith("name [pve-isa-on-aarch64]")
    of_a_command = Named([finding("kind-not-on-arch", Severity.FAILS, "serial1")])
    assert of_a_command.named(red("", words)).detail == words


@pytest.mark.parametrize(
    ("port", "verdict", "words"),
    [
        (PortSeen("serial0", "a", "", "", open=True), Verdict.PASS, "asked while paused"),
        (PortSeen("serial0", "a", "", "", open=False), Verdict.FAIL, "[onboard-uart-limit]"),
        (PortSeen("serial0", "a", "", "", open=False, silent=True), Verdict.SKIPPED, "null"),
        (PortSeen("serial0", "a", "virtserialport", "", open=False), Verdict.PASS, "asked"),
        (PortSeen("serial0", "a", "pci-serial", "", open=False), Verdict.FAIL, "frontend-open"),
        (PortSeen("serial0", "a", "usb-serial", "u", open=True, attached=False), Verdict.FAIL,
         "[usb-not-plugged]"),
    ],
)  # fmt: skip
def test_what_a_paused_qemu_proves(port: PortSeen, verdict: Verdict, words: str) -> None:
    whole, check = paused_checks(ABOUT, Probed(True, "", "7.2.22", "virt", (port,)))
    assert whole.verdict is Verdict.PASS
    assert (check.port, check.verdict) == ("serial0", verdict)
    assert words in check.detail


def test_what_does_not_start_while_paused() -> None:
    words = "qemu: -device isa-serial,chardev=a: 'isa-serial' is not a valid device model name"
    (check,) = paused_checks(ABOUT, Probed(False, words, "7.2.22", "virt", ()))
    assert check.detail == f"{words} [kind-not-on-arch]"
    assert check.faults[0].kind is FaultKind.REFUSED
    assert exit_code([check]) == 1


def test_a_chardev_that_no_device_uses_is_a_red_port() -> None:
    probed = Probed(True, "", "7.2.22", "virt", (), without_device=(("serial4", "serial4"),))
    _, check = paused_checks(ABOUT, probed)
    assert (check.port, check.verdict) == ("serial4", Verdict.FAIL)
