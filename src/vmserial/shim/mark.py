"""How a wrapper of ours is known; by itself, because every binary that is asked is looked at."""

from __future__ import annotations

MARK = b"# vmserial shim "
"""What the second line of a wrapper begins with."""
