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

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def commands(text: str) -> list[list[str]]:
    """Return the words of each line that calls vmserial, up to a pipe or a comment."""
    found = []
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
