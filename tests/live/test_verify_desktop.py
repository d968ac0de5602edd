"""A desktop, and what on it has an eye on serial ports: ModemManager and brltty.

It has no graphics card here, so that its screen stays away; its services run.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from full_system import FullSystem, digest, kept
from test_verify_login import verify

from vmserial.verify.results import Verdict

pytestmark = [pytest.mark.live, pytest.mark.full]


@pytest.fixture
def desktop() -> Iterator[FullSystem]:
    found = kept("amd64", kind="desktop")
    before = digest(found.image)
    yield found
    assert digest(found.image) == before


def test_a_desktops_services_leave_the_ports_alone(desktop: FullSystem, tmp_path: Path) -> None:
    code, checks = verify(desktop, tmp_path, *desktop.words(), "--take-ports")
    assert code == 0
    assert {check.verdict for check in checks} == {Verdict.PASS}
    assert {check.port for check in checks} >= {"serial0", "serial1", "serial2", "serial3"}
