"""What the wrapper file holds: it becomes the real QEMU, with mended words or with the same.

``vmserial shim install`` writes this module's text into the wrapper, behind
``#!/usr/bin/python3 -ISB``: isolated (no PYTHON* variable, no directory of the
caller, no user site), no site module, no bytecode written.  Only modules that
are built into the interpreter are imported before everything that is read has
been checked.  Python compiles this text at each start: it is short for that.

Whatever goes wrong here, the real binary gets the words that the caller gave.
"""

import _signal  # type: ignore[import-not-found]
import gc
import marshal
import posix
import sys
import time

HINTS = (b"-serial", b"virtserialport", b"console", b"spapr-vty", b"id=serial", b"id=charserial")
"""A command line without any of these has no serial port that could be mended."""

CPU_SECONDS = 5.0
"""More than a hundred times of what mending takes."""

LOG_BYTES = 1 << 20
"""A log that is larger becomes LOG.1, and a new one is begun."""

LIGHT = {"dataclasses", "pkgutil", "typing"}


class Cut(BaseException):
    """Mending takes too long."""


def contents(path: bytes | int) -> bytes:
    """Return a file of /proc, or what :func:`trusted` has opened, as a whole."""
    file = path if isinstance(path, int) else posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    try:
        parts = []
        while part := posix.read(file, 1 << 20):
            parts.append(part)
        return b"".join(parts)
    finally:
        posix.close(file)


def safe(status: posix.stat_result, kind: int) -> bool:
    """Tell whether only root, or the very user that runs this, could have made or changed it."""
    return (
        status.st_mode & 0o170022 == kind  # the kind of file; writable by no group, by no others
        and status.st_uid in (0, posix.geteuid())
    )


def trusted(path: bytes) -> bytes:
    """Return the content of a file that nobody else could have written.

    Each directory above it is looked at before anything is opened, and none may
    be a link: who cannot write to one cannot exchange what is below.
    """
    steps = path.split(b"/")
    for end in range(1, len(steps)):
        step = b"/".join(steps[:end]) or b"/"
        if not safe(posix.lstat(step), 0o040000):
            raise PermissionError(f"others can change {ascii(step)[2:-1]}")
    flags = posix.O_RDONLY | posix.O_CLOEXEC | posix.O_NOFOLLOW | posix.O_NONBLOCK
    file = posix.open(path, flags)
    if not safe(posix.fstat(file), 0o100000):
        posix.close(file)
        raise PermissionError(f"others can change {ascii(path)[2:-1]}")
    return contents(file)


class Finder:
    """Imports vmserial's modules, and the light ones, from the shim's own files and from no other.

    Made for one directory: ``code.<magic>`` holds all modules compiled for one
    version of Python.  For any other version they are compiled anew from
    ``source/``: that takes a second, but it works after an upgrade of Python.
    """

    def __init__(self, home: bytes) -> None:
        """Read the list of modules and, if there is one for this Python, their code."""
        self.home = home
        # Name by name: "module" or "package".
        listed = trusted(home + b"/modules").decode().splitlines()
        self.kinds: dict[str, str] = dict(map(str.split, listed))
        magic = sys.modules["_frozen_importlib_external"].MAGIC_NUMBER
        try:
            self.code = marshal.loads(trusted(home + b"/code." + magic.hex().encode()))
        except FileNotFoundError:
            self.code = {}

    def find_spec(self, name: str, *_: object):  # type: ignore[no-untyped-def]
        """Return the spec of a module that the shim brings."""
        kind = self.kinds.get(name)
        if kind is None:
            return None
        spec = type(sys.__spec__)(name, self, is_package=kind == "package")  # type: ignore[arg-type]
        if kind == "package":
            spec.submodule_search_locations = [name]
        return spec

    def create_module(self, spec: object) -> None:
        """Let Python make it."""

    def exec_module(self, module: type(sys)) -> None:  # type: ignore[valid-type]
        """Run the module's code."""
        name = module.__name__
        if name in self.code:
            code = marshal.loads(self.code[name])
        else:
            file = name.replace(".", "/") + ("/__init__" if self.kinds[name] == "package" else "")
            text = trusted(self.home + f"/source/{file}.py".encode())
            code = compile(text, file, "exec", dont_inherit=True, optimize=2)
        exec(code, module.__dict__)


def arguments() -> list[bytes]:
    """Return the wrapper's path as it was called, and its arguments, as the kernel got them.

    Python has decoded them by the caller's locale, which not every encoding undoes.
    """
    try:
        words = contents(b"/proc/self/cmdline").split(b"\0")[:-1]
        if len(words) == len(sys.orig_argv):
            return words[-len(sys.argv) :]
    except OSError:
        pass
    encoding = sys.getfilesystemencoding()
    return [word.encode(encoding, "surrogateescape") for word in sys.argv]


def give_back() -> None:
    """Undo what the start of Python did to this process.

    It ignores SIGPIPE and SIGXFSZ and handles SIGINT; and in the C locale it
    sets LC_CTYPE (PEP 538), of which /proc knows the value before that.
    """
    for number in (_signal.SIGPIPE, _signal.SIGXFSZ):
        _signal.signal(number, _signal.SIG_DFL)
    if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
        _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
    if b"LC_CTYPE" in posix.environ:
        try:
            given = contents(b"/proc/self/environ").split(b"\0")
        except OSError:
            return
        before = [entry[9:] for entry in given if entry.startswith(b"LC_CTYPE=")]
        if not before:
            posix.unsetenv(b"LC_CTYPE")
        elif before[0] != posix.environ[b"LC_CTYPE"]:
            posix.putenv(b"LC_CTYPE", before[0])


def wanted(words: list[bytes]) -> bool:
    """Tell whether there may be something to mend: a VM with a serial port, no question.

    libvirt asks a binary with ``-machine none``, people with ``-version``.
    """
    before = b""
    for word in words[1:]:
        if word in (b"-version", b"--version", b"-help", b"--help", b"-h", b"help", b"?"):
            return False
        if word.endswith((b",help", b",?")):
            return False
        if before in (b"-machine", b"--machine", b"-M", b"--M") and (
            word.split(b",")[0] in (b"none", b"type=none")
        ):
            return False
        before = word
    return any(hint in word for word in words[1:] for hint in HINTS)


def mended(words: list[bytes], real: bytes, home: bytes) -> tuple[list[bytes], list[str]]:
    """Return the words with their serial ports mended, and what there is to say about it.

    Bounded in processor time.
    """

    def cut(*_: object) -> None:
        raise Cut

    # A timer survives execv(2), and so does a signal that is blocked and pending.
    timed = _signal.SIGVTALRM not in _signal.pthread_sigmask(
        _signal.SIG_BLOCK, ()
    ) and _signal.getitimer(_signal.ITIMER_VIRTUAL) == (0.0, 0.0)
    if timed:
        before = _signal.signal(_signal.SIGVTALRM, cut)
        _signal.setitimer(_signal.ITIMER_VIRTUAL, CPU_SECONDS)
    try:
        finder = Finder(home)
        sys.meta_path.insert(0, finder)
        for name in LIGHT:
            sys.modules.pop(name, None)
        from vmserial.shim import start

        result, lines = start.mended(words, real, trusted(home + b"/facts.json"))
        if lines and not finder.code:
            lines.append(
                "Python has changed since the installation: run vmserial shim install --again"
            )
        return result, lines
    finally:
        if timed:
            _signal.setitimer(_signal.ITIMER_VIRTUAL, 0.0)
            _signal.signal(_signal.SIGVTALRM, before)


def tell(text: str) -> None:
    """Say something on stderr, if it is open."""
    try:  # noqa: SIM105 - contextlib is not built in
        posix.write(2, f"vmserial-shim: {text}\n".encode("ascii", "backslashreplace"))
    except OSError:
        pass


def journal(log: bytes, name: bytes, lines: list[str]) -> None:
    """Write lines into the log; on stderr where this user may not (libvirt keeps that)."""
    try:
        flags = posix.O_WRONLY | posix.O_APPEND | posix.O_CREAT | posix.O_CLOEXEC
        file = posix.open(log, flags | posix.O_NOFOLLOW | posix.O_NONBLOCK, 0o640)
        try:
            status = posix.fstat(file)
            if not safe(status, 0o100000) or status.st_nlink != 1:
                raise PermissionError(f"others can change {ascii(log)[2:-1]}")
            stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            head = f"{stamp} {ascii(name)[2:-1]}[{posix.getpid()}] "
            text = "".join(f"{head}{line}\n" for line in lines)
            posix.write(file, text.encode("ascii", "backslashreplace"))
            if status.st_size > LOG_BYTES:
                posix.rename(log, log + b".1")
        finally:
            posix.close(file)
    except OSError:
        for line in lines:
            tell(line)


def trouble(error: BaseException) -> str:
    """Return what went wrong, without words of the command line: they may be a secret."""
    words = f" ({error})" if type(error) in (PermissionError, FileNotFoundError) else ""
    return f"{type(error).__name__}{words}: the command line is passed on as it is"


def become(real: bytes, home: bytes, words: list[bytes], given: list[bytes]) -> OSError:
    """Become the real binary; return only if nothing can be started."""
    name, real_name = words[0].split(b"/")[-1], real.split(b"/")[-1]
    if name[:15] != real_name[:15]:
        # Called as kvm: the process keeps that name (ps -C kvm) if it starts under it.
        alias = home + b"/names/" + name
        try:
            if posix.readlink(alias) == real:
                posix.execv(alias, words)
        except OSError:
            pass
    for attempt in (words, given):  # the mended words may be more than fit
        try:
            posix.execv(real, attempt)
        except OSError as error:
            last = error
    return last


def main(real: bytes, home: bytes, log: bytes) -> None:
    """Start the real binary.

    Args:
        real: its path.
        home: the shim's own directory.
        log: the file that holds what was changed.
    """
    gc.disable()  # a tenth of the time, and the memory is gone at execv(2)
    given = words = arguments()
    try:
        give_back()
        if wanted(given):
            words, lines = mended(given, real, home)
            if lines:
                journal(log, given[0], lines)
    except BaseException as error:  # noqa: BLE001 - nothing may keep the VM from its start
        words = given
        tell(trouble(error))
    try:
        itself, there = posix.stat(given[0]), posix.stat(real)
        if (itself.st_dev, itself.st_ino) == (there.st_dev, there.st_ino):
            tell(f"{ascii(real)[2:-1]} is the shim itself: put the real binary there")
            posix._exit(127)
    except OSError:
        pass
    refusal = become(real, home, words, given)
    try:
        # A shim that is being removed: its path is the real binary again.
        file = posix.open(given[0], posix.O_RDONLY | posix.O_CLOEXEC)
        if posix.read(file, 4) == b"\x7fELF":
            posix.execv(given[0], given)
    except OSError:
        pass
    tell(f"cannot start {ascii(real)[2:-1]}: {refusal.strerror}")
    posix._exit(126 if refusal.errno == 13 else 127)
