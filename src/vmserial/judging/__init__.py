"""What people already have, judged and repaired: QEMU command lines and libvirt domains.

verdict = judge(CommandLine.from_words(argv), capabilities, guest)
verdict.findings        what is wrong, with cause and way out
verdict.command.argv()  the repaired command; all that was right is as it was
"""

from __future__ import annotations

from vmserial.context import RepairPolicy
from vmserial.judging.base import Answer, Change, Judgement
from vmserial.judging.engine import judge

__all__ = ["Answer", "Change", "Judgement", "RepairPolicy", "judge"]
