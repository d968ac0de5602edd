"""Everything of a Machine that is not a serial port, as options with explicit addresses.

The places are those of PVE's fixed map where it has one (video at slot 2,
balloon 3, scsi 5, sata 7, agent 8, virtio disks from 0xa, network from 0x12), so
that a guest that came from PVE keeps the names of its cards; what does not fit
on the root bus goes to a bridge at 0x1e, as there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from vmserial.board import Board
from vmserial.model import Disk, Nic, Note, Refusal, SourceRef
from vmserial.options import Option, Scalar

Params = tuple[tuple[str, Scalar], ...]

# Models that PVE offers by name and stock QEMU does not have: the nearest
# stock model and the flags that make the difference (x86-64 psABI levels).
PVE_CPUS = {
    "x86-64-v2": ("qemu64", "+popcnt,+pni,+sse4.1,+sse4.2,+ssse3"),
    "x86-64-v2-AES": ("qemu64", "+aes,+popcnt,+pni,+sse4.1,+sse4.2,+ssse3"),
    "x86-64-v3": (
        "qemu64",
        "+aes,+popcnt,+pni,+sse4.1,+sse4.2,+ssse3,+avx,+avx2,+bmi1,+bmi2,+f16c,+fma,+abm,"
        "+movbe,+xsave",
    ),
    "x86-64-v4": (
        "qemu64",
        "+aes,+popcnt,+pni,+sse4.1,+sse4.2,+ssse3,+avx,+avx2,+bmi1,+bmi2,+f16c,+fma,+abm,"
        "+movbe,+xsave,+avx512f,+avx512bw,+avx512cd,+avx512dq,+avx512vl",
    ),
}

X86_CPU = re.compile(
    "(?:kvm|qemu)(?:32|64)|x86-64-v.*|486|athlon|core2?duo|phenom|pentium.*|Conroe|Penryn"
    "|(?:Nehalem|Westmere|SandyBridge|IvyBridge|Haswell|Broadwell|Skylake|Cascadelake|Cooperlake"
    "|Icelake|SapphireRapids|GraniteRapids|SierraForest|KnightsMill|Opteron_G|EPYC).*"
)
"""The x86 models that PVE offers: a configuration of one host may be planned for another."""

NIC_DRIVERS = {"virtio": "virtio-net-pci"}
SCSI_DRIVERS = {
    "lsi": "lsi53c895a",
    "lsi53c810": "lsi53c810",
    "megasas": "megasas",
    "pvscsi": "pvscsi",
    "virtio-scsi-pci": "virtio-scsi-pci",
    "virtio-scsi-single": "virtio-scsi-pci",
}
LSI_DISKS = 7
"""Disks of one lsi controller; further ones get another, as in PVE."""

VIDEO_DRIVERS = {
    "std": "VGA",
    "cirrus": "cirrus-vga",
    "vmware": "vmware-svga",
    "qxl": "qxl-vga",
    "virtio": "virtio-vga",
    "virtio-gl": "virtio-vga-gl",
}


@dataclass
class Layout:
    """The options of everything but the ports, and what must be said about them."""

    board: Board
    options: list[Option] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    _bridges: dict[str, int] = field(default_factory=dict)
    _scsi: set[str] = field(default_factory=set)

    # -------------------------------------------------------------- small parts

    def add(self, flag: str, head: str = "", *params: tuple[str, Scalar], role: str) -> None:
        """Append one option."""
        self.options.append(Option(flag, head, params, role=role))

    def flag(self, flag: str, raw: str | None, role: str) -> None:
        """Append an option whose value is not in the key=value grammar."""
        self.options.append(Option(flag, raw=raw, role=role))

    def note(self, message: str, hint: str, where: SourceRef | None) -> None:
        """Say what was put in another thing's place."""
        self.notes.append(Note("replaced", message, where, hint))

    def left_out(self, what: str, why: str, where: SourceRef | None) -> None:
        """Say what has no part in the command."""
        self.notes.append(Note("untranslated", f"{what} is left out", where, why))

    def has(self, driver: str) -> bool:
        """Tell whether the binary has ``driver``; an unknown binary has everything."""
        known = self.board.capabilities.devices
        return not known or driver in known

    def need(self, driver: str, what: str, where: SourceRef | None, hint: str) -> bool:
        """Refuse by name what the binary does not have; True if it has it."""
        if self.has(driver):
            return True
        self.refusals.append(
            Refusal(
                "binary-no-device",
                f"{what} needs '{driver}', which is not a device of this QEMU "
                f"({self.board.capabilities.target} {self.board.capabilities.version_text})",
                hint,
                where=where,
            )
        )
        return False

    def at(self, slot: int, owner: str) -> Params:
        """Take a root-bus slot if it is free, else a place on a bridge."""
        board = self.board
        if slot <= 0x1D and slot not in board.platform.board_slots and not board.slot_owner(slot):
            board.take(slot, 0, owner)
            return (("bus", board.platform.root_bus), ("addr", f"{slot:02x}.0"))
        return self.behind_bridge(owner)

    def behind_bridge(self, owner: str) -> Params:
        """Take the next slot of a pci-bridge, adding one where all are full."""
        for name, used in self._bridges.items():
            if used < 0x1F:
                self._bridges[name] = used + 1
                return (("bus", name), ("addr", f"{used + 1:02x}.0"))
        number = len(self._bridges) + 1
        name = f"pci.{number}"
        function = number - 1
        self.board.take(0x1E, function, name)
        multifunction: Params = (("multifunction", True),) if function == 0 else ()
        self.add(
            "-device",
            "pci-bridge",
            ("id", name),
            ("chassis_nr", number),
            ("bus", self.board.platform.root_bus),
            ("addr", f"1e.{function}"),
            *multifunction,
            role="controller",
        )
        self._bridges[name] = 0
        return self.behind_bridge(owner)

    # -------------------------------------------------------------- the parts of a VM

    def build(self) -> None:
        """Append all options, in the order in which people read a command line."""
        self.identity()
        self.machine_and_cpu()
        self.firmware_and_boot()
        self.video()
        self.usb_input()
        self.agent()
        self.disks()
        self.nics()
        self.extras()

    def identity(self) -> None:
        """Say what the VM is called and what the guest reads of itself."""
        machine = self.board.machine
        self.add("-name", "", ("guest", machine.name), role="machine")
        self.flag("-nodefaults", None, "machine")
        self.flag("-no-user-config", None, "machine")
        smbios = dict(machine.smbios)
        uuid = smbios.pop("uuid", machine.uuid)
        params: list[tuple[str, Scalar]] = [("type", "1")]
        if uuid:
            params.append(("uuid", uuid))
        params += smbios.items()
        if len(params) > 1:
            self.add("-smbios", "", *params, role="machine")
        if machine.localtime:
            self.add("-rtc", "", ("base", "localtime"), role="machine")

    def machine_and_cpu(self) -> None:
        """Say the board, the accelerator, the CPUs and the memory."""
        board, machine = self.board, self.board.machine
        accel = machine.accel
        if accel == "auto":
            accel = "kvm" if "kvm" in board.capabilities.accelerators else "tcg"
        options = dict(machine.machine_options)
        vcpus = max(machine.topology.vcpus, 1)
        most = max(machine.topology.sockets * machine.topology.cores, vcpus)
        if board.architecture.name == "aarch64" and most > 8:
            # GICv2, the board's default under TCG, ends at eight CPUs.
            options.setdefault("gic-version", "3")
        machine_type = board.architecture.machine_type(machine.machine_type)
        self.add("-machine", machine_type, *options.items(), role="machine")
        self.flag("-accel", accel, "machine")
        model, flags = machine.cpu.model, list(machine.cpu.flags)
        if not board.platform.isa:
            if X86_CPU.fullmatch(model):
                self.note(
                    f"cpu {model} is a model of x86: the default of {board.architecture.name} is "
                    "used, without flags",
                    "name one of its models, or host",
                    machine.place_of("cpu"),
                )
                model, flags = "", []
            # Only x86 takes "+flag" and "-flag".
            signs = {"+": "on", "-": "off"}
            flags = [f"{f[1:]}={signs[f[0]]}" if f[0] in signs else f for f in flags]
        if not model and board.architecture.tcg_cpu:
            model = "host" if accel == "kvm" else board.architecture.tcg_cpu
        if accel == "tcg" and model == "host":
            model = "max"
            self.note(
                "cpu host needs KVM, which is not usable here: max is used",
                "name a cpu model of your own",
                machine.place_of("cpu"),
            )
        if model in PVE_CPUS:
            stock, more = PVE_CPUS[model]
            self.note(
                f"cpu {model} is a name of PVE's: {stock} with {more} is used",
                "name a model of stock QEMU to choose yourself",
                machine.place_of("cpu"),
            )
            model, flags = stock, [*more.split(","), *flags]
        if model or flags:
            # -cpu takes "+flag" and "-flag", which are not key=value; the model and
            # each flag are checked so that none can carry a comma.
            parts = [model or "max", *flags]
            for part in parts:
                if "," in part or "\0" in part:
                    self.refusals.append(
                        Refusal(
                            "bad-value",
                            f"cpu {part!r} holds a character that -cpu cannot carry",
                            "give the flags one by one",
                            where=machine.place_of("cpu"),
                        )
                    )
                    return
            self.flag("-cpu", ",".join(parts), "machine")
        smp: list[tuple[str, Scalar]] = [("sockets", machine.topology.sockets)]
        smp += [("cores", machine.topology.cores), ("maxcpus", most)]
        self.add("-smp", str(vcpus), *smp, role="machine")
        self.flag("-m", f"{machine.memory_mib}M", "machine")

    def firmware_and_boot(self) -> None:
        """Say what is booted: a kernel, UEFI, or the machine's own firmware."""
        board, machine = self.board, self.board.machine
        firmware = machine.firmware
        if machine.boot is not None:
            self.flag("-kernel", machine.boot.kernel, "boot")
            if machine.boot.initrd:
                self.flag("-initrd", machine.boot.initrd, "boot")
            if machine.boot.append:
                self.flag("-append", machine.boot.append, "boot")
        wants_ovmf = firmware.kind == "ovmf"
        if firmware.kind == "default" and board.architecture.name == "aarch64":
            # The board has no firmware of its own.
            wants_ovmf = machine.boot is None
        if not wants_ovmf:
            if firmware.kind == "seabios" and not board.platform.isa:
                self.note(
                    f"seabios does not exist for {board.architecture.name}: UEFI is used",
                    "set bios: ovmf",
                    machine.place_of("firmware"),
                )
                wants_ovmf = machine.boot is None
            if not wants_ovmf:
                return
        code = firmware.code or board.architecture.firmware
        # -bios takes whole blocks of 64 KiB, which OVMF_CODE_4M.fd is not.
        if not firmware.variables and not board.platform.isa:
            self.flag("-bios", code, "firmware")
            return
        for unit, path, format, readonly in (
            (0, code, "raw", True),
            (1, firmware.variables, firmware.variables_format, False),
        ):
            if not path:
                self.note(
                    "ovmf has no variable store: its settings last until QEMU ends",
                    "give it one (PVE: efidisk0)",
                    machine.place_of("firmware"),
                )
                continue
            self.add(
                "-drive",
                "",
                ("if", "pflash"),
                ("unit", unit),
                ("format", format),
                ("readonly", readonly),
                ("file", path),
                role="firmware",
            )

    def video(self) -> None:
        """Say which graphics card there is; its screen is never shown by itself."""
        machine = self.board.machine
        self.flag("-display", "none", "display")
        kind = machine.display.kind
        if kind in {"none", "serial"}:
            return
        where = machine.place_of("display")
        if self.board.platform.isa:
            driver = VIDEO_DRIVERS.get(kind, "")
        else:
            driver = "virtio-gpu-pci"
            if kind != "virtio":
                self.note(
                    f"vga {kind} does not exist on {self.board.architecture.name}: virtio is used",
                    "set vga: virtio",
                    where,
                )
        hint = "set vga: virtio or none"
        if not driver:
            self.note(f"vga {kind} is not known: no graphics", hint, where)
            return
        if not self.need(driver, f"vga {kind}", where, hint):
            return
        params: list[tuple[str, Scalar]] = [("id", "vga"), *self.at(2, "vga")]
        if machine.display.memory_mib and driver in {"VGA", "qxl-vga", "vmware-svga"}:
            params.append(("vgamem_mb", machine.display.memory_mib))
        elif machine.display.memory_mib:
            self.left_out("vga memory", f"{driver} has no such property", where)
        self.add("-device", driver, *params, role="display")
        self.note(
            "the graphics card is there, its screen is not shown",
            "add '-vnc unix:PATH' or '-display gtk' to args to see it",
            where,
        )

    def usb_input(self) -> None:
        """Add the USB controller, tablet and keyboard that were asked for."""
        board, machine = self.board, self.board.machine
        if not (machine.tablet or machine.keyboard or machine.usb_controller):
            return
        driver = machine.usb_controller or ("piix3-usb-uhci" if not board.platform.pcie
                                            else "usb-ehci")  # fmt: skip
        if not self.need(driver, "the usb tablet", machine.place_of("tablet"), "set tablet: 0"):
            return
        if driver == "piix3-usb-uhci":
            board.take(1, 2, "usb")
            place: Params = (("bus", board.platform.root_bus), ("addr", "01.2"))
        else:
            place = self.at(1, "usb") if board.platform.pcie else self.at(0x1B, "usb")
        self.add("-device", driver, ("id", "usb"), *place, role="input")
        for wanted, device, port in (
            (machine.tablet, "usb-tablet", 1),
            (machine.keyboard, "usb-kbd", 2),
        ):
            if wanted:
                self.add(
                    "-device", device, ("id", device[4:]), ("bus", "usb.0"), ("port", str(port)),
                    role="input",
                )  # fmt: skip

    def agent(self) -> None:
        """Add the guest agent's port, which takes a virtio port or an ISA index."""
        board, agent = self.board, self.board.machine.agent
        if agent is None:
            return
        isa = agent.kind == "isa"
        if isa and not (board.platform.isa and self.has("isa-serial")):
            self.refusals.append(
                Refusal(
                    "agent-isa-not-on-arch",
                    "agent type=isa: 'isa-serial' is not a valid device model name on "
                    f"{board.architecture.name}",
                    "use agent: 1 (virtio)",
                    where=agent.where,
                )
            )
            return
        if isa and not board.isa_free:
            self.refusals.append(
                Refusal(
                    "isa-limit",
                    "agent type=isa: Max. supported number of ISA serial ports is 4",
                    "use agent: 1 (virtio)",
                    where=agent.where,
                )
            )
            return
        self.add(
            "-chardev", "socket", ("id", "qga0"), ("path", agent.path), ("server", True),
            ("wait", False), role="agent",
        )  # fmt: skip
        if isa:
            # The last index: the ports keep COM1 and up.
            index = board.isa_free.pop()
            board.uarts_8250 += 1
            self.add(
                "-device", "isa-serial", ("id", "qga"), ("index", index), ("chardev", "qga0"),
                role="agent",
            )  # fmt: skip
            return
        self.add("-device", "virtio-serial-pci", ("id", "qga0"), *self.at(8, "agent"), role="agent")
        self.add(
            "-device", "virtserialport", ("id", "qga0-port"), ("bus", "qga0.0"), ("nr", 1),
            ("chardev", "qga0"), ("name", "org.qemu.guest_agent.0"), role="agent",
        )  # fmt: skip

    # -------------------------------------------------------------- disks

    def disks(self) -> None:
        """Add controllers and drives; what the board has no bus for moves to scsi."""
        sata_ready = False
        scsi_used = {disk.index for disk in self.board.machine.disks if disk.bus == "scsi"}
        for disk in self.board.machine.disks:
            bus, index = disk.bus, disk.index
            name = f"{bus}{index}"
            if bus == "ide" and not self.board.platform.ide:
                index = next(n for n in range(256) if n not in scsi_used)
                scsi_used.add(index)
                self.note(
                    f"{name}: there is no IDE on {self.board.architecture.name}: it becomes "
                    f"scsi{index}",
                    f"the guest must have the driver of {self.scsi_driver}",
                    disk.where,
                )
                bus = "scsi"
            node = f"drive-{name}"
            device: list[tuple[str, Scalar]] = [("id", name)]
            if disk.path:
                self.block(node, disk)
                device.append(("drive", node))
            if disk.boot_index:
                device.append(("bootindex", disk.boot_index))
            if disk.serial:
                device.append(("serial", disk.serial))
            if bus == "virtio":
                driver = "virtio-blk-pci"
                slot = 0xA + index if index < 6 else 0x1F
                device[1:1] = self.at(slot, name)
            elif bus == "scsi":
                driver = "scsi-cd" if disk.cdrom else "scsi-hd"
                device[1:1] = self.scsi_place(index)
            elif bus == "sata":
                if not sata_ready:
                    if not self.need("ich9-ahci", name, disk.where, "use scsi or virtio"):
                        continue
                    self.add(
                        "-device", "ich9-ahci", ("id", "ahci0"), *self.at(7, "ahci"), role="disk"
                    )
                    sata_ready = True
                driver = "ide-cd" if disk.cdrom else "ide-hd"
                device[1:1] = [("bus", f"ahci0.{index}"), ("unit", 0)]
            else:
                driver = "ide-cd" if disk.cdrom else "ide-hd"
                if self.board.platform.ide == "six-ports":
                    device[1:1] = [("bus", f"ide.{index}"), ("unit", 0)]
                else:
                    device[1:1] = [("bus", f"ide.{index // 2}"), ("unit", index % 2)]
            if disk.ssd and driver in {"ide-hd", "scsi-hd"}:
                device.append(("rotation_rate", 1))
            elif disk.ssd:
                self.left_out(f"{name}: ssd", f"{driver} has no such property", disk.where)
            if disk.cache in {"writethrough", "directsync"} and not disk.cdrom:
                # -blockdev cannot say it; -drive would set the same property.
                device.append(("write-cache", False))
            if disk.readonly and driver == "ide-hd":
                self.refusals.append(
                    Refusal(
                        "disk-readonly",
                        f"{name}: QEMU has no read-only disks on {disk.bus}",
                        "use scsi or virtio, or media=cdrom",
                        where=disk.where,
                    )
                )
            if self.need(driver, name, disk.where, "use scsi or virtio"):
                self.add("-device", driver, *device, role="disk")

    def block(self, node: str, disk: Disk) -> None:
        """Append ``-blockdev``: unlike -drive, no value of it can name a protocol."""
        cache: list[tuple[str, Scalar]] = []
        if disk.cache in {"none", "directsync", ""} and not disk.cdrom:
            cache.append(("cache.direct", True))
        if disk.cache == "unsafe":
            cache.append(("cache.no-flush", True))
        file: list[tuple[str, Scalar]] = [
            ("file.driver", _file_driver(disk)),
            ("file.filename", disk.path),
            *((f"file.{key}", value) for key, value in cache),
        ]
        self.add(
            "-blockdev",
            "",
            ("driver", disk.format),
            ("node-name", node),
            ("read-only", disk.cdrom or disk.readonly),
            ("discard", "unmap" if disk.discard else "ignore"),
            *cache,
            *file,
            role="disk",
        )

    @property
    def scsi_driver(self) -> str:
        """The SCSI controller's driver, replaced where the binary lacks it."""
        wanted = SCSI_DRIVERS.get(self.board.machine.scsi_controller, "virtio-scsi-pci")
        return wanted if self.has(wanted) else "virtio-scsi-pci"

    def scsi_place(self, index: int) -> Params:
        """Return the place of ``scsi<index>``, adding its controller where it is the first."""
        # An lsi's bus has ids 0 to 7, one of them its own.
        size = LSI_DISKS if self.scsi_driver.startswith("lsi") else 256
        number, unit = divmod(index, size)
        name = f"scsihw{number}"
        if name not in self._scsi:
            self._scsi.add(name)
            self.scsi_controller(number, name)
        if self.scsi_driver == "virtio-scsi-pci":
            return (("bus", f"{name}.0"), ("channel", 0), ("scsi-id", 0), ("lun", unit))
        return (("bus", f"{name}.0"), ("scsi-id", unit))

    def scsi_controller(self, number: int, name: str) -> None:
        """Add a SCSI controller."""
        wanted = self.board.machine.scsi_controller
        driver = self.scsi_driver
        if number == 0 and driver != SCSI_DRIVERS.get(wanted, ""):
            self.note(
                f"scsihw {wanted} is not in this QEMU: virtio-scsi-pci is used",
                "set scsihw: virtio-scsi-pci",
                self.board.machine.place_of("scsi_controller"),
            )
        if number == 0 and wanted == "virtio-scsi-single":
            self.note(
                "scsihw virtio-scsi-single: one controller carries all scsi disks",
                "nothing to do: the guest sees the same disks",
                self.board.machine.place_of("scsi_controller"),
            )
        self.add("-device", driver, ("id", name), *self.at(5 + number, name), role="disk")

    # -------------------------------------------------------------- network and the rest

    def nics(self) -> None:
        """Add the network cards and their backends."""
        for nic in self.board.machine.nics:
            name = f"net{nic.index}"
            driver = NIC_DRIVERS.get(nic.model, nic.model)
            if not self.need(driver, name, nic.where, "use model virtio"):
                continue
            mode, backend = self.netdev(name, nic)
            self.add("-netdev", mode, *backend, role="net")
            slot = 0x12 + nic.index if nic.index < 6 else 0x1F
            params: list[tuple[str, Scalar]] = [("id", name), *self.at(slot, name)]
            params.append(("netdev", name))
            if nic.mac:
                params.append(("mac", nic.mac))
            if nic.queues and mode == "tap" and driver == "virtio-net-pci":
                params += [("mq", True), ("vectors", 2 * nic.queues + 2)]
            elif nic.queues:
                why = "QEMU has several queues only with virtio on a tap that is named"
                self.left_out(f"{name}: queues={nic.queues}", why, nic.where)
            if nic.mtu and driver == "virtio-net-pci":
                params.append(("host_mtu", nic.mtu))
            elif nic.mtu:
                self.left_out(
                    f"{name}: mtu={nic.mtu}", f"only virtio has it, not {driver}", nic.where
                )
            if nic.boot_index:
                params.append(("bootindex", nic.boot_index))
            self.add("-device", driver, *params, role="net")
            if nic.link_down:
                self.note(
                    f"{name}: link_down cannot be said on the command line: the link is up",
                    f"set it down in QMP: set_link name={name} up=false",
                    nic.where,
                )

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

    def extras(self) -> None:
        """Add balloon, random numbers and the generation id."""
        machine = self.board.machine
        if machine.balloon and self.need(
            "virtio-balloon-pci", "balloon", machine.place_of("balloon"), "set balloon: 0"
        ):
            self.add("-device", "virtio-balloon-pci", ("id", "balloon0"),
                     *self.at(3, "balloon"), role="other")  # fmt: skip
        if machine.rng and self.need(
            "virtio-rng-pci", "rng0", machine.place_of("rng"), "remove rng0"
        ):
            self.add("-object", "rng-random", ("id", "rng0"), ("filename", "/dev/urandom"),
                     role="other")  # fmt: skip
            self.add("-device", "virtio-rng-pci", ("id", "rng0-device"), ("rng", "rng0"),
                     *self.at(0x1C, "rng"), role="other")  # fmt: skip
        if machine.vmgenid:
            if self.has("vmgenid") and self.board.platform.isa:
                self.add("-device", "vmgenid", ("guid", machine.vmgenid), role="other")
            else:
                self.note(
                    f"vmgenid is not a device of {self.board.architecture.name} QEMU: left out",
                    "nothing to do: a guest there does not look for it",
                    machine.place_of("vmgenid"),
                )


def _file_driver(disk: Disk) -> str:
    """Return QEMU's driver for the path; its kind is told by the name, nothing is looked at."""
    path = disk.path
    if disk.cdrom and re.match(r"/dev/(?:cdrom|dvd|sr[0-9])", path):
        # Unlike host_device it opens a drive without a medium.
        return "host_cdrom"
    return "host_device" if re.match(r"/dev/(?!shm/)", path) else "file"
