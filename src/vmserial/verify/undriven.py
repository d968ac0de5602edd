"""Why a full system shows no tty of a USB port: its kernel was built without the driver.

Cloud kernels have no USB at all, and small ones leave ftdi_sio to a package of further modules.
What is planned for knows it of a kernel that is named; an image that UEFI starts has its own.
"""

from __future__ import annotations

from vmserial.guests.shell import Shell

_DRIVER = "ftdi_sio"

# The driver's directory is there once it is loaded, and always if it is built in.
_LOOK = (
    'echo "kernel $(uname -r)"; [ -d /sys/bus/usb ] && echo bus; '
    f"if [ -d /sys/bus/usb/drivers/{_DRIVER} ]; then echo driver; "
    "elif command -v modprobe >/dev/null; then "
    f"modprobe -D {_DRIVER} >/dev/null 2>&1 && echo driver; "
    "else echo driver; fi; :"
)


def reason(output: str) -> str:
    """Return what the kernel lacks, in words, of what the guest said; pure.

    Empty where it lacks nothing, or where that cannot be told.
    """
    lines = output.splitlines()
    kernel = next((one.split()[1] for one in lines if one.startswith("kernel ")), "")
    if not kernel:
        return ""
    if "bus" not in lines:
        return (
            f"the guest's kernel {kernel} has no USB (there is no /sys/bus/usb), as cloud kernels "
            "have none; choose --type pci or virtio"
        )
    if "driver" not in lines:
        return (
            f"the guest's kernel {kernel} has no {_DRIVER}, the driver of usb-serial; install the "
            "package with its further modules, or choose --type pci or virtio"
        )
    return ""


async def undriven(shell: Shell, bound: float) -> str:
    """Return why there is no tty of any usb-serial; empty if the kernel is not the reason.

    Args:
        shell: in the guest.
        bound: seconds.

    Raises:
        LostVMError: the guest does not answer.
    """
    return reason(await shell.run(_LOOK, bound))
