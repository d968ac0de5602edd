"""What Proxmox VE itself makes of a configuration (qemu-server 9.2)."""

from __future__ import annotations

from vmserial.catalogue.base import Effect, Entry, Text

_PVE = ("PVE",)
_SOURCE = "qemu-server 9.2.6, read and run"
_KVM = "PVE's kvm, QEMU 5.2 to 11.1"

ENTRIES = (
    Entry(
        "pve-agent-isa-on-aarch64",
        "the guest agent with type=isa on aarch64",
        Effect.FAILS,
        "The VM does not start.",
        "agent type=isa becomes isa-serial on every architecture, and aarch64 has no ISA bus.",
        ("write `agent: 1` (virtio): `qm set 142 --agent 1`",),
        _SOURCE,
        (
            Text(
                "kvm: -device isa-serial,<chardev=>qga0: "
                "'isa-serial' is not a valid device model name",
                _KVM,
            ),
        ),
        _PVE,
        ("agent-isa-not-on-arch", "pve-isa-on-aarch64"),
    ),
    Entry(
        "pve-isa-on-aarch64",
        "PVE's second serial port on aarch64",
        Effect.FAILS,
        "The VM does not start: TASK ERROR: start failed: QEMU exited with code 1.",
        "PVE gives the on-board UART to serial0 only, and only for 'socket'; every other port "
        "becomes isa-serial, and aarch64 has no ISA bus, so its QEMU has no such device.",
        (
            "`vmserial doctor 142.conf` names the ports, `vmserial showcmd 142.conf --pretty` "
            "plans each on a device that aarch64 has, `vmserial run 142.conf` starts it",
            "PVE: `vmserial fix 142 --apply` keeps `serial0: socket` and puts the other ports "
            "into `args:` at addresses that are free in PVE's map",
        ),
        _SOURCE,
        (
            Text(
                "kvm: -device isa-serial,<chardev=>serial<1>: "
                "'isa-serial' is not a valid device model name",
                _KVM,
            ),
        ),
        _PVE,
        ("kind-not-on-arch", "onboard-uart-limit"),
    ),
    Entry(
        "pve-isa-limit",
        "four serial ports and an agent with type=isa",
        Effect.FAILS,
        "The VM does not start.",
        "Four serial ports and agent type=isa are five isa-serial devices; the limit is "
        "isa-serial's index, an own iobase does not help.",
        ("write `agent: 1` (virtio), or remove a serial port",),
        _SOURCE,
        (
            Text(
                "kvm: -device isa-serial,<chardev=>qga0: "
                "Max. supported number of ISA serial ports is 4",
                _KVM,
            ),
        ),
        _PVE,
        ("isa-limit",),
    ),
    Entry(
        "pve-vmgenid-on-aarch64",
        "vmgenid on aarch64",
        Effect.FAILS,
        "The VM does not start.",
        "QEMU has vmgenid only for x86.",
        ("remove `vmgenid:`: `qm set 142 --delete vmgenid`",),
        _SOURCE + "; run with QEMU 5.2 to 11.1",
        (Text("'vmgenid' is not a valid device model name"),),
        _PVE,
    ),
    Entry(
        "pve-ide-on-aarch64",
        "an ide drive on aarch64",
        Effect.FAILS,
        "The VM does not start.",
        "aarch64's virt board has no IDE controller.",
        ("move the drive to scsi or virtio",),
        _SOURCE + "; run with QEMU 5.2 to 11.1",
        (
            Text("No 'IDE' bus found for device 'ide-<cd>'"),
            Text("Bus 'ide.<0>' not found"),
        ),
        _PVE,
    ),
    Entry(
        "pve-serial-limit",
        "serial4 and more in a PVE configuration",
        Effect.DEAD,
        "The port never reaches PVE's command line, and the line is gone at PVE's next write.",
        "PVE knows serial0 to serial3 (isa-serial allows four).",
        (
            "write `#vmserial serial4: socket` into the description, which PVE keeps, and start "
            "the VM with `vmserial run 142.conf`, or let `vmserial fix 142 --apply` put the port "
            "into `args:`",
        ),
        _SOURCE,
        who=_PVE,
    ),
    Entry(
        "pve-backend-unknown",
        "a serial port that is neither 'socket' nor a device",
        Effect.FAILS,
        "PVE reads the line, and the start fails.",
        "PVE takes everything but 'socket' for the path of a character device.",
        ("write `serial0: socket`, and the rest in a description line `#vmserial serial0: pty`",),
        _SOURCE,
        (Text("no such serial device", "PVE"),),
        _PVE,
        ("tty-missing",),
    ),
    Entry(
        "pve-directive-only",
        "a port that only vmserial knows",
        Effect.DEAD,
        "PVE starts the VM without this port, or gives it another device than was asked for.",
        "`#vmserial` lines are a description to PVE; vmserial alone reads them.",
        (
            "PVE: `vmserial fix 142 --apply` puts the port's chardev and device into `args:`, "
            "which PVE appends to its command",
        ),
        _SOURCE,
        who=_PVE,
        see=("pve-serial-limit",),
    ),
    Entry(
        "pve-args-stale",
        "args: that vmserial wrote no longer fits the configuration",
        Effect.DEAD,
        "A port has another device or backend than its lines ask for.",
        "The lines about the port, or what it is planned for, changed after `args:` was written.",
        ("PVE: `vmserial fix 142 --apply` writes it anew",),
        "vmserial's own form of `args:`",
        who=_PVE,
        see=("pve-directive-only",),
    ),
    Entry(
        "pve-vga-port",
        "the VM's screen is a serial port that PVE cannot start",
        Effect.FAILS,
        "The VM does not start, and the port cannot be moved into `args:`.",
        "`vga: serialN` makes a port of PVE's own lines the VM's screen; in `args:` PVE would "
        "not find it.",
        (
            "PVE: `vmserial fix 142 --way shim` keeps the line, and the emulator shim gives the "
            "port its device; or `qm set 142 --vga serial0 --serial0 socket`",
        ),
        _SOURCE,
        who=_PVE,
        see=("pve-isa-on-aarch64",),
    ),
    Entry(
        "pve-shim-missing",
        "a VM that needs the emulator shim, which is not there",
        Effect.FAILS,
        "The VM does not start, or ports that `args:` asks for by a chardev alone have no device.",
        "The configuration is as PVE writes it; only the shim mends PVE's command at each start.",
        (
            "PVE: install the shim on each node that may run the VM, or `vmserial fix 142 --way "
            "args --apply`",
        ),
        "vmserial's own way of asking",
        who=_PVE,
        see=("pve-isa-on-aarch64", "pve-vga-port"),
    ),
    Entry(
        "pve-pending",
        "pending changes that undo a repair",
        Effect.FAILS,
        "The VM starts now; after its next cold start it fails, or ports are gone.",
        "PVE applies the pending changes at a cold start, and they set `args:` or serial ports.",
        (
            "PVE: revert them (`qm set 142 --revert args,serial1`), or let a cold start apply "
            "them and call `vmserial fix 142 --apply` after it",
        ),
        _SOURCE,
        who=_PVE,
        see=("pve-isa-on-aarch64",),
    ),
    Entry(
        "pve-terminal-none",
        "qm terminal finds no port",
        Effect.REFUSED,
        "qm terminal and the web console are refused.",
        "No serialN of the configuration is 'socket'; ports in `args:` do not count.",
        (
            "`qm set 142 --serial0 socket` and a cold start; reach a port of `args:` with `socat "
            "-,rawer,escape=0x1d UNIX-CONNECT:/var/run/qemu-server/142.serial1`",
        ),
        "qemu-server's source",
        (Text("unable to find a serial interface", "PVE"),),
        _PVE,
    ),
    Entry(
        "pve-option",
        "PVE's own option or machine type, given to another QEMU",
        Effect.FAILS,
        "QEMU does not start.",
        "`-id` and the suffix `+pveN` of a machine type are patches of PVE's pve-qemu-kvm; "
        "the stock QEMU has neither.",
        (
            "use PVE's binary, or `vmserial showcmd 142.conf --pretty`, which writes what any "
            "QEMU takes",
        ),
        "run with stock QEMU 5.2 to 11.1",
        (
            Text("-id: invalid option"),
            Text('unsupported machine type: "<virt>+pve', "QEMU 10.0, 11.1"),
            Text("-M <virt>+pve<0>: unsupported machine type", "QEMU 5.2"),
        ),
        ("PVE", "QEMU"),
    ),
)
