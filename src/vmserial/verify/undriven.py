"""Why a full system shows no tty of a USB port: its kernel was built without the driver.

Cloud kernels have no USB at all, and small ones leave ftdi_sio to a package of further modules.
What is planned for knows it of a kernel that is named; an image that UEFI starts has its own.
"""

from __future__ import annotations

from collections.abc import Sequence

from vmserial.guests.shell import Shell
from vmserial.verify.results import Fault, FaultKind
from vmserial.verify.wire.transfer import Line

_DRIVER = "ftdi_sio"

# sysfs has what is loaded and what is built in, depmod's list what could be loaded: busybox's
# modprobe cannot be asked, and whoever is not root has often none in $PATH.
_LOOK = (
    'vs_k=$(uname -r); echo "kernel $vs_k"; vs_k=/lib/modules/$vs_k; '
    'vs_x() { [ -d "$1" ] && echo "$2" && return; [ -r "$vs_k/modules.dep" ] || return; '
    'echo "asked $2"; grep -qs "/$3[.]ko" "$vs_k/modules.dep" "$vs_k/modules.builtin" && '
    'echo "$2"; }; '
    f"vs_x /sys/bus/usb usb usbcore; vs_x /sys/bus/usb/drivers/{_DRIVER} {_DRIVER} {_DRIVER}; :"
)


def reason(output: str) -> str:
    """Return what the kernel lacks, in words, of what the guest said; pure.

    Empty where it lacks nothing, or where that cannot be told.
    """
    lines = output.splitlines()
    kernel = next((one.split()[1] for one in lines if one.startswith("kernel ")), "")

    def lacks(what: str) -> bool:
        return f"asked {what}" in lines and what not in lines

    if lacks("usb"):
        return (
            f"the guest's kernel {kernel} has no USB (there is no /sys/bus/usb), as cloud kernels "
            "have none; choose --type pci or virtio"
        )
    if lacks(_DRIVER):
        return (
            f"the guest's kernel {kernel} has no {_DRIVER}, the driver of usb-serial; install the "
            "package with its further modules, or choose --type pci or virtio"
        )
    return ""


async def driven(lines: Sequence[Line], shell: Shell, bound: float) -> list[Line]:
    """Return the ports whose node is worth waiting for; the others get their trouble.

    Args:
        lines: the ports.
        shell: in the guest.
        bound: seconds.

    Raises:
        LostVMError: the guest does not answer.
    """
    usb = [line for line in lines if line.assignment.identity.kind == "usb"]
    why = reason(await shell.run(_LOOK, bound)) if usb else ""
    if not why:
        return list(lines)
    for line in usb:
        line.trouble = (Fault(FaultKind.NO_DRIVER, why),)
    return [line for line in lines if line.assignment.identity.kind != "usb"]
