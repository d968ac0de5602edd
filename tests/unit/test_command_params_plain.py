"""Values without a doubled comma are read in a shorter way: it gives what the long one gives."""

from __future__ import annotations

import random

import pytest

from vmserial.sources.command.params import Params

PIECES = ("no", "a", "=", ",", ",", "help", "?", "b", "nofoo", "server", "x y", "on", "{")


@pytest.mark.parametrize("implied", ["", "driver"])
def test_the_short_way_reads_what_the_long_one_reads(implied: str) -> None:
    chosen = random.Random(7)
    for _ in range(3000):
        text = "".join(chosen.choices(PIECES, k=chosen.randrange(9))).replace(",,", ",")
        short = Params.parse(text, implied)
        long = Params(text, short.items)
        assert list(short.values.items()) == list(long.values.items()), text
        assert (short.bare, short.asks_for_help) == (long.bare, long.asks_for_help), text
