"""One input of each kind in a directory, and how ``vmserial`` is run there."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from plans import binary, remembered

from vmserial.qemu import binary as qemu_binary

ROOT = Path(__file__).parents[2]
DOMAIN = (ROOT / "tests/data/libvirt/aarch64-untyped.xml").read_text()
CONF = "arch: aarch64\nname: kylin\nmemory: 2048\nserial0: socket\nserial1: socket\n"
TOML = "arch = 'aarch64'\nports = 3\nbackend = 'null'\naccel = 'tcg'\n"
COMMAND = "qemu-system-aarch64 -M virt -serial pty -serial pty\n"
INPUTS = {"guest.xml": DOMAIN, "142.conf": CONF, "vm.toml": TOML, "start.sh": COMMAND}

Run = tuple[int, str, str]


def put_into(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go to a directory with one input of each kind, where one QEMU 7.2 is known."""
    monkeypatch.setenv("PATH", str(remembered(directory).parent), prepend=":")
    monkeypatch.chdir(directory)
    for name, text in INPUTS.items():
        (directory / name).write_text(text)
    return directory


def vmserial(script: str, **environment: str) -> Run:
    """Run a line of shell in which ``vmserial`` is ours."""
    whole = f'vmserial() {{ "{sys.executable}" -m vmserial "$@"; }}\n{script}'
    done = subprocess.run(
        ["bash", "-c", whole], capture_output=True, text=True, timeout=60,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), **environment},
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def fake_qemu(path: Path, arch: str) -> Path:
    """Make a program that is a remembered QEMU 7.2 of an architecture."""
    path.write_text("#!/bin/sh\nexit 1\n")
    path.chmod(0o755)
    qemu_binary._Cache(str(path)).store(replace(binary(arch), binary=str(path)))
    return path
