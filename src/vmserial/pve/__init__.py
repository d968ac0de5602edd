"""Proxmox VE's own files: its VMs found, listed, and mended in place.

:mod:`~vmserial.pve.tree` finds the configurations of a host, or of a copy of its
tree; :mod:`~vmserial.sources.pve.edits` changes lines and nothing else;
:mod:`~vmserial.pve.mend` says what a configuration must hold so that PVE starts
every port; :mod:`~vmserial.pve.store` writes it, under PVE's lock.
"""
