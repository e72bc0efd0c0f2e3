"""The agent: runs a study's trials on one host, for the controller, who may be on another machine.

``python -P -m hbsim.executors.remote.agent``: orders come in lines on its standard input, the configuration
first, and messages go in lines to its standard output, as `hbsim.executors.remote.lines` says. Nothing else
is ever written there: what the agent starts gets /dev/null and the standard error instead.

It ends everything that it has started, and itself, when its input ends, its output cannot be written, its
lease is over, or ``close`` is ordered. After SIGTERM its trials save first and are handed back; a second one,
some seconds later, or SIGHUP, ends it at once. Its exit status is 0 if nothing is left then. If it is stopped
or killed, the warm server ends the trials.
"""

from __future__ import annotations

import json
import os
import secrets
import select
import shutil
import signal
import sys
import time
import traceback
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from math import inf
from pathlib import Path
from types import FrameType
from typing import Any, Final, NoReturn

from hbsim.errors import HbsimError, OutputError, ParameterError
from hbsim.executors import proc
from hbsim.executors.job_processes import JobProcesses
from hbsim.executors.lease import Lease, lease_clock
from hbsim.executors.local import LocalWorkers, UnfitTrial
from hbsim.executors.remote.agent_jobs import Jobs, Transfers
from hbsim.executors.remote.code import localise
from hbsim.executors.remote.host import Place, Preserver, find_place, hello
from hbsim.executors.remote.lines import ROOM, Body, dump
from hbsim.executors.server_client import NotLoaded
from hbsim.executors.server_lines import fatal
from hbsim.executors.slots import Slot
from hbsim.executors.target import default_start
from hbsim.runner.workers import Message

__all__ = ["Agent", "Channel", "Guard", "Over", "main"]

CLOSE: Final = 20.0  # seconds after SIGTERM in which the controller may copy what the trials have saved
TOGETHER: Final = 5.0  # seconds in which SIGTERM is the same, from a queue and from the agent's parent, say
_LOOK: Final = 0.2  # seconds after which something may be due, at the latest
_PATIENCE: Final = 0.5  # seconds in which the server may end everything itself
_END: Final = 30  # seconds in which everything is ended
_REMOVE: Final = 600  # seconds in which the host's folder is removed
_CHUNK: Final = 1 << 18
_FEW: Final = 1 << 16  # bytes that are on their way before an answer can overtake
_WATCH: Final = 0.5  # seconds between two looks of the guard
_AGAIN: Final = 2.0
_HUNG_UP: Final = select.POLLHUP | select.POLLERR | select.POLLNVAL | getattr(select, "POLLRDHUP", 0)


def main() -> NoReturn:
    """Serve the controller until it is over."""
    source, sink = _take_descriptors()
    guard = Guard(source, sink)
    agent = Agent(Channel(source, sink), guard)
    reason, clean = "", False
    try:
        guard.arm()
        agent.run()
    except Over as over:
        reason = str(over)
    except BaseException:
        reason = traceback.format_exc()
    guard.disarm()
    try:
        clean = agent.end()
    except BaseException:
        reason += "\n" + traceback.format_exc()
    with suppress(Exception):  # nobody may read it any more
        if reason:
            print(reason, file=sys.stderr, flush=True)
    os._exit(0 if clean else 1)


def _take_descriptors() -> tuple[int, int]:
    """Keep standard input and output for the lines; whatever else reads or writes there gets other files."""
    source, sink = os.dup(0), os.dup(1)  # not inherited
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return source, sink


class Over(BaseException):
    """The agent has to end everything that it has started, and itself; raised in whatever it does.

    It says why, where that is worth a line.
    """


class Guard:
    """Looks twice a second whether the agent has to end, and raises `Over` then, even out of a system call.

    Ctrl-C is the controller's, and does nothing in the agent.

    Parameters
    ----------
    source, sink : int
        The descriptors of the lines. When the other end is gone, and the agent has not noticed for a while,
        it has to end,

    Attributes
    ----------
    lease : Lease or None
        as when this is over.
    terminated : bool
        Whether SIGTERM was sent: the trials are to be handed back.
    """

    def __init__(self, source: int, sink: int) -> None:
        self.lease: Lease | None = None
        self.terminated = False
        self._terminated_at = self._raised = -inf
        self._hung_up = 0  # looks in a row
        self._poll = select.poll()
        self._poll.register(source, _HUNG_UP)
        self._poll.register(sink, 0)

    def arm(self) -> None:
        """Begin."""
        signal.signal(signal.SIGINT, _nothing)  # what is ignored stays so in every process that is started
        signal.signal(signal.SIGTERM, self._end)
        signal.signal(signal.SIGHUP, self._end)
        signal.signal(signal.SIGALRM, self._wake)
        signal.setitimer(signal.ITIMER_REAL, _WATCH, _WATCH)

    def disarm(self) -> None:
        """Raise nothing any more; but if the end takes too long, the kernel makes it."""
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _nothing)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(_END)

    def look(self) -> None:
        """Raise `Over` if the lease is over."""
        if self.lease is not None and self.lease.expired():
            self._raise("hbsim: the controller has not been heard for too long; trials on this host end")

    def _wake(self, number: int, frame: FrameType | None) -> None:
        self.look()
        self._hung_up = self._hung_up + 1 if self._poll.poll(0) else 0
        if self._hung_up > 2:
            self._raise("")

    def _end(self, number: int, frame: FrameType | None) -> None:
        now, terminated = time.monotonic(), number == signal.SIGTERM and self.lease is not None
        if terminated and not self.terminated:
            self.terminated, self._terminated_at = True, now
        elif not (terminated and now < self._terminated_at + TOGETHER):
            self._raise(f"hbsim: {signal.Signals(number).name} was sent; trials on this host end")

    def _raise(self, reason: str) -> None:
        """Raise it once, so that it can be caught in peace; later again, for Python may have lost it."""
        if time.monotonic() - self._raised > _AGAIN:
            self._raised = time.monotonic()
            raise Over(reason)


class Channel:
    """Lines over two descriptors, of pipes or sockets, for which nothing waits.

    Parameters
    ----------
    source, sink : int
        Orders come from the one, messages go to the other.

    Attributes
    ----------
    closed : bool
        Whether the other end is gone.
    taken : int
        How many bytes of reports and ends the runner has taken.
    """

    def __init__(self, source: int, sink: int) -> None:
        self.source, self.sink = source, sink
        self.closed = False
        self.taken = 0
        self._unread = b""
        self._sent = 0  # bytes of reports and ends
        self._answers = b""
        self._waiting: deque[bytes] = deque()
        self._leaving = b""  # whole lines, but for what of the first one has been written

    @property
    def pending(self) -> bool:
        """Whether something could not be written yet."""
        return bool(self._leaving or self._answers or self._waiting)

    @property
    def full(self) -> bool:
        """Whether nothing more should be said until the runner has taken more."""
        return self._sent - self.taken > ROOM

    def first(self) -> Body:
        """Wait for the first line, the configuration; empty if none comes."""
        parts = []
        while b"\n" not in self._unread and not self.closed:
            parts.append(self._unread)  # it holds the training function's code
            self._unread = os.read(self.source, _CHUNK)
            self.closed = not self._unread
        line, _, self._unread = self._unread.partition(b"\n")
        os.set_blocking(self.source, False)
        os.set_blocking(self.sink, False)
        return {} if self.closed else dict(json.loads(b"".join([*parts, line])))

    def receive(self) -> list[Body]:
        """Return the orders that have come by now."""
        try:
            data = os.read(self.source, _CHUNK)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        self.closed = self.closed or not data
        *lines, self._unread = (self._unread + data).split(b"\n")
        try:
            return [dict(json.loads(line)) for line in lines]
        except (ValueError, TypeError) as error:
            raise Over(f"hbsim: what has come is no order of the controller: {error}") from error

    def say(self, body: Mapping[str, Any]) -> None:
        """Send a message."""
        line = dump(body)
        self._sent += len(line) if body["m"] in ("said", "ended") else 0
        self._waiting.append(line.encode() + b"\n")
        self.send()

    def answer(self, body: Mapping[str, Any]) -> None:
        """Send a message ahead of those that wait."""
        self._answers += dump(body).encode() + b"\n"
        self.send()

    def send(self) -> None:
        """Write what there is, as far as it goes."""
        while self.pending and not self.closed:
            self._leaving = self._leaving or self._next()
            try:
                self._leaving = self._leaving[os.write(self.sink, self._leaving) :]
            except BlockingIOError:
                return
            except OSError:
                self.closed = True

    def _next(self) -> bytes:
        """Take the lines that are to go next: answers, and some of the others."""
        lines, self._answers = [self._answers], b""
        size = len(lines[0])
        while self._waiting and size < _FEW:
            lines.append(self._waiting.popleft())
            size += len(lines[-1])
        return b"".join(lines)


class Agent:
    """Runs trials as the controller orders.

    Parameters
    ----------
    channel : Channel
        To the controller.
    guard : Guard
        Gets the lease.
    """

    def __init__(self, channel: Channel, guard: Guard) -> None:
        self._channel, self._guard = channel, guard
        self._lease_file: Path | None = None
        self._place: Place | None = None
        self._preserver: Preserver | None = None
        self._slots: dict[int, Slot] = {}
        self._workers = LocalWorkers({}, self._slots, Path(), {}, "spawn", 0.0)  # it only waits
        self._orders: list[Body] = []
        self._useless: deque[int] = deque()  # trials whose checkpoints nobody needs
        self._ready = self._failed = self._clean = False
        self._leaving = self._left = inf  # since when: SIGTERM, and no trial any more
        self._grace = 0.0

    def run(self) -> None:
        """Do what the controller says until it is gone.

        Raises
        ------
        Over
            The agent has to end.
        """
        proc.adopt_orphans()  # those of a server that dies
        config = self._channel.first()
        if self._channel.closed:
            return
        self._grace = config["grace"]
        transfers = Transfers(config["storage"], config["study"])
        try:
            self._begin(config)
        except HbsimError as error:
            self._fail(error)
        self._jobs = Jobs(self._workers, self._slots, self._place, transfers, self._channel.say)
        self._workers.watch(self._channel.source, self._hear)
        while not self._channel.closed:
            messages = self._wait()
            self._guard.look()  # trials that have ended because the lease is over have not failed
            if self._guard.terminated:
                self._leave()
            for message in messages:
                self._jobs.pass_on(message)
            orders, self._orders = self._orders, []
            for body in orders:
                self._obey(body)
            self._tend()

    def end(self) -> bool:
        """End all that was started; return whether nothing is left."""
        if self._guard.lease is not None:
            self._guard.lease.revoke()
        self._workers.close(_PATIENCE)
        JobProcesses().kill_all()
        if self._lease_file is not None:
            self._lease_file.unlink(missing_ok=True)
        signal.alarm(_REMOVE)
        if self._clean and self._place is not None:
            shutil.rmtree(self._place.work, ignore_errors=True)
        return not proc.children()

    # The beginning

    def _begin(self, config: Mapping[str, Any]) -> None:
        """Find a place for everything, put the code there, and launch the server."""
        self._guard.lease = Lease.create(None, config["lease"])  # until it is known where a file can be
        self._place = place = find_place(config)
        self._lease_file = place.work / f".lease-{os.getpid()}-{secrets.token_hex(4)}"
        problem: HbsimError | None = None
        try:
            self._guard.lease = Lease.create(self._lease_file, config["lease"])
            self._preserver = Preserver(place.work, self._lease_file)
            self._launch(config, place)
        except HbsimError as error:
            problem = error
        except OSError as error:
            problem = OutputError(str(place.work), str(error))
        self._channel.say(hello(place))  # the server loads meanwhile
        if problem is not None:
            raise problem

    def _launch(self, config: Mapping[str, Any], place: Place) -> None:
        target = localise(config["bundle"], place.work)
        os.chdir(target.pop("cwd") or place.work)
        setup = {**config["setup"], "fenced": True}
        how = (config["start"] or default_start(), config["grace"], self._lease_file)
        self._workers.close()
        self._workers = LocalWorkers(target, self._slots, place.trials, setup, *how)
        self._workers.launch()

    # Working

    def _hear(self) -> None:
        self._orders += self._channel.receive()

    def _wait(self) -> Sequence[Message]:
        channel = self._channel
        self._workers.watch(channel.sink, channel.send, writable=channel.pending, readable=False)
        self._workers.hold(channel.full and self._leaving == inf)  # those that are to save must hear of it
        try:
            served = self._workers.server is not None
            messages = self._workers.wait(0 if self._useless else _LOOK)
            if served and self._workers.server is None:
                self._kill_rest()
            return messages
        except NotLoaded as error:
            if error.killed:  # perhaps this host has too little memory; others may have more
                channel.say({"m": "note", "text": str(error)})
                raise Over(f"hbsim: {error}") from error
            self._fail(error)
        except UnfitTrial as error:
            channel.say({**_fatal_from(error), "trial": error.of})
        except ParameterError as error:
            self._fail(error)
        return ()

    def _kill_rest(self) -> None:
        """Kill what a server has left that has died: its trials count as ended."""
        self._jobs.transfers.interrupt()
        JobProcesses().kill_all()

    def _obey(self, body: Body) -> None:
        kind, lease = body["o"], self._guard.lease
        assert lease is not None
        if kind == "beat":
            lease.renew(body["until"])
            self._channel.taken = body["taken"]
            clocks = {"clock": round(lease_clock(), 6), "time": round(time.monotonic(), 6)}
            self._channel.answer({"m": "beat", "id": body["id"], **clocks})
        elif kind == "taken":
            self._channel.taken = body["taken"]
        elif kind == "prune":
            self._useless.extend(body["trials"])
        elif kind == "close":
            self._clean = bool(body["clean"])
            raise Over
        else:
            self._jobs.order(body)

    def _tend(self) -> None:
        """Do what is due."""
        if self._preserver is not None:
            _end_if(self._preserver.turn())
        if self._leaving < inf:
            self._jobs.give_back("preempted", "its host is taken away")
        elif self._failed:
            self._jobs.give_back("lost", "its host can run no trials")
        else:
            try:
                self._tend_server()
            except OutputError as error:
                self._fail(error)
        self._jobs.tend()
        if self._useless:
            self._jobs.prune(self._useless.popleft())

    def _tend_server(self) -> None:
        if self._preserver is not None and (self._workers.server is None or self._jobs.wait):
            _end_if(self._preserver.look())  # neither a server nor a trial begins without its lease
        if self._workers.server is None:
            self._workers.launch()
        server = self._workers.server
        if server is None or server.ready is None:
            return
        if not self._ready:
            self._ready = True
            self._channel.say({"m": "ready", "seconds": round(server.ready, 3)})
        self._jobs.start_waiting()

    def _leave(self) -> None:
        """Hand all trials back: they save and leave, or are killed after the grace; then end."""
        now = time.monotonic()
        if self._leaving == inf:
            self._leaving = now
            self._channel.say({"m": "leaving", "reason": "SIGTERM was sent to its agent"})
            self._jobs.leave_all()
        if self._jobs.running:
            if now > self._leaving + self._grace:
                self._workers.cut(f"its host is taken away, and it did not leave within {self._grace:g} s")
                self._kill_rest()
        else:
            self._left = min(self._left, now)
        if now > self._left + CLOSE:
            raise Over("hbsim: SIGTERM was sent")

    def _fail(self, error: HbsimError) -> None:
        """Say that this host can run no trials; the controller decides what that means."""
        if not self._failed:
            self._failed = True
            self._channel.say(_fatal_from(error))


def _fatal_from(error: HbsimError) -> Body:
    """Return the message that this host can run no trials."""
    if isinstance(error, ParameterError):
        field, value, rule = fatal(error)["fatal"]
    elif isinstance(error, OutputError):
        field, value, rule = "folder", error.path, error.problem
    else:
        field, value, rule = "hosts", None, str(error)
    return {"m": "fatal", "field": field, "value": value, "rule": rule}


def _end_if(problem: str) -> None:
    if problem:
        raise Over(f"hbsim: {problem}; trials on this host end")


def _nothing(number: int, frame: FrameType | None) -> None:
    """Let a signal pass."""


if __name__ == "__main__":
    main()
