"""The finder of the short way: compiled modules of the source as it is, and nothing else."""

from __future__ import annotations

import os
import py_compile
from pathlib import Path

import pytest

from vmserial.light.finder import Finder


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Return a package with a compiled module and a compiled package in it."""
    (tmp_path / "sub").mkdir()
    for name, text in (("one.py", "value = 1\n"), ("sub/__init__.py", "value = 2\n")):
        (tmp_path / name).write_text(text)
        py_compile.compile(
            str(tmp_path / name), invalidation_mode=py_compile.PycInvalidationMode.TIMESTAMP
        )
    return tmp_path


def test_a_module_and_a_package_are_found(package: Path) -> None:
    finder = Finder("p", str(package))
    one, sub = finder.find_spec("p.one"), finder.find_spec("p.sub")
    assert one is not None
    assert sub is not None
    assert (one.origin, one.has_location, one.submodule_search_locations) == (
        str(package / "one.py"), True, None
    )  # fmt: skip
    assert sub.submodule_search_locations == [str(package / "sub")]


@pytest.mark.parametrize("name", ["q.one", "p", "p.none", "p.one.two", "pp.one"])
def test_nothing_else_is(package: Path, name: str) -> None:
    assert Finder("p", str(package)).find_spec(name) is None


def test_what_was_compiled_from_another_source_is_left_to_the_machinery(package: Path) -> None:
    finder, source = Finder("p", str(package)), package / "one.py"
    before = source.stat()
    source.write_text("value = 123\n")
    os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert finder.find_spec("p.one") is None  # another size
    source.write_text("value = 3\n")
    os.utime(source, (before.st_atime, before.st_mtime + 2))
    assert finder.find_spec("p.one") is None  # another time
    os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert finder.find_spec("p.one") is not None
    (compiled,) = (package / "__pycache__").glob("one.*")
    compiled.write_bytes(b"\0\0\0\0" + compiled.read_bytes()[4:])
    assert finder.find_spec("p.one") is None  # another Python
