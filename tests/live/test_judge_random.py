"""Random command lines on the real QEMU: what works is left to work, what fails was named.

QEMU runs paused.  The generator makes more odd commands than right ones: devices on
buses that are not there, two at one place, ids twice, JSON beside key=value.
"""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path

import pytest
from test_findings_live import here

from vmserial.guests import profile
from vmserial.judge import Wishes, judge
from vmserial.model import Severity
from vmserial.sources.command import CommandLine

SEEDS = range(60)
RUNS_SECONDS = 60.0


class Generator:
    """Makes one command line from a seed."""

    def __init__(self, seed: int, directory: Path) -> None:
        self.random = random.Random(seed)
        self.directory = directory
        self.arch = self.random.choice(["aarch64", "x86_64"])
        machine = "virt" if self.arch == "aarch64" else self.random.choice(["q35", "pc"])
        self.root = "pci.0" if machine == "pc" else "pcie.0"
        self.words = [f"qemu-system-{self.arch}", "-M", machine]
        self.usb: list[str] = []
        self.virtio: list[str] = []
        self.ports = 0

    def command(self) -> list[str]:
        chance = self.random.random
        if chance() < 0.9:
            self.words.append("-nodefaults")
        if self.arch == "aarch64":
            self.words += ["-cpu", "cortex-a57"]
        for _ in range(self.random.randrange(1, 9)):
            self.random.choice([self.controller, self.serial, self.isa, self.pci, self.usb_port,
                                self.usb_port, self.virtio_port, self.virtio_port])()  # fmt: skip
        return self.words

    def chardev(self) -> str:
        id = self.random.choice(["serial{}", "serial{}", "charserial{}"]).format(self.ports)
        self.ports += 1
        if self.random.random() < 0.05:
            id = f"serial{self.random.randrange(self.ports)}"
        value = self.random.choice(["null", "null", "pty", "socket"])
        if value == "socket":
            value += f",path={self.directory}/s{self.random.randrange(30)},server=on,wait=off"
        if self.random.random() < 0.97:
            self.words += ["-chardev", f"{value},id={id}"]
        return id

    def address(self) -> str:
        if self.random.random() < 0.5:
            return ""
        place = f"{self.random.randrange(4, 0x1F):x}{self.random.choice(['', '.0', '.1', '.0x1'])}"
        return f",bus={self.root},addr=0x{place}" + self.random.choice(["", ",multifunction=on"])

    def device(self, value: str) -> None:
        if self.random.random() < 0.15:
            driver, *pairs = value.split(",")
            data: dict[str, object] = {"driver": driver}
            for key, _, text in (pair.partition("=") for pair in pairs):
                number = key in {"nr", "max_ports", "index", "p2", "p3"}
                data[key] = int(text) if number else text == "on" if text in {"on", "off"} else text
            value = json.dumps(data)
        self.words += ["-device", value]

    def controller(self) -> None:
        id = f"c{len(self.words)}"
        named = f",id={id}" if self.random.random() < 0.7 else ""
        if self.random.random() < 0.5:
            driver = self.random.choice(["qemu-xhci", "nec-usb-xhci", "usb-ehci", "pci-ohci"])
            wide = ",p2=15,p3=15" if "xhci" in driver and self.random.random() < 0.5 else ""
            self.device(driver + named + wide + self.address())
            self.usb += [id] if named else []
        else:
            few = ",max_ports=4" if self.random.random() < 0.2 else ""
            self.device("virtio-serial-pci" + named + few + self.address())
            self.virtio += [id] if named else []

    def serial(self) -> None:
        backends = ("null", "none", "pty", f"unix:{self.directory}/u,server=on,wait=off")
        inline = self.random.choice(backends)
        self.words += ["-serial", self.random.choice([inline, f"chardev:{self.chardev()}"])]

    def isa(self) -> None:
        index = f",index={self.random.randrange(5)}" if self.random.random() < 0.3 else ""
        self.device(f"isa-serial,chardev={self.chardev()}{index}")

    def pci(self) -> None:
        if self.random.random() < 0.3:
            self.device(
                f"pci-serial-2x,chardev1={self.chardev()},chardev2={self.chardev()}{self.address()}"
            )
        else:
            self.device(f"pci-serial,chardev={self.chardev()}{self.address()}")

    def usb_port(self) -> None:
        bus = f",bus={self.random.choice(self.usb)}.0" if self.usb else ""
        if bus and self.random.random() < 0.5:
            bus += f",port={self.random.randrange(1, 8)}"
        plugged = ",always-plugged=on" if self.random.random() < 0.7 else ""
        self.device(f"usb-serial,chardev={self.chardev()}{bus}{plugged}")

    def virtio_port(self) -> None:
        bus = f",bus={self.random.choice(self.virtio)}.0" if self.virtio else ""
        if bus and self.random.random() < 0.5:
            bus += f",nr={self.random.randrange(33)}"
        name = f",name=p{self.random.randrange(9)}" if self.random.random() < 0.6 else ""
        driver = self.random.choice(["virtserialport", "virtserialport", "virtconsole"])
        self.device(f"{driver},chardev={self.chardev()}{bus}{name}")


def starts(words: list[str]) -> tuple[bool, str]:
    """Start a command paused and end it over QMP."""
    ended = subprocess.run(
        [*words, "-S", "-display", "none", "-accel", "tcg", "-qmp", "stdio"],
        input='{"execute":"qmp_capabilities"}{"execute":"quit"}', capture_output=True, text=True,
        timeout=RUNS_SECONDS, check=False,
    )  # fmt: skip
    return ended.returncode == 0, ended.stderr


@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_command(seed: int, tmp_path: Path) -> None:
    generator = Generator(seed, tmp_path)
    words = generator.command()
    arch = generator.arch
    kind = generator.random.choice(["auto", "auto", "pci", "virtio"])
    verdict = judge(
        CommandLine.from_words(words), here(arch), profile.unknown(arch), Wishes(kind=kind)
    )
    again = judge(verdict.command, here(arch), profile.unknown(arch), Wishes(kind=kind))
    assert [change.text for change in again.changes] == []
    before, said = starts(words)
    fails = [flaw for flaw in verdict.flaws if flaw.severity is Severity.FAILS]
    assert before or fails, said
    assert not (before and fails), fails
    if verdict.command.argv() != words:
        after, said = starts(verdict.command.argv())
        assert after or verdict.left, said
