"""What `doctor` says that libvirt or QEMU refuses is refused, and starts once it is mended."""

from __future__ import annotations

from pathlib import Path

import pytest
from private_libvirt import PrivateLibvirt, Refused
from test_judge_domain import REFUSED, domain, judged

pytestmark = pytest.mark.live


def started(libvirt: PrivateLibvirt, raw: bytes, path: Path) -> None:
    """Define and start a domain paused, and end it.

    Raises:
        Refused: libvirt or QEMU does not take it.
    """
    path.write_bytes(raw.replace(b"</name>", b"</name><memory unit='MiB'>256</memory>"))
    libvirt.virsh("define", "--validate", str(path))
    try:
        libvirt.virsh("start", "--paused", "d")
        libvirt.virsh("destroy", "d")
    finally:
        libvirt.virsh("undefine", "d")


@pytest.mark.parametrize("name", REFUSED)
def test_refused_before_and_not_after(libvirt: PrivateLibvirt, name: str, tmp_path: Path) -> None:
    of = domain(REFUSED[name][0])
    with pytest.raises(Refused):
        started(libvirt, of.raw, tmp_path / "guest.xml")
    started(libvirt, judged(of).document.raw, tmp_path / "guest.xml")


@pytest.mark.parametrize(("name", "machine_type"), [
    ("arm", "virt"), ("arm64", "virt"), ("amd64", "q35"), ("i386", "pc"),
])  # fmt: skip
def test_architectures_by_other_names(
    libvirt: PrivateLibvirt, name: str, machine_type: str, tmp_path: Path
) -> None:
    of = domain("<serial type='pty'/>", name, machine_type)
    (found,) = [f for f in judged(of).findings if f.id == "libvirt-refused"]
    path = tmp_path / "guest.xml"
    path.write_bytes(of.raw)
    with pytest.raises(Refused) as refused:
        libvirt.virsh("define", str(path))
    assert found.happens.partition("refuses the domain: ")[2] in str(refused.value)
