"""`fix` of a PVE configuration is done in one go: a second one changes nothing."""

from __future__ import annotations

import pytest
from plans import binary
from random_vms import Confs
from test_pve_mend import ARM, XHCI, mended, read

from vmserial.guests import profile
from vmserial.model import Capabilities
from vmserial.pve.examine import examine, wrong
from vmserial.pve.mend import Mended, mend
from vmserial.sources.pve import Document, machine, wanted
from vmserial.sources.pve.args import lift
from vmserial.sources.pve.lower import lower

SOME, ALL = 60, 700
"""How many configurations a usual run and the long one try."""

Q35 = "arch: x86_64\nmachine: q35\nostype: l26\n"
USB6 = (
    "-chardev socket,path=/run/r/6,server=on,wait=off,id=serial6 -device usb-serial,id=usbserial6,"
    "bus=vmserial-xhci0.0,port=3,chardev=serial6,always-plugged=on,serial=serial6"
)


def circle(text: str, arch: str, version: tuple[int, int, int]) -> str:
    """Return what is wrong with `fix` of a configuration; empty: nothing."""
    capabilities = Capabilities(version, arch, measured=False)
    guest = profile.unknown(arch)

    def once(document: Document) -> tuple[Mended, set[tuple[str, tuple[str, ...]]]]:
        found = machine(document, 142, arch=arch)
        made = mend(document, found, capabilities, guest)
        said = wrong(examine(document, found, capabilities, guest))
        return made, {(finding.id, finding.ports) for finding in said}

    first, before = once(Document.parse(text, "142.conf"))
    second, after = once(first.document)
    if second.document.text() != first.document.text():
        return f"a second fix changes: {[change.text for change in second.changes]}"
    # What only says what is asked for is not said of a port that has worse.
    spoken = {name for _, names in before for name in names}
    new = {
        (id, names) for id, names in after - before
        if not (id == wanted.DIRECTIVE_ONLY and spoken.issuperset(names))
    }  # fmt: skip
    return f"found after fix, and not before: {new}" if new else ""


def tried(seed: int) -> str:
    confs = Confs(seed)
    text = confs.text()
    versions = ((7, 2, 0), (11, 0, 0))
    return next((said for v in versions if (said := circle(text, confs.arch, v))), "")


def test_random_configurations() -> None:
    assert {seed: said for seed in range(SOME) if (said := tried(seed))} == {}


@pytest.mark.full
def test_many_random_configurations() -> None:
    assert {seed: said for seed in range(SOME, ALL) if (said := tried(seed))} == {}


def test_a_reader_of_args_that_knows_its_own_words_not_again_is_seen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(wanted, "_same_back_end", lambda *_: False)
    assert any(tried(seed) for seed in range(20))


@pytest.mark.parametrize("head", [f"{ARM}memory: 512\n", Q35], ids=["aarch64", "x86_64"])
@pytest.mark.parametrize("serial", ["stdio", "pty", "mon:stdio", "null"])
@pytest.mark.parametrize("screen", ["-nographic ", ""])
def test_a_short_form_in_args_beside_a_line(head: str, serial: str, screen: str) -> None:
    text = f"{head}serial0: socket\nargs: {screen}-serial {serial}\n"
    arch = read(text)[1].arch
    for version in ((7, 2, 0), (9, 1, 0), (11, 0, 0)):
        assert circle(text, arch, version) == ""
    document, found = read(mended(text).document.text())
    guest = profile.unknown(arch)
    assert wrong(examine(document, found, binary(arch), guest)) == ()


@pytest.mark.parametrize(
    ("chardev", "backend"),
    [
        ("stdio", "stdio,signal=on"),
        ("stdio,signal=off", "stdio"),
        ("socket,path=/x", "socket=/x,server=off"),
        ("socket,path=/x,server=on", "socket=/x,wait=on"),
        ("socket,path=/x,server=on,wait=off", "socket=/x"),
        ("socket,host=h,port=1,server=on,wait=off", "tcp=h:1"),
    ],
)
def test_what_a_chardev_in_args_does_not_say_is_what_qemu_assumes(
    chardev: str, backend: str
) -> None:
    (port,) = lift(f"-chardev {chardev},id=serial6 -serial chardev:serial6").ports
    assert port.backend == backend


def test_a_port_of_the_users_own_has_no_name_that_is_asked_for() -> None:
    asked = [f"serial{number}" for number in range(8)]
    text = f"{ARM}serial0: socket\nserial1: socket\nserial2: socket\nserial3: socket\n"
    text += "serial4: socket\nserial5: socket\n#vmserial serial6: pty\n#vmserial serial7: pty\n"
    text += "args: -chardev null,id=x -device usb-serial,chardev=x,bus=ehci.0\n"
    assert sorted(lower(Document.parse(text, "142.conf"), 142).labels) == asked
    found = mended(text).before.found
    names = {name for finding in found if finding.id == "usb-speed" for name in finding.ports}
    assert names
    assert names.isdisjoint(asked)


def test_a_board_without_isa_numbers_no_com_ports() -> None:
    made = mended(f"{ARM}serial0: socket\nserial1: socket\nserial2: socket\n"
                  "#vmserial serial2: type=isa\n")  # fmt: skip
    assert "isa-serial" not in made.document.text()
    assert "serial2: socket\n" in made.document.text()


def test_function_0_stays_while_a_port_has_another_one_and_none_is_given_twice() -> None:
    xhci = XHCI.replace("pcie.0,addr=1d.0", "pci.2,addr=19.0")
    pci7 = (
        "-chardev pty,id=serial7 "
        "-device pci-serial,id=pciserial7,bus=pci.2,addr=19.1,chardev=serial7"
    )
    text = f"{ARM}#vmserial serial6: pty,type=pci\n#vmserial serial7: pty,type=pci\n"
    text += f"args: {xhci} {USB6} {pci7}\n"
    assert circle(text, "aarch64", (7, 2, 0)) == ""
    after = mended(text).document.text()
    assert xhci in after
    assert pci7 in after
    assert "pciserial6,bus=pci.2,addr=19.2" in after
    # Where nobody is beside it, it goes.
    alone = after.replace(pci7, "").replace("#vmserial serial7: pty,type=pci\n", "")
    alone = alone.replace("addr=19.2", "addr=1a.0")
    assert "vmserial-xhci0" not in mended(alone).document.text()
