"""Patterns that are compiled late, and remembered: they match as those of re do."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

CASES: tuple[tuple[str | bytes, int], ...] = (
    (r"(?P<name>[a-z_]\w*)=(?P<value>\d+)?", 0), (r"(a|b)*c{2,3}?\Z", 0), ("é+|[à-ö]", re.I),
    (rb"%([0-9A-F]{2})", re.I), (r"^\s*x  # a comment", re.X | re.M), (r"\bw\w+", re.A),
    ("[\x00-\x08\\n-\x1f\x7f-\x9f\ud800-\udfff]", 0), (r"(?i:Q)(?<!a)b(?=c)|.", re.S),
)  # fmt: skip
TEXTS = ("size=10", "abcc", "É ö À", "x\n x", "wörd word w", "a\ud800\x85", "qbc\nQbc", "", "a=")

LOOK = f"""
import sys
from vmserial.light import typing
sys.modules["typing"] = typing
from vmserial.light import lazyre
assert "re" not in sys.modules, "it needs re to stand in for it"
sys.modules["re"] = lazyre
lazyre.remember(sys.argv[1])
found = []
for pattern, flags in {[(pattern, int(flags)) for pattern, flags in CASES]}:
    for text in {TEXTS}:
        text = text if isinstance(pattern, str) else text.encode("utf-8", "surrogatepass")
        made = lazyre.compile(pattern, flags)
        for way in (made.match, made.search, lambda t: lazyre.fullmatch(pattern, t, flags)):
            hit = way(text)
            found.append(hit and (hit.span(), hit.groups(), hit.groupdict()))
        found.append(made.sub(lambda hit: hit[0] * 2, text))
        found.append((made.pattern, made.groups, dict(made.groupindex), int(made.flags)))
        found.append(lazyre.escape(text))
        found.append(lazyre.split("[ =]", "a b=c", 1))
lazyre.keep()
print(ascii(found))
print("re._compiler" in sys.modules)
"""


def looked(path: Path) -> tuple[str, str]:
    """Return what a process finds, and whether it needed the real compiler."""
    done = subprocess.run(
        [sys.executable, "-ISc", f"import sys; sys.path.insert(0, {str(ROOT / 'src')!r})\n{LOOK}",
         str(path)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert not done.returncode, done.stderr
    found, compiled = done.stdout.splitlines()
    return found, compiled


def as_re_finds() -> str:
    """Return the same from re itself."""
    found: list[object] = []
    for pattern, flags in CASES:
        for text in TEXTS:
            given = text if isinstance(pattern, str) else text.encode("utf-8", "surrogatepass")
            made = re.compile(pattern, flags)
            for way in (made.match, made.search, made.fullmatch):
                hit = way(given)  # type: ignore[arg-type]
                found.append(hit and (hit.span(), hit.groups(), hit.groupdict()))
            found.append(made.sub(lambda hit: hit[0] * 2, given))  # type: ignore[arg-type]
            found.append((made.pattern, made.groups, dict(made.groupindex), int(made.flags)))
            found.append(re.escape(given))  # type: ignore[type-var]
            found.append(re.split("[ =]", "a b=c", maxsplit=1))
    return ascii(found)


def test_they_match_as_re_does_compiled_and_remembered(tmp_path: Path) -> None:
    path = tmp_path / "patterns.json"
    assert looked(path) == (as_re_finds(), "True")
    assert [each.name for each in tmp_path.iterdir()] == ["patterns.json"]
    assert looked(path) == (as_re_finds(), "False"), "what is remembered is compiled again"


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", "null", '{"version": 1}', "code", "version", "shape"]
)
def test_what_does_not_fit_is_compiled_anew(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "patterns.json"
    looked(path)
    data = json.loads(path.read_text())
    if damage == "version":
        data["version"][0] = "another Python"
    elif damage in {"code", "shape"}:
        broken = {"code": [0, "999 4294967296", 0, {}, []], "shape": 7}[damage]
        data["patterns"] = dict.fromkeys(data["patterns"], broken)
    path.write_text(json.dumps(data) if damage in {"code", "version", "shape"} else damage)
    assert looked(path) == (as_re_finds(), "True")
    assert looked(path) == (as_re_finds(), "False"), "a damaged file is not mended"


def test_where_nothing_can_be_remembered(tmp_path: Path) -> None:
    assert looked(tmp_path / "missing" / "patterns.json") == (as_re_finds(), "True")
    assert not [*tmp_path.iterdir()]


def test_they_are_not_more_and_more(tmp_path: Path) -> None:
    path = tmp_path / "patterns.json"
    looked(path)
    data = json.loads(path.read_text())
    data["patterns"] = {f"0s{number}": [32, "1", 0, {}, []] for number in range(400)}
    path.write_text(json.dumps(data))
    looked(path)
    assert len(json.loads(path.read_text())["patterns"]) == 400
