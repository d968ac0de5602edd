"""A seed for a cloud image, which has no password: cloud-init takes one from it (NoCloud).

The seed is a small ISO 9660 image labelled CIDATA, attached as a drive of its own.  What
cloud-init makes of it is written to the VM's own overlay, never to the image.  Its instance is a
new one in each run, so that cloud-init does its work also in an image that was booted before.
"""

from __future__ import annotations

import io
import json
import re
import secrets
from dataclasses import dataclass, field

from vmserial.errors import LostVMError, ShellError, UsageError
from vmserial.guests.login import USER_NAME, Login
from vmserial.guests.shell import Shell

LABEL = "CIDATA"
"""The volume's name by which cloud-init's NoCloud finds it, on a drive of any kind."""

FILES = ("user-data", "meta-data", "network-config")
"""What NoCloud reads of it."""

_DONE = "/run/cloud-init/result.json"
"""Written when the last stage has ended (cloud-init 0.7.5 and later)."""

_WAIT = (
    'vs_n=0; while [ -d /run/cloud-init ] && [ ! -e {done} ] && [ "$vs_n" -lt {most} ]; '
    "do sleep 1; vs_n=$((vs_n + 1)); done; [ -e {done} ] && echo done; :"
)


@dataclass(frozen=True, slots=True)
class Seed:
    """What cloud-init is told.

    Attributes:
        login: the user and the password that it gets.
        instance: of which cloud-init keeps what it has done; random if not given.
    """

    login: Login
    instance: str = field(default_factory=lambda: f"vmserial-{secrets.token_hex(8)}")

    def user_data(self) -> str:
        """Return the configuration; JSON is YAML as well.

        ``users`` is in all versions of cloud-init, and done before a login prompt is there:
        ``chpasswd`` came later, and is done later.
        """
        user = {
            "name": self.login.user,
            "lock_passwd": False,
            "plain_text_passwd": self.login.password,
        }
        config = {
            # Without "default": the image's own user is not needed.
            "users": [user],
            # What an emulated processor would be long at, and what has no part in the proof.
            "growpart": {"mode": "off"},
            "resize_rootfs": False,
            "ssh_genkeytypes": ["ed25519"],
            # The console is a port under test: nothing is written there.
            "output": {"all": ">> /var/log/cloud-init-output.log"},
            "ssh": {"emit_keys_to_console": False},
            "no_ssh_fingerprints": True,
        }
        return f"#cloud-config\n{json.dumps(config, indent=1)}\n"

    def meta_data(self) -> str:
        """Return whose configuration it is; the host's name stays as it is in the image."""
        return f"{json.dumps({'instance-id': self.instance})}\n"

    def network_config(self) -> str:
        """Return that there is no network, so that nothing is waited for."""
        return f"{json.dumps({'version': 2, 'ethernets': {}})}\n"

    def image(self) -> bytes:
        """Return it as the content of a drive."""
        from pycdlib import PyCdlib  # no other verb needs it

        iso, made = PyCdlib(), io.BytesIO()
        # Linux reads the long names of Rock Ridge; Joliet is for whoever looks at it elsewhere.
        iso.new(interchange_level=3, vol_ident=LABEL, joliet=3, rock_ridge="1.09")
        texts = (self.user_data(), self.meta_data(), self.network_config())
        for name, text in zip(FILES, texts, strict=True):
            data = text.encode()
            short = re.sub(r"[^A-Z]", "", name.upper())
            iso.add_fp(
                io.BytesIO(data), len(data), f"/{short}.;1", rr_name=name, joliet_path=f"/{name}"
            )
        iso.write_fp(made)
        iso.close()
        return made.getvalue()


def login(text: str) -> Login:
    """Return who logs in by a seed: the user named, with a password that is used once.

    Args:
        text: the user's name; empty: root, who may open every port.

    Raises:
        UsageError: it is no user's name.
    """
    user, colon, _ = text.partition(":")
    if colon:
        raise UsageError(
            f"--cloud-init gives {user} a password of its own, and --login names a file of another",
            hint=f"write --login {user or 'root'} --cloud-init, or leave --cloud-init out",
            where="--login",
        )
    if text and not re.fullmatch(USER_NAME, text):
        raise UsageError(
            f"{text!r} is no user's name", hint="write --login root --cloud-init", where="--login"
        )
    return Login(text or "root", secrets.token_hex(12), seeded=True)


async def settled(shell: Shell, bound: float) -> bool:
    """Wait until cloud-init has ended; tell whether it has, within ``bound`` seconds.

    Until then it works beside the tests, and its services start.

    Raises:
        LostVMError: the guest does not answer.
    """
    # A busy host makes the guest's seconds longer than ours.
    look = _WAIT.format(done=_DONE, most=max(int(bound), 1))
    try:
        return "done" in await shell.run(look, bound * 3)
    except ShellError:
        return False


def not_taken(error: LostVMError, user: str, seconds: float) -> LostVMError:
    """Return the error of a guest that refuses the seed's password for so long; pure."""
    return LostVMError(
        f"no cloud-init of the guest took the seed within {seconds:g} s of the first prompt: "
        f"{error.message}",
        hint="is cloud-init installed and enabled in the image, with NoCloud among its "
        f"datasource_list? If {user} has a password, give it: --login {user}:FILE",
    )
