"""What the guest's kernel and tools say."""

from __future__ import annotations

from vmserial.catalogue.base import EVERYBODY, Effect, Entry, Text

_BOOTED = "seen on booted Debian guests under QEMU 7.2"
_LINUX = "Linux 5.10 to 6.12"

ENTRIES = (
    Entry(
        "guest-8250-limit",
        "more 8250 ports than the guest's kernel registers",
        Effect.DEAD,
        "QEMU is content; the guest has no node for the port, or one that answers "
        "Input/output error.",
        "The kernel registers as many isa-serial and pci-serial ports as it was built for: 4 on "
        "Debian arm64 (CONFIG_SERIAL_8250_NR_UARTS), 4 of 32 on Debian 11 and 12 amd64 "
        "(CONFIG_SERIAL_8250_RUNTIME_UARTS). Error -28 is ENOSPC.",
        (
            "use `--type auto`, `usb` or `virtio` for the ports past the limit: `vmserial plan "
            "--arch aarch64 --ports 10 --guest debian-12-arm64`",
            "where NR_UARTS is higher than RUNTIME_UARTS boot the guest with "
            "`8250.nr_uarts=32`: `grep SERIAL_8250 /boot/config-$(uname -r)`",
        ),
        _BOOTED + " (arm64: the fifth pci-serial; amd64: the fourth beside COM1)",
        (Text("Couldn't register serial port <10a0>, irq <16>, type <0>, error -28", _LINUX),),
        see=("ttys-unbacked",),
    ),
    Entry(
        "guest-8250-failed",
        "the guest's kernel cannot register a serial port",
        Effect.DEAD,
        "The guest has no node for the port.",
        "The error number says why: -28 no place, -22 a bad value, -16 busy.",
        ("see the lines before it in dmesg; another type (`--type usb`, `virtio`) avoids it",),
        "Linux, drivers/tty/serial/8250/8250_pci.c",
        (Text("Couldn't register serial port <10a0>, irq <16>, type <0>, error -<22>", _LINUX),),
        see=("guest-8250-limit",),
    ),
    Entry(
        "pci-io-windows",
        "more root ports than there is I/O space",
        Effect.DEAD,
        "QEMU is content; the guest cannot give the pci-serial behind the 16th root port its "
        "I/O place. q35 with SeaBIOS does not even boot with 15.",
        "PCI's I/O space is 64 KiB, and each bridge takes 4 KiB of it.",
        (
            "at most 15 (virt) or 14 (q35) root ports with pci-serial; use `--type usb` or "
            "`virtio` for further hot-pluggable ports, or pci-serial directly on the root bus",
        ),
        _BOOTED + " (arm64, 18 root ports)",
        (
            Text("bridge window [io  <size 0x1000>]: can't assign; no space", "Linux 6.1, 6.12"),
            Text("BAR <0> [io  <size 0x0008>]: can't assign; no space", "Linux 6.1, 6.12"),
            Text("BAR <13>: no space for [io  <size 0x1000>]", "Linux 5.10"),
        ),
    ),
    Entry(
        "xhci-slots",
        "more USB devices than an xhci has slots",
        Effect.DEAD,
        "QEMU is content; the ports past the limit do not appear in the guest.",
        "QEMU's xhci has 64 slots, and hubs take slots too: with eight or nine hubs 55 or 56 "
        "ports come up.",
        (
            "use several controllers without hubs, 15 ports each: `-device "
            "qemu-xhci,id=xhci1,p2=15,p3=15`; `vmserial plan --arch aarch64 --ports 60 --type "
            "usb` places them",
        ),
        _BOOTED + " (65 ports behind nine hubs: 55 came up)",
        (
            Text("Error while assigning device slot ID: No Slots Available", _LINUX),
            Text("Max number of devices this xHCI host supports is <64>", _LINUX),
            Text("couldn't allocate usb_device", _LINUX),
        ),
        see=("usb-port-taken",),
    ),
    Entry(
        "virtio-guest-failure",
        "the guest could not add a virtio port",
        Effect.DEAD,
        "QEMU runs on; the port does not work in the guest.",
        "The guest's driver answered PORT_READY with 0: it has no memory for the port's buffers, "
        "or a port of that number was unplugged and its buffers are still in the queue (older "
        "kernels).",
        ("plug it with another nr=; or unload and load virtio_console, or reboot the guest",),
        "QEMU, hw/char/virtio-serial-bus.c; Linux, drivers/char/virtio_console.c",
        (
            Text("virtio-serial-bus: Guest failure in adding port <2> for device"),
            Text("virtio-serial-bus: Guest failure in adding device"),
            Text("Error allocating inbufs", _LINUX),
        ),
    ),
    Entry(
        "virtio-unexpected-port",
        "the guest speaks of a virtio port that is not there",
        Effect.RISK,
        "QEMU runs on and ignores the message.",
        "The guest answers late, about a port that was unplugged meanwhile.",
        ("wait for DEVICE_DELETED before the number is used again",),
        "QEMU, hw/char/virtio-serial-bus.c",
        (Text("virtio-serial-bus: Unexpected port id <2> for device"),),
    ),
    Entry(
        "ttys-unbacked",
        "a ttyS node that nothing stands behind",
        Effect.DEAD,
        "The node is there, and every use of it fails.",
        "The kernel makes ttyS nodes for as many ports as it could have; /sys/class/tty/ttyS9/"
        "type is 0 for those without a UART.",
        (
            "use the node that has one: `grep -v unknown /proc/tty/driver/serial`; "
            "`vmserial plan` says by what each port is known in the guest",
        ),
        _BOOTED + " (amd64 with 8250.nr_uarts=32)",
        (
            Text("/dev/ttyS<9>: Input/output error", "tools in the guest"),
            Text("Input/output error", "tools in the guest"),
        ),
        see=("guest-8250-limit", "onboard-uart-limit"),
    ),
    Entry(
        "tty-node-without-driver",
        "a node whose number no driver serves",
        Effect.DEAD,
        "Opening it fails.",
        "The node was made by hand or stayed over; the kernel has no such port (hvc past 7, ttyS "
        "past nr_uarts, a second ttyAMA).",
        ("ask the plan for the node: `vmserial plan --arch aarch64 --ports 4`",),
        _BOOTED,
        (
            Text("tty<S9>: No such device or address", "tools in the guest"),
            Text("/hvc<9>: No such device or address", "tools in the guest"),
        ),
        see=("hvc-limit", "guest-8250-limit"),
    ),
    Entry(
        "tty-is-a-file",
        "a tty that is an ordinary file",
        Effect.LOSES,
        "What is written goes into a file in /dev and never reaches the host.",
        "Somebody wrote to a node that was not there (`echo x >/dev/ttyS4`), as root: the shell "
        "made a file. It hides the real node later.",
        ("remove it: `ls -l /dev/ttyS4` shows it without a leading c",),
        _BOOTED,
        (
            Text("/dev/tty<S4>: Inappropriate ioctl for device", "stty in the guest"),
            Text("/dev/hvc<9>: Inappropriate ioctl for device", "stty in the guest"),
            Text("/dev/tty<S4>: not a tty", "agetty in the guest"),
        ),
        see=("guest-8250-limit",),
    ),
    Entry(
        "hvc-limit",
        "more virtconsoles than Linux has hvc nodes",
        Effect.DEAD,
        "The port has a vport node, but no hvc.",
        "Linux has eight: hvc0 to hvc7.",
        ("use `--type virtio` (virtserialport) for the rest",),
        _BOOTED + " (ten virtconsoles: hvc0 to hvc7)",
        (
            Text("/dev/hvc<9>': No such file or directory", "tools in the guest"),
            Text("/dev/hvc<9>: No such file or directory", "tools in the guest"),
            Text("error <-12> allocating hvc for port", _LINUX),
        ),
    ),
    Entry(
        "ttyusb-missing",
        "a ttyUSB that does not appear in the guest",
        Effect.DEAD,
        "The node is not there.",
        "The port is not plugged in until a client opens its host side (usb-not-plugged), the "
        "guest has no ftdi_sio (guest-driver-missing), or the numbers are in another order.",
        (
            "add always-plugged=on; `lsusb -d 0403:6001` counts the ports; find one by "
            "/dev/serial/by-id, not by its number",
        ),
        "run on a booted guest",
        (
            Text("/dev/ttyUSB<0>': No such file or directory", "tools in the guest"),
            Text("/dev/ttyUSB<0>: No such file or directory", "tools in the guest"),
        ),
        see=("usb-not-plugged", "guest-driver-missing"),
    ),
    Entry(
        "getty-no-device",
        "systemd waits for a tty that never comes",
        Effect.DEAD,
        "The boot takes 90 s longer and there is no login on the port.",
        "A serial-getty@ is enabled, or console= given, for a node that the guest does not have.",
        ("`systemctl disable serial-getty@ttyS3`, and enable it for the node that the plan names",),
        "systemd",
        (
            Text("Timed out waiting for device dev-tty<S3>.device", "systemd"),
            Text("Timed out waiting for device /dev/tty<S3>", "systemd"),
        ),
        see=("guest-8250-limit", "onboard-uart-limit"),
    ),
    Entry(
        "8250-lsr",
        "an 8250 port with nothing behind it",
        Effect.DEAD,
        "Opening the port fails.",
        "The line status register reads as 0xff: no UART answers at that place, or its I/O place "
        "was never assigned.",
        ("see whether PCI had room (pci-io-windows); use another type for that port",),
        "Linux, drivers/tty/serial/8250/8250_port.c",
        (Text("LSR safety check engaged!", _LINUX),),
        see=("pci-io-windows", "ttys-unbacked"),
    ),
    Entry(
        "tty-overrun",
        "the guest loses what the host sends",
        Effect.LOSES,
        "Bytes from the host are missing.",
        "The host writes faster than the guest takes: pasted text, a fast sender on a 16550, a "
        "reader that lags.",
        (
            "send slower or with flow control; virtserialport holds the sender back and loses "
            "nothing: `--type virtio`",
        ),
        "Linux, drivers/tty/n_tty.c",
        (Text("input overrun(s)", _LINUX),),
    ),
    Entry(
        "8250-too-much-work",
        "an emulated 16550 that is too fast for the kernel",
        Effect.RISK,
        "The kernel says so; nothing is lost by it.",
        "An emulated UART never lets the interrupt handler finish while data flows.",
        ("use `--type virtio` or `usb` for much data; newer kernels do not say it",),
        "Linux, drivers/tty/serial/8250/8250_core.c, older versions",
        (Text("serial8250: too much work for irq<4>", "older Linux"),),
    ),
    Entry(
        "no-initial-console",
        "the guest has no console",
        Effect.RISK,
        "The guest boots in silence.",
        "console= names no port that the kernel has, or the image has no /dev/console.",
        ("aarch64 virt: `console=ttyAMA0`; x86: `console=ttyS0`; virtconsole: `console=hvc0`",),
        "Linux, init/main.c",
        (Text("unable to open an initial console", _LINUX),),
    ),
    Entry(
        "guest-driver-missing",
        "the guest has no driver for that kind of port",
        Effect.DEAD,
        "QEMU is content; the port has no node in the guest.",
        "The guest's kernel is built without 8250_pci, ftdi_sio and xhci, or virtio_console, or "
        "its module is not there.",
        (
            "choose a kind that the guest has a driver for: `vmserial plan --arch aarch64 "
            "--ports 4 --guest /boot/config`; in the guest `modprobe ftdi_sio` or "
            "`virtio_console`",
        ),
        "the kernel's configuration",
        who=EVERYBODY,
    ),
)
