"""The nodes that a guest has, kept from what it says of them: one comes, one goes, one is moved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from vmserial.guests.nodes import HvcSlots, Node, tty_node
from vmserial.limits import HVC_NODES
from vmserial.model import NodeIdentity


class NodeTable:
    """What the guest's events about its nodes come to; no I/O.

    Args:
        changed: called whenever a node came or went.

    Attributes:
        present: the nodes by identity.
        left: the guest's uptime when a node went, in seconds, by identity.
        unsure: consoles whose hvc the kernel's rule does not tell, by their ports' names.
        dead: ports of consoles that have no hvc of their own, by identity.
        hvc: which hvc belongs to which console.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._names: dict[str, Node] = {}
        self._terms: dict[str, int] = {}
        self._placed: dict[str, tuple[int, bool]] = {}
        self.present: dict[NodeIdentity, Node] = {}
        self.left: dict[NodeIdentity, float] = {}
        self.unsure: dict[str, Node] = {}
        self.dead: dict[NodeIdentity, str] = {}
        self.hvc = HvcSlots()

    def take(self, kind: str, rest: str) -> bool:
        """Take one event; tell whether it was one about nodes.

        Raises:
            ValueError: it is garbled.
        """
        fields = rest.split(" ")
        if kind == "n":
            if node := tty_node(rest):
                if node.identity.kind == "vio":
                    self.hvc.take(node.name, int(node.name.removeprefix("hvc")))
                self._appeared(node)
        elif kind == "v":
            self._virtio(rest)
        elif kind == "c" and len(fields) == 2 and fields[1].isdecimal():
            if fields[0] not in self.hvc:
                self._terms[fields[0]] = int(fields[1])
        elif kind == "g" and len(fields) == 2:
            self._vanished(fields[0], float(fields[1]))
        elif kind == "h" and len(fields) == 2 and fields[1].isdecimal():
            if fields[0] in self.unsure:
                self.hvc.correct(fields[0], int(fields[1]))
                self._console(self.unsure.pop(fields[0]), int(fields[1]))
        else:
            return False
        return True

    def bury(self, names: list[str]) -> None:
        """Take consoles that a probe did not find for dead: two were given one number."""
        for name in names:
            node = self.unsure.pop(name, None)
            if node is not None:
                self.dead[node.identity] = name

    def _appeared(self, node: Node) -> None:
        self._names[node.name] = node
        self.present[node.identity] = node
        self._changed()

    def _vanished(self, name: str, at: float) -> None:
        self.hvc.remove(name)
        self._placed.pop(name, None)
        self.unsure.pop(name, None)
        node = self._names.pop(name, None)
        if node is not None and self.present.get(node.identity) is node:
            del self.present[node.identity]
            self.left[node.identity] = at
            self._changed()

    def _virtio(self, rest: str) -> None:
        name, seen, label = (*rest.split(" ", 2), "", "")[:3]
        if self._terms:
            # A scan tells its consoles before its ports; they are placed together.
            self._placed |= self.hvc.add(self._terms)
            self._terms = {}
        if not label:
            return
        node = Node(NodeIdentity("virtio", label), f"/dev/{name}", name, float(seen))
        hvc, sure = self._placed.get(name, (-1, True))
        if not sure:
            self.unsure[name] = node
        elif hvc < 0:
            self._appeared(node)
        else:
            self._console(node, hvc)

    def _console(self, node: Node, hvc: int) -> None:
        # A console beyond the last hvc has no node at all.
        if hvc < HVC_NODES:
            self._appeared(replace(node, path=f"/dev/hvc{hvc}"))
