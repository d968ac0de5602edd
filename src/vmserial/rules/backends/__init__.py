"""The host's ends: chardevs, sockets, stdio."""
