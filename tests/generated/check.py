"""Pushes one generated input through the product and holds the result against the plan.

The command line is read again by a reader of this file's own, written from
QEMU's documentation and not from :mod:`vmserial.options`, so that one mistake
cannot hide in both.
"""

from __future__ import annotations

import json
import random
import shlex
import time
from collections import Counter
from pathlib import Path

from generated import generator
from vmserial.errors import VmserialError
from vmserial.model import Capabilities, GuestProfile, Machine, Plan
from vmserial.options import pretty, render
from vmserial.planning import planner
from vmserial.qemu import binary
from vmserial.sources import pve
from vmserial.sources.overrides import Overrides, from_options

LONE = frozenset({"-nodefaults", "-no-user-config"})
VALUED = frozenset(
    "-name -machine -accel -cpu -smp -m -smbios -rtc -kernel -initrd -append -bios -drive -display "
    "-device -chardev -blockdev -netdev -object -serial -boot -global -uuid".split()
)
GUESTS = (
    GuestProfile("debian-12-arm64", "a table", kernel=(6, 1)),
    GuestProfile("roomy", "a table", nr_uarts=64, runtime_uarts=64, kernel=(6, 12)),
)


class Injected(AssertionError):
    """The command line holds something that the plan does not."""


def read_value(text: str) -> list[tuple[str, str]]:
    """Read one value letter by letter: a doubled comma is a comma, a lone one ends a part."""
    parts, current, index = [], "", 0
    while index < len(text):
        if text[index] == ",":
            if text[index + 1 : index + 2] == ",":
                current += ","
                index += 2
                continue
            parts.append(current)
            current = ""
        else:
            current += text[index]
        index += 1
    parts.append(current)
    result = []
    for part in parts:
        key, equals, value = part.partition("=")
        result.append((key, value) if equals else ("", part))
    return result


def hold(made: Plan) -> None:
    """Raise Injected unless the rendered words say exactly what the plan says."""
    words = render(made.options)
    own = [option for option in made.options if option.role != "args"]
    position = screens = 0
    devices: Counter[str] = Counter()
    chardevs: Counter[str] = Counter()
    for option in own:
        flag = words[position]
        position += 1
        if flag in LONE:
            continue
        if flag not in VALUED:
            raise Injected(f"{flag} is not a flag that a plan has")
        value = words[position]
        position += 1
        if option.raw is not None:
            if value != option.raw:
                raise Injected(f"{flag} {value!r} is not {option.raw!r}")
            continue
        wanted = [("", option.head)] if option.head else []
        for key, item in option.params:
            text = ("on" if item else "off") if isinstance(item, bool) else str(item)
            wanted.append((key, text))
        if read_value(value) != wanted:
            raise Injected(f"{flag} {value!r} says {read_value(value)}, planned {wanted}")
        identifiers = [item for key, item in read_value(value) if key == "id"]
        if flag == "-device":
            devices.update(identifiers)
            screens += ("name", "com.redhat.spice.0") in read_value(value)
        if flag == "-chardev":
            chardevs.update(identifiers)
    if tuple(words[position:]) != made.machine.args:
        raise Injected(f"args changed: {words[position:]} from {made.machine.args}")
    ports = [a for a in made.assignments if a.port.state != "absent"]
    agents = 1 if made.machine.agent is not None and chardevs["qga0"] else 0
    # The channel of a SPICE screen's agent is PVE's, and none of the ports.
    if chardevs["vdagent"] != screens:
        raise Injected(f"{chardevs['vdagent']} chardevs for {screens} screens")
    if sum(chardevs.values()) != len(ports) + agents + screens:
        raise Injected(f"{sum(chardevs.values())} chardevs for {len(ports)} ports")
    if any(count > 1 for ids in (devices, chardevs) for count in ids.values()):
        raise Injected("an id is given twice")
    if "\0" in "".join(words):
        raise Injected("a NUL byte reached the command line")
    text = pretty(["qemu", *words])
    if shlex.split(text.replace(" \\\n", " ")) != ["qemu", *words] and "\\\n" not in "".join(words):
        raise Injected("the pretty form is other words")


def one(text: str | None, options: dict[str, object], capabilities: dict[str, Capabilities],
        random_: random.Random) -> str:  # fmt: skip
    """Push one input through; return what became of it. Anything but VmserialError escapes."""
    try:
        machine: Machine
        if text is None:
            machine = from_options(Overrides(**options))  # type: ignore[arg-type]
        else:
            document = pve.Document.parse(text, "100.conf")
            if document.text() != text:
                raise Injected("the document is not lossless")
            machine = pve.machine(document, 100)
        binary = capabilities.get(machine.arch) or Capabilities((10, 0, 0), machine.arch)
        made = planner.plan(machine, binary, random_.choice(GUESTS))
        if made.options:
            hold(made)
        planner.require(made)
    except VmserialError as error:
        if not error.message:
            raise Injected("an error without words") from error
        return "refused"
    return "planned"


RECORDED = Path(__file__).parent.parent / "data" / "capabilities"
SLOWEST = 2.0
"""Seconds of processor time for one input; it takes two milliseconds, so this is a hang."""


def many(seeds: range) -> Counter[str]:
    """Push one input for each seed through; every third is a list of options.

    Raises:
        Injected: with the seed in its notes, as any other exception that escapes.
    """
    capabilities = {
        arch: binary.from_json(json.loads((RECORDED / f"qemu-7.2-{arch}.json").read_text()))
        for arch in ("aarch64", "x86_64")
    }
    done: Counter[str] = Counter()
    for seed in seeds:
        random_ = random.Random(seed)
        text = None if seed % 3 == 0 else generator.configuration(random_)
        options = generator.option_list(random_) if text is None else {}
        begin = time.process_time()
        try:
            done[one(text, options, capabilities, random_)] += 1
        except Exception as error:
            error.add_note(f"seed {seed}: {text!r} {options}")
            raise
        if time.process_time() - begin > SLOWEST:
            raise Injected(f"seed {seed} took longer than {SLOWEST} s: {text!r} {options}")
    return done
