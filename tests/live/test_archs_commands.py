"""Commands in the manner of PVE for the architectures that PVE does not know: before and after fix.

Each is started by the real QEMU, paused: refused in QEMU's own words, or with ports that no
device serves, or with all served and dead in the guest alone (which the boots of
test_archs_live.py show); what `fix` writes starts, and every port has its device.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from test_never_worse import started

from vmserial.cli.main import run

DATA = Path(__file__).parents[1] / "data" / "archs"
RUN = "/var/run/qemu-server"


@dataclass(frozen=True)
class Wrong:
    """What is wrong with a command.

    Attributes:
        findings: what doctor says, by port; ``""`` is a device that is no port.
        refused: QEMU's words; empty: it starts.
        closed: ports that no device serves.
        waits: ports whose device opens them when the guest does, once they are mended.
    """

    findings: dict[str, str]
    refused: str = ""
    closed: frozenset[str] = field(default=frozenset())
    waits: frozenset[str] = field(default=frozenset())


def isa(*ports: str, words: str) -> Wrong:
    return Wrong(dict.fromkeys(ports, "kind-not-on-arch"), refused=words)


def past_the_board(*ports: str, waits: frozenset[str] = frozenset(), **more: str) -> Wrong:
    return Wrong(
        dict.fromkeys(ports, "onboard-uart-limit") | more, closed=frozenset(ports), waits=waits
    )


NO_DEVICE, NO_BUS = "'isa-serial' is not a valid device model name", "No 'ISA' bus found"
COMMANDS = {
    "armhf-uart": past_the_board("serial1", "serial2"),
    "i386-isa-5": Wrong({"serial4": "isa-limit"}, "Max. supported number of ISA serial ports is 4"),
    "loongarch64-pci": Wrong({"serial1": "pci-serial-dead"}),
    "loongarch64-serial-2": past_the_board("serial1"),
    "mips64el-isa": Wrong({"serial0": "isa-serial-dead"}),
    "mips64el-serial-4": past_the_board("serial3"),
    "mips64el-usb": Wrong({"": "pci-slot-unwired"}),
    "ppc64-isa": isa("serial0", "serial1", words=NO_BUS),
    "ppc64-vty-9": Wrong({"serial8": "hvc-limit"}),
    "riscv64-isa": isa("serial0", "serial1", words=NO_DEVICE),
    "riscv64-uart-usb": past_the_board("serial1", serial2="usb-not-plugged"),
    "s390x-isa": isa("serial0", words=NO_DEVICE),
    "s390x-sclp-2": Wrong(
        {"serial1": "sclp-limit"}, "Multiple VT220 operator consoles are not supported"
    ),
    "s390x-serial-3": past_the_board("serial2", waits=frozenset({"serial2"})),
}
QUICK = {"i386-isa-5"}
"""Of an architecture whose QEMU the quick tests have."""


def test_each_command_is_tried() -> None:
    assert sorted(path.stem for path in DATA.iterdir()) == sorted(COMMANDS)


def words(text: str, where: Path) -> list[str]:
    """Return a script's command, with its sockets elsewhere and without what a daemon needs."""
    left_out = {"-daemonize": 0, "-pidfile": 1, "-vnc": 1}
    found: list[str] = []
    skip = 0
    for word in shlex.split(text.replace("\\\n", " ")):
        if skip or word in left_out:
            skip = left_out[word] if word in left_out and not skip else skip - 1
            continue
        found.append(word.replace(RUN, str(where)))
    return found


def unserved(ends: dict[str, bool]) -> frozenset[str]:
    return frozenset(
        name for name, open_ in ends.items() if name.startswith("serial") and not open_
    )


@pytest.mark.parametrize(
    "name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.full) for n in COMMANDS]
)
def test_a_command_before_and_after(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong, path, after = COMMANDS[name], DATA / f"{name}.sh", tmp_path / "after.sh"
    starts, ends, said = started(words(path.read_text(), tmp_path))
    assert starts is not bool(wrong.refused)
    assert wrong.refused in said
    assert unserved(ends) == wrong.closed
    assert run(["doctor", "--json", str(path)]) == 1
    findings = json.loads(capsys.readouterr().out)
    assert {
        port: f["id"] for f in findings if f["severity"] != "note" for port in f["ports"] or [""]
    } == wrong.findings
    assert run(["fix", str(path), "-o", str(after)]) == 0
    assert run(["doctor", str(after)]) == 0
    starts, ends, said = started(words(after.read_text(), tmp_path))
    assert starts, said
    assert unserved(ends) == wrong.waits
    # All that was right is there as it was: PVE's own part of the command, above the ports.
    assert after.read_text().split("-m ")[0] == path.read_text().split("-m ")[0]
