"""``python -m vmserial`` and the ``vmserial`` script: the command line."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and end the process with its exit code."""
    from vmserial.cli.main import run

    sys.exit(run())


if __name__ == "__main__":
    main()
