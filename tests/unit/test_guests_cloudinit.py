"""The seed of a cloud image: what another program reads of it, and how its login is taken."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from local_shell import on_pty, over_socket
from plans import binary, machine
from test_guests_uefi import disk

from vmserial import chardevs
from vmserial.cli.main import run
from vmserial.errors import LostVMError, UsageError
from vmserial.guests import cloudinit, images
from vmserial.guests.cloudinit import FILES, LABEL, Seed
from vmserial.guests.login import Login
from vmserial.guests.shell import Shell
from vmserial.machines import architecture
from vmserial.model import Machine, SerialPort
from vmserial.paths import RunDirectory
from vmserial.progress import Silent
from vmserial.verify import runner
from vmserial.verify.hostends import HostEnds
from vmserial.verify.request import TestEnvironment, VerifyRequest
from vmserial.verify.setup import setup
from vmserial.verify.topologies import Topology
from vmserial.verify.wire.console import Console

SEED = Seed(Login("root", "once-only", seeded=True))


def isoinfo(image: Path, *words: str) -> str:
    """Ask genisoimage's reader, which is none of ours."""
    done = subprocess.run(
        ["isoinfo", "-i", str(image), *words],
        capture_output=True, text=True, check=True, timeout=20,
    )  # fmt: skip
    return done.stdout


def test_another_program_reads_the_seed(tmp_path: Path) -> None:
    image = tmp_path / "seed.iso"
    image.write_bytes(SEED.image())
    assert f"Volume id: {LABEL}\n" in isoinfo(image, "-d")
    for names in ("-R", "-J"):
        assert isoinfo(image, names, "-f").split() == sorted(f"/{name}" for name in FILES)
    first, _, config = isoinfo(image, "-R", "-x", "/user-data").partition("\n")
    assert first == "#cloud-config"
    (user,) = json.loads(config)["users"]
    assert user == {"name": "root", "lock_passwd": False, "plain_text_passwd": "once-only"}
    meta = json.loads(isoinfo(image, "-R", "-x", "/meta-data"))
    assert meta == {"instance-id": SEED.instance}


def test_each_seed_is_another_instance_and_another_password() -> None:
    users = [cloudinit.login("") for _ in range(2)]
    assert {one.user for one in users} == {"root"}
    assert users[0].password != users[1].password
    assert Seed(users[0]).instance != Seed(users[0]).instance
    assert all(one.password not in repr(Seed(one)) for one in users)


def test_the_seed_is_a_drive_of_its_own_that_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = tmp_path / "CODE.fd"
    code.write_bytes(b"")
    known = replace(architecture("x86_64"), firmware=str(code))
    monkeypatch.setattr("vmserial.guests.images.architecture", lambda _: known)
    guest = images.by_firmware("x86_64", disk(tmp_path))

    def argv(guest: images.TestGuest) -> list[str]:
        made = setup(
            Machine("x86_64", (SerialPort(0, chardevs.parse("socket=/x")),)),
            TestEnvironment(binary("x86_64"), guest), "unix", lambda name: f"/run/a,b/{name}",
        )  # fmt: skip
        return list(made.argv)

    seeded = argv(replace(guest, seed=SEED))
    (drive,) = (word for word in seeded if "seed.iso" in word)
    assert "file=/run/a,,b/seed.iso,format=raw,readonly=on" in drive
    assert "virtio-blk-pci,drive=vmserial-seed" in seeded
    assert not any("once-only" in word for word in seeded)
    assert not any("vmserial-seed" in word for word in argv(guest))


def seeded_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TestEnvironment:
    """Return what is found for an image that UEFI starts and that gets a seed."""
    code = tmp_path / "CODE.fd"
    code.write_bytes(b"")
    known = replace(architecture("x86_64"), firmware=str(code))
    monkeypatch.setattr("vmserial.guests.images.architecture", lambda _: known)
    request = VerifyRequest(Machine("x86_64", ()), image=str(disk(tmp_path)), login=SEED.login)
    (guest,) = runner._guests(request, known, Silent())
    return TestEnvironment(binary("x86_64"), guest)


def test_each_vm_gets_the_seed_that_its_login_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = seeded_environment(tmp_path, monkeypatch)
    found: list[str] = []

    async def try_cases(*_: object, rundir: RunDirectory) -> None:
        seed = Path(rundir.socket("seed.iso"))
        assert seed.stat().st_mode & 0o077 == 0, "nobody else reads the password"
        found.append(isoinfo(seed, "-R", "-x", "/user-data"))

    machine = Machine("x86_64", (SerialPort(0, chardevs.parse("socket=/x")),))
    one = runner.Runner(VerifyRequest(machine), Silent(), 1, None)
    monkeypatch.setattr(one, "try_cases", try_cases)
    asyncio.run(one.boot(environment, Topology("vm", "", machine, ())))
    assert "once-only" in found[0]


def test_without_one_there_is_no_seed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = seeded_environment(tmp_path, monkeypatch)
    request = VerifyRequest(
        Machine("x86_64", ()), image=str(environment.guest.image), login=Login("root", "x")
    )
    (guest,) = runner._guests(request, architecture("x86_64"), Silent())
    assert environment.guest.seed is not None
    assert guest.seed is None


@pytest.mark.parametrize(
    ("words", "option", "said"),
    [
        (["--cloud-init"], "--cloud-init", "no image of one is named"),
        (["--cloud-init", "--kernel", "K", "--initrd", "I"], "--cloud-init", "no image"),
        (["--image", "D", "--cloud-init", "--login", "root:F"], "--login", "password of its own"),
        (["--image", "D", "--cloud-init", "--login", "a b"], "--login", "no user's name"),
        (["--image", "D", "--login", "root"], "--login", "--login root --cloud-init"),
        (["--image", "D", "--cloud-init", "--stage", "firmware"], "--image", "boots no system"),
        (["--cloud-init", "--stage", "firmware"], "--cloud-init", "boots no system"),
    ],
)  # fmt: skip
def test_what_does_not_go_with_it_is_refused(
    words: list[str], option: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["verify", "--arch", "x86_64", *words]) == 2
    told = capsys.readouterr().err
    assert f"where: {option}\n" in told
    assert said in told


def test_a_paused_qemu_has_no_part_for_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    conf = tmp_path / "142.conf"
    conf.write_text("serial0: socket\n")
    assert run(["verify", str(conf), "--paused", "--cloud-init"]) == 2
    assert "--cloud-init is of a guest that boots" in capsys.readouterr().err


LATE = r"""
stty -echo
n=0
while :; do
    printf 'vm login: '; read -r user
    printf 'Password: '; read -r word
    n=$((n + 1))
    [ $n -ge {tries} ] && break
    printf '\r\nLogin incorrect\r\n'
done
stty echo
printf '\r\nroot@vm:~# '
exec sh
"""


def log_in(tries: int, login: Login, timeout: float, monkeypatch: pytest.MonkeyPatch) -> str:
    """Log in to a guest that takes the password at that try; return what the console kept."""
    monkeypatch.setattr("vmserial.verify.hostends._AGAIN", 0.1)

    async def main() -> str:
        async with contextlib.AsyncExitStack() as stack:
            streams = await stack.enter_async_context(
                on_pty(["sh", "-c", LATE.replace("{tries}", str(tries))])
            )
            line = cast("Any", SimpleNamespace(name="serial0"))
            ends = HostEnds(machine(), {}, 5, stack)
            await ends.log_in(Console(line, *streams), login, timeout)
            return ends.messages

    return asyncio.run(main())


def test_a_password_that_cloud_init_gives_late_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert log_in(3, SEED.login, 30.0, monkeypatch).count("Login incorrect") == 2


def test_a_users_own_password_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LostVMError, match="refused the login of root"):
        log_in(3, Login("root", "wrong"), 30.0, monkeypatch)


def test_an_image_without_cloud_init_is_named_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(LostVMError, match=r"no cloud-init of the guest took the seed") as caught:
        log_in(99, SEED.login, 6.0, monkeypatch)
    assert "Login incorrect" in caught.value.message
    assert "NoCloud" in caught.value.hint


@pytest.mark.parametrize(
    ("there", "ends", "expected"),
    [("run", True, True), ("run", False, False), ("", False, False)],
)
def test_its_end_is_waited_for_and_no_longer(
    there: str, ends: bool, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "cloud-init"
    monkeypatch.setattr(cloudinit, "_DONE", str(place / "result.json"))
    look = cloudinit._WAIT.replace("/run/cloud-init", str(place))
    monkeypatch.setattr(cloudinit, "_WAIT", look)
    if there:
        place.mkdir()

    async def main() -> bool:
        async with over_socket(["sh"]) as stream:
            shell = Shell(*stream)
            await shell.ready(10)
            waiting = asyncio.create_task(cloudinit.settled(shell, 2))
            await asyncio.sleep(0.3)
            if ends:
                (place / "result.json").write_text("{}")
            done = await waiting
            await shell.close()
            return done

    assert asyncio.run(main()) is expected


@pytest.mark.parametrize("text", ["root:file", "a b", "-x"])
def test_only_a_users_name_goes_with_it(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        cloudinit.login(text)
    assert caught.value.hint
