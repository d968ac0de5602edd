"""What packaged tools start, seen by a stand-in for QEMU that notes its arguments."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from corpus import Entry

_STAND_IN = """#!/usr/bin/env python3
import json, os, sys
if "--version" in sys.argv or "help" in sys.argv:
    os.execv("/usr/bin/" + os.path.basename(sys.argv[0]), sys.argv)
with open(os.environ["RECORD"], "a") as file:
    file.write(json.dumps(sys.argv) + "\\n")
"""
_VIRT = "echo open | autopkgtest-virt-qemu --timeout-reboot 2"
_VNG = "virtme-run --kimg kernel --mods none"
RECIPES = {
    "autopkgtest-1": f"{_VIRT} --ram-size 512 -c 2 disk.img",
    "autopkgtest-2": f"{_VIRT} --dpkg-architecture arm64 --efi disk.img",
    "autopkgtest-3": f"{_VIRT} --qemu-architecture ppc64 disk.img",
    "autopkgtest-4": f"{_VIRT} --qemu-options='-device usb-ehci -nodefaults' disk.img",
    "debvm-1": "debvm-run --image system.img",
    "debvm-2": "debvm-run -i system.img --sshport 2222 -- -m 2G -serial pty",
    "debvm-3": "debvm-run -i system.img --graphical",
    "virtme-1": f"{_VNG} --memory 1G --pwd",
    "virtme-2": f"{_VNG} --root / --arch aarch64 --busybox /bin/busybox",
    "virtme-3": f"{_VNG} --disk a=disk.img --net --cpus 4 --qemu-opts -device usb-ehci",
    "virtme-4": f"{_VNG} --script-sh true",
    "labgrid-1": "machine='virt', cpu='cortex-a57', memory='256M', kernel='kernel', extra_args=''",
    "labgrid-2": "machine='q35', cpu='qemu64', memory='1G', disk='disk.img', extra_args='-S'",
    "labgrid-3": "machine='virt', cpu='max', memory='1G', extra_args='-serial null -serial pty',"
    "nic='user', bios='u-boot.bin'",
}
"""Shell commands; for labgrid the arguments of its QEMUDriver."""

_LABGRID = """
import json, types
from labgrid import Target
from labgrid.driver import QEMUDriver
config = types.SimpleNamespace(
    get_tool=lambda name: "/usr/bin/qemu-system-aarch64",
    get_image_path=lambda name: "/var/lib/vms/" + name,
)
target = Target("vm")
target.env = types.SimpleNamespace(config=config)
target.set_binding_map({})
print(json.dumps(QEMUDriver(target, None, qemu_bin="qemu", {0}).get_qemu_base_args()))
"""


def entries() -> Iterator[Entry]:
    """Yield what each tool that is here started."""
    with tempfile.TemporaryDirectory(prefix="tools") as name:
        root = Path(name)
        environment = _prepared(root)
        for recipe, command in RECIPES.items():
            words = _labgrid(command) if "labgrid" in recipe else _seen(root, command, environment)
            if words:
                yield Entry(recipe, words=tuple(_neutral(word, root) for word in words))
            else:
                print(f"{recipe}: nothing was started", file=sys.stderr)


def _prepared(root: Path) -> dict[str, str]:
    programs = root / "bin"
    programs.mkdir()
    for arch in ("x86_64", "aarch64", "arm", "i386", "ppc64", "riscv64", "s390x"):
        path = programs / f"qemu-system-{arch}"
        path.write_text(_STAND_IN)
        path.chmod(0o755)
    tree = root / "tree"
    (tree / "boot").mkdir(parents=True)
    (tree / "bin").mkdir()
    for name in ("vmlinuz", "initrd.img"):
        (tree / "boot" / name).write_bytes(os.urandom(4096))
        (tree / name).symlink_to(f"boot/{name}")
    (root / "disk.img").write_bytes(bytes(1 << 20))
    (root / "kernel").write_bytes(bytes(1 << 20))
    subprocess.run(
        ["/sbin/mke2fs", "-q", "-L", "system", "-d", "tree", "-t", "ext4", "system.img", "16M"],
        cwd=root, check=True, capture_output=True,
    )  # fmt: skip
    return {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "TERM": "linux",
            "RECORD": str(root / "seen")}  # fmt: skip


def _seen(root: Path, command: str, environment: dict[str, str]) -> list[str]:
    record = root / "seen"
    record.unlink(missing_ok=True)
    if shutil.which("timeout") is None:
        return []
    subprocess.run(["timeout", "15", "sh", "-c", command], cwd=root, env=environment,
                   capture_output=True, stdin=subprocess.DEVNULL, timeout=60)  # fmt: skip
    if not record.exists():
        return []
    found: list[str] = json.loads(record.read_text().splitlines()[0])
    return ["/usr/bin/" + Path(found[0]).name, *found[1:]]


def _labgrid(arguments: str) -> list[str]:
    code = _LABGRID.replace("{0}", arguments)
    done = subprocess.run(["python3", "-c", code], capture_output=True, text=True, timeout=60)
    found: list[str] = json.loads(done.stdout) if done.returncode == 0 else []
    return found


def _neutral(word: str, root: Path) -> str:
    word = word.replace(str(root), "/var/lib/vms").replace(str(root)[1:], "var/lib/vms")
    word = re.sub(r"/tmp/([a-z-]+)[.-]?[A-Za-z0-9_]{8}/", r"/run/\1/", word)
    word = re.sub(r"/tmp/(?:tmp\.|virtme_ret)\w+", "/run/tool", word)
    return re.sub(r"/\S*/site-packages/", "/usr/lib/python3/dist-packages/", word)
