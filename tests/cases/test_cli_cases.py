"""Inputs that vmserial once answered wrongly, each test named after its case: the command line."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from cli_inputs import COMMAND, DOMAIN, INPUTS, TOML, fake_qemu, put_into, vmserial
from plans import binary

from vmserial import paths
from vmserial.cli.main import run
from vmserial.qemu import binary as qemu_binary
from vmserial.shim.places import Record


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a directory with one input of each kind, where one QEMU 7.2 is known."""
    return put_into(tmp_path, monkeypatch)


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
    # Only how the input is called differs.
    place = re.compile(
        rf"(?:stdin|other|/dev/fd/\d+|{re.escape(name)})(?=:)"
        r"|(?<=`vmserial fix )[^` ]+(?: --vmid 142)?(?: --apply)?(?=`)"
    )
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


# ------------------------------------------------------------------ B12: a command's surroundings

AROUND = (
    "A=1 sudo ip netns exec n qemu-system-aarch64 -M virt -serial pty -serial pty "
    '"$@" 2>log &\necho started\n'
)


def test_b12_pretty_keeps_what_stands_around_the_command(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    del here
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(AROUND.encode())))
    assert run(["fix", "--pretty", "--no-check", "-"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("A=1 sudo ip netns exec n qemu-system-aarch64 \\\n  -M virt \\\n")
    assert out.endswith(' \\\n  "$@" 2>log &\necho started\n')
    assert " \\\n  -device usb-serial," in out


def test_b12_pretty_is_the_same_command_to_a_shell(here: Path) -> None:
    script = 'f() { printf "%s|" "$@"; }; set -- "a b" c; A="f"; '
    (here / "run.sh").write_text(COMMAND.replace("pty\n", "pty -name '$x y' \"$@\"\n"))
    code, one, _ = vmserial("vmserial fix --no-check run.sh -o one; cat one")
    assert code == 0
    code, many, _ = vmserial("vmserial fix --no-check --pretty run.sh -o many; cat many")
    assert code == 0
    assert many.count("\n") > 5

    def words(text: str) -> str:
        done = subprocess.run(
            ["bash", "-c", script + text.replace("qemu-system-aarch64", "$A", 1)],
            capture_output=True, text=True, timeout=30,
        )  # fmt: skip
        return done.stdout

    assert words(one) == words(many)
    assert "a b|c|" in words(one)


def test_b12_a_wrapper_after_dashes_is_kept(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    del here
    for more in ([], ["--pretty"]):
        assert run(["fix", *more, "--no-check", "--", "sudo", *COMMAND.split()]) == 0
        assert capsys.readouterr().out.startswith("sudo qemu-system-aarch64 ")


# ------------------------------------------------------------------ D11: --append without --kernel


def test_d11_append_says_what_the_guests_own_command_line_has(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    conf = "arch: x86_64\n" + "".join(f"serial{n}: socket\n" for n in range(4))
    (here / "150.conf").write_text("#vmserial serial4: socket,type=pci\n" + conf)
    program = here / "bin" / "qemu-system-x86_64"
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    store_x86(program)
    words = ["plan", "150.conf", "--ports", "6", "--type", "serial5=pci"]
    words += ["--guest", "debian-12-amd64"]
    assert run(words) == 1
    printed = capsys.readouterr()
    assert "8250.nr_uarts=32" in printed.out
    assert run([*words, "--append", "8250.nr_uarts=32"]) == 0
    assert "--append without a kernel is taken for" in capsys.readouterr().err


def store_x86(path: Path) -> None:
    """Remember a QEMU 7.2 of x86_64 for a program that answers nothing."""
    known = replace(binary("x86_64"), binary=str(path))
    qemu_binary._Cache(str(path)).store(known)


def test_d11_append_is_laid_over_the_kernel_that_the_input_has(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "vm.toml").write_text(TOML + "[boot]\nkernel = '/k'\nappend = 'quiet'\n")
    assert run(["showcmd", "vm.toml", "--append", "console=ttyAMA0"]) == 0
    assert "-append console=ttyAMA0" in capsys.readouterr().out


# ------------------------------------------------------------------ C: the host's binaries


def test_c11_a_bad_binary_is_a_row_and_hides_no_other(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(here / "bin"))
    fake_qemu(here / "bin" / "qemu-system-x86_64", "x86_64")
    bad = here / "bin" / "qemu-system-arm"
    bad.write_text("#!/bin/sh\necho 'no such luck' >&2\nexit 1\n")
    bad.chmod(0o755)
    assert run(["probe"]) == 0
    out = capsys.readouterr().out
    assert f"{here}/bin/qemu-system-aarch64: QEMU 7.2.0" in out
    assert f"{here}/bin/qemu-system-x86_64: QEMU 7.2.0" in out
    assert f"{bad}: cannot be asked: " in out
    assert run(["probe", "--json"]) == 0
    rows = {Path(row["binary"]).name: row for row in json.loads(capsys.readouterr().out)}
    assert "no such luck" in rows["qemu-system-arm"]["problem"]
    assert rows["qemu-system-x86_64"]["version"] == "7.2.0"
    assert run(["probe", str(bad)]) == 2


def shim_at(here: Path) -> tuple[Path, Path]:
    """Put what our shim looks like in the place of the QEMU; return it and the real one."""
    shim = here / "bin" / "qemu-system-aarch64"
    real = fake_qemu(here / "real-qemu", "aarch64")
    home = here / "lib" / "1"
    home.mkdir(parents=True)
    record = Record("1", "path", str(shim), str(real), str(home), "/usr/bin/python3", "/log")
    (home / "shim.json").write_text(record.to_json())
    shim.write_text(
        f"#!/bin/sh\n# vmserial shim 1\necho >>{here}/log; exit 3\n"
        f"main({os.fsencode(real)!r}, {os.fsencode(home)!r}, b'/log')\n"
    )
    return shim, real


def test_c12_behind_our_shim_the_real_binary_is_asked(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shim, real = shim_at(here)
    assert run(["probe", "--arch", "aarch64"]) == 0
    assert capsys.readouterr().out.startswith(f"{real}: QEMU 7.2.0")
    assert run(["doctor", "start.sh"]) == 1
    assert f"a shim of vmserial's stands at {shim}" in capsys.readouterr().out
    assert run(["doctor", "142.conf"]) == 1
    assert f"a shim of vmserial's stands at {shim}" in capsys.readouterr().out
    assert not (here / "log").exists()


@pytest.fixture(autouse=True)
def no_shims(monkeypatch: pytest.MonkeyPatch) -> None:
    """One test's shim is not the next one's."""
    monkeypatch.setattr(qemu_binary, "SHIMS", {})


# ------------------------------------------------------------------ F: smaller ones


@pytest.mark.parametrize("name", ["windows", "Win11", "w2k", "freebsd"])
def test_f_a_guest_that_is_no_linux_says_what_is_not_known(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["plan", "--arch", "x86_64", "--guest", name]) == 2
    said = capsys.readouterr().err
    assert "no such limit is known of Windows" in said
    assert "debian-11" not in said


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("tcp:127.0.0.1:4321", "tcp=127.0.0.1:4321"),
        ("unix:/tmp/x", "socket=/tmp/x"),
        ("telnet:localhost:44", "telnet=localhost:44"),
        ("udp:1.2.3.4:5", "udp=1.2.3.4:5"),
    ],
)
def test_f_qemus_own_form_of_a_backend_says_ours(
    text: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["plan", "--arch", "aarch64", "--backend", text]) == 2
    assert f"did you mean {hint}?" in capsys.readouterr().err


@pytest.mark.parametrize("home", ["", "/proc"])
def test_f_without_a_home_planning_works_and_says_it_once(
    here: Path, home: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spare = Path(f"/tmp/vmserial-{os.getuid()}-cache/qemu")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", home)
    known = paths.memory_dir("qemu")
    assert known in {spare, Path("~/.cache/vmserial/qemu").expanduser()}
    if home:
        assert known == spare
        store = qemu_binary._Cache(str(here / "bin/qemu-system-aarch64"))
        store.store(replace(binary("aarch64"), binary=str(here / "bin/qemu-system-aarch64")))
        assert run(["plan", "142.conf"]) == 0
        said = capsys.readouterr().err
        assert said.count("is remembered in /tmp/vmserial-") == 1
        assert store._path is not None
        store._path.unlink()
        monkeypatch.setattr(paths, "_own", lambda _: (_ for _ in ()).throw(OSError()))
        assert paths.memory_dir("qemu") is None
        assert "each call asks QEMU anew" in paths.TROUBLE[-1]
    paths.TROUBLE.clear()


def test_f_toml_says_what_it_cannot_hold_in_words(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (here / "g.xml").write_text(DOMAIN.replace(
        "</devices>",
        "<channel type='unix'><source mode='bind'/>"
        "<target type='virtio' name='org.qemu.guest_agent.0'/></channel></devices>",
    ))  # fmt: skip
    run(["convert", "g.xml", "--to", "toml"])
    printed = capsys.readouterr()
    assert not re.search(r"\w+\(\w+=", printed.err + printed.out)


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("vmserial plan --arch a", "aarch64"),
        ("vmserial verify --suite t", "trixie"),
        ("vmserial doctor --guest el9", "el9-x86_64"),
        ("vmserial shim install --guest debian-13", "debian-13-arm64"),
    ],
)
def test_f_completion_offers_architectures_suites_and_guests(words: str, offered: str) -> None:
    code, out, _ = vmserial(
        "vmserial", COMP_WORDS=words, COMP_CWORD=str(len(words.split()) - 1),
        _VMSERIAL_COMPLETE="bash_complete",
    )  # fmt: skip
    assert code == 0
    assert f"plain,{offered}" in out.split()


@pytest.mark.parametrize(
    ("emulator", "says", "do"),
    [
        ("qemu-system-nope", "QEMU has no target 'nope'", "check the emulator's name"),
        ("/opt/qemu-system-aarhc64", "QEMU has no target 'aarhc64'",
         "did you mean qemu-system-aarch64?"),
        ("qemu-system-lm32", "there is no qemu-system-lm32 in $PATH", "install it"),
    ],
)  # fmt: skip
def test_an_emulator_that_is_not_there_is_said_once_and_what_to_do(
    emulator: str, says: str, do: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["doctor", "--", emulator, "-M", "virt", "-serial", "pty"]) == 2
    err = capsys.readouterr().err
    assert says in err
    assert do in err
    assert err.count("there is no") == 1
    assert "of this machine is asked" not in err
