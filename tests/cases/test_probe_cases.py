"""C3: what a private copy changes must not be what QEMU complains of."""

from __future__ import annotations

import pytest

from vmserial.cli.main import run


@pytest.mark.live
@pytest.mark.parametrize("board", ["raspi3b", "raspi2b", "raspi0"])
def test_c3_a_board_of_fixed_ram_is_asked_as_it_is(
    board: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["doctor", "--live-probe", "--", "qemu-system-aarch64", "-M", board, "-serial", "pty"]
    assert run(words) == 0
    said = capsys.readouterr()
    assert "Invalid RAM" not in said.out + said.err
    assert said.out.endswith("the command: nothing is wrong\n")
