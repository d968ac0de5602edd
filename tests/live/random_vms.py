"""Random VMs from a seed: command lines, libvirt domains, PVE configurations.

More odd ones than right ones: devices on buses that are not there, two at one place, ids
twice, one host side for two ports.  Nothing of them is on this machine but what a test makes.
"""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path
from typing import ClassVar

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


class Wider(Generator):
    """More architectures, boards and host sides: what `fix` must never make worse."""

    MACHINES: ClassVar = {
        "aarch64": ("virt", "virt", "virt,secure=on", "virt,secure=yes", "raspi3b"),
        "x86_64": ("q35", "pc", "q35", "pc", "microvm", "microvm,isa-serial=off"),
        "riscv64": ("virt",),
        "s390x": ("s390-ccw-virtio",),
        "ppc64": ("pseries",),
        "arm": ("virt", "vexpress-a9"),
    }

    def __init__(self, seed: int, directory: Path) -> None:
        super().__init__(seed, directory)
        self.random = random.Random(f"wider {seed}")
        usual = ["aarch64", "x86_64", "aarch64", "x86_64", "aarch64", "x86_64"]
        self.arch = self.random.choice([*usual, "riscv64", "s390x", "ppc64", "arm"])
        machine = self.random.choice(self.MACHINES[self.arch])
        self.root = "pci.0" if machine in {"pc", "pseries"} else "pcie.0"
        self.words = [f"qemu-system-{self.arch}", "-M", machine]
        self.tcp = 20000 + self.random.randrange(20000)

    def command(self) -> list[str]:
        chance = self.random.random
        if chance() < 0.7:
            self.words.append("-nodefaults")
        if chance() < 0.1:
            self.words.append("-nographic")
        if self.arch == "aarch64" and "raspi" not in self.words[2]:
            self.words += ["-cpu", "cortex-a57"]
        made = [self.serial, self.serial, self.serial, self.controller, self.usb_port,
                self.virtio_port, self.pci, self.global_, self.monitor]  # fmt: skip
        made += [self.isa, self.isa] if self.arch == "x86_64" else []
        made += [self.own, self.own] if self.arch in {"s390x", "ppc64"} else []
        for _ in range(self.random.randrange(1, 9)):
            self.random.choice(made)()
        return self.words

    def serial(self) -> None:
        tcp = f"127.0.0.1:{self.tcp + self.random.randrange(3)}"
        backends = (
            "null", "none", "pty", "null", "stdio", "mon:stdio", "vc",
            f"unix:{self.directory}/u{self.random.randrange(3)},server=on,wait=off",
            f"unix:{self.directory}/u{self.random.randrange(3)},server,nowait",
            f"tcp:{tcp},server=on,wait=off", f"telnet:{tcp},server,nowait",
            f"file:{self.directory}/f{self.random.randrange(3)}", f"unix:{self.directory}/none",
        )  # fmt: skip
        inline = self.random.choice(backends)
        self.words += [
            "-serial", self.random.choice([inline, inline, f"chardev:{self.chardev()}"])
        ]  # fmt: skip

    def isa(self) -> None:
        base = self.random.choice(["0x3f8", "0x2f8", "0x3e8", "0x220"])
        iobase = f",iobase={base}" if self.random.random() < 0.2 else ""
        index = f",index={self.random.randrange(5)}" if self.random.random() < 0.3 else ""
        self.device(f"isa-serial,chardev={self.chardev()}{index}{iobase}")

    def own(self) -> None:
        """Add one of the devices that only this architecture has."""
        if self.arch == "ppc64":
            reg = self.random.choice(["", "", ",reg=0x30000000", ",reg=0x30001000"])
            self.words += ["-device", f"spapr-vty,chardev={self.chardev()}{reg}"]
        else:
            driver = self.random.choice(["sclpconsole", "sclplmconsole", "virtio-serial-ccw"])
            end = "" if driver.startswith("virtio") else f",chardev={self.chardev()}"
            self.words += ["-device", driver + end]

    def global_(self) -> None:
        text = self.random.choice([
            "usb-serial.always-plugged=true", "driver=usb-serial,property=always-plugged,value=on",
            "isa-serial.index=1", "virtio-serial-pci.max_ports=3",
        ])  # fmt: skip
        self.words += ["-global", text]

    def monitor(self) -> None:
        value = self.random.choice([
            "none", "none", "stdio", f"unix:{self.directory}/m,server=on,wait=off",
            f"telnet:127.0.0.1:{self.tcp},server=on,wait=off",
        ])  # fmt: skip
        self.words += ["-monitor", value]


def starts(words: list[str]) -> tuple[bool, str]:
    """Start a command paused and end it over QMP."""
    ended = subprocess.run(
        [*words, "-S", "-display", "none", "-accel", "tcg", "-qmp", "stdio"],
        input='{"execute":"qmp_capabilities"}{"execute":"quit"}', capture_output=True, text=True,
        timeout=RUNS_SECONDS, check=False,
    )  # fmt: skip
    return ended.returncode == 0, ended.stderr


class Domains:
    """Makes one libvirt domain from a seed."""

    MACHINES: ClassVar = {"aarch64": ("virt",), "x86_64": ("q35", "pc"), "riscv64": ("virt",)}

    def __init__(self, seed: int) -> None:
        self.random = random.Random(f"domain {seed}")
        self.arch = self.random.choice(["aarch64", "x86_64", "aarch64", "x86_64", "riscv64"])
        self.machine = self.random.choice(self.MACHINES[self.arch])
        self.channels = 0

    def xml(self) -> str:
        made = [self.port() for _ in range(self.random.randrange(1, 8))]
        made += [self.controller(n) for n in range(self.random.randrange(0, 3))]
        if self.random.random() < 0.4:
            made.append("<console type='pty'><target type='serial' port='0'/></console>")
        self.random.shuffle(made)
        emulator = f"<emulator>/usr/bin/qemu-system-{self.arch}</emulator>"
        devices = "\n    ".join([emulator, *made])
        return (
            "<domain type='qemu'>\n  <name>r</name>\n  <memory>524288</memory>\n"
            f"  <os><type arch='{self.arch}' machine='{self.machine}'>hvm</type></os>\n"
            f"  <devices>\n    {devices}\n  </devices>\n</domain>\n"
        )

    def source(self, number: int) -> tuple[str, str]:
        return self.random.choice([
            ("pty", ""), ("pty", ""), ("null", ""),
            ("unix", f"<source mode='bind' path='/run/r/s{number % 3}'/>"),
            ("unix", f"<source mode='bind' path='/run/r/own{number}'/>"),
            ("tcp", f"<source mode='bind' host='127.0.0.1' service='{7000 + number % 3}'/>"),
            ("file", f"<source path='/var/log/r{number}.log'/>"),
        ])  # fmt: skip

    def address(self) -> str:
        if self.random.random() < 0.6:
            return ""
        slot = self.random.randrange(1, 31)
        return f"<address type='pci' domain='0x0' bus='0x0' slot='{slot:#x}' function='0x0'/>"

    def port(self) -> str:
        self.channels += 1
        number = self.channels
        kind, source = self.source(number)
        usual = ["isa-serial"] * 3 if self.arch == "x86_64" else ["system-serial"] * 3
        target = self.random.choice([*usual, "usb-serial", "usb-serial", "pci-serial", "virtio",
                                     "virtio", "console", "odd"])  # fmt: skip
        at = f" port='{self.random.randrange(5)}'" if self.random.random() < 0.5 else ""
        if target == "virtio":
            name = self.random.choice([f"org.r.{number}", "org.qemu.guest_agent.0", "org.r.same"])
            place = ""
            if self.random.random() < 0.4:
                nr = self.random.randrange(40)
                place = f"<address type='virtio-serial' controller='0' bus='0' port='{nr}'/>"
            return (
                f"<channel type='{kind}'>{source}<target type='virtio' name='{name}'/>"
                f"{place}</channel>"
            )
        if target == "console":
            return f"<console type='{kind}'>{source}<target type='virtio'{at}/></console>"
        if target == "odd":
            return f"<serial type='{kind}'>{source}</serial>"
        place = self.address() if target == "pci-serial" else ""
        if target == "usb-serial" and self.random.random() < 0.4:
            place = f"<address type='usb' bus='0' port='{self.random.randrange(1, 9)}'/>"
        return f"<serial type='{kind}'>{source}<target type='{target}'{at}/>{place}</serial>"

    def controller(self, number: int) -> str:
        if self.random.random() < 0.5:
            model = self.random.choice(["qemu-xhci", "nec-xhci", "ehci", "qemu-xhci"])
            return f"<controller type='usb' index='{number}' model='{model}'/>"
        most = self.random.choice(["", " ports='4'", " ports='31'"])
        return f"<controller type='virtio-serial' index='{number}'{most}/>"


class Confs:
    """Makes one PVE configuration from a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(f"conf {seed}")
        self.arch = self.random.choice(["aarch64", "x86_64"])

    def text(self) -> str:
        chance = self.random.random

        def one(*choices: str) -> None:
            if chosen := self.random.choice(choices):
                lines.append(chosen)

        lines: list[str] = []
        if self.arch == "aarch64" or chance() < 0.3:
            lines.append(f"arch: {self.arch}")
        if self.arch == "x86_64":
            one("", "machine: q35", "machine: pc", "machine: pc-q35-7.2")
        one("", "ostype: l26", "ostype: win11", "ostype: other")
        lines += ["memory: 512", "name: r"]
        for number in range(6):
            if chance() < 0.5:
                one(*[f"serial{number}: socket"] * 4, f"serial{number}: /dev/ttyS{number}")
                if chance() < 0.2:
                    kind = self.random.choice(["usb", "pci", "virtio", "isa", "auto"])
                    lines.append(f"#vmserial serial{number}: type={kind}")
        for number in range(6, 9):
            if chance() < 0.15:
                one(f"#vmserial serial{number}: socket", f"#vmserial serial{number}: pty,type=pci")
        one("", "", "agent: 1", "agent: 1,type=isa")
        one("", "", "usb0: spice", "usb0: spice,usb3=1", "usb0: host=1-1")
        one("", "", "vga: qxl", "vga: serial0", "vga: std", "vga: none")
        one("", "", "tablet: 0", "audio0: device=AC97", "watchdog: i6300esb")
        one("", "", "net0: virtio=BC:24:11:00:00:01,bridge=vmbr0")
        if chance() < 0.5:
            lines.append(f"args: {' '.join(self.args())}")
        return "\n".join(lines) + "\n"

    def args(self) -> list[str]:
        words: list[str] = []
        for number in range(self.random.randrange(1, 4)):
            id = self.random.choice([f"serial{number + 4}", f"x{number}", "serial0"])
            words += ["-chardev", f"socket,path=/run/r/{id},server=on,wait=off,id={id}"]
            bus = self.random.choice(["", "", ",bus=ehci.0", ",bus=xhci.0", ",bus=usb-bus.0"])
            at = self.random.choice(["", ",bus=pci.2,addr=0x1d", ",bus=pci.0,addr=0x1d",
                                     ",bus=pci.2,addr=0x5", ",bus=pcie.0,addr=0x1c"])  # fmt: skip
            words += self.random.choice([
                ["-device", f"usb-serial,chardev={id}{bus}"],
                ["-device", f"pci-serial,chardev={id}{at}"],
                ["-device", f"qemu-xhci,id=u{number}{at}", "-device",
                 f"usb-serial,chardev={id},bus=u{number}.0"],
                ["-device", f"virtio-serial-pci,id=v{number}{at}", "-device",
                 f"virtserialport,chardev={id},bus=v{number}.0"],
                ["-device", f"isa-serial,chardev={id}"],
                ["-serial", f"chardev:{id}"],
            ])  # fmt: skip
        if self.random.random() < 0.3:
            # QEMU makes these chardevs, and names them as PVE names its own.
            words += ["-nographic"] if self.random.random() < 0.5 else []
            words += ["-serial", self.random.choice(["stdio", "pty", "mon:stdio", "null"])]
        return words
