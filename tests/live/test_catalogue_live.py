"""The catalogue on real QEMU: started wrongly in each way, its words are explained by the right id.

And one guest that has more ports than its kernel: its dmesg and its tools' errors.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import socket
import subprocess
import termios
from pathlib import Path

import pytest
from guest_vm import GuestVM

from vmserial import catalogue
from vmserial.guests.foreign import fetch
from vmserial.guests.images import ensure
from vmserial.qemu.binary import find
from vmserial.qemu.hints import hint_for

BOUND = 60

MACHINES = {"aarch64": ("virt", "-cpu", "cortex-a57"), "x86_64": ("q35",),
            "s390x": ("s390-ccw-virtio",), "ppc64": ("pseries",)}  # fmt: skip


def nulls(count: int) -> str:
    return " ".join(f"-chardev null,id=n{index}" for index in range(count))


def each(count: int, device: str) -> str:
    return " ".join(f"-device {device},chardev=n{index}" for index in range(count))


# The id that is right, the architecture, what follows the machine type; {tmp} is a directory.
STARTS: tuple[tuple[str, str, str], ...] = (
    ("kind-not-on-arch", "aarch64", f"{nulls(1)} {each(1, 'isa-serial')}"),
    ("isa-limit", "x86_64", f"{nulls(5)} {each(5, 'isa-serial')}"),
    ("isa-irq", "x86_64", f"{nulls(1)} {each(1, 'isa-serial,irq=40')}"),
    ("binary-no-device", "aarch64", "-device nonesuch"),
    ("pve-vmgenid-on-aarch64", "aarch64", "-device vmgenid"),
    ("pve-ide-on-aarch64", "aarch64", "-device ide-cd,bus=ide.0"),
    ("pve-option", "aarch64", "-id 142"),
    ("device-not-pluggable", "aarch64", f"{nulls(1)} {each(1, 'pl011')}"),
    ("property-unknown", "aarch64", f"{nulls(1)} {each(1, 'pci-serial,index=1')}"),
    ("pci-card-chardev", "aarch64", f"{nulls(1)} {each(1, 'pci-serial-2x')}"),
    ("chardev-required", "aarch64", "-device qemu-xhci -device usb-serial"),
    ("usb-no-bus", "aarch64", f"{nulls(1)} {each(1, 'usb-serial')}"),
    ("usb-speed", "aarch64", f"{nulls(1)} -device usb-ehci {each(1, 'usb-serial')}"),
    ("usb-port-taken", "aarch64", f"{nulls(1)} -device qemu-xhci {each(1, 'usb-serial,port=9')}"),
    ("usb-hub", "aarch64", "-device qemu-xhci -device usb-hub,ports=9"),
    ("virtio-no-bus", "aarch64", f"{nulls(1)} {each(1, 'virtserialport')}"),
    ("virtio-port-range", "x86_64",
     f"{nulls(32)} -device virtio-serial-pci {each(32, 'virtserialport')}"),
    ("virtio-port-zero", "x86_64",
     f"{nulls(1)} -device virtio-serial-pci {each(1, 'virtserialport,nr=0')}"),
    ("virtio-port-taken", "x86_64",
     f"{nulls(2)} -device virtio-serial-pci {each(2, 'virtserialport,nr=1')}"),
    ("virtio-port-taken", "x86_64",
     f"{nulls(2)} -device virtio-serial-pci {each(2, 'virtserialport,name=a')}"),
    ("virtio-max-ports", "x86_64", "-device virtio-serial-pci,max_ports=600"),
    ("bus-missing", "aarch64", f"{nulls(1)} {each(1, 'pci-serial,bus=pci.2,addr=0x19')}"),
    ("bus-wrong", "aarch64", f"{nulls(1)} -device qemu-xhci,id=x {each(1, 'pci-serial,bus=x.0')}"),
    ("pci-slot-taken", "aarch64", f"{nulls(2)} {each(2, 'pci-serial,addr=5')}"),
    ("pci-function", "aarch64",
     f"{nulls(2)} -device pci-serial,addr=5.0,chardev=n0 -device pci-serial,addr=5.1,chardev=n1"),
    ("pci-full", "aarch64", f"{nulls(40)} {each(40, 'pci-serial')}"),
    ("pci-chassis", "aarch64",
     "-device pcie-root-port,id=a,chassis=1 -device pcie-root-port,id=b,chassis=1"),
    ("pci-bridge-slot", "aarch64",
     f"{nulls(1)} -device pcie-pci-bridge,id=b {each(1, 'pci-serial,bus=b,addr=0')}"),
    ("bad-value", "aarch64", f"{nulls(1)} {each(1, 'pci-serial,addr=40')}"),
    ("id-taken", "x86_64", f"{nulls(2)} {each(2, 'isa-serial,id=x')}"),
    ("id-taken", "x86_64", "-chardev null,id=a -chardev null,id=a"),
    ("chardev-id", "x86_64", "-chardev null,id=4a"),
    ("chardev-missing", "x86_64", "-device isa-serial,chardev=zz"),
    ("chardev-missing", "aarch64", "-serial chardev:zz"),
    ("chardev-in-use", "x86_64",
     f"{nulls(1)} -device isa-serial,chardev=n0 -device isa-serial,chardev=n0"),
    ("chardev-backend-unknown", "x86_64", "-chardev nonesuch,id=a"),
    ("chardev-incomplete", "x86_64", "-chardev socket,id=a"),
    ("chardev-incomplete", "x86_64", "-chardev serial,id=a"),
    ("parameter-unknown", "x86_64", "-chardev null,id=a,foo=1"),
    ("socket-path-too-long", "x86_64",
     f"-chardev socket,id=a,path=/tmp/{'x' * 120},server=on,wait=off"),
    ("directory-missing", "x86_64", "-chardev socket,id=a,path={tmp}/no/x,server=on,wait=off"),
    ("directory-missing", "x86_64", "-chardev null,id=a,logfile={tmp}/no/x"),
    ("directory-missing", "x86_64", "-chardev file,id=a,path={tmp}/no/x"),
    ("socket-missing", "x86_64", "-chardev socket,id=a,path={tmp}/nobody"),
    ("socket-options-clash", "x86_64", "-chardev socket,id=a,path={tmp}/nobody,wait=off"),
    ("address-in-use", "x86_64",
     "-chardev socket,id=a,host=127.0.0.1,port={port},server=on,wait=off"),
    ("object-missing", "x86_64",
     "-chardev socket,id=a,path={tmp}/s,server=on,wait=off,tls-creds=t"),
    ("pipe-missing", "x86_64", "-chardev pipe,id=a,path={tmp}/nopipe"),
    ("pipe-missing", "x86_64", "-serial pipe:{tmp}/nopipe"),
    ("pipe-missing", "x86_64", "-monitor pipe:{tmp}/nopipe"),
    ("tty-missing", "x86_64", "-chardev serial,id=a,path=/dev/ttyNONE"),
    ("tty-missing", "x86_64", "-serial /dev/pts/99999"),
    ("not-openable-as-file", "x86_64", "-chardev serial,id=a,path={tmp}/socket"),
    ("directory-missing", "x86_64", "-serial file:{tmp}/no/x"),
    ("path-is-directory", "x86_64", "-chardev file,id=a,path={tmp}"),
    ("chardev-missing", "x86_64", "-device pci-serial-4x,chardev1=zz"),
    ("board-memory-fixed", "aarch64", "-machine raspi3b -m 512"),
    ("ringbuf-size", "x86_64", "-chardev ringbuf,id=a,size=1000"),
    ("stdio-twice", "x86_64", "-chardev stdio,id=a -chardev stdio,id=b"),
    ("serial-backend", "aarch64", "-serial file:{tmp}/no/x"),
    ("fd-not-socket", "x86_64", "-chardev socket,id=a,fd=77"),
    ("usbdevice-gone", "x86_64", "-usb -usbdevice serial:null"),
    ("machine-not-in-binary", "aarch64", "-machine nonesuch"),
    ("file-missing", "x86_64", "-drive file={tmp}/no.qcow2,if=none,id=d"),
    ("firmware-missing", "aarch64", "-bios {tmp}/none"),
    ("option-unknown", "x86_64", "-frobnicate"),
)  # fmt: skip

FOREIGN: tuple[tuple[str, str, str], ...] = (
    ("sclp-limit", "s390x", f"{nulls(2)} {each(2, 'sclpconsole')}"),
    ("sclp-limit", "s390x", f"{nulls(2)} {each(2, 'sclplmconsole')}"),
    ("s390-multifunction", "s390x", "-device virtio-serial-pci,multifunction=on"),
    ("spapr-vty-clash", "ppc64", f"{nulls(2)} {each(2, 'spapr-vty,reg=0x30000000')}"),
)
"""What only a QEMU says that the long tests alone install."""

PLUGS: tuple[tuple[str, str, str, dict[str, str]], ...] = (
    ("not-hot-pluggable", nulls(1), "device_add",
     {"driver": "pci-serial", "bus": "pcie.0", "chardev": "n0"}),
    ("usb-speed", f"{nulls(1)} -device usb-ehci", "device_add",
     {"driver": "usb-serial", "chardev": "n0"}),
    ("chardev-busy", f"{nulls(1)} {each(1, 'pci-serial')}", "chardev-remove", {"id": "n0"}),
    ("chardev-missing", "", "chardev-remove", {"id": "n0"}),
    ("device-missing", "", "device_del", {"id": "n0"}),
    ("command-unknown", "", "nonesuch", {}),
    ("migration-blocked", f"{nulls(1)} -device qemu-xhci {each(1, 'usb-serial')}", "migrate",
     {"uri": "exec:cat >/dev/null"}),
)  # fmt: skip


def start(binary: str, arch: str, more: str, *commands: dict[str, object]) -> tuple[str, int, str]:
    """Start a paused QEMU and end it; return its stderr, exit status and last QMP error."""
    words = [binary, "-machine", *MACHINES[arch], "-accel", "tcg", "-nodefaults", "-display",
             "none", "-S"]  # fmt: skip
    talk = [{"execute": "qmp_capabilities"}, *commands, {"execute": "quit"}]
    if "stdio" not in more:
        words += ["-qmp", "stdio"]
    done = subprocess.run(
        [*words, *more.split()], input="".join(f"{json.dumps(each)}\n" for each in talk),
        capture_output=True, text=True, timeout=BOUND,
    )  # fmt: skip
    errors = [line for line in done.stdout.splitlines() if line.startswith('{"error"')]
    said = json.loads(errors[-1])["error"]["desc"] if errors else ""
    return done.stderr, done.returncode, said


def hold(id: str, binary: str, arch: str, more: str, tmp: Path) -> None:
    """Assert that a wrong start fails, and that its words are explained by ``id``."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.socket(socket.AF_UNIX) as nobody_accepts,
    ):
        (tmp / "socket").unlink(missing_ok=True)
        nobody_accepts.bind(str(tmp / "socket"))
        filled = more.replace("{tmp}", str(tmp)).replace("{port}", str(listener.getsockname()[1]))
        stderr, status, _ = start(binary, arch, filled)
    assert status != 0, filled
    ids = [match.doc.id for match in catalogue.matches(stderr)]
    assert ids, stderr
    if id == "serial-backend":  # its own line stands after that of the cause
        assert id in ids, stderr
        return
    assert ids[0] == id, stderr
    doc = catalogue.by_id(ids[0])
    assert doc is not None
    assert doc.resolution[0] in hint_for(stderr)


@pytest.mark.parametrize(("id", "arch", "more"), STARTS, ids=lambda word: word[:40])
def test_a_wrong_start_is_explained(id: str, arch: str, more: str, tmp_path: Path) -> None:
    hold(id, find(arch), arch, more, tmp_path)


@pytest.mark.full
@pytest.mark.parametrize(("id", "arch", "more"), FOREIGN, ids=lambda word: word[:40])
def test_a_wrong_start_of_another_architecture_is_explained(
    id: str, arch: str, more: str, tmp_path: Path
) -> None:
    hold(id, find(arch), arch, more, tmp_path)


def test_a_tty_that_somebody_has_for_themselves_is_explained() -> None:
    ours, theirs = os.openpty()
    try:
        name = os.ttyname(theirs)
        os.chmod(name, 0o666)  # noqa: PTH101
        fcntl.ioctl(theirs, termios.TIOCEXCL)
        # Root is let in all the same.
        nobody = 65534 if os.geteuid() == 0 else None
        done = subprocess.run(
            [find("x86_64"), "-machine", "none", "-display", "none", "-S",
             "-chardev", f"serial,id=a,path={name}"],
            user=nobody, group=nobody, extra_groups=[] if nobody else None,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=BOUND,
        )  # fmt: skip
    finally:
        os.close(ours)
        os.close(theirs)
    (match,) = catalogue.matches(done.stderr)
    assert match.doc.id == "tty-busy", done.stderr


TWICE_A_CONSOLE = """\
<domain type='test'><name>guest</name><memory>1024</memory><os><type>hvm</type></os><devices>
<console type='pty'><target type='virtio' port='0'/></console>
<console type='pty'><target type='serial' port='1'/></console></devices></domain>"""


def test_what_virsh_refuses_is_explained(tmp_path: Path) -> None:
    """Libvirt's own driver for tests: no daemon, no VM."""
    file = tmp_path / "guest.xml"
    file.write_text(TWICE_A_CONSOLE)
    done = subprocess.run(
        ["virsh", "-c", "test:///default", "define", str(file)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=BOUND,
    )  # fmt: skip
    assert done.returncode == 1
    assert [m.doc.id for m in catalogue.matches(done.stderr)] == ["libvirt-serial-console-first"]


def test_the_first_words_of_virsh_console_are_explained() -> None:
    """It wants a terminal, says its two lines, and has no console behind libvirt's own driver."""
    ours, theirs = os.openpty()
    child = subprocess.Popen(
        ["virsh", "-c", "test:///default", "console", "test"],
        stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    said = b""
    try:
        while piece := os.read(ours, 4096):
            said += piece
    except OSError:  # a terminal whose other side has gone
        pass
    finally:
        os.close(ours)
        child.wait(BOUND)
    assert [m.doc.id for m in catalogue.matches(said.decode())] == ["console-silent"]


@pytest.mark.parametrize(("id", "more", "command", "arguments"), PLUGS)
def test_a_refused_command_is_explained(
    id: str, more: str, command: str, arguments: dict[str, str]
) -> None:
    request: dict[str, object] = {"execute": command, "arguments": arguments}
    _, status, said = start(find("aarch64"), "aarch64", more, request)
    assert status == 0
    (match,) = catalogue.matches(said)
    assert match.doc.id == id, said


@pytest.mark.full
@pytest.mark.parametrize("suite", ["bullseye", "trixie", "sid"])
def test_other_versions_are_explained(suite: str, tmp_path: Path) -> None:
    binaries = fetch(suite, ["aarch64", "x86_64"])
    for id, arch, more in STARTS:
        hold(id, str(binaries[arch]), arch, more, tmp_path)


def test_a_guest_with_more_ports_than_its_kernel_is_explained() -> None:
    ports = [(f"serial{n}", "pci-serial") for n in range(1, 7)]
    ports += [(f"serial{n}", "virtconsole,bus=v.0") for n in range(7, 17)]

    async def scenario() -> None:
        async with GuestVM(ensure("aarch64"), ports, ["virtio-serial-pci,id=v"]) as vm:
            shell = await vm.shell()
            (match,) = catalogue.matches(await shell.run("dmesg"))
            assert match.doc.id == "guest-8250-limit"
            assert match.more == 1
            for command, id in (
                ("stty -F /dev/hvc9", "hvc-limit"),
                ("mknod /tmp/ttyS9 c 4 73; stty -F /tmp/ttyS9", "tty-node-without-driver"),
                ("echo x >/dev/ttyS4; stty -F /dev/ttyS4", "tty-is-a-file"),
                ("stty -F /dev/ttyUSB0", "ttyusb-missing"),
            ):
                (match,) = catalogue.matches(await shell.run(f"{{ {command}; }} || true"))
                assert match.doc.id == id, match
            await shell.close()

    asyncio.run(scenario())
