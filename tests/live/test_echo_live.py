"""What ``plan`` says of ports and nodes, held against an echo that is not the verifier's.

QEMU 7.2 (installed), 10.0 and 11.1 with Debian's kernels 6.1, 6.12 and 7.x; for riscv64
Debian has no kernel before 6.12.
"""

from __future__ import annotations

import copy
import itertools
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import echo_guest
import pytest
from echo_guest import Answer

from vmserial.guests.foreign import fetch
from vmserial.guests.images import TestGuest, ensure
from vmserial.guests.profile import FLAVOURS, KNOWN, of_release
from vmserial.machines import ARCHITECTURES, architecture
from vmserial.model import GuestProfile
from vmserial.paths import cache_dir
from vmserial.qemu.binary import find

QEMUS = {"7.2": "", "10.0": "trixie", "11.1": "sid"}
KERNELS = {"6.1": "bookworm", "6.12": "trixie", "7": "sid"}
SUITES = tuple(KERNELS.values())
ARCHS = ("aarch64", "x86_64", "riscv64")

MATRIX = [
    pytest.param(arch, qemu, kernel, id=f"{arch}-{qemu}-{kernel}")
    for arch in ARCHS
    for qemu in QEMUS
    for kernel, suite in KERNELS.items()
    if suite in architecture(arch).suites
]

REST = ("usb", "virtio", "virtconsole", "usb", "virtconsole", "virtio")
MIXED = {
    "x86_64": ("isa", "pci", "pci-2x", "pci-2x", *REST),
    "aarch64": ("uart", "pci", "pci-2x", "pci-2x", *REST),
    "riscv64": ("uart", "pci", "pci-2x", "pci-2x", *REST),
}
"""Kinds of serial0, serial1 …: no more 8250 than the smallest kernel has (four)."""

PAST = {"x86_64": "isa", "aarch64": "uart", "riscv64": "uart"}
"""What carries serial0 of a VM whose kinds go one past their limits."""


def test_kinds_mixed() -> None:
    """The one combination of every day; all are in the full run."""
    compare("x86_64", "7.2", "6.1", MIXED["x86_64"])


@pytest.mark.full
@pytest.mark.parametrize(("arch", "qemu", "kernel"), MATRIX)
def test_kinds_mixed_everywhere(arch: str, qemu: str, kernel: str) -> None:
    compare(arch, qemu, kernel, MIXED[arch])


@pytest.mark.full
@pytest.mark.parametrize(("arch", "qemu", "kernel"), MATRIX)
def test_a_card_of_four(arch: str, qemu: str, kernel: str) -> None:
    first = "uart" if PAST[arch] == "uart" else "usb"
    compare(arch, qemu, kernel, (first, *("pci-4x",) * 4))


@pytest.mark.full
@pytest.mark.parametrize(("arch", "qemu", "kernel"), MATRIX)
def test_one_past_each_limit_is_dead_and_said_so(arch: str, qemu: str, kernel: str) -> None:
    kinds = past_limits(arch, qemu, kernel)
    said, found = compare(arch, qemu, kernel, kinds)
    assert len(said["refusals"]) >= 2
    assert len(found) == len(said["ports"]) >= 12


@pytest.mark.full
def test_more_lines_than_the_classic_four() -> None:
    said, _ = compare("x86_64", "7.2", "6.1", ("isa", *("pci",) * 6), "8250.nr_uarts=8")
    nodes = [port["node_at_boot"] for port in said["ports"]]
    assert nodes == [f"/dev/ttyS{number}" for number in (0, 4, 5, 6, 7, 1, 2)]


@pytest.mark.full
@pytest.mark.parametrize("arch", ["x86_64", "aarch64"])
@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("flavour", FLAVOURS)
def test_flavours_of_a_kernel(arch: str, suite: str, flavour: str) -> None:
    kernel = f"{suite}-{flavour}"
    kinds = past_limits(arch, "7.2", kernel)
    said, _ = compare(arch, "7.2", kernel, kinds)
    no_usb = [one for one in said["refusals"] if one["id"] == "guest-driver-missing"]
    assert len(no_usb) == (1 if flavour == "cloud" else 0), "a cloud kernel has no USB"


@pytest.mark.full
def test_the_table_says_what_the_kernels_configurations_say() -> None:
    for arch in ARCHITECTURES.values():
        for suite, flavour in itertools.product(arch.suites, ("", *arch.flavours)):
            guest = ensure(arch.name, f"{suite}-{flavour}" if flavour else suite)
            assert facts(KNOWN[guest.name]) == facts(guest.profile), guest.name
            assert of_release(guest.release) == replace(KNOWN[guest.name], name=guest.release)


def facts(guest: GuestProfile) -> tuple[object, ...]:
    """Return what a plan takes from a profile."""
    return (guest.kernel, guest.nr_uarts, guest.runtime_uarts, guest.usb_serial, guest.pci_serial,
            guest.virtio_console, guest.pci_hotplug)  # fmt: skip


def past_limits(arch: str, qemu: str, kernel: str) -> tuple[str, ...]:
    """Return as many ports of each kind as the plan says can live, then one of each refused."""
    first = PAST[arch]
    most = {"uart": 2 if first == "uart" else 0, "usb": 2, "virtconsole": 9, "pci": 33}
    asked = [first, *(kind for kind, many in most.items() for _ in range(many))]
    with Guest(arch, qemu, kernel) as guest:
        said = echo_guest.plan(guest.words(asked))
    live = {port["port"]: port["kind"] for port in said["ports"]}
    past = [kind for number, kind in enumerate(asked) if f"serial{number}" not in live]
    return (*live.values(), *dict.fromkeys(past))


def compare(
    arch: str, qemu: str, kernel: str, kinds: Sequence[str], append: str = ""
) -> tuple[dict[str, Any], dict[str, Answer]]:
    """Plan these kinds, boot them, and hold what answers against the plan."""
    with Guest(arch, qemu, kernel, append) as guest:
        said, found = guest.boot(kinds)
    assert echo_guest.differences(said, found) == []
    for one, other in exchanged(said):
        assert echo_guest.differences(other, found), f"{one}: a wrong plan is not seen"
    return said, found


def exchanged(said: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield plans that are wrong in one thing: two nodes of one kind exchanged."""
    by_kind: dict[str, list[int]] = {}
    for number, port in enumerate(said["ports"]):
        by_kind.setdefault(port["kind"], []).append(number)
    for kind, numbers in by_kind.items():
        if len(numbers) > 1:
            other = copy.deepcopy(dict(said))
            first, last = other["ports"][numbers[0]], other["ports"][numbers[-1]]
            for key in ("node", "node_at_boot", "identity"):
                first[key], last[key] = last[key], first[key]
            yield kind, other


class Guest:
    """A kernel (of :data:`KERNELS`, or a suite's) on a QEMU, with a directory for sockets."""

    def __init__(self, arch: str, qemu: str, kernel: str, append: str = "") -> None:
        self.arch = arch
        self.append = append
        self.guest: TestGuest = ensure(arch, KERNELS.get(kernel, kernel))
        suite = QEMUS[qemu]
        # Apart from what other tests fetch: a directory has the QEMUs of one set of packages.
        own = cache_dir("foreign", f"{suite}-{arch}-only")
        self.binary = str(fetch(suite, [arch], own)[arch]) if suite else find(arch)

    def __enter__(self) -> Guest:
        """Make the directory; its path is short, for the sockets."""
        self._folder = tempfile.TemporaryDirectory(prefix="echo")
        self.where = Path(self._folder.name)
        self.initrd = echo_guest.initrd(self.guest, self.where)
        return self

    def __exit__(self, *_: object) -> None:
        """Remove it."""
        self._folder.cleanup()

    def words(self, kinds: Sequence[str]) -> list[str]:
        """Return what plan and showcmd are asked."""
        made = ["--arch", self.arch, "--ports", str(len(kinds)), "--console", kinds[0]]
        for number, kind in enumerate(kinds[1:], 1):
            made += ["--type", f"serial{number}={kind}"]
        made += ["--kernel", str(self.guest.kernel), "--initrd", str(self.initrd)]
        append = f"{echo_guest.append(self.guest)} {self.append}".strip()
        made += ["--append", append, "--guest", str(self.guest.config)]
        made += ["--qemu", self.binary, "--accel", "tcg", "--memory", "512"]
        return [*made, "--socket-dir", str(self.where)]

    def boot(self, kinds: Sequence[str]) -> tuple[dict[str, Any], dict[str, Answer]]:
        """Return what the plan says of these kinds, and what the echo finds.

        What the plan refuses must stand at the end; it is put into the VM all the same.
        """
        said = echo_guest.plan(self.words(kinds))
        names = [f"serial{number}" for number in range(len(kinds))]
        live = frozenset(port["port"] for port in said["ports"])
        assert live == set(names[: len(live)])
        assert {port for one in said["refusals"] for port in one["ports"]} == {*names} - live
        code, out, err = echo_guest.ask(["showcmd", *self.words(kinds[: len(live)]), "--json"])
        assert code == 0, err
        command: list[str] = json.loads(out)
        for name, kind in zip(names[len(live) :], kinds[len(live) :], strict=True):
            command += self.past(name, kind, said)
        return said, echo_guest.find(command, {name: self.where / name for name in names}, live)

    def past(self, name: str, kind: str, said: Mapping[str, Any]) -> list[str]:
        """Return the options of a port that the plan refuses: after all others of its kind."""
        made = ["-chardev", f"socket,id={name},path={self.where / name},server=on,wait=off"]
        if kind == "uart":
            return [*made, "-serial", f"chardev:{name}"]
        if kind == "pci-4x":
            cards = [port["device"]["id"] for port in said["ports"] if port["kind"] == kind]
            return [*made, "-set", f"device.{cards[0]}.chardev{len(cards) + 1}={name}"]
        if kind == "virtconsole":
            bus = next(port["bus"] for port in said["ports"] if port["kind"] == kind)
            return [*made, "-device", f"virtconsole,bus={bus},chardev={name},name={name}"]
        if kind == "usb":
            made += ["-device", "qemu-xhci,id=past-usb"]
            port = f"usb-serial,bus=past-usb.0,chardev={name},always-plugged=on,serial={name}"
            return [*made, "-device", port]
        # Linux looks behind bridges when it has seen the whole root bus.
        bridge = "pcie-root-port,chassis=77"
        if self.arch == "x86_64":
            bridge = "pci-bridge,chassis_nr=77"
        made += ["-device", f"{bridge},id=past"]
        address = "00.0" if self.arch != "x86_64" else "01.0"
        return [*made, "-device", f"{kind},bus=past,addr={address},chardev={name}".replace(
            "pci,", "pci-serial,", 1)]  # fmt: skip
