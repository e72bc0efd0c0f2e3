"""Where the checkpoints of trials are: in the study's folder, on hosts, in a store. No input or output."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from hbsim.executors.dask.agents import AgentState
from hbsim.runner.workers import Task

__all__ = ["HOME", "VAULT", "Depots", "Source"]

HOME: Final = "home"  # the study's folder
VAULT: Final = "vault"  # the store behind a URL

Depot: TypeAlias = str


@dataclass(frozen=True, slots=True)
class Source:
    """Where a checkpoint is to be fetched from.

    Attributes
    ----------
    depot : str
        `HOME`, `VAULT`, or a host's.
    job : int
        The job that made it.
    address : str or None
        The Dask worker that can read it there, of a host.
    """

    depot: Depot
    job: int
    address: str | None = None


class Depots:
    """Knows which depot holds which trial's checkpoint.

    A host's depot is the folder in which its agents keep their trials; agents that see the study's folder
    keep them there.

    Parameters
    ----------
    vault : bool
        Whether there is a store.
    home, stored : mapping of int to int
        The trials whose checkpoints are in the study's folder and in the store already, and of which job.
    """

    def __init__(self, vault: bool, home: Mapping[int, int], stored: Mapping[int, int]) -> None:
        self._vault = vault
        self._jobs: dict[int, dict[Depot, int]] = {}  # by trial: the job whose checkpoint a depot has
        self._agents: dict[Depot, list[AgentState]] = {}
        self._hosts: dict[Depot, str] = {}
        for depot, jobs in ((HOME, home), (VAULT, stored)):
            for trial, job in jobs.items():
                self._jobs.setdefault(trial, {})[depot] = job

    def met(self, agent: AgentState) -> None:
        """Take in an agent that has said hello, and what its depot holds."""
        hello = agent.hello
        assert hello is not None
        depot = self._of(agent)
        self._agents.setdefault(depot, []).append(agent)
        self._hosts[depot] = agent.host
        for trial, job in hello["holds"].items():
            jobs = self._jobs.setdefault(int(trial), {})
            jobs[depot] = max(job, jobs.get(depot, -1))

    def left(self, agent: AgentState) -> None:
        """Take note that an agent has gone. Its depot stays, for an agent of the same host."""
        if agent.hello is not None:
            agents = self._agents.get(self._of(agent), [])
            if agent in agents:
                agents.remove(agent)

    def holds(self, agent: AgentState, trial: int) -> bool:
        """Whether an agent's own depot has the newest checkpoint of a trial, or there is none."""
        jobs = self._jobs.get(trial)
        return not jobs or jobs.get(self._of(agent), -1) == max(jobs.values())

    def source(self, agent: AgentState, task: Task) -> Source | str | None:
        """Return from where an agent needs a trial's checkpoint.

        Returns
        -------
        Source, str or None
            None: it has it, or there is none. A text: what people are to be told, for the newest one cannot
            be reached, nor an earlier one.
        """
        jobs = self._jobs.get(task.trial)
        if not jobs:
            return None
        own, newest = jobs.get(self._of(agent), -1), max(jobs.values())
        if own == newest:
            return None
        reachable = [source for depot, job in jobs.items() if (source := self._reach(depot, job)) is not None]
        best = max(reachable, key=lambda source: source.job, default=None)
        if best is not None and best.job > own:
            return best
        if own >= 0:
            return None
        where = ", ".join(sorted(self._hosts.get(depot, depot) for depot in jobs))
        return f"trial {task.trial} starts anew: its checkpoint is on {where}, which is not there any more"

    def saved(self, agent: AgentState, trial: int, job: int) -> bool:
        """Take note that a job has made a checkpoint; return whether it is to be brought to the store."""
        self._jobs.setdefault(trial, {})[self._of(agent)] = job
        return self._vault

    def brought(self, trial: int, job: int, depot: Depot) -> None:
        """Take note that a checkpoint has been copied to a depot."""
        self._jobs.setdefault(trial, {})[depot] = job

    def fetched(self, agent: AgentState, trial: int, job: int) -> None:
        """The same, of an agent's depot."""
        self.brought(trial, job, self._of(agent))

    def away(self, trials: Iterable[int]) -> list[tuple[int, Source]]:
        """Return from where these trials' checkpoints can be brought home, of those that are not there."""
        found = []
        for trial in trials:
            jobs = self._jobs.get(trial, {})
            sources = [self._reach(depot, job) for depot, job in jobs.items() if depot not in (HOME, VAULT)]
            known = [source for source in sources if source is not None]
            best = max(known, key=lambda source: source.job, default=None)
            if best is not None and best.job > max(jobs.get(HOME, -1), jobs.get(VAULT, -1)):
                found.append((trial, best))
        return found

    def drop(self, trial: int) -> tuple[list[AgentState], bool]:
        """Forget a trial; return agents that are to remove it, one a host, and whether the store has it."""
        depots = self._jobs.pop(trial, {})
        agents = [self._agents[depot][0] for depot in depots if depot != HOME and self._agents.get(depot)]
        return agents, VAULT in depots

    def _reach(self, depot: Depot, job: int) -> Source | None:
        if depot in (HOME, VAULT):
            return Source(depot, job)
        agents = self._agents.get(depot)
        return Source(depot, job, agents[0].address) if agents else None

    def _of(self, agent: AgentState) -> Depot:
        hello = agent.hello
        assert hello is not None
        return HOME if hello["shared"] else str(hello["depot"])
