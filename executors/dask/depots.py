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
        self._doors: dict[str, Depot] = {}  # by Dask worker: the depot that it can read
        self._ajar: set[str] = set()  # Dask workers that are there, though their agents have ended
        self._unsure: dict[int, dict[Depot, int]] = {}  # by trial: jobs that were lost, and may have saved
        # Whether trials make checkpoints at all, as far as they have said:
        self._saves = True if home or stored else None
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
        self._doors[agent.address] = depot
        self._ajar.discard(agent.address)
        self.told(depot, {int(trial): job for trial, job in hello["holds"].items()})

    def told(self, depot: Depot, holds: Mapping[int, int]) -> None:
        """Take in what a host's depot holds: of which trials, and of which job."""
        self._saves = True if holds else self._saves
        for trial, job in holds.items():
            jobs = self._jobs.setdefault(trial, {})
            jobs[depot] = max(job, jobs.get(depot, -1))
        for unsure in self._unsure.values():
            unsure.pop(depot, None)

    @property
    def saves(self) -> bool:
        """Whether any trial has made a checkpoint."""
        return self._saves is True

    def left(self, agent: AgentState) -> None:
        """Take note that an agent has gone. Its depot stays, for an agent of the same host."""
        self._ajar.discard(agent.address)
        if agent.hello is not None:
            agents = self._agents.get(self._of(agent), [])
            if agent in agents:
                agents.remove(agent)

    def outlived(self, agent: AgentState) -> None:
        """Take note that an agent has gone, as its Dask worker says: that can read the depot by itself."""
        if agent.address in self._doors:
            self._ajar.add(agent.address)

    def closed(self, address: str) -> None:
        """Take note that a Dask worker has gone."""
        self._ajar.discard(address)

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
        self._saves = True
        self._jobs.setdefault(trial, {})[self._of(agent)] = job
        return self._vault

    def over(self, trial: int, job: int) -> None:
        """Take note that a job has ended as it should: what became of earlier ones is of no interest."""
        self._saves = bool(self._saves)
        unsure = self._unsure.get(trial, {})
        self._unsure[trial] = {depot: lost for depot, lost in unsure.items() if lost > job}

    def unsure(self, agent: AgentState, trial: int, job: int) -> None:
        """Take note that a job was lost, which may have made a checkpoint."""
        depot = self._of(agent)
        if depot != HOME:
            self._unsure.setdefault(trial, {})[depot] = job

    def doubts(self, trials: Iterable[int]) -> dict[Depot, str]:
        """Return the hosts that may have checkpoints of these trials, and the Dask workers that can look."""
        depots = {depot: job for trial in trials for depot, job in self._doubted(trial).items()}
        sources = [self._reach(depot, job) for depot, job in depots.items()]
        return {source.depot: str(source.address) for source in sources if source is not None}

    def _doubted(self, trial: int) -> dict[Depot, int]:
        """Return who may have a checkpoint of a trial that is newer than all that are known, of which job."""
        if self._saves is False:  # those that could say so have made none
            return {}
        newest = max(self._jobs.get(trial, {}).values(), default=-1)
        return {depot: job for depot, job in self._unsure.get(trial, {}).items() if job > newest}

    def brought(self, trial: int, job: int, depot: Depot) -> None:
        """Take note that a checkpoint has been copied to a depot."""
        self._jobs.setdefault(trial, {})[depot] = job

    def fetched(self, agent: AgentState, trial: int, job: int) -> None:
        """The same, of an agent's depot."""
        self.brought(trial, job, self._of(agent))

    def away(self, trials: Iterable[int]) -> tuple[list[tuple[int, Source]], dict[int, str]]:
        """Return what is to be brought home of these trials' checkpoints, for it is neither there nor stored.

        Returns
        -------
        away : list of (int, Source)
            Trials, and from where the newest checkpoint can be brought that can be reached.
        lost : dict of int to str
            The hosts of the newest one, where that cannot be reached now.
        """
        away, lost = [], {}
        for trial in trials:
            jobs, doubted = self._jobs.get(trial, {}), self._doubted(trial)
            safe, newest = self._safe(trial), max([*jobs.values(), *doubted.values()], default=-1)
            if newest <= safe:
                continue
            known = [source for depot, job in jobs.items() if (source := self._reach(depot, job)) is not None]
            best = max(known, key=lambda source: source.job, default=None)
            if best is not None and best.job > safe:
                away.append((trial, best))
            if best is None or best.job < newest:
                where = [depot for depot, job in (*jobs.items(), *doubted.items()) if job == newest]
                lost[trial] = ", ".join(sorted({self._hosts.get(depot, depot) for depot in where}))
        return away, lost

    def spent(self, address: str, trials: Iterable[int]) -> bool:
        """Whether a Dask worker's depot has nothing of these trials that is not at home or in the store."""
        depot = self._doors.get(address)
        if depot is None:
            return False  # what it has was never heard
        return all(
            depot not in self._doubted(trial)
            and self._jobs.get(trial, {}).get(depot, -1) <= self._safe(trial)
            for trial in trials
        )

    def _safe(self, trial: int) -> int:
        """Return the job of the newest checkpoint of a trial that no host can take with it."""
        jobs = self._jobs.get(trial, {})
        return max(jobs.get(HOME, -1), jobs.get(VAULT, -1))

    def drop(self, trial: int) -> tuple[list[AgentState], bool]:
        """Forget a trial; return agents that are to remove it, one a host, and whether the store has it."""
        depots = self._jobs.pop(trial, {})
        self._unsure.pop(trial, None)
        agents = [self._agents[depot][0] for depot in depots if depot != HOME and self._agents.get(depot)]
        return agents, VAULT in depots

    def _reach(self, depot: Depot, job: int) -> Source | None:
        if depot in (HOME, VAULT):
            return Source(depot, job)
        addresses = [agent.address for agent in self._agents.get(depot, ())]
        addresses += [address for address in sorted(self._ajar) if self._doors[address] == depot]
        return Source(depot, job, addresses[0]) if addresses else None

    def _of(self, agent: AgentState) -> Depot:
        hello = agent.hello
        assert hello is not None
        return HOME if hello["shared"] else str(hello["depot"])
