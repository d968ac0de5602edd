"""Commands that vmserial once answered wrongly, each test named after its case.

What is right was run on QEMU 7.2; tests/rules/test_verbs_agree.py asks it again, paused.
"""

from __future__ import annotations

import case_inputs
import pytest

import findings
from vmserial.context import RepairPolicy
from vmserial.guests import profile
from vmserial.judging import Judgement, judge
from vmserial.machines import ARCHITECTURES
from vmserial.model import GuestProfile, Severity
from vmserial.sources.command import CommandLine, CommandView


def judged(text: str, policy: RepairPolicy | None = None) -> Judgement:
    command = CommandLine.parse(text)
    arch = CommandView.of(command).arch
    guest = profile.unknown(arch) if arch in ARCHITECTURES else GuestProfile("unknown")
    return judge(command, findings.capabilities(arch), guest, policy)


def wrong(text: str) -> list[tuple[str, Severity]]:
    lost = "output-lost-while-detached"
    return [(f.id, f.severity) for f in judged(text).found if f.id != lost]


def mended(text: str) -> str:
    """Return what is made of a command; nothing is left to mend then."""
    verdict = judged(text)
    assert verdict.left == ()
    assert wrong(verdict.command.text()) == []
    return verdict.command.text()


STDIO = "qemu-system-aarch64 -M virt -nographic"


@pytest.mark.parametrize(
    ("name", "after"),
    [
        ("A1.args", f"{STDIO} -serial mon:stdio"),
        (
            "A1-monitor.args",
            "qemu-system-aarch64 -M virt -monitor none -serial mon:stdio -nographic",
        ),
        ("A1-chardev.args", f"{STDIO} -chardev stdio,id=a -serial chardev:a -monitor none"),
    ],
)
def test_a1_nographic_takes_stdio_as_well(name: str, after: str) -> None:
    text = case_inputs.text(name)
    assert wrong(text) == [("stdio-twice", Severity.FAILS)]
    assert mended(text) == after


@pytest.mark.parametrize(
    "text",
    [
        STDIO,
        f"{STDIO} -serial mon:stdio",
        f"{STDIO} -nodefaults -serial stdio",
        f"{STDIO} -serial stdio -monitor none",
        f"{STDIO} -serial stdio -qmp unix:/run/q,server=on,wait=off",
        "qemu-system-aarch64 -M virt -serial stdio",
    ],
)
def test_a1_who_has_stdio_alone_keeps_it(text: str) -> None:
    assert wrong(text) == []


TCP = "tcp::4322,server=on,wait=off"
HEAD = "qemu-system-x86_64 -M pc -nodefaults"


@pytest.mark.parametrize(
    "text",
    [
        case_inputs.text("A2.args"),
        case_inputs.text("A2-telnet.args"),
        f"{HEAD} -serial tcp:localhost:4322,server,nowait "
        "-serial tcp:127.0.0.1:4322,server=on,wait=off",
    ],
)
def test_a2_two_servers_of_one_tcp_port(text: str) -> None:
    assert wrong(text) == [("address-in-use", Severity.FAILS)]
    # Who stands first keeps its port.
    before, _, after = text.rpartition(":4322")
    assert mended(text) == f"{before}:4323{after}"


def test_a2_a_chardev_has_the_port_of_a_serial() -> None:
    """QEMU makes the chardev first and the -serial fails; the second one in the text moves."""
    one = "-chardev socket,id=a,port=4322,host=127.0.0.1,server=on,wait=off"
    serial = "-serial tcp:127.0.0.1:4322,server=on,wait=off"
    assert "port=4323" in mended(f"{HEAD} {serial} {one} -serial chardev:a")
    assert ":4323," in mended(f"{HEAD} {one} -serial chardev:a {serial}")


@pytest.mark.parametrize("option", ["-monitor", "-qmp"])
def test_a2_a_monitors_port_is_its_owners_to_choose(option: str) -> None:
    text = f"{HEAD} -serial {TCP} {option} {TCP}"
    assert wrong(text) == [("address-in-use", Severity.FAILS)]
    assert judged(text).command.text() == text


def test_a2_a_debugger_finds_its_port_where_it_was_told() -> None:
    assert wrong(f"{HEAD} -serial null -gdb tcp::4322 -qmp {TCP}") == [
        ("address-in-use", Severity.FAILS)
    ]
    assert wrong(f"{HEAD} -s -serial tcp::1234,server=on,wait=off") == [
        ("address-in-use", Severity.FAILS)
    ]
    verdict = judged(f"{HEAD} -qmp {TCP} -gdb tcp::4322")
    assert [finding.id for finding in verdict.left] == ["address-in-use"]


@pytest.mark.parametrize(
    "text",
    [
        f"{HEAD} -serial tcp:127.0.0.2:4322,server=on,wait=off "
        "-serial tcp:127.0.0.1:4322,server=on,wait=off",
        f"{HEAD} -serial {TCP} -serial tcp:127.0.0.1:4322",
        # The second one takes IPv6.
        f"{HEAD} -serial tcp:127.0.0.1:4322,server,nowait -serial {TCP}",
        f"{HEAD} -serial {TCP} -serial tcp::4322,server=on,wait=off,to=4330",
    ],
)
def test_a2_servers_that_are_not_in_each_others_way(text: str) -> None:
    assert wrong(text) == []


LOCAL = "tcp:127.0.0.1:4322,server=on,wait=off"


@pytest.mark.parametrize(
    "other",
    [
        "-vnc 127.0.0.1:1", "-display vnc=:1", "-gdb tcp:127.0.0.1:5901",
        "-incoming tcp:127.0.0.1:5901", "-netdev socket,id=n,listen=127.0.0.1:5901",
        "-netdev user,id=n,hostfwd=tcp::1-:2,hostfwd=tcp:127.0.0.1:5901-:22",
        "-nic user,hostfwd=::5901-:22",
    ],
)  # fmt: skip
@pytest.mark.parametrize("first", [True, False])
def test_a2_a_screen_and_a_network_listen_as_well(other: str, first: bool) -> None:
    serial = f"-serial {LOCAL.replace('4322', '5901')}"
    text = " ".join([HEAD, *((other, serial) if first else (serial, other))])
    assert ("address-in-use", Severity.FAILS) in wrong(text)
    if "-gdb" not in other:
        # The serial port's number is the one that can be another.
        assert mended(text) == text.replace(serial, serial.replace("5901", "5902"))


@pytest.mark.parametrize(
    "other",
    [
        "-vnc :1,to=9", "-vnc unix:/run/v", "-vnc none", "-display none", "-incoming defer",
        "-nic user,hostfwd=udp::5901-:22", "-nic user,hostfwd=tcp::15901-:5901", "-gdb none",
        "-vnc :1,reverse=on",
    ],
)  # fmt: skip
def test_a2_a_screen_that_is_not_in_the_way(other: str) -> None:
    assert wrong(f"{HEAD} {other} -serial tcp:127.0.0.1:5901,server=on,wait=off") == []


@pytest.mark.parametrize(
    ("one", "two", "clash"),
    [
        (f"{LOCAL},ipv4=on", f"{TCP},ipv4=on", True),
        (f"{TCP},ipv4=on", f"{TCP},ipv6=on", False),
        (f"{TCP},ipv4=off", LOCAL, False),
        (f"{TCP},ipv6=off", LOCAL, True),
        (f"{TCP},ipv6=on", f"{TCP},ipv4=off", True),
    ],
)
def test_a2_ipv4_and_ipv6_are_ports_of_their_own(one: str, two: str, clash: bool) -> None:
    found = wrong(f"{HEAD} -serial {one} -serial {two}")
    assert found == ([("address-in-use", Severity.FAILS)] if clash else [])


@pytest.mark.parametrize(
    ("words", "says", "do"),
    [
        ("-serial foo", "'foo' is not a valid char driver", ""),
        ("-serial chardev,a", "'chardev,a' is not a valid char driver", "chardev:a"),
        ("-serial chardev=a", "'chardev=a' is not a valid char driver", "chardev:a"),
        ("-serial a", "'a' is not a valid char driver", "chardev:a"),
        ("-serial file:", "could not connect serial device to character backend 'file:'", ""),
        ("-chardev nul,id=b -serial chardev:b", "'nul' is not a valid char driver name", ""),
        ("-chardev id=b,null -serial chardev:b", "Invalid parameter 'null'", "-chardev null,id=b"),
        ("-chardev id=b,mux=on -serial chardev:b", 'chardev: "b" missing backend', ""),
        ("-chardev null,id=1b -serial null", "Parameter 'id' expects an identifier", ""),
        (
            "-chardev socket,id=b,path=/run/b,host=::1,port=1,server=on,wait=off -serial chardev:b",
            "None or one of 'path', 'fd' or 'host' option required", "",
        ),
    ],
)  # fmt: skip
def test_b1_words_that_qemu_does_not_know_are_named_and_not_mended(
    words: str, says: str, do: str
) -> None:
    text = f"{HEAD} -chardev null,id=a {words}"
    (found,) = [f for f in judged(text).found if f.severity is Severity.FAILS]
    assert found.happens.endswith(f": {says}")
    assert (do in found.fix) if do else not found.fix
    assert judged(text).command.text() == text


def test_a2_two_servers_of_one_unix_socket() -> None:
    """It starts; the second one takes the path away, and the first is dead.

    QEMU 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18), -S, -serial unix:P,server=on,wait=off twice:
    no word on stderr; query-chardev names P for both, a client of P is serial1's, and serial0
    stays "disconnected".  libvirt alone refuses it.
    """
    text = case_inputs.text("A2-unix.args")
    assert wrong(text) == [("port-clash", Severity.DEAD)]
    before, _, after = text.rpartition("/run/P")
    assert mended(text) == f"{before}/run/P.serial{after}"


SCLP = "qemu-system-s390x -M s390-ccw-virtio -nodefaults"


def test_a4_a_second_sclp_console() -> None:
    text = case_inputs.text("A4.args")
    assert wrong(text) == [("sclp-limit", Severity.FAILS)]
    # The other kind is free.
    assert mended(text) == text.removesuffix("sclpconsole,chardev=b") + "sclplmconsole,chardev=b"
    third = mended(f"{text} -chardev null,id=c -device sclpconsole,chardev=c")
    assert "-device virtio-serial-ccw,id=vmserial-virtio0,max_ports=16" in third
    # The first -serial is one, the second the other kind.
    serials = f"{SCLP} -serial null -chardev null,id=b -device"
    assert wrong(f"{serials} sclpconsole,chardev=b") == [("sclp-limit", Severity.FAILS)]
    assert wrong(f"{serials} sclplmconsole,chardev=b") == []


def test_a5_two_spapr_vty_of_one_reg() -> None:
    text = case_inputs.text("A5.args")
    assert wrong(text) == [("spapr-vty-clash", Severity.FAILS)]
    assert mended(text) == text.removesuffix(",reg=0x30000000")
    head = "qemu-system-ppc64 -M pseries -nodefaults -chardev null,id=b"
    # -serial has the first one that QEMU counts.
    board = f"{head} -serial null -device spapr-vty,chardev=b,reg="
    assert wrong(f"{board}0x71000000") == [("spapr-vty-clash", Severity.FAILS)]
    assert wrong(f"{board}0x71000002") == []


def test_a6_two_isa_serial_at_one_address() -> None:
    text = case_inputs.text("A6.args")
    assert wrong(text) == [("isa-clash", Severity.DEAD)]
    assert mended(text) == text.removesuffix(",iobase=0x3f8,index=2") + ",index=1"
    # An index's own address is one as well; one index with two addresses is fine.
    other = f"{HEAD} -serial null -chardev null,id=a -device isa-serial,chardev=a,index=1,iobase="
    assert wrong(f"{other}0x3f8") == [("isa-clash", Severity.DEAD)]
    assert wrong(f"{other}0x220") == []


def test_a6_two_isa_serial_at_one_address_of_microvm_do_not_start() -> None:
    text = "qemu-system-x86_64 -M microvm -nodefaults -serial pty -serial null -chardev pty,id=a"
    # Its second -serial makes no device: the one that counts for itself is the second.
    assert not [id for id, _ in wrong(f"{text} -device isa-serial,chardev=a") if id == "isa-clash"]
    assert ("isa-clash", Severity.FAILS) in wrong(f"{text} -device isa-serial,chardev=a,index=0")


@pytest.mark.parametrize("off", ["off", "no", "false"])
def test_a7_microvm_without_its_isa_serial(off: str) -> None:
    text = f"qemu-system-x86_64 -M microvm,isa-serial={off} -serial pty"
    assert wrong(text) == [("onboard-uart-limit", Severity.DEAD)]
    # A device of its own is there, whatever the machine leaves out.
    assert "isa-serial,id=isaserial0,index=0,chardev=serial0" in mended(text)
    assert wrong(text.replace(f"isa-serial={off}", "isa-serial=on")) == []
    assert wrong(text.replace(f"isa-serial={off}", "isa-serial=on") + " -serial pty") == [
        ("onboard-uart-limit", Severity.DEAD)
    ]


@pytest.mark.parametrize(
    ("text", "driver"),
    [
        ("qemu-system-aarch64 -M raspi3b -device virtio-serial", "virtio-serial-pci"),
        ("qemu-system-aarch64 -M raspi3b -device qemu-xhci", "qemu-xhci"),
    ],
)  # fmt: skip
def test_a8_a_board_without_pci(text: str, driver: str) -> None:
    (found,) = [f for f in judged(text).left if f.id == "pci-no-bus"]
    assert f"No 'PCI' bus found for device '{driver}'" in found.happens
    assert judged(text).command.text() == text
    board = text.replace("raspi3b", "virt")
    assert "pci-no-bus" not in {id for id, _ in wrong(board)}


def test_a8_microvm_may_have_pci() -> None:
    text = "qemu-system-x86_64 -M microvm,pcie=on -device virtio-serial"
    assert "pci-no-bus" not in {id for id, _ in wrong(text)}
    assert "-M microvm,pcie=on " in judged(text.replace(",pcie=on", "")).command.text()
    # Without ACPI there is none, whatever is asked for.
    assert ("pci-no-bus", Severity.FAILS) in wrong(text.replace("pcie", "acpi=off,pcie"))


def test_a8_a_usb_serial_on_microvm_needs_acpi_as_well() -> None:
    text = "qemu-system-x86_64 -M microvm{} -nodefaults -chardev pty,id=a -device usb-serial"
    more = ",chardev=a,always-plugged=on"
    assert wrong(text.format(",usb=on") + more) == []
    assert mended(text.format("") + more) == text.format(",usb=on") + more
    assert ("usb-no-bus", Severity.FAILS) in wrong(text.format(",acpi=off,usb=on") + more)
    assert "isa-serial,id=isaserial0,index=0" in mended(text.format(",acpi=off") + more)


@pytest.mark.parametrize("pcie", ["", ",pcie=on"])
def test_a8_a_pci_serial_on_microvm_has_no_registers(pcie: str) -> None:
    text = f"qemu-system-x86_64 -M microvm{pcie} -nodefaults -chardev pty,id=a -device "
    assert ("pci-serial-dead", Severity.DEAD) in wrong(f"{text}pci-serial,chardev=a")
    assert mended(f"{text}pci-serial,chardev=a") == (
        f"{text}isa-serial,id=isaserial0,index=0,chardev=a"
    )


def test_a12_the_console_of_another_architecture() -> None:
    text = "qemu-system-aarch64 -M virt -nodefaults -kernel k -append 'console={} ro' -serial pty"
    assert wrong(text.format("ttyS0")) == [("console-not-there", Severity.DEAD)]
    assert mended(text.format("ttyS0")) == text.format("ttyAMA0")
    for fine in ("ttyAMA0", "ttyS0 console=ttyAMA0", "tty0", "hvc0"):
        assert wrong(text.format(fine)) == []
    other = text.replace("aarch64 -M virt", "x86_64 -M pc")
    assert wrong(other.format("ttyAMA0")) == [("console-not-there", Severity.DEAD)]
    assert wrong(other.format("ttyS0")) == []


def test_a16_a_controller_without_a_port_and_a_log_of_two() -> None:
    head = case_inputs.text("A16.args")
    assert wrong(head) == [("controller-unused", Severity.NOTE)]
    port = "-chardev null,id=a -device virtserialport,chardev=a,name=a,nr=1"
    assert wrong(f"{head} {port}") == []
    logs = case_inputs.text("A16-log.args")
    assert wrong(logs) == [("log-shared", Severity.LOST)]
    assert mended(logs).count("logfile=/run/log.b") == 1


def test_b1_a_chardev_in_two_words_is_named_and_not_mended() -> None:
    text = case_inputs.text("B1.args")
    verdict = judged(text)
    (found,) = verdict.left
    assert (found.id, found.fix) == ("property-unknown", "write chardev=digi")
    assert "Property 'usb-serial.chardev' can't find value 'on'" in found.happens
    assert "'digi'" in found.happens
    assert verdict.command.text() == text


def test_b2_a_port_that_is_moved_does_not_take_its_tcp_port_along() -> None:
    after = mended(case_inputs.text("B2.args"))
    assert "-serial telnet:localhost:4322,server,nowait" in after
    assert [after.count(f"port={port}") for port in (4322, 4323, 4324)] == [0, 1, 1]


@pytest.mark.parametrize("secure", ["on", "yes", "true", "y"])
@pytest.mark.parametrize("arch", ["aarch64", "arm"])
def test_b4_the_secure_worlds_uart_stays(arch: str, secure: str) -> None:
    text = f"qemu-system-{arch} -M virt,secure={secure} -nodefaults -serial pty -serial pty"
    assert wrong(text) == []
    assert wrong(f"{text} -serial pty") == [("onboard-uart-limit", Severity.DEAD)]
    assert wrong(text.replace(f"={secure}", "=off")) == [("onboard-uart-limit", Severity.DEAD)]


def test_b8_s390x_gets_a_controller_of_its_own_bus() -> None:
    after = mended(case_inputs.text("B8.args"))
    assert "-device virtio-serial-ccw,id=vmserial-virtio0,max_ports=16" in after
    assert "pci" not in after
    # Mended again, it takes the controller that is there.
    again = f"{after} -serial pty"
    assert mended(again).count("virtio-serial-ccw") == 1


PORT = "-chardev {1},id=c{0} -device virtserialport,chardev=c{0}"
OPEN, LATER = "file,path=/run/f", "socket,path=/run/s{0},server=on,wait=off"


def ports(opened: int, count: int, other: str = LATER, name: str = ",name=p{0}") -> str:
    of = "".join(
        f" {PORT}{name}".format(n, (OPEN if n < opened else other).format(n)) for n in range(count)
    )
    return f"{HEAD} -device virtio-serial-pci,max_ports=31{of}"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (ports(7, 19, "null"), []),
        (ports(7, 19), [Severity.NOTE]),
        (ports(0, 19), [Severity.NOTE]),
        (ports(0, 19, "pty"), [Severity.NOTE]),
        (ports(0, 15), []),
        (ports(15, 15), []),
        # 31 messages come through: names, and who is there.
        (ports(12, 19, "null"), []),
        (ports(13, 19, "null"), [Severity.DEAD]),
        (ports(16, 16), [Severity.DEAD]),
        (ports(19, 19), [Severity.DEAD] * 4),
        (ports(19, 19, name=""), []),
    ],
)
def test_c1_a_controller_counts_names_and_clients(text: str, found: list[Severity]) -> None:
    """Run on booted guests: tests/live/test_virtio_clients.py."""
    assert [s for id, s in wrong(text) if id == "virtio-queue-overflow"] == found
    if Severity.DEAD not in found:
        # Who connects when is not the command's to say: nothing is moved.
        assert "vmserial-virtio" not in judged(text).command.text()


def test_c1_consoles_count_as_open_whatever_is_behind_them() -> None:
    consoles = " ".join(
        f"-chardev null,id=h{n} -device virtconsole,chardev=h{n},name=h{n}" for n in range(8)
    )
    text = f"{ports(0, 7, 'null')} {consoles}"
    assert "virtio-queue-overflow" not in {id for id, _ in wrong(text)}
    assert ("virtio-queue-overflow", Severity.DEAD) in wrong(
        text.replace("-chardev null,id=c0", "-chardev file,path=/run/f,id=c0")
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("-mon chardev=nope", 'chardev "nope" not found'),
        ("-monitor chardev:nope", 'chardev "nope" not found'),
        ("-parallel chardev:nope", "could not connect parallel device"),
        ("-debugcon chardev:nope", "invalid character backend"),
        ("-device isa-debugcon,chardev=nope", "can't find value 'nope'"),
    ],
)
def test_a_chardev_that_is_not_there_is_missed_by_others_than_ports(words: str, said: str) -> None:
    verdict = judged(f"qemu-system-x86_64 -M q35 -nodefaults {words}")
    assert [(f.id, f.severity) for f in verdict.found] == [("chardev-missing", Severity.FAILS)]
    assert said in verdict.found[0].happens
    assert not verdict.changes
    there = judged(f"qemu-system-x86_64 -M q35 -nodefaults -chardev null,id=nope {words}")
    # -debugcon takes none but the one that is called as it is.
    assert [f.id for f in there.found] == ["chardev-missing"] * words.startswith("-debugcon")
