"""What the user's words say, as the rooms below take it; without click."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vmserial.cli.subject import Input

Single = tuple[tuple[int, str], ...]
"""Pairs of a port's number and a value for it."""


@dataclass(frozen=True, slots=True)
class VmOptions:
    """What the user's words say about the VM, its binary and its guest.

    An empty or None value is one that was not said; the names are those of
    :class:`vmserial.sources.overrides.Overrides` where they mean the same.

    Attributes:
        input: a path, a VM's number, a domain's name, shell text, ``-``; empty: options alone.
        command: the words after ``--``: a QEMU command.
        root: the directory that stands for ``/`` of a PVE host.
        connect: the URI of libvirt, where a domain is given by its name.
        arch: the architecture; empty also where several are in ``archs``.
        archs: all that were said so.
        kind: the device of every port but serial0; empty also where several are in ``kinds``.
        kinds: all that was said so.
        qemu: binaries; empty: the one of the VM's architecture in ``$PATH``.
        guest: a profile's name or a kernel configuration's path.
        memory_mib: in MiB.
        given: what was found there, once :func:`vmserial.cli.subject.resolved` has looked.
    """

    input: str = ""
    arch: str = ""
    archs: tuple[str, ...] = ()
    name: str = ""
    ports: int | None = None
    machine_type: str = ""
    kind: str = ""
    kinds: tuple[str, ...] = ()
    port_kinds: Single = ()
    console_kind: str = ""
    backend: str = ""
    port_backends: Single = ()
    socket_dir: str = ""
    hotplug: bool | None = None
    guest: str = ""
    qemu: tuple[str, ...] = ()
    accel: str = ""
    memory_mib: int | None = None
    vcpus: int | None = None
    cpu: str = ""
    kernel: str = ""
    initrd: str = ""
    append: str = ""
    vmid: int | None = None
    snapshot: str | None = None
    pending: bool = False
    command: tuple[str, ...] = ()
    root: str = "/"
    connect: str = ""
    given: Input | None = None
