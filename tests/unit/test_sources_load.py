"""Files: found, sniffed, refused with words."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path

import pytest

from vmserial import sources
from vmserial.errors import ConfigError, UsageError
from vmserial.sources import load
from vmserial.sources.pve import keys as pve_keys

DOCS = Path(__file__).parents[2] / "docs" / "formats.md"
PVE = b"arch: x86_64\nserial0: socket\n"
TOML = b'arch = "x86_64"\nports = 1\n'


def write(directory: Path, name: str, raw: bytes) -> str:
    path = directory / name
    path.write_bytes(raw)
    return str(path)


SNIFFED = [
    ("100.conf", PVE, "pve"),
    ("a.CONF", PVE, "pve"),
    ("a.toml", TOML, "toml"),
    ("a", PVE, "pve"),
    ("a", b"\n# text\n\n" + PVE, "pve"),
    ("a", b"#vmserial serial0: pty\n", "pve"),
    ("a", b"[PENDING]\nserial0: socket\n", "pve"),
    ("a", TOML, "toml"),
    ("a", b"# text\n\n" + TOML, "toml"),
    ("a.txt", b"  'arch' = 'x86_64'\n", "toml"),
    ("a", b"[cpu]\nmodel = 'x'\n[[x]]", "toml"),
]


@pytest.mark.parametrize(("name", "raw", "origin"), SNIFFED)
def test_the_kind_of_a_file(tmp_path: Path, name: str, raw: bytes, origin: str) -> None:
    path = write(tmp_path, name, raw)
    if origin == "toml" and raw.startswith(b"[cpu]"):
        # It is taken for TOML, and then it is wrong as TOML.
        with pytest.raises(ConfigError, match="there is no key 'x'"):
            load(path)
        return
    assert load(path).origin == origin


@pytest.mark.parametrize(
    ("name", "raw", "message"),
    [
        ("100.conf", PVE + b"x: \0\n", "NUL byte"),
        ("a", b"\x7fELF\0", "a program or a kernel (ELF)"),
        ("a.toml", TOML + b"\xff", "byte 0xff is not UTF-8"),
        ("a.xml", b"\n<domain/>", "does not say its architecture"),
        ("a", b"<network/>", "this is <network>"),
        ("a", b"hello\n", "text of no known kind"),
        ("a", b"", "nothing: it is empty"),
        ("100.conf", b" \n\n", "nothing: it is empty"),
        ("a.conf", b"x" * (sources.MAX_BYTES + 1), "larger than 4 MiB"),
    ],
)
def test_what_is_no_configuration(tmp_path: Path, name: str, raw: bytes, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        load(write(tmp_path, name, raw))
    assert message in error.value.message
    assert error.value.hint
    assert name in error.value.where


def test_bytes_that_are_not_utf8_in_a_description_do_no_harm(tmp_path: Path) -> None:
    made = load(write(tmp_path, "100.conf", b"#caf\xe9\n" + PVE))
    assert [port.index for port in made.ports] == [0]
    with pytest.raises(ConfigError, match="not UTF-8"):
        load(write(tmp_path, "100.conf", b"name: caf\xe9\n" + PVE))


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No such file") as missing:
        load(str(tmp_path / "100.conf"))
    assert missing.value.hint
    with pytest.raises(UsageError, match="directory"):
        load(str(tmp_path))
    with pytest.raises(UsageError, match="null"):
        load("a\0b")
    with pytest.raises(UsageError, match="No such file"):
        load("caf\udce9")
    (tmp_path / "loop.conf").symlink_to("loop.conf")
    with pytest.raises(UsageError, match="symbolic links"):
        load(str(tmp_path / "loop.conf"))


def test_a_file_that_fails_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: int) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    path = write(tmp_path, "100.conf", PVE)
    monkeypatch.setattr(os, "read", broken)
    with pytest.raises(UsageError, match="Input/output error"):
        load(path)


def test_an_endless_device_is_refused() -> None:
    with pytest.raises(ConfigError, match="larger than"):
        load("/dev/zero")


def test_a_pipe_is_read_and_a_silent_one_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()

    def write_and_close() -> None:
        os.write(writer, PVE)
        os.close(writer)

    thread = threading.Thread(target=write_and_close)
    thread.start()
    assert len(load(f"/dev/fd/{reader}").ports) == 1
    thread.join()
    os.close(reader)
    monkeypatch.setattr(sources, "WAIT_SECONDS", 0.05)
    reader, writer = os.pipe()
    with pytest.raises(UsageError, match="nothing came"):
        load(f"/dev/fd/{reader}")
    os.close(reader)
    os.close(writer)


def test_the_number_of_the_vm(tmp_path: Path) -> None:
    def path_of(name: str, **more: int) -> str:
        backend = load(write(tmp_path, name, PVE), **more).ports[0].chardev.backend  # type: ignore[arg-type]
        return str(getattr(backend, "path", ""))

    assert path_of("100.conf") == "/var/run/qemu-server/100.serial0"
    assert path_of("100.conf", vmid=7) == "/var/run/qemu-server/7.serial0"
    assert path_of("vm100.conf", vmid=7) == "/var/run/qemu-server/7.serial0"
    assert path_of("vm100.conf") == "/var/run/qemu-server/0.serial0"


def test_only_pve_has_snapshots(tmp_path: Path) -> None:
    path = write(tmp_path, "a.toml", TOML)
    with pytest.raises(UsageError, match="snapshots"):
        load(path, snapshot="x")
    with pytest.raises(UsageError, match="snapshots"):
        load(path, pending=True)


def test_the_docs_name_every_key_of_pve() -> None:
    text = DOCS.read_text(encoding="utf-8")
    names = pve_keys.TRANSLATED | pve_keys.MANAGEMENT | set(pve_keys.UNTRANSLATED)
    assert [name for name in sorted(names) if f"`{name}`" not in text] == []


DOMAIN = (
    b"\n<domain type='qemu'><name>x</name><os><type arch='aarch64' machine='virt'>hvm</type></os>"
    b"<devices><serial type='pty'/><console type='pty'/><serial type='null'/></devices></domain>"
)


@pytest.mark.parametrize("name", ["a.xml", "A.XML", "domain"])
def test_a_domain_is_known_by_name_or_content(tmp_path: Path, name: str) -> None:
    machine = load(write(tmp_path, name, DOMAIN))
    assert (machine.origin, machine.arch, machine.machine_type) == ("libvirt", "aarch64", "virt")
    assert [port.index for port in machine.ports] == [0, 1]
    with pytest.raises(UsageError, match="snapshots"):
        load(write(tmp_path, name, DOMAIN), snapshot="one")
