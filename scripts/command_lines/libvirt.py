"""What libvirt makes of a domain, asked of a private libvirt: nothing is defined or started."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from corpus import Entry

from command_lines import domains

_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "HOME": "/root", "LC_ALL": "C"}
_VIRT_INSTALL = """
import sys, threading, libvirt
libvirt.virEventRegisterDefaultImpl()
def loop():
    while True:
        libvirt.virEventRunDefaultImpl()
threading.Thread(target=loop, daemon=True).start()
sys.path.insert(0, "/usr/share/virt-manager")
from virtinst import virtinstall
virtinstall.runcli()
"""
"""virt-install, in a process that has the event loop which libvirt wants when it is embedded."""


def entries() -> Iterator[Entry]:
    """Yield the command line of each domain that this libvirt takes."""
    with tempfile.TemporaryDirectory(prefix="libvirt") as root:
        conf = Path(root, "etc", "qemu.conf")
        conf.parent.mkdir()
        Path(root, "pki").mkdir()
        conf.write_text('user = "root"\ngroup = "root"\nsecurity_driver = "none"\n'
                        f'chardev_tls_x509_cert_dir = "{root}/pki"\n')  # fmt: skip
        uri = f"qemu:///embed?root={root}"
        for name, xml in [*domains.domains(), *_virt_install(uri)]:
            if text := _converted(uri, root, name, xml):
                yield Entry(name, text)


def _virt_install(uri: str) -> Iterator[tuple[str, str]]:
    for name, words in domains.VIRT_INSTALL.items():
        base = ["--connect", uri, "--print-xml", "--dry-run", "--name", "vm", "--memory", "512",
                "--disk", "none", "--import", "--osinfo", "detect=off,require=off", "--virt-type",
                "qemu", "--network", "user,mac=52:54:00:00:00:01", "--uuid",
                "5e0b1f0a-6f2c-4c0e-9d0e-3a1d2b4c5d6e"]  # fmt: skip
        done = subprocess.run(
            ["/usr/bin/python3", "-c", _VIRT_INSTALL, *base, *words],
            capture_output=True, text=True, env=_ENVIRONMENT, timeout=120,
        )  # fmt: skip
        if done.returncode == 0 and "</domain>" in done.stdout:
            yield f"virt-install-{name}", done.stdout[: done.stdout.index("</domain>") + 9]
        else:
            print(f"virt-install {name}: {done.stderr.strip()[-200:]}", file=sys.stderr)


def _converted(uri: str, root: str, name: str, xml: str) -> str:
    path = Path(root, "domain.xml")
    path.write_text(xml)
    done = subprocess.run(
        ["virsh", "-c", uri, "domxml-to-native", "qemu-argv", str(path)],
        capture_output=True, text=True, env=_ENVIRONMENT, timeout=120,
    )  # fmt: skip
    if done.returncode:
        print(f"{name}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
        return ""
    text = done.stdout.rstrip("\n")
    return text.replace(f"{root}/lib", "/var/lib/libvirt").replace(root, "/var/lib/libvirt")
