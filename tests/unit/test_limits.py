"""Every number of QEMU, Linux, PVE and libvirt stands once, in ``limits.py``."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from vmserial import limits

PACKAGE = Path(limits.__file__).parent
NAMES = {name for name in vars(limits) if name.isupper()}
SUBJECTS = r"ISA|XHCI|EHCI|OHCI|UHCI|USB|VIRTIO|VIRTCONSOLES?|HVC|TTYUSB|SUN_PATH|PVE|PCI"
WHAT = r"PORTS|NODES|SLOTS|FUNCTIONS|MESSAGES|MOST|MAX|LAST|LIMIT|QUEUE"
LIKE_A_LIMIT = re.compile(rf"_?(?:[A-Z]+_)*(?:{SUBJECTS})_(?:[A-Z]+_)*(?:{WHAT})\Z|VIRTCONSOLES\Z")
WORDED = (
    (r"isa|com port", 4), (r"xhci|usb", 15), (r"virtio", 15), (r"virtio", 31), (r"virtio", 30),
    (r"queue", 32), (r"hvc", 8), (r"ttyusb", 512), (r"sun_path|socket.*path|path.*socket", 107),
    (r"slot", 0x20), (r"ehci", 6), (r"max_ports", 511),
)  # fmt: skip
"""A number that must not be written in code where a line names what it counts."""


def doubles(source: str) -> Iterator[str]:
    """Yield what a module's source says that only ``limits.py`` may say."""
    tree, lines = ast.parse(source), source.splitlines()
    for node in tree.body:
        target = node.targets[0] if isinstance(node, ast.Assign) else None
        target = node.target if isinstance(node, ast.AnnAssign) else target
        number = getattr(node, "value", None)
        if (
            isinstance(target, ast.Name) and LIKE_A_LIMIT.match(target.id)
            and isinstance(number, ast.Constant) and isinstance(number.value, int)
        ):  # fmt: skip
            yield f"line {node.lineno}: {target.id} = {number.value}"
    for each in ast.walk(tree):
        if isinstance(each, ast.Constant) and type(each.value) is int:
            said = re.sub(r"\"[^\"]*\"|'[^']*'|#.*", " ", lines[each.lineno - 1])
            for word, number in WORDED:
                if each.value == number and re.search(word, said, re.IGNORECASE):
                    yield f"line {each.lineno}: {number} beside {word}"


APART = {
    "machines/loongarch64.py": "UARTs of this board, not ISA's",
    "machines/arm.py": "UARTs of this board",
    "sources/toml/schema.py": "bounds of what a user may write, not of what a bus has",
}


def test_no_number_of_a_limit_stands_elsewhere() -> None:
    found = [
        f"{path.relative_to(PACKAGE)}: {each}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if path.name != "limits.py" and str(path.relative_to(PACKAGE)) not in APART
        for each in doubles(path.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    "source",
    ["USB_PORTS = 15", "_XHCI_PORTS: int = 15", "PVE_PORTS = 4", "HVC_NODES = 8",
     "free = list(range(4)) if isa else []", "if index > 31 and device.is_virtio_serial: pass",
     "next(slot for slot in range(0x20))", "VIRTIO_MOST = 30"],
)  # fmt: skip
def test_a_double_would_be_seen(source: str) -> None:
    assert list(doubles(source))


def test_other_numbers_are_no_doubles() -> None:
    assert not list(doubles('ISA_WORDS = "4"\nRETRIES = 4\nbound = 15\nx = 4  # of isa\n'))


def test_each_limit_has_its_source() -> None:
    tree = ast.parse((PACKAGE / "limits.py").read_text(encoding="utf-8"))
    body = tree.body
    assert len(NAMES) > 20
    for node, text in pairwise(body):
        if isinstance(node, ast.Assign):
            assert isinstance(text, ast.Expr)
            said = ast.literal_eval(text.value)
            assert re.search(r"\(.+\)|measured|Its bus", said, re.DOTALL), ast.unparse(node)
    assert not any(isinstance(node, ast.Import) for node in body)
