"""The private apt against a stand-in for apt's programs, and safe unpacking."""

from __future__ import annotations

import hashlib
import io
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from vmserial.errors import ImageError
from vmserial.guests import apt, aptrun
from vmserial.guests.apt import PrivateApt, extract, host_mirror
from vmserial.guests.deb import parse_depends, stanza

APT = """\
#!/bin/sh
echo "$(basename "$0") $*" >> "$LOG"
for word in "$@"; do
    case "$word" in APT::Status-Fd=*) fd=${word#*=};; esac
done
case "$*" in
*indextargets*) cat "$ROWS";;
*update*) echo "dlstatus:1:12.5:Retrieving file 1 of 2" > /dev/fd/$fd
          echo "pmstatus:x:99:ignored" > /dev/fd/$fd
          echo "dlstatus:1:99.9:Retrieving file 2 of 2" > /dev/fd/$fd;;
*show*) cat "$SHOW";;
*--print-uris*) printf "Reading...\\n'http://m/x.deb' %s 5 %s\\n" "$DEB" "$HASH";;
*download*|*install*) printf hello > "$ARCHIVES/$DEB";;
esac
exit "${STATUS:-0}"
"""


class Record:
    """A reporter that remembers."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def step(self, text: str) -> None:
        self.lines.append(f"step {text}")

    def advance(self, done: int, total: int, text: str = "") -> None:
        self.lines.append(f"{done}/{total} {text}")

    def note(self, text: str) -> None:
        self.lines.append(f"note {text}")

    def close(self) -> None:
        self.lines.append("close")


class Fake:
    """The stand-in's knobs: environment variables that its shell script reads."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.set = monkeypatch.setenv
        (root / "bin").mkdir()
        for name in ("apt-get", "apt-cache"):
            (root / "bin" / name).write_text(APT)
            (root / "bin" / name).chmod(0o755)
        (root / "keys.gpg").write_text("")
        self.set("PATH", f"{root / 'bin'}:/usr/bin:/bin")
        self.set("XDG_CACHE_HOME", str(root / "cache"))
        self.set("LOG", str(root / "log"))
        self.set("ROWS", str(root / "rows"))
        self.set("SHOW", str(root / "show"))
        self.set("ARCHIVES", str(root / "cache/vmserial/apt/bookworm-arm64/archives"))
        self.set("DEB", "x_1%3a2_arm64.deb")
        self.set("HASH", "SHA256:" + hashlib.sha256(b"hello").hexdigest())
        (root / "rows").write_text("http://m/debian|Debian|Debian|bookworm\n")
        (root / "show").write_text("Package: x\nVersion: 1:2\nArchitecture: arm64\n")

    def apt(self, mirror: str = "http://m/debian", **options: object) -> PrivateApt:
        keyring = str(self.root / "keys.gpg")
        return PrivateApt("arm64", "bookworm", mirror, keyring=keyring, **options)  # type: ignore[arg-type]

    def calls(self) -> list[str]:
        """Return what was called since the last time, without the common options."""
        log = self.root / "log"
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return [" ".join(line.split(" -o APT::Status-Fd")[0].split()[4:]) for line in lines]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    return Fake(tmp_path, monkeypatch)


# ------------------------------------------------------------------ the mirror


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ("http://s/|Debian|Debian-Security|b\nhttp://m/d|Debian|Debian|b\n", "http://m/d"),
        ("http://u/|Ubuntu|Ubuntu|noble\nhttp://m/d|Debian|Debian|sid\n", "http://m/d"),
    ],
)
def test_the_mirror_is_the_machines_own(fake: Fake, rows: str, expected: str) -> None:
    (fake.root / "rows").write_text(rows)
    assert host_mirror() == expected


def test_the_mirror_of_a_debian_without_lists(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    (fake.root / "rows").write_text("http://s/|||b-security\nhttp://m/d|||b\n")
    monkeypatch.setattr(apt, "_debian_codename", lambda: "b")
    assert host_mirror() == "http://m/d"
    monkeypatch.setattr(apt, "_debian_codename", lambda: "")
    with pytest.raises(ImageError, match="not configured with a Debian mirror"):
        host_mirror()


def test_the_mirror_of_the_environment_comes_first(fake: Fake) -> None:
    fake.set("VMSERIAL_DEBIAN_MIRROR", "http://other/debian")
    assert fake.apt("").mirror == "http://other/debian"
    assert fake.calls() == []


def test_no_apt_at_all(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(fake.root))
    with pytest.raises(ImageError, match="no apt-get") as caught:
        host_mirror()
    assert "--kernel" in caught.value.hint


# ------------------------------------------------------------------ what is asked of apt


def test_its_configuration_is_private(fake: Fake) -> None:
    fake.apt(check_valid_until=False)
    base = fake.root / "cache/vmserial/apt/bookworm-arm64"
    config = (base / "apt.conf").read_text()
    assert 'Acquire::Check-Valid-Until "false"' in config
    assert 'AllowInsecureRepositories "false"' in config
    assert f'Dir::State::status "{base}/dpkg/status"' in config
    assert "#clear APT::Update::Post-Invoke;" in config
    assert (base / "sources.list").read_text() == (
        f"deb [arch=arm64 target=Packages signed-by={fake.root}/keys.gpg] "
        "http://m/debian bookworm main\n"
    )
    fake.apt()
    assert 'Acquire::Check-Valid-Until "true"' in (base / "apt.conf").read_text()


def test_lists_are_fetched_once_and_progress_is_told(fake: Fake) -> None:
    record = Record()
    private = fake.apt(reporter=record)
    private.update()
    assert fake.calls() == ["update"]
    assert record.lines == [
        "step package lists of bookworm arm64",
        "12/100 Retrieving file 1 of 2",
        "99/100 Retrieving file 2 of 2",
    ]
    private.update()
    assert fake.calls() == []
    private.update(max_age=0)
    assert fake.calls() == ["update"]
    # Another mirror's lists are other lists.
    fake.apt("http://other/debian").update()
    assert fake.calls() == ["update"]


def test_resolve(fake: Fake) -> None:
    (fake.root / "show").write_text(
        "Package: linux-image-arm64\nVersion: 6.1.1-1\nArchitecture: arm64\n"
        "Depends: linux-image-6.1.0-50-arm64 (= 6.1.1-1)\n\nPackage: other\nVersion: 0\n"
    )
    found = fake.apt().resolve("linux-image-arm64")
    assert (found.name, found.version) == ("linux-image-arm64", "6.1.1-1")
    assert found.depends == (("linux-image-6.1.0-50-arm64",),)
    assert fake.calls() == ["update", "show --no-all-versions linux-image-arm64"]
    (fake.root / "show").write_text("Package: linux-image-arm64\nProvides: x\n")
    with pytest.raises(ImageError, match="bookworm has no package linux-image-arm64"):
        fake.apt().resolve("linux-image-arm64")
    (fake.root / "show").write_text("Package: bash\nVersion: 5\nDepends: libc6\n")
    with pytest.raises(ImageError, match="does not depend on a kernel image"):
        fake.apt().kernel("bash")


def test_a_package_is_fetched_once_and_checked(fake: Fake) -> None:
    private = fake.apt()
    (path,) = private.download(["xx=1:2"])
    assert path.read_bytes() == b"hello"
    assert [call.split()[-1] for call in fake.calls()] == ["update", "xx=1:2", "xx=1:2"]
    private.download(["xx=1:2"])
    assert len(fake.calls()) == 1  # only --print-uris, which needs no network
    path.write_bytes(b"hellO")
    private.closure(["xx"])
    assert len(fake.calls()) == 2
    assert path.read_bytes() == b"hello"


def test_a_package_that_does_not_arrive_whole(fake: Fake) -> None:
    fake.set("HASH", "SHA256:" + "0" * 64)
    with pytest.raises(ImageError, match="did not arrive whole"):
        fake.apt().download(["xx"])


@pytest.mark.parametrize("name", ["", "-o", "x y", "x;y", "X", "x=1;2", "../x", "--help"])
def test_names_that_are_no_packages(fake: Fake, name: str) -> None:
    with pytest.raises(ImageError, match="not a package's name"):
        fake.apt().download([name])


@pytest.mark.parametrize(
    "make",
    [
        lambda: PrivateApt("arm 64", "bookworm", "http://m", keyring="/dev/null"),
        lambda: PrivateApt("arm64", "../x", "http://m", keyring="/dev/null"),
        lambda: PrivateApt("arm64", "bookworm", "http://m", keyring="/nonexistent"),
    ],
)
def test_arguments_that_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(ImageError) as caught:
        make()
    assert caught.value.hint


@pytest.mark.parametrize("mirror", ["nothing", "http://m x", "http://m]", 'http://m"'])
def test_mirrors_that_are_refused(fake: Fake, mirror: str) -> None:
    with pytest.raises(ImageError, match="not the URL"):
        fake.apt(mirror)


# ------------------------------------------------------------------ failures


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("E: GPG error: ... NO_PUBKEY 0E98404D386FA1D9", "signature does not match"),
        ("E: Release file for x is expired (invalid since 3d)", "out of date"),
        ("E: Unable to locate package x", "package's name"),
        ("E: The repository 'x nosuch Release' does not have a Release file.", "suite's name"),
        ("W: Failed to fetch x  Temporary failure resolving 'm'", "check the network"),
        ("E: You don't have enough free space in /x", "make room"),
        ("E: something new", "apt's own words"),
    ],
)
def test_apts_own_words_are_in_the_error(tmp_path: Path, words: str, hint: str) -> None:
    (tmp_path / "tool").write_text(f'#!/bin/sh\necho Reading...\necho "{words}" >&2\nexit 100\n')
    (tmp_path / "tool").chmod(0o755)
    with pytest.raises(ImageError) as caught:
        aptrun.run([str(tmp_path / "tool")], bound=10, doing="do it")
    assert str(caught.value) == f"could not do it: {words}"
    assert hint in caught.value.hint


def test_a_tool_that_hangs_is_ended(tmp_path: Path) -> None:
    (tmp_path / "tool").write_text("#!/bin/sh\nsleep 60 & sleep 60\n")
    (tmp_path / "tool").chmod(0o755)
    start = time.monotonic()
    with pytest.raises(ImageError, match=r"not done within 0\.3 s"):
        aptrun.run([str(tmp_path / "tool")], bound=0.3, doing="do it")
    assert time.monotonic() - start < 15


# ------------------------------------------------------------------ control files


def test_depends() -> None:
    assert parse_depends("a (>= 1), b:any | c (<< 2) , d [arm64]") == (("a",), ("b", "c"), ("d",))
    assert parse_depends("") == ()


def test_stanza() -> None:
    assert stanza("\nA: b\nC: d\n e\n\nF: g\n") == {"A": "b", "C": "d\ne"}


# ------------------------------------------------------------------ unpacking


def deb(path: Path, *members: tuple[str, str, str]) -> Path:
    """Write a .deb (deb(5)) whose data holds members of (type, name, content or target)."""
    archives = []
    for entries in ((), members):
        raw = io.BytesIO()
        with tarfile.open(fileobj=raw, mode="w") as archive:
            for kind, name, content in entries:
                info = tarfile.TarInfo(name)
                info.mode = 0o4777
                if kind == "file":
                    info.size = len(content)
                elif kind == "dir":
                    info.type = tarfile.DIRTYPE
                elif kind == "device":
                    info.type = tarfile.CHRTYPE
                else:
                    info.type = tarfile.SYMTYPE if kind == "link" else tarfile.LNKTYPE
                    info.linkname = content
                archive.addfile(info, io.BytesIO(content.encode()) if kind == "file" else None)
        archives.append(raw.getvalue())
    with path.open("wb") as out:
        out.write(b"!<arch>\n")
        names = ("debian-binary", "control.tar", "data.tar")
        for name, data in zip(names, (b"2.0\n", *archives), strict=True):
            out.write(f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode())
            out.write(data + b"\n" * (len(data) % 2))
    return path


def test_members_are_unpacked_without_their_privileges(tmp_path: Path) -> None:
    package = deb(
        tmp_path / "a.deb",
        ("dir", "./usr", ""),
        ("file", "./usr/bin/tool", "code"),
        ("file", "./usr/share/doc", "text"),
        ("link", "./bin", "usr/bin"),
        ("file", "./bin/more", "through the link"),
        ("hard", "./usr/bin/same", "./usr/bin/tool"),
        ("device", "./dev/x", ""),
    )
    root = tmp_path / "out"
    names = extract(package, root)
    assert "usr/bin/tool" in names
    assert "dev/x" not in names
    assert (root / "usr/bin/tool").read_text() == "code"
    assert (root / "usr/bin/tool").stat().st_mode & 0o7777 == 0o755
    assert (root / "usr/bin/more").read_text() == "through the link"
    assert (root / "usr/bin/same").read_text() == "code"
    assert (root / "bin").readlink() == Path("usr/bin")
    assert not (root / "dev/x").exists()
    # A second time over what is there.
    extract(package, root)


def test_only_wanted_members(tmp_path: Path) -> None:
    package = deb(tmp_path / "a.deb", ("file", "./a/b", "1"), ("file", "./c", "2"))
    assert extract(package, tmp_path / "out", lambda name: name == "a/b") == ["a/b"]
    assert not (tmp_path / "out/c").exists()


@pytest.mark.parametrize(
    "members",
    [
        (("file", "../evil", "x"),),
        (("file", "/tmp/evil", "x"),),
        (("file", "a/../../evil", "x"),),
        (("link", "./a", ".."), ("file", "./a/evil", "x")),
        (("link", "./a", "/tmp"), ("file", "./a/evil", "x")),
        (("hard", "./a", "../secret"),),
    ],
)
def test_nothing_gets_outside(tmp_path: Path, members: tuple[tuple[str, str, str], ...]) -> None:
    (tmp_path / "secret").write_text("secret")
    root = tmp_path / "out"
    with pytest.raises(ImageError):
        extract(deb(tmp_path / "a.deb", *members), root)
    assert not (tmp_path / "evil").exists()
    assert not Path("/tmp/evil").exists()
    assert [path.name for path in root.iterdir() if not path.is_symlink()] == []


def test_a_link_is_replaced_and_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("mine")
    package = deb(
        tmp_path / "a.deb", ("link", "./a", str(tmp_path / "victim")), ("file", "./a", "x")
    )
    extract(package, tmp_path / "out")
    assert (tmp_path / "victim").read_text() == "mine"
    assert (tmp_path / "out/a").read_text() == "x"


def test_what_is_no_package(tmp_path: Path) -> None:
    (tmp_path / "a.deb").write_text("hello")
    with pytest.raises(ImageError, match="cannot unpack"):
        extract(tmp_path / "a.deb", tmp_path / "out")
