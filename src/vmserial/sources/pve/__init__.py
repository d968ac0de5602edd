"""PVE's configuration files, ``/etc/pve/qemu-server/<VMID>.conf``: text, document, machine.

The grammar is in :mod:`~vmserial.sources.pve.document`, the translation in
:mod:`~vmserial.sources.pve.machine`, the serial ports with our directives in
:mod:`~vmserial.sources.pve.serial`.
"""

from __future__ import annotations

from vmserial.sources.pve.document import Document, Remark, Section, Setting
from vmserial.sources.pve.machine import machine

__all__ = ["Document", "Remark", "Section", "Setting", "machine"]
