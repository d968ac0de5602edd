"""Each finding on the real QEMU: it fails as the finding says, and mended it starts.

QEMU runs paused: no guest is needed to see whether it takes a command line.  What
is dead only in the guest is proven on a booted one in test_findings_boot.py.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import findings
import pytest

from vmserial.formats.argv import CommandLine
from vmserial.model import Severity

RUNS_SECONDS = 60.0
"""Within this QEMU has answered its monitor or ended; it takes a tenth of a second."""


def started(command: CommandLine, directory: Path) -> tuple[bool, str]:
    """Start a command line paused, end it through its monitor; did it run, and its words.

    Its sockets are made in ``directory``.
    """
    argv = [word.replace("/run/vm", str(directory)) for word in command.argv()]
    if not any("stdio" in word for word in argv):
        argv += ["-monitor", "stdio"]
    ended = subprocess.run(
        [*argv, "-S"], input="quit\n", capture_output=True, text=True, timeout=RUNS_SECONDS,
        check=False,
    )  # fmt: skip
    return ended.returncode == 0, ended.stderr


FAILING = [
    id for id in findings.ids()
    if any(f.id == id and f.severity is Severity.FAILS for f in findings.judged(id).flaws)
    # Refused while the VM runs, or kept waiting: not at the start.
    and id not in {"not-hot-pluggable", "chardev-waits", "stdio-twice"}
]  # fmt: skip


@pytest.mark.parametrize("id", FAILING)
def test_qemu_fails_with_the_words_of_the_finding(id: str, tmp_path: Path) -> None:
    runs, words = started(findings.command(id), tmp_path)
    assert not runs
    said = [
        f.happens for f in findings.judged(id).flaws if f.severity is Severity.FAILS
    ]  # fmt: skip
    # QEMU ends at the first of them.
    meant = [_plain(text.split(": ", 1)[1].split("; ")[0]) for text in said]
    assert any(text in _plain(words) for text in meant), (words, meant)


@pytest.mark.parametrize("id", [i for i in findings.ids() if i != "stdio-twice"])
def test_mended_it_starts(id: str, tmp_path: Path) -> None:
    command = findings.judged(id).command
    if id == "socket-path-too-long":
        (tmp_path / "directory").mkdir()
        text = re.sub(r"/run/(?:long-name-of-a-directory/)+", f"{tmp_path}/", command.text())
        command = CommandLine.parse(text)
    runs, words = started(command, tmp_path)
    assert runs, words


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", text.replace("'", "")).strip().rstrip(".")
