"""What can be wrong with a VM's serial ports: one file a rule, its text in the ``.md`` beside it.

A rule reads a :class:`~vmserial.context.RuleContext` and yields findings with their
repairs; it changes nothing.  ``index.py`` lists all rules by phase and is made by
``scripts/make-rule-index``.

==========  ==========================================================================
backends    the host's ends: chardevs, sockets, stdio
devices     what the binary, the board and the machine type have
places      USB, virtio-serial, PCI and ISA places
guest       what the guest's kernel registers
owner       what PVE and libvirt make of their own configurations
host        the host's files and devices
==========  ==========================================================================
"""
