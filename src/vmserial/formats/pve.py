"""PVE's configuration files, ``/etc/pve/qemu-server/<VMID>.conf``: text, document, machine.

The grammar is in :mod:`~vmserial.formats.pve_document`, the translation in
:mod:`~vmserial.formats.pve_machine`, the serial ports with our directives in
:mod:`~vmserial.formats.pve_serial`.
"""

from __future__ import annotations

from vmserial.formats.pve_document import Document, Remark, Section, Setting
from vmserial.formats.pve_machine import machine

__all__ = ["Document", "Remark", "Section", "Setting", "machine"]
