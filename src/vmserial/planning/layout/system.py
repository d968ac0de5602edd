"""What a VM is before it has a device: its name, board, processors, memory and firmware."""

from __future__ import annotations

import re

from vmserial.limits import GICV2_CPUS
from vmserial.model import refusal
from vmserial.options import Scalar
from vmserial.planning.layout.base import Section

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

_SMBIOS = frozenset({"x86_64", "aarch64", "arm"})
"""Where every QEMU has ``-smbios``: elsewhere it says "Option not supported for this target"."""


class System(Section):
    """The board itself, and what it boots."""

    def identity(self) -> None:
        """Say what the VM is called and what the guest reads of itself."""
        machine = self.allocator.machine
        self.add("-name", "", ("guest", machine.name), role="machine")
        self.flag("-nodefaults", None, "machine")
        self.flag("-no-user-config", None, "machine")
        smbios = dict(machine.smbios)
        uuid = smbios.pop("uuid", machine.uuid)
        params: list[tuple[str, Scalar]] = [("type", "1")]
        if uuid and self.allocator.architecture.name not in _SMBIOS:
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
        allocator, machine = self.allocator, self.allocator.machine
        accel = machine.accel
        if accel == "auto":
            accel = "kvm" if "kvm" in allocator.capabilities.accelerators else "tcg"
        options = dict(machine.machine_options)
        vcpus = max(machine.topology.vcpus, 1)
        most = max(machine.topology.sockets * machine.topology.cores, vcpus)
        if allocator.architecture.name == "aarch64" and most > GICV2_CPUS:
            # GICv2, the board's default under TCG, ends at eight CPUs.
            options.setdefault("gic-version", "3")
        for key, value in allocator.platform.options:
            options.setdefault(key, value)
        machine_type = allocator.architecture.machine_type(machine.machine_type)
        self.add("-machine", machine_type, *options.items(), role="machine")
        self.flag("-accel", accel, "machine")
        self.clock(accel)
        model, flags = machine.cpu.model, list(machine.cpu.flags)
        if not allocator.platform.isa:
            if X86_CPU.fullmatch(model):
                self.note(
                    f"cpu {model} is a model of x86: the default of {allocator.architecture.name} "
                    "is used, without flags",
                    "name one of its models, or host",
                    machine.place_of("cpu"),
                )
                model, flags = "", []
            # Only x86 takes "+flag" and "-flag".
            signs = {"+": "on", "-": "off"}
            flags = [f"{f[1:]}={signs[f[0]]}" if f[0] in signs else f for f in flags]
        if not model and allocator.architecture.tcg_cpu:
            model = "host" if accel == "kvm" else allocator.architecture.tcg_cpu
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

    def clock(self, accel: str) -> None:
        """Say what an emulated kernel must be told."""
        boot, board = self.allocator.machine.boot, self.allocator.platform
        name = board.missing_word(boot.append) if boot is not None and accel == "tcg" else ""
        if name:
            self.note(
                f"an emulated {board.name} gives Linux no clock to start with: without {name}= on "
                "its command line it stops early at boot",
                f"--append {name}=N, N the host's frequency in kHz",
                self.allocator.machine.place_of("boot"),
            )

    def firmware_and_boot(self) -> None:
        """Say what is booted: a kernel, UEFI, or the machine's own firmware."""
        allocator, machine = self.allocator, self.allocator.machine
        firmware = machine.firmware
        if machine.boot is not None:
            self.flag("-kernel", machine.boot.kernel, "boot")
            if machine.boot.initrd:
                self.flag("-initrd", machine.boot.initrd, "boot")
            if machine.boot.append:
                self.flag("-append", machine.boot.append, "boot")
            if machine.boot.dtb:
                self.flag("-dtb", machine.boot.dtb, "boot")
            if machine.boot.bios:
                self.flag("-bios", machine.boot.bios, "boot")
                return
        wants_ovmf = firmware.kind == "ovmf"
        if firmware.kind == "default" and allocator.architecture.name == "aarch64":
            # The board has no firmware of its own.
            wants_ovmf = machine.boot is None
        if firmware.kind == "default" and allocator.architecture.firmware_package:
            wants_ovmf = True
        if not wants_ovmf:
            if firmware.kind == "seabios" and not allocator.platform.isa:
                self.note(
                    f"seabios does not exist for {allocator.architecture.name}: UEFI is used",
                    "set bios: ovmf",
                    machine.place_of("firmware"),
                )
                wants_ovmf = machine.boot is None
            if not wants_ovmf:
                return
        code = firmware.code or allocator.architecture.firmware
        # -bios takes whole blocks of 64 KiB, which OVMF_CODE_4M.fd is not.
        if not firmware.variables and not allocator.platform.isa:
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
