#!/usr/bin/env python3
"""The coverage-guided fuzzer: atheris on one parser.

    PATH=out/fuzz/bin:$PATH tests/fuzz/run.py PARSER DIRECTORY [libFuzzer's options]

PARSER is conf, argv, toml or xml; DIRECTORY takes the inputs, beginning with those
that the tests replay.  See docs/fuzzing.md.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "src"), str(HERE.parent)]

PARSER = "VMSERIAL_FUZZED_PARSER"


def main() -> None:
    """Fuzz until the time given is over, or a defect is found."""
    words = sys.argv[1:]
    # libFuzzer starts this file anew for a merge, with its own words.
    name = os.environ.get(PARSER) or (words.pop(0) if len(words) > 1 else sys.exit(__doc__))
    first, os.environ[PARSER] = PARSER not in os.environ, name
    # atheris is not among the tests' requirements: it has no wheels for every Python.
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["vmserial"]):
        targets = importlib.import_module("fuzz.targets")
        store = importlib.import_module("fuzz.store")
    if first:
        directory = Path(words[0])
        directory.mkdir(parents=True, exist_ok=True)
        # A merge's directory takes only what adds coverage.
        for number, data in enumerate([] if "-merge=1" in words else store.inputs(name)):
            (directory / f"kept-{number}").write_bytes(data)
        words += [f"-dict={HERE / name}.dict", "-timeout=10"]
    atheris.Setup([sys.argv[0], *words], targets.TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
