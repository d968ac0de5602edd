"""What ``vmserial fix`` does with one input; without click."""

from __future__ import annotations

from vmserial.cli.heeded import check, check_fix
from vmserial.cli.subject import FixWords, input_of, module_of, resolved
from vmserial.cli.vm_options import VmOptions


def fix(asked: VmOptions, words: FixWords) -> int:
    """Mend an input, show or write it, and return the exit code.

    Raises:
        VmserialError: it cannot be read, judged or written.
    """
    asked = resolved(asked)
    check(asked, "fix")
    check_fix(asked, words)
    return module_of(input_of(asked).kind).fix(asked, words)
