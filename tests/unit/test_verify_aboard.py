"""What a test guest is to send is on board when it boots, where its RAM disk is ours."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from fake_qemu.environment import SIZES, environment, prove, request

from vmserial.paths import RunDirectory
from vmserial.progress import Silent
from vmserial.verify import aboard
from vmserial.verify.registry import CheckRegistry
from vmserial.verify.request import VerifyRequest
from vmserial.verify.session import Session
from vmserial.verify.setup import setup
from vmserial.verify.topologies import Builder
from vmserial.verify.wire.form import MAGIC, SMOKE
from vmserial.verify.wire.transfer import Exchange, Transfer

OWN = b"070701 our own archive, of four bytes times seven..."


def loaded(
    folder: Path, rundir: RunDirectory, *, suite: str = "bookworm", **asked: object
) -> tuple[Session, list[Transfer]]:
    """Return a VM that is not booted, and its transfers, after :func:`aboard.load`."""
    found = environment(folder)
    initrd = folder / "guest-initrd"
    initrd.write_bytes(OWN)
    found = replace(found, guest=replace(found.guest, suite=suite, initrd=initrd))
    wanted: VerifyRequest = request(**asked)
    (topology,), _ = Builder(wanted, found).build()
    session = Session(
        title=topology.title, environment=found, kind="usb", request=wanted, seed=1,
        made=setup(topology.machine, found, "unix", rundir.socket), runs=itertools.count(1),
        registry=CheckRegistry(lambda _: None), reporter=Silent(), rundir=rundir,
    )  # fmt: skip
    made = [one for case in topology.cases for one in case.known(session)]
    aboard.load(session, made)
    return session, made


def initrd_of(session: Session) -> Path:
    return Path(session.made.argv[session.made.argv.index("-initrd") + 1])


def test_each_port_finds_its_own_part_behind_the_guests_own_archive(tmp_path: Path) -> None:
    with RunDirectory() as rundir:
        session, made = loaded(tmp_path, rundir)
        image = initrd_of(session).read_bytes()
        assert image.startswith(OWN)
        # Each port alone, and all together.
        assert len(made) == 2 * len(session.lines)
        for one in made:
            assert one.upload is not None
            size, part = one.upload.part
            start = image.index(MAGIC, image.index(one.upload.file.lstrip("/").encode()))
            assert image[start + part * size :][:size] == one.out.sent


def test_data_on_board_is_not_uploaded_again(tmp_path: Path) -> None:
    with RunDirectory() as rundir:
        session, made = loaded(tmp_path, rundir)
        # There is no agent that could take it.
        asyncio.run(Exchange(None, session.limits).upload(made))  # type: ignore[arg-type]


def test_a_guest_of_the_users_own_boots_its_own_ram_disk(tmp_path: Path) -> None:
    with RunDirectory() as rundir:
        session, made = loaded(tmp_path, rundir, suite="")
        assert initrd_of(session) == tmp_path / "guest-initrd"
        assert {one.upload for one in made} == {None}


def test_data_of_many_ports_is_in_several_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aboard, "_PIECE", 3 * sum(SIZES))
    with RunDirectory() as rundir:
        session, made = loaded(tmp_path, rundir)
        image = initrd_of(session).read_bytes()
        assert len({one.upload.file for one in made if one.upload}) > 2
        for one in made:
            assert one.upload is not None
            size, part = one.upload.part
            start = image.index(MAGIC, image.index(one.upload.file.lstrip("/").encode()))
            assert image[start + part * size :][:size] == one.out.sent


def test_more_than_the_guest_has_room_for_is_uploaded_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(aboard, "_MOST", 4 << 20)
    with RunDirectory() as rundir:
        session, made = loaded(tmp_path, rundir, together=(*SIZES, 1 << 20))
        assert initrd_of(session) == tmp_path / "guest-initrd"
        assert {one.upload for one in made} == {None}


def test_a_full_disk_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = aboard._packed

    def full(name: str, alike: Sequence[Transfer]) -> bytes:
        packed(name, alike)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(aboard, "_packed", full)
    with RunDirectory() as rundir:
        session, made = loaded(tmp_path, rundir)
        assert initrd_of(session) == tmp_path / "guest-initrd"
        assert {one.upload for one in made} == {None}


def test_what_is_not_on_board_is_uploaded(tmp_path: Path) -> None:
    # The fake's guest is of no suite.
    assert prove(tmp_path).exit_code == 0


def test_the_console_is_brief_beside_others_and_misses_no_size(tmp_path: Path) -> None:
    with RunDirectory() as rundir:
        session, made = loaded(tmp_path, rundir, cases=("large",))
        sizes = [one.out.sizes for one in made if one.line.name == "serial0"]
        assert sizes == [SMOKE, session.request.alone]
        assert {one.out.sizes for one in made if one.line.name != "serial0"} == {
            session.request.alone, session.request.together
        }  # fmt: skip
