"""A VM that libvirt starts, for this machine's QEMU: libvirt's own devices at its own places.

The guest must find the hardware that it knows.  What is behind a device (a disk's image, a
network, a source of random numbers) is written here; what only the domain's own host has, or
what libvirt alone needs, is put in its place or left out, and named.
"""

from __future__ import annotations

from dataclasses import replace

from vmserial.model import Disk, Nic, TcpSocket
from vmserial.model.origin import LoweredCommand, LoweredOption
from vmserial.options import Option, Scalar
from vmserial.planning.kept import chardev_of
from vmserial.planning.layout import Layout
from vmserial.planning.layout.base import Params
from vmserial.planning.layout.owner import STOCK

_OF_THE_HOST = ("usb-host", "vfio-", "vhost-", "virtio-9p", "virtio-input-host")
"""What devices are called that need something of the domain's own host."""

_SCREENS = frozenset({"spicevmc", "spiceport", "dbus"})
"""Host ends that are there only with a screen of their own."""

_SOUND = frozenset({"AC97", "ES1370", "usb-audio", "virtio-sound-pci"})
_HDA = frozenset({"intel-hda", "ich9-intel-hda"})
_NEEDED = ("pci", "usb", "xhci", "hci", "virtio-serial", "virtio-scsi", "i82801b11")
"""What controllers and bridges are called: without them other devices have no place."""


class DomainLayout(Layout):
    """The options of everything but the ports, as libvirt has them."""

    lowered: LoweredCommand

    def build(self) -> None:
        """Append all options, in libvirt's order."""
        self.identity()
        self.machine_and_cpu()
        self.firmware_and_boot()
        self.flag("-display", "none", "display")
        machine = self.allocator.machine
        used = {
            port.chardev.backend.tls_creds for port in machine.ports
            if isinstance(port.chardev.backend, TcpSocket)
        }  # fmt: skip
        hosts = {
            str(dict(o.option.params).get("tls-creds")) for o in self.lowered.options
            if o.option.flag == "-chardev" and not self._is_port(o)
        }  # fmt: skip
        self._objects = used | hosts
        self._sounds = False
        for each in self.lowered.options:
            if each.origin.owner != "user" and not self._is_port(each):
                self._option(each)
        there = {id(thing) for thing in self.lowered.behind.values()}
        others = tuple(disk for disk in machine.disks if id(disk) not in there)
        self._scsi |= {
            str(dict(o.params).get("id")) for o in self.options if o.flag == "-device"
        }  # fmt: skip
        self.disks(others)
        self._say()

    def _is_port(self, each: LoweredOption) -> bool:
        """Tell whether an option is a port that is planned, or its host's end."""
        id = str(dict(each.option.params).get("id", ""))
        if each.option.flag == "-chardev":
            return id in self.lowered.numbers
        return chardev_of(each) in self.lowered.numbers

    def _option(self, each: LoweredOption) -> None:
        """Take over one option."""
        option = each.option
        id = str(dict(option.params).get("id", ""))
        if option.flag == "-device":
            self._device(each, id)
        elif option.flag == "-chardev":
            self._host_end(each, id)
        elif option.flag in {"-netdev", "-usb"} or id in self._objects:
            self.options.append(option)

    def _host_end(self, each: LoweredOption, id: str) -> None:
        """Take over the host's end of what is no port; null where it is a screen's."""
        option, known = each.option, self.allocator.capabilities.chardevs
        if option.head in _SCREENS or (known and option.head not in known):
            why = "no screen is started here"
            if option.head not in _SCREENS:
                why = "this QEMU does not have it"
            self.note(
                f"{id.removeprefix('char')}: its host end {option.head} leads nowhere: {why}",
                "the guest keeps its device", each.origin.where,
            )  # fmt: skip
            option = Option("-chardev", "null", (("id", id),))
        self.options.append(replace(option, role="agent"))

    def _device(self, each: LoweredOption, id: str) -> None:
        """Take over a device with what is behind it."""
        option, where = each.option, each.origin.where
        driver = STOCK.get(option.head, option.head)
        thing = self.lowered.behind.get(id)
        name = id or driver
        if driver.startswith(_OF_THE_HOST):
            self.left_out(f"{name} ({driver})", "it is the domain's own host's", where)
            return
        if driver.startswith(("virtio-blk", "usb-storage")) and not isinstance(thing, Disk):
            return  # the reader says which disk it is
        if not self.has(driver):
            if any(word in driver for word in _NEEDED):
                self.need(driver, name, where, "use a QEMU that has it")
                return
            self.left_out(f"{name} ({driver})", "this QEMU does not have it", where)
            return
        params = list(option.params)
        role = "controller"
        if isinstance(thing, Disk):
            role = "disk"
            if thing.path:
                self.block(f"drive-{id}", thing)
                params.insert(0, ("drive", f"drive-{id}"))
            params += self.properties(thing, driver)
        elif isinstance(thing, Nic):
            role = "net"
            mode, backend = self.netdev(f"host{id}", thing)
            self.add("-netdev", mode, *backend, role="net")
            params.insert(0, ("netdev", f"host{id}"))
            if thing.mac:
                params.append(("mac", thing.mac))
            params += self.card_properties(f"host{id}", thing, driver, mode)
        elif driver.startswith("virtio-rng"):
            role = "other"
            self.add("-object", "rng-random", ("id", f"obj{id}"), ("filename", "/dev/urandom"),
                     role="other")  # fmt: skip
            params.insert(0, ("rng", f"obj{id}"))
        elif driver in _SOUND | _HDA:
            role = "other"
            params += self._audio(driver)
        self.add("-device", driver, *params, role=role)
        if driver in _HDA:
            codec: Params = (("id", f"{id}-codec0"), ("bus", f"{id}.0"), ("cad", 0),
                             ("audiodev", "audio1"))  # fmt: skip
            self.add("-device", "hda-duplex", *codec, role="other")

    def _audio(self, driver: str) -> list[tuple[str, Scalar]]:
        """Return what a sound card says of its other end, which is silent."""
        if not self._sounds:
            self._sounds = True
            self.add("-audiodev", "none", ("id", "audio1"), role="other")
        return [("audiodev", "audio1")] if driver in _SOUND else []

    def _say(self) -> None:
        """Name what is libvirt's alone, and what vmserial does otherwise."""
        machine = self.allocator.machine
        self.note(
            "what libvirt alone needs (its monitor, its secrets, -S, -sandbox, the screens) is "
            "left out", "vmserial starts the VM itself; the guest sees none of it", machine.where,
        )  # fmt: skip
