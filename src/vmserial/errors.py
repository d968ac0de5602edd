"""The errors of vmserial: each says what is wrong, where, and what to do.

::

    VmserialError                 exit code
     +-- UsageError               2   the call or the input is wrong
     |    +-- ConfigError         2   a configuration file is wrong (file:line)
     +-- PlanRefused              1   the ports asked for cannot be carried
     +-- QemuError                1
     |    +-- BinaryError         2   no such QEMU binary, or it does not work
     |    +-- QemuStartError      1   QEMU ended at once; holds its own stderr
     |    +-- MonitorError        1   QEMU refused a QMP command
     +-- GuestError               1
     |    +-- ImageError          1   a test guest cannot be had or built
     |    +-- ShellError          1   the guest's shell does not answer as it must
     +-- LostVMError              3   the VM died or hung: nothing was proven either way

The command line prints ``message``, then ``where`` and ``hint``; it never
prints a traceback for any of these.
"""

from __future__ import annotations


class VmserialError(Exception):
    """Base of all errors that a user can meet.

    Args:
        message: what is wrong, in one sentence, without a final stop.
        hint: what the user can do about it; never empty in the product.
        where: the place: ``file:line``, a port such as ``serial3``, an option.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "", where: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.where = where

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


class UsageError(VmserialError):
    """The call itself is wrong: an option, a value, an input that is not there."""

    exit_code = 2


class ConfigError(UsageError):
    """A configuration file cannot be read as what it says it is."""


class PlanRefused(VmserialError):
    """The ports asked for do not fit the binary, the machine type or the guest."""


class QemuError(VmserialError):
    """Something between us and a QEMU process."""


class BinaryError(QemuError):
    """The QEMU binary is missing, is not QEMU, or cannot be asked."""

    exit_code = 2


class QemuStartError(QemuError):
    """QEMU ended before it was running.

    Args:
        stderr: QEMU's own words, whole.
        returncode: its exit status; negative for a signal, as in subprocess.
    """

    def __init__(
        self, message: str, *, stderr: str = "", returncode: int | None = None, hint: str = ""
    ) -> None:
        super().__init__(message, hint=hint)
        self.stderr = stderr
        self.returncode = returncode


class MonitorError(QemuError):
    """A QMP command was answered with an error.

    Args:
        command: the QMP command's name.
        error_class: QMP's class, such as ``GenericError`` or ``DeviceNotFound``.
    """

    def __init__(
        self, message: str, *, command: str = "", error_class: str = "", hint: str = ""
    ) -> None:
        super().__init__(message, hint=hint, where=command)
        self.command = command
        self.error_class = error_class


class GuestError(VmserialError):
    """Something about the guest system."""


class ImageError(GuestError):
    """A kernel, initramfs or package for a test guest cannot be had."""


class ShellError(GuestError):
    """The shell in the guest answered something else than it was asked for."""


class LostVMError(VmserialError):
    """The VM died, rebooted or stopped answering; the check proved nothing."""

    exit_code = 3
