"""libvirt's domain XML: read without loss, looked at, translated.

document = Document.parse(raw, "guest.xml")     lossless; refuses entities
domain = Domain.of(document)                    what matters of it for serial ports
machine(domain)                                 as a Machine, for the planner
"""

from __future__ import annotations

from vmserial.sources.libvirt.chardevice import Address, CharDevice
from vmserial.sources.libvirt.document import Document
from vmserial.sources.libvirt.elements import Element, Node, Splice
from vmserial.sources.libvirt.machine import machine
from vmserial.sources.libvirt.view import QEMU_NAMESPACE, Controller, Domain

__all__ = [
    "QEMU_NAMESPACE",
    "Address",
    "CharDevice",
    "Controller",
    "Document",
    "Domain",
    "Element",
    "Node",
    "Splice",
    "machine",
]
