"""What the rules look at: a command line with its ports, buses and places, worked out once.

The facts are in the order in which QEMU makes devices: who has which place, and who
collides with whom.  Rules (:mod:`vmserial.rules`) read them and never write; the judge
(:mod:`vmserial.judging`) runs the rules and applies their repairs.  Pure, and light: the
emulator shim works it out on every start of a VM.
"""

from __future__ import annotations

from vmserial.context.context import RuleContext
from vmserial.context.ports import Port, takes_hvc
from vmserial.context.repairs import EditOptions, MovePci, Relocate, RepairPolicy

__all__ = ["EditOptions", "MovePci", "Port", "Relocate", "RepairPolicy", "RuleContext", "takes_hvc"]
