"""The planner: choices, budgets, addresses, refusals."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plans import DEBIAN_12_ARM64, ROOMY, binary, kinds, machine, planned, refusals

from vmserial import chardevs
from vmserial.devices import KINDS
from vmserial.errors import PlanRefused, UsageError
from vmserial.model import (
    Agent,
    Cpu,
    Disk,
    Display,
    Firmware,
    GuestProfile,
    Nic,
    SerialPort,
    Severity,
)
from vmserial.options import render, split_params
from vmserial.planning import planner


def test_default_on_arm_is_one_uart_and_usb() -> None:
    plan = planned(ports=4)
    assert kinds(plan) == ["uart", "usb", "usb", "usb"]
    assert [str(a.identity) for a in plan.assignments] == [
        "mmio:0x9000000", "usb:serial1", "usb:serial2", "usb:serial3",
    ]  # fmt: skip
    assert all(a.reason for a in plan.assignments)
    assert not plan.refusals


def test_two_uarts_where_the_binary_wires_two() -> None:
    assert kinds(planned(ports=4, version=(10, 0, 0), uarts=2)) == ["uart", "uart", "usb", "usb"]


def test_the_secure_uart_is_not_the_guests() -> None:
    plan = planned(ports=2, version=(10, 0, 0), uarts=2, machine_options=(("secure", "on"),))
    assert kinds(plan) == ["uart", "usb"]


def test_x86_starts_with_the_four_classic_ports() -> None:
    plan = planned("x86_64", 6)
    assert kinds(plan) == ["isa"] * 4 + ["usb"] * 2
    assert [a.identity.value for a in plan.assignments[:4]] == ["0x3f8", "0x2f8", "0x3e8", "0x2e8"]


def test_agent_isa_takes_one_of_four() -> None:
    plan = planned("x86_64", 4, agent=Agent("isa", "/run/qga"))
    assert kinds(plan) == ["isa"] * 3 + ["usb"]
    assert "isa-limit" in refusals(planned("x86_64", 4, "isa", agent=Agent("isa", "/run/qga")))


def test_fifth_isa_is_refused_by_name() -> None:
    plan = planned("x86_64", 5, "isa")
    (refusal,) = plan.refusals
    assert refusal.ports == ("serial4",)
    assert "Max. supported number of ISA serial ports is 4" in refusal.happens
    assert refusal.fix


def test_isa_on_arm_is_refused_with_qemus_words() -> None:
    plan = planned(ports=2, kind="isa")
    assert "'isa-serial' is not a valid device model name" in plan.refusals[0].happens


def test_pci_past_the_guests_8250_limit_is_refused_with_the_limit() -> None:
    plan = planned(ports=10, kind="pci")
    assert kinds(plan) == ["uart"] + ["pci"] * 4
    assert [r.ports for r in plan.refusals] == [(f"serial{n}",) for n in range(5, 10)]
    assert "registers 4 8250 ports" in plan.refusals[0].happens
    with pytest.raises(PlanRefused) as caught:
        planner.require(plan)
    assert "serial9" in caught.value.message
    assert "auto" in caught.value.hint


@pytest.mark.parametrize("kind", ["pci", "pci-2x", "pci-4x"])
def test_a_card_that_no_guest_of_the_board_takes_is_refused(kind: str) -> None:
    plan = planned("loongarch64", 2, kind, guest=ROOMY)
    (refusal,) = plan.refusals
    assert (refusal.id, refusal.severity) == ("pci-serial-dead", Severity.DEAD)
    assert "no tty comes of it" in refusal.happens
    assert kinds(planned("riscv64", 2, kind, guest=ROOMY)) == ["uart", kind]


def test_x86_isa_and_pci_share_the_guests_8250_ports() -> None:
    guest = replace(DEBIAN_12_ARM64, name="debian-12-amd64", nr_uarts=32)
    plan = planned("x86_64", 5, "pci", guest=guest)
    assert kinds(plan) == ["isa", "pci", "pci", "pci"]
    assert "8250.nr_uarts=32" in plan.refusals[0].fix
    more = replace(guest, nr_uarts_parameter=32)
    assert kinds(planned("x86_64", 5, "pci", guest=more)) == ["isa"] + ["pci"] * 4


def test_kernel_6_5_lets_all_ports_be_used() -> None:
    old = GuestProfile("a", nr_uarts=32, runtime_uarts=4, kernel=(6, 4))
    assert (old.uarts_8250, replace(old, kernel=(6, 5)).uarts_8250) == (4, 32)
    assert replace(old, nr_uarts_parameter=64).uarts_8250 == 32


def test_auto_goes_on_when_a_kind_is_full() -> None:
    plan = planned(ports=70)
    counts = Counter(kinds(plan))
    assert counts == {"uart": 1, "usb": 60, "pci": 4, "virtio": 5}
    assert "8250" in plan.assignments[-1].reason


def test_a_guest_without_a_driver_gets_another_kind() -> None:
    guest = replace(DEBIAN_12_ARM64, usb_serial=False)
    assert kinds(planned(ports=3, guest=guest)) == ["uart", "pci", "pci"]
    assert "guest-driver-missing" in refusals(planned(ports=3, kind="usb", guest=guest))


def test_a_binary_without_a_device_is_named() -> None:
    made = machine(ports=2, kind="usb")
    capabilities = binary()
    few = {k: v for k, v in capabilities.devices.items() if k != "usb-serial"}
    plan = planner.plan(made, replace(capabilities, devices=few), DEBIAN_12_ARM64)
    assert "'usb-serial' is not a device of this QEMU (aarch64 7.2.0)" in plan.refusals[0].happens


def test_fifteen_usb_ports_to_a_controller() -> None:
    plan = planned(ports=32, kind="usb")
    buses = Counter(a.bus for a in plan.assignments if a.kind == "usb")
    assert buses == {"vmserial-xhci0.0": 15, "vmserial-xhci1.0": 15, "vmserial-xhci2.0": 1}
    for assignment in plan.assignments[1:]:
        assert assignment.device is not None
        assert dict(assignment.device.properties)["always-plugged"] is True


def test_fifteen_virtio_ports_to_a_controller() -> None:
    plan = planned(ports=241, kind="virtio")
    buses = Counter(a.bus for a in plan.assignments if a.kind == "virtio")
    assert set(buses.values()) == {15}
    assert len(buses) == 16
    numbers = {dict(a.device.properties)["nr"] for a in plan.assignments if a.device}
    assert numbers == set(range(1, 16))


def test_consoles_leave_a_virtio_controller_room_for_fewer_ports() -> None:
    consoles = {f"serial{n}": "virtconsole" for n in range(1, 9)}
    made = machine(ports=20, kind="virtio")
    ports = (replace(p, kind=consoles.get(p.name, p.kind)) for p in made.ports)
    plan = planner.plan(replace(made, ports=tuple(ports)), binary(), DEBIAN_12_ARM64)
    buses = Counter(a.bus for a in plan.assignments if a.kind != "uart")
    # 8 x 3 + 3 x 2 messages, and 8 x 2.
    assert buses == {"vmserial-virtio0.0": 11, "vmserial-virtio1.0": 8}


def test_hvc_ends_at_eight() -> None:
    plan = planned(ports=10, kind="virtconsole")
    assert kinds(plan).count("virtconsole") == 8
    assert refusals(plan) == {"hvc-limit"}


def test_cards_share_one_function() -> None:
    plan = planned(ports=6, kind="pci-2x", guest=ROOMY)
    devices = {a.device.id for a in plan.assignments if a.device}
    assert len(devices) == 3
    argv = " ".join(render(plan.options))
    assert "chardev1=serial1,chardev2=serial2" in argv
    assert argv.count("pci-serial-2x") == 3
    assert plan.assignments[2].identity.value.endswith("#1")


def test_a_four_port_card_costs_four_of_the_guests_ports() -> None:
    plan = planned(ports=6, kind="pci-4x")
    assert kinds(plan) == ["uart"] + ["pci-4x"] * 4
    assert refusals(plan) == {"guest-8250-limit"}


def test_hotplug_pci_sits_on_root_ports() -> None:
    plan = planned(ports=3, kind="pci", hotplug=True)
    assert [a.bus for a in plan.assignments[1:]] == ["vmserial-rp0", "vmserial-rp1"]
    assert plan.assignments[1].identity.value.endswith("/00.0#0")
    assert plan.assignments[1].hot_pluggable
    assert not planned(ports=3, kind="pci").assignments[1].hot_pluggable


def test_root_ports_end_where_io_space_ends() -> None:
    plan = planned(ports=20, kind="pci", hotplug=True, guest=ROOMY)
    assert kinds(plan).count("pci") == 15
    assert refusals(plan) == {"pci-io-windows"}


def test_hotplug_on_pc_takes_a_slot_each() -> None:
    plan = planned("x86_64", 3, "pci", hotplug=True, guest=ROOMY, machine_type="pc")
    slots = {a.address for a in plan.assignments[1:]}
    assert len(slots) == 2
    assert {a.bus for a in plan.assignments[1:]} == {"pci.0"}


def test_hotplug_is_refused_where_the_bus_has_none() -> None:
    assert refusals(planned("x86_64", 2, "isa", hotplug=True)) == {"not-hot-pluggable"}
    assert refusals(planned(ports=2, kind="pci-2x", hotplug=True)) == {"not-hot-pluggable"}
    assert kinds(planned("x86_64", 2, hotplug=True)) == ["isa", "usb"]


def test_pve_leaves_one_slot_and_it_is_enough() -> None:
    plan = planned(ports=10, free_slots=(0x1D,))
    places = [
        dict(split_params(o.value() or "")[1])["addr"]
        for o in plan.options
        if o.flag == "-device" and o.head == "qemu-xhci"
    ]
    assert places == ["1d.0"]
    full = planned(ports=20, kind="pci", free_slots=(0x1D,), guest=ROOMY)
    assert kinds(full).count("pci") == 8
    assert refusals(full) == {"pci-full"}


def test_unplugged_and_absent_ports_keep_their_place() -> None:
    made = machine(ports=4, kind="usb")
    ports = list(made.ports)
    ports[2] = replace(ports[2], state="unplugged")
    ports[3] = replace(ports[3], state="absent")
    plan = planner.plan(replace(made, ports=tuple(ports)), binary(), DEBIAN_12_ARM64)
    argv = " ".join(render(plan.options))
    assert "id=serial2" in argv
    assert "usbserial2" not in argv
    assert "serial3" not in argv
    assert plan.assignment(3).address == "port 3"


def test_clashes_are_refused() -> None:
    one = SerialPort(1, chardevs.parse("socket=/run/same"))
    plan = planner.plan(
        replace(machine(ports=0), ports=(one, one, replace(one, index=2))), binary(), ROOMY
    )
    assert [r.id for r in plan.refusals] == ["port-clash", "port-clash"]


def test_arm_replaces_what_its_binary_does_not_have() -> None:
    plan = planned(
        ports=1,
        vmgenid="1-2",
        disks=(Disk("ide", 2, "/x.iso", cdrom=True), Disk("scsi", 0, "/y")),
    )
    text = " ".join(plan.warnings)
    assert "ide2: there is no IDE on aarch64: it becomes scsi1" in text
    assert "vmgenid" in text
    argv = " ".join(render(plan.options))
    assert "vmgenid" not in argv
    assert "ide-cd" not in argv
    assert "scsi-cd" in argv


def test_unknown_machine_and_arch() -> None:
    assert refusals(planned(machine_type="microvm")) == {"machine-unknown"}
    with pytest.raises(UsageError, match="aarch65"):
        planned(arch="aarch65")


def test_assumptions_are_said() -> None:
    guest = replace(DEBIAN_12_ARM64, assumed=True)
    plan = planner.plan(machine(), replace(binary(), onboard_uarts={}, measured=False), guest)
    text = " ".join(plan.assumptions)
    assert "nobody said which system the guest runs" in text
    assert "not measured" in text
    assert "no QEMU binary was asked" in text


def test_control_moves_no_port() -> None:
    bare, with_control = planned(ports=10), planned(ports=10, control=True)
    assert bare.assignments == with_control.assignments
    assert with_control.control is not None
    roles = [o.role for o in with_control.options if o.role == "control"]
    assert len(roles) == 2


@settings(max_examples=300, deadline=None)
@given(
    arch=st.sampled_from(["aarch64", "x86_64"]),
    wanted=st.lists(
        st.tuples(st.integers(0, 40), st.sampled_from(["auto", *KINDS]), st.booleans()),
        max_size=45,
    ),
    uarts=st.integers(0, 2),
    limit=st.integers(0, 40),
    slots=st.sampled_from([(), (0x1D,), (3, 4)]),
    nics=st.integers(0, 9),
)
def test_every_place_is_given_once(
    arch: str,
    wanted: list[tuple[int, str, bool]],
    uarts: int,
    limit: int,
    slots: tuple[int, ...],
    nics: int,
) -> None:
    ports = tuple(
        SerialPort(index, chardevs.parse(f"socket=/r/{n}"), kind=kind, hotplug=hot)
        for n, (index, kind, hot) in enumerate(wanted)
    )
    made = replace(
        machine(arch, 0), ports=ports, free_slots=slots, nics=tuple(Nic(n) for n in range(nics))
    )
    guest = GuestProfile("g", nr_uarts=limit, runtime_uarts=limit)
    plan = planner.plan(made, binary(arch, uarts=uarts), guest)
    placed = {a.port.index for a in plan.assignments}
    refused = {name for r in plan.refusals for name in r.ports}
    assert placed | {int(name[6:]) for name in refused} == {p.index for p in ports}
    identities = [a.identity for a in plan.assignments]
    assert len(identities) == len(set(identities))
    addresses: Counter[tuple[str, str]] = Counter()
    ids: Counter[str] = Counter()
    for option in plan.options:
        params = dict(option.params)
        if option.flag == "-device":
            if "addr" in params:
                addresses[str(params["bus"]), str(params["addr"])] += 1
            if "port" in params:
                addresses[str(params["bus"]), f"port {params['port']}"] += 1
        if "id" in params:
            ids[f"{option.flag} {params['id']}"] += 1
    assert not [place for place, count in addresses.items() if count > 1]
    assert not [identifier for identifier, count in ids.items() if count > 1]
    # A function other than 0 needs a multifunction function 0 in the same slot.
    functions = {
        str(dict(o.params)["addr"]): dict(o.params).get("multifunction")
        for o in plan.options
        if "addr" in dict(o.params) and dict(o.params)["bus"] in {"pcie.0", "pci.0"}
    }
    for address in functions:
        slot, function = address.split(".")
        if function != "0" and slot != "01":
            assert functions[f"{slot}.0"] is True


def test_an_lsi_controller_carries_seven_disks() -> None:
    disks = tuple(Disk("scsi", n, f"/d{n}") for n in (0, 6, 7, 13))
    plan = planned("x86_64", 1, disks=disks, scsi_controller="lsi")
    argv = " ".join(render(plan.options))
    assert "lsi53c895a,id=scsihw0" in argv
    assert "lsi53c895a,id=scsihw1" in argv
    assert "id=scsi13,bus=scsihw1.0,scsi-id=6" in argv
    assert "scsihw2" not in argv


def test_ovmf_without_variables_is_flash_on_a_pc() -> None:
    plan = planned("x86_64", 1, firmware=Firmware("ovmf"))
    argv = render(plan.options)
    assert "-bios" not in argv
    drives = [word for word in argv if word.startswith("if=pflash")]
    assert drives == [
        "if=pflash,unit=0,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd"
    ]
    assert any("no variable store" in note.message for note in plan.machine.notes)


def test_a_cache_without_write_back_is_said_at_the_device() -> None:
    disks = tuple(
        Disk(bus, n, f"/srv/{bus}{n}", cache=cache)
        for bus in ("virtio", "scsi", "sata", "ide")
        for n, cache in enumerate(("writethrough", "directsync", "writeback"))
    )
    devices = [
        word for word in render(planned("x86_64", 1, disks=disks).options) if "drive=" in word
    ]
    assert [("write-cache=off" in word) for word in devices] == [True, True, False] * 4


def test_a_read_only_ide_disk_is_refused() -> None:
    for bus, refused in (("ide", True), ("sata", True), ("scsi", False), ("virtio", False)):
        plan = planned("x86_64", 1, disks=(Disk(bus, 0, "/srv/a", readonly=True),))
        assert ("disk-readonly" in refusals(plan)) is refused, bus


def test_what_a_card_or_disk_does_not_have_is_named() -> None:
    plan = planned(
        "x86_64",
        1,
        nics=(Nic(0, queues=4, mode="tap", bridge="br0"), Nic(1, "e1000", mtu=1400)),
        disks=(Disk("virtio", 0, "/srv/a", ssd=True),),
        display=Display("virtio", memory_mib=64),
    )
    told = " ".join(note.message for note in plan.machine.notes if note.kind == "untranslated")
    for words in ("net0: queues=4", "net1: mtu=1400", "virtio0: ssd", "vga memory"):
        assert words in told


@pytest.mark.parametrize(
    ("path", "cdrom", "driver"),
    [
        ("/dev/pve/vm-1-disk-0", False, "host_device"),
        ("/dev/pve/vm-1-cloudinit", True, "host_device"),
        ("/dev/sr0", True, "host_cdrom"),
        ("/dev/cdrom", True, "host_cdrom"),
        ("/dev/shm/a.img", False, "file"),
        ("/srv/a.img", False, "file"),
    ],
)
def test_the_driver_of_a_disks_path(path: str, cdrom: bool, driver: str) -> None:
    plan = planned("x86_64", 1, disks=(Disk("scsi", 0, path, cdrom=cdrom),))
    assert any(f"file.driver={driver},file.filename={path}" in w for w in render(plan.options))


def test_arm_takes_no_x86_cpu_and_its_flags_as_properties() -> None:
    for model in ("kvm64", "x86-64-v2-AES", "Skylake-Server-IBRS"):
        plan = planned(ports=1, cpu=Cpu(model, ("+aes",)))
        argv = render(plan.options)
        assert argv[argv.index("-cpu") + 1] == "cortex-a57"
        assert any(f"cpu {model}" in note.message for note in plan.machine.notes)
    argv = render(planned(ports=1, cpu=Cpu("max", ("+pmu", "-sve", "aarch64=on"))).options)
    assert argv[argv.index("-cpu") + 1] == "max,pmu=on,sve=off,aarch64=on"
