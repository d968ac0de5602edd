"""A socket's path that is too long gets one that the system takes, as near as there is one."""

from __future__ import annotations

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
