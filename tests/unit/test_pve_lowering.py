"""A lowered PVE configuration is the command that PVE's own qemu-server prints."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from vmserial.errors import ConfigError
from vmserial.model.origin import LoweredCommand
from vmserial.options import split_params
from vmserial.sources.command import CommandLine
from vmserial.sources.pve import Document
from vmserial.sources.pve.lower import ArgsSpan, PveHost, lower

SAYS = Path(__file__).parent.parent / "data/pve-says"
VMID = 8006

LEFT_OUT = {"device_id", "write-cache", "rx_queue_size", "tx_queue_size", "host_mtu", "host_tunnel"}
"""Keys that concern neither a place nor a back end."""


def lowered(text: str, host: PveHost | None = None, **more: bool | str) -> LoweredCommand:
    document = Document.parse(text, "8006.conf")
    return lower(document, VMID, host or PveHost("x86_64"), **more)  # type: ignore[arg-type]


def normal(words: list[str]) -> list[str]:
    """Return the options of a command as text, without what only a host knows."""
    found = []
    for option in CommandLine.from_words(words).options:
        value = option.value or ""
        if option.name in {"blockdev", "drive", "iscsi"} or "throttle-group" in value:
            continue
        if option.name == "cpu":
            value = value.partition(",")[0]
        elif option.name == "machine":
            value = re.sub(r"\+pve[0-9]+", "", value)
        elif option.name in {"device", "netdev"}:
            head, pairs = split_params(value)
            kept = [f"{key}={each}" for key, each in pairs if key not in LEFT_OUT]
            value = ",".join(filter(None, [head, *kept]))
        found.append(f"-{option.name} {value}".strip())
    return found


@pytest.mark.parametrize("conf", sorted(SAYS.glob("*.conf")), ids=lambda path: path.stem)
def test_the_lowered_command_is_what_pve_says(conf: Path) -> None:
    text = conf.read_text()
    host = PveHost("aarch64" if "HOST_ARCH: aarch64" in text else "x86_64")
    said = shlex.split(conf.with_suffix(".pve-says").read_text().splitlines()[-1])
    answer = lowered(text, host)
    assert answer.program == said[0]
    assert normal(answer.argv()) == normal(said)


# ------------------------------------------------------------------ rows that the twenty lack

Q35 = "machine: q35\n"
ARM = "arch: aarch64\n"

PLACES = [
    # What else has a fixed place.
    ("watchdog: model=i6300esb", "-device i6300esb,bus=pci.0,addr=0x4"),
    ("balloon: 512", "-device virtio-balloon-pci,id=balloon0,bus=pci.0,addr=0x3,"
     "free-page-reporting=on"),
    ("rng0: source=/dev/urandom", "-device virtio-rng-pci,rng=rng0,max-bytes=1024,period=1000,"
     "bus=pci.1,addr=0x1d"),
    ("ivshmem: size=32", "-device ivshmem-plain,memdev=ivshmem,bus=pci.2,addr=0xb"),
    (Q35 + "ivshmem: size=32", "-device ivshmem-plain,memdev=ivshmem,bus=pcie.0,addr=0x14"),
    ("audio0: device=AC97", "-device AC97,id=audiodev0,audiodev=spice-backend0,bus=pci.2,addr=0xc"),
    ("audio0: device=intel-hda", "-device intel-hda,id=audiodev0,bus=pci.2,addr=0xc"),
    ("audio0: device=intel-hda", "-device hda-duplex,id=audiodev0-codec1,bus=audiodev0.0,cad=1,"
     "audiodev=spice-backend0"),
    ("tpmstate0: local:1/x.raw", "-device tpm-tis,tpmdev=tpmdev"),
    ("vmgenid: 7b10d7af-b932-4c66-b2c3-3996152ec465",
     "-device vmgenid,guid=7b10d7af-b932-4c66-b2c3-3996152ec465"),
    ("parallel1: /dev/parport1", "-device isa-parallel,chardev=parallel1"),
    # Graphics.
    ("ostype: l26", "-device VGA,id=vga,bus=pci.0,addr=0x2"),
    ("ostype: wxp", "-device cirrus-vga,id=vga,bus=pci.0,addr=0x2"),
    (Q35 + "vga: virtio", "-device virtio-vga,id=vga,bus=pcie.0,addr=0x1"),
    (ARM + "ostype: l26", "-device virtio-gpu,id=vga,bus=pcie.0,addr=0x2"),
    ("vga: vmware", "-device vmware-svga,id=vga,bus=pci.0,addr=0x2"),
    ("vga: qxl3\nostype: win10", "-device qxl,id=vga2,bus=pci.0,addr=0x19"),
    ("vga: qxl3\nostype: l26", "-global qxl-vga.ram_size=134217728"),
    ("vga: qxl", "-device virtio-serial,id=spice,bus=pci.0,addr=0x9"),
    ("vga: none", "-vga none"),
    # Tablet and USB.
    ("ostype: l26", "-device usb-tablet,id=tablet,bus=uhci.0,port=1"),
    (Q35, "-device usb-tablet,id=tablet,bus=ehci.0,port=1"),
    (ARM + "vga: std", "-device usb-kbd,id=keyboard,bus=ehci.0,port=2"),
    ("usb0: host=0403:6001\nostype: l26", "-device qemu-xhci,p2=15,p3=15,id=xhci,bus=pci.1,"
     "addr=0x1b"),
    ("usb3: host=0403:6001\nostype: win10\nmeta: creation-qemu=9.2.0",
     "-device usb-host,bus=xhci.0,port=4,vendorid=0x0403,productid=0x6001,id=usb3"),
    (ARM + "usb13: host=1-2.3\nostype: l26",
     "-device usb-host,bus=xhci.0,port=14,hostbus=1,hostport=2.3,id=usb13"),
    ("usb0: spice\nostype: l26", "-device usb-redir,chardev=usbredirchardev0,id=usbredirdev0,"
     "bus=xhci.0,port=1"),
    ("usb0: host=0403:6001\nostype: win7", "-device ich9-usb-ehci1,id=ehci,multifunction=on,"
     "bus=pci.0,addr=1d.7"),
    ("usb0: host=0403:6001\nostype: win7",
     "-device usb-host,vendorid=0x0403,productid=0x6001,id=usb0"),
    ("usb0: host=0403:6001,usb3=1\nostype: win7",
     "-device nec-usb-xhci,id=xhci,bus=pci.1,addr=0x1b"),
    ("usb0: spice\nostype: win7",
     "-device usb-redir,chardev=usbredirchardev0,id=usbredirdev0,bus=ehci.0"),
    # q35's file.
    (Q35, "-device pci-bridge,id=pci.2,bus=pcidmi,addr=3.0,chassis_nr=3"),
    (Q35, "-device pcie-root-port,id=ich9-pcie-port-4,multifunction=on,bus=pcie.0,addr=1c.3,"
     "port=4,chassis=4"),
    ("machine: pc-q35-3.1", "-device ioh3420,id=ich9-pcie-port-1,multifunction=on,bus=pcie.0,"
     "addr=1c.0,port=1,chassis=1"),
    # Network cards.
    ("net5: e1000=A2:C0:43:77:08:A0,bridge=vmbr0",
     "-device e1000,mac=A2:C0:43:77:08:A0,netdev=net5,bus=pci.0,addr=0x17,id=net5,bootindex=300"),
    ("net31: virtio=A2:C0:43:77:08:A0,bridge=vmbr0\nboot: order=net31",
     "-device virtio-net-pci,mac=A2:C0:43:77:08:A0,netdev=net31,bus=pci.1,addr=0x1a,id=net31,"
     "bootindex=100"),
    ("net0: virtio=A2:C0:43:77:08:A0", "-netdev type=user,id=net0,hostname=vm8006"),
    # Drives.
    ("virtio15: local:1/x.raw", "-device virtio-blk-pci,drive=drive-virtio15,id=virtio15,"
     "bus=pci.2,addr=0xa"),
    ("scsi8: local:1/x.raw", "-device lsi,id=scsihw1,bus=pci.0,addr=0x6"),
    ("scsi8: local:1/x.raw", "-device scsi-hd,bus=scsihw1.0,scsi-id=1,drive=drive-scsi8,id=scsi8"),
    ("scsi14: local:1/x.raw", "-device pci-bridge,id=pci.4,chassis_nr=4,bus=pci.1,addr=0x1c"),
    ("scsi14: local:1/x.raw", "-device lsi,id=scsihw2,bus=pci.4,addr=0x1"),
    ("scsi3: local:1/x.raw\nscsihw: virtio-scsi-single",
     "-device pci-bridge,id=pci.3,chassis_nr=3,bus=pci.0,addr=0x5"),
    ("scsi3: local:1/x.raw,iothread=1\nscsihw: virtio-scsi-single",
     "-device virtio-scsi-pci,id=virtioscsi3,bus=pci.3,addr=0x4,iothread=iothread-virtioscsi3"),
    ("scsi3: local:1/x.raw\nscsihw: pvscsi",
     "-device scsi-hd,bus=scsihw0.0,scsi-id=3,drive=drive-scsi3,id=scsi3"),
    ("scsi3: local:1/x.raw\nscsihw: megasas",
     "-device scsi-hd,bus=scsihw0.0,channel=0,scsi-id=0,lun=3,drive=drive-scsi3,id=scsi3"),
    ("sata5: local:1/x.raw", "-device ahci,id=ahci0,multifunction=on,bus=pci.0,addr=0x7"),
    ("sata5: local:1/x.raw", "-device ide-hd,bus=ahci0.5,drive=drive-sata5,id=sata5"),
    ("ide3: local:1/x.raw", "-device ide-hd,bus=ide.1,unit=1,drive=drive-ide3,id=ide3"),
    (Q35 + "ide1: local:1/x.raw", "-device ide-hd,bus=ide.2,unit=0,drive=drive-ide1,id=ide1"),
    (Q35 + "ide2: none,media=cdrom", "-device ide-cd,bus=ide.1,unit=0,id=ide2,bootindex=200"),
    ("ide0: local:1/x.raw\nscsi0: local:1/y.raw\nbootdisk: scsi0\nscsihw: virtio-scsi-pci",
     "-device scsi-hd,bus=scsihw0.0,channel=0,scsi-id=0,lun=0,drive=drive-scsi0,id=scsi0,"
     "bootindex=101"),
    ("ide0: local:cloudinit", "-device ide-cd,bus=ide.0,unit=0,drive=drive-ide0,id=ide0"),
    ("boot: order=net0;sata0\nsata0: local:1/x.raw",
     "-device ide-hd,bus=ahci0.0,drive=drive-sata0,id=sata0,bootindex=101"),
    # The host's devices.
    ("hostpci2: 01:00.0", "-device vfio-pci,host=01:00.0,id=hostpci2,bus=pci.0,addr=0x1b"),
    ("hostpci15: 01:00.0", "-device vfio-pci,host=01:00.0,id=hostpci15,bus=pci.2,addr=0x18"),
    (Q35 + "hostpci0: 01:00.0,pcie=1",
     "-device vfio-pci,host=01:00.0,id=hostpci0,bus=ich9-pcie-port-1,addr=0x0"),
    (Q35 + "hostpci12: 01:00.0,pcie=1",
     "-device pcie-root-port,id=ich9-pcie-port-13,bus=pcie.0,addr=11.0,multifunction=on,port=13,"
     "chassis=13"),
    (Q35 + "ostype: win7\nhostpci4: 01:00.0,pcie=1",
     "-device vfio-pci,host=01:00.0,id=hostpci4,bus=pcie.0,addr=0x9"),
    ("hostpci0: 01:00.0;01:00.1", "-device vfio-pci,host=01:00.1,id=hostpci0.1,bus=pci.0,"
     "addr=0x10.0x1"),
    ("hostpci0: 00:02.0,legacy-igd=1",
     "-device pci-bridge,id=pci.2,chassis_nr=2,bus=pci.1,addr=0x1e"),
    ("machine: q35,viommu=virtio", "-device virtio-iommu-pci"),
    ("machine: q35,viommu=intel", "-device intel-iommu,intremap=on,caching-mode=on"),
    ("virtiofs0: dirid=data", "-device vhost-user-fs-pci,chardev=virtiofs0,tag=data"),
    # Machine, clock and sleep states.
    ("ostype: win11\nmachine: q35\nmeta: creation-qemu=9.2.0",
     "-machine hpet=off,type=pc-q35-9.2"),
    ("ostype: win11\nmachine: q35\nmeta: creation-qemu=9.0.2",
     "-machine hpet=off,type=pc-q35-5.1"),
    ("ostype: win11\nmachine: q35", "-machine hpet=off,type=pc-q35-5.1"),
    ("ostype: win10", "-machine hpet=off,type=pc-i440fx-5.1"),
    ("ostype: win10\nmeta: creation-qemu=12.0.0", "-machine hpet=off,type=pc-i440fx-11.0"),
    ("ostype: other", "-machine type=pc"),
    ("machine: pc-i440fx-10.0+pve1.pxe\nostype: l26", "-machine type=pc-i440fx-10.0"),
    (Q35 + "ostype: l26\nkvm: 0\nacpi: 0", "-machine acpi=off,hpet=off,accel=tcg,type=q35"),
    ("machine: q35,viommu=intel\nostype: l26",
     "-machine hpet=off,type=q35,kernel-irqchip=split"),
    ("vga: none\nallow-ksm: 0", "-machine smm=off,type=pc,mem-merge=off"),
    ("vga: none\nbios: ovmf", "-machine pflash0=pflash0,pflash1=drive-efidisk0,type=pc"),
    ("ostype: win10", "-rtc driftfix=slew,base=localtime"),
    ("ostype: win10\nacpi: 0", "-rtc base=localtime"),
    ("startdate: 2006-06-17T16:01:21", "-rtc base=2006-06-17T16:01:21"),
    ("ostype: win10", "-global kvm-pit.lost_tick_policy=discard"),
    (Q35 + "ostype: l26", "-global ICH9-LPC.disable_s4=1"),
    (Q35 + "ostype: l26", "-global ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off"),
]  # fmt: skip


@pytest.mark.parametrize(("conf", "option"), PLACES)
def test_each_key_gets_pves_place(conf: str, option: str) -> None:
    assert option in normal(lowered(conf).argv())


NOT_THERE = [
    ("balloon: 0", "virtio-balloon"), ("tablet: 0", "usb-tablet"), ("vga: serial0", "usb-tablet"),
    ("vga: qxl", "usb-tablet"), ("usb0: host=0403:6001\nostype: l26", "ich9-usb-ehci1"),
    ("usb0: host=0403:6001,usb3=1\nostype: win7", "ich9-usb-ehci1"),
    (ARM + "usb0: host=0403:6001\nostype: win7", "ich9-usb-ehci1"),
    ("usb7: host=0403:6001\nostype: win7", "id=usb7"), ("agent: 0", "qga0"),
    ("boot: \nide2: none,media=cdrom", "bootindex"), ("hostpci0: 01:00.0,x-vga=1", "VGA,id=vga"),
    ("boot: order=scsi0\nide2: none,media=cdrom", "bootindex"),
    ("machine: pc-i440fx-9.1", "disable_s3"), (ARM + "kvm: 1", "hpet"),
    ("agent: 1,type=isa-1", "qga0"),
    ("machine: q35,enable-s3=1", "disable_s3"), ("vga: serial0\nbios: ovmf", "smm=off"),
    ("template: 1\nserial0: socket", "serial0"),
]  # fmt: skip


@pytest.mark.parametrize(("conf", "text"), NOT_THERE)
def test_what_pve_leaves_out_is_left_out(conf: str, text: str) -> None:
    assert text not in "\n".join(normal(lowered(conf).argv()))


def test_a_versionless_machine_behaves_as_the_installed_qemu() -> None:
    conf = "usb0: host=0403:6001\nostype: l26"
    assert "qemu-xhci" in " ".join(lowered(conf, PveHost("x86_64", (7, 2))).argv())
    assert "ich9-usb-ehci1" in " ".join(lowered(conf, PveHost("x86_64", (7, 0))).argv())


def test_each_option_knows_its_line_and_args_their_words() -> None:
    text = "serial0: socket\nargs: -device 'pci-serial,id=a b'  -S\nagent: 1\n"
    answer = lowered(text)
    by_text = {" ".join(each.option.argv()): each.origin for each in answer.options}
    assert str(by_text["-device isa-serial,chardev=serial0"].where) == "8006.conf:1"
    assert by_text["-device isa-serial,chardev=serial0"].owner == "pve"
    assert str(by_text["-device virtio-serial,id=qga0,bus=pci.0,addr=0x8"].where) == "8006.conf:3"
    mine = by_text["-device pci-serial,id=a b"]
    assert (mine.owner, str(mine.where)) == ("user", "8006.conf:2")
    span = mine.handle
    assert isinstance(span, ArgsSpan)
    assert span.setting.value[span.start : span.end] == "-device 'pci-serial,id=a b'"
    bridge = by_text["-device pci-bridge,id=pci.2,chassis_nr=2,bus=pci.0,addr=0x1f"]
    assert bridge.handle is None


def test_what_never_reaches_the_command_is_dropped_and_named() -> None:
    text = (
        "#vmserial serial5%3A pty,type=usb\nserial4: socket\nvga: serial7\nbanana: 1\n"
        "serial0: socket\n\n[PENDING]\nserial1: socket\ndelete: serial0\n"
    )
    answer = lowered(text)
    assert {(each.name, each.reason, each.value) for each in answer.dropped} == {
        ("serial4", "no-such-line", "socket"),
        ("serial5", "directive", "pty,type=usb"),
        ("serial1", "pending", "socket"),
        ("serial0", "pending", ""),
        ("banana", "other", "1"),
        ("vga", "other", "serial7"),
    }
    assert "id=vga" in " ".join(answer.argv())


def test_snapshots_and_pending_changes_are_lowered_by_themselves() -> None:
    text = (
        "serial0: socket\n\n[PENDING]\nserial1: socket\ndelete: serial0\n\n[old]\nserial2: socket\n"
    )
    assert [*lowered(text).labels] == ["serial0"]
    assert [*lowered(text, pending=True).labels] == ["serial1"]
    assert [*lowered(text, snapshot="old").labels] == ["serial2"]


def test_an_open_quote_in_args_is_named_with_its_line() -> None:
    with pytest.raises(ConfigError, match="not closed") as error:
        lowered("name: a\nargs: -device 'x")
    assert error.value.where == "8006.conf:2"
