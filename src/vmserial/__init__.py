"""vmserial: serial ports of virtual machines, planned, run and proven.

The names of ``__all__`` are for programs (docs/api.md); everything else may change with any
release.  Each is imported when it is asked for: the emulator shim imports this package at every
start of a VM, and needs none of them.
"""

TYPE_CHECKING = False
# By its name alone type checkers take it for true; typing itself would cost each start 5 ms.

__version__ = "0.1.0"

__all__ = [
    "Capabilities",
    "Finding",
    "GuestProfile",
    "Machine",
    "Plan",
    "RepairPolicy",
    "SerialPort",
    "Severity",
    "Verdict",
    "VmserialError",
    "explain",
    "judge",
    "load",
    "plan",
    "probe",
]

if TYPE_CHECKING:
    from vmserial.api import (
        Capabilities,
        Finding,
        GuestProfile,
        Machine,
        Plan,
        RepairPolicy,
        SerialPort,
        Severity,
        Verdict,
        VmserialError,
        explain,
        judge,
        load,
        plan,
        probe,
    )

else:

    def __getattr__(name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module 'vmserial' has no attribute {name!r}")
        from importlib import import_module

        value: object = getattr(import_module("vmserial.api"), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
