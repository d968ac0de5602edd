"""The host's files and devices."""
