"""What every architecture's file says about itself, as data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from vmserial.limits import ISA_SERIAL_PORTS
from vmserial.model import ALL_BYTES, Carries, Machine, NodeIdentity


@dataclass(frozen=True)
class OnBoardUart:
    """UARTs that are part of the board and reached only through ``-serial``.

    Attributes:
        model: the device model's name in QEMU, for people.
        identities: by what each one is known in the guest, in ``-serial`` order.
        node: the guest's node without its number.
        assumed: how many a version wires up; used only when nothing was measured.
        source: where the numbers come from.
        is_8250: the guest's 8250 driver serves it, so it counts among its ports.
        cautions: facts that its user must know.
        late_with: the machine property with which, unless it is ``none``, its interrupt comes up
            after PCI's: then its number follows those of all UARTs on PCI.
        late_caution: what its user must know then.
        none_ends: ``-serial none`` leaves no place empty but ends them: what follows it is dead.
        nodes: the guest's nodes where they are not ``node`` and a number.
        carries: what passes each one, where not every byte does, in ``-serial`` order; all
            bytes pass those after the last.
    """

    model: str
    identities: tuple[NodeIdentity, ...]
    node: str
    assumed: Callable[[tuple[int, int, int]], int]
    source: str
    is_8250: bool = False
    cautions: tuple[str, ...] = ()
    late_with: str = ""
    late_caution: str = ""
    none_ends: bool = False
    nodes: tuple[str, ...] = ()
    carries: tuple[Carries, ...] = ()

    @property
    def driver(self) -> str:
        """The guest's driver, by its module's name; empty where it is not looked for."""
        return {"pl011": "amba-pl011", "ns16550a": "8250_of"}.get(self.model, "")

    def node_of(self, number: int) -> str:
        """Return the guest's node of the N-th."""
        return self.nodes[number] if self.nodes else f"{self.node}{number}"

    def is_late(self, machine_options: Sequence[tuple[str, str]]) -> bool:
        """Tell whether its number follows those of the UARTs on PCI."""
        said = dict(machine_options).get(self.late_with, "none")
        return bool(self.late_with) and said != "none"

    def carried_by(self, number: int) -> Carries:
        """Return what passes the N-th."""
        return self.carries[number] if number < len(self.carries) else ALL_BYTES


PL011_CAUTION = (
    "a connected client that stops reading hangs the whole guest and QMP (pl011 writes "
    "synchronously): whoever holds its chardev must always drain it"
)
"""Seen on QEMU 7.2: a ns16550a in the same place leaves QMP alive."""

PL011_EARLY = (
    "what a client sends before the guest has opened it can leave it deaf (a pl011 whose FIFO "
    "is full when Linux starts it gives no interrupt any more): send when the guest has spoken"
)
"""Seen with 200 bytes on QEMU 7.2 with Linux 6.1 and 11.1 with 7.2, not with 32; a ns16550a in
the same place has them all."""

ALL_SUITES = ("bookworm", "bullseye", "trixie", "sid")
"""Debian's suites that have a kernel for the architectures that it has always had."""


@dataclass(frozen=True)
class Platform:
    """One machine type of an architecture, as far as serial ports care.

    Attributes:
        name: the short machine type: ``virt``, ``q35``, ``pc``.
        prefixes: what versioned names of it start with (``pc-i440fx-``).
        root_bus: the id of the root PCI bus.
        pcie: the root bus is PCI Express: nothing on it can be hot-plugged.
        board_slots: root-bus slots that the board itself takes, and those without wires.
        shared_slots: of these, those whose device has several functions, and which.  A device
            of a port may be a further one; beside a single function none may be.
        unwired_slots: of these, those in which QEMU takes a device that no guest finds.
        root_ports: how many root ports with an I/O window boot (a window is
            4 KiB of a 64 KiB space; a pci-serial behind one needs it).
        isa: it has an ISA bus with the four classic serial ports.
        isa_serials: how many of them ``-serial`` makes; the others are devices alone.
        isa_always: how many isa-serial are part of it whether a ``-serial`` is given or not.
        unseen_isa: it has an ISA bus, and why no guest has a node for an isa-serial on it.
        ide: ``two-channels`` (pc: two disks on each of two), ``six-ports`` (q35's
            built-in AHCI) or empty.
        uart: its on-board UARTs, or None.
        virtio_serial: the controller of its virtio ports.
        virtio_mmio: how many transports of virtio-mmio it has, each the bus of one
            ``virtio-…-device``.
        usb_ports: of an xhci that is no PCI device and is the machine's own.
        default_slots: where QEMU puts the network and graphics card that it adds by itself.
        multifunction: several devices can share a PCI slot.
        no_pci_hotplug: why a PCI device that is plugged in does not come up; empty if it does.
        own_domains: each PCI function is alone in a domain of its own in the guest; their
            numbers are those of QEMU's devices in their order, from 1 on.
        dead_pci_uarts: why a UART on its PCI has no tty in any guest; empty if it has.
        options: machine properties without which a common kernel does not see all ports; they
            are set unless the user says otherwise.
        dtb: the device tree that a kernel needs to boot directly, where QEMU makes none.
        least_memory_mib: RAM below which QEMU refuses the board.
        tcg_words: what a kernel needs on its command line to boot on it where the processor is
            emulated; ``{tsc_khz}`` stands for the host's.
        varies: what the board is with the properties that are set of it.
        unseen: why many a guest is not told of its virtio-mmio; empty if all are.
        source: where the numbers come from.
    """

    name: str
    prefixes: tuple[str, ...]
    root_bus: str
    pcie: bool
    board_slots: frozenset[int]
    root_ports: int
    isa: bool
    ide: str
    uart: OnBoardUart | None
    source: str
    virtio_serial: str = "virtio-serial-pci"
    virtio_mmio: int = 0
    usb_ports: int = 0
    default_slots: frozenset[int] = frozenset()
    shared_slots: Mapping[int, frozenset[int]] = field(default_factory=dict)
    unwired_slots: frozenset[int] = frozenset()
    multifunction: bool = True
    no_pci_hotplug: str = ""
    own_domains: bool = False
    isa_serials: int = ISA_SERIAL_PORTS
    isa_always: int = 0
    unseen_isa: str = ""
    dead_pci_uarts: str = ""
    options: tuple[tuple[str, str], ...] = ()
    dtb: str = ""
    least_memory_mib: int = 0
    tcg_words: str = ""
    varies: Callable[[Platform, Mapping[str, str]], Platform] | None = None
    unseen: str = ""

    def missing_word(self, append: str) -> str:
        """Return the name of the word that an emulated kernel needs and is not told; else empty."""
        name = self.tcg_words.partition("=")[0]
        return "" if f"{name}=" in append else name

    def having(self, options: Mapping[str, str]) -> Platform:
        """Return the board as it is with these properties."""
        return self if self.varies is None else self.varies(self, options)


@dataclass(frozen=True)
class Architecture:
    """One guest architecture.

    Attributes:
        name: QEMU's target name, the suffix of ``qemu-system-…``.
        aliases: what else people call it.
        debian: Debian's name of it.
        platforms: its machine types, the default first.
        order: device kinds that ``auto`` tries, in order.
        tcg_cpu: the ``-cpu`` for TCG where the user named none; empty: QEMU's own.
        firmware: where Debian's package puts the UEFI image.
        console: the kernel's ``console=`` for serial0.
        kernel_words: what its kernel needs on its command line to boot on a busy host.
        suites: Debian's suites with a kernel for it, from which test guests are made; the one
            that is taken unasked first.
        flavour: of Debian's kernel, where it is not ``debian``.
        flavours: further kernels of Debian's that test guests can be made of.
        guest_modules: what a test guest loads beside what all load.
        guest_needs: the QEMU from which on a test guest boots.
        firmware_package: Debian's package of ``firmware``, where a kernel that is booted directly
            needs it; empty where QEMU starts a kernel by itself.
    """

    name: str
    aliases: tuple[str, ...]
    debian: str
    platforms: tuple[Platform, ...]
    order: tuple[str, ...]
    tcg_cpu: str
    firmware: str
    console: str
    kernel_words: str = ""
    suites: tuple[str, ...] = ()
    flavour: str = ""
    flavours: tuple[str, ...] = ()
    guest_modules: tuple[str, ...] = ()
    guest_needs: tuple[int, int, int] = (0, 0, 0)
    firmware_package: str = ""

    def kernel_package(self, flavour: str = "") -> str:
        """Return Debian's package that depends on its newest kernel, or that of a flavour."""
        return "-".join(filter(None, ("linux-image", flavour, self.flavour or self.debian)))

    def machine_type(self, asked: str) -> str:
        """Return the machine type that is asked for; the default one where none is."""
        return asked or self.platforms[0].name

    def board(self, machine: Machine) -> str:
        """Return a machine's type, and the property of it that moves the board's own UART."""
        name = self.machine_type(machine.machine_type)
        platform = self.platform(name)
        uart = platform.uart if platform is not None else None
        if uart is None or not uart.is_late(machine.machine_options):
            return name
        return f"{name},{uart.late_with}={dict(machine.machine_options)[uart.late_with]}"

    def platform(
        self, machine_type: str, options: Mapping[str, str] | None = None
    ) -> Platform | None:
        """Return the platform of ``virt``, ``virt-9.1``, ``pc-q35-7.2``…; None if unknown.

        Args:
            machine_type: empty: the default one.
            options: the properties that are set of it, where they matter.
        """
        found = self._named(machine_type)
        return None if found is None else found.having(options or {})

    def planned_on(self, machine: Machine) -> Platform | None:
        """Return the platform that a plan for a machine is made on; None if unknown.

        It has the properties that a plan sets unless the user says otherwise.
        """
        found = self._named(machine.machine_type)
        said = dict(machine.machine_options)
        return None if found is None else found.having({**dict(found.options), **said})

    def _named(self, machine_type: str) -> Platform | None:
        for platform in self.platforms:
            if machine_type in ("", platform.name) or machine_type.startswith(platform.prefixes):
                return platform
        return None


TARGETS = frozenset(
    """
    aarch64 alpha arm avr cris hppa i386 lm32 loongarch64 m68k microblaze microblazeel mips mips64
    mips64el mipsel moxie nios2 or1k ppc ppc64 ppc64le riscv32 riscv64 rx s390x sh4 sh4eb sparc
    sparc64 tricore unicore32 x86_64 xtensa xtensaeb
    """.split()
)
"""What a qemu-system-… can be for, from QEMU 5.2 to 11.1."""

WITHOUT_PCI = frozenset(
    """
    ast1030-evb ast2500-evb ast2600-evb bletchley-bmc collie cubieboard emcraft-sf2 fby35
    fby35-bmc fp5280g2-bmc fuji-bmc g220a-bmc highbank imx25-pdk isapc kudo-bmc kzm lm3s6965evb
    lm3s811evb mainstone mcimx6ul-evk microbit midway mori-bmc mps2-an385 mps2-an386 mps2-an500
    mps2-an505 mps2-an511 mps2-an521 mps3-an524 mps3-an547 musca-a musca-b1 netduino2
    netduinoplus2 npcm750-evb nuri orangepi-pc palmetto-bmc qcom-dc-scm-v1-bmc qcom-firework-bmc
    quanta-gbs-bmc quanta-gsj quanta-q71l-bmc rainier-bmc raspi0 raspi1ap raspi2b raspi3ap
    raspi3b romulus-bmc sabrelite shakti_c sifive_e sifive_u smdkc210 sonorapass-bmc spike
    stm32vldiscovery supermicrox11-bmc tacoma-bmc tosa witherspoon-bmc xilinx-zynq-a9
    xlnx-versal-virt
    """.split()
)
"""Machine types without a PCI bus, beside those that are planned on (QEMU 7.2.22: run)."""

WITHOUT_VIRTIO_MMIO = WITHOUT_PCI - {"xlnx-versal-virt"} | {"sbsa-ref"}
"""Boards without transports of virtio-mmio."""

WITHOUT_USB = frozenset(
    """
    40p ast1030-evb bamboo collie emcraft-sf2 highbank integratorcp isapc kzm lm3s6965evb
    lm3s811evb microbit midway mps2-an385 mps2-an386 mps2-an500 mps2-an505 mps2-an511 mps2-an521
    mps3-an524 mps3-an547 musca-a musca-b1 musicpal netduino2 netduinoplus2 powernv powernv10
    powernv8 powernv9 realview-pb-a8 realview-pbx-a9 ref405ep shakti_c sifive_e sifive_u spike
    stm32vldiscovery tosa vexpress-a15 vexpress-a9 virtex-ml507 x-remote
    """.split()
)
"""Machine types without a USB bus of their own, with ``-usb``, too, beside those that are planned
on (QEMU 7.2.22: run)."""

_ARM = frozenset({"arm", "aarch64"})
_RISCV = frozenset({"riscv32", "riscv64"})
_PPC = frozenset({"ppc", "ppc64"})
_M68K = frozenset({"m68k"})
_PCS = frozenset({"x86_64", "i386", "loongarch64"})

BOARD_UARTS: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(
        """
        bcm2835-aux cmsdk-apb-uart digic-uart exynos4210.uart imx.serial nrf51_soc.uart pl011
        pl011_luminary pxa2xx-fir stm32f2xx-usart strongarm-uart
        """.split(),
        _ARM,
    ),
    **dict.fromkeys(("serial", "serial-mm"), _ARM | _RISCV | _PPC | _PCS),
    "cadence_uart": _ARM | _RISCV,
    "escc": _PPC | _M68K,
    "goldfish_tty": _M68K,
    "mcf-uart": _M68K,
    "mchp.pfsoc.uart": frozenset({"riscv64"}),
    "riscv.sifive.uart": _RISCV,
    "shakti-uart": frozenset({"riscv64"}),
    "xlnx.xps-uartlite": _ARM | _PPC,
}
"""Devices with a chardev that only a board makes, and whose QEMU has them (7.2: "no-user")."""
