"""vmserial: serial ports of virtual machines, planned, run and proven."""
