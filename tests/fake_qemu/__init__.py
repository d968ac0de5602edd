"""A QEMU that is a Python program: verify's far end without any emulation.

:func:`make` writes an executable that takes the command line of a plan,
answers QMP on the descriptor that it was passed, gives every chardev a real
socket or pseudo-terminal, and plays the guest with a real shell whose sysfs and
device nodes are a tree of its own.  A whole run of verify against it takes
about a second, and it can be told to misbehave (:class:`Fault`), so that every
verdict has a test that turns it red.
"""

from __future__ import annotations

from fake_qemu.faults import Fault
from fake_qemu.program import make

__all__ = ["Fault", "make"]
