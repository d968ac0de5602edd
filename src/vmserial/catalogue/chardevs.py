"""Chardevs: the host's side of a port."""

from __future__ import annotations

from vmserial.catalogue.base import ALL, Effect, Entry, Text

_RUN = "run with QEMU 5.2, 7.2, 10.0 and 11.1"
_OWN = ("libvirt", "QEMU")

ENTRIES = (
    Entry(
        "chardev-missing",
        "a device whose chardev is not there",
        Effect.FAILS,
        "QEMU does not start; over QMP the command is refused.",
        "The id is misspelt, or the -chardev was never made.",
        (
            "add `-chardev socket,id=serial1,path=/run/serial1,server=on,wait=off`, or use the "
            "id that is there (QMP `query-chardev` lists them)",
        ),
        _RUN,
        (
            Text("Property '<serial>.chardev' can't find value '<serial1>'"),
            Text("to character backend 'chardev:<serial1>'"),
            Text("Chardev '<serial1>' not found"),
            Text("Chardev '<serial1>' does not exist"),
            Text('chardev "<serial1>" not found'),
        ),
        _OWN,
        ("chardev-in-use",),
    ),
    Entry(
        "mux-full",
        "a fifth device on one multiplexed chardev",
        Effect.FAILS,
        "QEMU does not start.",
        "A mux chardev serves four frontends, the monitor included.",
        ("give the device a chardev of its own",),
        _RUN + "; 5.2 and 7.2 say that it is in use",
        (
            Text(
                "too many uses of multiplexed chardev '<serial0>' (maximum is 4)", "QEMU 10.0, 11.1"
            ),
            Text("too many uses of chardevs '<hub0>' (maximum is 4)", "QEMU 10.0, 11.1"),
            Text("Invalid parameter 'chardevs.4'", "QEMU 10.0, 11.1"),
        ),
        _OWN,
    ),
    Entry(
        "chardev-in-use",
        "one chardev for two devices",
        Effect.FAILS,
        "QEMU does not start; over QMP the device is refused.",
        "A chardev serves one device. After device_del it stays taken until DEVICE_DELETED.",
        (
            "give each device a chardev of its own; on a running VM wait for DEVICE_DELETED "
            "before the id is used again",
        ),
        _RUN,
        (
            Text(
                "Property '<serial>.chardev' can't take value '<serial0>': Device '<serial0>' "
                "is in use",
                "QEMU 5.2, 7.2",
            ),
            Text("chardev '<serial0>' is already in use", "QEMU 10.0, 11.1"),
            Text("Device '<serial0>' is in use", "QEMU 5.2, 7.2"),
        ),
        _OWN,
        ("mux-full", "port-clash"),
    ),
    Entry(
        "id-taken",
        "one id for two things",
        Effect.FAILS,
        "QEMU does not start; over QMP the command is refused.",
        "Devices and chardevs have ids, and each id is there once among its kind. In a PVE VM "
        "`args:` may name what the configuration makes already.",
        ("two devices or chardevs have the same id: give one of them another one",),
        _RUN,
        (
            Text("Duplicate ID '<serial0>' for "),
            Text("Duplicate device ID '<serial0>'", "QEMU 7.2 to 11.1, over QMP"),
            Text("Chardev with id '<serial0>' already exists", "QEMU 7.2 to 11.1, over QMP"),
            Text(
                "attempt to add duplicate property '<serial0>' to object (type 'container')",
                "QEMU 5.2, over QMP",
            ),
        ),
        see=("port-clash",),
    ),
    Entry(
        "chardev-id",
        "an id that is none",
        Effect.FAILS,
        "QEMU does not start.",
        "An id begins with a letter; letters, digits, '-', '.' and '_' follow.",
        ("write `id=serial0`",),
        _RUN,
        (
            Text("Parameter 'id' expects an identifier"),
            Text("Invalid qdev ID '<0serial>'", "QEMU 11.1"),
        ),
        _OWN,
    ),
    Entry(
        "chardev-incomplete",
        "a chardev that lacks what it needs",
        Effect.FAILS,
        "QEMU does not start.",
        "Each backend has values that it cannot do without: id always; path or host and port for "
        "a socket; path for a file, pipe or serial; port for udp.",
        (
            "complete it; `vmserial showcmd --arch aarch64 --ports 2 --pretty` shows whole ones",
            "QEMU: `Unable to parse FD number` means that a socket has neither path= nor host=",
        ),
        _RUN,
        (
            Text("chardev: no id specified"),
            Text("chardev: socket: no port given"),
            Text("chardev: udp: remote port not specified"),
            Text("chardev: serial/tty: no device path given"),
            Text("chardev: pipe: no device path given"),
            Text("chardev: file: no filename given"),
            Text("Unable to parse FD number", "QEMU 7.2 to 11.1"),
            Text("Exactly one of 'path', 'fd' or 'host' required", "QEMU 5.2"),
            Text('chardev: "<serial0>" missing backend'),
        ),
        _OWN,
    ),
    Entry(
        "chardev-backend-unknown",
        "a backend that this QEMU does not have",
        Effect.FAILS,
        "QEMU does not start.",
        "It is misspelt, of a newer QEMU (hub: 10.0), or in a module that is not installed "
        "(spicevmc: the package qemu-system-modules-spice).",
        ("`vmserial probe` lists the backends of a binary; socket, pty, file, null are in all",),
        _RUN,
        (
            Text("' is not a valid char driver"),
            Text("Parameter 'type' does not accept value '<nonesuch>'", "QEMU 7.2 to 11.1"),
        ),
        _OWN,
    ),
    Entry(
        "chardev-takes-no-json",
        "JSON after -chardev",
        Effect.FAILS,
        "QEMU does not start.",
        "-device takes JSON from 6.2 and -object from 6.0, -chardev in no version.",
        ("write `-chardev socket,id=serial0,path=…,server=on,wait=off`",),
        _RUN,
        (Text("Invalid parameter '\"<backend>"),),
        ("QEMU",),
    ),
    Entry(
        "reconnect-by-version",
        "reconnect= and reconnect-ms= by version",
        Effect.FAILS,
        "QEMU does not start.",
        "reconnect= (seconds) is known until 10.1, reconnect-ms= (milliseconds) from 9.2.",
        (
            "write `reconnect=5` for QEMU up to 9.1 and `reconnect-ms=5000` from 9.2; vmserial "
            "writes the one that the binary knows",
        ),
        _RUN,
        (
            Text("Invalid parameter 'reconnect-ms'", "QEMU 5.2, 7.2"),
            Text("Invalid parameter 'reconnect'", "QEMU 11.1"),
        ),
        _OWN,
    ),
    Entry(
        "socket-options-clash",
        "options of a server on a client, or the reverse",
        Effect.FAILS,
        "QEMU does not start (5.2 warns only about wait).",
        "wait= is for server=on, reconnect= for a client.",
        (
            "write `server=on,wait=off` where QEMU is to listen, and `reconnect=5` or nothing "
            "where it is to connect",
        ),
        _RUN,
        (
            Text(
                "'reconnect' option is incompatible with socket in server listen mode",
                "QEMU 5.2 to 10.0",
            ),
            Text(
                "'wait' option is incompatible with socket in client connect mode",
                "QEMU 7.2 to 11.1",
            ),
            Text("'wait' option is deprecated with socket in client connect mode", "QEMU 5.2"),
        ),
        _OWN,
    ),
    Entry(
        "socket-path-too-long",
        "a socket's path of more than 107 bytes",
        Effect.FAILS,
        "QEMU does not start.",
        "The kernel's address of a unix socket holds 108 bytes, the last is 0.",
        ("a socket's path may have 107 bytes; use a shorter one, such as /run/vm/serial0",),
        _RUN + "; unix(7)",
        (
            Text("UNIX socket path '</very/long>' is too long"),
            Text("Path must be less than 108 bytes"),
        ),
    ),
    Entry(
        "directory-missing",
        "the directory of a socket, file or log is not there",
        Effect.FAILS,
        "QEMU does not start.",
        "QEMU makes the file or socket, not its directory.",
        (
            "check the path, and make its directory: `mkdir -p /run/vmserial/vm`; `vmserial run` "
            "makes it itself",
        ),
        _RUN,
        (
            Text("Failed to bind socket to </run/vm/serial0>: No such file or directory"),
            Text(
                "Could not create '</var/log/vm/serial0.log>': No such file or directory",
                "QEMU 7.2 to 11.1",
            ),
            Text(
                "Unable to open logfile </var/log/vm/serial0.log>: No such file or directory",
                "QEMU 5.2",
            ),
            Text(
                "-chardev file,<id=serial0>: Could not open '</var/log/vm/0>': No such file or "
                "directory"
            ),
        ),
    ),
    Entry(
        "chardev-reconnecting",
        "nobody listens yet, and QEMU tries again",
        Effect.RISK,
        "QEMU starts, and what the guest says until the connection stands is gone. QEMU 11.0.0 "
        "aborts here.",
        "The socket is a client with reconnect, and its server is not there.",
        ("start the server; with QEMU 11.0.0 use another version",),
        "run with QEMU 10.0 and 11.1",
        (Text("Unable to connect character device <serial0>: ", "QEMU 10.0, 11.1"),),
        _OWN,
        ("socket-missing",),
    ),
    Entry(
        "socket-missing",
        "nobody listens where QEMU is to connect",
        Effect.FAILS,
        "QEMU does not start.",
        "Without server=on QEMU is the client, and does not start without its server.",
        (
            "start the server first, check the path, or add `reconnect=5` (`reconnect-ms=5000` "
            "from QEMU 9.2); with `server=on,wait=off` QEMU is the server itself",
        ),
        _RUN,
        (
            Text("Failed to connect to '</run/vm/serial0>': No such file or directory"),
            Text("Failed to connect to '<127.0.0.1:4000>': Connection refused"),
        ),
        see=("chardev-reconnecting",),
    ),
    Entry(
        "host-unknown",
        "a host name that cannot be resolved, or an address that is not here",
        Effect.FAILS,
        "QEMU does not start.",
        "The resolver does not know the name, or the local address is not one of this host.",
        ("give an address: `host=127.0.0.1`",),
        _RUN,
        (
            Text("address resolution failed for <host:4000>"),
            Text("Failed to bind socket: Cannot assign requested address"),
        ),
        _OWN,
    ),
    Entry(
        "address-in-use",
        "a TCP port that somebody else has",
        Effect.FAILS,
        "QEMU does not start.",
        "Another process, mostly another VM, listens there. A unix socket's path never says so: "
        "QEMU takes it away from whoever had it.",
        (
            "another process holds this socket or port; end it or choose another one "
            "(`ss -ltnp` says who)",
        ),
        _RUN,
        (
            Text("Failed to find an available port: Address already in use"),
            Text("Failed to bind socket<>: Address already in use"),
            Text("Address already in use"),
        ),
        see=("socket-in-use",),
    ),
    Entry(
        "object-missing",
        "TLS credentials, or another object, that nobody made",
        Effect.FAILS,
        "QEMU does not start.",
        "tls-creds= and tls-authz= name an object, and no -object has this id.",
        ("add `-object tls-creds-x509,id=tls0,dir=/etc/pki/qemu,endpoint=server`",),
        _RUN,
        (Text("No TLS credentials with id '<tls0>'"),),
        _OWN,
    ),
    Entry(
        "fd-not-socket",
        "a passed descriptor that is no socket",
        Effect.FAILS,
        "QEMU does not start.",
        "fd= names a descriptor that was not passed, or was closed on exec.",
        ("pass the descriptor to the child, and give its number there",),
        _RUN,
        (Text("File descriptor '<77>' is not a socket"),),
        _OWN,
    ),
    Entry(
        "chardev-waits",
        "QEMU waits for a client",
        Effect.RISK,
        "QEMU does not run, nor answer on its monitor, until somebody connects.",
        "server=on without wait=off.",
        ("add `wait=off`, or connect: `socat -,rawer UNIX-CONNECT:/run/vm/serial0`",),
        _RUN,
        (Text("info: QEMU waiting for connection on: <disconnected:unix:/run/vm/serial0>"),),
        _OWN,
    ),
    Entry(
        "pipe-missing",
        "a pipe that nobody made",
        Effect.FAILS,
        "QEMU does not start.",
        "QEMU opens a pipe, it does not make it.",
        ("make it: `mkfifo /run/vm/serial0.in /run/vm/serial0.out`",),
        _RUN,
        (Text("-chardev pipe,<id=serial0>: Could not open '</run/vm/0>': No such file"),),
        _OWN,
    ),
    Entry(
        "tty-missing",
        "a serial device that the host does not have",
        Effect.FAILS,
        "QEMU does not start.",
        "The host has no such tty, or it is away (a USB adapter).",
        ("name a tty of this host (`ls /dev/serial/by-id`), or use a socket",),
        _RUN,
        (
            Text("-chardev serial,<id=serial0>: Could not open '</dev/ttyS9>': No such file"),
            Text("-chardev tty,<id=serial0>: Could not open '</dev/ttyS9>': No such file"),
            Text("Could not open '/dev/tty<S9>': No such file or directory"),
        ),
        see=("tty-not-a-device",),
    ),
    Entry(
        "tty-not-a-device",
        "a host tty that is an ordinary file",
        Effect.LOSES,
        "QEMU starts and says nothing; what the guest says goes into the file.",
        "-chardev serial opens whatever stands at the path.",
        ("name a tty of this host, or say `file` if a file is meant",),
        "a file as -chardev serial starts with " + ALL,
        see=("tty-missing",),
    ),
    Entry(
        "pty-path-exists",
        "a pty's name that is taken",
        Effect.FAILS,
        "QEMU does not start.",
        "path= of a pty (from QEMU 9.2) is a link that QEMU makes; it does not replace a file.",
        ("remove the old link, or give another path",),
        _RUN,
        (Text("Failed to create PTY symlink: File exists", "QEMU 10.0, 11.1"),),
        _OWN,
    ),
    Entry(
        "ringbuf-size",
        "a ring buffer's size that is no power of two",
        Effect.FAILS,
        "QEMU does not start.",
        "ringbuf takes 1024, 2048, 4096 and so on.",
        ("write `size=65536`",),
        _RUN,
        (Text("size of ringbuf chardev must be power of two"),),
        _OWN,
    ),
    Entry(
        "stdio-twice",
        "stdio for two chardevs",
        Effect.FAILS,
        "QEMU does not start. `-nographic` takes stdio as well.",
        "A process has one standard input.",
        ("give one of them another backend, or share it: `-serial mon:stdio`",),
        _RUN,
        (Text("cannot use stdio by multiple character devices"),),
        ("QEMU",),
        ("port-clash",),
    ),
    Entry(
        "serial-backend",
        "-serial with a backend that cannot be had",
        Effect.FAILS,
        "QEMU does not start; the line before says why.",
        "The word after -serial is no backend, or the backend failed.",
        ("use `-chardev …,id=serial0 -serial chardev:serial0`: its errors say more",),
        _RUN,
        (Text("could not connect serial device to character backend '<x>'"),),
        ("QEMU",),
        ("chardev-missing",),
    ),
    Entry(
        "port-clash",
        "two ports on one backend",
        Effect.DEAD,
        "Two server sockets on one path: QEMU starts, and the first port can no longer be "
        "reached. Two ports with stdio: QEMU does not start.",
        "QEMU removes a unix socket's path before it listens there, also its own.",
        ("give each port an index and a backend of its own",),
        "two -chardev with one path start with " + ALL,
        see=("stdio-twice", "chardev-in-use"),
    ),
    Entry(
        "socket-in-use",
        "a socket's path that a running VM listens on",
        Effect.RISK,
        "QEMU starts and takes the path away; the other VM's port can no longer be reached.",
        "QEMU removes a unix socket's path before it listens there.",
        ("stop that VM, or give the port another path (`ss -lxp` says who listens)",),
        "a path with a listener starts with " + ALL,
        see=("address-in-use",),
    ),
)
