"""QEMU's own error texts, and what to do about them."""

from __future__ import annotations

import re

_HINTS: tuple[tuple[str, str], ...] = (
    (
        r"is not a valid device model name",
        "this binary has no such device for this machine; `vmserial doctor` names what fits",
    ),
    (
        r"Max\. supported number of ISA serial ports",
        "an x86 VM has four ISA serial ports at most; use another type for the rest",
    ),
    (r"speed mismatch", "a usb-serial needs an xhci controller: add qemu-xhci"),
    (
        r"[Aa]ddress already in use|Failed to bind socket",
        "another process holds this socket or port; end it or choose another one",
    ),
    (
        r"KVM kernel module|failed to initialize kvm|invalid accelerator kvm",
        "KVM does not work here; use the accelerator tcg",
    ),
    (r'Failed to get "?(write|shared|consistent read)"? lock', "another VM uses this disk image"),
    (r"[Pp]ermission denied", "check the owner and mode of that file and who you are"),
    (r"No such file or directory", "check the path; QEMU says which one above"),
    (r"[Dd]uplicate (device )?ID|Duplicate ID", "two devices or chardevs have the same id"),
    (
        r"PCI: slot \d+ function \d+ (not available|already)",
        "two devices have the same PCI address; give another one",
    ),
    (r"UNIX socket path .* too long", "a socket's path may have 107 bytes; use a shorter one"),
    (
        r"unsupported machine type|Use -machine help",
        "this binary has no such machine type; its names are shown by `-machine help`",
    ),
    (r"cannot set up guest memory|Cannot allocate memory", "not enough memory on this host"),
    (r"is missing|could not load|Could not find ROM", "a firmware file is not installed"),
)


def hint_for(stderr: str) -> str:
    """Return what to do about QEMU's own words; a general hint where they are unknown."""
    for pattern, hint in _HINTS:
        if re.search(pattern, stderr):
            return hint
    return "QEMU's own words are above; `vmserial showcmd --pretty` shows the whole command"
