"""A private copy of a command: its serial side as it stands, nothing else of its user's."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

import findings
from vmserial.context.ports import ports_of
from vmserial.errors import ConfigError
from vmserial.model import Capabilities, DeviceType
from vmserial.options import render
from vmserial.qemu import binary
from vmserial.qemu.isolation import isolate
from vmserial.qemu.private import PrivateCommand
from vmserial.sources.command import CommandLine, CommandView

RECORDED = Path(__file__).parent.parent / "data" / "capabilities"


def recorded(name: str) -> Capabilities:
    return binary.from_json(json.loads((RECORDED / f"qemu-{name}.json").read_text()))


ARM, X86 = recorded("7.2-aarch64"), recorded("7.2-x86_64")


def private(text: str, capabilities: Capabilities = X86, **more: str) -> PrivateCommand:
    command = CommandLine.parse(text)
    files = {name.replace("_", "."): content for name, content in more.items()}
    view = CommandView.of(command, arch=capabilities.target, read_file=files.__getitem__)
    return isolate(view, capabilities, lambda name: f"/p/{name}")


def words(made: PrivateCommand) -> str:
    return shlex.join(render(made.options))


def options(text: str, capabilities: Capabilities = X86, **more: str) -> list[str]:
    """Return each option of the private copy as one text, its sockets in short."""
    made = private(text, capabilities, **more)
    texts = [" ".join(option.argv()) for option in made.options]
    return [
        text.replace("socket,id=", "@").replace(",server=on,wait=off", "").replace(",path=/p/", " ")
        for text in texts
    ]


# ------------------------------------------------------------------ whole commands


def test_pves_aarch64_command_of_the_article() -> None:
    text = """
    /usr/bin/kvm -id 142 -name 'arm,debug-threads=on' -no-shutdown \
      -chardev 'socket,id=qmp,path=/var/run/qemu-server/142.qmp,server=on,wait=off' \
      -mon 'chardev=qmp,mode=control' -pidfile /var/run/qemu-server/142.pid -daemonize \
      -drive 'if=pflash,unit=0,format=raw,readonly=on,file=/usr/share/AAVMF_CODE.fd' \
      -smp '4,sockets=1,cores=4,maxcpus=4' -nodefaults -boot 'menu=on' \
      -vnc 'unix:/var/run/qemu-server/142.vnc,password=on' -cpu host -m 4096 \
      -device 'pci-bridge,id=pci.1,chassis_nr=1,bus=pcie.0,addr=0x1e' \
      -device 'usb-ehci,id=ehci,bus=pcie.0,addr=0x1' \
      -device 'usb-tablet,id=tablet,bus=ehci.0,port=1' \
      -chardev 'socket,id=serial0,path=/var/run/qemu-server/142.serial0,server=on,wait=off' \
      -serial chardev:serial0 \
      -chardev 'socket,id=serial1,path=/var/run/qemu-server/142.serial1,server=on,wait=off' \
      -device 'isa-serial,chardev=serial1' -device 'virtio-gpu,id=vga,bus=pcie.0,addr=0x2' \
      -device 'virtio-scsi-pci,id=scsihw0,bus=pci.1,addr=0x5' \
      -device 'scsi-hd,bus=scsihw0.0,scsi-id=0,drive=drive-scsi0,id=scsi0,bootindex=100' \
      -netdev 'type=tap,id=net0,ifname=tap142i0,script=/usr/libexec/pve-bridge,vhost=on' \
      -device 'virtio-net-pci,mac=BC:24:11:00:00:01,netdev=net0,bus=pci.1,addr=0x12,id=net0' \
      -machine 'type=virt+pve0,gic-version=host'
    """
    devices = {**ARM.devices, "virtio-gpu": ARM.devices["virtio-gpu-pci"]}
    capabilities = Capabilities(ARM.version, "aarch64", devices=devices)
    assert options(text, capabilities) == [
        "-machine virt",
        "-nodefaults",
        "-device pci-bridge,id=pci.1,chassis_nr=1,bus=pcie.0,addr=0x1e",
        "-device usb-ehci,id=ehci,bus=pcie.0,addr=0x1",
        "-device usb-tablet,id=tablet,bus=ehci.0,port=1",
        "-chardev @serial0 serial0",
        "-serial chardev:serial0",
        "-chardev @serial1 serial1",
        # QEMU for aarch64 refuses it, and shall say so itself.
        "-device isa-serial,chardev=serial1",
        "-device virtio-rng-pci,id=vga,bus=pcie.0,addr=0x2",
        "-device virtio-rng-pci,id=scsihw0,bus=pci.1,addr=0x5",
        "-device virtio-rng-pci,id=net0,bus=pci.1,addr=0x12",
    ]
    made = private(text, capabilities)
    assert [(p.name, p.driver, p.number) for p in made.ports] == [
        ("serial0", "", 0), ("serial1", "isa-serial", 1)
    ]  # fmt: skip
    assert made.machine_type == "virt"
    assert made.notes[-1] == "left out, as stock QEMU refuses it: +pve0, -id 142"


def test_libvirts_aarch64_command() -> None:
    text = """LC_ALL=C HOME=/var/lib/libvirt/qemu/domain-1-a XDG_DATA_HOME=/x \
    /usr/bin/qemu-system-aarch64 -name guest=a,debug-threads=on -S \
      -object '{"qom-type":"secret","id":"masterKey0","format":"raw","file":"/x/master-key.aes"}' \
      -machine virt-7.2,usb=off,gic-version=2,dump-guest-core=off,memory-backend=mach-virt.ram \
      -accel tcg -cpu cortex-a57 -m 1024 \
      -object '{"qom-type":"memory-backend-ram","id":"mach-virt.ram","size":1073741824}' \
      -no-user-config -nodefaults \
      -chardev socket,id=charmonitor,fd=20,server=on,wait=off \
      -mon chardev=charmonitor,id=monitor,mode=control -rtc base=utc -no-shutdown -boot strict=on \
      -device '{"driver":"pcie-root-port","port":8,"chassis":1,"id":"pci.1","bus":"pcie.0",\
"multifunction":true,"addr":"0x1"}' \
      -device '{"driver":"qemu-xhci","id":"usb","bus":"pci.1","addr":"0x0"}' \
      -blockdev '{"driver":"file","filename":"/a.qcow2","node-name":"s"}' \
      -device '{"driver":"virtio-blk-pci","bus":"pcie.0","multifunction":true,"addr":"0x2",\
"drive":"s","id":"virtio-disk0","bootindex":1}' \
      -chardev pty,id=charserial0 -serial chardev:charserial0 \
      -chardev pty,id=charserial1,logfile=/l,logappend=on -serial chardev:charserial1 \
      -chardev pty,id=charserial2 \
      -device '{"driver":"usb-serial","chardev":"charserial2","id":"serial2","bus":"usb.0",\
"port":"1"}' \
      -audiodev '{"id":"audio1","driver":"none"}' -sandbox on,obsolete=deny -msg timestamp=on
    """
    assert options(text, ARM) == [
        "-machine virt-7.2,usb=off,gic-version=2,dump-guest-core=off",
        "-no-user-config",
        "-nodefaults",
        '-device {"driver":"pcie-root-port","port":8,"chassis":1,"id":"pci.1","bus":"pcie.0",'
        '"multifunction":true,"addr":"0x1"}',
        '-device {"driver":"qemu-xhci","id":"usb","bus":"pci.1","addr":"0x0"}',
        '-device {"driver": "virtio-rng-pci", "id": "virtio-disk0", "bus": "pcie.0", '
        '"addr": "0x2", "multifunction": true}',
        "-chardev @charserial0 serial0",
        "-serial chardev:charserial0",
        "-chardev @charserial1 serial1",
        "-serial chardev:charserial1",
        "-chardev @charserial2 serial2",
        '-device {"driver":"usb-serial","chardev":"charserial2","id":"serial2","bus":"usb.0",'
        '"port":"1","serial":"serial2"}',
    ]
    assert private(text, ARM).json_devices


def test_pves_q35_command_with_its_readconfig_file() -> None:
    text = """
    /usr/bin/kvm -id 100 -readconfig q35.cfg -nodefaults -cpu kvm64,enforce -m 2048 \
      -chardev 'socket,id=serial0,path=/a,server=on,wait=off' -device isa-serial,chardev=serial0 \
      -chardev 'serial,id=serial1,path=/dev/ttyS3' -device isa-serial,chardev=serial1,index=3 \
      -chardev 'socket,id=serial2,path=/c,server=on,wait=off' -device isa-serial,chardev=serial2 \
      -chardev 'socket,path=/g,server=on,wait=off,id=qga0' \
      -device 'virtio-serial,id=qga0,bus=pci.0,addr=0x8' \
      -device 'virtserialport,chardev=qga0,name=org.qemu.guest_agent.0' \
      -device 'vmgenid,guid=6fbf9d2a-0000-0000-0000-000000000000' \
      -device 'VGA,id=vga,bus=pcie.0,addr=0x1' -device 'usb-host,hostbus=1,hostaddr=2,id=usb0' \
      -device 'vfio-pci,host=0000:01:00.0,id=hostpci0,bus=ich9-pcie-port-1,addr=0x0' \
      -machine 'smm=off,type=pc-q35-7.2+pve0' -global 'ICH9-LPC.disable_s3=1' \
      -global isa-fdc.driveA=d -set device.vga.x=1 -set device.qga0.max_ports=3
    """
    config = """
[device "ehci"]
  driver = "ich9-usb-ehci1"
  multifunction = "on"
  bus = "pcie.0"
  addr = "1d.7"

[device "ich9-pcie-port-1"]
  driver = "pcie-root-port"
  addr = "1c.0"
  bus = "pcie.0"

[device "pci.0"]
  driver = "pci-bridge"
  bus = "pcie.0"
  addr = "1e.0"
"""
    assert options(text, X86, q35_cfg=config) == [
        "-machine pc-q35-7.2,smm=off",
        "-device id=ehci,driver=ich9-usb-ehci1,multifunction=on,bus=pcie.0,addr=1d.7",
        "-device id=ich9-pcie-port-1,driver=pcie-root-port,addr=1c.0,bus=pcie.0",
        "-device id=pci.0,driver=pci-bridge,bus=pcie.0,addr=1e.0",
        "-nodefaults",
        "-chardev @serial0 serial0",
        "-device isa-serial,chardev=serial0",
        "-chardev @serial1 serial1",
        "-device isa-serial,chardev=serial1,index=3",
        "-chardev @serial2 serial2",
        "-device isa-serial,chardev=serial2",
        "-chardev null,id=qga0",
        "-device virtio-serial,id=qga0,bus=pci.0,addr=0x8",
        "-device virtserialport,chardev=qga0,name=org.qemu.guest_agent.0",
        "-device virtio-rng-pci,id=vga,bus=pcie.0,addr=0x1",
        "-device usb-mouse,id=usb0",
        "-device virtio-rng-pci,id=hostpci0,bus=ich9-pcie-port-1,addr=0x0",
        "-global ICH9-LPC.disable_s3=1",
        "-set device.qga0.max_ports=3",
    ]
    ports = private(text, X86, q35_cfg=config).ports
    # QEMU counts each isa-serial, also one that names its index.
    assert [(p.name, p.number) for p in ports] == [("serial0", 0), ("serial1", 3), ("serial2", 2)]


def test_a_bare_command() -> None:
    text = "qemu-system-x86_64 -nographic -m 4G -enable-kvm -kernel /k disk.qcow2"
    assert options(text) == [
        "-machine graphics=off",
        "-chardev @serial0 serial0",
        "-serial chardev:serial0",
        "-net nic",
    ]
    (port,) = private(text).ports
    assert (port.name, port.driver, port.socket, port.where) == ("serial0", "", "/p/serial0", None)


# ------------------------------------------------------------------ the forms of -serial


@pytest.mark.parametrize(
    "form", ["pty", "stdio", "mon:stdio", "null", "vc:80Cx24C", "unix:/run/a.sock,server=on",
             "tcp:0.0.0.0:4444,server,nowait", "telnet::4445,server", "file:/var/log/out",
             "/dev/ttyS0", "udp::4555@:4556", "pipe:/tmp/p"],
)  # fmt: skip
def test_inline_forms_become_chardevs_of_ours(form: str) -> None:
    assert options(f"qemu-system-x86_64 -nodefaults -serial {form}") == [
        "-nodefaults",
        "-chardev @serial0 serial0",
        "-serial chardev:serial0",
    ]


def test_none_keeps_its_index() -> None:
    text = "qemu-system-x86_64 -nodefaults -serial none -serial pty -device isa-serial,chardev=c"
    made = private(f"{text} -chardev pty,id=c")
    assert [(p.name, p.chardev_id, p.number) for p in made.ports] == [
        ("serial0", "serial0", 1), ("serial1", "c", 1)
    ]  # fmt: skip
    assert "-serial none -chardev" in words(made)


def test_names_follow_the_chardevs_ids() -> None:
    made = private(
        "qemu-system-aarch64 -M virt -nodefaults -chardev pty,id=charserial2 "
        "-serial chardev:charserial2 -device qemu-xhci -chardev pty,id=a -chardev pty,id=serial0 "
        "-device usb-serial,chardev=a -device usb-serial,chardev=serial0 -chardev pty,id=serial7",
        ARM,
    )
    assert [(p.name, p.chardev_id) for p in made.ports] == [
        ("serial0", "serial0"), ("serial1", "a"), ("serial2", "charserial2")
    ]  # fmt: skip
    assert made.without_device == (("serial7", "serial7"),)


@pytest.mark.parametrize("id", findings.ids())
def test_ports_are_called_as_when_the_command_is_judged(id: str) -> None:
    command = findings.command(id)
    view = CommandView.of(command)
    made = private(command.text(), findings.capabilities(view.arch))
    # A backend that QEMU does not know is left as it is: what QEMU says of it is the answer.
    refused = {port.option for port in view.onboard if port.host.form == "unknown"}
    said = [" ".join(option.argv()) for option in made.options]
    assert all(f"{option.flag} {option.value}" in said for option in refused)
    # What this architecture lacks stays a device that QEMU refuses; it is a port all the same.
    judged = {
        port.name for port in ports_of(view)
        if not port.channel and (port.chardev_id or port.onboard) and port.option not in refused
    }  # fmt: skip
    assert {p.name for p in made.ports} | {name for name, _ in made.without_device} == judged


def test_an_inline_backends_id_is_free() -> None:
    text = "qemu-system-x86_64 -nodefaults -serial pty -chardev null,id=serial0 -mon serial0"
    (port,) = private(text).ports
    assert port.chardev_id == "vmserial-serial0"


# ------------------------------------------------------------------ what is seen through


def test_what_qemu_refuses_it_still_refuses() -> None:
    for text, kept in (
        ("-chardev pty -serial pty", "-chardev null"),
        ("-chardev 'pty,id=1 x' -serial 'chardev:1 x'", "'socket,id=1 x,path=/p/serial0"),
        ("-serial frob:1", "-serial frob:1"),
        ("-serial chardev:nobody", "-serial chardev:nobody"),
        ("-device frobnicator,x=/y", "-device frobnicator,x=/y"),
        ("-device isa-serial,chardev=nobody", "chardev=nobody"),
        ("-chardev pty,id=a -device isa-serial,chardev=a -device isa-serial,chardev=a",
         "-device isa-serial,chardev=a -device isa-serial,chardev=a"),
        ("-chardev pty,id=a -chardev pty,id=a -serial chardev:a", "-serial chardev:a"),
        ("-machine q35,frob=on", "-machine q35,frob=on"),
        ("-only-migratable", "-only-migratable"),
    ):  # fmt: skip
        assert kept in words(private(f"qemu-system-x86_64 -nodefaults {text}")), text
    twice = "qemu-system-x86_64 -chardev pty,id=a -chardev pty,id=a -serial chardev:a"
    assert words(private(twice)).count("id=a") == 2


def test_a_mux_that_several_ports_share_is_taken_apart() -> None:
    made = private(
        "qemu-system-x86_64 -nodefaults -chardev stdio,id=m,mux=on -mon chardev=m "
        "-serial chardev:m -device isa-serial,chardev=m"
    )
    assert [(p.name, p.chardev_id) for p in made.ports] == [("serial0", "m"), ("serial1", "m-2")]
    assert "-device isa-serial,chardev=m-2" in words(made)


def test_identities_are_given_where_they_are_missing_or_twice() -> None:
    made = private(
        "qemu-system-aarch64 -M virt -nodefaults -device qemu-xhci -device virtio-serial-pci "
        "-chardev pty,id=a -chardev pty,id=b -chardev pty,id=c -chardev pty,id=d -chardev pty,id=e "
        "-device usb-serial,chardev=a,serial=x -device usb-serial,chardev=b,serial=x "
        "-device virtserialport,chardev=c -device virtconsole,chardev=d,name=serial2 "
        "-device pci-serial-2x,chardev1=e,chardev2=f -chardev pty,id=f",
        ARM,
    )
    assert [(p.driver, p.params.get("serial"), p.params.get("name"), p.number, p.device_id)
            for p in made.ports] == [
        ("usb-serial", "x", None, 0, "vmserial-serial0"),
        ("usb-serial", "serial1", None, 0, "vmserial-serial1"),
        ("virtserialport", None, "vmserial.serial2", 0, ""),
        ("virtconsole", None, "serial2", 0, ""),
        ("pci-serial-2x", None, None, 0, "vmserial-serial4"),
        ("pci-serial-2x", None, None, 1, "vmserial-serial4"),
    ]  # fmt: skip


def test_settings_of_global_and_set_are_seen() -> None:
    made = private(
        "qemu-system-x86_64 -nodefaults -chardev pty,id=a -device isa-serial,id=u "
        "-set device.u.chardev=a -set device.u.iobase=0x2e8 -global usb-serial.always-plugged=on"
    )
    (port,) = made.ports
    assert port.params["iobase"] == "0x2e8"
    assert words(made).endswith(
        "-device isa-serial,id=u,chardev=a -set device.u.iobase=0x2e8 "
        "-global usb-serial.always-plugged=on"
    )


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ("", ["-net nic"]),
        ("-netdev user,id=n", ["-net none"]),
        ("-net none", ["-net none"]),
        ("-net nic,model=e1000,netdev=n,macaddr=52:54:00:00:00:01 -net tap,script=/etc/up",
         ["-net nic,model=e1000,macaddr=52:54:00:00:00:01"]),
        ("-nic user,model=virtio,mac=52:54:00:00:00:01,hostfwd=tcp::22-:22",
         ["-net nic,model=virtio,macaddr=52:54:00:00:00:01"]),
    ],
)  # fmt: skip
def test_a_boards_own_network_card_keeps_its_place(given: str, made: list[str]) -> None:
    assert options(f"qemu-system-x86_64 -serial none {given}")[1:] == made


def test_disks_that_make_a_device_of_their_own_keep_its_place() -> None:
    text = "qemu-system-aarch64 -M virt -nodefaults -drive if=virtio,file=/d -device qemu-xhci"
    assert options(text, ARM)[1:] == [
        "-nodefaults", "-device qemu-xhci", "-device virtio-rng-pci"
    ]  # fmt: skip


HARMFUL = (
    "-daemonize -pidfile /run/p -incoming tcp:0:4444 -S -snapshot -loadvm x -sandbox on "
    "-chroot /c -runas me -run-with chroot=/x -bios /b -pflash /f -drive file=/d,if=none,id=d "
    "-blockdev driver=file,filename=/d,node-name=n -hda /h -cdrom /c -fda /f -sd /s -mtdblock /m "
    "-vnc :1 -spice port=5900 -display gtk -monitor stdio -qmp unix:/q,server=on -gdb tcp::1 -s "
    "-netdev tap,id=t -object memory-backend-file,id=m,mem-path=/dev/hugepages,size=1G "
    "-mem-path /dev/hugepages -D /log -d cpu -trace file=/t -plugin /p.so -fsdev local,id=f,path=/ "
    "-virtfs local,path=/,mount_tag=h,security_model=none -fw_cfg name=opt/x,file=/f "
    "-acpitable file=/a -smbios file=/s -option-rom /o -kernel /k -initrd /i -append x -dtb /d "
    "-tpmdev passthrough,id=t,path=/dev/tpm0 -chardev file,id=z,path=/out -parallel /dev/parport0 "
    "-debugcon file:/dbg -add-fd fd=3,set=1 -audiodev wav,id=w,path=/w -qtest unix:/q "
    "-qtest-log /l -dump-vmstate /v -readconfig e.cfg -writeconfig /w -machine dumpdtb=/dtb "
    "-machine pflash0=n,memory-backend=m,firmware=/f -global isa-fdc.driveA=d "
    "-global virtio-net-pci.romfile=/r -set drive.d.file=/e -semihosting-config chardev=z "
    "-device virtio-blk-pci,drive=d -device vfio-pci,host=01:00.0 -device usb-storage,drive=d "
    "-device usb-host,hostbus=1 -device usb-redir,chardev=z -device virtio-9p-pci,fsdev=f "
    "-device ivshmem-plain,memdev=m -device scsi-hd,drive=d -device ide-cd,drive=d "
    "-device nvme,drive=d,serial=1 -device tpm-tis,tpmdev=t -device vhost-vsock-pci,guest-cid=3 "
    "-device loader,file=/x -device intel-iommu -device isa-debugcon,chardev=z -xen-attach "
    "-device virtio-serial-pci,iothread=i -new-option-of-qemu-12 /dev/sda"
)


def test_nothing_of_its_users_is_touched() -> None:
    devices = {
        **X86.devices,
        **{name: DeviceType(name, "") for name in ("loader", "intel-iommu", "tpm-tis")},
    }
    capabilities = Capabilities(X86.version, "x86_64", devices=devices)
    text = f"qemu-system-x86_64 -M q35 -nodefaults {HARMFUL} -chardev pty,id=a -serial chardev:a"
    made = private(text, capabilities, e_cfg="")
    kept = {option.flag for option in made.options}
    assert kept == {"-machine", "-nodefaults", "-device", "-chardev", "-serial"}
    assert "/p/serial0" in words(made)
    assert "/" not in words(made).replace("/p/serial0", "")
    for option in made.options:
        assert not {key for key, _ in option.params} & {"drive", "netdev", "host", "fsdev", "file"}
    drivers = {option.head for option in made.options if option.flag == "-device"}
    # What stands for a device of the PCI or USB bus needs nothing of the host.
    assert drivers <= {"virtio-rng-pci", "usb-mouse", ""}
    assert "left out" not in " ".join(made.notes)
    assert "-new-option-of-qemu-12" in made.notes[0]


def test_broken_values_are_errors_of_the_user() -> None:
    with pytest.raises(ConfigError):
        private("qemu-system-x86_64 -device '{\"driver\":'")
