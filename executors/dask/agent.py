"""The agent: runs a study's trials on one host, for the controller, who speaks through a Dask worker.

``python -m hbsim.executors.dask.agent FD``: the file descriptor is a connected socket. The first line that
comes is the configuration, and the agent's id; then come orders, and messages go, as
`hbsim.executors.dask.wire` says.

It is no part of its Dask worker, whose process may be busy or hang. It ends everything that it has started,
and itself, when the line is closed, its parent is gone, the lease is over, or SIGTERM is sent. Its exit
status is 0 if nothing is left then. If it is stopped or killed, the server or the system ends the trials.
"""

from __future__ import annotations

import os
import secrets
import socket
import sys
import time
import traceback
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NoReturn

from hbsim.errors import HbsimError, OutputError, ParameterError
from hbsim.executors import proc
from hbsim.executors.dask.agent_guard import Guard, Over
from hbsim.executors.dask.agent_jobs import Jobs
from hbsim.executors.dask.agent_lines import Line, fatal_from
from hbsim.executors.dask.code_place import localise
from hbsim.executors.dask.hello import Place, find_place, hello
from hbsim.executors.dask.upkeep import Upkeep
from hbsim.executors.dask.wire import Body
from hbsim.executors.job_processes import JobProcesses
from hbsim.executors.lease import Lease, lease_clock
from hbsim.executors.local import LocalWorkers, UnfitTrial
from hbsim.executors.server_client import NotLoaded
from hbsim.executors.slots import Slot
from hbsim.executors.target import default_start
from hbsim.runner.workers import Message

__all__ = ["Agent", "main"]

_LOOK: Final = 0.2  # seconds after which reports may be due, at the latest
_PATIENCE: Final = 0.5  # seconds in which the server may end everything itself


def main() -> NoReturn:
    """Serve the controller until it is over."""
    connection = socket.socket(fileno=int(sys.argv[1]))
    guard = Guard(connection, os.getppid())
    agent = Agent(Line(connection), guard)
    reason, clear = "", False
    try:
        guard.arm()
        agent.run()
    except Over as over:
        reason = str(over)
    except BaseException:
        reason = traceback.format_exc()
    guard.disarm()
    try:
        clear = agent.end()
    except BaseException:
        reason += "\n" + traceback.format_exc()
    with suppress(Exception):  # nobody may read it any more
        if reason:
            print(reason, file=sys.stderr, flush=True)
    os._exit(0 if clear else 1)


class Agent:
    """Runs trials as it is told.

    Parameters
    ----------
    line : Line
        To the controller.
    guard : Guard
        Gets the lease.
    """

    def __init__(self, line: Line, guard: Guard) -> None:
        self._line, self._guard = line, guard
        self._lease_file: Path | None = None
        self._place: Place | None = None
        self._upkeep: Upkeep | None = None
        self._slots: dict[int, Slot] = {}
        self._crew = LocalWorkers({}, self._slots, Path(), {}, "spawn", 0.0)  # it only waits
        self._orders: list[Body] = []
        self._useless: deque[int] = deque()  # trials whose checkpoints nobody needs
        self._ready = self._failed = self._writable = False

    def run(self) -> None:
        """Do what the controller says until it is gone.

        Raises
        ------
        Over
            The agent has to end.
        """
        proc.adopt_orphans()  # those of a server that dies
        config = self._line.first()
        if self._line.closed:
            return
        try:
            self._begin(config)
        except HbsimError as error:
            self._fail(error)
        self._jobs = Jobs(self._crew, self._slots, *self._where(), self._line.say)
        self._crew.watch(self._line.connection, self._hear)
        while not self._line.closed:
            messages = self._wait()
            self._guard.look()  # trials that have ended because the lease is over have not failed
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
        self._crew.close(_PATIENCE)
        JobProcesses().kill_all()
        if self._lease_file is not None:
            self._lease_file.unlink(missing_ok=True)
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
            self._upkeep = Upkeep(place.work, self._lease_file)
            self._launch(config, place)
        except HbsimError as error:
            problem = error
        except OSError as error:
            problem = OutputError(str(place.work), str(error))
        self._line.say(hello(place))  # the server loads meanwhile
        if problem is not None:
            raise problem

    def _launch(self, config: Mapping[str, Any], place: Place) -> None:
        target = localise(config["bundle"], place.work)
        os.chdir(target.pop("cwd") or place.work)
        setup = {**config["setup"], "fenced": True}
        how = (config["start"] or default_start(), config["grace"], self._lease_file)
        self._crew.close()
        self._crew = LocalWorkers(target, self._slots, place.trials, setup, *how)
        self._crew.launch()

    def _where(self) -> tuple[Path, bool]:
        return (Path(), True) if self._place is None else (self._place.trials, self._place.shared)

    # Working

    def _hear(self) -> None:
        self._orders += self._line.receive()

    def _wait(self) -> Sequence[Message]:
        if self._writable != self._line.pending:
            self._writable = self._line.pending
            self._crew.watch(self._line.connection, self._hear, self._writable)
        self._crew.hold(self._line.full)
        try:
            messages = self._crew.wait(0 if self._useless else _LOOK)
            if self._crew.server is None:
                JobProcesses().kill_all()  # what it has left: its trials count as ended
            return messages
        except NotLoaded as error:
            if error.killed:  # perhaps this host has too little memory; others may have more
                self._line.say({"m": "note", "text": str(error)})
                raise Over(f"hbsim: {error}") from error
            self._fail(error)
        except UnfitTrial as error:
            self._line.say({**fatal_from(error), "trial": error.of})
        except ParameterError as error:
            self._fail(error)
        return ()

    def _obey(self, body: Body) -> None:
        kind, lease = body["o"], self._guard.lease
        assert lease is not None
        if kind == "beat":
            lease.renew(body["until"])
            self._line.acknowledge(body["ack"], body["room"])
            clocks = {"clock": round(lease_clock(), 6), "time": round(time.monotonic(), 6)}
            self._line.answer({"m": "beat", "id": body["id"], **clocks, "ack": self._line.heard})
        elif kind == "heard":
            self._line.acknowledge(body["ack"], body["room"])
        elif kind == "prune":
            self._useless.extend(body["trials"])
        elif kind == "close":
            raise Over
        else:
            self._jobs.order(body)

    def _tend(self) -> None:
        """Do what is due."""
        if self._upkeep is not None:
            _end_if(self._upkeep.turn())
        if self._failed:
            self._jobs.give_back()
        else:
            try:
                self._tend_server()
            except OutputError as error:
                self._fail(error)
        self._jobs.send_due()
        self._line.send()
        if self._useless:
            self._jobs.prune(self._useless.popleft())

    def _tend_server(self) -> None:
        if self._upkeep is not None and (self._crew.server is None or self._jobs.wait):
            _end_if(self._upkeep.look())  # neither a server nor a trial begins without its lease
        if self._crew.server is None:
            self._crew.launch()
        server = self._crew.server
        if server is None or server.ready is None:
            return
        if not self._ready:
            self._ready = True
            self._line.say({"m": "ready", "seconds": round(server.ready, 3)})
        self._jobs.start_waiting()

    def _fail(self, error: HbsimError) -> None:
        """Tell the controller that this host can run no trials; it decides what that means."""
        if self._failed:
            return
        self._failed = True
        self._line.say(fatal_from(error))


def _end_if(problem: str) -> None:
    if problem:
        raise Over(f"hbsim: {problem}; trials on this host end")


if __name__ == "__main__":
    main()
