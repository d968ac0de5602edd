"""Sockets of ports: a path that the system takes, and one for a port that has none yet."""

from __future__ import annotations

import pytest
from test_judge_findings import judge_text

from vmserial.context.sockets import shorter
from vmserial.limits import SUN_PATH_MAX

NAME = len("/serial1-12345678")


def test_the_longest_path_that_fits_is_given() -> None:
    directory = "/".ljust(SUN_PATH_MAX - NAME, "d")
    found = shorter(f"{directory}/{'x' * 99}", "serial1")
    assert found.rpartition("/")[0] == directory
    assert len(found) == SUN_PATH_MAX


def test_one_byte_more_and_it_stands_in_the_directory_above() -> None:
    directory = "/run/".ljust(SUN_PATH_MAX - NAME + 1, "d")
    found = shorter(f"{directory}/{'x' * 99}", "serial1")
    assert found.rpartition("/")[0] == "/run"


@pytest.mark.parametrize(
    ("others", "made"),
    [
        # A monitor's socket is no pattern for a port's, another port's is.
        ("-chardev socket,id=mon,path=/run/vm/mon,server=on,wait=off -mon chardev=mon",
         "-chardev pty,id=serial0 "),
        ("-chardev socket,id=serial1,path=/run/vm/serial1,server=on,wait=off "
         "-device isa-serial,chardev=serial1,index=1",
         "-chardev socket,id=serial0,path=/run/vm/serial0,server=on,wait=off "),
    ],
)  # fmt: skip
def test_a_port_without_a_chardev_gets_one_like_another_ports(others: str, made: str) -> None:
    text = (
        f"qemu-system-x86_64 -M q35 -nodefaults -display none {others} "
        "-device isa-serial,chardev=serial0,index=0\n"
    )
    assert made in judge_text(text).command.text()
