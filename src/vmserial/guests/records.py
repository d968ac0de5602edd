r"""Records in a byte stream: ``\x1e`` text ``\x1f``, wherever they stand in other output."""

from __future__ import annotations

_BEGIN, _END = 0x1E, 0x1F
# A cut-off record must not swallow all that follows it.
_RECORD_MAX = 4096


class Splitter:
    """Cuts a stream into records and what stands between them."""

    def __init__(self) -> None:
        self._record: bytearray | None = None

    def feed(self, data: bytes) -> list[bytes | str]:
        """Return what ``data`` adds, in order: bytes of text, and whole records as str."""
        found: list[bytes | str] = []
        while data:
            if self._record is None:
                text, begin, data = data.partition(b"\x1e")
                if text:
                    found.append(text)
                if begin:
                    self._record = bytearray()
                continue
            ends = [at for at in (data.find(_BEGIN), data.find(_END)) if at >= 0]
            cut = min(ends, default=len(data))
            self._record += data[:cut]
            if not ends and len(self._record) <= _RECORD_MAX:
                break
            if ends and data[cut] == _END:
                found.append(self._record.decode("utf-8", "replace"))
                data = data[cut + 1 :]
            else:
                # Cut off by another record, or far too long: not one of ours.
                found.append(bytes(self._record))
                data = data[cut:]
            self._record = None
        return found
