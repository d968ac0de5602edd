"""The lines of a PVE configuration that mending changes; every other one keeps its bytes."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plans import binary
from test_pve_mend import PTY, UART, XHCI, left

from vmserial.errors import VmserialError
from vmserial.guests import profile
from vmserial.judging import judge
from vmserial.pve.mend import Way, mend
from vmserial.sources.pve import Document, edits, machine


def test_a_new_line_goes_to_its_place_and_ends_as_the_others() -> None:
    def put(text: str) -> str:
        return edits.put(Document.parse(text, "x"), "args", "-a").text()

    assert put("agent: 1\ncores: 2\n") == "agent: 1\nargs: -a\ncores: 2\n"
    assert put("cores: 2\r\n") == "args: -a\r\ncores: 2\r\n"
    assert put("agent: 1\n") == "agent: 1\nargs: -a\n"
    assert put("agent: 1") == "agent: 1\nargs: -a"
    assert put("agent: 1\r\nacpi: 1") == "agent: 1\r\nacpi: 1\r\nargs: -a"
    assert put("#only words\n\n[snap]\ncores: 1\n") == "#only words\nargs: -a\n\n[snap]\ncores: 1\n"
    assert put("") == "args: -a\n"
    assert put("args: -b\nargs:\t-c \r\ncores: 1\n") == "args: -b\nargs:\t-a \r\ncores: 1\n"


def test_a_line_goes_with_its_end() -> None:
    def remove(text: str) -> str:
        return edits.remove(Document.parse(text, "x"), "serial1").text()

    assert remove("a: 1\nserial1: x\nb: 1\n") == "a: 1\nb: 1\n"
    assert remove("a: 1\r\nserial1: x\r\nserial1: y") == "a: 1\r\n"
    assert remove("serial1: x\n[snap]\nserial1: x\n") == "[snap]\nserial1: x\n"
    assert remove("serial1: x") == ""
    assert remove("serial10: x\n") == "serial10: x\n"


LINES = [
    f"args: {XHCI} {PTY}",
    f"args: -no-reboot {PTY}",
    f"args: {UART} -boot menu=on",
    f"args: {XHCI}",
    f"args: {XHCI} {PTY} -device usb-tablet,bus=vmserial-xhci0.0",
    "args: -chardev null,id=serial9",
    "args: -chardev socket,id=serial1,path=/var/run/qemu-server/142.serial1,server=on,wait=off",
    "serial0: socket", "serial1: socket", "serial2: /dev/ttyS1", "serial3: pty", "serial5: socket",
    "serial1:socket", "args: -no-reboot", "args: -global 'a.b=c'", "agent: 1,type=isa", "cores: 2",
    "vga: serial0", "vga: serial2", "machine: q35", "machine: virt", "arch: aarch64", "name: vm",
    "#vmserial serial4: socket", "#vmserial serial1: type=pci", "#vmserial serial6: null,type=usb",
    "#a comment%0A", "", " odd", "Serial1: x", "garbage \udcff", "lock: backup",
    "description: x%3Ay", "ostype: l26", "memory: 1024",
]  # fmt: skip
KEYS = st.sampled_from(LINES)
SECTIONS = st.lists(
    st.tuples(
        st.sampled_from(["[PENDING]", "[snap]", "[special:cloudinit]", "[1odd]", "[snap]"]),
        st.lists(KEYS, max_size=5),
    ),
    max_size=3,
)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(KEYS, max_size=12),
    SECTIONS,
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
    st.sampled_from(["args", "shim"]),
    st.sampled_from(["", "aarch64"]),
)
def test_only_the_lines_that_are_named_change(
    main: list[str], sections: list[tuple[str, list[str]]], end: str, last: bool, way: Way,
    arch: str,
) -> None:  # fmt: skip
    lines = main + [line for header, body in sections for line in (header, *body)]
    text = end.join(lines) + (end if last else "")
    document = Document.parse(text, "142.conf")
    try:
        found = machine(document, 142, arch=arch)
    except VmserialError:
        return
    known = binary(found.arch), profile.unknown(found.arch)
    result = mend(document, found, *known, way)
    new = result.document.text()
    # All from the first header on is untouched, byte for byte.
    if sections:
        cut = len(end.join([*main, ""]))
        assert new.endswith(text[cut:])
    ours = re.compile(r"(?:serial[0-9]+|args|agent):")
    kept = [line for line in text.split("\n") if not ours.match(line)]
    now = [line for line in new.split("\n") if not ours.match(line)]
    if new != text and not last and not sections:
        # A line that came behind the last, or the last that went, changes who ends the file.
        kept, now = ([x.rstrip("\r") for x in lines if x.strip()] for lines in (kept, now))
    assert now == kept
    assert (new != text) == bool(result.changes)
    # Once is enough.
    again = machine(result.document, 142, arch=arch)
    second = mend(result.document, again, *known, way)
    assert second.document.text() == new
    assert second.changes == ()
    # The user's own words stay, unless a finding is about them.
    pves = {"pve-directive-only", "pve-isa-on-aarch64", "pve-args-stale", "pve-serial-limit",
            "pve-backend-unknown", "pve-agent-isa-on-aarch64"}  # fmt: skip
    if pves.issuperset(change.id for change in result.changes):
        left_over = iter(again.args)
        assert all(word in left_over for word in found.args)


@pytest.mark.parametrize(("waiting", "judged"), [("serial1: socket", 1), ("serial1: pty", 2)])
def test_what_is_pending_is_judged_only_where_it_changes_something(
    waiting: str, judged: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = []

    def counted(*given: Any, **more: Any) -> Any:
        times.append(given)
        return judge(*given, **more)

    monkeypatch.setattr("vmserial.pve.judged.judge", counted)
    monkeypatch.setattr("vmserial.pve.examine.judge", counted)
    text = f"arch: x86_64\nmemory: 512\nserial1: socket\n\n[PENDING]\n{waiting}\n"
    assert ("pve-pending" in left(text)) is (judged == 2)
    assert len(times) == judged
