"""A real libvirt's command of each domain, beside ours; nothing is defined or started.

libvirt 9.0 gives every place as we do.  Of another libvirt only the ports are compared: where it
puts what the domain does not place is its own, and may change.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import test_judge_domain
from libvirt_domains import domains
from libvirt_native import Native, native, refused, said
from libvirt_xml import MACHINES, emulator
from planned_domains import DRIVES, elsewhere, unexplained
from private_libvirt import PrivateLibvirt, Refused

from vmserial.cli.main import run
from vmserial.qemu.binary import probe
from vmserial.sources.libvirt import Document, Domain
from vmserial.sources.libvirt.lower import lower

FULL = frozenset({"riscv64", "ppc64", "s390x"})
"""Architectures whose QEMU the quick tests do not install."""

KNOWN = "9.0."
"""The libvirt whose places are known."""

_PLACE = re.compile(r"(?:\A|,)(?:bus|addr|port|nr|multifunction|reconnect(?:-ms)?)=[^,]*")


OF_A_RUN = ("microvm", "versatile", "path-long")
"""Domains whose ports are not planned on, and one whose socket's path is too long."""


def ports(found: Native) -> Native:
    """Return the options that are ports, without their places."""
    return tuple(
        (name, _PLACE.sub("", text)) for name, text in found
        if name in {"chardev", "serial", "refused"} or "chardev=" in text
    )  # fmt: skip


def asked(libvirt: PrivateLibvirt, path: Path) -> Native:
    """Return what libvirt makes of a domain."""
    try:
        return said(libvirt.virsh("domxml-to-native", "qemu-argv", str(path)))
    except Refused as error:
        return refused(str(error))


def ours(xml: str, name: str) -> Native:
    """Return what is made of it here."""
    domain = Domain.of(Document.parse(xml.encode(), name))
    path = shutil.which(Path(domain.emulator).name)
    assert path, domain.emulator
    command = lower(domain, probe(path).version)
    words = [gap.text for gap in command.gaps if gap.id == "refused"]
    if words:
        return (("refused", words[0]),)
    return native(command.argv())


@pytest.mark.parametrize("arch", [
    pytest.param(arch, marks=pytest.mark.full if arch in FULL else ())
    for arch in dict.fromkeys(arch for arch, _ in MACHINES.values())
])  # fmt: skip
def test_the_command_is_libvirts(libvirt: PrivateLibvirt, arch: str, tmp_path: Path) -> None:
    assert shutil.which(emulator(arch)), f"there is no {emulator(arch)}: scripts/system-packages"
    exact = libvirt.virsh("version", "--daemon").rpartition("daemon: ")[2].startswith(KNOWN)
    path = tmp_path / "domain.xml"
    wrong: dict[str, tuple[Native, Native]] = {}
    count = 0
    for name, xml in domains():
        if f"arch='{arch}'" not in xml:
            continue
        path.write_text(xml)
        real, mine = asked(libvirt, path), ours(xml, name)
        if not exact:
            real, mine = ports(real), ports(mine)
        count += 1
        if real != mine:
            wrong[name] = (real, mine)
    assert count > 10
    assert not wrong


@pytest.mark.parametrize("arch", [
    pytest.param(arch, marks=() if arch == "aarch64" else pytest.mark.full)
    for arch in dict.fromkeys(arch for arch, _ in MACHINES.values())
])  # fmt: skip
def test_showcmd_has_every_device_where_libvirt_has_it(
    libvirt: PrivateLibvirt, arch: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if not libvirt.virsh("version", "--daemon").rpartition("daemon: ")[2].startswith(KNOWN):
        return  # its places are its own
    path = tmp_path / "domain.xml"
    wrong: dict[str, object] = {}
    count = 0
    for name, xml in domains():
        if f"arch='{arch}'" not in xml or any(word in name for word in OF_A_RUN):
            continue
        path.write_text(xml)
        real = asked(libvirt, path)
        if real[0][0] == "refused":
            continue
        code = run(["showcmd", "--json", str(path)])
        shown = capsys.readouterr()
        if code:  # a port that no guest would see: the plan says which
            assert "hvc" in shown.err, (name, shown.err)
            continue
        count += 1
        document = Document.parse(xml.encode(), name)
        if found := unexplained(document, real, native(json.loads(shown.out))):
            wrong[name] = found
    assert count > 8
    assert not wrong


@pytest.mark.parametrize("name", DRIVES)
def test_drives_are_where_libvirt_has_them(
    libvirt: PrivateLibvirt, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arch, machine, body = DRIVES[name]
    of = test_judge_domain.domain("<serial type='pty'/>" + body, arch, machine)
    path = tmp_path / "domain.xml"
    path.write_bytes(of.raw.replace(b"</name>", b"</name><memory unit='MiB'>256</memory>"))
    text = libvirt.virsh("domxml-to-native", "qemu-argv", str(path))
    assert run(["showcmd", "--json", str(path)]) == 0
    mine = native(json.loads(capsys.readouterr().out), frozenset())
    assert elsewhere(said(text, frozenset()), mine) == {}
    assert elsewhere(mine, said(text, frozenset())) == {}


@pytest.mark.full
@pytest.mark.parametrize("name", ["mips64el-typed", "mips64el-untyped"])
def test_the_command_of_a_board_that_no_made_domain_has(libvirt: PrivateLibvirt, name: str) -> None:
    path = Path(__file__).parents[1] / "data" / "libvirt" / f"{name}.xml"
    real, mine = asked(libvirt, path), ours(path.read_text(), name)
    if not libvirt.virsh("version", "--daemon").rpartition("daemon: ")[2].startswith(KNOWN):
        real, mine = ports(real), ports(mine)
    # libvirt gives a domain that has none a UUID.
    real = tuple(each for each in real if each[0] != "uuid")
    assert len(real) > 5
    assert real == mine
