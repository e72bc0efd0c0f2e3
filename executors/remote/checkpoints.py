"""The places of trials' checkpoints on hosts, and the copies to be made. No input or output."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

AT_ONCE: Final = 2  # simultaneous copies from a host
TRIES: Final = 10  # attempts of a copy that fails although an agent of its host answers
FOLDER: Final = ""  # the study's folder as a place,
URL: Final = "url"  # and the store behind a URL; other places are folders of hosts


@dataclass(frozen=True, slots=True)
class Get:
    """A copy of a trial's checkpoint from a host into the study's folder, where it is installed.

    Attributes
    ----------
    agent : str
        An agent of the host. It may have ended; the host may still be reachable.
    trial, job : int
        The trial, and the job that made the checkpoint.
    folder : str
        The checkpoint's folder on the host.
    best : str or None
        The folder of the checkpoint with the state of the trial's best report, if it is another one.
    files : str or None
        The folder of the trial's own files on the host; None if there is none.
    """

    agent: str
    trial: int
    job: int
    folder: str
    best: str | None
    files: str | None


@dataclass(frozen=True, slots=True)
class Put:
    """A copy of a trial's checkpoint from the study's folder to a host that needs it.

    Attributes
    ----------
    agent : str
        The agent that will run the trial.
    trial, job : int
        The trial, and the job that waits for the checkpoint.
    target : str
        A new folder on the host. It gets the newest checkpoint as ``checkpoint`` and the trial's own files,
        if there are any, as ``files``.
    """

    agent: str
    trial: int
    job: int
    target: str


Copy: TypeAlias = Get | Put
Source: TypeAlias = Literal["own", "wait", "put"] | int


@dataclass(frozen=True, slots=True)
class _Kept:
    """A checkpoint in a place: the job that made it, and its folders if it is on a host."""

    job: int
    folder: str = ""
    best: str | None = None
    files: str | None = None


@dataclass(slots=True)
class _Host:
    """A folder on a host, for agents that do not see the study's folder."""

    name: str
    agents: list[str] = field(default_factory=list)  # agents that run
    last: str = ""  # the agent that joined last
    reached: bool = True  # whether an agent has answered since a copy failed without a connection


class Checkpoints:
    """The known checkpoints by trial and place; it decides which of them are copied.

    The newest checkpoint that can be reached is copied, and only while its trial does not run.

    Parameters
    ----------
    url : bool
        Whether agents copy checkpoints to and from a store behind a URL.
    in_folder, stored : mapping of int to int
        By trial: the job that made the checkpoint in the study's folder, and in that store.

    Attributes
    ----------
    url : bool
        The parameter.
    saves : bool
        Whether any trial has made a checkpoint.
    notes : list of str
        Warnings for people, to which the caller may give a list of its own.
    """

    def __init__(self, url: bool, in_folder: Mapping[int, int], stored: Mapping[int, int]) -> None:
        self.url, self.saves = url, bool(in_folder or stored)
        self.notes: list[str] = []
        self._kept: dict[int, dict[str, _Kept]] = {}  # by trial and place
        self._hosts: dict[str, _Host] = {}  # by place
        self._places: dict[str, str] = {}  # of agents
        # By trial that is being copied: the place it comes from, or the agent that uploads it.
        self._moving: dict[int, str] = {}
        self._wanted: set[int] = set()  # trials whose newest checkpoint is to be copied from a host
        self._tries: dict[int, int] = {}
        self._pruned: set[int] = set()
        for place, jobs in ((FOLDER, in_folder), (URL, stored)):
            for trial, job in jobs.items():
                self._kept.setdefault(trial, {})[place] = _Kept(job)

    # Hosts

    def join(self, agent: str, host: str, hello: Mapping[str, Any]) -> list[int]:
        """Add an agent and the checkpoints in its folder; return the trials whose files it can remove."""
        place = self._places[agent] = FOLDER if hello["shared"] else f"host {hello['store']}"
        if place == FOLDER:
            return []
        known = self._hosts.setdefault(place, _Host(host))
        if known.last and not known.agents:  # its message lists all checkpoints of the folder
            for kept in self._kept.values():
                kept.pop(place, None)
        known.name, known.last, known.reached = host, agent, True
        known.agents.append(agent)
        for key, held in hello["holds"].items():
            one = _Kept(int(held["job"]), str(held["folder"]), held.get("best"), held["files"])
            if int(key) not in self._pruned and one.job > self._job(int(key), place):
                self._kept.setdefault(int(key), {})[place] = one
            self.saves = True
        return [int(key) for key in hello["holds"] if int(key) in self._pruned]

    def reached(self, agent: str) -> None:
        """Count an agent's host as reachable: copies that failed are tried again."""
        if host := self._hosts.get(self._places.get(agent, FOLDER)):
            host.reached = True

    def leave(self, agent: str) -> None:
        """Remove an agent that has ended. Its host may still be reachable."""
        host = self._hosts.get(self._places.get(agent, FOLDER))
        if host is not None:
            host.agents.remove(agent)
        for trial in [trial for trial, by in self._moving.items() if by == agent]:
            del self._moving[trial]
            self.request(trial)

    def busy(self, agent: str) -> bool:
        """Return whether checkpoints are still to be copied from an agent's host."""
        place = self._places.get(agent, FOLDER)
        if place != FOLDER and any(place == self._first_reached(self._places_of(t)) for t in self._wanted):
            return True
        return any(by in (agent, place) for by in self._moving.values())

    # Trials

    def ended(self, agent: str, trial: int, body: Mapping[str, Any], useful: bool) -> None:
        """Record the checkpoint that a trial has when its job ends, if it has one.

        The agent copies it to the store behind the URL, or the controller copies it into the study's folder.

        Parameters
        ----------
        agent : str
            The agent that ran the job.
        trial : int
            The trial.
        body : mapping
            The message ``ended``.
        useful : bool
            Whether the checkpoint may still be needed.
        """
        saved, place = body["saved"], self._places[agent]
        if trial in self._pruned:
            return
        kept = self._kept.setdefault(trial, {})
        if saved is None:
            kept.pop(place, None)
            return
        self.saves = True
        kept[place] = _Kept(saved, body["folder"] or "", body.get("best"), body["files"])
        if self.url and useful and saved > self._job(trial, URL):
            self._moving[trial] = agent
        elif useful:
            self.request(trial)

    def stored(self, agent: str, trial: int, job: int, problem: str | None) -> bool:
        """Record that a checkpoint was stored, or why it was not; return whether it is not needed there."""
        if self._moving.get(trial) == agent:
            del self._moving[trial]
        if trial in self._pruned:
            return problem is None
        if problem is None:
            self._kept.setdefault(trial, {})[URL] = _Kept(max(job, self._job(trial, URL)))
        else:
            self.notes.append(f"trial {trial} has no new checkpoint in the store: {problem}")
            self.request(trial)
        return False

    def request(self, trial: int) -> None:
        """Request a copy of a trial's newest checkpoint into the study's folder, if only a host has it."""
        if trial in self._kept:
            self._wanted.add(trial)

    def begin_copies(self, is_running: Callable[[int], bool]) -> list[Get]:
        """Return the copies that begin now: of trials that do not run, and a few from each host."""
        begun: list[Get] = []
        copies = Counter(self._moving.values())
        for trial in sorted(self._wanted):
            places = self._places_of(trial)
            if not places or places[0] not in self._hosts:
                self._wanted.remove(trial)  # it is not only on a host
            elif trial not in self._moving and not is_running(trial):
                place = self._first_reached(places)
                if place in self._hosts and copies[place] < AT_ONCE:
                    host, kept = self._hosts[place], self._kept[trial][place]
                    self._moving[trial] = place
                    copies[place] += 1
                    agent = host.agents[-1] if host.agents else host.last
                    begun.append(Get(agent, trial, kept.job, kept.folder, kept.best, kept.files))
        return begun

    def copied(self, copy: Get, problem: str | None, away: bool) -> None:
        """Record the end of a copy from a host; `away` says that the host could not be reached."""
        place = self._places[copy.agent]
        host, trial = self._hosts[place], copy.trial
        self._moving.pop(trial, None)
        if trial in self._pruned:
            return
        if problem is None:
            self._tries.pop(trial, None)
            self._kept[trial][FOLDER] = _Kept(copy.job)
            return
        host.reached = not away
        if host.agents or not away:
            self._tries[trial] = self._tries.get(trial, 0) + 1
        if self._tries.get(trial, 0) >= TRIES and self._job(trial, place) == copy.job:
            del self._tries[trial], self._kept[trial][place]
            self.notes.append(f"the checkpoint of trial {trial} cannot be copied from {host.name}: {problem}")

    def source(self, agent: str, trial: int) -> Source:
        """Return the place from which an agent gets a trial's newest checkpoint that can be reached.

        Returns
        -------
        str or int
            ``"own"``: the agent has it, or there is none. ``"put"``: from the study's folder. ``"wait"``: it
            is being copied, or will be when its host answers. A number: from the store behind the URL, made
            by that job. A newer one that cannot be reached is given up, with a note.
        """
        if trial in self._moving:
            return "wait"
        own, missed = self._places[agent], ""
        for place in self._places_of(trial, own):
            host = self._hosts.get(place)
            if host is None or place == own:
                break
            if host.reached or host.agents:
                self.request(trial)
                return "wait"
            missed = missed or host.name
            del self._kept[trial][place]
        else:
            place = own
        kept = self._kept.get(trial, {}).get(place)
        if missed:
            how = "goes on from an earlier checkpoint: the newest" if kept else "starts anew: its checkpoint"
            self.notes.append(f"trial {trial} {how} is on {missed}, which cannot be reached")
        return "own" if place == own or kept is None else "put" if place == FOLDER else kept.job

    def pending(self, trials: Iterable[int]) -> dict[int, str]:
        """Request copies of those trials' newest checkpoints that are only on hosts.

        Returns
        -------
        pending : dict of int to str
            By trial: the host's name if it cannot be reached now, else an empty text.
        """
        found = {}
        for trial in trials:
            host = self._hosts.get(next(iter(self._places_of(trial)), FOLDER))
            if host is not None or trial in self._moving:
                found[trial] = "" if host is None or host.reached else host.name
                self.request(trial)
        return found

    def prune(self, trial: int) -> tuple[list[str], bool]:
        """Remove a trial; return an agent of each host that has it, and whether the store has it."""
        kept = self._kept.pop(trial, {})
        self._pruned.add(trial)
        hosts = [self._hosts[place] for place in kept if place in self._hosts]
        return [host.agents[-1] for host in hosts if host.agents], URL in kept

    # Places of a trial

    def _job(self, trial: int, place: str) -> int:
        kept = self._kept.get(trial, {}).get(place)
        return -1 if kept is None else kept.job

    def _places_of(self, trial: int, own: str = FOLDER) -> list[str]:
        """Return the places of a trial's checkpoints, the newest first; of equal ones `own`, hosts last."""
        kept = self._kept.get(trial, {})
        return sorted(kept, key=lambda place: (-kept[place].job, place != own, place in self._hosts))

    def _first_reached(self, places: Iterable[str]) -> str:
        """Return the first of these places that can be reached; the study's folder if there is none."""
        reached = (place for place in places if place not in self._hosts or self._hosts[place].reached)
        return next(reached, FOLDER)
