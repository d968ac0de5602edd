"""The file that a run's checks are kept in, as they are made.

JSON lines: one object a check, each with the facts of the host that it was
measured on and of the run that made it, each line on the disk before the next
one begins, so that a crash of anything leaves whole lines.  Files may be
written one behind another: each line says what it belongs to.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vmserial.errors import UsageError
from vmserial.paths import Closing
from vmserial.verify.hostfacts import HostFacts
from vmserial.verify.results import Check, RunFacts
from vmserial.verify.typed import typed


def line(check: Check, host: HostFacts, run: RunFacts) -> str:
    """Return the one line of a results file for ``check``, with its newline."""
    data = {**check.to_json(), "host": asdict(host), "run": asdict(run)}
    return json.dumps(data, ensure_ascii=False) + "\n"


class ResultsFile(Closing):
    """A results file that is being written; used as a context manager.

    Each :meth:`add` is one write(2) of whole lines and one fsync(2): what it
    returned from is on the disk.

    Raises:
        UsageError: the file cannot be made or written.
    """

    def __init__(self, path: Path, host: HostFacts, run: RunFacts) -> None:
        self.path = path
        self._host = host
        self._run = run
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._refused(error) from None

    def _refused(self, error: OSError) -> UsageError:
        return UsageError(
            f"cannot write {self.path}: {error.strerror or error}",
            hint="check that the directory exists, is writable and has free space",
        )

    def add(self, *checks: Check) -> None:
        """Write ``checks`` and wait until they are on the disk."""
        data = "".join(line(check, self._host, self._run) for check in checks).encode()
        try:
            while data:
                data = data[os.write(self._fd, data) :]
            os.fsync(self._fd)
        except OSError as error:
            raise self._refused(error) from None

    def close(self) -> None:
        """Close it; calling it again does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


@dataclass(frozen=True, slots=True)
class Recorded:
    """A run as a file keeps it.

    Attributes:
        checks: in the order in which they were made.
        host: where they were made.
        run: what the run was; of a file without it, nothing but its defaults.
    """

    checks: tuple[Check, ...]
    host: HostFacts = field(default_factory=HostFacts)
    run: RunFacts = field(default_factory=RunFacts)


def read(path: Path) -> list[Recorded]:
    """Return the runs of a results file, in order; none of an empty one.

    A last line without a newline was being written when the writer died; it is
    left out.

    Raises:
        UsageError: the file cannot be read, or a line in it is not a check.
    """
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except OSError as error:
        raise UsageError(
            f"cannot read {path}: {error.strerror or error}",
            hint="give the results.jsonl of a verify run, or its directory",
        ) from None
    runs: dict[tuple[HostFacts, RunFacts], list[Check]] = {}
    for number, text in enumerate(lines, 1):
        try:
            data = json.loads(text)
            if not isinstance(data, dict):
                raise ValueError("not an object")
            check = Check.from_json(data)
            runs.setdefault((_host(data["host"]), _run(data.get("run", {}))), []).append(check)
        except (ValueError, KeyError, TypeError, RecursionError, UsageError) as error:
            message = error.message if isinstance(error, UsageError) else str(error)
            raise UsageError(
                message, hint="give a results.jsonl that vmserial wrote", where=f"{path}:{number}"
            ) from None
    return [Recorded(tuple(checks), host, run) for (host, run), checks in runs.items()]


def _host(data: Any) -> HostFacts:
    found = HostFacts(**typed(HostFacts, data))
    if len(found.load) != 3 or not all(isinstance(one, int | float) for one in found.load):
        raise ValueError("load is not three numbers")
    return found


def _run(data: Any) -> RunFacts:
    found = RunFacts(**typed(RunFacts, data))
    if not all(isinstance(word, str) for word in found.call):
        raise ValueError("call is not words")
    return found
