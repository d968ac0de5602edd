"""A private apt: Debian packages of any suite and architecture, checked, without root.

It has its own lists, cache and (empty) dpkg status under the cache directory,
so the host's apt and dpkg are neither read for what is installed nor written.
What is the host's is used as it is: the mirror that its sources name, its proxy
settings, and Debian's archive keyring, against which every Release file is
checked; packages are checked by the hashes that chain from it (apt-secure(8)).
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vmserial.errors import ImageError, UsageError
from vmserial.guests import aptconf
from vmserial.guests.aptrun import run, tool
from vmserial.guests.deb import extract, parse_depends, stanza
from vmserial.paths import cache_dir, locked, write_atomic

__all__ = ["KEYRING", "Package", "PrivateApt", "extract", "host_mirror"]

if TYPE_CHECKING:
    from vmserial.progress import Reporter

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
"""Debian's keys, from the package debian-archive-keyring (on Ubuntu too)."""

LISTS_AGE = 24 * 3600.0
"""Seconds for which fetched package lists count as fresh."""

_UPDATE_BOUND = 900.0
_DOWNLOAD_BOUND = 3600.0
_ASK_BOUND = 120.0
_LOCK_BOUND = 900.0

_NAME = re.compile(r"[a-z0-9][a-z0-9+.\-]+\Z")  # Debian Policy 5.6.7
_KERNEL_PART = re.compile(r"linux-(?:binary|modules|base)-\d")
_URI = re.compile(r"'(?P<uri>[^']+)' (?P<file>\S+) (?P<size>\d+) ?(?P<hash>\S*)")


@dataclass(frozen=True, slots=True)
class Package:
    """One package as apt would install it.

    Attributes:
        name, version, architecture: as in its control file.
        depends: names, one group of alternatives for each dependency, in order.
    """

    name: str
    version: str
    architecture: str
    depends: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class _File:
    """A .deb that apt would fetch: its name in the cache, bytes, and SHA-256 if apt said it."""

    name: str
    size: int
    sha256: str


def host_mirror() -> str:
    """Return the Debian mirror that this machine's own apt is configured with.

    Raises:
        ImageError: it has none (another distribution), or no apt.
    """
    output = run(
        [
            tool("apt-get"),
            "indextargets",
            "--format",
            "$(REPO_URI)|$(ORIGIN)|$(LABEL)|$(RELEASE)",
            "Created-By: Packages",
        ],
        bound=_ASK_BOUND,
        doing="ask apt for its mirror",
    )
    rows = [tuple(row) for line in output.splitlines() if len(row := line.split("|")) == 4]
    for uri, origin, label, _ in rows:
        if (origin, label) == ("Debian", "Debian"):
            return uri
    # Origin and label are known only after an "apt-get update"; a fresh container had none.
    codename = _debian_codename()
    for uri, origin, _, release in rows:
        if not origin and release == codename and "://" in uri:
            return uri
    raise ImageError(
        "this machine's apt is not configured with a Debian mirror",
        hint="name one: --mirror URL, or VMSERIAL_DEBIAN_MIRROR",
    )


def _debian_codename() -> str:
    """Return this system's Debian release name; empty where it is not Debian."""
    try:
        text = Path("/etc/os-release").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    if values.get("ID", "").strip('"') != "debian":
        return ""
    return values.get("VERSION_CODENAME", "").strip('"') or "sid"


class PrivateApt:
    """An apt of our own for one architecture of one suite.

    Args:
        arch: Debian's name: ``amd64``, ``arm64``.
        suite: ``bookworm``, ``trixie``, ``sid``…
        mirror: URL of a Debian mirror; empty: ``$VMSERIAL_DEBIAN_MIRROR``, else
            the one that the machine's own apt uses.
        keyring: the keys that Release files must be signed with.
        check_valid_until: refuse a Release file past its Valid-Until (apt's
            default); sid's mirrors may be older than that.
        reporter: told what is being fetched.
    """

    def __init__(
        self,
        arch: str,
        suite: str,
        mirror: str = "",
        *,
        keyring: str = KEYRING,
        check_valid_until: bool = True,
        reporter: Reporter | None = None,
    ) -> None:
        for value in (arch, suite):
            if not _NAME.match(value):
                raise ImageError(
                    f"{value!r} is no Debian suite or architecture", hint="such as bookworm, arm64"
                )
        if not Path(keyring).is_file():
            raise ImageError(
                f"there is no keyring {keyring}",
                hint="install the package debian-archive-keyring",
            )
        self.arch = arch
        self.suite = suite
        self.mirror = mirror or os.environ.get("VMSERIAL_DEBIAN_MIRROR", "") or host_mirror()
        if re.search(r"[\s\[\]\"]", self.mirror) or ":" not in self.mirror:
            raise ImageError(
                f"{self.mirror!r} is not the URL of a mirror", hint="such as http://HOST/debian"
            )
        self._reporter = reporter
        if re.search(r'["\s]', keyring):
            raise ImageError(f"apt cannot take the path {keyring!r}", hint="rename it")
        self._base = cache_dir("apt", f"{suite}-{arch}")
        if re.search(r'["\n]', str(self._base)):
            raise ImageError(
                f"apt cannot take the path {self._base}", hint="set XDG_CACHE_HOME to another one"
            )
        self._archives = self._base / "archives"
        self._sources = (
            f"deb [arch={arch} target=Packages signed-by={keyring}] {self.mirror} {suite} main\n"
        )
        self._config = aptconf.write(
            self._base, arch, self._sources, check_valid_until=check_valid_until
        )

    # -------------------------------------------------------------- one at a time, by its own rules

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold this private apt's lock: two processes must not fetch into one directory."""
        try:
            with locked(self._base / "lock", _LOCK_BOUND, self._say_waiting):
                yield
        except UsageError as error:
            raise ImageError(error.message, hint=error.hint) from None

    def _say_waiting(self) -> None:
        if self._reporter is not None:
            self._reporter.note("another vmserial is fetching packages; waiting for it")

    def _apt(
        self, words: Sequence[str], *, bound: float, doing: str, cwd: Path | None = None
    ) -> str:
        return run(
            [tool(words[0]), "-c", str(self._config), "-q=1", *words[1:]],
            bound=bound,
            doing=f"{doing} ({self.suite}, {self.arch})",
            cwd=cwd,
            reporter=self._reporter,
        )

    # -------------------------------------------------------------- what is there

    def update(self, *, max_age: float = LISTS_AGE) -> None:
        """Fetch the suite's package lists, unless they are younger than ``max_age`` seconds.

        Raises:
            ImageError: no network, no such suite, a bad signature; with apt's own words.
        """
        with self._locked():
            self._update(max_age)

    def _update(self, max_age: float) -> None:
        stamp = self._base / "updated"
        with contextlib.suppress(OSError):
            age = time.time() - stamp.stat().st_mtime
            if stamp.read_text(encoding="utf-8") == self._sources and 0 <= age < max_age:
                return
        if self._reporter is not None:
            self._reporter.step(f"package lists of {self.suite} {self.arch}")
        self._apt(["apt-get", "update"], bound=_UPDATE_BOUND, doing="fetch the package lists")
        write_atomic(stamp, self._sources)

    def resolve(self, package: str) -> Package:
        """Return what apt would install for ``package``.

        Raises:
            ImageError: the suite has no such package.
        """
        with self._locked():
            self._update(LISTS_AGE)
            text = self._apt(
                ["apt-cache", "show", "--no-all-versions", _checked(package)],
                bound=_ASK_BOUND,
                doing=f"find the package {package}",
            )
        fields = stanza(text)
        if "Version" not in fields:
            raise ImageError(
                f"{self.suite} has no package {package} for {self.arch}",
                hint="check its name, the suite and the architecture",
            )
        return Package(
            name=fields["Package"],
            version=fields["Version"],
            architecture=fields.get("Architecture", self.arch),
            depends=parse_depends(fields.get("Depends", "")),
        )

    def kernel(self, metapackage: str) -> list[Package]:
        """Return the versioned kernel package that ``linux-image-ARCH`` depends on.

        Where that is empty and depends on the kernel's parts (Debian sid), these.

        Raises:
            ImageError: no such package, or it does not lead to a kernel.
        """
        meta = self.resolve(metapackage)
        for first, *_ in meta.depends:
            if re.match(r"linux-image-\d", first):
                image = self.resolve(first)
                parts = [one for one, *_ in image.depends if _KERNEL_PART.match(one)]
                if any(one.startswith("linux-binary-") for one in parts):
                    return [self.resolve(one) for one in parts]
                return [image]
        raise ImageError(
            f"{metapackage} {meta.version} does not depend on a kernel image",
            hint="name the kernel's metapackage, such as linux-image-arm64",
        )

    # -------------------------------------------------------------- fetching

    def download(self, packages: Iterable[str]) -> list[Path]:
        """Fetch these packages alone (``name`` or ``name=version``) and return their files.

        Files that are there and whole are not fetched again; then no network is needed.

        Raises:
            ImageError: no network, no such package, not enough room.
        """
        wanted = [_checked(package) for package in packages]
        return self._fetch(["apt-get", "download"], wanted, cwd=self._archives)

    def closure(self, packages: Iterable[str]) -> list[Path]:
        """Fetch these packages and all that they depend on; return every file.

        Nothing counts as installed, so it is the whole closure, without recommended packages.

        Raises:
            ImageError: no network, no such package, unmet dependencies.
        """
        wanted = [_checked(package) for package in packages]
        return self._fetch(["apt-get", "install", "--download-only", "--yes"], wanted)

    def _fetch(
        self, words: Sequence[str], packages: Sequence[str], cwd: Path | None = None
    ) -> list[Path]:
        doing = f"fetch {', '.join(packages)}"
        with self._locked():
            self._update(LISTS_AGE)
            # Without the cache's own files in the way, --print-uris names every file.
            listed = self._apt(
                [words[0], "-o", f"Dir::Cache::archives={self._base}/none", *words[1:],
                 "--print-uris", *packages],
                bound=_ASK_BOUND,
                doing=doing,
                cwd=self._base / "none",
            )  # fmt: skip
            files = [
                _File(match["file"], int(match["size"]), match["hash"].partition("SHA256:")[2])
                for line in listed.splitlines()
                if (match := _URI.match(line))
            ]
            if not files:
                raise ImageError(f"apt would not {doing}", hint="is one of them a virtual package?")
            if not all(self._is_whole(file) for file in files):
                if self._reporter is not None:
                    mib = sum(file.size for file in files) / 2**20
                    self._reporter.step(f"packages: {len(files)}, {mib:.0f} MiB")
                self._apt([*words, *packages], bound=_DOWNLOAD_BOUND, doing=doing, cwd=cwd)
            broken = [file.name for file in files if not self._is_whole(file)]
            if broken:
                raise ImageError(
                    f"{', '.join(broken)} did not arrive whole",
                    hint=f"try again, or remove {self._archives}",
                )
        return [self._archives / file.name for file in files]

    def _is_whole(self, file: _File) -> bool:
        path = self._archives / file.name
        try:
            if path.stat().st_size != file.size:
                return False
            if not file.sha256:
                return True
            with path.open("rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest() == file.sha256
        except OSError:
            return False


def _checked(package: str) -> str:
    name, _, version = package.partition("=")
    if not _NAME.match(name) or not re.match(r"[A-Za-z0-9.+:~\-]*\Z", version):
        raise ImageError(f"{package!r} is not a package's name", hint="check its spelling")
    return package
