"""Installing, renewing and removing, with dpkg's own tools in a tree of the test's."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from shim_stage import capabilities, stage

from vmserial.errors import UsageError
from vmserial.guests import profile
from vmserial.judging import RepairPolicy
from vmserial.shim import bundle, places
from vmserial.shim.aim import aim, names_of
from vmserial.shim.diversion import Diversion
from vmserial.shim.facts import Facts
from vmserial.shim.install import Order, Step, install, remove, run
from vmserial.shim.status import states
from vmserial.shim.tree import Tree

QEMU = "/usr/bin/qemu-system-aarch64"
ASIDE = QEMU + ".distrib"


@dataclass(frozen=True)
class Host:
    """A PVE host as far as files go: dpkg's database and a package with the emulator."""

    tree: Tree
    work: Path

    def dpkg(self, *words: str) -> None:
        """Run dpkg in the tree, as whoever runs the tests."""
        subprocess.run(
            ["dpkg", "--root", self.tree.root, "--force-not-root", "--force-script-chrootless",
             "--force-unsafe-io",
             f"--log={self.work}/dpkg.log", *words],
            check=True, capture_output=True, timeout=60,
        )  # fmt: skip

    def package(self, version: str) -> None:
        """Install or upgrade the package; its emulator prints its version."""
        build = self.work / version
        binary = build / QEMU[1:]
        binary.parent.mkdir(parents=True)
        binary.write_bytes(b"\x7fELF of " + version.encode())
        binary.chmod(0o755)
        when = 1_600_000_000 + zlib.crc32(version.encode()) % 1_000_000
        os.utime(binary, (when, when))
        (binary.parent / "kvm").symlink_to("qemu-system-aarch64")
        (build / "DEBIAN").mkdir(mode=0o755)
        (build / "DEBIAN" / "control").write_text(
            f"Package: pve-qemu-kvm\nVersion: {version}\nArchitecture: all\n"
            "Maintainer: Nobody <nobody@example.org>\nDescription: an emulator\n"
        )
        for directory in (build, *build.rglob("*")):
            if directory.is_dir():
                directory.chmod(0o755)
        deb = f"{self.work}/{version}.deb"
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "--build", str(build), deb],
            check=True, capture_output=True, timeout=60,
        )  # fmt: skip
        self.dpkg("--install", deb)

    def order(self, **changes: object) -> Order:
        """Return what PVE's way asks for."""
        way, target, real = aim(self.tree, "/usr/bin/kvm")
        here = real if self.tree.at(real).exists() else target
        facts = Facts(
            self.tree.key(here), capabilities(), profile.unknown("aarch64"), RepairPolicy()
        )  # fmt: skip
        made = Order(way, target, real, facts, names=names_of(self.tree, target))
        return replace(made, **changes)  # type: ignore[arg-type]

    def install(self, **changes: object) -> list[Step]:
        """Install the shim; return what there was to do."""
        steps = install(self.tree, self.order(**changes))
        run(steps)
        return steps

    def remove(self) -> list[Step]:
        """Remove it; return what there was to do."""
        steps = remove(self.tree, places.BASE)
        run(steps)
        return steps

    def content(self, path: str) -> bytes:
        """Return a file."""
        return self.tree.at(path).read_bytes()

    def emulator(self) -> bytes:
        """Return what is started at the emulator's path in the end: it is always there, whole."""
        home = places.wrapper_home(self.tree, QEMU)
        if home is None:
            return self.content(QEMU)
        record = places.record_in(self.tree, home)
        assert record is not None
        assert os.access(self.tree.at(QEMU), os.X_OK)
        for name in ("modules", "facts.json"):
            assert self.tree.at(f"{home}/{name}").is_file()
        return self.content(record.real)

    def listing(self) -> dict[str, bytes]:
        """Return all files but those of dpkg's own keeping."""
        root = Path(self.tree.root)
        return {
            str(path.relative_to(root)): path.read_bytes()
            for path in sorted(root.rglob("*"))
            if path.is_file() and not str(path.relative_to(root)).startswith("var/lib/dpkg/")
        } | {"diversion": Diversion(self.tree, QEMU).to().encode()}

    def wrong(self) -> list[str]:
        """Return what status finds wrong."""
        return [text for state in states(self.tree, places.BASE) for text in state.wrong]


@pytest.fixture(autouse=True, scope="module")
def _compiled_once() -> Iterator[None]:
    """Let all installations share the second that compiling takes, and not wait for disks."""
    with pytest.MonkeyPatch.context() as patch:
        found = bundle.compiled(bundle.modules(), [bundle.PYTHON])
        patch.setattr(bundle, "compiled", lambda *_: found)
        # A disk takes 10 ms for each; what the order of the steps is worth shows without.
        patch.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with stage() as directory:
        for name in ("usr/bin", "usr/lib", "var/lib/dpkg/info", "var/lib/dpkg/updates", "var/log"):
            (directory / name).mkdir(parents=True)
        for path in directory.rglob("*"):
            path.chmod(0o755)
        (directory / "var/lib/dpkg/status").write_text("")
        (directory / "var/lib/dpkg/available").write_text("")
        (directory / "usr/bin/python3").write_text("")
        (directory / "usr/bin/python3").chmod(0o755)
        made = Host(Tree(str(directory)), tmp_path)
        made.package("1.0")
        yield made


ONE = b"\x7fELF of 1.0"
TWO = b"\x7fELF of 2.0"


def test_install_and_remove_leave_nothing(host: Host) -> None:
    before = host.listing()
    assert before["usr/bin/qemu-system-aarch64"] == ONE
    host.install()
    assert host.emulator() == ONE
    assert host.content(ASIDE) == ONE
    assert Diversion(host.tree, QEMU).to() == ASIDE
    assert host.content(QEMU).startswith(b"#!/usr/bin/python3 -ISB\n# vmserial shim ")
    assert host.tree.at("/usr/bin/kvm").resolve() == host.tree.at(QEMU)
    host.remove()
    assert host.listing() == before
    assert host.tree.at(QEMU).stat().st_mode & 0o777 == 0o755


def test_twice_is_once(host: Host) -> None:
    host.install()
    after = host.listing()
    assert host.install() == []
    assert host.listing() == after
    host.remove()
    assert host.remove() == []


def test_the_wrapper_stays_over_an_upgrade_of_the_package(host: Host) -> None:
    host.install()
    wrapper = host.content(QEMU)
    host.package("2.0")
    assert host.content(QEMU) == wrapper
    assert host.emulator() == TWO
    assert any("facts are stale" in text for text in host.wrong())
    host.install()
    assert host.wrong() == []
    # libvirt asks a binary anew when its file has changed.
    assert host.content(QEMU) != wrapper
    host.remove()
    assert host.content(QEMU) == TWO
    host.package("3.0")
    assert host.content(QEMU) == b"\x7fELF of 3.0"


def test_after_a_crash_at_any_step_an_emulator_stands_there(host: Host) -> None:
    """And from there on both install and remove come to their end."""
    before = host.listing()
    steps = len(install(host.tree, host.order()))
    assert steps >= 4
    for done in range(steps + 1):
        for upgraded in (False, True):
            for onwards in (host.install, host.remove):
                run(install(host.tree, host.order())[:done])
                assert host.emulator() == ONE
                if upgraded:
                    host.package(f"2.0+{done}{onwards.__name__}")
                    assert host.emulator().startswith((ONE, TWO))
                onwards()
                if onwards == host.install:
                    assert host.wrong() == []
                    host.remove()
                if upgraded:
                    assert host.emulator().startswith(TWO)
                    host.dpkg("--install", f"{host.work}/1.0.deb")
                assert host.listing() == before


def test_after_a_crash_while_removing_too(host: Host) -> None:
    before = host.listing()
    host.install()
    steps = len(remove(host.tree, places.BASE))
    assert steps >= 4
    for done in range(steps + 1):
        for upgraded in (False, True):
            for onwards in (host.install, host.remove):
                host.install()
                run(remove(host.tree, places.BASE)[:done])
                assert host.emulator() == ONE
                if upgraded:
                    host.package(f"2.0+{done}{onwards.__name__}")
                onwards()
                assert host.emulator().startswith(TWO if upgraded else ONE)
                host.remove()
                assert host.emulator().startswith(TWO if upgraded else ONE)
                if upgraded:
                    host.dpkg("--install", f"{host.work}/1.0.deb")
                assert host.listing() == before


@pytest.mark.parametrize("name", ["fsync", "link", "fchmod", "rename", "symlink"])
def test_a_write_that_fails_leaves_the_emulator(
    host: Host, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Each call that writes fails once: the disk is full."""
    before = host.listing()
    real = getattr(os, name)
    calls = 0

    def failing(*words: object, **more: object) -> object:
        nonlocal calls
        calls += 1
        if calls == number:
            raise OSError(28, "No space left on device")
        return real(*words, **more)

    number, calls = 0, 0
    while calls >= number:
        number, calls = number + (9 if number > 3 and name in ("fsync", "fchmod") else 1), 0
        with monkeypatch.context() as patch:
            patch.setattr(os, name, failing)
            if number > 300:
                break
            try:
                host.install()
            except UsageError as error:
                assert "No space left" in str(error)  # noqa: PT017 - the last round has none
            assert host.emulator() == ONE
        host.remove()
        assert host.listing() == before
    assert number > 1
    assert number < 300


def test_a_package_that_is_removed(host: Host) -> None:
    host.install()
    host.dpkg("--remove", "pve-qemu-kvm")
    assert any("is gone" in text for text in host.wrong())
    with pytest.raises(UsageError, match="is gone"):
        aim(host.tree, QEMU)
    host.remove()
    assert not host.tree.at(QEMU).exists()
    host.package("2.0")
    assert host.emulator() == TWO


def test_what_belongs_to_others_is_refused(host: Host) -> None:
    host.tree.at(ASIDE).write_bytes(b"somebody's")
    with pytest.raises(UsageError, match="is there already"):
        host.install()
    host.tree.at(ASIDE).unlink()
    divert = ["dpkg-divert", "--root", host.tree.root, "--local", "--no-rename"]
    subprocess.run([*divert, "--divert", "/usr/bin/other", "--add", QEMU], check=True,
                   capture_output=True)  # fmt: skip
    with pytest.raises(UsageError, match="is diverted to /usr/bin/other"):
        host.install()
    subprocess.run([*divert, "--divert", "/usr/bin/other", "--remove", QEMU], check=True,
                   capture_output=True)  # fmt: skip
    subprocess.run([*divert, "--divert", ASIDE, "--add", QEMU], check=True,
                   capture_output=True)  # fmt: skip
    host.tree.at(QEMU).rename(host.tree.at(ASIDE))
    host.tree.at(QEMU).write_text("#!/bin/sh\nexec $0.distrib -m 1\n")
    host.tree.at(QEMU).chmod(0o755)
    with pytest.raises(UsageError, match="a script of somebody else"):
        host.install()


def test_places_that_others_can_write_to_are_refused(host: Host) -> None:
    for path in ("/usr/lib", "/usr/bin", "/usr/bin/python3"):
        where = host.tree.at(path)
        where.chmod(0o777)
        with pytest.raises(UsageError, match=f"{path} can be changed by others"):
            host.install()
        where.chmod(0o755)
    host.install()
    host.tree.at("/usr/lib").chmod(0o777)
    assert any("/usr/lib can be changed by others" in text for text in host.wrong())


def test_a_file_that_was_changed_is_seen_and_mended(host: Host) -> None:
    host.install()

    def home(name: str = "") -> Path:
        return host.tree.at(f"{places.wrapper_home(host.tree, QEMU)}/{name}")

    assert host.wrong() == []
    for change in (
        lambda: home("source/vmserial/errors.py").write_text("x = 1\n"),
        lambda: home("modules").unlink(),
        lambda: host.tree.at(QEMU).write_bytes(host.content(QEMU) + b"#\n"),
        lambda: home("names/kvm").unlink(),
        lambda: shutil.rmtree(home()),
        lambda: host.tree.at(QEMU).unlink(),
        lambda: Diversion(host.tree, QEMU).remove(),
    ):
        change()
        assert host.wrong() != []
        host.install()
        assert host.wrong() == []
        assert host.emulator() == ONE


def test_a_wrapper_beside_the_binary(host: Host) -> None:
    before = host.listing()
    (Path(host.tree.root) / "opt").mkdir(mode=0o755)
    way, target, real = aim(host.tree, "/usr/bin/kvm", "/opt/emulator")
    assert (way, target, real) == ("path", "/opt/emulator", QEMU)
    order = replace(host.order(), way=way, target=target, real=real, names=())
    run(install(host.tree, order))
    assert host.content(QEMU) == ONE
    assert host.wrong() == []
    with pytest.raises(UsageError, match="there is no shim at /usr/bin/qemu"):
        remove(host.tree, places.BASE, ["/usr/bin/kvm"])
    run(remove(host.tree, places.BASE, ["/opt/emulator"]))
    assert host.listing() == before
    host.tree.at("/opt/emulator").write_text("somebody's")
    with pytest.raises(UsageError, match="is there already"):
        aim(host.tree, "/usr/bin/kvm", "/opt/emulator")


def test_a_wrapper_of_a_wrapper_is_refused(host: Host) -> None:
    host.install()
    with pytest.raises(UsageError, match="is a wrapper of vmserial already"):
        aim(host.tree, "/usr/bin/kvm", "/usr/bin/emulator")


def test_the_record_and_the_bundle(host: Host) -> None:
    host.install()
    home = str(places.wrapper_home(host.tree, QEMU))
    record = places.record_in(host.tree, home)
    assert record is not None
    assert record.names == ("kvm",)
    assert str(host.tree.at(f"{home}/names/kvm").readlink()) == ASIDE
    facts = Facts.from_json(json.loads(host.content(f"{home}/facts.json")))
    assert facts == host.order().facts
    assert json.loads(json.dumps(facts.to_json())) == json.loads(host.content(f"{home}/facts.json"))
    names = {module.name for module in bundle.modules()}
    assert {"vmserial.shim.start", "vmserial.judging.engine", "dataclasses"} <= names
    assert {"vmserial.devices.usb_serial", "vmserial.machines.aarch64"} <= names
    assert not any(name.startswith(("vmserial.cli", "vmserial.catalogue")) for name in names)
    modes = {path.stat().st_mode & 0o777 for path in host.tree.at(home).rglob("*")
             if path.is_file() and not path.is_symlink()}  # fmt: skip
    assert modes == {0o644}


def test_links_of_a_tree_do_not_lead_out_of_it(host: Host) -> None:
    host.tree.at("/usr/out").symlink_to("/usr/bin")
    host.tree.at("/usr/up").symlink_to("../../../../usr/bin")
    host.tree.at("/usr/a").symlink_to("b")
    host.tree.at("/usr/b").symlink_to("a")
    assert host.tree.resolved("/usr/out/kvm") == QEMU
    assert host.tree.resolved("/usr/up/./kvm") == QEMU
    with pytest.raises(UsageError, match="circle"):
        host.tree.resolved("/usr/a/x")
    with pytest.raises(UsageError, match="not absolute"):
        host.tree.resolved("usr")
