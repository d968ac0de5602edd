"""Stops just before ``fix --apply`` writes, again and again: what test_pve_faults.py traces.

One process imports everything and runs ``fix`` without ``--apply``; for each line
on stdin, which is a tree, it forks a child that prints its number and stops itself.
Whoever traces it lets it go on; it then calls ``fix 142 --apply`` in that tree.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import signal
import sys
from pathlib import Path

from vmserial import files
from vmserial.cli import main
from vmserial.pve import store

PR_SET_PTRACER = 0x59616D61


def naive(path: str | Path, old: bytes, new: bytes, backups: files.Backups | None = None) -> Path:
    """Write as one must not: the mutant that the test has to catch."""
    assert backups is not None
    backups.directory.mkdir(parents=True, exist_ok=True)
    backup = backups.free()
    backup.write_bytes(old)
    digest = hashlib.sha256(new).hexdigest()
    files.record_of(backup).write_text(f"{digest}  {Path(path).name}\n")
    Path(path).write_bytes(new)
    return backup


def fix(root: str, *more: str) -> int:
    return main.run(["fix", "142", "--root", root, *more])


def serve() -> None:
    if sys.argv[2:] == ["naive"]:
        setattr(store, "replace_file", naive)  # noqa: B010 - mypy minds it otherwise
    fix(sys.argv[1])
    print("ready", flush=True)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            # A tracer that is no ancestor of ours needs leave where Yama is in force.
            ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PTRACER, ctypes.c_ulong(-1), 0, 0, 0)
            print(os.getpid(), flush=True)
            os.kill(os.getpid(), signal.SIGSTOP)
            code = 70
            try:
                code = fix(line.strip(), "--apply")
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


serve()
