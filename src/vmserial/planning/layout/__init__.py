"""Everything of a Machine that is not a serial port, as options with explicit addresses.

The places are those of PVE's fixed map where it has one (video at slot 2,
balloon 3, scsi 5, sata 7, agent 8, virtio disks from 0xa, network from 0x12), so
that a guest that came from PVE keeps the names of its cards; what does not fit
on the root bus goes to a bridge at 0x1e, as there.
"""

from __future__ import annotations

import re

from vmserial.limits import GICV2_CPUS, ISA_SERIAL_PORTS
from vmserial.model import refusal
from vmserial.options import Scalar
from vmserial.planning.layout.base import Params
from vmserial.planning.layout.disks import Disks
from vmserial.planning.layout.network import Network

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

VIDEO_DRIVERS = {
    "std": "VGA",
    "cirrus": "cirrus-vga",
    "vmware": "vmware-svga",
    "qxl": "qxl-vga",
    "virtio": "virtio-vga",
    "virtio-gl": "virtio-vga-gl",
}


_SMBIOS = frozenset({"x86_64", "aarch64", "arm"})
"""Where every QEMU has ``-smbios``: elsewhere it says "Option not supported for this target"."""


class Layout(Disks, Network):
    """The options of everything but the ports, and what must be said about them."""

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
        if uuid and self.board.architecture.name not in _SMBIOS:
            self.add("-uuid", uuid, role="machine")
        elif uuid:
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
        if board.architecture.name == "aarch64" and most > GICV2_CPUS:
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
                        refusal(
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
        params: list[tuple[str, Scalar]] = [("id", "vga"), *self.at(2)]
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
            board.take(1)
            place: Params = (("bus", board.platform.root_bus), ("addr", "01.2"))
        else:
            place = self.at(1) if board.platform.pcie else self.at(0x1B)
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
                refusal(
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
                refusal(
                    "isa-limit",
                    "agent type=isa: Max. supported number of ISA serial ports is "
                    f"{ISA_SERIAL_PORTS}",
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
        self.add("-device", "virtio-serial-pci", ("id", "qga0"), *self.at(8), role="agent")
        self.add(
            "-device", "virtserialport", ("id", "qga0-port"), ("bus", "qga0.0"), ("nr", 1),
            ("chardev", "qga0"), ("name", "org.qemu.guest_agent.0"), role="agent",
        )  # fmt: skip

    def extras(self) -> None:
        """Add balloon, random numbers and the generation id."""
        machine = self.board.machine
        if machine.balloon and self.need(
            "virtio-balloon-pci", "balloon", machine.place_of("balloon"), "set balloon: 0"
        ):
            self.add("-device", "virtio-balloon-pci", ("id", "balloon0"),
                     *self.at(3), role="other")  # fmt: skip
        if machine.rng and self.need(
            "virtio-rng-pci", "rng0", machine.place_of("rng"), "remove rng0"
        ):
            self.add("-object", "rng-random", ("id", "rng0"), ("filename", "/dev/urandom"),
                     role="other")  # fmt: skip
            self.add("-device", "virtio-rng-pci", ("id", "rng0-device"), ("rng", "rng0"),
                     *self.at(0x1C), role="other")  # fmt: skip
        if machine.vmgenid:
            if self.has("vmgenid") and self.board.platform.isa:
                self.add("-device", "vmgenid", ("guid", machine.vmgenid), role="other")
            else:
                self.note(
                    f"vmgenid is not a device of {self.board.architecture.name} QEMU: left out",
                    "nothing to do: a guest there does not look for it",
                    machine.place_of("vmgenid"),
                )
