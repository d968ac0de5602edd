"""A VM's serial part from one format into another, with what has no counterpart said.

Each writer takes a Machine and returns text and losses: :mod:`~.toml_writer`,
:mod:`~.pve_writer`, :mod:`~.libvirt_writer`; a command line is what the planner
makes.  :mod:`~.argv_reader` turns a command line into a Machine.
"""

from __future__ import annotations

from vmserial.convert.losses import Loss

__all__ = ["Loss"]
