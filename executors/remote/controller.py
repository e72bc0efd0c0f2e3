"""The controller of a study on other machines: connects a carrier with the fleet, in an event loop.

The runner does not wait for it, nor it for the runner. It brings what hosts say to the fleet, does what the
fleet wants done, and copies checkpoints, a few at once.

A file in the study's folder, ``.probe-SESSION``, shows hosts whether they see that folder. Its time says when
hosts were last told to go on: what a run that was killed has left there ends when their lease is over, and
until then none of its trials may start again, or it would run twice at once.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Container, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import Any, Final, TypeAlias

from hbsim.errors import ExecutorError, HbsimError, OutputError, ParameterError
from hbsim.executors import checkpoint
from hbsim.executors.local import LOG, trial_folder
from hbsim.executors.remote import carrier as carriers
from hbsim.executors.remote.agents import MARGIN
from hbsim.executors.remote.checkpoint_copy import FILES, install, newest
from hbsim.executors.remote.checkpoints import Copy, Get, Put
from hbsim.executors.remote.code import needs_trust, with_neighbour
from hbsim.executors.remote.fleet import Fleet
from hbsim.executors.remote.lines import dump
from hbsim.executors.remote.machines import Machine
from hbsim.executors.remote.store import STAGING, Store, jobs_in
from hbsim.executors.slots import Slot, models
from hbsim.executors.target import label_of
from hbsim.runner.workers import Message, Opened

__all__ = ["Controller", "News", "SessionFile", "outlast"]

News: TypeAlias = tuple[list[Message], list[str], int]
"""Messages for the runner, warnings for people, and the bytes that the messages were made of."""

PREFIX: Final = ".probe-"
TICK: Final = 0.25  # seconds between two looks at the clock,
SHARE: Final = 1 / 32  # or this share of the lease, if that is shorter
TOUCH: Final = 1.0  # seconds between two looks at the session's file
LAST_HOSTS: Final = 60.0  # seconds that a study waits for the last hosts once the first is ready
SAID: Final = 10.0  # seconds between two lines that say what is waited for
LOOK: Final = 0.02  # seconds between two looks at what is waited for
FEW: Final = 8  # hosts that get a line each
LOG_BYTES: Final = 64 << 10  # of what a job has printed that are kept
_HELLO: Final = '{"m":"hello"'
_FULL: Final = tuple(os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT))

AT_ONCE: Final = 16  # copies
PAUSE: Final = 0.5  # seconds after a copy that has failed, before it is tried again
COPYING: Final = 3600.0  # seconds without anything new in which copies may still come at the end
LOST: Final = 5.0  # seconds without any host, before people are told
CLOSING: Final = 5.0  # seconds for agents to end what they run
LAST: Final = 60.0  # seconds for what is still to be removed or written at a good end


class SessionFile:
    """The file ``.probe-SESSION`` of one run in a study's folder of trials.

    Parameters
    ----------
    trials : Path
        The folder.
    lease : float
        Of the run's hosts, in seconds.

    Attributes
    ----------
    session, text : str
        The run's number, and what is in the file.
    """

    def __init__(self, trials: Path, lease: float) -> None:
        self.session = secrets.token_hex(8)
        self.text = f"{self.session} {float(lease)!r}"
        self._trials, self._file = trials, trials / f"{PREFIX}{self.session}"

    def make(self) -> float:
        """Make the file, and remove what earlier runs were copying.

        Returns
        -------
        seconds : float
            How long what earlier runs have left may go on.

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
        return max((_rest(other, now) for other in self._others()), default=0.0)

    def touch(self) -> None:
        """Take note that hosts are told to go on."""
        with suppress(OSError):  # removed by somebody
            os.utime(self._file)

    def clear(self) -> None:
        """Remove the files of earlier runs: nothing of them goes on any more."""
        for other in self._others():
            other.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove the file: nothing that this run has started goes on."""
        with suppress(OSError):
            self._file.unlink(missing_ok=True)

    def _others(self) -> list[Path]:
        return [path for path in self._trials.glob(f"{PREFIX}*") if path != self._file]


def _rest(file: Path, now: float) -> float:
    """Return the seconds for which what a run has left may go on."""
    try:
        lease = float(file.read_text("utf-8").rpartition(" ")[2])
        age = now - file.stat().st_mtime
    except (OSError, ValueError):  # it was killed before it had anything to do with hosts
        return 0.0
    whole = lease + MARGIN + 2 * TOUCH  # a beat may go out just before the file would be touched again
    return min(whole, max(0.0, whole - age))


def outlast(trials: Path, say: Callable[[str], None]) -> None:
    """Wait until nothing goes on any more that earlier runs have left on hosts; `say` is given why."""
    file = SessionFile(trials, 0.0)
    try:
        if (seconds := file.make()) > 0:
            say(_why(seconds))
            time.sleep(seconds)
        file.clear()
    finally:
        file.remove()


def _why(seconds: float) -> str:
    until = time.strftime("%H:%M:%S", time.localtime(time.time() + seconds))
    begin = f"waiting {seconds:.0f} s, until {until}"
    return f"{begin}: the study's process was killed, and hosts may run its trials until then"


class Controller:
    """Connects a carrier with the fleet, in an event loop that the runner does not wait for.

    Parameters
    ----------
    carrier : Carrier
        Brings lines and files.
    fleet : callable
        Makes the fleet, given the jobs of the checkpoints in the study's folder and in the store, by trial.
    config : mapping
        What agents have to know: study, bundle, setup, start, grace, lease, storage.
    trials : Path
        The study's folder of trials.
    name : str
        What errors call the way to the hosts.
    say : callable
        Given lines for people who wait.
    news : callable
        Given what there is for the runner; nothing where it is to `check`. Never waits.

    Attributes
    ----------
    fleet : Fleet
        What runs where.
    discards : bool
        Whether the study has come to nothing, and hosts are to remove all that they have of it.
    hosts : list of str
        The names of those that there are. It is replaced when it changes.
    slots : dict of int to Slot
        The last share of each worker that there has been.
    """

    def __init__(
        self,
        carrier: carriers.Carrier,
        fleet: Callable[[Mapping[int, int], Mapping[int, int]], Fleet],
        config: Mapping[str, Any],
        trials: Path,
        name: str,
        say: Callable[[str], None],
        news: Callable[[News], None],
    ) -> None:
        self.fleet = fleet({}, {})
        self.discards = False
        self.hosts: list[str] = []
        self.slots: dict[int, Slot] = {}
        self._carrier, self._make_fleet, self._config, self._trials = carrier, fleet, config, trials
        self._name, self._say, self._news = name, say, news
        self._lease = float(config["lease"])
        self._file = SessionFile(trials, self._lease)
        url = str(config["storage"])
        self._store = Store(url, config["study"]) if "://" in url else None
        self._failure: BaseException | None = None  # what ended a task
        self._tasks: set[asyncio.Task[None]] = set()
        self._flushes = False  # whether that is going to happen
        self._begun = self._closing = False
        self._hosts: dict[str, str] = {}  # by agent that there is: its host
        self._has: dict[str, str] = {}  # by host: what it has, for people
        self._problems: dict[str, str] = {}  # by host without an agent: why
        self._alone = inf  # since when there has been no agent
        self._doubt = -inf  # until when something may go on that agents have left
        self._said: set[str] = set()  # warnings that are not repeated
        self._gathered: bool | None = None  # whether all that is of use is in the study's folder or the store
        self._limit = asyncio.Semaphore(AT_ONCE)
        self._copied = 0  # copies that are over
        self._uncopied: dict[int, int] = {}  # by trial: the job of a checkpoint that could not be copied
        self._received: set[int] = set()  # trials whose folder something was copied into
        self._pruned: set[int] = set()
        self._chores: set[asyncio.Task[None]] = set()
        self._in_turn = asyncio.Lock()

    # The beginning

    async def open(self) -> None:
        """Have agents start, and wait until those hosts that there are can take jobs.

        Raises
        ------
        ParameterError
            Hosts cannot be reached, run other versions, cannot load the training function, or have not what a
            trial needs.
        """
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(2 * AT_ONCE))  # a slow disk holds up copies only
        bundle = self._config["bundle"]
        if needs_trust(bundle) and not self._carrier.trusted:
            rule = "travels as a pickle, which needs a connection by TLS: put it at the top of a file"
            raise ParameterError("train", label_of(bundle["target"]), rule)
        alone = loop.time() + await asyncio.to_thread(self._file.make)
        if self._store is not None:
            await asyncio.to_thread(self._store.check)
        stored = {} if self._store is None else await asyncio.to_thread(self._store.jobs)
        self.fleet = self._make_fleet(await asyncio.to_thread(jobs_in, self._trials), stored)
        about = {"session": self._file.session, "probe": self._file.text}
        config = {**self._config, **about, "trials": str(self._trials.absolute())}
        self.fleet.expected = await self._carrier.open(json.dumps(config))
        self._spawn(self._listen())
        self._spawn(self._tick())
        if (seconds := alone - loop.time()) > 0:
            self._say(_why(seconds))
        await self._wait_for_hosts(alone)
        await asyncio.to_thread(self._file.clear)
        self._begin()

    async def _wait_for_hosts(self, alone: float) -> None:
        """Wait for those hosts that there are, so that they are divided among workers all at once.

        Parameters
        ----------
        alone : float
            When nothing goes on any more that an earlier run has left.
        """
        begun = said = max(time.monotonic(), alone)
        first = inf
        while True:
            self.check()
            now = time.monotonic()
            ready, wanted = self.fleet.ready(now)
            first = min(first, now) if ready else inf
            if now >= alone and (ready >= wanted > 0 or now - first > LAST_HOSTS):
                return
            if not wanted and now - begun > SAID:
                self._say(f"{self._name} has no workers yet: waiting for the first one")
                return
            if now - said > SAID:
                said = now
                problems = [f"{host}: {problem}" for host, problem in self._problems.items()]
                text = f"{ready} of {wanted} hosts {'is' if ready == 1 else 'are'} ready"
                self._say("; ".join([text, *problems[:FEW]]))
            await asyncio.sleep(LOOK)

    def _begin(self) -> None:
        """Divide the hosts that are ready among workers, and say what each of them has."""
        self.fleet.open(time.monotonic())
        opened = [message.host for message in self.fleet.effects.messages if isinstance(message, Opened)]
        for host in list(dict.fromkeys(opened))[:FEW]:
            self._say(f"{host} is ready: {self._has.get(host, 'it takes trials')}")
        self._begun = True
        self._flush()

    # What the runner asks for

    def order(self, act: str, *what: object) -> None:
        """Have the fleet do what the runner asks for."""
        try:
            getattr(self.fleet, act)(*what, time.monotonic())
        except Exception as error:  # nobody waits for it
            self._fail(error)
        if not self._flushes:
            self._flushes = True
            asyncio.get_running_loop().call_soon(self._flush)

    def prune(self, trial: int) -> None:
        """Remove a trial's checkpoints and files wherever they are but in the study's folder."""
        self.order("prune", trial)
        self._pruned.add(trial)
        if trial in self._received:  # it may have come just after they were removed there
            self._do_in_turn(_remove, trial_folder(self._trials, trial))

    def check(self) -> None:
        """Raise what ended a task, and what an agent said that ends the study."""
        if self._failure is not None:
            raise self._failure
        fatal = self.fleet.fatal
        if isinstance(fatal, ParameterError):
            rule = with_neighbour(fatal.rule, self._config["bundle"])
            raise ParameterError(fatal.field, fatal.value, rule)
        if fatal is not None:
            raise fatal

    # What goes on all the time

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

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
            self._hear(await events.get())
            if events.empty():
                self._flush()

    def _hear(self, event: carriers.Event) -> None:
        now = time.monotonic()
        if isinstance(event, carriers.Line):
            if event.text.startswith(_HELLO):
                self._meet(event)
        elif isinstance(event, carriers.Joined):
            self._hosts[event.agent], self._alone = event.host, inf
            self._problems.pop(event.host, None)
            self.hosts = list(dict.fromkeys(self._hosts.values()))
        elif isinstance(event, carriers.AgentEnded):
            if event.agent in self._hosts:
                self._problems[self._hosts.pop(event.agent)] = event.reason
            self.hosts = self.hosts if self._closing else list(dict.fromkeys(self._hosts.values()))
            if self._begun and not self._hosts:
                self._alone = min(self._alone, now)
            self._doubt = self._doubt if event.clean else now + self._lease + MARGIN
        elif isinstance(event, carriers.HostFailed):
            self._problems[event.host] = event.reason
        else:
            self._fail(ExecutorError(self._name, f"cannot be reached any more: {event.reason}"))
        if not self._closing:
            self.fleet.hear(event, now)

    def _meet(self, line: carriers.Line) -> None:
        """Take note of what a host has, for people."""
        host = self._hosts.get(line.agent, "")
        with suppress(ValueError, KeyError, TypeError):  # the fleet says that it makes no sense
            machine = Machine.from_hello(host, json.loads(line.text))
            gpus = f", {_count(len(machine.gpus), 'GPU')} ({models(machine.gpus)})" if machine.gpus else ""
            self._has[host] = _count(machine.most, "CPU core") + gpus

    async def _tick(self) -> None:
        pause, touched = min(TICK, self._lease * SHARE), -inf
        while not self._closing:
            if time.monotonic() - touched >= TOUCH:
                touched = time.monotonic()
                await asyncio.to_thread(self._file.touch)  # before hosts are told to go on
            now = time.monotonic()
            self.fleet.tick(now)
            if now - self._alone > LOST:
                self._alone = inf
                self.fleet.effects.notes.append("no host is left: the study waits until one is back")
            self._flush()
            await asyncio.sleep(pause)

    def _flush(self) -> None:
        """Do what the fleet wants done: nothing waits for anything else."""
        self._flushes = False
        if self._closing:
            return
        effects = self.fleet.effects
        lines, effects.lines = effects.lines, []
        for agent, line in lines:
            self._carrier.send(agent, line)
        copies, effects.copies = effects.copies, []
        for copy in copies:
            self._spawn(self._copy(copy))
        logs, effects.logs = effects.logs, []
        for trial, text in logs:
            self._do_in_turn(_append_log, trial_folder(self._trials, trial), text)
        unstored, effects.unstored = effects.unstored, []
        for trial in unstored:
            assert self._store is not None
            self._do_in_turn(self._store.remove, trial)
        for message in effects.messages:
            if isinstance(message, Opened):
                with suppress(KeyError):  # it is shut again already
                    self.slots[message.worker] = self.fleet.machines.slot(message.worker)
        if effects.messages or effects.notes or self.fleet.fatal:
            notes = [with_neighbour(note, self._config["bundle"]) for note in effects.notes]
            self._news((effects.messages, [note for note in notes if self._is_new(note)], effects.size))
            effects.messages, effects.notes, effects.size = [], [], 0

    def _is_new(self, note: str) -> bool:
        """Whether people were not told yet; a full disk is said once, whatever does not fit."""
        if not note.endswith(_FULL):
            return True
        reason = note.rpartition(": ")[2]
        is_new = reason not in self._said
        self._said.add(reason)
        return is_new

    def _do_in_turn(self, work: Callable[..., object], *given: object) -> None:
        """Do what no host has a part in; if it fails that is no reason to end a study."""

        async def chore() -> None:
            async with self._in_turn:
                with suppress(HbsimError, OSError):
                    await asyncio.to_thread(work, *given)

        task = self._spawn(chore())
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)

    # Copies of checkpoints

    async def _copy(self, copy: Copy) -> None:
        """Copy a checkpoint, and tell the fleet, which has it tried again if it fails."""
        problem, away = None, False
        try:
            async with self._limit:
                await (self._get(copy) if isinstance(copy, Get) else self._put(copy))
        except carriers.CopyError as error:
            problem, away = str(error), error.away
        except (HbsimError, OSError) as error:
            problem = getattr(error, "strerror", None) or str(error)
        if isinstance(copy, Get):
            if problem and problem.endswith(_FULL):  # whatever host it was copied from
                problem = f"{self._trials}: {problem.rpartition(': ')[2]}"
            self._uncopied[copy.trial] = copy.job
        if problem:
            await asyncio.sleep(PAUSE)
        elif isinstance(copy, Get):
            self._uncopied.pop(copy.trial, None)
        self._copied += 1
        if not self._closing:
            self.fleet.copied(copy, problem, time.monotonic(), away)
            self._flush()

    async def _get(self, copy: Get) -> None:
        """Copy a checkpoint from a host into the study's folder."""
        folder = trial_folder(self._trials, copy.trial)
        stage = self._trials / f"{STAGING}{secrets.token_hex(8)}"
        try:
            await asyncio.to_thread(stage.mkdir)
            await self._carrier.get(copy.agent, copy.folder, stage / checkpoint.NAME)
            if copy.files is not None:
                await self._carrier.get(copy.agent, copy.files, stage / FILES)
            self._received.add(copy.trial)
            if copy.trial not in self._pruned:
                await asyncio.to_thread(install, stage, folder)
            if copy.trial in self._pruned:
                await asyncio.to_thread(_remove, folder)
        finally:
            await asyncio.to_thread(shutil.rmtree, stage, True)

    async def _put(self, copy: Put) -> None:
        """Copy a checkpoint from the study's folder to a host."""
        folder = trial_folder(self._trials, copy.trial)
        found = await asyncio.to_thread(newest, folder)
        if found is None:
            raise carriers.CopyError("it is not in the study's folder any more")
        await self._carrier.put(copy.agent, found[1], f"{copy.target}/{checkpoint.NAME}")
        if await asyncio.to_thread((folder / FILES).is_dir):
            await self._carrier.put(copy.agent, folder / FILES, f"{copy.target}/{FILES}")

    # The end

    async def gather(self, trials: Sequence[int]) -> bool:
        """Wait until these trials' checkpoints are in the study's folder, or in the store; return whether."""
        said = changed = time.monotonic()
        before: object = None
        while pending := self.fleet.pending(trials):
            self._flush()
            if isinstance(self._failure or self.fleet.fatal, ExecutorError):
                break  # nobody will bring them
            self.check()
            away = self.fleet.unreachable(pending)
            now, state = time.monotonic(), (pending, self._copied)
            before, changed = (before, changed) if state == before else (state, now)
            if now - changed > (self._lease if len(away) == len(pending) else COPYING):
                break
            if now - said > SAID:
                said = now
                text = f"waiting for {_count(len(pending), 'checkpoint')} to be copied from hosts"
                hosts = sorted(set(away.values()))
                self._say(text + (f"; {', '.join(hosts)} cannot be reached" if hosts else ""))
            await asyncio.sleep(5 * LOOK)
        away = self.fleet.unreachable(pending)
        for trial in sorted(pending):
            place = f"on {away[trial]}, which cannot be reached" if trial in away else "on its host"
            self.fleet.effects.notes.append(f"the checkpoint of trial {trial} stays {place}")
        self._flush()
        self._gathered = not pending and not await asyncio.to_thread(self._are_absent, trials)
        return self._gathered

    def _are_absent(self, trials: Sequence[int]) -> bool:
        """Whether checkpoints of these trials that could not be copied are nowhere else."""
        failed = {trial: self._uncopied[trial] for trial in trials if trial in self._uncopied}
        stored = self._store.jobs() if failed and self._store is not None else {}
        for trial, job in failed.items():
            made = newest(trial_folder(self._trials, trial))
            if job > max(stored.get(trial, -1), made[0] if made else -1):
                return True
        return False

    async def close(self) -> None:
        """Have agents end all that runs, and part from the hosts."""
        self._flush()
        if self._chores:
            await asyncio.wait(self._chores, timeout=CLOSING if self._gathered is None else LAST)
        self._closing = True
        order = dump({"o": "close", "clean": self.discards or self._gathered is True})
        try:
            for agent in self._hosts:
                self._carrier.send(agent, order)
            until = time.monotonic() + CLOSING
            while self._hosts and time.monotonic() < until:
                await asyncio.sleep(LOOK)
        finally:
            try:
                await self._carrier.close()
            finally:
                for task in list(self._tasks):
                    task.cancel()
        while not self._carrier.events.empty():
            self._hear(self._carrier.events.get_nowait())
        if self._store is not None and self._gathered is not None:
            with suppress(HbsimError, TimeoutError):
                async with asyncio.timeout(LAST):
                    await asyncio.to_thread(_unstore, self._store, self._pruned)
        if not self._hosts and time.monotonic() > self._doubt:  # else something may go on
            self._file.remove()


def _append_log(folder: Path, text: str) -> None:
    """Add what a trial printed on a host to its log."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / LOG, "a", encoding="utf-8") as file:
        file.write(text[-LOG_BYTES:])


def _remove(folder: Path) -> None:
    """Remove a trial's checkpoints and files."""
    checkpoint.remove(folder / checkpoint.NAME)
    shutil.rmtree(folder / FILES, ignore_errors=True)


def _unstore(store: Store, trials: Container[int]) -> None:
    """Remove trials from a store, also what was still being stored of them when they were of no more use."""
    for trial in store.trials():
        if trial in trials:
            store.remove(trial)


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
