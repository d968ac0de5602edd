"""A UART of boards, asked for with -device."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from vmserial.context import RuleContext
from vmserial.model import Finding, Severity
from vmserial.rules.base import KINDS, Rule

_ARM = frozenset({"arm", "aarch64"})
_RISCV = frozenset({"riscv32", "riscv64"})
_PPC = frozenset({"ppc", "ppc64"})
_M68K = frozenset({"m68k"})
_PCS = frozenset({"x86_64", "i386", "loongarch64"})

UARTS: Mapping[str, frozenset[str]] = {
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


def check(ctx: RuleContext) -> Iterator[Finding]:
    """Yield the -device that QEMU refuses although it knows the device."""
    for device in ctx.made:
        if ctx.arch not in UARTS.get(device.driver, ()):
            continue
        if ctx.capabilities.devices and device.driver in ctx.capabilities.devices:
            continue
        what = "a pluggable" if ctx.capabilities.version >= (6, 0, 0) else "pluggable"
        yield RULE.finding(
            f"{device.option}: Parameter 'driver' expects {what} device type", device.option,
            (ctx.chardev_user(device.get("chardev")),) if device.get("chardev") else (),
            fix="use -serial chardev:ID for the board's own UART, and usb-serial, pci-serial or "
            "virtserialport for more",
        )  # fmt: skip


RULE = Rule("device-not-pluggable", Severity.FAILS, KINDS, check)
