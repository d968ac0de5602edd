"""What a device carries, and what a verification makes of it."""

from __future__ import annotations

import pytest

from vmserial.machines import architecture
from vmserial.model import ALL_BYTES, Way
from vmserial.verify.results import GUEST_TO_HOST, HOST_TO_GUEST, Check, Verdict, combined
from vmserial.verify.results import exit_code as code_of
from vmserial.verify.wire.form import SMOKE, Stream
from vmserial.verify.wire.frames import analyse

SYSRQ = Way(sysrq=True, why="Ctrl-O")


@pytest.mark.parametrize(
    ("sent", "arrives"),
    [
        (b"abc", b"abc"),
        (b"a\x0fbc", b"ac"),
        (b"a\x0f\x0fbc", b"a\x0fbc"),
        (b"a\x0f\x0f\x0fbc", b"a\x0fc"),
        (b"a\x0f", b"a"),
        (b"\x0fb\x0fbc", b"c"),
        (b"", b""),
    ],
)
def test_sysrq_takes_its_byte_and_the_next_unless_it_is_doubled(
    sent: bytes, arrives: bytes
) -> None:
    assert SYSRQ.arriving(sent) == arrives


def test_what_proves_a_sysrq_way_holds_every_byte_and_one_that_is_eaten() -> None:
    data = bytes(range(256)) * 3
    sent = SYSRQ.prepared(data)
    assert SYSRQ.arriving(sent) == data
    assert len(sent) > len(data), "0F is doubled, and one is sent alone"
    assert sent.endswith(b"\x0f\0")


def test_text_is_lines_of_printable_ascii_and_arrives_without_its_breaks() -> None:
    way = Way("text", why="line mode")
    sent = way.prepared(bytes(range(256)))
    assert all(32 <= byte < 127 or byte == 10 for byte in sent)
    assert way.arriving(sent) == bytes(range(256)).hex().encode()
    assert way.joined(b"\r\n" + sent) == way.arriving(sent)


def test_a_stream_knows_what_arrives_and_a_lost_byte_is_still_found() -> None:
    for way in (SYSRQ, Way("text", why="t")):
        stream = Stream(1, 0, HOST_TO_GUEST, 7, SMOKE, way)
        assert analyse(stream, stream.data).ok
        assert not analyse(stream, stream.data[:-1]).ok
        assert not analyse(stream, way.joined(stream.sent) + b"x").ok
    stream = Stream(1, 0, HOST_TO_GUEST, 7, SMOKE, SYSRQ)
    assert not analyse(stream, stream.sent).ok, "a kernel that eats nothing is not what is known"


def test_nothing_arrives_where_nothing_can_and_what_does_is_a_fault() -> None:
    stream = Stream(1, 0, HOST_TO_GUEST, 7, SMOKE, Way("nothing", why="w"))
    assert stream.sent
    assert stream.data == b""
    assert analyse(stream, b"").ok
    assert not analyse(stream, b"vmserial").ok


def _check(verdict: Verdict, detail: str = "why") -> Check:
    return Check("default", "s390x", "ccw", "7.2", "g", "uart", "serial1", GUEST_TO_HOST,
                 verdict, detail=detail)  # fmt: skip


def test_what_a_device_cannot_do_fails_nothing_and_proves_nothing() -> None:
    assert combined([_check(Verdict.CANNOT), _check(Verdict.PASS)]) is Verdict.PASS
    assert code_of([_check(Verdict.CANNOT), _check(Verdict.PASS)]) == 0
    assert code_of([_check(Verdict.CANNOT)]) == 1
    assert code_of([_check(Verdict.CANNOT), _check(Verdict.FAIL)]) == 1
    assert code_of([_check(Verdict.CANNOT, ""), _check(Verdict.PASS)]) == 1, "without its reason"


def test_the_uarts_that_do_not_carry_every_byte() -> None:
    sclp = architecture("s390x").platforms[0].uart
    vty = architecture("ppc64").platforms[0].uart
    pl011 = architecture("aarch64").platforms[0].uart
    assert sclp is not None
    assert vty is not None
    assert pl011 is not None
    assert [sclp.node_of(n) for n in (0, 1)] == ["/dev/ttysclp0", "/dev/sclp_line0"]
    assert sclp.carried_by(0).to_guest.sysrq
    assert sclp.carried_by(0).to_host.is_clean
    assert sclp.carried_by(1).to_host.form == "text"
    assert sclp.carried_by(1).to_guest.form == "nothing"
    assert vty.carried_by(0).to_guest.sysrq, "hvc0 is the kernel's console"
    assert vty.carried_by(1) == pl011.carried_by(0) == ALL_BYTES
