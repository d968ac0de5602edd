"""Planning a VM that vmserial itself starts: every port's device, bus and address.  Pure."""
