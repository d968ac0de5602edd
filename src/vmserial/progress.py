"""Progress for people, on stderr: a live line on a terminal, plain lines otherwise.

What a program reads is on stdout and never mixed with this.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_PLAIN_EVERY = 5.0
"""Seconds between two plain lines of one step: a log shows life and does not fill up."""


class Reporter(Protocol):
    """Hears what is being done."""

    def step(self, text: str) -> None:
        """Begin a step; the one before it is done."""

    def advance(self, done: int, total: int, text: str = "") -> None:
        """Tell how far the step is: ``done`` of ``total`` of any unit, and at what."""

    def note(self, text: str) -> None:
        """Say something that stays on the screen."""

    def close(self) -> None:
        """End the last step; calling it again does nothing."""


class Silent:
    """Says nothing."""

    def step(self, text: str) -> None:
        """Do nothing."""

    def advance(self, done: int, total: int, text: str = "") -> None:
        """Do nothing."""

    def note(self, text: str) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class Plain:
    """One line a step, and one now and then while a step goes on."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._text = ""
        self._said = 0.0

    def step(self, text: str) -> None:
        """Print the step's name."""
        self._text = text
        self.note(text)

    def advance(self, done: int, total: int, text: str = "") -> None:
        """Print how far it is, if the last line is some seconds old."""
        if time.monotonic() - self._said < _PLAIN_EVERY:
            return
        percent = f"{100 * done // total} %" if total > 0 else str(done)
        self.note(" ".join(part for part in (f"{self._text}:", percent, text) if part))

    def note(self, text: str) -> None:
        """Print a line."""
        self._said = time.monotonic()
        print(text, file=self._stream, flush=True)

    def close(self) -> None:
        """Do nothing: every line was ended."""


class Live:
    """A line that moves while a step goes on; a finished step stays with its duration."""

    def __init__(self, stream: TextIO) -> None:
        # Late: rich costs 60 ms, and only a long job on a terminal comes here.
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

        self._progress: Progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[at]}", markup=False, style="dim"),
            console=Console(file=stream, highlight=False, markup=False, emoji=False),
            transient=True,
        )
        self._task: TaskID | None = None
        self._text = ""
        self._began = 0.0

    def step(self, text: str) -> None:
        """Show the step's name, a spinner and a bar."""
        self._finish()
        self._text = text
        self._began = time.monotonic()
        self._task = self._progress.add_task(text, total=None, at="")
        self._progress.start()

    def advance(self, done: int, total: int, text: str = "") -> None:
        """Move the bar."""
        if self._task is None:
            self.step(text)
        assert self._task is not None
        self._progress.update(self._task, completed=done, total=total or None, at=text)

    def note(self, text: str) -> None:
        """Print a line above the moving one."""
        self._progress.console.print(text, soft_wrap=True)

    def close(self) -> None:
        """Print the last step and give the terminal back."""
        self._finish()
        self._progress.stop()

    def _finish(self) -> None:
        if self._task is None:
            return
        self._progress.remove_task(self._task)
        self._task = None
        self.note(f"{self._text} ({time.monotonic() - self._began:.1f} s)")


def reporter(quiet: bool = False) -> Reporter:
    """Return a reporter for this process's stderr."""
    if quiet:
        return Silent()
    if sys.stderr.isatty():
        return Live(sys.stderr)
    return Plain(sys.stderr)
