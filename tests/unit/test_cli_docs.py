"""What the documents and the help say can be typed and followed."""

from __future__ import annotations

import importlib
import os
import re
import shlex
from pathlib import Path

import click
import pytest
from plans import remembered

from vmserial.cli import main
from vmserial.cli.main import main as group
from vmserial.guests.firmware import KNOWN

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def commands(text: str) -> list[list[str]]:
    """Return the words of each line that calls vmserial, up to a pipe or a comment."""
    found = []
    text = re.sub(r"\\\n\s*", "", text)
    for line in re.findall(r"^\s*(?:\$ )?(?:\.venv/bin/)?vmserial (.*)$", text, re.MULTILINE):
        words = shlex.split(re.sub(r" {3}.*", "", line), comments=True)
        found.append(words[: words.index("|")] if "|" in words else words)
    return found


def examples() -> list[list[str]]:
    """Return all examples: in code blocks of the documents, and in the helps."""
    found = []
    for path in DOCUMENTS:
        for block in re.findall(r"^```\w*\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE):
            found += commands(block)
    for verb in main.VERBS:
        command = importlib.import_module(f"vmserial.cli.{verb}").command
        subs = command.commands.values() if isinstance(command, click.Group) else ()
        for each in (command, *subs):
            found += commands(each.epilog or "")
    return found + commands(main.HELP)


def parse(words: list[str]) -> None:
    """Parse a command line, to its last verb, without running it.

    Raises:
        click.ClickException: it is not one.
    """
    command: click.Command = group
    # A redirection is the shell's.
    args = words[: words.index(">")] if ">" in words else words
    args = [word for word in args if not word.startswith("<")]
    context: click.Context | None = None
    while isinstance(command, click.Group):
        name, found, args = command.resolve_command(click.Context(command), args)
        assert found is not None
        command = found
        context = command.make_context(name, list(args), resilient_parsing=False) if not isinstance(
            command, click.Group
        ) else None  # fmt: skip
    assert context is not None


@pytest.mark.parametrize("words", examples(), ids=lambda words: " ".join(words)[:60])
def test_each_example_can_be_typed(words: list[str]) -> None:
    if words[-1] == "--help":
        return
    parse(words)


def test_a_wrong_example_would_be_seen() -> None:
    assert len(examples()) > 40
    with pytest.raises(click.ClickException):
        parse(["plan", "--prots", "3"])
    with pytest.raises(click.ClickException):
        parse(["paln", "142.conf"])
    with pytest.raises(click.ClickException):
        parse(["guest", "fetch", "--sweet", "trixie"])


STAGE = {
    "142.conf": (ROOT / "examples" / "142.conf").read_text(),
    "guest.xml": "<domain type='qemu'><name>guest</name><memory>524288</memory>"
    "<os><type arch='aarch64' machine='virt'>hvm</type></os><devices>"
    "<serial type='pty'/><serial type='pty'/></devices></domain>\n",
    "start-vm.sh": "#!/bin/sh\nexec qemu-system-aarch64 -M virt -serial pty -serial pty\n",
    "task.log": "kvm: -device isa-serial: 'isa-serial' is not a valid device model name\n",
    "lab.toml": 'arch = "aarch64"\nports = 6\n',
    "config": "CONFIG_SERIAL_8250_NR_UARTS=4\nCONFIG_SERIAL_8250_RUNTIME_UARTS=4\n",
}
"""The files that the documents' examples are about."""

TRIED = ("doctor", "fix", "plan", "showcmd", "verify", "convert", "explain")
ELSEWHERE = frozenset({
    "--all", "--root", "--boot", "--live-probe", "--connect", "shim", "guest", "guest1", "TEXT",
    "-", "x86_64",
})  # fmt: skip
"""Words of what needs another host: PVE's tree, libvirt, stdin, a second QEMU."""


def tried() -> list[list[str]]:
    """Return the examples of README, guide and API that can be tried on the files of the stage."""
    found = []
    for name in ("README.md", "docs/guide.md"):
        for block in re.findall(
            r"^```sh\n(.*?)^```", (ROOT / name).read_text(), re.DOTALL | re.MULTILINE
        ):
            found += [
                ["142.conf" if word == "142" else word for word in words]
                for words in commands(block)
                if words[0] in TRIED and not ELSEWHERE & {*words} and len(words) > 1
            ]
    return [words for n, words in enumerate(found) if words not in found[:n]]


@pytest.mark.parametrize("words", tried(), ids=lambda words: " ".join(words)[:70])
def test_each_example_goes_with_what_it_is_about(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Nothing is booted; all that is refused before that is refused here, too."""
    stage(tmp_path, monkeypatch)
    words = words[: words.index(">")] if ">" in words else words
    code = main.run(words)
    assert code in {0, 1}, capsys.readouterr().err


def stage(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand in a directory with the stage's files, and with verify stopped before it boots."""
    binary = remembered(directory)
    monkeypatch.setenv("PATH", str(binary.parent), prepend=":")
    monkeypatch.chdir(directory)
    for name, text in STAGE.items():
        (directory / name).write_text(text)
    for name in ("Image", "initrd.img"):
        (directory / name).write_bytes(b"")
    monkeypatch.setattr("vmserial.cli.verify.carry_out", lambda *_, **__: 0)
    monkeypatch.setattr("vmserial.verify.runner.find_environments", lambda *_: ())
    monkeypatch.setattr("vmserial.verify.standing.environments", lambda *_: ("one",))
    monkeypatch.setattr("vmserial.guests.firmware.find", lambda *_, **__: KNOWN[0])


def test_an_example_that_does_not_go_with_its_input_would_be_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(tried()) > 30
    stage(tmp_path, monkeypatch)
    assert main.run(["verify", "142.conf", "--type", "pci"]) == 2
    assert main.run(["fix", "guest.xml", "--ports", "3"]) == 2


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http:", "https:")):
            continue
        file, _, anchor = target.partition("#")
        where = path.parent / file if file else path
        assert where.exists(), target
        if anchor:
            heads = re.findall(r"^#+ (.*)$", where.read_text(), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
            assert anchor in slugs, target


CONF = """\
arch: aarch64
bios: ovmf
cores: 2
memory: 2048
machine: virt
ostype: l26
scsihw: virtio-scsi-pci
serial0: socket
serial1: socket
"""
SHOWN = "$ vmserial doctor /etc/pve/qemu-server/142.conf\n"


def test_the_guides_sample_is_what_doctor_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With VMSERIAL_UPDATE_GOLDEN=1 it is written anew."""
    monkeypatch.setenv("PATH", str(remembered(tmp_path).parent), prepend=":")
    conf = tmp_path / "etc/pve/qemu-server/142.conf"
    conf.parent.mkdir(parents=True)
    conf.write_text(CONF)
    assert main.run(["doctor", str(conf)]) == 1
    # What the owner must know stands behind an empty line; it is not of this sample.
    said = capsys.readouterr().out.partition("\n\n")[0].replace(str(tmp_path), "") + "\n"
    guide = ROOT / "docs" / "guide.md"
    text = guide.read_text()
    before, _, rest = text.partition(SHOWN)
    shown, fence, after = rest.partition("```\n")
    if os.environ.get("VMSERIAL_UPDATE_GOLDEN"):
        guide.write_text(before + SHOWN + said + fence + after)
        return
    assert shown == said, "VMSERIAL_UPDATE_GOLDEN=1 puts docs/guide.md right"
