"""What a test guest is to send, on board before it boots: in its initial RAM disk.

Over its control port a guest of one emulated processor needs 0.15 s for the data of ten ports,
just when it enumerates them.  The kernel takes any number of archives one after the other for
its RAM disk (Documentation/driver-api/early-userspace/buffer-format.rst) and unpacks this one
in 3 ms.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from vmserial.guests.initramfs import archive, file
from vmserial.verify.agent import Upload

if TYPE_CHECKING:
    from vmserial.verify.subject import Subject
    from vmserial.verify.wire.transfer import Transfer

_MOST = 96 << 20
"""Bytes; while they are unpacked, the guest has them twice.  More is put there later, in parts."""

_PIECE = 1 << 20
"""Bytes of one file: very many ports have several, and we have one at a time."""

_NAME = "initrd"
_OPTION = "-initrd"


def load(subject: Subject, transfers: Sequence[Transfer]) -> None:
    """Put what the guest is to send into the VM's RAM disk, if that is one of ours.

    A guest of the user's own is booted as it is; its data is uploaded once it runs.

    Args:
        subject: not yet booted; it gets another RAM disk, in its run directory.
        transfers: which are known before; each gets its ``upload``.
    """
    guest, argv = subject.environment.guest, list(subject.made.argv)
    own = str(guest.initrd)
    size = sum(len(one.out.sent) for one in transfers)
    if not guest.suite or not 0 < size <= _MOST or argv.count(own) != 1:
        return
    at = argv.index(own)
    if argv[at - 1] != _OPTION:
        return
    path = subject.rundir.path / _NAME
    alike: dict[tuple[int, int], list[Transfer]] = {}
    for one in transfers:
        alike.setdefault((one.out.run, len(one.out.sent)), []).append(one)
    try:
        with path.open("wb") as disk:
            disk.write(guest.initrd.read_bytes())
            for (run, size), those in alike.items():
                step = max(1, _PIECE // max(size, 1))
                for first in range(0, len(those), step):
                    name = f"data.{run:x}.{size}.{first}"
                    disk.write(_packed(name, those[first : first + step]))
    except OSError:
        # No room for it: the data is uploaded.
        path.unlink(missing_ok=True)
        for one in transfers:
            one.upload = None
        return
    argv[at] = str(path)
    subject.made = replace(subject.made, argv=tuple(argv))


def _packed(name: str, alike: Sequence[Transfer]) -> bytes:
    """Return an archive of the data of transfers of one size; each gets its ``upload``."""
    whole = b"".join(one.out.sent for one in alike)
    sha256 = hashlib.sha256(whole).hexdigest()
    for number, one in enumerate(alike):
        one.upload = Upload(f"/{name}", (len(one.out.sent), number), sha256)
    return archive([file(name, whole)])
