"""Whatever is in a configuration: a Machine or a named error, and never another exception."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vmserial.errors import VmserialError
from vmserial.model import Machine
from vmserial.sources import load
from vmserial.sources.pve import Document, machine
from vmserial.sources.pve import keys as pve_keys

ANY = st.characters(exclude_categories=())

VALUES = (
    "1", "0", "on", "socket", "/dev/ttyS0", "pty", "file=/x", "tcp=127.0.0.1:1", "none",
    "none,media=cdrom", "/x/a.qcow2,ssd=1", "local:1/x.raw,size=1G", "virtio=AA:BB:CC:DD:EE:FF",
    "virtio,bridge=vmbr0,queues=4", "order=scsi0;net0", "cdn", "ovmf", "host,flags=+aes;-pcid",
    "serial0", "serial7", "std,memory=16", "q35,viommu=intel", "pc-i440fx-7.2+pve1", "aarch64",
    "x86_64", "source=/dev/urandom", "uuid=9b0cd49c-8f51-4d4b-9a2b-8e6b3c7a1f00,base64=1",
    "current=1024", "-a 'b' \"c\"", "'", "99999999999999999999", "-1", "=", ",", ",,", ";",
    "a=b=c", "%00", "%FF", "\x00", "\udce9", "\u0661", "\u2028", "win11", "w2k", "1,type=isa",
)  # fmt: skip
KEYS = [
    name.removesuffix("N") + digits
    for name in sorted(
        pve_keys.TRANSLATED | pve_keys.MANAGEMENT | set(pve_keys.UNTRANSLATED) | {"unknown"}
    )
    for digits in (("0", "1", "31", "007", "99999") if name.endswith("N") else ("",))
]
LINE = st.one_of(
    st.builds("{}: {}".format, st.sampled_from(KEYS), st.sampled_from(VALUES)),
    st.builds(
        "{}: {}{}".format, st.sampled_from(KEYS), st.sampled_from(VALUES), st.text(ANY, max_size=9)
    ),
    st.builds(
        "{}vmserial serial{}{}{},{}={}".format,
        st.sampled_from(("#", "# ", "description: ")),
        st.sampled_from(("0", "1", "4", "999", "1000", "01", "")),
        st.sampled_from((":", "%3A", " ", "")),
        st.sampled_from(VALUES),
        st.sampled_from(("type", "hotplug", "state", "logfile", "")),
        st.sampled_from(("usb", "auto", "on", "off", "unplugged", "/x", "")),
    ),
    st.sampled_from(
        ("", "# text", "[PENDING]", "[snap]", "[special:cloudinit]", "[no good]", " x: 1",
         "delete: serial0,!net0", "snapstate: delete", "garbage")
    ),
    st.text(ANY, max_size=30),
)  # fmt: skip
CONFIGURATION = st.lists(LINE, max_size=14).map("\n".join)


def named(error: VmserialError) -> VmserialError:
    """Hold an error to what every error has to say, in words that can be printed."""
    assert error.message
    assert error.hint
    assert error.where
    f"{error} {error.hint}".encode()
    return error


def outcome(text: str, **more: object) -> Machine | VmserialError:
    """Return the machine or the error; anything else escapes."""
    document = Document.parse(text, "100.conf")
    assert document.text() == text
    try:
        return machine(document, 100, **more)  # type: ignore[arg-type]
    except VmserialError as error:
        return named(error)


@settings(deadline=None)
@given(st.text(ANY))
def test_any_text(text: str) -> None:
    outcome(text)


@settings(deadline=None)
@given(CONFIGURATION)
@example("scsi0: /x,serial=%00")
@example("args: " + "'a" * 1000)
def test_any_configuration_of_the_grammar(text: str) -> None:
    made = outcome(text)
    if not isinstance(made, Machine):
        return
    # Nothing is dropped silently: each setting is in the machine or in a note.
    named = {note.where.line for note in made.notes if note.where}
    for setting in Document.parse(text, "x").main.values.values():
        name = pve_keys.known(setting.key)
        if name not in pve_keys.TRANSLATED and name not in pve_keys.NEUTRAL:
            assert setting.line in named or setting.key.startswith("serial"), setting
    for note in made.notes:
        str(note).encode()
    assert len({port.index for port in made.ports}) == len(made.ports)


@settings(deadline=None)
@given(CONFIGURATION)
def test_any_view(text: str) -> None:
    outcome(text, pending=True)
    outcome(text, snapshot="snap")


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_in_a_file(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    path: Path = tmp_path_factory.getbasetemp() / "100.conf"
    path.write_bytes(raw)
    for name in (path, path.with_suffix(".toml"), path.with_suffix(".txt")):
        name.write_bytes(raw)
        try:
            load(str(name))
        except VmserialError as error:
            named(error)
