"""D10: no option is accepted and ignored: each is read somewhere, or refused by name."""

from __future__ import annotations

import importlib
from pathlib import Path

import click
import pytest
from plans import remembered

from vmserial.cli import heeded, main
from vmserial.cli.subject import Input
from vmserial.cli.vm_options import VmOptions
from vmserial.errors import UsageError

SOURCE = Path(__file__).parents[2] / "src/vmserial"

GATHER, OVERRIDES, SUBJECT = "cli/gather.py", "sources/overrides.py", "cli/subject.py"
VM = {
    "input": (SUBJECT, "asked.input"), "root": (SUBJECT, "asked.root"),
    "connect": (SUBJECT, "asked.connect"), "archs": ("cli/options.py", 'mine["archs"]'),
    **{name: (OVERRIDES, f"o.{name}") for name in (
        "name", "ports", "kind", "console_kind", "backend", "socket_dir", "hotplug",
        "machine_type", "accel", "memory_mib", "vcpus", "cpu",
    )},
    **{name: (GATHER, f"asked.{name}") for name in ("qemu", "vmid", "snapshot", "pending")},
}  # fmt: skip
GUEST = {
    "guest": (GATHER, "asked.guest"), "append": (GATHER, "asked.append"),
    "kernel": (OVERRIDES, "o.kernel"), "initrd": (OVERRIDES, "o.initrd"),
}  # fmt: skip


def own(file: str, *names: str) -> dict[str, tuple[str, str]]:
    return {name: (f"cli/{file}.py", name) for name in names}


READ = {
    "doctor": VM | GUEST | own("doctor", "every", "junit", "as_json")
    | own("subject_command", "live_probe", "boot"),
    "fix": VM | GUEST | own("fix", "every") | own("repaired", "diff", "apply", "output")
    | own("subject_command", "pretty", "logs", "as_json") | own("subject_pve", "way")
    | own("never_worse", "no_check"),
    "undo": own("undo", "input", "number", "do", "force", "root", "base", "as_json"),
    "pve list": own("pve", "root", "arch", "as_json"),
    "convert": VM | GUEST | own("convert", "target", "output", "force", "as_json"),
    "showcmd": VM | GUEST | own("showcmd", "pretty", "as_json"),
    "plan": VM | GUEST | own("plan", "as_json"),
    "run": VM | GUEST,
    "verify": VM | own("verify", "cases", "out", "config", "paused", "fixed", "quiet", "as_json")
    | own("verify_stage", "stage", "firmware")
    | own("verify_request", "sizes", "cycles", "ceilings", "timeout", "kernel",
           "cloud_init")
    | {name: ("verify/request.py", name)
       for name in ("seed", "suites", "initrd", "append", "endpoint", "mutants", "mirror")}
    | {name: ("verify/runner.py", f"request.{name}") for name in ("image", "login", "jobs")}
    | {"take_ports": ("verify/session.py", "request.take_ports")},
    "probe": own("probe", "binary", "arch", "refresh", "as_json"),
    "explain": own("explain", "words", "as_json"),
    "report": own("report", "runs", "against", "out", "as_json"),
    "shim install": own(
        "shim", "binary", "path", "directory", "kind", "hotplug", "logs", "guest", "ask",
        "python", "log", "again", "dry_run", "root", "base",
    ),
    "shim status": own("shim", "lines", "root", "base", "as_json"),
    "shim remove": own("shim", "targets", "dry_run", "root", "base"),
    "guest list": own("guest", "as_json"),
    "guest fetch": own("guest", "archs", "suites", "flavours", "mirror", "quiet", "as_json"),
    "completion": own("completion", "shell"),
}  # fmt: skip
"""Each verb's parameters, and where each is read: a file, and the words that do it."""


def commands() -> dict[str, click.Command]:
    found: dict[str, click.Command] = {}
    for verb in main.VERBS:
        command = importlib.import_module(f"vmserial.cli.{verb}").command
        if isinstance(command, click.Group):
            found |= {f"{verb} {name}": each for name, each in command.commands.items()}
        else:
            found[verb] = command
    return found


@pytest.mark.parametrize("verb", commands())
def test_each_option_is_read_where_the_table_says(verb: str) -> None:
    names = {str(p.name) for p in commands()[verb].params}
    assert names == set(READ.get(verb, {}))
    for file, words in READ[verb].values():
        assert words in (SOURCE / file).read_text(), (file, words)


INPUTS = {
    "command": Input("command", words=("qemu-system-aarch64", "-M", "virt")),
    "domain": Input("domain", "guest.xml", b"<domain/>"),
    "pve": Input("pve", "142.conf", b"serial0: socket\n"),
    "toml": Input("machine", "vm.toml", b"ports = 1\n"),
    "options": Input("machine"),
}
VALUES = {
    "arch": "aarch64", "name": "x", "ports": 2, "machine_type": "virt", "kinds": ("usb",),
    "port_kinds": ((1, "usb"),), "console_kind": "usb", "backend": "pty",
    "port_backends": ((1, "pty"),), "socket_dir": "/x", "hotplug": True, "guest": "x",
    "qemu": ("/x",), "accel": "tcg", "memory_mib": 512, "vcpus": 1, "cpu": "max",
    "kernel": "/k", "initrd": "/i", "append": "x", "vmid": 7, "snapshot": "s", "pending": True,
}  # fmt: skip
REFUSED = {
    ("doctor", "command"): "name ports machine_type kinds port_kinds console_kind backend "
    "port_backends socket_dir accel memory_mib vcpus cpu kernel initrd vmid snapshot pending",
    ("fix", "command"): "name ports machine_type port_kinds console_kind backend port_backends "
    "socket_dir accel memory_mib vcpus cpu kernel initrd vmid snapshot pending",
    ("doctor", "domain"): "arch name ports machine_type kinds port_kinds console_kind backend "
    "port_backends socket_dir accel memory_mib vcpus cpu kernel initrd vmid snapshot pending",
    ("fix", "domain"): "arch name ports machine_type port_kinds console_kind backend "
    "port_backends socket_dir accel memory_mib vcpus cpu kernel initrd vmid snapshot pending",
    ("fix", "pve"): "name machine_type accel memory_mib vcpus cpu kernel initrd",
    **{(verb, kind): "" for verb in ("doctor", "plan", "showcmd", "run") for kind in ("pve",)},
    **{(verb, kind): "vmid snapshot pending"
       for verb in ("plan", "showcmd", "run") for kind in ("command", "domain")},
    **{(verb, kind): "vmid snapshot pending"
       for verb in ("doctor", "plan", "showcmd", "run") for kind in ("toml", "options")},
}  # fmt: skip
"""Fields that a verb refuses for a kind of input, by name; it heeds all others."""


def test_the_fields_are_all_there() -> None:
    assert set(VALUES) == set(heeded.OPTIONS)
    assert set(heeded.OPTIONS) == {*VmOptions.__dataclass_fields__} - {
        "input", "command", "given", "root", "connect", "kind", "archs",
    }  # fmt: skip


@pytest.mark.parametrize(("verb", "kind"), REFUSED)
def test_what_has_no_part_is_refused_by_name(verb: heeded.Verb, kind: str) -> None:
    refused = set()
    for name, value in VALUES.items():
        asked = VmOptions(given=INPUTS[kind], **{name: value})  # type: ignore[arg-type]
        try:
            heeded.check(asked, verb)
        except UsageError as error:
            if heeded.OPTIONS[name] in error.message and error.hint:
                refused.add(name)
    assert refused == set(REFUSED[verb, kind].split())


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["fix", "guest.xml", "--backend", "pty"], "--backend"),
        (["fix", "guest.xml", "--ports", "3"], "--ports"),
        (["fix", "guest.xml", "--pretty"], "--pretty"),
        (["fix", "guest.xml", "--way", "shim"], "--way"),
        (["fix", "start.sh", "--json", "--diff"], "--diff"),
        (["fix", "start.sh", "--json", "--pretty"], "--pretty"),
        (["doctor", "start.sh", "--root", "/x"], "--root"),
        (["plan", "guest.xml", "--connect", "qemu:///system"], "--connect"),
        (["doctor", "start.sh", "--arch", "x86_64"], "--arch"),
        (["convert", "guest.xml", "--to", "toml", "--qemu", "/x"], "--qemu"),
        (["convert", "guest.xml", "--to", "toml", "--force"], "--force"),
        (["convert", "guest.xml", "--to", "pve", "--append", "x"], "--append"),
        (["plan", "start.sh", "--socket-dir", "/x"], "--socket-dir"),
        (["shim", "install", "--again", "--type", "usb"], "--type"),
        (["shim", "install", "--again", "--guest", "x"], "--guest"),
    ],
)
def test_d10_what_was_ignored_is_refused(
    words: list[str], option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("PATH", str(remembered(tmp_path).parent), prepend=":")
    monkeypatch.chdir(tmp_path)
    domain = SOURCE.parents[1] / "tests/data/libvirt/aarch64-untyped.xml"
    Path("guest.xml").write_bytes(domain.read_bytes())
    Path("start.sh").write_text("qemu-system-aarch64 -M virt -serial pty -serial pty\n")
    assert main.run(words) == 2
    assert option in capsys.readouterr().err


def test_d10_json_does_not_keep_fix_from_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(remembered(tmp_path).parent), prepend=":")
    script = tmp_path / "start.sh"
    script.write_text("qemu-system-aarch64 -M virt -serial pty -serial pty\n")
    assert main.run(["fix", "--no-check", "--json", "--apply", str(script)]) == 0
    assert f"written: {script}" in capsys.readouterr().out
    assert "usb-serial" in script.read_text()
