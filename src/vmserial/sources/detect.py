r"""What an input is, told by its content; pure.

A VM is described by PVE's configuration, libvirt's XML, vmserial's own TOML or a QEMU
command.  The name of a file says which only where the content leaves it open, so the same
bytes get the same answer whichever way they come.  What is none of the four is refused in
words that say what it looks like.
"""

from __future__ import annotations

import re
from typing import Literal

from vmserial.errors import ConfigError

Kind = Literal["pve", "domain", "toml", "command"]

TAKEN = (
    "a PVE configuration (142.conf), a libvirt domain (XML), TOML of vmserial's own, or a QEMU "
    "command (a script, a log, what ps shows) is taken"
)
"""For hints: what can be given."""

_BOM = b"\xef\xbb\xbf"

_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x7fELF", "a program or a kernel (ELF)"),
    (0, b"QFI\xfb", "a disk image (qcow2)"),
    (0, b"KDMV", "a disk image (VMDK)"),
    (0, b"vhdxfile", "a disk image (VHDX)"),
    (0, b"conectix", "a disk image (VHD)"),
    (0x40, b"\x7f\x10\xda\xbe", "a disk image (VDI)"),
    (0x202, b"HdrS", "a Linux kernel (x86 bzImage)"),
    (0x38, b"ARMd", "a Linux kernel (arm64 Image)"),
    (0x38, b"RSC\x05", "a Linux kernel (riscv64 Image)"),
    (0, b"MZ", "a program or a kernel (PE)"),
    (0, b"\x1f\x8b", "compressed data (gzip): a kernel, an initrd or a log"),
    (0, b"\xfd7zXZ\0", "compressed data (xz)"),
    (0, b"\x28\xb5\x2f\xfd", "compressed data (zstd)"),
    (0, b"07070", "an initrd (cpio)"),
    (0, b"\xd0\x0d\xfe\xed", "a device tree blob"),
    (0x8001, b"CD001", "a CD image (ISO 9660)"),
    (0x1FE, b"\x55\xaa", "a disk image (a boot sector)"),
    (0, b"VMA\0", "a PVE backup (VMA)"),
    (0, b"\xff\xfe", "text in UTF-16"),
    (0, b"\xfe\xff", "text in UTF-16"),
)
"""(offset, bytes, what it is); of file(1)'s kind, for what people take for a configuration."""

_PVE_LINE = re.compile(r"([a-z][a-z0-9_-]*):(?!/)", re.I)
_PVE_OWN = re.compile(r"#[ \t]*vmserial[ \t]|\[(?:PENDING|special:)", re.I)
_YAML = re.compile(r"---|%YAML|[ \t]+[\w\"'.$-]+:(?:[ \t]|\r?\Z)|[ \t]*- ")
"""A line that YAML has and PVE has not: a mark of a document, a nested key, an item."""
_TOML_TABLE = re.compile(r"[ \t]*\[\[?[ \t]*[\"'A-Za-z0-9_][^\]\n]*\]\]?[ \t]*(?:#.*)?\r?\Z")
_TOML_KEY = re.compile(r"""[ \t]*[A-Za-z0-9_."'-]+[ \t]*=""")
_TOML_SPACED = re.compile(r"""[ \t]*[A-Za-z0-9_."'-]+[ \t]+=""")
"""With a blank before the ``=``: never an assignment of a shell."""
_INI = re.compile(r'[ \t]*\[[a-z-]+ "[^"]*"\]|[ \t]*\[(?:Unit|Service|Install|Match|Network)\]')

_EMULATOR = (
    r"(?:qemu-system-(?:[A-Za-z0-9_]|\$\{?[A-Za-z_]\w*\}?)[^\s=;|&<>'\"]*"
    r"|(?:qemu-kvm|kvm|qemu)(?=['\"]?(?:[ \t]|\\\r?\n)+['\"]?-))"
)
"""An emulator's name; the short ones stand in prose, too, so an option must follow."""
_COMMAND = re.compile(rf"(?:\A|[\s/'\"=(]){_EMULATOR}['\"]?(?=\s|\\|\Z)")
_COMMENT = re.compile(r"^[ \t]*#.*$", re.MULTILINE)
_OPTION = re.compile(r"--?([A-Za-z][\w.-]*)(?:\s|\Z)")


def detect(raw: bytes, name: str = "") -> Kind:
    """Tell what an input is.

    Args:
        raw: all of its bytes.
        name: what messages call it; a file's ending is heard where its content is not clear.

    Raises:
        ConfigError: it is nothing that describes a VM; the message says what it looks like.
    """
    raw = raw.removeprefix(_BOM)
    start = raw.lstrip()
    if not start:
        raise _refused("nothing: it is empty", name)
    if start.startswith(b"<"):
        return "domain"
    if b"\0" in raw:
        if _is_cmdline(raw):
            return "command"
        raise _refused(binary(raw) or _nul(raw), name)
    kind = _of_text(raw.decode("utf-8", "replace"))
    if kind is None:
        raise _refused(looks_like(raw), name)
    return kind


def binary(raw: bytes) -> str:
    """Return what a file is that is no text; empty if nothing tells.

    Args:
        raw: its first bytes, better 33 KiB than fewer.
    """
    for offset, magic, what in _MAGIC:
        if raw.startswith(magic, offset):
            return what
    return ""


def refused_binary(raw: bytes, name: str) -> ConfigError | None:
    """Return the refusal of a file whose first bytes tell that it is no text, else None."""
    what = binary(raw)
    return _refused(what, name) if what else None


def looks_like(raw: bytes) -> str:
    """Return in words what a text is that describes no VM to us."""
    if what := binary(raw):
        return what
    text = raw.decode("utf-8", "replace")
    lines = text.splitlines()
    first = next((line for line in lines if _says(line)), "")
    if not first:
        return "comments and nothing else"
    if first.lstrip().startswith(("{", "[{", '["')):
        return "JSON"
    if any(_YAML.match(line) for line in lines) or _PVE_LINE.match(first):
        return _yaml(text)
    if _INI.match(first):
        return (
            "a configuration file of QEMU's own (for -readconfig)"
            if '"' in first
            else "a unit or a network file of systemd"
        )
    if text.startswith("#!"):
        return "a script in which no QEMU emulator is started"
    if all("," in line for line in lines[:3] if line):
        return "a table (CSV)"
    return "text of no known kind"


def _yaml(text: str) -> str:
    for sign, what in (
        ("kubevirt.io", "a KubeVirt manifest (YAML)"),
        ("apiVersion:", "a Kubernetes manifest (YAML)"),
        ("services:", "a compose file (YAML)"),
        ("#cloud-config", "cloud-init's user data (YAML)"),
        ("hosts:", "an Ansible playbook (YAML)"),
    ):
        if re.search(rf"^(?:[ \t-]*){re.escape(sign)}", text, re.MULTILINE) or sign in text[:300]:
            return what
    return "YAML, or lines 'key: value' of which PVE knows none"


def _is_cmdline(raw: bytes) -> bool:
    """Tell whether it is ``/proc/PID/cmdline``: words that end in NUL."""
    return (
        raw.endswith(b"\0")
        and raw.count(b"\0") > 1
        and b"\n" not in raw.partition(b"\0")[0]
        and not binary(raw)
        and re.match(rb"[ -~]+\0", raw) is not None
    )


def _nul(raw: bytes) -> str:
    line = raw.count(b"\n", 0, raw.index(b"\0")) + 1
    return f"no text: it holds a NUL byte in line {line}"


def _says(line: str) -> bool:
    """Tell whether a line says something: it is neither blank nor a comment."""
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _of_text(text: str) -> Kind | None:
    first = ""
    for line in text.split("\n"):
        if _PVE_OWN.match(line):
            return "pve"
        if _says(line):
            first = line
            break
    if not first:
        return None
    if _PVE_LINE.match(first) or first.startswith("---"):
        return "pve" if _is_pve(text) else _command(text)
    if _INI.match(first):
        return None
    if _TOML_TABLE.match(first) or _TOML_SPACED.match(first):
        return "toml"
    return _command(text) or ("toml" if _TOML_KEY.match(first) else None)


def _command(text: str) -> Kind | None:
    if _COMMAND.search(_COMMENT.sub("", text)):
        return "command"
    option = _OPTION.match(text.lstrip())
    if option is not None:
        from vmserial.sources.command.tables import has_argument

        # Options alone: the emulator's name is left out.
        if has_argument(option[1]) is not None:
            return "command"
    return None


def _is_pve(text: str) -> bool:
    """Tell PVE's lines from YAML's: PVE knows their keys, and none is nested."""
    from vmserial.sources.pve.keys import known

    found = nested = 0
    for line in text.split("\n"):
        if _YAML.match(line):
            nested += 1
        elif (match := _PVE_LINE.match(line)) and known(match[1]):
            found += 1
    return found > nested


def _refused(what: str, name: str) -> ConfigError:
    verb = "this is" if what.startswith(("nothing", "no text")) else "this looks like"
    hints = {
        "a configuration file of QEMU's own (for -readconfig)":
            f"give the command that reads it: vmserial doctor -- qemu-system-… -readconfig "
            f"{name or 'FILE'}",
        "text in UTF-16": f"save it as UTF-8; {TAKEN}",
    }  # fmt: skip
    return ConfigError(f"{verb} {what}", hint=hints.get(what, TAKEN), where=name)
