"""The agents of open ports: the processes in the guest that hold one each, and their orders."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from vmserial.errors import ShellError


@dataclass
class Agent:
    """One open port: the agent's number, its process, and where receiving began.

    ``jobs`` are the numbers of what is being sent and waited for.
    """

    id: int
    pid: int = 0
    mark: int = 0
    jobs: set[int] = field(default_factory=set)

    def order(self, what: str, *words: object) -> str:
        """Return the line that gives this agent an order."""
        return " ".join(map(str, ("vs_order", self.id, what, *words)))

    def end_jobs(self) -> list[int]:
        """Return the numbers of the jobs under way, which are to be ended now."""
        jobs = sorted(self.jobs)
        self.jobs.clear()
        return jobs


class Agents(dict[str, Agent]):
    """The agents by their ports' nodes; no number is given twice."""

    _made = 0

    def numbered(self, paths: Iterable[str]) -> dict[str, Agent]:
        """Return a new agent for each node; it is the caller's to add those that are started.

        Raises:
            ShellError: one has an agent already, or is named twice.
        """
        agents: dict[str, Agent] = {}
        for path in paths:
            if path in self or path in agents:
                raise ShellError(f"{path} is open already", hint="close it first")
            self._made += 1
            agents[path] = Agent(self._made)
        return agents

    def of(self, path: str) -> Agent:
        """Return the agent of a node.

        Raises:
            ShellError: it is not open.
        """
        if path not in self:
            raise ShellError(f"{path} is not open", hint="open it first")
        return self[path]
