"""The agent: runs a study's trials on one host, for the controller, who may be on another machine.

``python -P -m hbsim.executors.remote.agent``: orders come in lines on its standard input, the configuration
first, and messages go in lines to its standard output, as `hbsim.executors.remote.lines` says. Nothing else
is ever written there: what the agent starts gets /dev/null and the standard error instead.

It ends everything that it has started, and itself, when its input ends, its output cannot be written, its
lease is over, it can run no trials, or ``close`` is ordered. After SIGTERM its trials save first and are
handed back. Its exit status is 0 if nothing is left then. If it is killed, the warm server ends the trials;
if it hangs, the kernel ends it soon after its lease, by SIGALRM.
"""

from __future__ import annotations

import json
import math
import os
import secrets
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from types import FrameType
from typing import Any, Final, NoReturn

from hbsim.errors import HbsimError, OutputError, ParameterError
from hbsim.executors import proc
from hbsim.executors.job_processes import JobProcesses
from hbsim.executors.lease import Lease, lease_clock
from hbsim.executors.local import LocalWorkers, UnfitTrial
from hbsim.executors.remote.agent_jobs import Jobs
from hbsim.executors.remote.code import localise
from hbsim.executors.remote.host import VARIABLE, find_place, hello, touch_all
from hbsim.executors.remote.lines import ROOM, Body, dump
from hbsim.executors.server_lines import fatal
from hbsim.executors.slots import Slot
from hbsim.executors.target import default_start

__all__ = ["Agent", "Channel", "Over", "main"]

CLOSE: Final = 20.0  # seconds after the grace in which the controller may copy what the trials have saved
_LOOK: Final = 0.2  # seconds after which something may be due, at the latest
_PATIENCE: Final = 0.5  # seconds in which the server may end everything itself
_HANGS: Final = 5  # seconds after the end of its lease in which an agent that does not hang has ended
_END: Final = 30  # seconds in which everything is ended
_REMOVE: Final = 600  # seconds in which the host's folder is removed
_CHUNK: Final = 1 << 18


class Over(Exception):
    """The agent has to end; says why, where that is worth a line."""


def main() -> NoReturn:
    """Serve the controller until it is over."""
    signal.signal(signal.SIGINT, _nothing)  # Ctrl-C is the controller's; what is ignored is inherited
    proc.adopt_orphans()  # those of a server that dies
    channel = _take_standard_files()
    agent: Agent | None = None
    reason = ""
    try:
        config = channel.first()
        signal.alarm(math.ceil(config["lease"]) + _HANGS)
        agent = Agent(config, channel)
        agent.run()
    except Over as over:
        reason = str(over)
    except HbsimError as error:  # the controller decides what that means
        channel.say(_fatal_from(error))
    except Exception:
        reason = traceback.format_exc()
    signal.alarm(_END)
    if agent is not None:
        agent.close()
    JobProcesses().kill_all()
    with suppress(OSError, ValueError):  # nobody may read it any more
        channel.finish()
        print(reason, file=sys.stderr, flush=True)
    os._exit(1 if proc.children() else 0)


def _take_standard_files() -> Channel:
    """Keep standard input and output for the lines; whatever else reads or writes there gets other files."""
    source, sink = os.dup(0), os.dup(1)  # not inherited
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return Channel(source, sink)


def _fatal_from(error: HbsimError) -> Body:
    """Return the message that this host can run no trials."""
    if isinstance(error, ParameterError):
        field, value, rule = fatal(error)["fatal"]
    elif isinstance(error, OutputError):
        field, value, rule = "folder", error.path, error.problem
    else:
        field, value, rule = "hosts", None, str(error)
    return {"m": "fatal", "field": field, "value": value, "rule": rule}


class Channel:
    """Lines over two descriptors, of pipes or sockets, for which nothing waits after the first line.

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
        self._sent = 0  # bytes of reports and ends
        self._unread = b""
        self.unwritten = bytearray()

    @property
    def full(self) -> bool:
        """Whether nothing more should be said until the runner has taken more."""
        return self._sent - self.taken > ROOM

    def first(self) -> Body:
        """Wait for the first line, the configuration."""
        parts = []
        while b"\n" not in self._unread:
            parts.append(self._unread)  # it holds the training function's code
            self._unread = os.read(self.source, _CHUNK)
            if not self._unread:
                raise Over
        line, _, self._unread = self._unread.partition(b"\n")
        os.set_blocking(self.source, False)
        os.set_blocking(self.sink, False)
        return dict(json.loads(b"".join([*parts, line])))

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
        return [dict(json.loads(line)) for line in lines]

    def say(self, body: Mapping[str, Any]) -> None:
        """Send a message."""
        line = dump(body).encode() + b"\n"
        if body["m"] in ("said", "ended"):
            self._sent += len(line) - 1
        self.unwritten += line
        self.write()

    def write(self) -> None:
        """Write what there is, as far as it goes."""
        try:
            while self.unwritten and not self.closed:
                del self.unwritten[: os.write(self.sink, self.unwritten)]
        except BlockingIOError:
            pass
        except OSError:
            self.closed = True

    def finish(self) -> None:
        """Write all that there is, if somebody reads it."""
        os.set_blocking(self.sink, True)
        self.write()


class Agent:
    """Runs trials as the controller orders.

    Parameters
    ----------
    config : mapping
        The controller's first line.
    channel : Channel
        To the controller.

    Raises
    ------
    HbsimError
        This host can run no trials.
    """

    def __init__(self, config: Mapping[str, Any], channel: Channel) -> None:
        self._channel, self._grace = channel, config["grace"]
        self._place = place = find_place(config)
        target = localise(config["bundle"], place.work)
        os.chdir(target.pop("cwd") or place.work)
        self._lease_file = place.work / f".lease-{os.getpid()}-{secrets.token_hex(4)}"
        self._lease = Lease.create(self._lease_file, config["lease"])
        slots: dict[int, Slot] = {}
        setup = {**config["setup"], "fenced": True}
        how = (config["start"] or default_start(), self._grace, self._lease_file)
        self._workers = LocalWorkers(target, slots, place.trials, setup, *how)
        self._workers.launch()
        self._workers.watch(channel.source, lambda: None)
        channel.say(hello(place))  # the server loads meanwhile
        store = (config["storage"], config["study"]) if "://" in config["storage"] else None
        self._jobs = Jobs(self._workers, slots, place, store, channel.say)
        self._touching = touch_all(place.work)
        self._ready = self._clean = self._terminated = False
        self._leaving: float | None = None  # since when
        signal.signal(signal.SIGTERM, self._terminate)

    def run(self) -> None:
        """Do what the controller says until it is gone.

        Raises
        ------
        Over
            The agent has to end.
        HbsimError
            This host can run no trials.
        """
        channel, workers = self._channel, self._workers
        while not channel.closed:
            workers.watch(channel.sink, channel.write, writable=bool(channel.unwritten), readable=False)
            workers.hold(channel.full and not self._terminated)  # those that are to save must hear of it
            try:
                messages = workers.wait(_LOOK)
            except UnfitTrial as error:
                messages = ()
                channel.say({**_fatal_from(error), "trial": error.of})
            self._look_at_lease()  # trials that have ended because it is over have not failed
            if self._terminated:
                self._leave()
            for message in messages:
                self._jobs.pass_on(message)
            self._look_at_server()
            for body in channel.receive():
                self._obey(body)
            self._jobs.tend()
            next(self._touching)

    def close(self) -> None:
        """End all trials and the server, and remove what is of no more use."""
        self._lease.revoke()
        self._workers.close(_PATIENCE)
        self._lease_file.unlink(missing_ok=True)
        if self._clean:
            signal.alarm(_REMOVE)
            shutil.rmtree(self._place.work, ignore_errors=True)

    def _obey(self, body: Body) -> None:
        kind = body["o"]
        if kind == "beat":
            self._lease.renew(body["until"])
            signal.alarm(max(1, math.ceil(self._lease.until - lease_clock())) + _HANGS)
            self._channel.taken = body["taken"]
            clocks = {"clock": round(lease_clock(), 6), "time": round(time.monotonic(), 6)}
            self._channel.say({"m": "beat", "id": body["id"], **clocks})
        elif kind == "taken":
            self._channel.taken = body["taken"]
        elif kind == "prune":
            self._jobs.prune(body["trials"])
        elif kind == "close":
            self._clean = bool(body["clean"])
            raise Over
        elif kind == "start":
            self._jobs.start(body)
        else:
            self._jobs.order(body)

    def _look_at_lease(self) -> None:
        if self._lease.expired():
            raise Over("hbsim: the controller has not been heard for too long; trials on this host end")
        try:
            os.stat(self._lease_file)
        except (FileNotFoundError, NotADirectoryError):  # no trial could begin
            rule = f"was removed, as temporary files are; {VARIABLE} can name a folder that nobody tidies"
            raise Over(f"hbsim: {self._lease_file} {rule}") from None
        except OSError:  # a disk that does not answer for a while
            pass

    def _look_at_server(self) -> None:
        server = self._workers.server
        if server is None:
            if not self._terminated:  # else its trials did not leave in time
                raise Over("hbsim: the server that trials are forked from has died")
        elif server.ready is not None and not self._ready:
            self._ready = True
            self._channel.say({"m": "ready", "seconds": round(server.ready, 3)})

    def _terminate(self, number: int, frame: FrameType | None) -> None:
        self._terminated = True

    def _leave(self) -> None:
        """Hand all trials back: they save and leave, or are killed after the grace; then end."""
        now = time.monotonic()
        if self._leaving is None:
            self._leaving = now
            self._channel.say({"m": "leaving", "reason": "SIGTERM was sent to its agent"})
            self._jobs.leave()
        if now > self._leaving + self._grace and self._jobs.running:
            self._workers.cut(f"its host is taken away, and it did not leave within {self._grace:g} s")
        if now > self._leaving + self._grace + CLOSE:
            raise Over("hbsim: SIGTERM was sent")


def _nothing(number: int, frame: FrameType | None) -> None:
    """Let a signal pass."""


if __name__ == "__main__":
    main()
