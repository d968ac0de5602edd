"""The inputs of the cases, in ``tests/data/cases``, and what is right of each."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import findings
from vmserial.model.host import HostFacts
from vmserial.qemu import binary as qemu_binary
from vmserial.sources.command import CommandLine, CommandView
from vmserial.sources.libvirt import Document as DomainDocument
from vmserial.sources.libvirt import Domain

CASES = findings.DATA / "cases"
INPUTS = sorted(path for path in CASES.iterdir() if path.suffix in {".args", ".conf", ".xml"})
FOUND: dict[str, list[str]] = tomllib.loads((CASES / "found.toml").read_text())
"""What doctor has to find, by the name of the input."""


def text(name: str) -> str:
    """Return an input; a command in one line."""
    said = (CASES / name).read_text()
    return said.replace(" \\\n  ", " ").rstrip("\n") if name.endswith(".args") else said


def domain(name: str) -> DomainDocument:
    """Return a domain."""
    return DomainDocument.parse((CASES / f"{name}.xml").read_bytes(), f"{name}.xml")


def arch(path: Path) -> str:
    """Return the architecture of an input, as QEMU's binaries are called."""
    if path.suffix == ".xml":
        return Domain.of(DomainDocument.parse(path.read_bytes())).arch
    if path.suffix == ".conf":
        return "aarch64" if "arch: aarch64" in path.read_text() else "x86_64"
    return CommandView.of(CommandLine.parse(path.read_text())).arch


def host(path: Path) -> HostFacts:
    """Return what the host has at an input's places; nothing was looked at in most cases."""
    seen = CASES / f"{path.stem.partition('-')[0]}.host.toml"
    return findings.host_facts(seen) if seen.exists() else HostFacts()


def emulator(directory: Path, arch: str) -> Path:
    """Make a program that is remembered as a QEMU 7.2; it answers nothing."""
    program = directory / f"qemu-system-{arch}"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    # Of a recorded binary only some machine types are known; a binary has all of its own.
    known = replace(findings.capabilities(arch), binary=str(program), machines={})
    qemu_binary._Cache(str(program)).store(known)
    return program
