"""A libvirtd of our own: its files, its sockets and its VMs end with the test.

As root it runs in a mount and a process namespace of its own: /etc/libvirt, /run/libvirt and
the like are empty there, and when it is killed its VMs are gone with it.  Otherwise it is a
session's libvirtd with directories of ours.  No other service is needed: virtlogd's work is done
by files (``stdio_handler``), and every machine type is emulated (``<domain type='qemu'>``).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

BOUND = 60.0

QEMU_CONF = """\
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
security_driver = "none"
cgroup_controllers = [ ]
namespaces = [ ]
stdio_handler = "file"
"""

LIBVIRTD_CONF = """\
unix_sock_dir = "{where}"
auth_unix_ro = "none"
auth_unix_rw = "none"
"""

ACCOUNTS = """\
# libvirt asks for these accounts, whatever qemu.conf says.
cp /etc/passwd "$1/passwd" && cp /etc/group "$1/group"
getent passwd libvirt-qemu >/dev/null ||
    echo 'libvirt-qemu:x:64055:64055::/nonexistent:/usr/sbin/nologin' >>"$1/passwd"
for group in libvirt-qemu:64055 kvm:64056; do
    getent group "${group%:*}" >/dev/null || echo "${group%:*}:x:${group#*:}:" >>"$1/group"
done
mount --bind "$1/passwd" /etc/passwd && mount --bind "$1/group" /etc/group
"""

STAND = (
    """\
set -e
for place in /etc/libvirt /run/libvirt /var/lib/libvirt /var/cache/libvirt /var/log/libvirt; do
    mkdir -p "$place"
    mount -t tmpfs none "$place"
done
cp "$1/qemu.conf" /etc/libvirt/qemu.conf
"""
    + ACCOUNTS
    + """\
export PATH="$1/bin"
"$2" -f "$1/libvirtd.conf" -p "$1/libvirtd.pid" &
# The shell is the namespace's first process: it takes in the VMs that have ended, which
# libvirtd, who waits until they are gone, would not.
wait $!
"""
)


class Refused(Exception):
    """libvirt, or the QEMU that it started, did not take something."""


class PrivateLibvirt:
    """Runs while the ``with`` lasts.

    Args:
        emulators: the only QEMUs that it finds: libvirt asks each what it has, which takes
            seconds.
    """

    def __init__(self, emulators: Sequence[str]) -> None:
        self.emulators = emulators

    def __enter__(self) -> PrivateLibvirt:
        """Start it, and wait until it answers."""
        # A short path: a socket's has 107 bytes at most.  As root where only root writes: an
        # emulator in /tmp would not be safe.
        base = "/run" if os.geteuid() == 0 else "/tmp"
        self.where = Path(tempfile.mkdtemp(prefix="vmserial-lv-", dir=base))
        (self.where / "bin").mkdir()
        for emulator in self.emulators:
            (self.where / "bin" / Path(emulator).name).symlink_to(emulator)
        (self.where / "qemu.conf").write_text(QEMU_CONF)
        (self.where / "libvirtd.conf").write_text(LIBVIRTD_CONF.format(where=self.where))
        daemon = shutil.which("libvirtd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        assert daemon, "libvirtd is not installed: scripts/system-packages"
        environment = dict(os.environ)
        if os.geteuid() == 0:
            words = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
                     "sh", "-c", STAND, "sh", str(self.where), daemon]  # fmt: skip
            self.uri = f"qemu+unix:///system?socket={self.where}/libvirt-sock"
        else:
            for name in ("RUNTIME_DIR", "CONFIG_HOME", "CACHE_HOME", "DATA_HOME", "STATE_HOME"):
                environment[f"XDG_{name}"] = str(self.where / name.lower())
                (self.where / name.lower() / "libvirt").mkdir(parents=True)
            shutil.copy(self.where / "qemu.conf", self.where / "config_home/libvirt/qemu.conf")
            environment["PATH"] = str(self.where / "bin")
            words = [daemon, "-f", "/dev/null", "-p", str(self.where / "libvirtd.pid")]
            self.uri = f"qemu+unix:///session?socket={self.where}/runtime_dir/libvirt/libvirt-sock"
        self.log = (self.where / "libvirtd.log").open("wb")
        # Tests that are killed leave none behind.
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *words], stdin=subprocess.DEVNULL,
            stdout=self.log, stderr=self.log, env=environment, start_new_session=True,
        )  # fmt: skip
        try:
            self._wait()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def _wait(self) -> None:
        end = time.monotonic() + BOUND
        while True:
            assert self.process.poll() is None, self.words()
            done = subprocess.run(
                ["virsh", "-c", self.uri, "list"], capture_output=True, timeout=BOUND, check=False
            )
            if done.returncode == 0:
                return
            assert time.monotonic() < end, self.words() + done.stderr.decode()
            time.sleep(0.1)

    def words(self) -> str:
        """Return what the daemon said."""
        return (self.where / "libvirtd.log").read_text("utf-8", "replace")

    def virsh(self, *words: str) -> str:
        """Run virsh; return its output.

        Raises:
            Refused: it failed.
        """
        done = subprocess.run(
            ["virsh", "-q", "-c", self.uri, *words], capture_output=True, timeout=BOUND, check=False
        )
        said = done.stdout.decode("utf-8", "replace")
        if done.returncode:
            raise Refused(f"virsh {' '.join(words)}: {said}{done.stderr.decode()}")
        return said

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End its VMs and itself."""
        if self.process.poll() is None:
            listed = subprocess.run(
                ["virsh", "-q", "-c", self.uri, "list", "--name"],
                capture_output=True, timeout=BOUND, check=False,
            )  # fmt: skip
            for name in listed.stdout.decode().split():
                subprocess.run(
                    ["virsh", "-q", "-c", self.uri, "destroy", name],
                    capture_output=True, timeout=BOUND, check=False,
                )  # fmt: skip
            # unshare ends all of its namespace when it dies itself.
            self.process.send_signal(signal.SIGKILL if os.geteuid() == 0 else signal.SIGTERM)
            self.process.wait(30)
        self.log.close()
        shutil.rmtree(self.where, ignore_errors=True)
