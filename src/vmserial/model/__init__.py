"""What a VM is, what a binary and a guest can carry, and what was planned: plain data.

Everything here is frozen and knows no I/O.  A reader in :mod:`vmserial.sources`
makes a :class:`Machine`; :mod:`vmserial.qemu.binary` makes
:class:`Capabilities`; :mod:`vmserial.guests.profile` makes a
:class:`GuestProfile`; :func:`vmserial.planning.planner.plan` turns the three into a
:class:`Plan`.

No ``slots=True`` here: it makes each class twice, which costs every start of
the command line 12 ms, and there are too few objects for it to save anything.
"""

from __future__ import annotations

from vmserial.model.backends import (
    Backend,
    Chardev,
    File,
    HostTty,
    Null,
    Pipe,
    Pty,
    Ringbuf,
    Stdio,
    TcpSocket,
    Udp,
    UnixSocket,
    Vc,
)
from vmserial.model.carries import ALL_BYTES, Carries, Way
from vmserial.model.finding import (
    Finding,
    Located,
    Repair,
    Severity,
    refusal,
    worst_first,
)
from vmserial.model.hardware import (
    ABSENT,
    MMIO_WORDS,
    PCI_UARTS,
    VIRTIO_PORTS,
    Capabilities,
    DeviceType,
    GuestProfile,
    MachineType,
)
from vmserial.model.machine import (
    Agent,
    Cpu,
    DirectBoot,
    Disk,
    Display,
    Firmware,
    Machine,
    Nic,
    PortState,
    PveSerial,
    SerialPort,
    Topology,
)
from vmserial.model.plan import Assignment, Device, IdentityKind, NodeIdentity, Plan
from vmserial.model.source import Note, SourceRef

__all__ = [
    "ABSENT",
    "ALL_BYTES",
    "MMIO_WORDS",
    "PCI_UARTS",
    "VIRTIO_PORTS",
    "Agent",
    "Assignment",
    "Backend",
    "Capabilities",
    "Carries",
    "Chardev",
    "Cpu",
    "Device",
    "DeviceType",
    "DirectBoot",
    "Disk",
    "Display",
    "File",
    "Finding",
    "Firmware",
    "GuestProfile",
    "HostTty",
    "IdentityKind",
    "Located",
    "Machine",
    "MachineType",
    "Nic",
    "NodeIdentity",
    "Note",
    "Null",
    "Pipe",
    "Plan",
    "PortState",
    "Pty",
    "PveSerial",
    "Repair",
    "Ringbuf",
    "SerialPort",
    "Severity",
    "SourceRef",
    "Stdio",
    "TcpSocket",
    "Topology",
    "Udp",
    "UnixSocket",
    "Vc",
    "Way",
    "refusal",
    "worst_first",
]
