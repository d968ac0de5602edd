"""Network cards, at the places that PVE gives them."""

from __future__ import annotations

from vmserial.model import Nic
from vmserial.options import Scalar
from vmserial.planning.layout.base import Params, Section

NIC_DRIVERS = {"virtio": "virtio-net-pci"}


class Network(Section):
    """The network's part of a layout."""

    def nics(self) -> None:
        """Add the network cards and their backends."""
        for nic in self.allocator.machine.nics:
            name = f"net{nic.index}"
            driver = NIC_DRIVERS.get(nic.model, nic.model)
            if not self.need(driver, name, nic.where, "use model virtio"):
                continue
            mode, backend = self.netdev(name, nic)
            self.add("-netdev", mode, *backend, role="net")
            slot = 0x12 + nic.index if nic.index < 6 else 0x1F
            params: list[tuple[str, Scalar]] = [("id", name), *self.at(slot)]
            params.append(("netdev", name))
            if nic.mac:
                params.append(("mac", nic.mac))
            params += self.card_properties(name, nic, driver, mode)
            if nic.boot_index:
                params.append(("bootindex", nic.boot_index))
            self.add("-device", driver, *params, role="net")

    def card_properties(self, name: str, nic: Nic, driver: str, mode: str) -> Params:
        """Return what a card's line says of it beside its place, its address and its backend."""
        params: list[tuple[str, Scalar]] = []
        if nic.queues and mode == "tap" and driver == "virtio-net-pci":
            params += [("mq", True), ("vectors", 2 * nic.queues + 2)]
        elif nic.queues:
            why = "QEMU has several queues only with virtio on a tap that is named"
            self.left_out(f"{name}: queues={nic.queues}", why, nic.where)
        if nic.mtu and driver == "virtio-net-pci":
            params.append(("host_mtu", nic.mtu))
        elif nic.mtu:
            self.left_out(f"{name}: mtu={nic.mtu}", f"only virtio has it, not {driver}", nic.where)
        if nic.link_down:
            self.note(
                f"{name}: link_down cannot be said on the command line: the link is up",
                f"set it down in QMP: set_link name={name} up=false",
                nic.where,
            )
        return tuple(params)

    def netdev(self, name: str, nic: Nic) -> tuple[str, Params]:
        """Return the type and the parameters of ``-netdev``."""
        if nic.mode == "user":
            return "user", (("id", name),)
        if nic.bridge:
            # QEMU's own helper makes the tap and joins the bridge; a script would be PVE's.
            return "bridge", (("id", name), ("br", nic.bridge))
        params: list[tuple[str, Scalar]] = [("id", name)]
        if nic.ifname:
            params.append(("ifname", nic.ifname))
        params += [("script", "no"), ("downscript", "no")]
        if nic.queues:
            params.append(("queues", nic.queues))
        return "tap", tuple(params)
