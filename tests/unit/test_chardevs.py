"""Backends: text form, command line and QMP, each checked against the other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmserial import chardevs
from vmserial.errors import ConfigError, UsageError, VmserialError
from vmserial.model import Chardev, Pty, SourceRef, Stdio, TcpSocket, UnixSocket
from vmserial.options import split_params

V52, V72, V92, V102 = (5, 2, 0), (7, 2, 0), (9, 2, 0), (10, 2, 0)

FORMS = [
    ("socket=/run/a", "socket,id=c,path=/run/a,server=on,wait=off"),
    ("socket=/run/a,server=off", "socket,id=c,path=/run/a,server=off"),
    (
        "socket=vm,abstract=on,tight=off",
        "socket,id=c,path=vm,server=on,wait=off,abstract=on,tight=off",
    ),
    ("tcp=127.0.0.1:4001", "socket,id=c,host=127.0.0.1,port=4001,server=on,wait=off"),
    (
        "tcp=[::1]:4001,server=off,nodelay=on",
        "socket,id=c,host=::1,port=4001,server=off,nodelay=on",
    ),
    (
        "tcp=:4001,telnet=on,wait=on,to=4009",
        "socket,id=c,host=,port=4001,server=on,wait=on,telnet=on,to=4009",
    ),
    (
        "tcp=h:1,websocket=on,tls-creds=t0,tls-authz=a0,ipv4=on,ipv6=off",
        "socket,id=c,host=h,port=1,server=on,wait=off,websocket=on,ipv4=on,ipv6=off,"
        "tls-creds=t0,tls-authz=a0",
    ),
    ("pty", "pty,id=c"),
    ("/dev/ttyS0", "serial,id=c,path=/dev/ttyS0"),
    ("file=/a,,b,append=on", "file,id=c,path=/a,,b,append=on"),
    ("pipe=/p", "pipe,id=c,path=/p"),
    ("udp=h:9,localaddr=::1,localport=8", "udp,id=c,host=h,port=9,localaddr=::1,localport=8"),
    ("null", "null,id=c"),
    ("ringbuf=4096", "ringbuf,id=c,size=4096"),
    ("stdio,signal=on", "stdio,id=c,signal=on"),
    ("vc=80x24", "vc,id=c,cols=80,rows=24"),
    ("vc=640x480px", "vc,id=c,width=640,height=480"),
    ("null,logfile=/l,logappend=on", "null,id=c,logfile=/l,logappend=on"),
]


@pytest.mark.parametrize(("form", "argv"), FORMS)
def test_command_line_and_back(form: str, argv: str) -> None:
    chardev = chardevs.parse(form)
    assert chardevs.option("c", chardev, V72).value() == argv
    assert chardevs.parse(chardevs.text(chardev)) == chardev


@pytest.mark.parametrize(("form", "argv"), FORMS)
def test_qmp_says_the_same(form: str, argv: str) -> None:
    chardev = chardevs.parse(form)
    if isinstance(chardev.backend, Stdio):
        with pytest.raises(UsageError):
            chardevs.qmp("c", chardev, V72)
        return
    message = chardevs.qmp("c", chardev, V72)
    head, pairs = split_params(argv)
    assert message["id"] == "c"
    assert message["backend"]["type"] == head
    flat = str(message["backend"]["data"])
    for key in ("path", "host", "port", "logfile"):
        for name, value in pairs:
            if name == key:
                assert repr(value) in flat, (key, flat)


@pytest.mark.parametrize(
    ("version", "key"), [(V52, "reconnect=2"), (V72, "reconnect=2"), (V92, "reconnect-ms=1500"),
                         (V102, "reconnect-ms=1500")],
)  # fmt: skip
def test_reconnect_by_version(version: tuple[int, int, int], key: str) -> None:
    chardev = Chardev(UnixSocket("/a", server=False, reconnect_ms=1500))
    value = chardevs.option("c", chardev, version).value()
    assert value is not None
    assert value.endswith(key)
    name, number = key.split("=")
    assert chardevs.qmp("c", chardev, version)["backend"]["data"][name] == int(number)


def test_pty_path_needs_9_2() -> None:
    chardev = Chardev(Pty("/run/tty"))
    with pytest.raises(UsageError, match=r"9\.2"):
        chardevs.option("c", chardev, V72)
    assert chardevs.option("c", chardev, V92).value() == "pty,id=c,path=/run/tty"


@pytest.mark.parametrize(
    "bad",
    ["", "sokcet=/a", "socket", "socket=/a,bogus=1", "socket=/a,server=maybe", "tcp=4001",
     "tcp=h:99999", "tcp=h:0,server=off", "tcp=:1,server=off", "file", "ringbuf=1000", "vc=big",
     "null=1", "/etc/passwd", "tty=x", "socket=/a,reconnect=3", "socket=/a,server=off,wait=on",
     "pty,logappend=on", "tcp=h:1,tls-creds=a b", "udp=h", "socket=" + "x" * 108, "null,null=1",
     "socket=/a,path=/b", "file=/a\nb", "tcp=h:1,tls-authz=x", "socket=/a,server=on,server=off"],
)  # fmt: skip
def test_bad_forms_name_the_place_and_the_way(bad: str) -> None:
    with pytest.raises(ConfigError) as caught:
        chardevs.parse(bad, SourceRef("100.conf", 7))
    assert caught.value.hint
    assert "100.conf:7" in str(caught.value)


def test_bare_socket_takes_the_given_path() -> None:
    assert chardevs.parse("socket", socket_path="/run/x").backend == UnixSocket("/run/x")


def test_telnet_is_tcp() -> None:
    assert chardevs.parse("telnet=h:1").backend == TcpSocket("h", 1, telnet=True)


@given(st.text(max_size=60))
def test_any_text_is_a_chardev_or_a_config_error(text: str) -> None:
    try:
        chardev = chardevs.parse(text, socket_path="/run/s")
    except ConfigError:
        return
    assert chardevs.parse(chardevs.text(chardev)) == chardev
    try:
        option = chardevs.option("serial0", chardev, V92)
    except VmserialError:
        return
    value = option.value()
    assert value is not None
    assert split_params(value)[1][0] == ("id", "serial0")
