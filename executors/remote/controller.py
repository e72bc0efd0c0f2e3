"""The controller of a study on other machines: connects a carrier with the fleet, in an event loop.

The runner and the controller do not wait for each other. The controller passes messages from hosts to the
fleet, carries out the fleet's effects, and copies checkpoints, a few at once.

By a file in the study's folder, ``.probe-SESSION``, hosts find out whether they see that folder. Its time is
that of the last beats to the hosts: trials that a killed run has left on hosts end when the lease is over.
Until then none of them may start again, or it would run twice at once.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import Any, Final, TypeAlias

from hbsim.errors import ExecutorError, HbsimError, OutputError, ParameterError, counted
from hbsim.executors import checkpoint
from hbsim.executors.local import LOG, trial_folder
from hbsim.executors.remote import protocol
from hbsim.executors.remote.allocation import WorkerAllocator
from hbsim.executors.remote.checkpoints import Checkpoints, Copy, Get, Put
from hbsim.executors.remote.code import needs_trust, with_neighbour
from hbsim.executors.remote.fleet import Fleet
from hbsim.executors.remote.fleet_agents import MARGIN
from hbsim.executors.remote.protocol import dump
from hbsim.executors.remote.store import BEST, FILES, STAGING, CheckpointStore, install, newest, newest_of_all
from hbsim.executors.slots import Slot
from hbsim.executors.training_function import label_of
from hbsim.runner.workers import Message, WorkerOpened

News: TypeAlias = tuple[list[Message], list[str], int]
"""Messages for the runner, warnings for people, and the bytes that the messages were made of."""

PREFIX: Final = ".probe-"
TICK: Final = 0.1  # seconds between two ticks of the fleet
TOUCH: Final = 1.0  # seconds between two updates of the session's file
LAST_HOSTS: Final = 60.0  # seconds that a study waits for the last hosts once the first is ready
SAID: Final = 10.0  # seconds between two lines on what the study waits for
LOOK: Final = 0.02  # seconds between two checks of a condition
LOG_BYTES: Final = 64 << 10  # bytes kept of a job's output

AT_ONCE: Final = 16  # copies
PAUSE: Final = 0.5  # seconds after a copy that has failed, before it is tried again
CLOSING: Final = 5.0  # seconds for agents to end what they run
LAST: Final = 60.0  # seconds for the last removals and copies at a regular end
CLUSTER: Final = "the Dask cluster"


class SessionFile:
    """The file ``.probe-SESSION`` of one run in a study's folder of trials.

    Parameters
    ----------
    trials : Path
        The folder.
    lease : float
        The lease of the run's hosts, in seconds.

    Attributes
    ----------
    session, text : str
        The run's number, and the content of the file.
    """

    def __init__(self, trials: Path, lease: float) -> None:
        self.session = secrets.token_hex(8)
        self.text = f"{self.session} {float(lease)!r}"
        self._trials, self._file = trials, trials / f"{PREFIX}{self.session}"

    def make(self, say: Callable[[str], None]) -> float:
        """Make the file, and remove what earlier runs were copying.

        Parameters
        ----------
        say : callable
            Called with the reason if the study has to wait.

        Returns
        -------
        seconds : float
            The time for which trials of earlier runs may go on. After it, `clear` removes these runs' files.

        Raises
        ------
        OutputError
            The folder cannot be written.
        """
        try:
            self._trials.mkdir(parents=True, exist_ok=True)
            for folder in self._trials.glob(f"{STAGING}*"):
                shutil.rmtree(folder, ignore_errors=True)
            self._file.write_text(self.text, "utf-8")
            now = self._file.stat().st_mtime  # by the clock of the file system, as those of the others
        except OSError as error:
            raise OutputError(str(self._trials), f"cannot be written: {error.strerror or error}") from error
        if (seconds := max((_rest(other, now) for other in self._others()), default=0.0)) > 0:
            until = time.strftime("%H:%M:%S", time.localtime(time.time() + seconds))
            reason = "the study's process was killed, and hosts may run its trials until then"
            say(f"waiting {seconds:.0f} s, until {until}: {reason}")
        return seconds

    def touch(self) -> None:
        """Update the file's time, before beats are sent to the hosts."""
        with suppress(OSError):  # removed by somebody
            os.utime(self._file)

    def clear(self) -> None:
        """Remove the files of earlier runs, whose trials have all ended."""
        for other in self._others():
            other.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the file of this run, whose trials have all ended."""
        with suppress(OSError):
            self._file.unlink(missing_ok=True)

    def _others(self) -> list[Path]:
        return [path for path in self._trials.glob(f"{PREFIX}*") if path != self._file]


def _rest(file: Path, now: float) -> float:
    """Return the seconds for which trials that a run has left may go on."""
    try:
        lease = float(file.read_text("utf-8").rpartition(" ")[2])
        age = now - file.stat().st_mtime
    except (OSError, ValueError):  # the run was killed before it started any agent
        return 0.0
    whole = lease + MARGIN + 2 * TOUCH  # a beat may be sent just before the next touch
    return min(whole, max(0.0, whole - age))


def wait_for_earlier_runs(trials: Path, say: Callable[[str], None]) -> None:
    """Wait until trials that earlier runs have left on hosts have ended; call `say` with the reason."""
    file = SessionFile(trials, 0.0)
    try:
        time.sleep(file.make(say))
        file.clear()
    finally:
        file.remove()


class Controller:
    """Connects a carrier with the fleet, in an event loop that the runner does not wait for.

    Parameters
    ----------
    carrier : Carrier
        The carrier of lines and files.
    allocator : WorkerAllocator
        The division of hosts among workers.
    config : mapping
        The agents' configuration: study, bundle, setup, start, grace, lease, storage.
    trials : Path
        The study's folder of trials.
    say : callable
        Called with lines on what the study waits for.
    news : callable
        Called with messages for the runner, or without any if the runner has to call `check`. Never waits.

    Attributes
    ----------
    fleet : Fleet
        The agents and their jobs.
    discards : bool
        Whether hosts have to remove all files of the study at the end, since it has no results.
    hosts : list of str
        The names of the present hosts. The list is replaced when it changes.
    slots : dict of int to Slot
        By worker: its latest slot, also of workers that are gone.
    """

    def __init__(
        self,
        carrier: protocol.Carrier,
        allocator: WorkerAllocator,
        config: Mapping[str, Any],
        trials: Path,
        say: Callable[[str], None],
        news: Callable[[News], None],
    ) -> None:
        self._carrier, self._allocator, self._config, self._trials = carrier, allocator, config, trials
        self._say, self._news, self._lease = say, news, float(config["lease"])
        self._file = SessionFile(trials, self._lease)
        url = str(config["storage"])
        self._store = CheckpointStore(url, config["study"]) if "://" in url else None
        self.fleet = self._make_fleet({}, {})
        self.discards = False
        self.hosts: list[str] = []
        self.slots: dict[int, Slot] = {}
        self._failure: BaseException | None = None  # the error that ended a task
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False
        self._agents: dict[str, str] = {}  # hosts by running agent
        self._problems: dict[str, str] = {}  # by host without an agent: the reason
        self._doubt = -inf  # until when trials of ended agents may go on
        self._gathered: bool | None = None  # whether all needed checkpoints were copied
        self._limit = asyncio.Semaphore(AT_ONCE)
        self._uncopied: set[int] = set()  # trials whose last copy has failed or is under way
        self._pruned: set[int] = set()
        self._chores = ThreadPoolExecutor(1)  # local work, whose failure does not end the study

    def _make_fleet(self, in_folder: Mapping[int, int], stored: Mapping[int, int]) -> Fleet:
        checkpoints = Checkpoints(self._store is not None, in_folder, stored)
        return Fleet(self._allocator, checkpoints, self._lease)

    # The beginning

    async def open(self) -> None:
        """Start agents, and wait until the reachable hosts can take jobs.

        Raises
        ------
        ParameterError
            Hosts cannot be reached, run other versions, cannot load the training function, or do not satisfy
            the need of a trial.
        """
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(2 * AT_ONCE))
        bundle = self._config["bundle"]
        if needs_trust(bundle) and not self._carrier.trusted:
            rule = "travels as a pickle, which needs a connection by TLS: put it at the top of a file"
            raise ParameterError("train", label_of(bundle["target"]), rule)
        alone = time.monotonic() + await asyncio.to_thread(self._file.make, self._say)
        stored: Mapping[int, int] = {}
        if self._store is not None:
            await asyncio.to_thread(self._store.check)
            stored = await asyncio.to_thread(self._store.jobs)
        present = await asyncio.to_thread(newest_of_all, self._trials)
        self.fleet = self._make_fleet({trial: job for trial, (job, _) in present.items()}, stored)
        about = {"session": self._file.session, "probe": self._file.text}
        config = {**self._config, **about, "trials": str(self._trials.absolute())}
        self.fleet.expected = await self._carrier.open(json.dumps(config))
        self._spawn(self._listen())
        self._spawn(self._tick())
        await self._wait_for_hosts(alone)
        await asyncio.to_thread(self._file.clear)
        self.fleet.open(time.monotonic())
        self._flush()

    async def _wait_for_hosts(self, alone: float) -> None:
        """Wait for the reachable hosts, so that all are divided among workers at once.

        Parameters
        ----------
        alone : float
            The time at which all trials of earlier runs have ended.
        """
        said, first = max(time.monotonic(), alone), inf
        while True:
            self.check()
            now = time.monotonic()
            ready, wanted = self.fleet.ready(now)
            first = min(first, now) if ready else inf
            if now >= alone and (ready >= wanted > 0 or now - first > LAST_HOSTS):
                return
            if now - said > SAID:
                said = now
                if not wanted and self.fleet.expected is None:
                    self._say(f"{CLUSTER} has no workers yet: waiting for the first one")
                    return
                problems = [f"{host}: {problem}" for host, problem in self._problems.items()]
                count = self.fleet.expected or wanted
                self._say("; ".join([f"{ready} of {counted(count, 'host')} can take trials", *problems]))
            await asyncio.sleep(LOOK)

    # Methods for the runner

    def order(self, act: Callable[[Fleet], None]) -> None:
        """Call a function with the fleet, on behalf of the runner."""
        try:
            act(self.fleet)
            self._flush()
        except Exception as error:  # no caller waits for the result
            self._fail(error)

    def prune(self, trial: int) -> None:
        """Remove a trial's checkpoints and files from all places."""
        self.order(lambda fleet: fleet.prune(trial))
        self._pruned.add(trial)
        self._chores.submit(_remove, trial_folder(self._trials, trial))

    def check(self) -> None:
        """Raise the error that ended a task, or one from an agent that ends the study."""
        if self._failure is not None:
            raise self._failure
        fatal = self.fleet.fatal
        if isinstance(fatal, ParameterError):
            rule = with_neighbour(fatal.rule, self._config["bundle"])
            raise ParameterError(fatal.field, fatal.value, rule)
        if fatal is not None:
            raise fatal

    # Tasks in the event loop

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        self._failure = self._failure or error
        self._news(([], [], 0))

    async def _listen(self) -> None:
        events = self._carrier.events
        while True:
            self._handle(await events.get())
            if events.empty():
                self._flush()

    def _handle(self, event: protocol.CarrierEvent) -> None:
        now = time.monotonic()
        if isinstance(event, protocol.Joined):
            self._agents[event.agent] = event.host
            self._problems.pop(event.host, None)
        elif isinstance(event, protocol.AgentEnded):
            if event.agent in self._agents:
                self._problems[self._agents.pop(event.agent)] = event.reason
                if self.slots and not self._agents:
                    self.fleet.effects.notes.append("no host is left: the study waits until one is back")
            self._doubt = self._doubt if event.clean else now + self._lease + MARGIN
        elif isinstance(event, protocol.HostFailed):
            self._problems[event.host] = event.reason
        elif isinstance(event, protocol.Lost):
            self._fail(ExecutorError(CLUSTER, f"cannot be reached any more: {event.reason}"))
        if not self._closing:
            self.fleet.handle(event, now)

    async def _tick(self) -> None:
        touched = -inf
        while not self._closing:
            if time.monotonic() - touched >= TOUCH:
                touched = time.monotonic()
                await asyncio.to_thread(self._file.touch)  # before hosts are told to go on
            now = time.monotonic()
            self.fleet.tick(now)
            self._flush()
            await asyncio.sleep(TICK)

    def _flush(self) -> None:
        """Carry out the fleet's effects, without waiting for any of them."""
        if self._closing:
            return
        effects = self.fleet.effects
        for agent, line in effects.lines:
            self._carrier.send(agent, line)
        for copy in effects.copies:
            self._spawn(self._copy(copy))
        for trial, text in effects.logs:
            self._chores.submit(_append_log, trial_folder(self._trials, trial), text)
        for trial in effects.unstored:
            self._chores.submit(self._unstore, trial)
        for done in (effects.lines, effects.copies, effects.logs, effects.unstored):
            done.clear()
        for message in effects.messages:
            if isinstance(message, WorkerOpened):
                with suppress(KeyError):  # the worker is gone already
                    self.slots[message.worker] = self._allocator.slot(message.worker)
        if effects.messages or effects.notes or self.fleet.fatal:
            self.hosts = self.fleet.hosts()
            notes = [with_neighbour(note, self._config["bundle"]) for note in effects.notes]
            self._news((effects.messages, notes, effects.size))
            effects.messages, effects.size = [], 0
            effects.notes.clear()  # the checkpoints add to the same list

    # Copies of checkpoints

    async def _copy(self, copy: Copy) -> None:
        """Copy a checkpoint, and report the outcome to the fleet, which repeats failed copies."""
        problem, away = None, False
        try:
            async with self._limit:
                await (self._get(copy) if isinstance(copy, Get) else self._put(copy))
        except protocol.CopyError as error:
            problem, away = str(error), error.away
        except (HbsimError, OSError) as error:
            problem = str(error)
        if problem is not None:
            await asyncio.sleep(PAUSE)
        if not self._closing:
            self.fleet.copied(copy, problem, time.monotonic(), away)
            self._flush()

    async def _get(self, copy: Get) -> None:
        """Copy a checkpoint from a host into the study's folder."""
        folder = trial_folder(self._trials, copy.trial)
        stage = self._trials / f"{STAGING}{secrets.token_hex(8)}"
        self._uncopied.add(copy.trial)
        try:
            await asyncio.to_thread(stage.mkdir)
            await self._carrier.get(copy.agent, copy.folder, stage / checkpoint.NAME)
            if copy.best is not None:
                await self._carrier.get(copy.agent, copy.best, stage / BEST)
            if copy.files is not None:
                await self._carrier.get(copy.agent, copy.files, stage / FILES)
            await asyncio.to_thread(install, stage, folder)
        finally:
            await asyncio.to_thread(shutil.rmtree, stage, True)
        self._uncopied.discard(copy.trial)
        if copy.trial in self._pruned:
            await asyncio.to_thread(_remove, folder)

    async def _put(self, copy: Put) -> None:
        """Copy a checkpoint from the study's folder to a host."""
        folder = trial_folder(self._trials, copy.trial)
        found = await asyncio.to_thread(newest, folder)
        if found is None:
            raise protocol.CopyError("it is not in the study's folder any more")
        await self._carrier.put(copy.agent, found[1], f"{copy.target}/{checkpoint.NAME}")
        if await asyncio.to_thread((folder / FILES).is_dir):
            await self._carrier.put(copy.agent, folder / FILES, f"{copy.target}/{FILES}")

    def _unstore(self, *trials: int) -> None:
        assert self._store is not None
        for trial in trials:
            self._store.remove(trial)

    # The end

    async def gather(self, trials: Sequence[int]) -> bool:
        """Wait for these trials' checkpoints in the study's folder or the store; return whether all came."""
        said = reached = time.monotonic()
        while pending := self.fleet.pending(trials):
            self._flush()
            if isinstance(self._failure or self.fleet.fatal, ExecutorError):
                break  # no agent is left that could send them
            self.check()
            away = {trial: host for trial, host in pending.items() if host}
            now = time.monotonic()
            reached = reached if len(away) == len(pending) else now
            if now - reached > self._lease:
                break
            if now - said > SAID:
                said = now
                hosts = "".join(f"; {host} cannot be reached" for host in sorted({*away.values()}))
                self._say(f"waiting for {counted(len(pending), 'checkpoint')} to be copied from hosts{hosts}")
            await asyncio.sleep(TICK)
        for trial, host in sorted(pending.items()):
            place = f"on {host}, which cannot be reached" if host else "on its host"
            self.fleet.effects.notes.append(f"the checkpoint of trial {trial} stays {place}")
        self._flush()
        self._gathered = not pending and self._uncopied.isdisjoint(trials)
        return self._gathered

    async def close(self) -> None:
        """End all jobs and agents, and disconnect from the hosts."""
        self._flush()
        patience = CLOSING if self._gathered is None else LAST
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.wrap_future(self._chores.submit(int)), patience)
        self._chores.shutdown(wait=False, cancel_futures=True)
        self._closing = True
        order = dump({"o": "close", "clean": self.discards or self._gathered is True})
        try:
            for agent in self._agents:
                self._carrier.send(agent, order)
            until = time.monotonic() + CLOSING
            while self._agents and time.monotonic() < until:
                await asyncio.sleep(LOOK)
        finally:
            await self._carrier.close()
        while not self._carrier.events.empty():
            self._handle(self._carrier.events.get_nowait())
        if self._store is not None and self._pruned and self._gathered is not None:
            with suppress(HbsimError, TimeoutError):  # checkpoints that were still being stored
                async with asyncio.timeout(LAST):
                    jobs = await asyncio.to_thread(self._store.jobs)
                    await asyncio.to_thread(self._unstore, *self._pruned.intersection(jobs))
        if not self._agents and time.monotonic() > self._doubt:  # else trials may go on
            self._file.remove()


def _append_log(folder: Path, text: str) -> None:
    """Append a trial's output on a host to its log."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / LOG, "a", encoding="utf-8") as file:
        file.write(text[-LOG_BYTES:])


def _remove(folder: Path) -> None:
    """Remove a trial's checkpoints and files."""
    checkpoint.remove(folder / checkpoint.NAME)
    shutil.rmtree(folder / FILES, ignore_errors=True)
