"""What makes a mended command worse than its owner's, and that `fix` then changes nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

import findings
from vmserial.cli.main import run
from vmserial.errors import LostVMError
from vmserial.model import Capabilities
from vmserial.model.origin import Gap
from vmserial.qemu import neverworse
from vmserial.qemu.liveprobe import PortSeen, Probed
from vmserial.qemu.neverworse import Worse, compared
from vmserial.sources.command import CommandLine

DEAD = ["qemu-system-aarch64", "-M", "virt", "-serial", "pty", "-serial", "pty"]


def seen(*ports: PortSeen, words: str = "", ends: dict[str, bool] | None = None) -> Probed:
    return Probed(not words, words, "7.2.22", "virt", ports, front_ends=ends or {})


def port(number: int, driver: str = "", **more: bool | None) -> PortSeen:
    name = f"serial{number}"
    return PortSeen(name, name, driver, driver and f"d{number}", **more)  # type: ignore[arg-type]


OPEN = port(1, open=True)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (seen(OPEN), seen(words="no such bus"), Worse("no such bus")),
        (seen(words="no such bus"), seen(words="another"), None),
        (seen(words="no such bus"), seen(port(1, open=False)), None),
        (seen(OPEN), seen(OPEN), None),
        (seen(OPEN), seen(port(1, open=False)), Worse(closed=("serial1",))),
        (seen(OPEN), seen(), Worse(closed=("serial1",))),
        (seen(port(1, open=False)), seen(), None),
        (seen(OPEN), seen(port(1, "virtserialport", open=False)), None),
        (seen(port(1, "virtserialport", open=False)), seen(), Worse(closed=("serial1",))),
        (
            seen(port(1, "usb-serial", open=True, attached=True)),
            seen(port(1, "usb-serial", open=True, attached=False)),
            Worse(closed=("serial1",)),
        ),
        (
            seen(port(1, "usb-serial", open=True, attached=False)),
            seen(port(1, "usb-serial", open=True, attached=False)),
            None,
        ),
        # The guest agent's chardev, and what never was open.
        (seen(ends={"q": True}), seen(ends={"q": False}), Worse(closed=("the chardev q",))),
        (seen(ends={"q": False, "x": True}), seen(ends={"x": True}), None),
    ],
)  # fmt: skip
def test_what_is_worse(before: Probed, after: Probed, expected: Worse | None) -> None:
    assert compared(before, after) == expected


def test_a_port_without_a_chardev_is_known_by_its_host_side() -> None:
    def inline(number: int, host: str, open_: bool) -> PortSeen:
        name = f"serial{number}"
        return PortSeen(name, name, "", "", open=open_, host=host, inline=True)

    first, second = inline(0, "socket /a", True), inline(1, "socket /b", False)
    moved = PortSeen("serial7", "serial7", "usb-serial", "d", open=True, attached=True)
    kept = replace(moved, host="socket /a")
    assert compared(seen(first), seen(kept)) is None
    # Its host side was mended as well: it is what is left.
    assert compared(seen(first), seen(replace(moved, host="pty"))) is None
    # Another port that lives now does not stand for it.
    revived = replace(moved, host="socket /b")
    dead = replace(first, open=False)
    assert compared(seen(first, second), seen(dead, revived)) == Worse(closed=("serial0",))
    assert compared(seen(first, second), seen(revived)) == Worse(closed=("serial0",))


def test_a_second_qemu_that_never_answers_is_worse(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Probed | LostVMError] = [seen(OPEN), LostVMError("no answer within 20 s")]

    async def asked(*_: object) -> Probed:
        answer = answers.pop(0)
        if isinstance(answer, LostVMError):
            raise answer
        return answer

    monkeypatch.setattr(neverworse, "_asked", asked)
    monkeypatch.setattr(
        neverworse, "understand", lambda *_, **__: (None, findings.capabilities("aarch64"))
    )
    command = CommandLine.from_words(DEAD)
    assert neverworse.worse(command, command) == Worse("no answer within 20 s")


@pytest.fixture
def a_binary(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer as if this machine had the binary, without starting it."""

    def answered(*_: object) -> Capabilities:
        return replace(findings.capabilities("aarch64"), binary="/q")

    monkeypatch.setattr("vmserial.cli.subject_command.capabilities_of", answered)


@pytest.mark.usefixtures("a_binary")
def test_fix_writes_nothing_that_is_worse(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(neverworse, "worse", lambda *_, **__: Worse("Bus 'x' not found"))
    script = tmp_path / "vm.sh"
    script.write_text(" ".join(DEAD) + "\n")
    before = script.read_bytes()
    for words in (["--apply", str(script)], [str(script)], ["--diff", str(script)], ["--", *DEAD],
                  ["-o", str(tmp_path / "new.sh"), str(script)]):  # fmt: skip
        assert run(["fix", *words]) == 1
        printed = capsys.readouterr()
        assert printed.out == ""
        assert "mended it does not: Bus 'x' not found" in printed.err
        assert "--no-check" in printed.err
    assert [path.name for path in tmp_path.iterdir()] == ["vm.sh"]
    assert script.read_bytes() == before
    assert run(["fix", "--json", "--", *DEAD]) == 1
    data = json.loads(capsys.readouterr().out)
    assert (data["command"], data["changes"]) == (DEAD, [])
    assert "Bus 'x' not found" in data["worse"]
    assert run(["fix", "--no-check", "--", *DEAD]) == 0
    assert "usb-serial" in capsys.readouterr().out


@pytest.mark.usefixtures("a_binary")
def test_what_cannot_be_tried_is_said_and_not_in_the_way(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lost(*_: object, **__: object) -> Worse | None:
        raise LostVMError("QEMU did not answer within 20 s")

    monkeypatch.setattr(neverworse, "worse", lost)
    assert run(["fix", "--", *DEAD]) == 0
    printed = capsys.readouterr()
    assert "not tried on a paused QEMU: QEMU did not answer within 20 s" in printed.err
    assert "usb-serial" in printed.out


@pytest.mark.usefixtures("a_binary")
def test_what_is_not_changed_is_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neverworse, "worse", lambda *_, **__: pytest.fail("asked"))
    assert run(["fix", "--", *DEAD[:-2]]) == 0


def test_a_domain_that_libvirt_would_refuse_then_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def answered(*_: object, **__: object) -> Capabilities:
        return replace(findings.capabilities("aarch64"), binary="/q")

    refused = [Gap("refused", "Only the first console can be a serial port")]
    answers: list[list[Gap]] = [refused, [], refused]
    monkeypatch.setattr("vmserial.cli.subject_domain.capabilities_of", answered)
    monkeypatch.setattr("vmserial.cli.standing.refusals", lambda _: answers.pop(0))
    monkeypatch.setattr(neverworse, "worse", lambda *_, **__: pytest.fail("asked"))
    domain = tmp_path / "r.xml"
    domain.write_bytes((findings.DATA / "libvirt" / "aarch64-untyped.xml").read_bytes())
    raw = domain.read_bytes()
    assert run(["fix", "--apply", str(domain)]) == 1
    assert "libvirt would refuse the mended domain: Only the first" in capsys.readouterr().err
    assert domain.read_bytes() == raw
