"""A PVE configuration mended: what changes, what never does, and that it reads back."""

from __future__ import annotations

import shlex
from dataclasses import replace
from itertools import pairwise

import pve_tree
import pytest
from plans import binary

from findings import capabilities as recorded
from vmserial.guests import profile
from vmserial.model import Capabilities, Machine, Severity
from vmserial.pve.consequences import consequences
from vmserial.pve.examine import examine, wrong
from vmserial.pve.mend import Mended, Way, mend
from vmserial.sources.pve import Document, machine
from vmserial.sources.pve.args import Lifted, lift
from vmserial.sources.pve.values import quoted, split_args

ARM = "arch: aarch64\n"
XHCI = "-device qemu-xhci,id=vmserial-xhci0,bus=pcie.0,addr=1d.0,multifunction=on,p2=15,p3=1"
PTY = (
    "-chardev pty,id=serial1 -device usb-serial,id=usbserial1,bus=vmserial-xhci0.0,port=1,"
    "chardev=serial1,always-plugged=on,serial=serial1"
)
UART = "-chardev serial,id=serial0,path=/dev/ttyS0 -serial chardev:serial0"


def read(text: str, arch: str = "", kind: str = "") -> tuple[Document, Machine]:
    document = Document.parse(text, "142.conf")
    found = machine(document, 142, arch=arch)
    if kind:
        ports = tuple(replace(p, kind=kind) if p.index else p for p in found.ports)
        found = replace(found, ports=ports)
    return document, found


def mended(
    text: str, way: Way = "args", *, kind: str = "", capabilities: Capabilities | None = None
) -> Mended:
    document, found = read(text, kind=kind)
    return mend(
        document, found, capabilities or binary(found.arch), profile.unknown(found.arch), way
    )


def after(text: str, way: Way = "args", kind: str = "") -> str:
    return mended(text, way, kind=kind).document.text()


def left(text: str, way: Way = "args", *, shim: bool = False) -> list[str]:
    document, found = read(text)
    guest = profile.unknown(found.arch)
    findings = examine(document, found, binary(found.arch), guest, way=way, shim=shim)
    return [finding.id for finding in wrong(findings)]


def args(text: str) -> list[str]:
    """Return the words of ``args:``."""
    document = Document.parse(text, "142.conf")
    setting = document.main.values.get("args")
    return list(split_args(setting.value)) if setting else []


def devices(words: list[str]) -> list[tuple[str, dict[str, str]]]:
    found = []
    for flag, value in pairwise(words):
        if flag == "-device":
            head, *rest = value.split(",")
            found.append((head, dict(part.split("=", 1) for part in rest)))
    return found


# ------------------------------------------------------------------ the ways


def test_the_articles_vm() -> None:
    text = ARM + "name: kylin\nserial0: socket\nserial1: socket\nvga: virtio\n"
    result = mended(text)
    assert result.document.text() == (
        ARM + "args: -device qemu-xhci,id=vmserial-xhci0,bus=pci.2,addr=19.0,multifunction=on,"
        "p2=15,p3=1 -chardev socket,id=serial1,path=/var/run/qemu-server/142.serial1,server=on,"
        "wait=off -device usb-serial,id=usbserial1,bus=vmserial-xhci0.0,port=1,chardev=serial1,"
        "always-plugged=on,serial=serial1\nname: kylin\nserial0: socket\nvga: virtio\n"
    )
    assert [(c.id, c.ports) for c in result.changes] == [("pve-isa-on-aarch64", ("serial1",))]
    assert (result.kept, result.moved) == (("serial0",), ("serial1",))
    assert after(text, "shim") == text
    assert left(text) == ["pve-isa-on-aarch64"]
    assert left(result.document.text()) == []
    assert left(text, "shim") == ["pve-shim-missing"]
    assert left(text, "shim", shim=True) == []


@pytest.mark.parametrize("way", ["args", "shim"])
@pytest.mark.parametrize("vm", pve_tree.VMS, ids=lambda vm: str(vm.vmid))
def test_a_mended_vm_is_right_and_stays_so(vm: pve_tree.Vm, way: Way) -> None:
    document = Document.parse(vm.text, f"{vm.vmid}.conf")
    found = machine(document, vm.vmid, arch=vm.arch)
    known = binary(found.arch), profile.unknown(found.arch)
    first = mend(document, found, *known, way)
    again = machine(first.document, vm.vmid, arch=vm.arch)
    second = mend(first.document, again, *known, way)
    assert second.document.text() == first.document.text()
    assert second.changes == ()
    assert {port.index for port in again.ports} == set(vm.ports)
    if vm.vmid != 204:
        # The user's own isa-serial of 204 has an index that PVE's fourth port has.
        assert again.args == found.args
    findings = examine(first.document, again, *known, way=way, shim=True)
    assert [f for f in findings if f.severity is not Severity.NOTE] == []
    # The other way and back.
    other: Way = "shim" if way == "args" else "args"
    there = mend(first.document, again, *known, other).document
    back = mend(there, machine(there, vm.vmid, arch=vm.arch), *known, way).document
    assert lift_of(back).ports == lift_of(first.document).ports


def lift_of(document: Document) -> Lifted:
    setting = document.main.values.get("args")
    return lift(setting.value if setting else "")


def test_from_args_to_the_shim_the_file_is_what_it_was() -> None:
    text = ARM + "name: kylin\nserial0: socket\nserial1: socket\nserial2: /dev/ttyS1\n"
    assert after(after(text), "shim") == text


def test_what_pve_starts_itself_stays() -> None:
    text = "name: x\nserial0: socket\nserial1: socket\nserial2: /dev/ttyS1\nserial3: socket\n"
    result = mended(text)
    assert result.document.text() == text
    assert result.changes == ()
    assert consequences(result, "args", 142) == []


def test_more_than_four_on_x86() -> None:
    text = "#vmserial serial4%3A socket\n#vmserial serial5%3A pty\nname: x\nserial0: socket\n"
    assert left(text) == ["pve-directive-only"] * 2
    result = mended(text)
    kinds = [head for head, _ in devices(args(result.document.text()))]
    # Not ISA, though three indexes are free: PVE's own take theirs by order.
    assert kinds == ["qemu-xhci", "usb-serial", "usb-serial"]
    assert result.document.text().startswith(text[: text.index("name")] + "args: ")
    words = args(after(text, "shim"))
    assert words == [
        "-chardev", "socket,id=serial4,path=/var/run/qemu-server/142.serial4,server=on,wait=off",
        "-chardev", "pty,id=serial5",
    ]  # fmt: skip
    assert left(after(text, "shim"), "shim") == ["pve-shim-missing"]
    assert left(after(text, "shim")) == ["port-without-device"] * 2


@pytest.mark.parametrize("machine_type", ["q35", "pc", "virt"])
def test_controllers_get_places_that_no_configuration_of_pve_fills(machine_type: str) -> None:
    text = f"#vmserial serial4%3A socket\nmachine: {machine_type}\nserial0: socket\n"
    ((_, xhci), _) = devices(args(after(text)))
    assert (xhci["bus"], xhci["addr"]) == ("pci.2", "19.0")


def test_a_hot_pluggable_pci_port_on_q35_gets_a_root_port() -> None:
    text = "#vmserial serial4%3A socket,type=pci,hotplug=on\nmachine: q35\nserial0: socket\n"
    (head, root), (_, pci) = devices(args(after(text)))
    assert (head, root["bus"], root["addr"]) == ("pcie-root-port", "pcie.0", "08.0")
    assert pci["bus"] == root["id"]


def test_a_hot_pluggable_pci_port_on_aarch64_keeps_its_root_port() -> None:
    text = "#vmserial serial1: type=pci,hotplug=on\n" + ARM + "serial0: socket\nserial1: socket\n"
    first = after(text)
    assert [head for head, _ in devices(args(first))] == ["pcie-root-port", "pci-serial"]
    (port,) = lift(shlex.join(args(first))).ports
    assert port.hotplug
    assert after(first) == first


def test_serial0_on_the_hosts_device_gets_the_boards_uart() -> None:
    words = args(after(ARM + "serial0: /dev/ttyS0\n"))
    assert words == ["-chardev", "serial,id=serial0,path=/dev/ttyS0", "-serial", "chardev:serial0"]


def test_the_users_own_serial_takes_a_uart_from_a_port_in_args() -> None:
    text = ARM + "args: -serial null\nserial0: /dev/ttyS0\n"
    assert [head for head, _ in devices(args(after(text)))] == ["qemu-xhci", "usb-serial"]
    kept = mended(ARM + "args: -serial null\nserial0: socket\n",
                  capabilities=replace(binary(), onboard_uarts={"virt": 2}))  # fmt: skip
    assert kept.kept == ("serial0",)


def test_an_agent_on_isa() -> None:
    text = "agent: enabled=1,type=isa,freeze-fs=0\n" + ARM + "serial0: socket\n"
    result = mended(text)
    assert result.document.text() == text.replace(",type=isa", "")
    assert [change.id for change in result.changes] == ["pve-agent-isa-on-aarch64"]
    assert after("agent: type=isa,enabled=1\n" + ARM) == "agent: enabled=1\n" + ARM
    assert after("agent: 1,type=isa\n" + ARM.replace("\n", "\r\n")) == (
        "agent: 1\n" + ARM.replace("\n", "\r\n")
    )
    x86 = "agent: 1,type=isa\nserial0: socket\n"
    assert after(x86) == x86


def test_a_screen_never_loses_its_port() -> None:
    text = ARM + "serial0: socket\nserial1: socket\nserial2: socket\nvga: serial1\n"
    result = mended(text)
    assert result.stuck == ("serial1",)
    assert result.moved == ("serial2",)
    assert "serial1: socket\n" in result.document.text()
    assert "pve-vga-port" in left(result.document.text())
    assert after(text, "shim") == text


def test_vmgenid_and_ide_are_named_and_not_touched() -> None:
    text = ARM + "ide2: none,media=cdrom\nserial0: socket\nvmgenid: " + "-".join(
        ("0b1c2d3e", "0000", "1111", "2222", "333344445555")) + "\n"  # fmt: skip
    assert after(text) == text
    assert sorted(left(text)) == ["pve-ide-on-aarch64", "pve-vmgenid-on-aarch64"]


def missed(text: str, arch: str) -> list[str]:
    """Return what is found with a binary all of whose devices are known."""
    document, found = read(text)
    binary_of = replace(recorded(arch), trimmed=False)
    findings = examine(document, found, binary_of, profile.unknown(arch))
    return [finding.id for finding in wrong(findings)]


def test_devices_are_not_missed_where_pve_has_no_emulator() -> None:
    assert "isa-serial" not in recorded("s390x").devices
    text = "arch: s390x\nserial0: socket\nserial1: socket\nagent: 1,type=isa\n"
    assert missed(text, "s390x") == ["pve-arch-unknown"]


def test_a_device_that_the_binary_lacks_is_missed_where_pve_has_an_emulator() -> None:
    text = "serial0: socket\nargs: -chardev null,id=a -device nosuch,chardev=a\n"
    assert missed(text, "x86_64") == ["binary-no-device"]


def test_a_line_for_a_port_that_is_in_args_already() -> None:
    once = after(ARM + "serial0: socket\nserial1: socket\n")
    twice = once + "serial1: socket\n"
    assert "id-taken" in left(twice)
    assert after(twice) == once
    # PVE starts this one itself: what args has for it goes.
    uart = ARM + f"args: {UART} -boot menu=on\nserial0: socket\n"
    assert "id-taken" in left(uart)
    assert after(uart) == ARM + "args: -boot menu=on\nserial0: socket\n"


def test_a_controller_of_ours_that_the_users_words_use_is_shared() -> None:
    text = ARM + f"args: {XHCI} -device usb-tablet,bus=vmserial-xhci0.0\n"
    text += "serial0: socket\nserial1: socket\n"
    (_, tablet, (_, port)) = devices(args(after(text)))
    assert tablet == ("usb-tablet", {"bus": "vmserial-xhci0.0"})
    # The tablet names no port: QEMU gives it the first.
    assert (port["bus"], port["port"]) == ("vmserial-xhci0.0", "2")
    # On a board that does not exist, nothing is written.
    fixed = after(ARM + "serial0: socket\nserial1: socket\n")
    assert after(fixed + "machine: q35\n") == fixed + "machine: q35\n"


def test_a_directive_that_was_changed_since() -> None:
    text = "#vmserial serial1%3A pty\n" + ARM + "serial0: socket\n"
    changed = after(text).replace("serial1%3A pty", "serial1%3A socket,type=virtio")
    assert left(changed) == ["pve-args-stale"]
    again = after(changed)
    assert [head for head, _ in devices(args(again))] == ["virtio-serial-pci", "virtserialport"]
    assert left(again) == []


@pytest.mark.parametrize(
    ("pending", "undone"),
    [
        ("memory: 2048", False),
        ("serial1: socket", True),
        ("args: -no-shutdown", True),
        ("delete: args", True),
        ("serial0: socket", False),
    ],
)
def test_pending_changes_that_undo_it_are_named(pending: str, undone: bool) -> None:
    text = ARM + "serial0: socket\nserial1: socket\n\n[PENDING]\n" + pending + "\n"
    result = after(text)
    assert result.endswith("\n\n[PENDING]\n" + pending + "\n")
    assert ("pve-pending" in left(result)) == undone


def test_what_each_way_means_is_said() -> None:
    text = ARM + "serial0: socket\nserial1: socket\n#vmserial serial4: socket\n"
    said = "\n".join(consequences(mended(text), "args", 142))
    for word in ("qm terminal 142 -iface serial1", "root@pam", "migration", "snapshots",
                 "--way shim", "cold start"):  # fmt: skip
        assert word in said
    assert "UNIX-CONNECT:/var/run/qemu-server/142.serial1" in said
    said = "\n".join(
        consequences(mended(ARM + "serial0: socket\nserial1: /dev/ttyS3\n"), "args", 142)
    )
    assert "qm terminal 142 -iface serial1" in said
    assert "socat" not in said  # the host's port has no socket
    said = "\n".join(consequences(mended(text, "shim"), "shim", 142))
    for word in ("shim", "--way args", "chardev alone"):
        assert word in said


# ------------------------------------------------------------------ the article's alternatives


@pytest.mark.parametrize(
    ("kind", "driver", "identifier", "always"),
    [
        # What sections 4.4.1 to 4.4.3 of the article print; buses and addresses are ours,
        # because PVE's map of PCI is full at theirs, and usb-serial does not start on PVE's
        # ehci.  The virtio port's name is the port's own, by which the guest knows it.
        ("usb", "usb-serial", "usbserial{}", True),
        ("pci", "pci-serial", "pciserial{}", False),
        ("virtio", "virtserialport", "virtserialport.{}", False),
    ],
)
def test_the_articles_three_choices(kind: str, driver: str, identifier: str, always: bool) -> None:
    lines = "".join(f"serial{n}: socket\n" for n in range(4))
    ours = [d for d in devices(args(after(ARM + lines, kind=kind))) if d[0] == driver]
    assert len(ours) == 3
    for number, (_, keys) in enumerate(ours, 1):
        assert keys["id"] == identifier.format(number)
        assert keys["chardev"] == f"serial{number}"
        assert ("always-plugged" in keys) == always
    # Nine of them, as the article tries, on a guest that has room for as many.
    directives = "".join(f"#vmserial serial{n}: socket\n" for n in range(4, 10))
    if kind != "pci":
        many = devices(args(after(directives + ARM + lines, kind=kind)))
        assert [keys["id"] for head, keys in many if head == driver] == [
            identifier.format(number) for number in range(1, 10)
        ]


# ------------------------------------------------------------------ args, read back


def test_the_users_own_words_stay_first_and_as_they_are_written() -> None:
    own = "-global  'a.b=c d'   -no-reboot"
    text = ARM + f"args:   {own}  \nserial0: socket\nserial1: socket\n"
    first = after(text)
    line = next(line for line in first.split("\n") if line.startswith("args"))
    assert line.startswith(f"args:   {own} -device qemu-xhci,")
    assert line.endswith("  ")
    assert read(first)[1].args == ("-global", "a.b=c d", "-no-reboot")
    # Words that a user puts behind ours are the user's, too.
    more = first.replace("serial=serial1  ", "serial=serial1 -boot menu=on")
    assert read(more)[1].args == ("-global", "a.b=c d", "-no-reboot", "-boot", "menu=on")
    assert split_args(lift(after(more).split("args:")[1].split("\n")[0]).text) == (
        "-global", "a.b=c d", "-no-reboot", "-boot", "menu=on",
    )  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        # Nobody's device, another id, another bus, JSON, a chardev that somebody uses.
        "-device usb-serial,id=usbserial1,chardev=serial1,always-plugged=true",
        "-chardev pty,id=serial1 -device usb-serial,id=mine,chardev=serial1,bus=vmserial-xhci0.0",
        "-chardev pty,id=serial1 -device usb-serial,id=usbserial1,chardev=serial1,bus=xhci.0",
        '-chardev pty,id=serial1 -device \'{"driver": "usb-serial", "chardev": "serial1"}\'',
        "-chardev pty,id=serial1 -mon chardev=serial1",
        "-chardev pty,id=serial1 -serial chardev:serial1 -device isa-serial,chardev=serial1",
        "-chardev pty,id=serial1 -chardev pty,id=serial1",
        "-chardev pty,id=serial01",
        "-chardev spicevmc,id=serial1,name=vdagent",
        "-chardev pty,id=serial1,mux=on",
        "-chardev",
        "-device qemu-xhci,id=vmserial-xhci0,bus=pcie.0,addr=1d.0 "
        "-device usb-tablet,bus=vmserial-xhci0.0",
    ],
)
def test_what_is_not_exactly_ours_stays_opaque(text: str) -> None:
    found = lift(text)
    assert found.ports == ()
    assert found.ours == ()
    assert found.words == split_args(text)
    assert found.text == text


BACKENDS = (
    "socket", "socket=/run/a b,,c", "socket=/x,server=off,reconnect-ms=5000", "pty", "/dev/ttyS1",
    "tcp=127.0.0.1:4001,telnet=on", "tcp=[::1]:4001,server=off", "udp=127.0.0.1:1,localport=2",
    "file=/var/log/it's,append=on", "pipe=/run/p", "null", "ringbuf=4096", "stdio,signal=off",
    "vc=80x24", "vc", "vc=640x480px", "file=/a\"b\\c", "pty,logfile=/var/log/x y,logappend=on",
)  # fmt: skip


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ["usb", "pci", "virtio", "virtconsole", "uart", "pci-2x"])
def test_every_backend_and_kind_reads_back(backend: str, kind: str) -> None:
    text = f"#vmserial serial7: {backend},type={kind}\n" + ARM
    wanted = read(text)[1].ports
    first = after(text)
    bare = first.replace(text[: text.index("\n") + 1], "")
    (port,) = read(bare)[1].ports
    assert (port.chardev, port.kind) == (wanted[0].chardev, kind)
    assert after(bare) == bare
    assert after(first) == first


def test_words_are_quoted_for_pve() -> None:
    for word in ("a", "a b", 'a"b', "a\\b", "it's", "", "é", "a=b,c"):
        assert split_args(f"x {quoted(word)} y") == ("x", word, "y")


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        # The -serial of args has COM1, serial0 had COM2: serial1 was COM3 and is.
        (
            "serial0: socket\n#vmserial serial0: type=pci\nserial1: socket\nagent: 1,type=isa\n"
            "args: -chardev null,id=x -serial chardev:x\n",
            "isa-serial,id=isaserial1,index=2,chardev=serial1",
        ),
        # It was none: four came before it.
        (
            "serial0: socket\nserial1: socket\nserial2: socket\nserial3: socket\n"
            "#vmserial serial3: type=virtio\n"
            "args: -chardev null,id=x -device isa-serial,chardev=x\n",
            "serial0: socket\nserial1: socket\nserial2: socket\n",
        ),
    ],
)
def test_a_com_port_keeps_a_place_that_it_had(text: str, kept: str) -> None:
    mended = after("arch: x86_64\n" + text)
    assert kept in mended
    assert after(mended) == mended
