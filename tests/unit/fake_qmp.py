"""A program that speaks as much QMP as the process room needs, and misbehaves on demand.

Run as ``fake_qmp.py MODE …`` in place of a QEMU binary.  It speaks on the socket that
``-chardev socket,fd=N`` names, or on stdin and stdout for ``-qmp stdio``.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from typing import Any

GREETING = {
    "QMP": {
        "version": {"qemu": {"major": 9, "minor": 1, "micro": 2}, "package": "fake"},
        "capabilities": [],
    }
}


def descriptors(words: list[str]) -> tuple[int, int]:
    match = re.search(r"fd=(\d+)", " ".join(words))
    return (int(match[1]), int(match[1])) if match else (0, 1)


def requests(fd: int) -> Iterator[dict[str, Any]]:
    """Yield JSON objects; nothing separates them, as QMP allows."""
    text = ""
    while data := os.read(fd, 65536):
        text += data.decode()
        while text := text.lstrip():
            try:
                request, end = json.JSONDecoder().raw_decode(text)
            except ValueError:
                break
            text = text[end:]
            yield request


def main(mode: str, words: list[str]) -> int:
    if mode == "die":
        print("fake: Max. supported number of ISA serial ports is 4", file=sys.stderr)
        return 1
    if mode == "endless":
        while True:
            os.write(1, b"rubbish\n" * 8192)
    if mode == "hang":
        time.sleep(60)
    if mode == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    reader, writer = descriptors(words)

    def say(data: dict[str, Any]) -> None:
        os.write(writer, json.dumps(data).encode() + b"\n")

    if mode == "rubbish":
        os.write(writer, b"hello\n")
        time.sleep(60)
    say(GREETING)
    for request in requests(reader):
        command, arguments = request["execute"], request.get("arguments", {})
        answer: dict[str, Any] = {"id": request.get("id"), "return": {}}
        if command == "device_del":
            answer["return"] = {}
            say({"event": "DEVICE_DELETED", "data": {"device": "other"}, "timestamp": {}})
            say({"event": "DEVICE_DELETED", "data": arguments, "timestamp": {}})
        elif command == "refuse":
            del answer["return"]
            answer["error"] = {"class": "GenericError", "desc": "no such thing"}
        elif command == "event":
            say({"event": arguments["name"], "data": arguments["data"], "timestamp": {}})
        elif command == "crash":
            print("fake: it crashed", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGABRT)
        elif command == "power-off":
            say({"event": "SHUTDOWN", "data": {"reason": "guest-shutdown"}, "timestamp": {}})
            return 0
        elif command == "echo":
            answer["return"] = arguments
        elif command == "mute" or (command == "quit" and mode in ("hang-on-quit", "stubborn")):
            continue
        say(answer)
        if command == "quit":
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
