"""Our own TOML configurations, read and written."""

from __future__ import annotations

from vmserial.sources.toml.reader import read

__all__ = ["read"]
