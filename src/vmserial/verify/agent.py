"""The far end as a verification uses it: many ports at once, with few processes in the guest.

On an emulated processor each process of the guest costs 5 to 10 ms, so files
for all ports are put there in one piece, of which each port sends its own part,
and what came in at all ports is hashed by one.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass

from vmserial.errors import ShellError
from vmserial.guests.farend import FarEnd
from vmserial.guests.nodes import Node
from vmserial.model import NodeIdentity

_AT_ONCE = 40
"""Files that one command names: a command line of the guest has 4000 bytes on a tty."""

_BLOB = 1 << 20
"""Bytes that are put into the guest in one piece, which has the bound of one command."""

STANDSTILL = 10
"""Answers of the guest without a new byte before a standstill is believed.  A guest that
waits for a processor gives none: it is late, and what it has not yet received is not lost."""

_LOOKS = 2.0
"""Looks a second for its nodes, of about five that a guest makes on a host that does nothing
else, before a node that it does not show is missing and not late."""

_SLOWEST = 4
"""How many times a bound a guest gets that hardly runs, or whose shell has no short pauses."""

_LOOK_FIRST = 0.002
_LOOK_MOST = 0.05
# Pauses stay a small part of the time that is measured by them.
_LOOK_PART = 0.1


@dataclass(frozen=True, slots=True)
class Upload:
    """What the guest has of one port's data: a part of a file that is many ports'.

    Attributes:
        file: its path.
        part: the size of each part in bytes, and which of them it is.
        sha256: of the whole file, as it was sent.
    """

    file: str
    part: tuple[int, int]
    sha256: str


class GuestAgent(FarEnd):
    """A :class:`FarEnd` with bulk operations."""

    async def put_all(self, files: Mapping[str, bytes], timeout: float) -> dict[str, Upload]:
        """Write files into the guest; return where they are.

        What arrived is not looked at: if a port sends the wrong bytes, :meth:`damaged` tells
        whose fault that is.

        Args:
            files: contents by plain file names, all of one size.
            timeout: seconds for each piece.

        Raises:
            ShellError: no room.
            LostVMError: a piece was not done within ``timeout``.
        """
        put: dict[str, Upload] = {}
        names = list(files)
        size = len(files[names[0]]) if names else 0
        step = max(1, _BLOB // max(size, 1))
        for at in range(0, len(names), step):
            chosen = names[at : at + step]
            # Its name is its own: two uploads may be under way.
            whole = b"".join(files[name] for name in chosen)
            blob = await self.put(f"all.{chosen[0]}", whole, timeout, checked=False)
            sha256 = hashlib.sha256(whole).hexdigest()
            put |= {name: Upload(blob, (size, part), sha256) for part, name in enumerate(chosen)}
        return put

    async def damaged(self, uploads: Iterable[Upload], timeout: float) -> set[str]:
        """Return the files that are not what was sent into the guest.

        Raises:
            LostVMError: the guest does not answer.
        """
        wanted = {upload.file: upload.sha256 for upload in uploads}
        found = await self._sums(list(wanted), timeout)
        return {file for file, sha256 in wanted.items() if found[file] != sha256}

    async def remove(self, uploads: Iterable[Upload]) -> None:
        """Remove what :meth:`put_all` made; all that is in one file goes together."""
        files = list(dict.fromkeys(upload.file for upload in uploads))
        for at in range(0, len(files), _AT_ONCE):
            await self._shell.post(f"rm -f {' '.join(files[at : at + _AT_ONCE])}")

    async def shown(
        self, identities: Iterable[NodeIdentity], timeout: float
    ) -> AsyncIterator[Node]:
        """Yield the node of each identity as :meth:`appearing`, and give a slow guest its time.

        ``timeout`` seconds are over once the guest has looked as often as it does in them,
        and in any case after :data:`_SLOWEST` times as long.

        Raises:
            ShellError: some did not appear; it names them.
            LostVMError: the guest does not answer.
        """
        missing, first = dict.fromkeys(identities), self.looks
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout * (_SLOWEST - 1)
        while missing:
            try:
                async for node in self.appearing(list(missing), timeout):
                    del missing[node.identity]
                    yield node
            except ShellError:
                if self.looks - first >= timeout * _LOOKS or loop.time() >= end:
                    raise

    async def counted(self, path: str, size: int, timeout: float, idle: float) -> int:
        """Wait until a port received ``size`` bytes since it was opened; return how many it did.

        Asks with growing pauses, so that waiting costs the guest little, and no
        longer than ``timeout`` seconds in all, or ``idle`` seconds without progress in
        which the guest has answered :data:`STANDSTILL` times.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + timeout
        begin = changed = loop.time()
        before, answers = -1, 0
        while True:
            count = await self.count(path)
            now = loop.time()
            answers += 1
            if count != before:
                before, changed, answers = count, now, 0
            still = now - changed >= idle and answers >= STANDSTILL
            if count >= size or now >= end or still:
                return count
            await asyncio.sleep(max(_LOOK_FIRST, min((now - begin) * _LOOK_PART, _LOOK_MOST)))

    async def counts(self, paths: Sequence[str], timeout: float) -> dict[str, int]:
        """Return, by port, how many bytes it received, as :meth:`count`; one look at all.

        Raises:
            LostVMError: the guest does not answer.
        """
        output = await self._shell.run(f"ls -ln {self._directory}/*.in", timeout)
        sizes = {
            fields[-1].rpartition("/")[2]: int(fields[4])
            for fields in map(str.split, output.splitlines())
            if len(fields) > 5
        }
        agents = {path: self._agents.of(path) for path in paths}
        return {path: sizes[f"{agent.id}.in"] - agent.mark for path, agent in agents.items()}

    async def hashes(self, paths: Sequence[str], timeout: float) -> dict[str, str]:
        """Return, by port, the SHA-256 of all that it received since it was opened.

        Raises:
            LostVMError: the guest does not answer.
        """
        files = [f"{self._directory}/{self._agents.of(path).id}.in" for path in paths]
        return dict(zip(paths, (await self._sums(files, timeout)).values(), strict=True))

    async def _sums(self, files: Sequence[str], timeout: float) -> dict[str, str]:
        found: dict[str, str] = {}
        for at in range(0, len(files), _AT_ONCE):
            chosen = files[at : at + _AT_ONCE]
            output = await self._shell.run(f"sha256sum {' '.join(chosen)}", timeout)
            sums = [line.split()[0] for line in output.splitlines() if line.strip()]
            found |= dict(zip(chosen, sums, strict=True))
        return found
