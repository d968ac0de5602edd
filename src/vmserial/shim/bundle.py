"""The modules that the wrapper needs, found, read and compiled.

They are a copy: an upgrade or a removal of vmserial leaves the shim whole, and
none of vmserial's own directories (a virtual environment in somebody's home) is
read when a VM starts.
"""

from __future__ import annotations

import ast
import functools
import json
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import vmserial
from vmserial.errors import UsageError
from vmserial.shim import boot

PYTHON = "/usr/bin/python3"
FLAGS = "-ISB"
"""Isolated, no site module, no bytecode written.  A #! line passes one word."""

OLDEST = (3, 11)

_SOURCES = Path(vmserial.__file__).parent
_START = "vmserial.shim.start"
_LEFT_OUT = (
    "vmserial.catalogue", "vmserial.context.origins", "vmserial.sources.pve",
    "vmserial.sources.toml", "vmserial.sources.overrides", "vmserial.sources.libvirt",
)  # fmt: skip
"""Imported only inside functions that the shim never calls; the test of all command lines
runs without them."""

_INDEX = "vmserial.rules.index"
_LATE = re.compile(r'Late\(\s*"([\w.]+)"')
_RULE = re.compile(r"vmserial\.rules\.(?!(?:base|index)\Z)")

_UNASKED = re.compile(r"vmserial\.rules\.(?:host|owner)\.")
"""Rules about the host, at which the shim does not look, and about what never is a command."""

_EMPTY = frozenset({"vmserial.sources"})
"""Packages of which only rooms below are needed, and not what they import themselves."""

_BOUND = 60.0

_COMPILE = """
import sys, json, marshal, importlib.util
out = {}
for name, file, text in json.load(sys.stdin):
    code = compile(text, file, "exec", dont_inherit=True, optimize=2)
    out[name] = marshal.dumps(code)
sys.stdout.buffer.write(importlib.util.MAGIC_NUMBER + marshal.dumps(out))
"""


@dataclass(frozen=True)
class Module:
    """One module of the bundle.

    Attributes:
        name: as it is imported.
        package: it has modules below it.
        text: its source.
    """

    name: str
    package: bool
    text: bytes

    @property
    def file(self) -> str:
        """Its path below ``source/``."""
        return self.name.replace(".", "/") + ("/__init__.py" if self.package else ".py")


@functools.cache
def modules() -> tuple[Module, ...]:
    """Return what :mod:`vmserial.shim.start` imports, directly or not, by name.

    A process has one version of its own sources, and reading them takes half a second.
    """
    found: dict[str, Module] = {}
    waiting = [_START]
    while waiting:
        name = waiting.pop()
        module = None if name in found or name.startswith(_LEFT_OUT) else _read(name)
        if module is None:
            continue
        if name in _EMPTY:
            module = Module(name, True, b"")
        found[name] = module
        if "." in name:
            waiting.append(name.rpartition(".")[0])
        if b"iter_modules" in module.text and module.package:
            directory = _SOURCES.parent / name.replace(".", "/")
            waiting += [f"{name}.{path.stem}" for path in directory.glob("[!_]*.py")]
        waiting += _imports(ast.parse(module.text))
        if name == _INDEX:
            waiting += [f"vmserial.rules.{each}" for each in _LATE.findall(module.text.decode())]
    rules = [found.pop(name) for name in list(found) if _RULE.match(name)]
    index = found[_INDEX]
    text = joined(index.text, [module for module in rules if not module.package])
    found[_INDEX] = Module(_INDEX, index.package, text)
    for name in boot.LIGHT:
        found[name] = Module(name, False, (_SOURCES / "light" / f"{name}.py").read_bytes())
    return tuple(found[name] for name in sorted(found))


def joined(index: bytes, rules: Sequence[Module]) -> bytes:
    """Return the index of the rules with the rules themselves in it.

    Each would cost its own import on every start of a VM.  A rule's names stay its own: it
    becomes a function that returns them.
    """
    names: dict[str, dict[str, None]] = {}
    made: list[ast.stmt] = []
    rooms = {rule.name.rpartition(".")[0] for rule in rules}
    left_out = {rule.name.rpartition(".")[2] for rule in rules if _UNASKED.match(rule.name)}
    rules = [rule for rule in rules if not _UNASKED.match(rule.name)]
    for rule in sorted(rules, key=lambda rule: rule.name):
        name = rule.name.rpartition(".")[2]
        stem = ast.parse(f"def {name}():\n    return RULE\n{name}.RULE = {name}()").body
        function = stem[0]
        assert isinstance(function, ast.FunctionDef)
        function.body = [*_without_imports(rule.text, names), *function.body]
        made += stem
    rest = [_Whole().visit(each) for each in _without_imports(index, names)]
    _Without(left_out).visit(ast.Module(rest, []))
    heads = [
        f"from {module} import {', '.join(own)}" for module, own in names.items()
        if module not in rooms
    ]  # fmt: skip
    text = "\n".join([*heads, ast.unparse(ast.Module([*made, *rest], []))])
    return f"{text}\n".encode()


class _Whole(ast.NodeTransformer):
    """Makes a rule that is imported when it is asked one that is there."""

    def visit_Call(self, node: ast.Call) -> ast.expr:
        """Replace ``Late("room.name", …)`` by ``name.RULE``."""
        first = node.args[0]
        assert isinstance(first, ast.Constant)
        return ast.parse(f"{str(first.value).rpartition('.')[2]}.RULE", mode="eval").body


class _Without(ast.NodeTransformer):
    """Takes the rules of these names out of the lists of an index."""

    def __init__(self, names: set[str]) -> None:
        self.names = names

    def visit_Tuple(self, node: ast.Tuple) -> ast.Tuple:
        """Leave out what is not wanted."""
        self.generic_visit(node)
        node.elts = [each for each in node.elts if not self._is_out(each)]
        return node

    def _is_out(self, node: ast.expr) -> bool:
        named = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
        return named and ast.unparse(node).removesuffix(".RULE") in self.names


def _without_imports(text: bytes, names: dict[str, dict[str, None]]) -> list[ast.stmt]:
    """Return a module's statements; what it imports is added to the names by module."""
    body: list[ast.stmt] = []
    for statement in ast.parse(text).body:
        if isinstance(statement, ast.ImportFrom):
            known = names.setdefault(str(statement.module), {})
            known.update((alias.name, None) for alias in statement.names)
        else:
            body.append(statement)
    return body


def _read(name: str) -> Module | None:
    path = _SOURCES.parent / name.replace(".", "/")
    for file, package in ((path / "__init__.py", True), (path.with_suffix(".py"), False)):
        if file.is_file():
            return Module(name, package, file.read_bytes())
    return None


def _imports(node: ast.AST) -> Iterator[str]:
    """Yield vmserial's modules that are imported anywhere but for types alone."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names if alias.name.startswith("vmserial"))
        elif isinstance(child, ast.ImportFrom) and (child.module or "").startswith("vmserial"):
            yield str(child.module)
            yield from (f"{child.module}.{alias.name}" for alias in child.names)
        else:
            yield from _imports(child)


def listing(found: Sequence[Module]) -> bytes:
    """Return the file ``modules``: each name and its kind."""
    lines = (f"{m.name} {'package' if m.package else 'module'}\n" for m in found)
    return "".join(lines).encode()


def compiled(found: Sequence[Module], python: Sequence[str]) -> tuple[str, bytes]:
    """Compile the modules with the interpreter that will run them.

    Args:
        found: the modules.
        python: the interpreter's path, behind chroot(8) if it is another tree's.

    Returns:
        The name of the file, which holds the version of Python's bytecode, and its content.

    Raises:
        UsageError: the interpreter is missing, too old or does not work.
    """
    given = json.dumps([[m.name, f"<vmserial-shim>/{m.file}", m.text.decode()] for m in found])
    result = ask([*python, FLAGS, "-c", _COMPILE], given.encode())
    return f"code.{result[:4].hex()}", result[4:]


def ask(command: Sequence[str], given: bytes = b"") -> bytes:
    """Run an interpreter and return what it prints.

    Raises:
        UsageError: it is missing, too old or does not work.
    """
    check = ["-c", f"import sys; sys.exit(sys.version_info < {OLDEST!r})"]
    interpreter = list(command[: command.index(FLAGS)])
    oldest = ".".join(map(str, OLDEST))
    hint = f"name a Python of at least {oldest} that belongs to the system with --python"
    try:
        old = subprocess.run([*interpreter, FLAGS, *check], timeout=_BOUND, capture_output=True)
        if old.returncode == 1:
            raise UsageError(f"{interpreter[-1]} is older than Python {oldest}", hint=hint)
        done = subprocess.run(command, input=given, capture_output=True, timeout=_BOUND)
    except OSError as error:
        raise UsageError(f"cannot run {interpreter[-1]}: {error.strerror}", hint=hint) from None
    except subprocess.TimeoutExpired:
        raise UsageError(f"{interpreter[-1]} does not end", hint=hint) from None
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise UsageError(f"{interpreter[-1]} cannot run the shim: {words}", hint=hint)
    return done.stdout


def wrapper(python: str, real: str, home: str, log: str) -> bytes:
    """Return the wrapper file."""
    text = (_SOURCES / "shim" / "boot.py").read_text()
    values = ", ".join(repr(os.fsencode(value)) for value in (real, home, log))
    return (
        f"#!{python} {FLAGS}\n"
        f"# vmserial shim {vmserial.__version__}: starts {real!a} with its serial ports "
        "mended.\n# Made by `vmserial shim install`; `vmserial shim remove` takes it away.\n"
        f"{text}\n\nmain({values})\n"
    ).encode()


_SAMPLE = (
    b"qemu", b"-nodefaults", b"-chardev", b"null,id=serial1", b"-device",
    b"isa-serial,chardev=serial1,id=serial1",
)  # fmt: skip


def tried(text: bytes) -> None:
    """Mend a command line as a wrapper would, before it is put anywhere.

    Raises:
        UsageError: it does not work with this interpreter.
    """
    lines = text.decode().splitlines()
    python = lines[0].removeprefix("#!").split(" ")[0]
    last = lines.pop()
    try_out = f"print(mended({list(_SAMPLE)!r}, *{last.removeprefix('main')}[:2])[0][0].decode())"
    if ask([python, FLAGS, "-c", "\n".join([*lines, try_out])]) != b"qemu\n":
        raise UsageError("the shim does not work", hint="please report it")
