"""The coverage-guided fuzzer: atheris on one parser.

    python tests/fuzz/run.py PARSER DIRECTORY [libFuzzer's options]

PARSER is conf, argv, toml or xml; DIRECTORY takes the inputs, beginning with those
that the tests replay.  See docs/fuzzing.md.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1] / "src"), str(HERE.parent)]


def main() -> None:
    """Fuzz until the time given is over, or a defect is found."""
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    name, directory, *options = sys.argv[1:]
    # atheris is not among the tests' requirements: it has no wheels for every Python.
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["vmserial"]):
        targets = importlib.import_module("fuzz.targets")
        store = importlib.import_module("fuzz.store")
    Path(directory).mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(store.inputs(name)):
        Path(directory, f"kept-{number}").write_bytes(data)
    words = HERE / f"{name}.dict"
    options += [f"-dict={words}", "-timeout=10"]
    atheris.Setup([sys.argv[0], directory, *options], targets.TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
