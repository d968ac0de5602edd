"""``vmserial shim``: the words, the exit codes, and what is refused."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from shim_stage import PORTS, capabilities, stage

from vmserial.cli import shim as verb
from vmserial.cli.main import run


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory; the emulator is cat(1), which is asked nothing."""
    monkeypatch.setattr(verb, "_asked", lambda *_: capabilities())
    with stage() as directory:
        yield directory


def words(place: Path, *more: str) -> list[str]:
    return ["shim", *more, "--base", str(place / "lib")]


def install(place: Path, *more: str) -> int:
    return run([
        *words(place, "install", "--binary", "/bin/cat"), "--log", str(place / "log"), *more
    ])  # fmt: skip


def test_from_nothing_to_nothing(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words(place, "status")) == 1
    assert "no shim is installed" in capsys.readouterr().out
    emulator = str(place / "emulator")
    assert install(place, "--path", emulator, "--dry-run") == 0
    assert "would put the wrapper at" in capsys.readouterr().out
    assert list(place.iterdir()) == []

    assert install(place, "--path", emulator, "--type", "pci", "--hotplug") == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        f"{emulator}: installed",
        f"libvirt: <emulator>{emulator}</emulator>; a script: start {emulator}",
    ]
    assert "put the wrapper at" in said.err
    assert install(place, "--path", emulator, "--type", "pci", "--hotplug") == 0
    assert "all is as it should be" in capsys.readouterr().out

    subprocess.run([emulator, "-name", "a", *PORTS], capture_output=True, timeout=60)
    assert run(words(place, "status")) == 0
    out = capsys.readouterr().out
    assert f"{emulator}: fine" in out
    assert "type pci hot-pluggable" in out
    assert "a: serial1: isa-serial -> pci-serial" in out
    assert run([*words(place, "status"), "--json", "--lines", "0"]) == 0
    (state,) = json.loads(capsys.readouterr().out)
    assert (state["fine"], state["type"], state["hotplug"], state["last"]) == (
        True,
        "pci",
        True,
        [],
    )

    (place / "log").unlink()
    next(place.glob("lib/*/*/facts.json")).chmod(0o666)
    assert run(words(place, "status")) == 1
    assert "wrong: " in capsys.readouterr().out
    assert run(words(place, "install", "--again")) == 0
    assert run(words(place, "status")) == 0
    assert "type pci hot-pluggable" in capsys.readouterr().out

    assert run([*words(place, "remove"), "--dry-run"]) == 0
    assert "would remove the wrapper" in capsys.readouterr().out
    assert run(words(place, "remove", emulator)) == 0
    assert run(words(place, "remove")) == 0
    assert "no shim is installed" in capsys.readouterr().out
    assert list(place.iterdir()) == []


def test_in_a_directory_of_path(place: Path) -> None:
    (place / "bin").mkdir(mode=0o755)
    assert install(place, "--dir", str(place / "bin")) == 0
    assert (place / "bin" / "cat").read_bytes().startswith(b"#!/usr/bin/python3 -ISB\n")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--path", "{}/a", "--dir", "{}"], "two ways"),
        (["--path", "{}/a", "--binary", "{}/gone"], "there is no"),
        (["--path", "{}/a", "--binary", "nonsense"], "there is no nonsense"),
        (["--path", "{}/gone/a"], "gone"),
        (["--path", "{}/there"], "is there already"),
        (["--path", "{}/a", "--guest", "debian-12-amr64"], "did you mean debian-12-arm64"),
        (["--path", "{}/a", "--python", "/bin/cat"], "cat"),
        (["--path", "{}/a", "--python", "{}/gone"], "gone"),
        (["--path", "{}/a", "--root", "{}/gone"], "there is no directory"),
        (["--path", "{}/a", "--base", "{}/open/lib"], "can be changed by others"),
        (["--path", "{}/open/a"], "can be changed by others"),
        (["--again"], "--binary and --again exclude each other"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_what_is_refused(
    place: Path, capsys: pytest.CaptureFixture[str], more: list[str], said: str
) -> None:
    (place / "there").write_text("somebody's")
    (place / "open").mkdir()
    (place / "open").chmod(0o777)
    before = sorted(place.rglob("*"))
    assert install(place, *(word.format(place) for word in more)) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "hint" in err
    assert "defect" not in err
    assert sorted(place.rglob("*")) == before


def test_a_wrong_base_loses_nothing(place: Path) -> None:
    """--base is a user's word: what is not the shim's own stays, whatever it is called."""
    for name in ("bin/ls", "lib/x-12345678/y", "doc-0123abcd/notes", "z"):
        (place / "lib" / name).parent.mkdir(parents=True, exist_ok=True)
        (place / "lib" / name).write_text("")
    before = sorted(place.rglob("*"))
    assert run(words(place, "remove")) == 0
    assert install(place, "--path", str(place / "emulator")) == 0
    assert run(words(place, "remove")) == 0
    (place / "log").unlink(missing_ok=True)
    assert sorted(place.rglob("*")) == before


def test_remove_knows_only_its_own(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words(place, "remove", "/usr/bin/env")) == 2
    assert "there is no shim at /usr/bin/env" in capsys.readouterr().err
