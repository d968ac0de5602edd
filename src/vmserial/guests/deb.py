"""Debian's package files: their control fields, and unpacking them safely."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

from vmserial.errors import ImageError
from vmserial.guests.aptrun import tool


def parse_depends(text: str) -> tuple[tuple[str, ...], ...]:
    """Read a ``Depends`` field: ``a (>= 1), b | c:any`` is ``(("a",), ("b", "c"))``."""
    groups = []
    for group in text.split(","):
        names = tuple(
            match.group()
            for part in group.split("|")
            if (match := re.match(r"[^\s:(\[]+", part.strip()))
        )
        if names:
            groups.append(names)
    return tuple(groups)


def stanza(text: str) -> dict[str, str]:
    """Return the fields of the first paragraph of a control file."""
    fields: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if not line.strip():
            if fields:
                break
        elif line[0] in " \t":
            fields[name] = f"{fields.get(name, '')}\n{line.strip()}"
        else:
            name, _, value = line.partition(":")
            fields[name] = value.strip()
    return fields


def extract(deb: Path, destination: Path, wanted: Callable[[str], bool] | None = None) -> list[str]:
    """Unpack the files of a .deb below ``destination`` and return their names.

    Names are relative (``usr/bin/qemu-system-arm``).  Regular files, hard and
    symbolic links are unpacked; owners, set-id bits and device nodes are not.
    Nothing is written outside ``destination``, whatever the archive holds.

    Args:
        deb: the package file.
        destination: a directory; made if it is not there.
        wanted: which names; None for all.

    Raises:
        ImageError: it is not a package, or holds a name that leads outside.
    """
    destination.mkdir(parents=True, exist_ok=True)
    root = destination.resolve()
    done: list[str] = []
    with subprocess.Popen(
        [tool("dpkg-deb"), "--fsys-tarfile", str(deb)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            with tarfile.open(fileobj=process.stdout, mode="r|") as archive:
                for member in archive:
                    name = os.path.normpath(member.name)
                    if (
                        name != "."
                        and (wanted is None or wanted(name))
                        and _unpack(archive, member, name, root)
                    ):
                        done.append(name)
            process.stdout.read()
        except (tarfile.TarError, OSError) as error:
            process.kill()
            words = process.stderr.read().decode(errors="replace").strip()
            raise ImageError(
                f"cannot unpack {deb}: {words or error}",
                hint="remove the file and try again; is the disk full?",
            ) from None
        except BaseException:
            process.kill()
            raise
    return done


def _unpack(archive: tarfile.TarFile, member: tarfile.TarInfo, name: str, root: Path) -> bool:
    """Write one member below ``root``, where links are followed; False for a device or pipe."""
    target = root / name
    parent = Path(os.path.realpath(target.parent))
    if name.startswith(("/", "..")) or not parent.is_relative_to(root):
        raise ImageError(
            f"a package holds {member.name!r}, which leads outside", hint="do not use it"
        )
    target = parent / target.name
    if member.isdir():
        if not target.is_symlink():
            target.mkdir(parents=True, exist_ok=True)
        return True
    if not (member.issym() or member.islnk() or member.isreg()):
        return False
    parent.mkdir(parents=True, exist_ok=True)
    if target.is_symlink() or target.is_file():
        target.unlink()
    if member.issym():
        target.symlink_to(member.linkname)
    elif member.islnk():
        source = Path(os.path.realpath(root / os.path.normpath(member.linkname)))
        if not source.is_relative_to(root):
            raise ImageError(
                f"a package links {member.name!r} to the outside", hint="do not use it"
            )
        target.hardlink_to(source)
    else:
        stream = archive.extractfile(member)
        assert stream is not None
        with target.open("xb") as out:
            shutil.copyfileobj(stream, out, 1 << 20)
        target.chmod(member.mode & 0o755 | 0o600)
    return True
