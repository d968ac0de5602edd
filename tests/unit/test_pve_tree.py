"""Finding PVE's VMs, and writing one of them under PVE's lock."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pve_tree
import pytest
from test_files import HOLDER

from vmserial.errors import ConfigError, UsageError
from vmserial.pve import store, tree
from vmserial.sources.pve import Document


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return pve_tree.make(tmp_path / "host")


def conf(directory: Path, vmid: int, text: str = "serial0: socket\n") -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{vmid}.conf"
    path.write_text(text)
    return path


# ------------------------------------------------------------------ finding


def test_a_cluster_has_all_its_nodes_vms(root: Path) -> None:
    found = tree.places(root)
    assert [place.vmid for place in found] == [vm.vmid for vm in pve_tree.VMS]
    assert {place.node for place in found if place.vmid < 200} == {"arm"}
    assert {place.elsewhere for place in found if place.vmid < 200} == {False}
    assert {(place.node, place.elsewhere) for place in found if place.vmid > 200} == {
        ("intel", True)
    }
    assert not any(place.live for place in found)


def test_a_tree_without_nodes_and_a_bare_directory(tmp_path: Path) -> None:
    conf(tmp_path / "a/etc/pve/qemu-server", 100)
    (place,) = tree.places(tmp_path / "a")
    assert (place.vmid, place.root, place.elsewhere) == (100, tmp_path / "a", False)
    bare = tmp_path / "b"
    for name in ("7.conf", "007.conf", "8.conf.tmp.12", "x.conf", "9.conf.vmserial-1.bak"):
        bare.mkdir(exist_ok=True)
        (bare / name).write_text("")
    (bare / "10.conf").mkdir()
    (place,) = tree.places(bare)
    assert (place.vmid, place.root) == (7, None)
    assert place.lock == bare
    assert place.backups.free() == bare / "7.conf.vmserial-1.bak"


def test_the_nodes_alone_are_enough(tmp_path: Path) -> None:
    conf(tmp_path / "etc/pve/nodes/a/qemu-server", 1)
    conf(tmp_path / "etc/pve/nodes/b/qemu-server", 2)
    assert [(p.vmid, p.node, p.elsewhere) for p in tree.places(tmp_path)] == [
        (1, "a", False), (2, "b", False),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["nonesuch", "empty", "file"])
def test_what_is_no_tree_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError):
        tree.places(tmp_path / name)


def test_a_vm_that_is_not_there(root: Path) -> None:
    with pytest.raises(UsageError, match="there is no VM 1011") as caught:
        tree.find(root, 1011)
    assert "101" in caught.value.hint


def test_a_path_within_a_tree_has_the_trees_lock(root: Path, tmp_path: Path) -> None:
    for path in (
        root / "etc/pve/qemu-server/101.conf",
        root / "etc/pve/nodes/arm/qemu-server/101.conf",
    ):
        place = tree.of_path(path)
        assert place.lock == root / "var/lock/qemu-server/lock-101.conf"
        assert place.backups.free() == root / "var/backups/vmserial/101.conf.1"
    alone = conf(tmp_path, 55)
    assert tree.of_path(alone).root is None
    with pytest.raises(UsageError, match="is called"):
        tree.of_path(tmp_path / "vm.conf")


@pytest.mark.parametrize(
    ("make", "arch"),
    [
        (Path.resolve, ""),
        (lambda root: conf_text(root / "var/lib/dpkg/arch", "arm64\n"), "aarch64"),
        (lambda root: link(root / "usr/bin/kvm", "qemu-system-x86_64"), "x86_64"),
        (lambda root: link(root / "usr/bin/kvm", "qemu-system-mips"), ""),
        (lambda root: conf_text(root / "var/lib/dpkg/arch", ""), ""),
    ],
)
def test_a_copy_tells_its_hosts_architecture(tmp_path: Path, make: object, arch: str) -> None:
    assert callable(make)
    make(tmp_path)
    assert tree.host_arch(tmp_path) == arch


def conf_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def link(path: Path, target: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def test_the_hosts_architecture_counts_where_the_vm_says_none() -> None:
    def arch(text: str) -> str:
        return tree.vm_arch(Document.parse(text, "x"), "aarch64")

    assert arch("cores: 1\n") == "aarch64"
    assert arch("machine: q35\n") == "aarch64"
    for text in (
        "arch: x86_64\n",
        "machine: virt\n",
        "machine: virt-8.0\n",
        "machine: type=virt\n",
    ):
        assert arch(text) == ""


def test_what_is_no_configuration_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "1.conf"
    place = tree.Place(1, path, None)
    with pytest.raises(UsageError, match="cannot read"):
        tree.read(place)
    path.write_bytes(b"a\0b")
    with pytest.raises(ConfigError, match="no configuration"):
        tree.read(place)
    path.write_bytes(b"\xff\xe9: x\r\nserial0: socket")
    assert tree.raw_of(tree.read(place).document) == path.read_bytes()


# ------------------------------------------------------------------ writing


def changed(place: tree.Place) -> tuple[tree.Conf, Document]:
    before = tree.read(place)
    return before, Document.parse("args: -x\n" + before.document.text(), "x")


def test_it_is_written_with_a_backup_under_pves_lock(root: Path) -> None:
    before, after = changed(tree.find(root, 101))
    backup = store.apply(before, after)
    assert before.place.path.read_text().startswith("args: -x\n")
    assert backup == root / "var/backups/vmserial/101.conf.1"
    assert backup.read_bytes() == before.raw
    assert (root / "var/lock/qemu-server/lock-101.conf").read_bytes() == b""
    assert (root / "etc/pve/qemu-server").is_symlink()


def test_a_task_that_holds_the_lock_is_waited_for_in_bounds(root: Path) -> None:
    before, after = changed(tree.find(root, 101))
    lock = root / "var/lock/qemu-server/lock-101.conf"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(lock)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as holder:  # fmt: skip
        assert holder.stdout is not None
        holder.stdout.readline()
        begin = time.monotonic()
        with pytest.raises(ConfigError, match="has held the lock"):
            store.apply(before, after, seconds=0.2)
        assert time.monotonic() - begin < 60
        assert before.place.path.read_bytes() == before.raw
        holder.communicate()
    store.apply(before, after)


def test_a_vm_that_a_task_has_locked_is_left_alone(tmp_path: Path) -> None:
    conf(tmp_path, 9, "lock: backup\nserial0: socket\n\n[snap]\nlock: x\n")
    before, after = changed(tree.find(tmp_path, 9))
    with pytest.raises(ConfigError, match="locked by a task of PVE: backup") as caught:
        store.apply(before, after)
    assert caught.value.where.endswith("9.conf:1")
    assert "qm unlock 9" in caught.value.hint
    conf(tmp_path, 9, "serial0: socket\n\n[snap]\nlock: x\n")
    store.apply(*changed(tree.find(tmp_path, 9)))


def test_a_change_in_the_meantime_is_refused(root: Path) -> None:
    before, after = changed(tree.find(root, 101))
    before.place.path.write_text("memory: 1\n")
    with pytest.raises(ConfigError, match="in the meantime"):
        store.apply(before, after)
    assert before.place.path.read_text() == "memory: 1\n"
    assert not (root / "var/backups").exists()


def test_on_a_live_host_another_nodes_vm_is_not_touched(tmp_path: Path) -> None:
    path = conf(tmp_path, 3)
    place = tree.Place(3, path, Path("/"), "other", elsewhere=True)
    with pytest.raises(ConfigError, match="on node other"):
        store.apply(*changed(place))
    assert path.read_text() == "serial0: socket\n"
