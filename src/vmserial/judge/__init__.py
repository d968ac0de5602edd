"""What people already have, judged and mended: QEMU command lines and libvirt domains.

verdict = judge(CommandLine.from_words(argv), capabilities, guest)
verdict.findings        what is wrong, with cause and way out
verdict.command.argv()  the mended command; all that was right is as it was
"""

from __future__ import annotations

from vmserial.judge.base import Change, Flaw, Verdict, Wishes
from vmserial.judge.engine import judge

__all__ = ["Change", "Flaw", "Verdict", "Wishes", "judge"]
