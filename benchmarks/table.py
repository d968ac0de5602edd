#!/usr/bin/env python3
"""All benchmarks, and one table of what they found: date, commit, machine (``make bench``).

    .venv/bin/python benchmarks/table.py [NAME …]

NAME is a benchmark's: all are run where none is named.  One that cannot run here says why
below the table, and the exit status is 1.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from common import Row, heading, table

NO_BENCHMARK = {"common", "table"}


def main(names: list[str]) -> int:
    """Run them and print the table; return the exit status."""
    known = {path.stem for path in Path(__file__).parent.glob("*.py")} - NO_BENCHMARK
    if unknown := set(names) - known:
        print(f"no benchmark: {', '.join(sorted(unknown))}; there are {', '.join(sorted(known))}")
        return 2
    first = heading()
    found: list[Row] = []
    failed: dict[str, str] = {}
    for name in sorted(names or known):
        print(f"measuring: {name}", file=sys.stderr, flush=True)
        try:
            found += importlib.import_module(name).rows()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the others are measured still
            failed[name] = str(error) or type(error).__name__
    print(first)
    print(table(found))
    for name, words in failed.items():
        print(f"{name} did not end: {words}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
