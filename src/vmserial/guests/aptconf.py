"""What a private apt is configured with: a text that names every place it may read or write."""

from __future__ import annotations

import os
from pathlib import Path

from vmserial.paths import write_atomic

__all__ = ["write"]


def write(base: Path, arch: str, sources: str, *, check_valid_until: bool) -> Path:
    """Make the directories of a private apt, and write what it is configured with.

    Args:
        base: the directory that is all its own.
        arch: Debian's name of the architecture.
        sources: the lines of its ``sources.list``.
        check_valid_until: refuse a Release file past its Valid-Until.

    Returns:
        The configuration, for apt's ``-c``.
    """
    for name in ("state/lists/partial", "archives/partial", "dpkg", "none"):
        (base / name).mkdir(parents=True, exist_ok=True)
    status = base / "dpkg" / "status"
    if not status.exists():
        write_atomic(status, b"")
    write_atomic(base / "sources.list", sources)
    config = base / "apt.conf"
    write_atomic(config, _text(base, arch, check_valid_until=check_valid_until))
    return config


def _text(base: Path, arch: str, *, check_valid_until: bool) -> str:
    # Given with -c it is read last, so it also undoes what the host's apt.conf.d sets:
    # container images empty /var/cache/apt in a hook and switch apt's own cache off.
    return f"""\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
#clear DPkg::Pre-Install-Pkgs;
#clear APT::Architectures;
#clear APT::Default-Release;
APT::Architecture "{arch}";
APT::Architectures {{ "{arch}"; }};
APT::Install-Recommends "false";
APT::Install-Suggests "false";
APT::Sandbox::User "{_user_name()}";
APT::Update::Error-Mode "any";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::Check-Valid-Until "{str(check_valid_until).lower()}";
Acquire::Languages "none";
Acquire::PDiffs "false";
Acquire::Retries "2";
Acquire::http::Timeout "30";
Acquire::https::Timeout "30";
Dir::State "{base}/state";
Dir::State::status "{base}/dpkg/status";
Dir::State::extended_states "{base}/state/extended_states";
Dir::Cache "{base}";
Dir::Cache::archives "{base}/archives";
Dir::Cache::pkgcache "{base}/pkgcache.bin";
Dir::Cache::srcpkgcache "{base}/srcpkgcache.bin";
Dir::Log "{base}";
Dir::Etc::sourcelist "{base}/sources.list";
Dir::Etc::sourceparts "{base}/none";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "{base}/none";
Dir::Etc::trusted "/dev/null";
Dir::Etc::trustedparts "{base}/none";
"""


def _user_name() -> str:
    """Return the user that apt's fetchers run as: us, who own the cache directory."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return ""  # a uid without a name: apt is not root then and does not switch
