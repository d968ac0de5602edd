"""Inputs that vmserial once answered wrongly, each test named after its case: the command line."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from plans import remembered

from vmserial.cli.main import run

ROOT = Path(__file__).parents[2]
DOMAIN = (ROOT / "tests/data/libvirt/aarch64-untyped.xml").read_text()
CONF = "arch: aarch64\nname: kylin\nmemory: 2048\nserial0: socket\nserial1: socket\n"
TOML = "arch = 'aarch64'\nports = 3\nbackend = 'null'\naccel = 'tcg'\n"
COMMAND = "qemu-system-aarch64 -M virt -serial pty -serial pty\n"
INPUTS = {"guest.xml": DOMAIN, "142.conf": CONF, "vm.toml": TOML, "start.sh": COMMAND}

Run = tuple[int, str, str]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a directory with one input of each kind, where one QEMU 7.2 is known."""
    monkeypatch.setenv("PATH", str(remembered(tmp_path).parent), prepend=":")
    monkeypatch.chdir(tmp_path)
    for name, text in INPUTS.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def vmserial(script: str, **environment: str) -> Run:
    """Run a line of shell in which ``vmserial`` is ours."""
    whole = f'vmserial() {{ "{sys.executable}" -m vmserial "$@"; }}\n{script}'
    done = subprocess.run(
        ["bash", "-c", whole], capture_output=True, text=True, timeout=60,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), **environment},
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


# ------------------------------------------------------------------ A: what an input is

WAYS = (
    "vmserial {verb} - {more} <{name}",
    "vmserial {verb} <(cat {name}) {more}",
    "cat {name} | vmserial {verb} /dev/stdin {more}",
    "cat {name} | vmserial {verb} {more}",
    "vmserial {verb} {more} <{name}",
    "cp {name} other; vmserial {verb} other {more}",
)


@pytest.mark.parametrize(
    ("verb", "way"), [*(("doctor", way) for way in WAYS), *(("showcmd", way) for way in WAYS[:2])]
)
@pytest.mark.parametrize("name", INPUTS)
def test_a13_the_same_bytes_give_the_same_answer_whichever_way_they_come(
    here: Path, name: str, verb: str, way: str
) -> None:
    del here
    more = "--vmid 142" if name == "142.conf" else ""
    code, out, _ = vmserial(f"vmserial {verb} {name} {more}")
    other, text, err = vmserial(way.format(verb=verb, name=name, more=more))
    place = re.compile(rf"(?:stdin|other|/dev/fd/\d+|{re.escape(name)})(?=:)")
    assert (other, place.sub("FILE", text)) == (code, place.sub("FILE", out)), err
    assert out or code


@pytest.mark.parametrize("verb", ["doctor", "plan", "showcmd", "fix"])
def test_a13_all_verbs_take_the_same_inputs(here: Path, verb: str) -> None:
    host = here / "host/etc/pve/qemu-server"
    host.mkdir(parents=True)
    shutil.copy(here / "142.conf", host)
    for words in (["142", "--root", "host"], ["142.conf"], ["guest.xml"], ["start.sh"],
                  ["--", *COMMAND.split()], [COMMAND.strip()]):  # fmt: skip
        more = ["--no-check"] if verb == "fix" and ("start.sh" in words or "--" in words) else []
        more = ["--no-check"] if words == [COMMAND.strip()] and verb == "fix" else more
        assert run([verb, *more, *words]) in {0, 1}, words


FOREIGN = {
    "compose.yml": (b'version: "3"\nservices:\n  web:\n    image: x\n', "a compose file (YAML)"),
    "vmi.yaml": (b"apiVersion: kubevirt.io/v1\nkind: VirtualMachine\nmetadata:\n  name: x\n",
                 "a KubeVirt manifest"),
    "lima.yaml": (b'arch: "x86_64"\nimages:\n- location: a\n  arch: b\nmemory: "4GiB"\n', "YAML"),
    "user-data": (b"#cloud-config\nhostname: x\nusers:\n  - name: y\n", "cloud-init"),
    "100.conf": (b"", "nothing: it is empty"),
    "101.conf": (b" \n\t\n", "nothing: it is empty"),
    "102.conf": (b"# a note\n", "comments and nothing else"),
    "a.json": (b'{"name": "x", "serial0": "socket"}\n', "JSON"),
    "vmlinuz": (bytes(0x202) + b"HdrS" + bytes(600), "a Linux kernel (x86 bzImage)"),
    "Image": (b"MZ" + bytes(0x36) + b"ARMd" + bytes(600), "a Linux kernel (arm64 Image)"),
    "vmlinux": (b"\x7fELF\x02\x01" + bytes(600), "ELF"),
    "disk.qcow2": (b"QFI\xfb\0\0\0\3" + bytes(600), "a disk image (qcow2)"),
    "disk.raw": (bytes(510) + b"\x55\xaa" + bytes(5 << 20), "a disk image (a boot sector)"),
    "cd.iso": (bytes(0x8001) + b"CD001" + bytes(5 << 20), "a CD image (ISO 9660)"),
    "q.cfg": (b'[device "s0"]\n  driver = "pci-serial"\n', "QEMU's own (for -readconfig)"),
    "x.service": (b"[Unit]\nDescription=x\n", "systemd"),
    "loop.sh": (b"#!/bin/sh\necho hello\n", "a script in which no QEMU emulator is started"),
    "utf16.xml": ("<domain/>".encode("utf-16"), "UTF-16"),
}  # fmt: skip


@pytest.mark.parametrize("verb", ["doctor", "fix", "plan", "showcmd"])
@pytest.mark.parametrize("name", FOREIGN)
def test_a14_what_is_none_of_ours_is_refused_and_says_what_it_looks_like(
    tmp_path: Path, name: str, verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    raw, looks = FOREIGN[name]
    (tmp_path / name).write_bytes(raw)
    assert run([verb, str(tmp_path / name)]) == 2
    said = capsys.readouterr().err
    assert looks in said
    assert f"where: {tmp_path / name}" in said
    assert "hint: " in said


# ------------------------------------------------------------------ F: what people type


def test_f_a_quoted_command_is_read(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    del here
    assert run(["doctor", COMMAND.strip()]) == 1
    assert "serial1 (the argument:1)  [onboard-uart-limit]" in capsys.readouterr().out


def test_f_a_command_without_dashes_says_where_they_go(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["doctor", "qemu-system-aarch64", "-M", "virt"]) == 2
    assert "vmserial doctor -- qemu-system-aarch64 …" in capsys.readouterr().err


def virsh(directory: Path, script: str) -> None:
    program = directory / "bin" / "virsh"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_f_a_domains_name_is_asked_of_virsh(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    virsh(here, 'echo "$@" >words; cat guest.xml')
    assert run(["doctor", "guest1", "--connect", "qemu:///session"]) == 1
    assert "(domain guest1:" in capsys.readouterr().out
    assert (here / "words").read_text() == "-c qemu:///session dumpxml -- guest1\n"
    assert run(["fix", "guest1"]) == 0
    assert "<target type='usb-serial'/>" in capsys.readouterr().out
    assert run(["fix", "guest1", "--apply"]) == 2
    virsh(here, "echo \"error: failed to get domain 'guest1'\" >&2; exit 1")
    assert run(["doctor", "guest1"]) == 2
    said = capsys.readouterr().err
    assert "virsh does not give a domain of that name: failed to get domain 'guest1'" in said
    assert "virsh list --all" in said


def test_f_without_virsh_a_domains_name_says_the_pipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run(["doctor", "guest1"]) == 2
    assert "virsh dumpxml guest1 | vmserial doctor -" in capsys.readouterr().err


def test_f_options_that_describe_a_vm_leave_stdin_alone(here: Path) -> None:
    """As in ``while read line; do vmserial plan --arch …; done``."""
    del here
    code, out, _ = vmserial("echo rest | { vmserial plan --arch aarch64 >/dev/null; cat; }")
    assert (code, out) == (0, "rest\n")


def test_f_a_variable_in_the_emulators_name_must_be_known(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "start.sh").write_text("#!/bin/sh\nqemu-system-$ARCH -M virt -serial pty -serial pty\n")
    assert run(["doctor", "start.sh"]) == 2
    assert "qemu-system-$ARCH; what it stands for must be known" in capsys.readouterr().err
    assert run(["doctor", "start.sh", "--arch", "aarch64"]) == 1
    assert "[onboard-uart-limit]" in capsys.readouterr().out


def test_stdin_that_is_no_text_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    big = b"QFI\xfb" + bytes(5 << 20)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(big)))
    assert run(["doctor", "-"]) == 2
    assert "a disk image (qcow2)" in capsys.readouterr().err
