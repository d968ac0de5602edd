"""A picture of a plan: which port is where on which bus, and what the guest shows for it.

Two pictures: up to :data:`WIDE` ports are drawn a line each, from the host's
backend over chardev, device and controller to the root bus and the guest's
node; more are drawn as a card a controller, with a line a port.  This module
only says what stands where; the template draws it.  Units are SVG user units,
one to a CSS pixel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vmserial import chardevs
from vmserial.model import Assignment, Plan
from vmserial.options import Option, scalar_text
from vmserial.verify.results import Verdict

WIDE = 24
"""Ports that are drawn a line each; more become cards."""

KEEP = 6
"""Characters under which a shortened word says nothing any more."""

ROW = 34
CHARACTER = 6.7
"""Width of a character of the picture's 11-unit monospaced type."""


@dataclass(frozen=True, slots=True)
class Text:
    """A line of text; ``style`` is a CSS class, ``anchor`` as in SVG."""

    x: float
    y: float
    text: str
    style: str = ""
    anchor: str = "start"
    turn: bool = False


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle."""

    x: float
    y: float
    width: float
    height: float
    style: str = ""
    title: str = ""


@dataclass(frozen=True, slots=True)
class Line:
    """A line."""

    x1: float
    y1: float
    x2: float
    y2: float
    style: str = ""


@dataclass(slots=True)
class Picture:
    """What stands where, in the order in which it is drawn."""

    title: str
    width: float = 0
    height: float = 0
    panels: list[Box] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    boxes: list[Box] = field(default_factory=list)
    texts: list[Text] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Group:
    """The ports of one bus.

    ``controller`` is the driver and id of what offers it, empty for a bus of
    the machine itself; ``place`` is where that sits on the root bus.
    """

    bus: str
    controller: tuple[str, str] | None
    place: str
    ports: list[Assignment]


def _controllers(plan: Plan) -> dict[str, Option]:
    """Return the options of all devices that offer a bus, by id."""
    found: dict[str, Option] = {}
    for option in plan.options:
        if option.flag == "-device":
            for key, value in option.params:
                if key == "id":
                    found[scalar_text(value)] = option
    return found


def _groups(plan: Plan) -> list[_Group]:
    """Return the ports by bus, in the order of their first port."""
    controllers = _controllers(plan)
    groups: dict[str, _Group] = {}
    for assignment in plan.assignments:
        bus = assignment.bus
        if bus not in groups:
            option = controllers.get(bus) or controllers.get(bus.rpartition(".")[0])
            if option is None:
                groups[bus] = _Group(bus, None, "", [])
            else:
                params = dict(option.params)
                groups[bus] = _Group(
                    bus,
                    (option.head, scalar_text(params["id"])),
                    f"{scalar_text(params.get('bus', ''))} {scalar_text(params.get('addr', ''))}",
                    [],
                )
        groups[bus].ports.append(assignment)
    return list(groups.values())


def _board(plan: Plan) -> str:
    """Return the machine type that was planned for."""
    return next(
        (option.head for option in plan.options if option.flag == "-machine" and option.head),
        plan.machine.machine_type or plan.machine.arch,
    )


def shorten(text: str, size: int) -> str:
    """Return ``text`` in ``size`` characters at most: its middle left out, or its head if short."""
    if len(text) <= size:
        return text
    head = (size - 1) // 3 if size >= 2 * KEEP else 0
    return f"{text[:head]}…{text[len(text) - (size - 1 - head) :]}"


MARKS = {
    Verdict.PASS: "✓",
    Verdict.FAIL: "✗",
    Verdict.LOST: "?",
    Verdict.CANNOT: "⊘",
    Verdict.SKIPPED: "○",
}
"""Verdicts are told by a sign and a colour, never by a colour alone."""


@dataclass(frozen=True, slots=True)
class _Node:
    """What the guest shows for a port, and what is said about it."""

    real: str
    expected: str
    known_as: str
    style: str
    mark: str
    word: str


def _node(
    assignment: Assignment, nodes: Mapping[str, str], verdicts: Mapping[str, Verdict]
) -> _Node:
    name = assignment.port.name
    verdict = verdicts.get(name)
    return _Node(
        real=nodes.get(name, ""),
        expected=assignment.node,
        known_as=str(assignment.identity),
        style=str(verdict) if verdict else "none",
        mark=MARKS[verdict] if verdict else "",
        word=str(verdict) if verdict else "not checked",
    )


def draw(
    plan: Plan, nodes: Mapping[str, str], verdicts: Mapping[str, Verdict], title: str = ""
) -> Picture:
    """Return the picture of ``plan``.

    Args:
        plan: what to draw.
        nodes: the guest's real nodes by the ports' names.
        verdicts: of all checks of a port together, by the ports' names.
        title: what the VM is called.
    """
    picture = Picture(
        f"{title or plan.machine.name}: {len(plan.assignments)} serial ports, from the host's "
        "backends over QEMU's devices and buses to the guest's nodes"
    )
    if len(plan.assignments) <= WIDE:
        _draw_lines(picture, plan, nodes, verdicts)
    else:
        _draw_cards(picture, plan, nodes, verdicts)
    return picture


# ------------------------------------------------------------------ a line a port

_HOST, _HOST_WIDTH = 12, 204
_DEVICE, _DEVICE_WIDTH = 258, 226
_CONTROLLER, _CONTROLLER_WIDTH = 538, 174
_ROOT, _ROOT_WIDTH = 788, 34
_NODE, _NODE_WIDTH = 866, 222
_HEAD = 74
_SPACE = 14


def _draw_lines(
    picture: Picture, plan: Plan, nodes: Mapping[str, str], verdicts: Mapping[str, Verdict]
) -> None:
    groups = _groups(plan)
    rows = sum(len(group.ports) for group in groups)
    bottom = _HEAD + rows * ROW + (len(groups) - 1) * _SPACE if groups else _HEAD
    picture.width, picture.height = 1100, bottom + 22
    panels = (
        (_HOST - 8, _HOST_WIDTH + 16, "host: backends"),
        (_DEVICE - 16, _ROOT + _ROOT_WIDTH - _DEVICE + 32,
         f"QEMU {plan.qemu.version_text}: {plan.machine.arch} {_board(plan)}"),
        (_NODE - 16, _NODE_WIDTH + 24, f"guest: {shorten(plan.guest.name, 26)}"),
    )  # fmt: skip
    for x, size, text in panels:
        picture.panels.append(Box(x, 8, size, bottom, "panel"))
        picture.texts.append(Text(x + 12, 29, text, "head"))
    for x, text in (
        (_HOST + 8, "chardev"),
        (_DEVICE, "device"),
        (_CONTROLLER, "controller"),
        (_NODE, "node (slanted: not seen), identity"),
    ):
        picture.texts.append(Text(x, 50, text, "column"))
    y = float(_HEAD)
    picture.boxes.append(Box(_ROOT, _HEAD - 10, _ROOT_WIDTH, bottom - _HEAD + 8, "bus"))
    board = _board(plan)
    # Written upwards in the bar, which one port's row is too short for.
    if rows * ROW > len(board) * CHARACTER:
        across, middle = _ROOT + _ROOT_WIDTH / 2, (_HEAD + bottom) / 2 - 6
        picture.texts.append(Text(across, middle, board, "bus-name", "middle", True))
    for group in groups:
        height = len(group.ports) * ROW
        _controller(picture, group, y, height)
        for assignment in group.ports:
            _port_line(picture, group, assignment, y, _node(assignment, nodes, verdicts))
            y += ROW
        y += _SPACE


def _controller(picture: Picture, group: _Group, y: float, height: float) -> None:
    """Draw the controller of a group, and its line to the root bus."""
    middle = y + (height - 8) / 2
    if group.controller is None:
        return
    driver, name = group.controller
    picture.boxes.append(
        Box(_CONTROLLER, y - 2, _CONTROLLER_WIDTH, height - 4, "controller",
            f"{driver} {name} on {group.place}")
    )  # fmt: skip
    columns = int((_CONTROLLER_WIDTH - 20) / CHARACTER)
    x = _CONTROLLER + 9
    if len(group.ports) > 1:
        picture.texts.append(Text(x, middle - 6, shorten(name, columns), "name"))
        picture.texts.append(Text(x, middle + 9, shorten(driver, columns), "driver"))
        picture.texts.append(Text(x, middle + 24, f"{len(group.ports)} ports", "driver"))
    else:
        picture.texts.append(Text(x, middle + 4, shorten(name, columns), "name"))
        left = columns - len(name) - 1
        if left >= KEEP:
            after = x + (len(name) + 1) * CHARACTER
            picture.texts.append(Text(after, middle + 4, shorten(driver, left), "driver"))
    right = _CONTROLLER + _CONTROLLER_WIDTH
    picture.lines.append(Line(right, middle, _ROOT, middle, "wire"))
    place = shorten(group.place, 12)
    picture.texts.append(Text((right + _ROOT) / 2, middle - 5, place, "address", "middle"))


def _port_line(
    picture: Picture, group: _Group, assignment: Assignment, y: float, node: _Node
) -> None:
    """Draw one port from the host to the guest."""
    name, height = assignment.port.name, ROW - 8
    middle = y + height / 2
    backend = chardevs.text(assignment.port.chardev)
    columns = int((_HOST_WIDTH - 16) / CHARACTER)
    picture.boxes.append(Box(_HOST, y, _HOST_WIDTH, height, "host", f"{name}: {backend}"))
    picture.texts.append(Text(_HOST + 8, middle + 4, name, "name"))
    used = len(name) + 2
    picture.texts.append(
        Text(_HOST + 8 + used * CHARACTER, middle + 4, shorten(backend, columns - used), "driver")
    )
    picture.lines.append(Line(_HOST + _HOST_WIDTH, middle, _DEVICE, middle, "wire"))
    device = assignment.device
    driver = device.driver if device else "on-board UART"
    identifier = device.id if device else ""
    absent = assignment.port.state != "plugged"
    picture.boxes.append(
        Box(_DEVICE, y, _DEVICE_WIDTH, height, "device absent" if absent else "device",
            f"{driver} {identifier}: {assignment.reason}")
    )  # fmt: skip
    columns = int((_DEVICE_WIDTH - 16) / CHARACTER)
    words = f"{driver} {identifier}".strip()
    picture.texts.append(Text(_DEVICE + 8, middle + 4, shorten(words, columns), "name"))
    right = _DEVICE + _DEVICE_WIDTH
    target = _CONTROLLER if group.controller else _ROOT
    picture.lines.append(Line(right, middle, target, middle, "wire dashed" if absent else "wire"))
    label = assignment.address if group.controller else f"{assignment.bus} {assignment.address}"
    picture.texts.append(Text((right + target) / 2, middle - 4, label, "address", "middle"))
    _node_box(picture, node, name, y, height)


def _node_box(picture: Picture, node: _Node, name: str, y: float, height: float) -> None:
    middle = y + height / 2
    picture.lines.append(Line(_ROOT + _ROOT_WIDTH, middle, _NODE, middle, "wire"))
    story = f"{name}: {node.word}; expected {node.expected}, known as {node.known_as}"
    if node.real:
        story += f", found as {node.real}"
    picture.boxes.append(Box(_NODE, y, _NODE_WIDTH, height, f"node {node.style}", story))
    columns = int((_NODE_WIDTH - 34) / CHARACTER)
    shown = (node.real or node.expected).removeprefix("/dev/").removeprefix("virtio-ports/")
    shown = shorten(shown, columns - 8)
    picture.texts.append(
        Text(_NODE + 8, middle + 4, shown, "name" if node.real else "name expected")
    )
    rest = columns - len(shown) - 1
    # A virtio port's node is its name: nothing new to tell.
    if rest >= KEEP and not node.known_as.endswith(f":{shown}"):
        picture.texts.append(
            Text(_NODE + _NODE_WIDTH - 24, middle + 4, shorten(node.known_as, rest), "driver",
                 "end")
        )  # fmt: skip
    if node.mark:
        picture.texts.append(
            Text(_NODE + _NODE_WIDTH - 8, middle + 5, node.mark, f"mark {node.style}", "end")
        )


# ------------------------------------------------------------------ a card a controller

_CARD = 352
_CARD_ROW = 17
_CARD_HEAD = 46
_GUTTER = 16
_COLUMNS = 3


def _draw_cards(
    picture: Picture, plan: Plan, nodes: Mapping[str, str], verdicts: Mapping[str, Verdict]
) -> None:
    groups = _groups(plan)
    picture.width = 1100
    left = (picture.width - _COLUMNS * _CARD - (_COLUMNS - 1) * _GUTTER) / 2
    bus_y = 40.0
    picture.boxes.append(Box(left, bus_y - 30, picture.width - 2 * left, 26, "bus"))
    picture.texts.append(
        Text(left + 12, bus_y - 13,
             f"QEMU {plan.qemu.version_text}: {plan.machine.arch} {_board(plan)}; "
             f"guest {shorten(plan.guest.name, 40)}", "bus-name")
    )  # fmt: skip
    depth = [bus_y + 10] * _COLUMNS
    for group in groups:
        column = depth.index(min(depth))
        x, y = left + column * (_CARD + _GUTTER), depth[column]
        height = _CARD_HEAD + len(group.ports) * _CARD_ROW + 8
        picture.lines.append(Line(x + 20, bus_y - 4, x + 20, y, "wire"))
        _card(picture, group, x, y, height)
        for number, assignment in enumerate(group.ports):
            _card_row(
                picture,
                assignment,
                _node(assignment, nodes, verdicts),
                x,
                y + _CARD_HEAD + number * _CARD_ROW,
            )
        depth[column] = y + height + _GUTTER
    picture.height = max(depth)


def _card(picture: Picture, group: _Group, x: float, y: float, height: float) -> None:
    driver, name = group.controller or (group.bus, "on the machine itself")
    picture.boxes.append(Box(x, y, _CARD, height, "controller", f"{driver} {name} {group.place}"))
    columns = int((_CARD - 24) / CHARACTER)
    text = f"{len(group.ports)} ports" if len(group.ports) > 1 else "1 port"
    picture.texts.append(Text(x + _CARD - 12, y + 19, text, "driver", "end"))
    picture.texts.append(Text(x + 12, y + 19, shorten(name, columns - len(text) - 1), "name"))
    words = f"{driver} at {group.place}" if group.place.strip() else driver
    picture.texts.append(Text(x + 12, y + 35, shorten(words, columns), "driver"))


def _card_row(picture: Picture, assignment: Assignment, node: _Node, x: float, y: float) -> None:
    name = assignment.port.name
    backend = chardevs.text(assignment.port.chardev)
    story = (
        f"{name}: {backend}; {assignment.kind} at {assignment.bus} {assignment.address}; "
        f"expected {node.expected}, known as {node.known_as}; {node.word}"
    )
    if node.real:
        story += f", found as {node.real}"
    picture.boxes.append(Box(x + 8, y, _CARD - 16, _CARD_ROW - 2, f"row {node.style}", story))
    base = y + 11.5
    picture.texts.append(Text(x + 14, base, name, "name"))
    picture.texts.append(Text(x + 92, base, shorten(assignment.address, 13), "driver"))
    shown = (node.real or node.expected).removeprefix("/dev/").removeprefix("virtio-ports/")
    picture.texts.append(
        Text(x + 184, base, shorten(shown, 20), "name" if node.real else "name expected")
    )
    picture.texts.append(Text(x + _CARD - 14, base, node.mark, f"mark {node.style}", "end"))
