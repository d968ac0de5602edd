"""Inputs that vmserial once answered wrongly, each test named after its case: Proxmox VE."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import case_inputs
import pve_tree
import pytest
from plans import binary

from vmserial.cli.main import run
from vmserial.guests import profile
from vmserial.model import Capabilities, Finding, GuestProfile, Machine, Plan, Severity
from vmserial.options import split_params
from vmserial.planning.planner import plan
from vmserial.pve.consequences import consequences
from vmserial.pve.examine import examine, wrong
from vmserial.pve.mend import Mended, mend
from vmserial.sources.overrides import Overrides, apply
from vmserial.sources.pve import Document, machine
from vmserial.sources.pve.lower import PveHost, lower
from vmserial.sources.pve.renumber import indexes

SAYS = Path(__file__).parent.parent / "data/pve-says"
ARM = "arch: aarch64\n"
SOCKETS = "".join(f"serial{n}: socket\n" for n in range(3))


def known(made: Machine) -> tuple[Capabilities, GuestProfile]:
    """Return a QEMU that has all devices, and the guest that is assumed."""
    return replace(binary(made.arch), devices={}), profile.unknown(made.arch)


def read(text: str, options: Overrides | None = None) -> tuple[Document, Machine]:
    document = Document.parse(text, "142.conf")
    made = machine(document, 142)
    return document, apply(made, options) if options else made


def findings(text: str) -> dict[str, Finding]:
    """Return what `doctor` has against a configuration, by id; notes are left out."""
    document, made = read(text)
    return {each.id: each for each in wrong(examine(document, made, *known(made)))}


def fixed(text: str, options: Overrides | None = None) -> Mended:
    document, made = read(text, options)
    return mend(document, made, *known(made))


def planned(text: str, options: Overrides | None = None) -> Plan:
    _, made = read(text, options)
    return plan(made, *known(made))


def devices(text: str) -> dict[str, dict[str, str]]:
    """Return the keys of each device of `showcmd`'s command, by id."""
    found = {}
    for option in planned(text).options:
        if option.flag == "-device":
            head, pairs = split_params(option.value() or "")
            params = dict(pairs) | {"driver": head}
            found[params.get("id", head)] = params
    return found


# ------------------------------------------------------------------ A: found


@pytest.mark.parametrize("name", ["A11", "A11-cloudinit", "A11-disk"])
def test_a11_the_ide_bus_is_missing_whatever_the_volume_is(name: str) -> None:
    text = case_inputs.text(f"{name}.conf")
    found = findings(text)
    assert set(found) == {"pve-ide-on-aarch64"}
    assert str(found["pve-ide-on-aarch64"].where) == "142.conf:2"
    assert not findings(text.removeprefix(ARM))


@pytest.mark.parametrize("number", range(1, 7))
def test_a15_a_bus_that_pves_command_lacks_is_named(number: int) -> None:
    text = case_inputs.text(f"A15-missing-{number}.conf")
    ((id, finding),) = findings(text).items()
    assert id == "bus-missing"
    line = 1 + text.partition("args: ")[0].count("\n")
    assert str(finding.where) == f"142.conf:{line}"


@pytest.mark.parametrize("number", range(1, 7))
def test_a15_a_bus_that_pves_command_has_is_in_ours_too(number: int) -> None:
    text = case_inputs.text(f"A15-there-{number}.conf")
    assert not findings(text)
    bus = re.findall(r"bus=([^,\s]+)", text)[-1]
    made = devices(text)
    assert bus in made or bus.removesuffix(".0") in made


# ------------------------------------------------------------------ B: mended as it must be


def test_b3_a_port_that_is_asked_for_gets_pves_own_line() -> None:
    bare = case_inputs.text("B3.conf")
    assert fixed(bare, Overrides(ports=1)).document.text() == bare + "serial0: socket\n"
    two = fixed(bare, Overrides(ports=2)).document.text()
    assert two == bare + "serial0: socket\nserial1: socket\n"
    # aarch64 has one port of its own; the second one's socket is where PVE's are.
    arm = fixed(ARM + bare, Overrides(ports=2)).document
    assert "serial0: socket\n" in arm.text()
    assert "path=/var/run/qemu-server/142.serial1,server=on" in arm.main.values["args"].value
    assert "serial1" not in arm.main.values


def test_b9_no_controller_where_pve_loads_usb_controllers() -> None:
    result = fixed(case_inputs.text("B9.conf")).document
    args = result.main.values["args"].value
    assert "qemu-xhci,id=vmserial-xhci0,bus=pci.2,addr=19.0" in args
    places = [
        (each["bus"], re.split(r"\.", each["addr"].removeprefix("0x"))[0])
        for option in lower(result, 142, PveHost("x86_64", (7, 2))).options
        if option.option.flag == "-device"
        and "addr" in (each := dict(split_params(option.option.value() or "")[1]))
    ]
    mine = [place for place in places if place[0] == "pci.2" and place[1] == "19"]
    assert len(mine) == 1
    assert places.count(("pci.0", "1d")) == 4


def test_b10_an_assumed_guests_limit_moves_nothing_that_pve_starts() -> None:
    conf = case_inputs.text("B10.conf")
    for text in (conf, ARM + conf):
        assert not findings(text)
        result = fixed(text)
        assert (result.document.text(), result.changes) == (text, ())
        (port,) = planned(text).assignments
        assert port.kind in {"isa", "uart"}


def test_b11_an_untouched_port_keeps_its_com_port() -> None:
    text = case_inputs.text("B11.conf")
    result = fixed(text)
    before, after = (
        indexes(lower(document, 142)) for document in (Document.parse(text, ""), result.document)
    )
    assert before == {"serial0": 0, "serial1": 1, "serial2": 2}
    assert after == {"serial0": 0, "serial2": 2}
    assert result.kinds == {"serial0": "isa", "serial1": "usb", "serial2": "isa"}
    # Once more changes nothing.
    again = fixed(result.document.text())
    assert (again.document.text(), again.changes) == (result.document.text(), ())


def test_b11_what_cannot_be_kept_is_said() -> None:
    text = "#vmserial serial0%3A type=usb\nagent: 1,type=isa\nserial0: socket\n"
    result = fixed(text)
    (said,) = result.renumbered
    assert said.startswith("the guest agent's port becomes COM1; it was COM2")
    assert said in consequences(result, "args", 142)


def test_b13_a_pending_deletion_is_followed() -> None:
    text = case_inputs.text("B13.conf")
    assert not findings(text)
    result = fixed(text)
    assert (result.document.text(), result.changes) == (text, ())
    # Without it the port is mended.
    assert "args: " in fixed(text.partition("\n[PENDING]")[0]).document.text()


# ------------------------------------------------------------------ C: diagnosis


@pytest.mark.parametrize("board", ["i440fx", "q35", "aarch64"])
def test_c6_pve_always_has_the_bus_pci_2(board: str) -> None:
    text = case_inputs.text(f"C6-{board}.conf")
    assert not findings(text)
    assert fixed(text).changes == ()
    assert "pci.2" in devices(text)
    assert planned(text).refusals == ()


def test_c7_of_windows_no_limit_of_8250_ports_is_known() -> None:
    document, made = read(case_inputs.text("C7.conf"))
    assert made.guest_os == "win11"
    guest = profile.without_limits(made.guest_os, f"ostype: {made.guest_os}")
    capabilities, _ = known(made)
    assert not wrong(examine(document, made, capabilities, guest))
    said = " ".join(plan(made, capabilities, guest).assumptions)
    assert "the guest is win11" in said
    assert "not known" in said
    assert "ebian" not in said
    assert read("ostype: l26\n")[1].guest_os == ""


def test_c8_an_empty_boot_order_boots_from_nothing() -> None:
    text = case_inputs.text("C8.conf")
    document, made = read(text)
    assert not [note for note in (*document.notes, *made.notes) if "boot" in note.message]
    assert "bootindex" not in devices(text)["ide2"]
    # Without a blank PVE cannot read the line.
    assert Document.parse(text.replace("boot: ", "boot:"), "142.conf").notes


# ------------------------------------------------------------------ D: the same hardware


@pytest.mark.parametrize(
    ("lines", "places"),
    [
        ("serial1: socket\n", {"serial1": "/dev/ttyS0"}),
        ("serial0: socket\nserial2: socket\n",
         {"serial0": "/dev/ttyS0", "serial2": "/dev/ttyS1"}),
        ("agent: 1,type=isa\n", {}),
        ("agent: 1,type=isa\nserial3: socket\n", {"serial3": "/dev/ttyS0"}),
    ],
)  # fmt: skip
def test_d3_com_ports_are_counted_as_qemu_does(lines: str, places: dict[str, str]) -> None:
    made = planned(lines)
    assert {a.port.name: a.node for a in made.assignments} == places
    isa = [dict(o.params)["index"] for o in made.options if o.head == "isa-serial"]
    assert sorted(isa) == list(range(len(isa)))
    if "agent" in lines:
        agents = [o for o in made.options if dict(o.params).get("chardev") == "qga0"]
        assert dict(agents[0].params)["index"] == len(places)


OTHERS = (
    "machine: q35\nagent: 1\nballoon: 512\nnet0: virtio=A2:C0:43:77:08:A0,bridge=vmbr0\n"
    "ide0: /dev/vg/a\nide1: /dev/vg/b\nide2: none,media=cdrom\nrng0: source=/dev/urandom\n",
    "machine: q35\nostype: win11\nmeta: creation-qemu=7.1.0\nsata1: /dev/vg/a\nvga: virtio\n"
    "net7: e1000=A2:C0:43:77:08:A0\n",
    "scsi3: /dev/vg/a\nscsihw: virtio-scsi-single\nvirtio9: /dev/vg/b\nvga: qxl\n",
    "scsi9: /dev/vg/a\nostype: wxp\n",
)


@pytest.mark.parametrize(
    "text",
    [*(path.read_text() for path in sorted(SAYS.glob("*.conf"))), *OTHERS],
)
def test_d4_each_device_is_where_pve_puts_it(text: str) -> None:
    document, made = read(text)
    if "HOST_ARCH: aarch64" in text:
        document, made = Document.parse(ARM + text, "142.conf"), machine(
            Document.parse(ARM + text, "142.conf"), 142
        )  # fmt: skip
    capabilities, guest = known(made)
    ours = {}
    for option in plan(made, capabilities, guest).options:
        if option.flag == "-device":
            params = dict(split_params(option.value() or "")[1])
            ours[params.get("id", "")] = params
    pves = 0
    for each in lower(document, 142, PveHost("", capabilities.version), arch=made.arch).options:
        if each.option.flag != "-device" or each.origin.owner == "user":
            continue
        head, pairs = split_params(each.option.value() or "")
        params = dict(pairs)
        name = params.get("id", "")
        # What has no place of its own, and volumes that only PVE's storages know.
        left_out = head in {"isa-serial", "vmgenid"} or (head[:5] in {"scsi-", "ide-c"})
        if not name or left_out:
            continue
        pves += 1
        for key in ("bus", "addr", "port", "unit", "multifunction"):
            assert ours[name].get(key) == params.get(key), (name, key)
    assert pves >= 3


@pytest.mark.parametrize(
    ("meta", "version", "pin"),
    [
        ("meta: creation-qemu=9.2.0\n", (11, 0, 0), "pc-q35-9.2"),
        ("meta: creation-qemu=9.2.0\n", (7, 2, 22), "pc-q35-7.2"),
        ("", (11, 0, 0), "pc-q35-5.1"),
    ],
)
def test_d5_windows_is_pinned_to_its_machine_version(
    meta: str, version: tuple[int, int, int], pin: str
) -> None:
    _, made = read(f"{meta}machine: q35\nostype: win11\nserial0: socket\n")
    capabilities, guest = known(made)
    options = plan(made, replace(capabilities, version=version), guest).options
    (board,) = [option for option in options if option.flag == "-machine"]
    assert board.head == pin
    linux = read("machine: q35\nostype: l26\nserial0: socket\n")[1]
    (board,) = [o for o in plan(linux, capabilities, guest).options if o.flag == "-machine"]
    assert board.head == "q35"


def test_d11_the_guests_own_append_needs_no_kernel() -> None:
    _, made = read("serial0: socket\n", Overrides(append="8250.nr_uarts=32"))
    assert plan(made, *known(made)).refusals == ()


def test_severities_are_those_of_the_catalogue() -> None:
    from vmserial.catalogue import by_id

    found = findings(f"{ARM}#vmserial serial5%3A pty\nserial0: socket\nserial1: socket\n"
                     "serial4: socket\n")  # fmt: skip
    assert set(found) == {"pve-isa-on-aarch64", "pve-serial-limit", "pve-directive-only"}
    assert found["pve-serial-limit"].severity is Severity.LOST
    assert all(by_id(id) for id in found)


@pytest.mark.parametrize(
    ("conf", "bus"),
    [
        # Seen with QEMU 7.2: the xhci behind the older bridge comes after the newer ehci.
        (ARM + "ostype: l26\nusb0: host=0403:6001\n", "ehci.0"),
        (ARM, "ehci.0"),
    ],
)
def test_a_usb_device_without_a_bus_finds_what_qemu_finds(conf: str, bus: str) -> None:
    text = f"{conf}args: -chardev null,id=m -device usb-serial,chardev=m\nserial0: socket\n"
    found = findings(text)
    assert set(found) == {"usb-speed"}
    assert bus in found["usb-speed"].happens
    mended = fixed(text).document
    assert "bus=vmserial-xhci0.0" in mended.main.values["args"].value
    assert not findings(mended.text())


def test_what_finds_no_place_stays_and_the_reason_is_said() -> None:
    text = "#vmserial serial5%3A socket,type=pci-4x\n" + SOCKETS
    result = fixed(text)
    assert result.document.text() == text
    (said,) = consequences(result, "args", 142)
    assert said.startswith("serial5 stays as it is: ")
    assert "8250" in said


@pytest.mark.parametrize("vm", pve_tree.VMS, ids=lambda vm: str(vm.vmid))
def test_doctor_says_the_same_of_a_number_a_file_and_the_list(
    vm: pve_tree.Vm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("PATH", "/nowhere")
    root = pve_tree.make(tmp_path / "host")
    loose = tmp_path / f"{vm.vmid}.conf"
    loose.write_bytes(vm.text.encode())

    def ids(*words: str) -> set[str]:
        capsys.readouterr()
        run(["doctor", *words, "--arch", vm.arch, "--json"])
        said = json.loads(capsys.readouterr().out)
        rows = said["findings"] if isinstance(said, dict) else said
        return {row["id"] for row in rows if row["severity"] != "note"}

    here = {"directory-missing", "tty-missing", "file-missing"}
    number, file = ids(str(vm.vmid), "--root", str(root)), ids(str(loose))
    assert number == set(vm.before)
    assert file - here == number
