"""From a private copy of a command to the VM that proves it; and what a live probe means."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from plans import DEBIAN_12_ARM64
from test_qemu_isolation import ARM, X86

from vmserial.doctor import Severity
from vmserial.errors import UsageError
from vmserial.guests.images import TestGuest
from vmserial.model import Capabilities
from vmserial.qemu import binary, liveprobe
from vmserial.qemu.isolation import isolate
from vmserial.qemu.liveprobe import PortSeen, Probed, argv_of, findings
from vmserial.qemu.private import PrivateCommand
from vmserial.sources.command import CommandLine, CommandView
from vmserial.verify import command, command_setup
from vmserial.verify.request import TestEnvironment
from vmserial.verify.results import FaultKind, Verdict
from vmserial.verify.setup import Setup


def guest(arch: str) -> TestGuest:
    return TestGuest(
        name=f"debian-12-{arch}", arch=arch, suite="bookworm", release="6.1", kernel=Path("/g/k"),
        packed=Path("/g/k"), initrd=Path("/g/i"), config=None, profile=DEBIAN_12_ARM64,
        console="ttyAMA0", shell="control", append="quiet",
    )  # fmt: skip


def made(
    text: str, capabilities: Capabilities, pci: dict[str, str] | None = None
) -> tuple[PrivateCommand, Setup]:
    view = CommandView.of(CommandLine.parse(text))
    capabilities = replace(capabilities, binary="/q")
    private = isolate(view, capabilities, lambda name: f"/p/{name}")
    probed = Probed(True, "", "7.2.22", "", (), pci=pci or {})
    environment = TestEnvironment(capabilities, guest(private.arch))
    return private, command_setup.setup(private, probed, environment, "/p/ctl")


def identities(setup: Setup) -> dict[str, tuple[str, str, str]]:
    return {a.port.name: (a.kind, str(a.identity), a.node) for a in setup.plan.assignments}


# ------------------------------------------------------------------ the VM that is booted


def test_the_booted_command() -> None:
    _, setup = made("qemu-system-aarch64 -M virt,accel=kvm -cpu host -nodefaults -serial pty", ARM)
    assert " ".join(setup.argv) == (
        "/q -machine virt -nodefaults -chardev socket,id=serial0,path=/p/serial0,server=on,wait=off"
        " -serial chardev:serial0 -accel tcg -cpu cortex-a57 -m 512 -display none"
        " -kernel /g/k -initrd /g/i -append quiet"
        " -chardev socket,id=vmserial-control,path=/p/ctl,server=on,wait=off"
        " -device virtio-serial-pci,id=vmserial-ctl,bus=pcie.0,max_ports=16"
        " -device virtserialport,id=vmserial-ctl-port,bus=vmserial-ctl.0,nr=1,"
        "chardev=vmserial-control,name=vmserial.control -no-reboot"
    )
    assert setup.plan.control is not None
    assert str(setup.plan.control.identity) == "virtio:vmserial.control"


def test_the_control_port_comes_after_devices_in_json() -> None:
    text = """qemu-system-aarch64 -M virt -serial pty -device '{"driver":"qemu-xhci"}'"""
    _, setup = made(text, ARM)
    drivers = [
        json.loads(setup.argv[at + 1])["driver"]
        for at, word in enumerate(setup.argv)
        if word == "-device"
    ]
    assert drivers == ["qemu-xhci", "virtio-serial-pci", "virtserialport"]


def test_the_root_bus_of_pc() -> None:
    _, setup = made("qemu-system-x86_64 -serial pty", X86)
    assert "virtio-serial-pci,id=vmserial-ctl,bus=pci.0,max_ports=16" in setup.argv
    assert "-cpu" not in setup.argv


def test_kvm_where_it_is_proven() -> None:
    capabilities = replace(ARM, accelerators=frozenset({"tcg", "kvm"}))
    private, _ = made("qemu-system-aarch64 -M virt,gic-version=host -serial pty", capabilities)
    text = " ".join(argv_of(private, capabilities))
    assert "-machine virt,gic-version=host" in text
    assert "-accel kvm -cpu host" in text


def test_each_ports_identity_on_aarch64() -> None:
    _, setup = made(
        "qemu-system-aarch64 -M virt -nodefaults -serial pty -serial pty -serial pty "
        "-device qemu-xhci -device virtio-serial-pci -chardev pty,id=a -device usb-serial,chardev=a"
        " -chardev pty,id=b -device virtserialport,chardev=b,name=me.x "
        "-chardev pty,id=c -device virtconsole,chardev=c -device pci-serial-4x,id=card,chardev1=d,"
        "chardev2=e -chardev pty,id=d -chardev pty,id=e",
        ARM,
        {"card": "01.0/02.1"},
    )
    assert identities(setup) == {
        "serial0": ("uart", "mmio:0x9000000", "/dev/ttyAMA*"),
        "serial1": ("uart", "mmio:0x9040000", "/dev/ttyAMA*"),
        "serial2": ("uart", "mmio:UART-3", "/dev/ttyAMA*"),
        "serial3": ("usb", "usb:serial3", "/dev/ttyUSB*"),
        "serial4": ("virtio", "virtio:me.x", "/dev/virtio-ports/me.x"),
        "serial5": ("virtconsole", "virtio:serial5", "/dev/hvc*"),
        "serial6": ("pci-4x", "pci:01.0/02.1#0", "/dev/ttyS*"),
        "serial7": ("pci-4x", "pci:01.0/02.1#1", "/dev/ttyS*"),
    }


def test_each_ports_identity_on_x86() -> None:
    serials = "-serial pty " * 5
    _, setup = made(
        f"qemu-system-x86_64 -M q35 -nodefaults {serials} -chardev pty,id=a "
        "-device isa-serial,chardev=a,iobase=0x220,index=1",
        X86,
    )
    assert {name: text for name, (_, text, _) in identities(setup).items()} == {
        "serial0": "io:0x3f8", "serial1": "io:0x2f8", "serial2": "io:0x3e8",
        "serial3": "io:0x2e8", "serial4": "io:COM5", "serial5": "io:0x220",
    }  # fmt: skip


def test_a_machine_type_that_nobody_knows() -> None:
    with pytest.raises(UsageError, match="raspi3b"):
        made("qemu-system-aarch64 -M raspi3b -serial pty", ARM)


def test_ports_at_one_place_are_not_mistaken_for_each_other() -> None:
    private, setup = made(
        "qemu-system-x86_64 -M q35 -nodefaults -serial pty -chardev pty,id=a -chardev pty,id=b "
        "-device isa-serial,chardev=a,index=2 -device isa-serial,chardev=b,index=2",
        X86,
    )
    environment = TestEnvironment(X86, guest("x86_64"))
    checks = command._ambiguous(setup.plan, private, environment)
    assert [(c.port, c.verdict, c.faults[0].kind) for c in checks] == [
        ("serial1", Verdict.FAIL, FaultKind.WRONG_NODE),
        ("serial2", Verdict.FAIL, FaultKind.WRONG_NODE),
    ]
    assert "serial2 is at io:0x3e8 as well" in checks[0].detail
    assert list(identities(command._without_ambiguous(setup))) == ["serial0"]


def test_what_a_test_guest_cannot_prove_is_said() -> None:
    private, _ = made(
        "qemu-system-x86_64 -usb -serial pty -chardev pty,id=serial1 -chardev pty,id=serial2 "
        "-device usb-serial,chardev=serial1 -device usb-serial,chardev=serial2 "
        "-chardev pty,id=charserial9",
        X86,
    )
    said = probed(
        PortSeen("serial1", "serial1", "usb-serial", "a", controller="piix3-usb-uhci"),
        PortSeen("serial2", "serial2", "usb-serial", "b", controller="nec-usb-xhci"),
    )
    kept, checks = command._provable(private, said, TestEnvironment(X86, guest("x86_64")))
    assert [port.name for port in kept.ports] == ["serial0", "serial2"]
    assert [(c.port, c.verdict) for c in checks] == [
        ("serial9", Verdict.FAIL), ("serial1", Verdict.SKIPPED)
    ]  # fmt: skip
    assert "piix3-usb-uhci" in checks[1].detail
    assert "chardev charserial9" in checks[0].detail


def test_a_mutant_for_a_port_that_is_not_there() -> None:
    private, _ = made("qemu-system-x86_64 -nodefaults -serial pty", X86)
    command._check_mutants(private, ["drop@serial0"])
    with pytest.raises(UsageError, match="does not have"):
        command._check_mutants(private, ["drop@serial0", "drop@serial1"])


# ------------------------------------------------------------------ what a probe means


def probed(*ports: PortSeen, starts: bool = True, words: str = "") -> Probed:
    return Probed(starts, words, "7.2.22", "virt", ports)


def test_only_a_serial_can_be_dead_on_a_paused_vm() -> None:
    found = findings(
        probed(
            PortSeen("serial0", "serial0", "", "", open=True),
            PortSeen("serial1", "serial1", "", "", open=False),
            PortSeen("serial2", "serial2", "virtserialport", "p", open=False),
        )
    )
    assert [(f.id, f.severity, f.ports) for f in found] == [
        ("onboard-uart-limit", Severity.DEAD, ("serial1",))
    ]
    assert "virt of QEMU 7.2.22 has 1 on-board UART" in found[0].happens


def test_a_usb_serial_that_waits_for_a_client() -> None:
    ports = (
        PortSeen("serial0", "serial0", "usb-serial", "a", open=True, attached=True),
        PortSeen("serial1", "serial1", "usb-serial", "b", open=True, attached=False),
    )
    (found,) = findings(probed(*ports))
    assert (found.id, found.severity, found.ports) == (
        "usb-not-plugged", Severity.DEAD, ("serial1",)
    )  # fmt: skip


def test_qemus_words_are_recognised_and_name_the_port() -> None:
    words = (
        "qemu-system-x86_64: warning: hub 0 is not connected to host network\n"
        "qemu-system-x86_64: -device isa-serial,chardev=serial4: Max. supported number of ISA "
        "serial ports is 4.\n"
    )
    ports = [PortSeen(f"serial{n}", f"serial{n}", "isa-serial", "") for n in (1, 4, 41)]
    (found,) = findings(probed(*ports, starts=False, words=words))
    assert (found.id, found.severity, found.ports) == ("isa-limit", Severity.FAILS, ("serial4",))
    assert found.happens.endswith("ISA serial ports is 4.")


def test_words_that_nobody_knows() -> None:
    (found,) = findings(probed(starts=False, words="kvm: the cat sat on the keyboard"))
    assert (found.id, found.severity) == ("start-failed", Severity.FAILS)
    assert found.happens == "kvm: the cat sat on the keyboard"


def test_a_probe_is_json() -> None:
    data = json.loads(json.dumps(probed(PortSeen("serial0", "a", "", "", open=True)).to_json()))
    assert data["starts"] is True
    assert data["ports"][0]["name"] == "serial0"


def test_which_binary_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str | None]] = []

    def find(arch: str, explicit: str | None = None) -> str:
        asked.append((arch, explicit))
        return "/q"

    def probe(path: str, **_: object) -> Capabilities:
        return replace(ARM, binary=path)

    monkeypatch.setattr(binary, "find", find)
    monkeypatch.setattr(binary, "probe", probe)
    monkeypatch.setattr(liveprobe, "_host", lambda: "aarch64")
    here = tmp_path / "qemu-system-aarch64"
    here.touch()
    for text in (
        f"{here} -M virt",
        "/nowhere/qemu-system-aarch64 -M virt",
        "/usr/bin/kvm -machine type=virt+pve0",
        "/usr/bin/kvm",
    ):
        liveprobe.understand(CommandLine.parse(text))
    liveprobe.understand(CommandLine.parse("kvm"), binary="mine")
    assert asked == [("aarch64", str(here)), *[("aarch64", None)] * 3, ("aarch64", "mine")]
    with pytest.raises(UsageError, match="which architecture"):
        liveprobe.understand(CommandLine.parse("qemu"))


# ------------------------------------------------------------------ consoles of other boards

PPC, S390 = Capabilities((7, 2, 0), "ppc64"), Capabilities((7, 2, 0), "s390x")


def test_vtys_are_known_by_their_registers_whoever_gave_them() -> None:
    text = (
        "qemu-system-ppc64 -M pseries -nodefaults -serial pty"
        " -chardev pty,id=a -device spapr-vty,chardev=a"
        " -chardev pty,id=b -device spapr-vty,chardev=b,reg=0x30000000"
    )
    _, setup = made(text, PPC)
    assert identities(setup) == {
        "serial0": ("uart", "vio:0x71000000", "/dev/hvc*"),
        "serial1": ("uart", "vio:0x71000001", "/dev/hvc*"),
        "serial2": ("uart", "vio:0x30000000", "/dev/hvc*"),
    }
    # The lowest register is hvc0, the console, and takes SysRq.
    assert {a.port.name: a.carries.to_guest.sysrq for a in setup.plan.assignments} == {
        "serial0": False, "serial1": False, "serial2": True
    }  # fmt: skip


@pytest.mark.parametrize(
    "ports",
    [
        "-serial pty -serial pty",
        "-chardev pty,id=a -device sclpconsole,chardev=a "
        "-chardev pty,id=b -device sclplmconsole,chardev=b",
    ],
)
def test_sclp_consoles_carry_what_they_carry_whoever_made_them(ports: str) -> None:
    _, setup = made(f"qemu-system-s390x -M s390-ccw-virtio -nodefaults {ports}", S390)
    first, second = setup.plan.assignments
    assert (str(first.identity), first.node) == ("sclp:sclpconsole", "/dev/ttysclp0")
    assert (str(second.identity), second.node) == ("sclp:sclplmconsole", "/dev/sclp_line0")
    assert first.carries.to_guest.sysrq
    assert second.carries.to_guest.form == "nothing"
