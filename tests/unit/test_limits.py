"""Every number of QEMU, Linux, PVE and libvirt stands once, in ``limits.py``."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path

import pytest

from vmserial import limits

PACKAGE = Path(limits.__file__).parent
NAMES = {name for name in vars(limits) if name.isupper()}
SUBJECTS = r"ISA|XHCI|EHCI|OHCI|UHCI|USB|VIRTIO|VIRTCONSOLES?|HVC|TTYUSB|SUN_PATH|PVE|PCI"
WHAT = r"PORTS|NODES|SLOTS|FUNCTIONS|MESSAGES|MOST|MAX|LAST|LIMIT|QUEUE"
LIKE_A_LIMIT = re.compile(rf"_?(?:[A-Z]+_)*(?:{SUBJECTS})_(?:[A-Z]+_)*(?:{WHAT})\Z|VIRTCONSOLES\Z")
WORDS = {
    2: "uhci", 3: "ohci|parallel", 4: "(?<![a-z])(isa|pve|mux|xhci)(?![a-z])|com port|serial port",
    6: "ehci|companion", 8: "hvc|virtconsole|uart|hub|function|cpu", 15: "xhci|usb|virtio",
    30: "virtio", 31: "virtio|slot|pci", 32: "queue|slot|pci|round|controller", 60: "usb",
    107: "path|socket", 511: "virtio|ports", 512: "ttyusb|uart|virtio|ports", 5900: "vnc",
}  # fmt: skip
"""What a number that bounds something counts, where what stands around it says so."""

for _name in sorted(NAMES):
    # Of any other limit the words of its name.
    if isinstance(_number := getattr(limits, _name), int):
        WORDS.setdefault(_number, "|".join(part for part in _name.split("_") if len(part) > 2))


def bounds(tree: ast.AST) -> Iterator[ast.expr | None]:
    """Yield what bounds something: compared with, counted to, put into a table, written out."""
    for node in ast.walk(tree):
        match node:
            case ast.Compare():
                yield from (node.left, *node.comparators)
            case ast.Call():
                name = ast.unparse(node.func).rpartition(".")[2]
                yield from node.args if name in COUNTING or name.strip("_")[:1].isupper() else ()
                yield from (keyword.value for keyword in node.keywords)
            case ast.Slice():
                yield from (node.lower, node.upper)
            case ast.BoolOp():
                yield from node.values
            case ast.IfExp():
                yield from (node.body, node.orelse)
            case ast.Dict():
                yield from node.values
            case ast.Tuple():
                yield from node.elts
            case ast.FormattedValue() | ast.Return() | ast.Assign() | ast.AnnAssign():
                yield node.value
            case ast.BinOp() if not isinstance(node.op, ast.LShift | ast.RShift | ast.Pow):
                yield from (node.left, node.right)
            case _:
                pass


COUNTING = {"range", "min", "max", "str", "next", "divmod"}


def doubles(
    source: str, path: str = "", written_out: Mapping[str, int] | None = None
) -> set[tuple[int, int, int]]:
    """Return where a module says what only ``limits.py`` may say: line, column, number.

    Args:
        source: of the module.
        path: its name.
        written_out: names that stand for numbers, as if these stood there.
    """
    tree, lines = ast.parse(source), source.splitlines()
    functions = [n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    found = set()
    for each in bounds(tree):
        number = each.value if isinstance(each, ast.Constant) else None
        if isinstance(each, ast.Name) and written_out:
            number = written_out.get(each.id)
        if each is None or type(number) is not int:
            continue
        # All of the function that it is in, or of the statement of the module.
        around = [node for node in (*functions, *tree.body) if not isinstance(node, ast.ClassDef)
                  and node.lineno <= each.lineno <= (node.end_lineno or 0)]  # fmt: skip
        first = min((node.lineno for node in around), default=each.lineno)
        last = max((node.end_lineno or 0 for node in around), default=each.lineno)
        said = f"{path} " + "\n".join(lines[first - 1 : last])
        if (words := WORDS.get(number)) and re.search(words, said, re.IGNORECASE):
            found.add((each.lineno, each.col_offset, number))
    return found


def named(source: str) -> list[str]:
    """Return the names of a module that are called like a limit and are numbers."""
    targets = [
        (node.targets[0] if isinstance(node, ast.Assign) else node.target, node.value)
        for node in ast.parse(source).body if isinstance(node, ast.Assign | ast.AnnAssign)
    ]  # fmt: skip
    return [
        target.id for target, value in targets
        if isinstance(target, ast.Name) and LIKE_A_LIMIT.match(target.id)
        and isinstance(value, ast.Constant) and isinstance(value.value, int)
    ]  # fmt: skip


APART = {
    "machines/": "what a board has of its own",
    "report/topology.py": "places in a picture",
    "sources/pve/map.py": "PVE's map of slots, which stands there alone",
    "model/hardware.py": "ports of a card, which its name says; Linux's default is the profile's",
    "sources/libvirt/places.py": "the slots of a board that libvirt keeps",
    "sources/libvirt/controllers.py": "functions of a slot, by libvirt's list",
}
"""Rooms whose numbers are no limit, and why."""

NO_LIMIT = {
    ("guests/nodes.py", 8): "bytes of a UART's registers",
    ("planning/memory.py", 128): "MiB of a guest, to round its memory up to",
    ("planning/layout/__init__.py", 2): "the keyboard's USB port",
    ("planning/layout/disks.py", 31): "no slot of the root bus",
    ("planning/layout/network.py", 31): "no slot of the root bus",
    ("sources/command/machine.py", 128): "MiB of a guest, QEMU's own default",
    ("sources/pve/hardware.py", 4): "the root ports of PVE's own file",
    ("sources/pve/pins.py", 4): "QEMU 4.1",
    ("sources/pve/serial.py", 4): "digits of a number",
    ("sources/toml/schema.py", 4): "MiB of a screen",
    ("sources/toml/schema.py", 512): "MiB of a screen",
}
"""Numbers of a room that has limits as well."""


def elsewhere() -> Iterator[tuple[str, str]]:
    """Yield the modules that may say no limit, and their sources."""
    for path in sorted(PACKAGE.rglob("*.py")):
        name = str(path.relative_to(PACKAGE))
        if name != "limits.py" and not name.startswith(tuple(APART)):
            yield name, path.read_text(encoding="utf-8")


def test_no_number_of_a_limit_stands_elsewhere() -> None:
    found = [f"{name}:{line}: {number}" for name, source in elsewhere()
             for line, _, number in sorted(doubles(source, name))
             if (name, number) not in NO_LIMIT]  # fmt: skip
    assert found == []
    assert [(name, named(source)) for name, source in elsewhere() if named(source)] == []


def test_each_limit_that_is_written_out_as_a_number_would_be_seen() -> None:
    """A mutant for each use of a limit: the number in the name's place."""
    seen, unseen = 0, []
    for module, source in elsewhere():
        tree = ast.parse(source)
        numbers = {
            each.asname or each.name: getattr(limits, each.name) for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom) and node.module == "vmserial.limits"
            for each in node.names if isinstance(getattr(limits, each.name), int)
        }  # fmt: skip
        uses = {(node.lineno, node.col_offset, numbers[node.id]) for node in ast.walk(tree)
                if isinstance(node, ast.Name) and node.id in numbers}  # fmt: skip
        found = doubles(source, module, numbers) if uses else set()
        seen += len(uses & found)
        unseen += [f"{module}:{line}: {number}" for line, _, number in sorted(uses - found)]
    assert seen > 90
    assert unseen == []


@pytest.mark.parametrize(
    "source",
    ["free = list(range(4)) if isa else []", "if index > 31 and device.is_virtio_serial: pass",
     "next(slot for slot in range(0x20))", "PORTS = {'isa': 4}", "TABLE = {'virtconsole': 8}",
     "device('qemu-xhci', p2=15)", "made = ('virtio-serial', 31)", "PVE = {'serial ports': 4}",
     "def f(mux):\n    return len(users) > 4", "if len(socket) > 107: pass"],
)  # fmt: skip
def test_a_double_would_be_seen(source: str) -> None:
    assert doubles(source)


@pytest.mark.parametrize(
    "source",
    ["USB_PORTS = 15", "_XHCI_PORTS: int = 15", "PVE_PORTS = 4", "HVC_NODES = 8",
     "VIRTIO_MOST = 30"],
)  # fmt: skip
def test_a_double_by_its_name_would_be_seen(source: str) -> None:
    assert named(source)


def test_other_numbers_are_no_doubles() -> None:
    assert not doubles('ISA_WORDS = "4"\nRETRIES = 4\nbound = 15\nif n > 4: pass\n')


def test_each_limit_has_its_source() -> None:
    tree = ast.parse((PACKAGE / "limits.py").read_text(encoding="utf-8"))
    body = tree.body
    assert len(NAMES) > 20
    names = [ast.unparse(node.targets[0]) for node in body if isinstance(node, ast.Assign)]
    assert len(names) == len(set(names))
    for node, text in pairwise(body):
        if isinstance(node, ast.Assign):
            assert isinstance(text, ast.Expr)
            said = ast.literal_eval(text.value)
            assert re.search(r"\(.+\)|measured|Its bus", said, re.DOTALL), ast.unparse(node)
    assert not any(isinstance(node, ast.Import) for node in body)
