"""What the fake says no with."""

from __future__ import annotations


class Refused(Exception):
    """QEMU says no: a message, and QMP's error class."""

    def __init__(self, message: str, error_class: str = "GenericError") -> None:
        super().__init__(message)
        self.error_class = error_class
