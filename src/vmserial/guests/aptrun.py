"""Running apt's tools: bounded, with progress, and with their own words in the error."""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vmserial.errors import ImageError
from vmserial.qemu.child import start_process

if TYPE_CHECKING:
    from vmserial.progress import Reporter

_OUTPUT_MAX = 4 * 1024 * 1024


def tool(name: str) -> str:
    """Return the path of a program of apt or dpkg.

    Raises:
        ImageError: it is not installed.
    """
    found = shutil.which(name)
    if found is None:
        raise ImageError(
            f"there is no {name} on this machine",
            hint="test guests are made from Debian packages and need apt and dpkg-deb; "
            "elsewhere give a kernel and an initramfs of your own (--kernel, --initrd)",
        )
    return found


def run(
    argv: Sequence[str],
    *,
    bound: float,
    doing: str,
    cwd: Path | None = None,
    reporter: Reporter | None = None,
) -> str:
    """Run a tool of apt and return what it printed; progress goes to ``reporter``.

    Raises:
        ImageError: it failed or took longer than ``bound`` seconds; in its own words.
    """
    environment: Mapping[str, str] = {
        **os.environ,
        "LC_ALL": "C.UTF-8",
        "DEBIAN_FRONTEND": "noninteractive",
    }
    status_read, status_write = os.pipe()
    output = bytearray()
    process = start_process(
        [*argv, "-o", f"APT::Status-Fd={status_write}"] if "indextargets" not in argv else argv,
        pass_fds=(status_write,),
        cwd=cwd,
        env=environment,
    )
    os.close(status_write)
    assert process.stdout is not None
    deadline = time.monotonic() + bound
    progress = _Progress(reporter)
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            selector.register(status_read, selectors.EVENT_READ)
            while selector.get_map():
                left = deadline - time.monotonic()
                if left <= 0:
                    raise ImageError(
                        f"could not {doing}: not done within {bound:g} s",
                        hint="check the network and the mirror, and try again",
                    )
                for key, _ in selector.select(left):
                    data = os.read(key.fd, 65536)
                    if not data:
                        selector.unregister(key.fileobj)
                    elif key.fd == status_read:
                        progress.take(data)
                    elif len(output) < _OUTPUT_MAX:
                        output += data
        process.wait(max(1.0, deadline - time.monotonic()))
    finally:
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)
        process.stdout.close()
        os.close(status_read)
    text = output.decode(errors="replace")
    if process.returncode:
        raise _failure(text, doing)
    return text


class _Progress:
    """Hands on apt's ``dlstatus:FILES:PERCENT:TEXT`` lines (apt's README.progress-reporting)."""

    def __init__(self, reporter: Reporter | None) -> None:
        self._reporter = reporter
        self._rest = b""
        self._last = -1

    def take(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            parts = line.decode(errors="replace").split(":", 3)
            if self._reporter is None or parts[0] != "dlstatus" or len(parts) < 4:
                continue
            with contextlib.suppress(ValueError):
                percent = int(float(parts[2]))
                if percent > self._last:
                    self._last = percent
                    self._reporter.advance(percent, 100, parts[3])


def _failure(text: str, doing: str) -> ImageError:
    """Return the error for apt's output: its own E: and W: lines, and what they mean."""
    own = [line.strip() for line in text.splitlines() if line.startswith(("E:", "W:"))]
    words = "; ".join(dict.fromkeys(own)) or text.strip()[-2000:] or "it said nothing"
    hints = (
        (r"NO_PUBKEY|signature|not signed|BADSIG|EXPKEYSIG", "the mirror's signature does not "
         "match Debian's keys: update debian-archive-keyring, or use another mirror"),
        (r"expired|Valid-Until|not valid", "the mirror is out of date, or this machine's clock "
         "is wrong"),
        (r"No packages found|Unable to locate|no installation candidate", "check the package's "
         "name, the suite and the architecture"),
        (r"does not have a Release file|404", "check the suite's name and the mirror"),
        (r"Temporary failure|Could not resolve|Could not connect|Failed to fetch|timed out",
         "check the network and the proxy settings of apt"),
        (r"No space left|enough free space", "make room in the cache directory"),
        (r"unmet dependencies|held broken", "the suite is inconsistent; try again later"),
    )  # fmt: skip
    hint = next((hint for pattern, hint in hints if re.search(pattern, words)), "apt's own words")
    return ImageError(f"could not {doing}: {words}", hint=hint)
