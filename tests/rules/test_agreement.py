"""One VM as a command, as a domain and as a PVE configuration: the judge says the same of it.

Each cell is a source that has the finding, or the reason why that source cannot have it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import pytest

import findings
from vmserial.guests import profile
from vmserial.judging import Judgement, RepairPolicy, judge
from vmserial.model import Capabilities, Severity
from vmserial.model.origin import LoweredCommand
from vmserial.rules.index import PHASES
from vmserial.sources.command import CommandLine
from vmserial.sources.libvirt import Document as DomainDocument
from vmserial.sources.libvirt.lower import lower as lower_domain
from vmserial.sources.libvirt.view import Domain
from vmserial.sources.pve import Document as PveDocument
from vmserial.sources.pve.lower import PveHost
from vmserial.sources.pve.lower import lower as lower_pve

LONG = "/run/" + "long-name-of-a-directory/" * 5 + "serial"
SERVER = "server=on,wait=off"


@dataclass(frozen=True)
class Row:
    """One finding in three languages.

    Attributes:
        id: the finding.
        command: the options of a command, or of ``args:``.
        xml: the devices of a domain; a reason begins with ``cannot: ``.
        conf: the lines of a configuration; likewise.
        arch: QEMU's target name.
        machine: the machine type.
        policy: what the owner asks for.
    """

    id: str
    command: str
    xml: str
    conf: str
    arch: str = "x86_64"
    machine: str = "q35"
    policy: RepairPolicy = field(default_factory=RepairPolicy)


def serials(count: int, target: str, *, source: str = "pty", more: str = "") -> str:
    return "".join(
        f"<serial type='{source}'><target type='{target}' port='{n}'/>{more}</serial>"
        for n in range(count)
    )


def channels(count: int, tag: str = "channel") -> str:
    return "".join(
        f"<{tag} type='pty'><target type='virtio' "
        + (f"name='p{n}'" if tag == "channel" else f"port='{n}'")
        + f"/></{tag}>"
        for n in range(count)
    )


def many(count: int, device: str, first: int = 0, key: str = "chardev") -> str:
    return " ".join(
        f"-chardev pty,id=serial{n} -device {device.format(n=n)},{key}=serial{n}"
        for n in range(first, first + count)
    )


def written(options: str) -> str:
    """Return the options with host sides that are open whoever connects."""
    return options.replace("-chardev pty,", "-chardev file,path=/run/f,")


NO_CHARDEV = "cannot: libvirt makes the chardev of each port"
VIRTIO = "-device virtio-serial-pci,id=vs"

ROWS = [
    Row(
        "usb-speed",
        f"-device usb-ehci,id=ehci {many(1, 'usb-serial,bus=ehci.0,always-plugged=on', 4)}",
        "<controller type='usb' index='0' model='ehci'/>" + serials(1, "usb-serial"),
        f"args: {many(1, 'usb-serial,always-plugged=on', 4)}\n",
        "aarch64", "virt",
    ),
    Row(
        "chardev-missing", "-device isa-serial,chardev=nobody", NO_CHARDEV,
        "args: -device isa-serial,chardev=nobody\n",
    ),
    Row(
        "chardev-in-use", "-chardev pty,id=serial0 -device isa-serial,chardev=serial0 "
        "-device isa-serial,chardev=serial0", NO_CHARDEV,
        "serial0: socket\nargs: -device isa-serial,chardev=serial0\n",
    ),
    Row(
        "virtio-queue-overflow", f"{VIRTIO} {written(many(20, 'virtserialport,name=p{n}'))}",
        "<controller type='virtio-serial' index='0'/>" + channels(20).replace(
            "type='pty'>", "type='file'><source path='/run/f'/>"
        ),
        f"args: {VIRTIO} {written(many(20, 'virtserialport,name=p{n}', 4))}\n",
    ),
    Row(
        "isa-limit", many(5, "isa-serial"), serials(5, "isa-serial"),
        "serial0: socket\nserial1: socket\nserial2: socket\nserial3: socket\n"
        f"args: {many(1, 'isa-serial', 4)}\n",
    ),
    Row(
        "kind-not-on-arch", many(1, "isa-serial"),
        "cannot: libvirt makes isa-serial a UART of the board there",
        "serial0: socket\nserial1: socket\n", "aarch64", "virt",
    ),
    Row(
        "onboard-uart-limit", "-serial pty -serial pty", serials(2, "system-serial"),
        "args: -serial pty -serial pty\n", "aarch64", "virt",
    ),
    Row(
        "guest-8250-limit", many(5, "pci-serial"), serials(5, "pci-serial"),
        f"args: {many(5, 'pci-serial', 4)}\n", "aarch64", "virt",
    ),
    Row(
        "usb-not-plugged", f"-device qemu-xhci {many(1, 'usb-serial')}",
        "<controller type='usb' index='0' model='qemu-xhci'/>" + serials(1, "usb-serial"),
        f"args: -device qemu-xhci,id=x {many(1, 'usb-serial,bus=x.0', 4)}\n",
    ),
    Row(
        "not-hot-pluggable", many(2, "isa-serial"), serials(2, "isa-serial"),
        "serial0: socket\nserial1: socket\n", policy=RepairPolicy(hotplug=True),
    ),
    Row(
        "socket-path-too-long",
        f"-chardev socket,id=serial0,path={LONG},{SERVER} -device isa-serial,chardev=serial0",
        f"<serial type='unix'><source mode='bind' path='{LONG}'/></serial>",
        f"args: -chardev socket,id=serial4,path={LONG},{SERVER} "
        "-device isa-serial,chardev=serial4\n",
    ),
    Row(
        "port-clash",
        " ".join(f"-chardev socket,id=serial{n},path=/run/s,{SERVER} "
                 f"-device isa-serial,chardev=serial{n}" for n in (0, 1)),
        "".join(f"<serial type='unix'><source mode='bind' path='/run/s'/><target port='{n}'/>"
                "</serial>" for n in (0, 1)),
        "args: " + " ".join(f"-chardev socket,id=serial{n},path=/run/s,{SERVER} "
                            f"-device isa-serial,chardev=serial{n}" for n in (4, 5)) + "\n",
    ),
    Row(
        "address-in-use",
        " ".join(f"-chardev socket,id=serial{n},host=0.0.0.0,port=4322,{SERVER} "
                 f"-device isa-serial,chardev=serial{n}" for n in (0, 1)),
        "".join("<serial type='tcp'><source mode='bind' host='0.0.0.0' service='4322'/>"
                f"<target port='{n}'/></serial>" for n in (0, 1)),
        "args: " + " ".join(f"-chardev socket,id=serial{n},host=0.0.0.0,port=4322,{SERVER} "
                            f"-device isa-serial,chardev=serial{n}" for n in (4, 5)) + "\n",
    ),
    Row(
        "hvc-limit", f"{VIRTIO} {many(9, 'virtconsole')}",
        "<controller type='virtio-serial' index='0'/>" + channels(9, "console"),
        f"args: {VIRTIO} {many(9, 'virtconsole', 4)}\n",
    ),
    Row(
        "virtio-port-taken", f"{VIRTIO} {many(2, 'virtserialport,name=same')}",
        "<controller type='virtio-serial' index='0'/>" + channels(2).replace("'p1'", "'p0'"),
        f"args: {VIRTIO} {many(2, 'virtserialport,name=same', 4)}\n",
    ),
    Row(
        "pci-slot-taken", many(2, "pci-serial,addr=0x9"),
        "cannot: libvirt refuses a domain with two devices at one address",
        f"args: {many(2, 'pci-serial,bus=pcie.0,addr=0x9', 4)}\n",
    ),
    Row(
        "stdio-twice",
        "-chardev stdio,id=serial0 -device isa-serial,chardev=serial0 "
        "-chardev stdio,id=serial1 -device isa-serial,chardev=serial1",
        "<serial type='stdio'><target port='0'/></serial>"
        "<serial type='stdio'><target port='1'/></serial>",
        "args: -chardev stdio,id=serial4 -device isa-serial,chardev=serial4 "
        "-chardev stdio,id=serial5 -device isa-serial,chardev=serial5\n",
    ),
    Row(
        "onboard-uart-limit", "-serial pty -serial pty -serial pty -serial pty -serial pty",
        "cannot: libvirt gives the fifth no -serial", "args: " + "-serial pty " * 5 + "\n",
    ),
]  # fmt: skip


def capabilities(row: Row) -> Capabilities:
    return findings.capabilities(row.arch)


def judged(row: Row, source: CommandLine | LoweredCommand) -> Judgement:
    return judge(source, capabilities(row), profile.unknown(row.arch), row.policy)


def by_command(row: Row) -> Judgement:
    words = f"qemu-system-{row.arch} -machine {row.machine} -nodefaults {row.command}"
    return judged(row, CommandLine.parse(words))


def by_domain(row: Row) -> Judgement:
    text = (
        f"<domain type='qemu'><name>v</name><memory>524288</memory><os><type arch='{row.arch}' "
        f"machine='{row.machine}'>hvm</type></os><devices>{row.xml}</devices></domain>"
    )
    return judged(row, lower_domain(Domain.of(DomainDocument.parse(text.encode()))))


def by_conf(row: Row) -> Judgement:
    machine = "q35" if row.machine == "q35" else ""
    text = f"arch: {row.arch}\n" + (f"machine: {machine}\n" if machine else "") + row.conf
    lowered = lower_pve(PveDocument.parse(text, "100.conf"), 100, PveHost(row.arch))
    return judged(row, lowered)


SOURCES: dict[str, Callable[[Row], Judgement]] = {
    "command": by_command, "xml": by_domain, "conf": by_conf,
}  # fmt: skip
ALIASES = {
    alias: rule.id for phase in PHASES for rule in phase for alias in (rule.aliases or {}).values()
}


def ids(verdict: Judgement) -> set[str]:
    """Return the findings that are more than notes, by the id that all sources know."""
    found = (f for f in verdict.found if f.severity is not Severity.NOTE)
    return {ALIASES.get(finding.id, finding.id) for finding in found}


def cells() -> Iterable[object]:
    for place, row in enumerate(ROWS):
        for name in SOURCES:
            if not getattr(row, name).startswith("cannot: "):
                yield pytest.param(row, name, id=f"{row.id}-{place}-{name}")


@pytest.mark.parametrize(("row", "source"), list(cells()))
def test_each_source_has_the_finding(row: Row, source: str) -> None:
    assert row.id in ids(SOURCES[source](row))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_the_sources_agree(row: Row) -> None:
    # libvirt never sets always-plugged, whatever else is wrong.
    own = {"usb-not-plugged"} - {row.id}
    said = {name: ids(SOURCES[name](row)) - own for name in SOURCES
            if not getattr(row, name).startswith("cannot: ")}  # fmt: skip
    assert len({frozenset(each) for each in said.values()}) == 1, said


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
def test_the_findings_of_a_source_stand_where_it_says(row: Row) -> None:
    for name in ("xml", "conf"):
        if not getattr(row, name).startswith("cannot: "):
            verdict = SOURCES[name](row)
            (finding, *_) = [f for f in verdict.found if ALIASES.get(f.id, f.id) == row.id]
            assert finding.where is not None
            assert finding.where.line > 0, (name, finding)


def test_a_source_that_says_less_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SOURCES, "conf", lambda row: by_conf(Row(row.id, "", "", "")))
    with pytest.raises(AssertionError):
        test_the_sources_agree(ROWS[0])
