"""Short questions to a QEMU binary: one process, all questions at once, a bound on everything.

The questions go in over QMP on standard input and ``quit`` is the last of them,
so the process ends by itself.  Some binaries abort on some questions (a device
whose module is not installed): the culprit is left out and the rest asked again.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vmserial.errors import BinaryError
from vmserial.qemu.child import start_process

OUTPUT_MAX = 16 * 1024 * 1024
"""Bytes after which a program is taken for something else than QEMU (QEMU: 0.2 MB)."""

_FATAL_MAX = 8


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a bounded run ended.

    Attributes:
        output, errors: what it wrote.
        returncode: its exit status, negative for a signal.
        cut: why it was killed (``time`` or ``output``); empty if it ended by itself.
        seconds: how long it took.
    """

    output: bytes
    errors: bytes
    returncode: int
    cut: str
    seconds: float

    @property
    def words(self) -> str:
        """What it wrote to stderr, else to stdout: one paragraph, at most 2000 characters."""
        raw = self.errors.strip() or self.output.strip()
        return raw[:2000].decode(errors="backslashreplace")


def run_bounded(argv: Sequence[str], questions: bytes = b"", *, bound: float) -> Outcome:
    """Run a program with ``questions`` as its input, for at most ``bound`` seconds.

    Raises:
        BinaryError: it cannot be started.
    """
    import subprocess

    started = time.monotonic()
    process = start_process(argv, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    texts = {process.stdout.fileno(): bytearray(), process.stderr.fileno(): bytearray()}
    output, errors = texts.values()
    cut = ""
    os.set_blocking(process.stdin.fileno(), False)
    try:
        with selectors.DefaultSelector() as selector:
            for fd in texts:
                selector.register(fd, selectors.EVENT_READ)
            if questions:
                selector.register(process.stdin, selectors.EVENT_WRITE)
            while any(fd in selector.get_map() for fd in texts) and not cut:
                left = started + bound - time.monotonic()
                ready = selector.select(left) if left > 0 else []
                if not ready:
                    cut = "time"
                for key, _ in ready:
                    if key.fd not in texts:
                        # What QEMU no longer wants to read it will not answer either.
                        sent = len(questions)
                        with contextlib.suppress(BrokenPipeError):
                            sent = os.write(key.fd, questions[:65536])
                        questions = questions[sent:]
                        if not questions:
                            selector.unregister(process.stdin)
                    elif data := os.read(key.fd, 65536):
                        texts[key.fd] += data
                    else:
                        selector.unregister(key.fd)
                if len(output) + len(errors) > OUTPUT_MAX:
                    cut = "output"
        if not cut:
            try:
                process.wait(max(0.1, started + bound - time.monotonic()))
            except subprocess.TimeoutExpired:
                cut = "time"
    finally:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            # One stuck in the kernel is left to be reaped later; we do not wait for it.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
        for stream in (process.stdin, process.stdout, process.stderr):
            with contextlib.suppress(OSError):
                stream.close()
    return Outcome(
        bytes(output),
        bytes(errors),
        -signal.SIGKILL if process.returncode is None else process.returncode,
        cut,
        time.monotonic() - started,
    )


@dataclass(frozen=True, slots=True)
class Answers:
    """What a binary said to a batch of QMP commands.

    Attributes:
        greeting: the greeting's ``version``; empty if there was no QMP at all.
        values: by question, the ``return`` value.
        errors: by question, QMP's error description.
        fatal: the questions that made the process abort.
        outcome: how the last process ended.
    """

    greeting: Mapping[str, Any]
    values: Mapping[str, Any]
    errors: Mapping[str, str]
    fatal: frozenset[str]
    outcome: Outcome


def ask(
    binary: str,
    options: Sequence[str],
    questions: Mapping[str, tuple[str, Mapping[str, Any]]],
    *,
    bound: float,
) -> Answers:
    """Start ``binary`` with ``options`` and run QMP commands in it, in their order.

    Args:
        binary: the program.
        options: without a monitor; ``-qmp stdio`` is added.
        questions: by a name of the caller's choice, the command and its arguments.
        bound: seconds for all of it.

    Raises:
        BinaryError: it cannot be started.
    """
    deadline = time.monotonic() + bound
    greeting: Mapping[str, Any] = {}
    values: dict[str, Any] = {}
    errors: dict[str, str] = {}
    fatal: set[str] = set()
    left = dict(questions)
    while True:
        outcome = run_bounded(
            [binary, *options, "-qmp", "stdio"],
            _batch(left),
            bound=max(0.1, deadline - time.monotonic()),
        )
        for line in outcome.output.splitlines():
            try:
                answer = json.loads(line)
            except ValueError:
                continue
            if not isinstance(answer, dict):
                continue
            if "QMP" in answer:
                with contextlib.suppress(KeyError, TypeError):
                    greeting = dict(answer["QMP"]["version"])
            name = answer.get("id")
            if isinstance(name, str) and name in left:
                if "return" in answer:
                    values[name] = answer["return"]
                elif isinstance(error := answer.get("error"), dict):
                    errors[name] = str(error.get("desc", ""))
        left = {name: q for name, q in left.items() if name not in values and name not in errors}
        if not left or outcome.cut or not greeting or len(fatal) == _FATAL_MAX:
            break
        culprit = next(iter(left))
        fatal.add(culprit)
        del left[culprit]
    return Answers(greeting, values, errors, frozenset(fatal), outcome)


def _batch(questions: Mapping[str, tuple[str, Mapping[str, Any]]]) -> bytes:
    lines: list[dict[str, Any]] = [{"execute": "qmp_capabilities", "id": ""}]
    lines += [
        {"execute": command, "arguments": dict(arguments), "id": name}
        for name, (command, arguments) in questions.items()
    ]
    lines.append({"execute": "quit", "id": ""})
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def not_qemu(binary: str, outcome: Outcome) -> BinaryError:
    """Return the error for a program that does not answer as QEMU does."""
    if outcome.cut == "time":
        what = f"did not answer within {outcome.seconds:.0f} s"
    elif outcome.cut == "output":
        what = "prints without end"
    else:
        what = f"ended with status {outcome.returncode} and did not speak QMP"
    words = f": {outcome.words[:500]}" if outcome.words else ""
    return BinaryError(
        f"{binary} {what}{words}",
        hint="is it a qemu-system-* binary that starts by hand with -machine none?",
    )
