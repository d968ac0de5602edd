"""``python -m vmserial``: the command line."""

from __future__ import annotations

from vmserial.cli.quick import main

if __name__ == "__main__":
    main()
