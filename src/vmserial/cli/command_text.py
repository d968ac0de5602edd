"""What ``vmserial showcmd`` prints; without click."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from vmserial.cli.named import named_and_planned
from vmserial.cli.output import json_text

if TYPE_CHECKING:
    from vmserial.cli.vm_options import VmOptions


def command_text(asked: VmOptions, *, pretty: bool, as_json: bool) -> str:
    """Return the command line that starts a VM, as a shell or a JSON parser reads it.

    Args:
        asked: with its input read.
        pretty: one option a line.
        as_json: a JSON array of words.

    Raises:
        PlanRefused: the ports do not fit.
        VmserialError: as :func:`gather`.
    """
    from vmserial.cli.data import command_line
    from vmserial.options import pretty as pretty_text
    from vmserial.planning.planner import require

    made = named_and_planned(asked)
    require(made)
    words = command_line(made)
    if as_json:
        return json_text(words)
    # As it is, whatever the words hold: a shell must read exactly these.
    return (pretty_text(words) if pretty else shlex.join(words)) + "\n"
