"""The table of boot stages, and what a firmware did held against it: no QEMU."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.plans import plan_of

from vmserial.cli.output import ranges
from vmserial.errors import UsageError
from vmserial.guests import firmware
from vmserial.model.consoles import second_ones
from vmserial.planning.stages import STAGES, Stage, reached, silent_consoles, words
from vmserial.verify.results import Check, Verdict
from vmserial.verify.stage import Seen, judged, stage_of, summary, text_of
