"""QEMU's options: which take an argument, which have an implied first key, which read JSON.

The lists are the union over qemu-system-x86_64 and qemu-system-aarch64 of QEMU
5.2, 7.2, 10.0 and 11.1.  Each name was asked of each binary: an option that ends
a command line is refused with "requires an argument" if it takes one, and with
"invalid option" if the binary does not have it (system/vl.c, ``lookup_opt()``).
No option takes an argument in one version and none in another.
"""

from __future__ import annotations

from collections.abc import Iterable

WITH_ARGUMENT = frozenset(
    """
    D L M accel acpitable action add-fd append audio audiodev bios blockdev boot cdrom chardev
    chroot compat cpu d debugcon device dfilter display drive dtb dump-vmstate echr fda fdb
    fsdev fw_cfg g gdb global hda hdb hdc hdd icount incoming initrd iscsi k kernel loadvm m
    machine mem-path mon monitor msg mtdblock name net netdev nic numa object option-rom
    overcommit parallel pflash pidfile plugin prom-env qmp qmp-pretty qtest qtest-log readconfig
    realtime rotate rtc run-with runas sandbox sd seed semihosting-config serial set shim smbios
    smp soundhw spice tb-size tpmdev trace usbdevice uuid vga virtfs vnc watchdog
    watchdog-action writeconfig xen-domid
    """.split()
)
"""Options whose next word is their argument, whatever it looks like."""

ALONE = frozenset(
    """
    S alt-grab async-teardown audio-help ctrl-grab curses daemonize enable-fips enable-kvm
    enable-sync-profile full-screen h help jitdump mem-prealloc no-acpi no-fd-bootchk no-hpet
    no-quit no-reboot no-shutdown no-user-config nodefaults nographic old-param only-migratable
    perfmap portrait preconfig s sdl semihosting show-cursor singlestep snapshot usb version
    win2k-hack xen-attach xen-domid-restrict
    """.split()
)
"""Options that stand alone."""

IMPLIED_KEY = {
    "M": "type",
    "accel": "accel",
    "acpitable": "",
    "action": "",
    "audio": "driver",
    "audiodev": "driver",
    "blockdev": "driver",
    "boot": "order",
    "chardev": "backend",
    "device": "driver",
    "display": "type",
    "fsdev": "fsdriver",
    "fw_cfg": "name",
    "icount": "shift",
    "m": "size",
    "machine": "type",
    "mon": "chardev",
    "msg": "",
    "name": "guest",
    "net": "type",
    "netdev": "type",
    "nic": "type",
    "numa": "type",
    "object": "qom-type",
    "plugin": "file",
    "sandbox": "enable",
    "smp": "cpus",
    "tpmdev": "type",
    "trace": "enable",
    "virtfs": "fsdriver",
}
"""The key that a first part without ``=`` gives its value to."""

READS_JSON = frozenset({"audiodev", "blockdev", "chardev", "device", "display", "netdev", "object"})
"""Options whose argument may be a JSON object: it then begins with a brace.

-blockdev since 2.9, -audiodev since 4.0, -display since 4.1, -object since 6.0,
-device since 6.2, -netdev since 7.2; -chardev in no release up to 11.1.
"""

CONFIG_GROUPS = {"smp-opts": "smp", "boot-opts": "boot", "memory": "m"}
"""Sections of a -readconfig file whose option has another name."""


def has_argument(name: str) -> bool | None:
    """Tell whether an option takes an argument; None for one that no QEMU here knows."""
    if name in WITH_ARGUMENT:
        return True
    return False if name in ALONE else None


CHARDEV_KEYS = {
    **dict.fromkeys(
        """
        backend chardev encoding fd host id input-path localaddr localport logfile name path port
        tls-authz tls-creds
        """.split(),
        "text",
    ),
    **dict.fromkeys(
        """
        abstract append clipboard delay ipv4 ipv6 logappend mouse mux nodelay server signal telnet
        tight tn3270 wait websocket
        """.split(),
        "switch",
    ),
    **dict.fromkeys("cols debug height reconnect reconnect-ms rows to width".split(), "number"),
    "size": "size",
}
"""The keys of -chardev, and what each of them is.

QMP's query-command-line-options of 7.2, with those of newer versions up to 11.1.  QEMU holds
each key against this list whatever the backend is.
"""

_CHARDEV_LISTS = "chardevs."
"""How the keys of a list begin (those of hub, since 10.0)."""


def unknown_key(params: Iterable[str]) -> str:
    """Return the first key that no -chardev has; empty: all are known."""
    return next(
        (key for key in params if key not in CHARDEV_KEYS and not key.startswith(_CHARDEV_LISTS)),
        "",
    )
