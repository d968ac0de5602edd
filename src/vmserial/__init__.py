"""vmserial: serial ports of virtual machines, planned, run and proven."""

__version__ = "0.1.0"
