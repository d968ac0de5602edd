"""The engine within the shim says what the engine says: compiled, with the light modules."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import pkgutil
import random
import subprocess
import typing
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import corpus
import pytest
from shim_stage import RECORDED, Shim, capabilities, facts_of, installed, stage

from vmserial.errors import VmserialError
from vmserial.guests import profile
from vmserial.judging import RepairPolicy, judge
from vmserial.light import dataclasses as light_dataclasses
from vmserial.light import pkgutil as light_pkgutil
from vmserial.light import typing as light_typing
from vmserial.shim import boot, bundle, start
from vmserial.sources.command import CommandLine

DATA = Path(__file__).parents[1] / "data"

MANY = """
{given}
sys.meta_path.insert(0, Finder({home!r}))
for name in LIGHT:
    sys.modules.pop(name, None)
from vmserial.shim import start
import json
results = []
for words, facts in json.load(sys.stdin):
    try:
        found, lines = start.mended([w.encode() for w in words], {real!r}, facts.encode())
        results.append([[w.decode() for w in found], lines])
    except Exception as error:
        results.append([type(error).__name__, str(error)])
    assert "inspect" not in sys.modules
print(json.dumps(results))
"""


@pytest.fixture(scope="module")
def shim() -> Iterator[Shim]:
    with stage() as directory:
        yield installed(directory, "/bin/cat")


def kept_lines() -> list[list[str]]:
    """Return the command lines that the tests keep: of each finding, and the corpus."""
    texts = [path.read_text() for path in sorted(DATA.glob("findings/*.txt"))]
    found = []
    for entry in corpus.command_lines():
        if entry.text:
            texts.append(entry.text)
        else:
            found.append(list(entry.words))
    for text in texts:
        with contextlib.suppress(VmserialError):
            found.append(CommandLine.parse(text).argv())
    return [words for words in found if all(word.isprintable() for word in words)]


OTHERS = [
    "-nographic", "-m {n}G", "-name guest=v{n}", "-monitor stdio", "-parallel null",
    "-device virtio-net-pci,addr=0x{n}", "-device virtio-net-pci,addr=0x{n}.0",
    "-device usb-ehci,id=e{n}", "-device qemu-xhci,id=x{n}", "-device usb-tablet,bus=e{n}.0",
    "-device pcie-root-port,id=rp{n},addr=0x{n}", "-qmp unix:/run/q{n},server=on",
    "-chardev socket,id=mon,path=/run/q{n},server=on", "-mon chardev=mon,mode=control",
    "-chardev socket,id=c{n},path=/run/c{n},server=on", "-debugcon file:x", "-gdb tcp::1234",
    "-device isa-debugcon,chardev=c{n}", "-device isa-parallel,chardev=c{n}", "-nodefaults",
    "-device usb-braille,chardev=c{n}", "-device x-terminal3270,chardev=c{n}", "-usb",
    "-device ccid-card-passthru,chardev=c{n}", "-tpmdev emulator,id=t,chardev=c{n}",
    "-smbios type=1,serial=x{n}", "-drive file=serial{n}.img", "-daemonize",
]  # fmt: skip
"""What is no serial port."""


def made_lines(pieces: Sequence[str] = ()) -> list[list[str]]:
    """Return command lines that are put together by chance, always the same ones."""
    chance = random.Random(20)
    machines = ["virt", "q35", "pc", "virt-7.2", "pc-i440fx-7.2", "nonsense"]
    pieces = pieces or [
        "-serial chardev:serial{n}", "-serial stdio", "-serial null", "-nographic",
        "-device isa-serial,chardev=serial{n}", "-device isa-serial,chardev=serial{n},index={n}",
        "-device pci-serial,chardev=serial{n}", "-device usb-serial,chardev=serial{n}",
        "-device virtconsole,chardev=serial{n}", "-device virtio-serial-pci,id=vs{n}",
        "-device virtserialport,chardev=serial{n},name=p{n}", "-device qemu-xhci,id=x{n}",
        "-device usb-ehci,id=ehci{n}", "-device usb-serial,chardev=serial{n},bus=ehci{n}.0",
        "-device pci-serial,chardev=serial{n},addr=0x{n}", "-device virtio-net-pci,addr=0x{n}.0",
        "-chardev pty,id=serial{n}", "-chardev socket,id=serial{n},path=/run/s{n},server=on",
        "-device pcie-root-port,id=rp{n},addr=0x{n}", "-device pci-serial,chardev=c,bus=rp{n}",
        "-name guest=v{n}", "-m {n}G", "-device isa-serial,chardev=",
    ]  # fmt: skip
    found = []
    for _ in range(400):
        words: list[str] = ["qemu", "-machine", chance.choice(machines)]
        for _ in range(chance.randrange(2, 14)):
            words += chance.choice(pieces).format(n=chance.randrange(8)).split()
        found.append(words)
    return found


def expected(words: list[str], facts: Any) -> list[Any]:
    try:
        found, lines = start.mended([w.encode() for w in words], b"/bin/cat", facts)
        return [[w.decode() for w in found], lines]
    except VmserialError as error:
        return [type(error).__name__, str(error)]


def test_it_is_the_same_engine(shim: Shim) -> None:
    lines = kept_lines() + made_lines()
    assert len(lines) > 400
    chance = random.Random(7)
    asked: list[tuple[list[str], str]] = []
    for words in lines:
        arch = "x86_64" if "x86_64" in words[0] or {"q35", "pc"} & {*words} else "aarch64"
        wishes = {"kind": chance.choice(["auto", "usb", "pci", "virtio"]),
                  "hotplug": chance.random() < 0.3}  # fmt: skip
        asked.append((words, json.dumps(facts_of("/bin/cat", arch, **wishes).to_json())))
    text = bundle.wrapper(bundle.PYTHON, shim.real, str(shim.home), str(shim.log)).decode()
    given = text[: text.rindex("\nmain(")]
    real, home = shim.real.encode(), str(shim.home).encode()
    code = MANY.format(given=given, home=home, real=real)
    done = subprocess.run(
        [bundle.PYTHON, bundle.FLAGS, "-c", code], input=json.dumps(asked), text=True,
        capture_output=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found == [expected(words, facts) for words, facts in asked]
    changed = sum(result[0] != words for result, (words, _) in zip(found, asked, strict=True))
    assert changed > 100


def test_what_the_first_stage_lets_pass_is_not_mended() -> None:
    """A command line without any hint is one that the engine would not change."""
    guests = {arch: profile.unknown(arch) for arch in ("aarch64", "x86_64")}
    passed = 0
    for words in kept_lines() + made_lines() + made_lines(OTHERS):
        if boot.wanted([word.encode() for word in words]):
            continue
        passed += 1
        for arch, guest in guests.items():
            command = CommandLine.from_words([f"qemu-system-{arch}", *words[1:]])
            try:
                verdict = judge(command, capabilities(arch), guest, RepairPolicy())
            except VmserialError:
                continue
            # Bridges, and names and sockets of monitors, are no ports: `fix` mends them, the shim
            # does not.
            others = {"id-taken", "port-clash", "stdio-twice", "address-in-use",
                      "chardev-incomplete", "pci-chassis"}  # fmt: skip
            assert {change.id for change in verdict.changes} <= others
    assert passed > 300


def test_the_capabilities_of_each_version_survive_the_file() -> None:
    assert len(list(RECORDED.glob("*.json"))) >= 4
    for arch in ("aarch64", "x86_64"):
        facts = facts_of("/bin/cat", arch, kind="usb", hotplug=True, logs="/var/log/x")
        assert type(facts).from_json(json.loads(json.dumps(facts.to_json()))) == facts


# ------------------------------------------------------------------ the light modules


def declared(module: Any) -> dict[str, Any]:
    """Return classes made with one of the two modules."""
    dataclass, field = module.dataclass, module.field

    @dataclass(frozen=True)
    class Point:
        x: int
        y: int = 2
        seen: list[int] = field(default_factory=list, compare=False, repr=False)
        KIND: typing.ClassVar[str] = "p"

        @cached_property
        def sum(self) -> int:
            return self.x + self.y

    Point.__annotations__["KIND"] = "ClassVar[str]"

    @dataclass(frozen=True)
    class Named(Point):
        name: str = "n"

        def __post_init__(self) -> None:
            if self.x < 0:
                raise ValueError("negative")

    @dataclass
    class Loose:
        a: int = field(default=1, hash=False)

    return {"Point": Point, "Named": Named, "Loose": Loose}


def behaviour(module: Any) -> list[Any]:
    """Return what classes do: the same for both modules."""
    made = declared(module)
    point, named, loose = made["Point"], made["Named"], made["Loose"]

    def outcome(call: Any) -> Any:
        try:
            return repr(call())
        except Exception as error:  # noqa: BLE001 - which one it is is what is asked
            return [base.__name__ for base in type(error).__mro__][-4:]

    return [
        outcome(lambda: point(1)), outcome(lambda: point(1, 3, [4])), outcome(lambda: point(y=1)),
        outcome(lambda: point(1, x=2)), outcome(lambda: point(1, 2, [], 4)),
        outcome(lambda: point(1, z=2)), outcome(lambda: point(1) == point(1, 2, [5])),
        outcome(lambda: point(1) == named(1)), outcome(lambda: point(1) != point(2)),
        outcome(lambda: hash(point(1)) == hash(point(1, 2, [5]))), outcome(lambda: named(-1)),
        outcome(lambda: named(3, name="q")), outcome(lambda: point(1).sum),
        outcome(lambda: module.replace(named(3), x=4)), outcome(lambda: setattr(point(1), "x", 2)),
        outcome(lambda: module.replace(named(3), z=4)), outcome(lambda: delattr(point(1), "x")),
        outcome(lambda: hash(loose())), outcome(lambda: setattr(loose(), "a", 2)),
        outcome(lambda: [f.name for f in module.fields(named)]),
        outcome(lambda: {point(1), point(1), point(2)} == {point(2), point(1)}),
        outcome(lambda: point(1).seen is point(1).seen), outcome(lambda: point(1) == 1),
        outcome(lambda: [module.is_dataclass(x) for x in (point, point(1), int)]),
        outcome(lambda: (point.y, hasattr(point, "seen"), loose.a)),
    ]  # fmt: skip


def test_light_dataclasses_are_dataclasses() -> None:
    assert behaviour(light_dataclasses) == behaviour(dataclasses)


def test_what_they_do_not_know_is_refused() -> None:
    for options in ({"order": True}, {"kw_only": True}, {"init": False}):
        with pytest.raises(TypeError):
            light_dataclasses.dataclass(type("X", (), {}), **options)
    with pytest.raises(TypeError):
        light_dataclasses.field(kw_only=True)


def test_light_typing_takes_what_is_written() -> None:
    assert not light_typing.TYPE_CHECKING
    form = light_typing.Literal["a"] | None
    assert (str | form) is not None
    assert light_typing.cast("int", 7) == 7
    for words in (("a", "b"), ("a",)):
        assert light_typing.get_args(light_typing.Literal[words]) == words
        assert typing.get_args(typing.Literal[words]) == words
    assert light_typing.get_args(light_typing.Literal["a"]) == ("a",)
    with pytest.raises(TypeError):
        assert "a" in light_typing.Literal["a"]  # type: ignore[operator]
    for name in ("__path__", "get_type_hints", "overload"):
        with pytest.raises(AttributeError):
            getattr(light_typing, name)


def test_light_pkgutil_lists_as_the_real_one(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    import vmserial.devices
    import vmserial.machines

    class Finder:
        kinds: typing.ClassVar = {module.name: "package" if module.package else "module"
                 for module in bundle.modules()}  # fmt: skip

        @staticmethod
        def find_spec(*_: object) -> None:
            return None

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder])
    for package in (vmserial.devices, vmserial.machines):
        ours = [m.name for m in light_pkgutil.iter_modules([package.__name__])]
        assert ours == [m.name for m in pkgutil.iter_modules(package.__path__)]
