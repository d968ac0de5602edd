"""Command lines are written back byte for byte, and their words are the shell's."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmserial.errors import ConfigError, VmserialError
from vmserial.sources.command import CommandLine, CommandView
from vmserial.sources.command.params import Params
from vmserial.sources.command.tables import ALONE, WITH_ARGUMENT, has_argument

PVE = r"""/usr/bin/kvm \
  -id 142 \
  -name 'arm,debug-threads=on' \
  -no-shutdown \
  -chardev 'socket,id=qmp,path=/var/run/qemu-server/142.qmp,server=on,wait=off' \
  -mon 'chardev=qmp,mode=control' \
  -chardev 'socket,id=qmp-event,path=/var/run/qmeventd.sock,reconnect=5' \
  -mon 'chardev=qmp-event,mode=control' \
  -pidfile /var/run/qemu-server/142.pid \
  -daemonize \
  -smp '4,sockets=1,cores=4,maxcpus=4' \
  -nodefaults \
  -cpu host \
  -m 2048 \
  -device 'pci-bridge,id=pci.1,chassis_nr=1,bus=pcie.0,addr=0x1e' \
  -device 'usb-ehci,id=ehci,bus=pcie.0,addr=0x1' \
  -device 'usb-tablet,id=tablet,bus=ehci.0,port=1' \
  -chardev 'socket,id=serial0,path=/var/run/qemu-server/142.serial0,server=on,wait=off' \
  -serial chardev:serial0 \
  -chardev 'socket,id=serial1,path=/var/run/qemu-server/142.serial1,server=on,wait=off' \
  -device 'isa-serial,chardev=serial1' \
  -machine 'type=virt+pve0'
"""

LIBVIRT = (
    r"""2026-08-01 10:00:00.000+0000: starting up libvirt version: 9.0.0
LC_ALL=C \
PATH=/usr/local/sbin:/usr/bin \
HOME='/var/lib/libvirt/qemu/domain-1-a b' \
/usr/bin/qemu-system-aarch64 \
-name guest=arm,debug-threads=on \
-S \
-object '{"qom-type":"secret","id":"masterKey0","format":"raw","file":"/var/lib/x.aes"}' \
-machine virt-7.2,usb=off,gic-version=3,dump-guest-core=off \
-accel kvm \
-no-user-config \
-nodefaults \
-chardev socket,id=charmonitor,fd=25,server=on,wait=off \
-mon chardev=charmonitor,id=monitor,mode=control \
-device '{"driver":"pcie-root-port","port":8,"chassis":1,"id":"pci.1","bus":"pcie.0","""
    r""""multifunction":true,"addr":"0x1"}' \
-device '{"driver":"virtio-serial-pci","id":"virtio-serial0","max_ports":8,"bus":"pci.1"}' \
-chardev pty,id=charserial0 \
-serial chardev:charserial0 \
-chardev pty,id=charserial1,logfile=/var/log/a,,b,logappend=on \
-device '{"driver":"virtconsole","chardev":"charserial1","id":"console1","nr":3}' \
-msg timestamp=on
2026-08-01 10:00:01.000+0000: shutting down
"""
)

SCRIPT = """#!/bin/sh
# qemu-system-x86_64 as it was
set -e
DISK=/srv/x.img
exec sudo -u kvm nice -n 5 qemu-system-x86_64 -M q35 --enable-kvm "$DISK" \\
\t-append "root=/dev/vda -v" -serial mon:stdio >log 2>&1 &
wait
"""

TEXTS = [PVE, LIBVIRT, SCRIPT]


@pytest.mark.parametrize("text", TEXTS)
def test_text_comes_back(text: str) -> None:
    assert CommandLine.parse(text).text() == text


def test_pve_options_and_places() -> None:
    command = CommandLine.parse(PVE, "142.txt")
    option = command.named("serial")[0]
    assert (option.value, str(option.where)) == ("chardev:serial0", "142.txt:19")
    assert command.argv() == [w for w in shlex.split(PVE) if w != "\n"]
    assert [str(note.where) for note in command.notes] == ["142.txt:2"]
    assert command.named("id")[0].value == "142"


def test_libvirt_log() -> None:
    command = CommandLine.parse(LIBVIRT)
    assert command.environment["HOME"] == "/var/lib/libvirt/qemu/domain-1-a b"
    assert command.options[-1].value == "timestamp=on"
    assert command.words[command.tail].line == 22
    assert command.named("chardev")[2].params.get("logfile") == "/var/log/a,b"
    port = command.named("device")[0].params
    assert port.is_json
    assert (port.get("multifunction"), port.get("port")) == ("on", "8")


def test_script_with_wrapper_comment_and_tail() -> None:
    command = CommandLine.parse(SCRIPT)
    assert command.program == "qemu-system-x86_64"
    assert [(o.name, o.value) for o in command.options] == [
        ("M", "q35"),
        ("enable-kvm", None),
        ("hda", "$DISK"),
        ("append", "root=/dev/vda -v"),
        ("serial", "mon:stdio"),
    ]
    assert "replace" in command.notes[0].message
    assert command.words[command.tail].value == ">"


def test_list_of_words() -> None:
    words = ["kvm", "-m", "1", "a b.img", "-append", "-x 'y'", "--serial", "stdio"]
    command = CommandLine.from_words(words)
    assert command.argv() == words
    assert shlex.split(command.text()) == words
    assert str(command.named("serial")[0].where) == "argument 7"


@pytest.mark.parametrize(
    ("text", "where", "said"),
    [
        ("kvm \\\n -append 'x", "f:2", "not closed"),
        ('kvm -append "x', "f:1", "not closed"),
        ("kvm -m 1 \\", "f:1", "backslash"),
        ("kvm -m 1 \\\n -serial", "f:2", "requires an argument"),
        ("kvm -serial > log", "f:1", "requires an argument"),
        ("ls -l", "f:1", "emulator"),
        ("  \n", "f", "empty"),
        ("kvm -m \0", "f:1", "NUL"),
    ],
)
def test_what_is_refused(text: str, where: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        CommandLine.parse(text, "f")
    assert caught.value.where == where
    assert caught.value.hint


@pytest.mark.parametrize("json", ["{", '{"a":}', '{"driver":"x"} y', "{" * 99, "{1:2}", '{"a":1,}'])
def test_broken_json(json: str) -> None:
    command = CommandLine.from_words(["kvm", "-device", json])
    with pytest.raises(ConfigError) as caught:
        CommandView.of(command)
    assert caught.value.where == "argument 2"


def test_key_value_grammar() -> None:
    params = Params.parse("socket,id=a,path=/x,,y,server,nowait,path=/z", "backend")
    assert params.values == {
        "backend": "socket", "id": "a", "path": "/z", "server": "on", "wait": "off",
    }  # fmt: skip
    assert Params.parse("driver=a,b=", "driver").values == {"driver": "a", "b": ""}


def test_key_changes() -> None:
    params = Params.parse("a,x=1,server,nowait,y=p,,q", "driver")
    assert params.with_key("x", "2,3") == "a,x=2,,3,server,nowait,y=p,,q"
    assert params.with_key("wait", True) == "a,x=1,server,wait=on,y=p,,q"
    assert params.with_key("driver", "b") == "b,x=1,server,nowait,y=p,,q"
    assert params.with_key("z", 1) == "a,x=1,server,nowait,y=p,,q,z=1"
    assert params.without_key("y") == "a,x=1,server,nowait"
    assert params.without_key("driver") == "x=1,server,nowait,y=p,,q"
    json = Params.parse('{ "a": "1",  "b": [1, 2], "c":true }', json_too=True)
    assert json.with_key("b", 3) == '{ "a": "1",  "b":3, "c":true }'
    assert json.with_key("d", "x") == '{ "a": "1",  "b": [1, 2], "c":true,"d":"x" }'
    assert json.without_key("b") == '{ "a": "1",  "c":true }'
    assert json.without_key("c") == '{ "a": "1",  "b": [1, 2] }'
    assert Params.parse("{}", json_too=True).with_key("d", 1) == '{"d":1}'


def test_no_option_is_in_both_tables() -> None:
    assert not WITH_ARGUMENT & ALONE
    assert has_argument("no-such") is None


@pytest.mark.live
@pytest.mark.parametrize("arch", ["x86_64", "aarch64"])
def test_tables_agree_with_the_binary(arch: str) -> None:
    """Every option that -help lists is known, and takes an argument as the table says."""
    binary = shutil.which(f"qemu-system-{arch}")
    assert binary is not None

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([binary, *words], text=True, capture_output=True, timeout=60)

    names = sorted(set(re.findall(r"^--?([A-Za-z][\w-]*)", run("-help").stdout, re.M)))
    assert len(names) > 80
    assert [name for name in names if has_argument(name) is None] == []

    def words_for(name: str, takes: bool | None) -> list[str]:
        # "-bogus" is refused unless it is an argument: a wrong entry shifts it out of its place.
        return [f"-{name}", "-bogus"] if takes else [f"-{name}", "-D", "-bogus"]

    # All options are looked up before -version, the first, is obeyed.
    right = run("-version", *(w for name in names for w in words_for(name, has_argument(name))))
    assert right.returncode == 0, right.stderr
    for name in ("serial", "S"):
        assert "invalid option" in run("-version", *words_for(name, not has_argument(name))).stderr


# ------------------------------------------------------------------ properties

texts = st.text(
    st.one_of(st.sampled_from(" \n\t\\'\"$#;&|<>,=-{}[]:`a1.\r"), st.characters(codec="utf-8"))
)
values = st.text(st.characters(exclude_characters="\0", codec="utf-8"))


def refused_with_a_hint(error: VmserialError) -> None:
    assert error.hint
    assert error.where


def misses_an_argument(error: VmserialError) -> None:
    assert "requires" in error.message


@given(texts)
def test_any_text_comes_back_or_is_refused(text: str) -> None:
    for whole in (text, f"qemu-system-x86_64 {text}"):
        try:
            command = CommandLine.parse(whole)
        except ConfigError as error:
            refused_with_a_hint(error)
            continue
        assert command.text() == whole
        covered = "".join(whole[word.start : word.end] for word in command.words)
        assert covered == "".join(word.source for word in command.words)
        try:
            view = CommandView.of(command, read_file=lambda _: text)
        except ConfigError as error:
            refused_with_a_hint(error)
        else:
            look_at_everything(view)


def look_at_everything(view: CommandView) -> None:
    view.uses()
    for device in view.devices:
        _ = device.pci, device.usb, device.isa, device.virtio_port, device.max_ports
    for entry in view.chardevs:
        _ = entry.chardev
    for port in view.ports:
        _ = port.host.chardev
    _ = view.serial_devices, view.onboard, view.monitors


@given(st.sampled_from(["-serial", "-device", "-chardev", "-mon", "-set", "-global"]), texts)
def test_any_value_is_looked_at_or_refused(flag: str, value: str) -> None:
    if "\0" in value:
        return
    command = CommandLine.from_words(["kvm", flag, value])
    try:
        look_at_everything(CommandView.of(command))
    except VmserialError as error:
        refused_with_a_hint(error)


@given(st.lists(values))
def test_any_list_of_words_comes_back(words: list[str]) -> None:
    try:
        command = CommandLine.from_words(["qemu-system-x86_64", *words])
    except ConfigError as error:
        misses_an_argument(error)
        return
    assert [word.value for word in command.words] == ["qemu-system-x86_64", *words]
    again = CommandLine.parse(command.text())
    assert [word.value for word in again.words] == ["qemu-system-x86_64", *words]


@given(
    st.lists(
        st.tuples(
            st.text("ab=,'\"x\\ -\t\u00e9", min_size=1),
            st.sampled_from(["bare", "single", "double", "shlex"]),
        )
    ),
    st.sampled_from([" ", "  ", "\t", "\n"]),
)
def test_words_are_those_of_shlex(parts: list[tuple[str, str]], gap: str) -> None:
    written = {
        "bare": lambda t: re.sub(r"(.)", r"\\\1", t),
        "single": lambda t: "'" + t.replace("'", "") + "'",
        "double": lambda t: '"' + re.sub(r'(["\\])', r"\\\1", t) + '"',
        "shlex": shlex.quote,
    }
    text = gap.join(["qemu-system-arm", *(written[how](t) for t, how in parts)])
    try:
        command = CommandLine.parse(text)
    except ConfigError as error:
        misses_an_argument(error)
        return
    assert [word.value for word in command.words] == shlex.split(text)


def test_an_open_ansi_quote_is_an_error() -> None:
    """Else a quote that an edit adds further on would change what stands here."""
    with pytest.raises(ConfigError, match="a quote ' is not closed"):
        CommandLine.parse(r"qemu-system-x86_64 -name $'a\' -serial null")
