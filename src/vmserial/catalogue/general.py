"""Texts that fit much: they speak only for lines that nothing else knows."""

from __future__ import annotations

from vmserial.catalogue.base import ALL, Effect, Entry, Text

_RUN = "run with QEMU 5.2, 7.2, 10.0 and 11.1"

ENTRIES = (
    Entry(
        "file-missing",
        "a file that is not there",
        Effect.FAILS,
        "Whoever says it cannot go on; QEMU does not start.",
        "The path is wrong, or the file is on another host.",
        ("check the path; QEMU says which one above",),
        _RUN,
        (
            Text("Could not open '</disk.qcow2>': No such file or directory"),
            Text("No such file or directory"),
        ),
        see=("directory-missing", "tty-missing", "pipe-missing"),
    ),
    Entry(
        "permission-denied",
        "a file that may not be opened",
        Effect.FAILS,
        "Whoever says it cannot go on; QEMU does not start.",
        "The user that QEMU runs as may not open it; libvirt's QEMU is confined as well "
        "(AppArmor, SELinux).",
        (
            "check the owner and mode of that file and who you are (a tty: the group dialout)",
            "libvirt: put sockets and logs below /var/lib/libvirt/qemu",
        ),
        "the kernel",
        (Text("Permission denied", "QEMU and tools in the guest"),),
    ),
    Entry(
        "bad-value",
        "a value that QEMU does not take",
        Effect.FAILS,
        "QEMU does not start.",
        "A number is out of range, a switch is neither on nor off, an address is no address.",
        (
            "write a value that it takes: `qemu-system-x86_64 -device pci-serial,help` says of "
            "which type it is; a PCI address is hexadecimal, slot.function, up to 1f.7",
        ),
        _RUN,
        (
            Text("' doesn't take value '<40>'"),
            Text("Parameter '<always-plugged>' expects "),
        ),
    ),
    Entry(
        "parameter-unknown",
        "a parameter that this QEMU does not know",
        Effect.FAILS,
        "QEMU does not start.",
        "It is misspelt, or of another version.",
        ("see `man qemu-system`, or `vmserial showcmd --pretty` for what this binary takes",),
        _RUN,
        (Text("Invalid parameter '<x>'"),),
        ("libvirt", "QEMU"),
    ),
    Entry(
        "option-unknown",
        "an option that this QEMU does not know",
        Effect.FAILS,
        "QEMU does not start.",
        "It is misspelt, or of another version or build.",
        ("see `qemu-system-x86_64 -help`",),
        _RUN,
        (Text(": invalid option"),),
        see=("pve-option",),
    ),
    Entry(
        "short-form-deprecated",
        "server,nowait instead of server=on,wait=off",
        Effect.RISK,
        "QEMU starts and warns.",
        "Switches without =on and =off may go away.",
        ("write `server=on,wait=off`",),
        _RUN,
        (Text("warning: short-form boolean option '<server>' deprecated", "QEMU 7.2 to 11.1"),),
        ("QEMU",),
    ),
    Entry(
        "not-proven",
        "a port that did not answer on a test guest",
        Effect.DEAD,
        "On a booted test guest the port has no node, or bytes did not arrive whole, or QEMU did "
        "not start.",
        "`vmserial doctor --boot` asks the running thing; what it saw stands beside the id.",
        (
            "mend what else `vmserial doctor` names, or let `vmserial fix` do it, and prove it "
            "again",
        ),
        "the proof itself",
        see=("onboard-uart-limit", "guest-8250-limit", "port-without-device"),
    ),
    Entry(
        "pve-start-failed",
        "PVE says only that QEMU ended",
        Effect.FAILS,
        "The task ends with this line.",
        "It is not the cause: the line before it, from kvm, is.",
        ("give the whole task log: `vmserial explain - <task.log`; or `vmserial doctor 142.conf`",),
        "PVE " + ALL,
        (Text("start failed: QEMU exited with code 1", "PVE"),),
        ("PVE",),
    ),
    Entry(
        "libvirt-start-failed",
        "libvirt says only that QEMU ended",
        Effect.FAILS,
        "The domain does not start.",
        "It is not the cause: QEMU's own words behind it, or in the domain's log, are.",
        ("give the whole log: `vmserial explain - </var/log/libvirt/qemu/DOM.log`",),
        "libvirt's source",
        (
            Text("process exited while connecting to monitor", "libvirt"),
            Text("unexpectedly closed the monitor", "libvirt"),
        ),
        ("libvirt",),
    ),
)
