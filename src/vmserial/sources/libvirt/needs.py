"""What the answers to findings ask of one element of a domain, put together."""

from __future__ import annotations

from dataclasses import dataclass

from vmserial.sources.libvirt.chardevice import CharDevice
from vmserial.sources.libvirt.elements import Element


@dataclass(eq=False)
class Need:
    """What an element needs.

    Attributes:
        element: the element.
        port: the port that it is; None: it is another device.
        kind: another device: ``usb``, ``pci``, ``virtio``, ``virtconsole``, ``isa``, ``system``,
            ``sclp``, ``sclplm``, ``spapr``; empty: it keeps its own.
        keep: it stays what it is, and gets another place.
        name: of a virtio port.
        drop_address: libvirt is to choose its address.
        slot: the PCI address that it gets, where libvirt would choose one that does not do.
        drop_alias: its alias is somebody else's.
        path: another socket path.
        log: a log file.
        log_is_new: there was none.
        number: another number of its ISA port.
        rename: another name of its virtio port.
        type: another host's end.
        plug: it is a usb-serial that is to be there from the start.
    """

    element: Element
    port: CharDevice | None
    kind: str = ""
    keep: bool = False
    name: str = ""
    drop_address: bool = False
    slot: str = ""
    drop_alias: bool = False
    path: str = ""
    log: str = ""
    log_is_new: bool = False
    number: int | None = None
    rename: str = ""
    type: str = ""
    plug: bool = False

    @property
    def plugs_only(self) -> bool:
        """Tell whether nothing of the element itself changes."""
        return self.plug and not self.changes

    @property
    def changes(self) -> bool:
        """Tell whether anything of the element changes."""
        return bool(
            self.kind or self.drop_address or self.drop_alias or self.path or self.log
            or self.number is not None or self.rename or self.type
        )  # fmt: skip

    def add(self, other: Need) -> None:
        """Take in what another answer asks of the same element."""
        self.kind, self.keep = self.kind or other.kind, self.keep or other.keep
        self.drop_address = self.drop_address or other.drop_address
        self.drop_alias = self.drop_alias or other.drop_alias
        self.number = other.number if self.number is None else self.number
        self.plug = self.plug or other.plug
        self.log_is_new = self.log_is_new or other.log_is_new
        for key in ("name", "slot", "path", "log", "rename", "type"):
            setattr(self, key, getattr(self, key) or getattr(other, key))
