"""The controller's side of a study on Dask: what `Fleet` wants done is done here, in an event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from math import inf
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from hbsim.errors import ExecutorError, ParameterError
from hbsim.executors.dask.agents import BEAT
from hbsim.executors.dask.code import needs_trust, with_neighbour
from hbsim.executors.dask.depots import Depots
from hbsim.executors.dask.fleet import Fleet
from hbsim.executors.dask.home import held
from hbsim.executors.dask.homecoming import Homecoming
from hbsim.executors.dask.mark import why
from hbsim.executors.dask.muster import muster
from hbsim.executors.dask.plan import Plan
from hbsim.executors.dask.pools import Pools
from hbsim.executors.dask.todo import Action, Fetch, Log, Store, Unstore, Wake
from hbsim.executors.dask.transfers import Transfers
from hbsim.executors.target import label_of
from hbsim.runner.workers import Message

if TYPE_CHECKING:
    from hbsim.executors.dask.agents import AgentState
    from hbsim.executors.dask.link import Link
    from hbsim.executors.dask.vault import Vault

__all__ = ["Controller", "News"]

News: TypeAlias = tuple[list[Message], list[str], int]
"""Messages for the runner, warnings for people, and the bytes that the messages were made of."""

TICK: Final = 0.25  # seconds between two looks at the clock,
SHARE: Final = 1 / 32  # or this share of the lease, if that is shorter
PAUSE: Final = 0.5  # seconds after a line that did not get through
CLOSING: Final = 5.0  # seconds for hosts to be told that it is over
LAST: Final = 60.0  # seconds for what is still to be removed or written here at a good end
ORDERS: Final = 10.0  # seconds for an order to get through


class Controller:
    """Connects `Fleet` with the cluster, in an event loop that the runner does not wait for.

    Parameters
    ----------
    plan : Plan
        The study.
    pools : Pools
        Divides hosts among workers.
    say : callable
        Given lines for people while the cluster starts.
    news : callable
        Given what there is for the runner; nothing where it is to `check`. Never waits.

    Attributes
    ----------
    fleet : Fleet
        Once it is open.
    failure : BaseException or None
        What ended a background task: to be raised.
    discards : bool
        Whether the study has come to nothing, and hosts are to remove all that they have of it.
    """

    def __init__(
        self, plan: Plan, pools: Pools, say: Callable[[str], None], news: Callable[[News], None]
    ) -> None:
        self.plan, self.pools = plan, pools
        self.failure: BaseException | None = None
        self.discards = False
        self.fleet = Fleet(pools, Depots(plan.url is not None, {}, {}), plan.options.lease)
        self._say, self._news = say, news
        self._stack = AsyncExitStack()
        self._link: Link | None = None
        self._vault: Vault | None = None
        self._transfers: Transfers | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._chores: set[asyncio.Task[None]] = set()  # what no host has a part in
        self._sending: set[str] = set()
        self._down: tuple[float, str] | None = None  # since when the scheduler cannot be reached, and why
        self._address = ""
        self._home: Homecoming | None = None
        self._flushes = False  # whether that is going to happen
        self._note = ""  # the last one

    # Beginning

    async def open(self) -> None:
        """Start or find the cluster, and wait until its workers can take jobs.

        Raises
        ------
        ParameterError
            It cannot be started or reached, runs other versions, cannot load the training function, or has
            not what a trial needs.
        """
        from hbsim.executors.dask.connect import start_cluster
        from hbsim.executors.dask.link import Link

        plan = self.plan
        alone = time.monotonic() + await asyncio.to_thread(plan.mark.make)
        await self._open_vault()
        started = await start_cluster(plan.options, self._stack, self._say)
        if needs_trust(plan.bundle) and not started.trusted:
            rule = "travels as a pickle, which needs a connection by TLS: put it at the top of a file"
            raise ParameterError("train", label_of(plan.bundle["target"]), rule)
        self._address = started.address
        self._link = await Link.open(started.address, started.security, name=plan.name)
        await self._outlast(alone)
        stored = {} if self._vault is None else await asyncio.to_thread(self._vault.jobs)
        home = await asyncio.to_thread(held, plan.trials)
        self.depots = Depots(plan.url is not None, home, stored)
        self.fleet = Fleet(self.pools, self.depots, float(plan.options.lease))
        self._transfers = Transfers(self._ask_patiently, plan.trials, self._vault, plan.options.lease)
        self._home = Homecoming(self.depots, self._transfers, self._ask_patiently)
        await self._introduce()
        self._spawn(self._listen())
        self._spawn(self._tick())
        await self._muster(started.expected)

    async def _introduce(self) -> None:
        """Put agents beside the workers that there are, and those that come later."""
        from hbsim.executors.dask.link import LinkError
        from hbsim.executors.dask.plugin import AgentPlugin

        assert self._link is not None
        try:
            await self._link.subscribe(self.plan.name)
            problems = await self._link.register(AgentPlugin(self.plan.config()))
            there = await self._link.workers()
        except LinkError as error:
            raise self._lost(str(error)) from error
        for address in there:
            if address not in problems:
                self.fleet.worker_added(address, time.monotonic())
        self._check_problems(problems, there)

    def _lost(self, problem: str) -> ExecutorError:
        where = f"the Dask scheduler at {self._address}"
        return ExecutorError(where, f"cannot be reached any more: {problem}")

    def _check_problems(self, problems: Mapping[str, str], there: Collection[str]) -> None:
        """Say which workers cannot take part; it is an error if none can."""
        for address, problem in problems.items():
            if len(problems) >= len(there):
                raise ParameterError(
                    "executor", "dask", f"no Dask worker can take part: {address}: {problem}"
                )
            self.fleet.todo.notes.append(f"the Dask worker {address} gets no trials: {problem}")

    async def _open_vault(self) -> None:
        if self.plan.url is not None:
            from hbsim.executors.dask.vault import Vault

            self._vault = await asyncio.to_thread(Vault, self.plan.url, self.plan.study)
            await asyncio.to_thread(self._vault.check)

    async def _outlast(self, until: float) -> None:
        """Wait until nothing goes on any more that an earlier run of the study has left."""
        seconds = until - time.monotonic()
        if seconds > 0:
            self._say(why(seconds))
            await asyncio.sleep(seconds)
        await asyncio.to_thread(self.plan.mark.clear)

    async def _muster(self, expected: int | None) -> None:
        where = f"the Dask scheduler at {self._address}"
        await muster(self.fleet, expected, where, self._say, self.check, lambda: self._note)
        if self.pools.open and (wanting := self.pools.wanting):
            self.fleet.todo.notes.append(wanting)

    # Working

    def order(self, act: Callable[..., None], *what: object) -> None:
        """Have the fleet do what the runner asks for."""
        try:
            act(*what, time.monotonic())
        except Exception as error:  # nobody waits for it here
            self._fail(error)
        if not self._flushes:
            self._flushes = True
            asyncio.get_running_loop().call_soon(self.flush)

    def flush(self) -> None:
        """Do what the fleet wants done: nothing waits for anything else."""
        fleet, todo = self.fleet, self.fleet.todo
        self._flushes = False
        for agent in fleet.agents.values():
            if agent.outgoing and agent.gone is None and agent.name not in self._sending:
                self._sending.add(agent.name)
                self._spawn(self._send(agent))
        actions, todo.actions = todo.actions, []
        for action in actions:
            task = self._spawn(self._do(action))
            if isinstance(action, Log | Unstore):
                self._chores.add(task)
                task.add_done_callback(self._chores.discard)
        if todo.messages or todo.notes or fleet.fatal:
            self._note = (todo.notes or [self._note])[-1]
            notes = [with_neighbour(note, self.plan.bundle) for note in todo.notes]
            fleet.given(todo.size)
            self._news((todo.messages, notes, todo.size))
            todo.messages, todo.notes = [], []
        todo.size = 0

    def check(self) -> None:
        """Raise what ended a background task, and what an agent said that ends the study."""
        if self.failure is not None:
            raise self.failure
        fatal = self.fleet.fatal
        if isinstance(fatal, ParameterError):
            raise ParameterError(fatal.field, fatal.value, with_neighbour(fatal.rule, self.plan.bundle))
        if fatal is not None:
            raise fatal

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
        self.failure = self.failure or error
        self._news(([], [], 0))

    async def _listen(self) -> None:
        assert self._link is not None
        while True:
            kind, *what = await self._link.events.get()
            now = time.monotonic()
            if kind == "event":
                self._hear(what[0], now)
            elif kind == "worker-added":
                self.fleet.worker_added(what[0], now)
            elif kind == "worker-removed":
                self.fleet.worker_removed(what[0], now)
            elif kind == "down":
                self._down = self._down or (now, what[0])
            elif kind == "up":
                await self._count_workers()
            if self._link.events.empty():
                self.flush()

    def _hear(self, event: Mapping[str, Any], now: float) -> None:
        if "ended" in event:
            self.fleet.agent_ended(event["agent"], event["ended"], event.get("clear", False), now)
        else:
            self.fleet.heard(event["agent"], event["worker"], event["line"], now)

    async def _count_workers(self) -> None:
        """Learn which workers came and went while the scheduler could not be reached."""
        from hbsim.executors.dask.link import LinkError

        assert self._link is not None
        try:
            there, now = await self._link.workers(), time.monotonic()
        except LinkError:  # it is gone again, or busy
            await asyncio.sleep(PAUSE)
            self._link.events.put_nowait(("up",))
            return
        for address in set(self.fleet.workers) - set(there):
            self.fleet.worker_removed(address, now)
        for address in there:
            self.fleet.worker_added(address, now)
        self._down = None

    async def _tick(self) -> None:
        pause, marked = min(TICK, self.plan.options.lease * SHARE), -inf
        while True:
            now = time.monotonic()
            if self._down is None:
                if now - marked >= BEAT:
                    marked = now
                    self.plan.mark.touch()  # before any beat goes out
                self.fleet.tick(now)
                self.flush()
            elif now - self._down[0] > self.plan.options.lease:
                raise self._lost(self._down[1])
            await asyncio.sleep(pause)

    async def _send(self, agent: AgentState) -> None:
        from hbsim.executors.dask.link import LinkError

        try:
            while agent.outgoing and agent.gone is None:
                lines, agent.outgoing = agent.outgoing, []
                # What does not get through is sent again with a later beat.
                try:
                    reply = await self._ask(agent.address, "lines", agent=agent.name, lines=lines)
                except LinkError:
                    await asyncio.sleep(PAUSE)
                    continue
                if "error" in reply:
                    self.fleet.agent_refused(agent.name, reply["error"], time.monotonic())
        finally:
            self._sending.discard(agent.name)

    async def _ask(self, address: str, op: str, **what: Any) -> Mapping[str, Any]:
        assert self._link is not None
        return await self._link.call(address, self.plan.name, op_=op, **{"timeout": ORDERS, **what})

    async def _ask_patiently(self, address: str, op: str, **what: Any) -> Mapping[str, Any]:
        """Ask as soon as the scheduler can be reached: if that takes too long, the study ends."""
        while self._down is not None and self.failure is None:
            await asyncio.sleep(PAUSE)
        return await self._ask(address, op, **what)

    async def _do(self, action: Action) -> None:
        if isinstance(action, Wake):
            await self._wake(action.address)
        else:
            assert self._transfers is not None
            done = await self._transfers.do(action)
            if isinstance(action, Fetch):
                self.fleet.jobs.fetched(action.job, action.source.job, done, time.monotonic())
            elif isinstance(action, Store):
                self.fleet.jobs.stored(action.job, done)
        self.flush()

    async def _wake(self, address: str) -> None:
        from hbsim.executors.dask.link import LinkError

        with suppress(LinkError):  # it is asked again
            await self._ask(address, "wake")

    async def bring(self, trials: Sequence[int]) -> bool:
        """Bring checkpoints that only hosts have into the study's folder; return whether it could be done."""
        assert self._home is not None
        problems = await self._home.bring(trials)
        for trial, problem in sorted(problems.items()):
            self.fleet.todo.notes.append(f"the checkpoint of trial {trial} stays on its host: {problem}")
        self.flush()
        return not problems

    # Ending

    async def close(self) -> None:
        """End what runs on hosts, and the cluster if it was started here."""
        self.flush()
        if self._chores:
            orderly = self._home is not None and self._home.begun
            await asyncio.wait(self._chores, timeout=LAST if orderly else CLOSING)
        for task in list(self._tasks):
            task.cancel()
        ended: set[str] = set()
        try:
            if self._link is not None:
                await self._part(self._link, ended)
        finally:
            await self._stack.aclose()
        if all(agent.address in ended for agent in self.fleet.agents.values() if agent.jobs):
            self.plan.mark.remove()  # else something may go on until the lease is over

    async def _part(self, link: Link, ended: set[str]) -> None:
        """Take leave of all workers; add those to `ended` on which nothing goes on any more."""
        from hbsim.executors.dask.link import LinkError

        async def end(address: str) -> None:
            with suppress(LinkError):
                spent = self._home is not None and self._home.leaves_nothing(address)
                about = {"clean": spent or self.discards, "timeout": CLOSING * 0.8}
                if "error" not in await self._ask(address, "close", **about):
                    ended.add(address)

        with suppress(LinkError, TimeoutError):
            async with asyncio.timeout(CLOSING):
                await asyncio.gather(*(end(address) for address in await link.workers()))
                await link.unregister(self.plan.name)
        await link.close()
