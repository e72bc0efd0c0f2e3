"""Where each trial's newest checkpoint is, and which copies are to be made. No input or output."""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

__all__ = ["Checkpoints", "Copy", "Get", "Put"]

AT_ONCE: Final = 2  # copies from a host at the same time
TRIES: Final = 3  # of a copy that fails,
PATIENCE: Final = 30  # or fails since a host cannot be reached, though its agent answers
FOLDER: Final = ""  # the place that is the study's folder,
URL: Final = "url"  # and the one that is the store behind a URL; others are folders of hosts


@dataclass(frozen=True, slots=True)
class Get:
    """A trial's checkpoint is to be copied from a host into the study's folder, and installed there.

    Attributes
    ----------
    agent : str
        One of the host. It may have ended; the host may still be reached.
    trial, job : int
        Whose checkpoint it is, and which job made it.
    folder : str
        Its folder on the host.
    files : str or None
        The folder of the trial's own files there; None if there is none.
    """

    agent: str
    trial: int
    job: int
    folder: str
    files: str | None


@dataclass(frozen=True, slots=True)
class Put:
    """A trial's checkpoint is to be copied from the study's folder to a host that needs it.

    Attributes
    ----------
    agent : str
        The one that is going to run the trial.
    trial, job : int
        Whose checkpoint it is, and the job that waits for it.
    target : str
        A new folder there. It gets the newest checkpoint as ``checkpoint`` and the trial's own files, if
        there are any, as ``files``.
    """

    agent: str
    trial: int
    job: int
    target: str


Copy: TypeAlias = Get | Put
Source: TypeAlias = Literal["own", "wait", "put"] | int


@dataclass(frozen=True, slots=True)
class _Kept:
    """A checkpoint in some place: the job that made it, and on a host its folders."""

    job: int
    folder: str = ""
    files: str | None = None


@dataclass(slots=True)
class _Host:
    """A folder of a host, for agents that do not see the study's."""

    name: str
    agents: list[str] = field(default_factory=list)  # those that are there
    last: str = ""
    reached: bool = True  # whether the last copy from there did not fail for want of a connection
    trials: set[int] = field(default_factory=set)  # that have a checkpoint there
    queue: deque[int] = field(default_factory=deque)  # trials that are to be copied from there
    copies: int = 0


class Checkpoints:
    """Knows where checkpoints are, and says what is to be copied.

    A trial either runs, or is copied: `Fleet` says which trials run, and does not start one that `moves`.

    Parameters
    ----------
    url : bool
        Whether agents bring checkpoints to a store behind a URL, and get them from there.
    in_folder, stored : mapping of int to int
        The trials whose checkpoints are in the study's folder and in that store, and the job that made each.

    Attributes
    ----------
    url : bool
        As given.
    saves : bool
        Whether any trial has made a checkpoint.
    notes : list of str
        Warnings for people, to be emptied by who says them.
    """

    def __init__(self, url: bool, in_folder: Mapping[int, int], stored: Mapping[int, int]) -> None:
        self.url, self.saves = url, bool(in_folder or stored)
        self.notes: list[str] = []
        self._kept: dict[int, dict[str, _Kept]] = {}  # by trial and place
        self._hosts: dict[str, _Host] = {}
        self._places: dict[str, str] = {}  # of agents
        self._moving: set[int] = set()  # trials that are copied, and must not change
        self._uploads: dict[str, set[int]] = {}  # of these, those that an agent brings to the store
        self._tries: dict[int, int] = {}
        self._pruned: set[int] = set()
        self._queued: set[str] = set()  # hosts with queues
        for place, jobs in ((FOLDER, in_folder), (URL, stored)):
            for trial, job in jobs.items():
                self._kept.setdefault(trial, {})[place] = _Kept(job)

    # Hosts

    def join(self, agent: str, host: str, hello: Mapping[str, Any]) -> list[int]:
        """Take in an agent and what its folder holds; return trials there that are of no more use."""
        place = self._places[agent] = FOLDER if hello["shared"] else f"host {hello['store']}"
        if place == FOLDER:
            return []
        there = self._hosts.setdefault(place, _Host(host))
        if not there.agents:  # what it says is all that there is
            for trial in there.trials:
                self._kept.get(trial, {}).pop(place, None)
            there.trials.clear()
        there.name, there.last = host, agent
        there.agents.append(agent)
        useless = []
        for key, held in hello["holds"].items():
            trial = int(key)
            if trial in self._pruned:
                useless.append(trial)
                continue
            kept = _Kept(int(held["job"]), str(held["folder"]), held["files"])
            if kept.job > self._job(trial, place):
                self._keep(trial, place, kept)
            self.saves = True
        there.reached = False
        self.answers(agent)
        return useless

    def answers(self, agent: str) -> None:
        """Take note that a host can be reached: what could not be copied from there is tried again."""
        there = self._hosts.get(self._places[agent])
        if there is not None and not there.reached:
            there.reached = True
            there.queue.extend(trial for trial in there.trials if self._wanted(trial, self._places[agent]))
            self._queued.add(self._places[agent])

    def leave(self, agent: str) -> None:
        """Take note that an agent is gone. Its host may still be reached."""
        there = self._hosts.get(self._places.get(agent, FOLDER))
        if there is not None and agent in there.agents:
            there.agents.remove(agent)
        for trial in self._uploads.pop(agent, ()):
            self._moving.discard(trial)
            self.want(trial)

    def busy(self, agent: str) -> bool:
        """Whether checkpoints are still to be copied from an agent's host."""
        there = self._hosts.get(self._places.get(agent, FOLDER))
        return there is not None and bool(there.copies or there.queue or self._uploads.get(agent))

    # Trials

    def moves(self, trial: int) -> bool:
        """Whether a trial's checkpoint is on its way, and its files must not change."""
        return trial in self._moving

    def ended(self, agent: str, trial: int, body: Mapping[str, Any], useful: bool) -> None:
        """Take note of the checkpoint that a trial has when its job ends, if it has one.

        It is brought to the store behind the URL by its agent, or copied into the study's folder.

        Parameters
        ----------
        agent : str
            That ran it.
        trial : int
            Which one.
        body : mapping
            The message ``ended``.
        useful : bool
            Whether the trial may go on, or the checkpoint be asked for.
        """
        saved, place = body["saved"], self._places[agent]
        if trial in self._pruned:
            return
        if saved is None:
            self._kept.get(trial, {}).pop(place, None)
            return
        self.saves = True
        self._keep(trial, place, _Kept(saved, body["folder"] or "", body["files"]))
        if self.url and useful and saved > self._job(trial, URL):
            self._moving.add(trial)
            self._uploads.setdefault(agent, set()).add(trial)
        elif useful:
            self.want(trial)

    def stored(self, agent: str, trial: int, job: int, problem: str | None) -> bool:
        """A checkpoint is in the store, or cannot be; return whether it is of no use there."""
        if trial in self._uploads.get(agent, ()):
            self._uploads[agent].remove(trial)
            self._moving.discard(trial)
        if trial in self._pruned:
            return problem is None
        if problem is None:
            self._keep(trial, URL, _Kept(max(job, self._job(trial, URL))))
        else:
            self.notes.append(f"trial {trial} has no new checkpoint in the store: {problem}")
            self.want(trial)
        return False

    def want(self, trial: int) -> None:
        """Have a trial's newest checkpoint copied into the study's folder, if only a host has it."""
        for place in self._kept.get(trial, {}):
            if place in self._hosts and self._wanted(trial, place) and trial not in self._hosts[place].queue:
                self._hosts[place].queue.append(trial)
                self._queued.add(place)

    def gets(self, running: Container[int]) -> list[Get]:
        """Return the copies from hosts that are to begin now: of trials that do not run, a few from each."""
        begun: list[Get] = []
        for place in list(self._queued):
            there = self._hosts[place]
            while there.queue and there.reached and there.copies < AT_ONCE:
                trial = there.queue.popleft()
                if trial in running or trial in self._moving or not self._wanted(trial, place):
                    continue
                kept = self._kept[trial][place]
                self._moving.add(trial)
                there.copies += 1
                agent = there.agents[-1] if there.agents else there.last
                begun.append(Get(agent, trial, kept.job, kept.folder, kept.files))
            if not there.queue or not there.reached:
                there.queue.clear()
                self._queued.discard(place)
        return begun

    def got(self, copy: Get, problem: str | None, away: bool) -> None:
        """A copy from a host is done, or cannot be; with `away` since the host cannot be reached."""
        place = self._places[copy.agent]
        there = self._hosts[place]
        there.copies -= 1
        self._moving.discard(copy.trial)
        if copy.trial in self._pruned:
            return
        if problem is None:
            self._tries.pop(copy.trial, None)
            self._keep(copy.trial, FOLDER, _Kept(copy.job))
        elif away and not there.agents:
            there.reached = False
        else:
            there.reached = not away
            tries = self._tries[copy.trial] = self._tries.get(copy.trial, 0) + 1
            if tries >= (PATIENCE if away else TRIES) and self._job(copy.trial, place) == copy.job:
                del self._tries[copy.trial], self._kept[copy.trial][place]
                there.trials.discard(copy.trial)
                self.notes.append(
                    f"the checkpoint of trial {copy.trial} cannot be copied from {there.name}: {problem}"
                )
        self.want(copy.trial)

    def source(self, agent: str, trial: int) -> Source:
        """Return where an agent gets a trial's newest checkpoint that can be reached.

        Returns
        -------
        str or int
            ``"own"``: it has it, or there is none. ``"put"``: from the study's folder. ``"wait"``: from
            another host, by way of the study's folder, which `gets` sees to. A number: that job's, from the
            store behind the URL. If a newer one cannot be reached, a note says so.
        """
        kept, own = self._kept.get(trial, {}), self._places[agent]
        newest = max((one.job for one in kept.values()), default=-1)
        missed = ""
        order = sorted(kept.items(), key=lambda pair: (-pair[1].job, pair[0] != own, pair[0] in self._hosts))
        for place, one in order:
            if place in self._hosts and place != own:
                there = self._hosts[place]
                if there.reached:
                    self.want(trial)
                    return "wait"
                if there.agents:
                    return "wait"  # it is heard of again, or lost
                missed = missed or there.name
                continue
            if missed and one.job < newest:
                self.notes.append(
                    f"trial {trial} goes on from an earlier checkpoint: the newest is on {missed}, "
                    "which cannot be reached"
                )
            return "own" if place == own else "put" if place == FOLDER else one.job
        if missed:
            self.notes.append(
                f"trial {trial} starts anew: its checkpoint is on {missed}, which cannot be reached"
            )
        return "own"

    def pending(self, trials: Iterable[int]) -> set[int]:
        """Return the trials whose newest checkpoint is not safe yet, and have those copied that can be."""
        unsafe = set()
        for trial in trials:
            kept = self._kept.get(trial, {})
            if trial in self._moving or any(one.job > self._safe(trial) for one in kept.values()):
                unsafe.add(trial)
                self.want(trial)
        return unsafe

    def unreachable(self, trials: Iterable[int]) -> dict[int, str]:
        """Return the hosts of these trials' newest checkpoints, where they cannot be reached now."""
        found = {}
        for trial in trials:
            for place, one in self._kept.get(trial, {}).items():
                if place in self._hosts and not self._reached(place) and one.job > self._safe(trial):
                    found[trial] = self._hosts[place].name
        return found

    def prune(self, trial: int) -> tuple[list[str], bool]:
        """Forget a trial; return agents that are to remove it, one a host, and whether the store has it."""
        kept = self._kept.pop(trial, {})
        self._pruned.add(trial)
        hosts = [self._hosts[place] for place in kept if place in self._hosts]
        for there in hosts:
            there.trials.discard(trial)
        return [there.agents[-1] for there in hosts if there.agents], URL in kept

    # How it is done

    def _keep(self, trial: int, place: str, kept: _Kept) -> None:
        self._kept.setdefault(trial, {})[place] = kept
        if place in self._hosts:
            self._hosts[place].trials.add(trial)

    def _job(self, trial: int, place: str) -> int:
        kept = self._kept.get(trial, {}).get(place)
        return -1 if kept is None else kept.job

    def _safe(self, trial: int) -> int:
        """Return the job of the newest checkpoint of a trial that no host can take with it."""
        return max(self._job(trial, FOLDER), self._job(trial, URL))

    def _wanted(self, trial: int, place: str) -> bool:
        """Whether only hosts have a checkpoint of a trial, and of those in reach this the newest."""
        own = self._job(trial, place)
        others = (one.job for at, one in self._kept.get(trial, {}).items() if self._reached(at))
        return own > self._safe(trial) and own >= max(others, default=-1)

    def _reached(self, place: str) -> bool:
        there = self._hosts.get(place)
        return there is not None and there.reached
