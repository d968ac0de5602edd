"""Kinds of commands that were once called right, or repaired wrongly, with what QEMU 7.2 did."""

from __future__ import annotations

import pytest

import findings
from vmserial.guests import profile
from vmserial.judging import Judgement, judge
from vmserial.model import Severity
from vmserial.sources.command import CommandLine

ARM, PC = "qemu-system-aarch64 -M virt", "qemu-system-x86_64 -M pc"
BARE = f"{PC} -nodefaults -display none"
SERVER = "server=on,wait=off"


def judged(text: str) -> Judgement:
    command = CommandLine.parse(text)
    arch = command.program.rpartition("-")[2]
    return judge(command, findings.capabilities(arch), profile.unknown(arch))


def wrong(text: str) -> list[str]:
    return [f.id for f in judged(text).found if f.severity is not Severity.NOTE]


STDIO = [
    # What -nographic puts on stdio depends on what else is given.
    (f"{ARM} -nographic -serial stdio", f"{ARM} -nographic -serial mon:stdio"),
    (f"{ARM} -nographic -monitor stdio", f"{ARM} -nographic -monitor none -serial mon:stdio"),
    (f"{PC} -nographic -qmp stdio", f"{PC} -nographic -qmp stdio -serial null"),
    (f"{PC} -nographic -chardev stdio,id=x", f"{PC} -nographic -chardev stdio,id=x "
     "-serial null -monitor none"),
    (f"{PC} -nographic -chardev stdio,id=x -serial null",
     f"{PC} -nographic -chardev stdio,id=x -serial null -monitor none"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "repaired"), STDIO)
def test_nographic_takes_stdio(text: str, repaired: str) -> None:
    assert wrong(text) == ["stdio-twice"]
    assert judged(text).command.text() == repaired
    assert wrong(repaired) == []


@pytest.mark.parametrize(
    "text",
    [f"{ARM} -nographic", f"{ARM} -nographic -serial mon:stdio",
     f"{PC} -nographic -monitor none -serial stdio", f"{PC} -nographic -nodefaults -serial stdio",
     f"{PC} -nographic -serial null -monitor none -chardev stdio,id=x",
     f"{PC} -nographic -qmp stdio -serial none", f"{PC},graphics=off -serial stdio",
     f"{PC} -nographic -parallel mon:stdio -serial null"],
)  # fmt: skip
def test_stdio_that_only_one_wants_is_right(text: str) -> None:
    assert wrong(text) == []


@pytest.mark.parametrize(
    ("one", "two", "clash"),
    [
        (f"-serial tcp::4322,{SERVER}", f"-serial tcp::4322,{SERVER}", True),
        (f"-serial telnet:localhost:4322,{SERVER}", f"-serial tcp:127.0.0.1:4322,{SERVER}", True),
        (f"-serial tcp::4322,{SERVER}", "-gdb tcp::4322", True),
        (f"-serial tcp::1234,{SERVER}", "-s", True),
        (f"-serial tcp::4322,{SERVER}", f"-chardev socket,id=m,host=,port=4322,{SERVER}", True),
        (f"-monitor tcp::4322,{SERVER}", f"-serial tcp::4322,{SERVER}", True),
        (f"-serial tcp::4322,{SERVER}", f"-serial tcp:127.0.0.1:4322,{SERVER}", True),
        # One without a host takes what is left of both families.
        (f"-serial tcp:127.0.0.1:4322,{SERVER}", f"-serial tcp::4322,{SERVER}", False),
        (
            f"-chardev socket,id=a,host=::,port=4322,{SERVER}",
            f"-serial tcp:0.0.0.0:4322,{SERVER}",
            True,
        ),
        (f"-serial tcp::4322,{SERVER}", f"-serial tcp::4323,{SERVER}", False),
        (f"-serial tcp:127.0.0.1:4322,{SERVER}", f"-serial tcp:127.0.0.2:4322,{SERVER}", False),
        (f"-serial tcp::4322,{SERVER},to=4330", f"-serial tcp::4322,{SERVER},to=4330", False),
        (f"-serial tcp::0,{SERVER}", f"-serial tcp::0,{SERVER}", False),
        ("-serial tcp:h:4322", "-serial tcp:h:4322", False),
    ],
)
def test_two_servers_of_one_tcp_port(one: str, two: str, clash: bool) -> None:
    assert ("address-in-use" in wrong(f"{BARE} {one} {two}")) is clash
    assert "address-in-use" not in wrong(f"{BARE} {one}")


@pytest.mark.parametrize(
    ("chardev", "wrong_with"),
    [(f"socket,id=serial0,port=4322,{SERVER}", ["chardev-incomplete"]),
     ("socket,id=serial0,port=4322", ["chardev-incomplete"]),
     ("socket,id=serial0,host=h", ["chardev-incomplete"]),
     ("serial,id=serial0", ["chardev-incomplete"]), ("file,id=serial0", ["chardev-incomplete"]),
     ("udp,id=serial0,host=h", ["chardev-incomplete"]),
     (f"socket,id=serial0,host=,port=4322,{SERVER}", []), ("socket,id=serial0,fd=3", []),
     ("serial,id=serial0,path=/dev/ttyS0", [])],
)  # fmt: skip
def test_a_chardev_that_lacks_something(chardev: str, wrong_with: list[str]) -> None:
    text = f"{BARE} -chardev {chardev} -device isa-serial,chardev=serial0"
    assert wrong(text) == wrong_with


def test_a_server_of_a_port_gets_a_port_of_its_own() -> None:
    one = f"-serial telnet:localhost:4322,{SERVER}"
    verdict = judged(f"{BARE} {one} {one}")
    assert verdict.command.text() == f"{BARE} {one} {one.replace('4322', '4323')}"
    assert verdict.found[0].ports == ("serial0", "serial1")


def test_two_unix_servers_without_a_chardev_of_their_own() -> None:
    one = f"-serial unix:/run/vm/a,{SERVER}"
    verdict = judged(f"{BARE} {one} {one}")
    assert "port-clash" in {finding.id for finding in verdict.found}
    assert wrong(verdict.command.text()) == []


@pytest.mark.parametrize("word", ["on", "yes", "true", "y"])
def test_the_secure_worlds_uart_stays(word: str) -> None:
    two = f"{ARM},secure={word} -nodefaults -serial pty -serial pty"
    assert wrong(two) == []
    assert wrong(f"{two} -serial pty") == ["onboard-uart-limit"]
    assert wrong(two.replace(f"secure={word}", "secure=off")) == ["onboard-uart-limit"]


def test_a_microvm_can_be_without_its_uart() -> None:
    text = "qemu-system-x86_64 -M microvm,isa-serial={} -nodefaults -serial pty"
    assert wrong(text.format("off")) == wrong(text.format("no")) == ["onboard-uart-limit"]
    assert wrong(text.format("on")) == []


def test_two_isa_serial_at_one_io_port() -> None:
    def both(one: str, two: str) -> str:
        return f"{BARE} " + " ".join(
            f"-chardev null,id=serial{n} -device isa-serial,chardev=serial{n},{keys}"
            for n, keys in enumerate((one, two))
        )

    assert wrong(both("iobase=0x3f8,index=0", "iobase=0x3f8,index=1")) == ["isa-clash"]
    assert wrong(both("index=0", "iobase=1016,index=1")) == ["isa-clash"]
    assert wrong(both("index=0", "iobase=0x2f8,index=0")) == []
    repaired = judged(both("index=0", "iobase=0x3f8,index=2")).command.text()
    assert wrong(repaired) == []


@pytest.mark.parametrize(("port", "taken"), [("1", False), ("01", True), ("0x1", True)])
def test_a_usb_port_is_text(port: str, taken: bool) -> None:
    text = f"{BARE} -device qemu-xhci -chardev null,id=serial0 -device usb-serial,chardev=serial0,"
    assert ("usb-port-taken" in wrong(f"{text}port={port}")) is taken


@pytest.mark.parametrize("number", ["3", "0x3", "03", "+3"])
def test_a_number_is_read_as_qemu_reads_it(number: str) -> None:
    ports = " ".join(
        f"-chardev null,id=serial{n} -device virtserialport,chardev=serial{n},nr={nr}"
        for n, nr in enumerate(("3", number))
    )
    assert wrong(f"{BARE} -device virtio-serial-pci {ports}") == ["virtio-port-taken"]


def test_s390x_gets_a_controller_of_its_own_kind() -> None:
    text = "qemu-system-s390x -M s390-ccw-virtio -nodefaults -serial pty -serial pty -serial pty"
    repaired = judged(text).command.text()
    assert "virtio-serial-ccw" in repaired
    assert "multifunction" not in repaired
    assert wrong(repaired) == []


@pytest.mark.parametrize(
    ("device", "right"),
    [("isa-serial,chardev=serial0,index=0", True), ("isa-serial,chardev=serial0,nr=1", False),
     ("pci-serial,chardev=serial0,multifunction=on", True),
     ("pci-serial,chardev=serial0,index=1", False)],
)  # fmt: skip
def test_a_property_that_a_device_does_not_have(device: str, right: bool) -> None:
    assert (wrong(f"{BARE} -chardev null,id=serial0 -device {device}") == []) is right


@pytest.mark.parametrize(
    ("machine", "device", "right"),
    [("raspi3b", "virtio-serial", False), ("raspi3b", "virtio-serial-device", False),
     ("virt", "virtio-serial-device", True),
     ("ast2600-evb", "virtio-serial-pci", False), ("sbsa-ref", "virtio-serial-pci", True)],
)  # fmt: skip
def test_a_board_without_pci(machine: str, device: str, right: bool) -> None:
    text = f"qemu-system-aarch64 -M {machine} -nodefaults -device {device}"
    assert ("pci-no-bus" not in wrong(text)) is right
