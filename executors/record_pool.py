"""The worker processes of a recording: started, fed with trials, listened to, ended."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass

from hbsim.errors import OutputError, ParameterError
from hbsim.executors.record_part import Cell, Curve
from hbsim.executors.record_worker import Setup
from hbsim.executors.threads import thread_variables

__all__ = ["Task", "record_trials"]

_LOOK_AFTER_SECONDS = 1.0
_MAIN = "from hbsim.executors.record_worker import main; main()"


@dataclass(frozen=True)
class Task:
    """One trial to train.

    Attributes
    ----------
    trial, seed : int
        The trial's number, and the seed it is given.
    point : list of float
        Its configuration, a point of the unit cube of the search space.
    """

    trial: int
    seed: int
    point: list[float]


def record_trials(
    setup: Setup, tasks: Sequence[Task], workers: int, threads: int
) -> Generator[Curve, None, None]:
    """Train the tasks in worker processes and yield each one's curve when it ends.

    A trial that raises, or whose process dies, yields a curve with its error; a dead process is replaced.
    All processes are ended when the iterator is closed.

    Raises
    ------
    ParameterError
        The training function cannot be loaded, or does not report what it should.
    OutputError
        A worker process cannot be started.
    """
    waiting = deque(tasks)
    with selectors.DefaultSelector() as selector:
        running: list[_Worker] = []
        try:
            for _ in range(min(workers, len(tasks))):
                running.append(_Worker(setup, threads, selector))
            while running:
                for key, _ in selector.select(timeout=_LOOK_AFTER_SECONDS):
                    worker: _Worker = key.data
                    yield from worker.listen(waiting)
                    if worker.ended:
                        running.remove(worker)
                        if waiting:
                            running.append(_Worker(setup, threads, selector))
                for worker in running:
                    worker.end_orphans()
        finally:
            for worker in running:
                worker.kill()


class _Worker:
    """One worker process, and the curve of the trial that it trains."""

    def __init__(self, setup: Setup, threads: int, selector: selectors.BaseSelector) -> None:
        self.ended = False
        self._setup = setup
        self._selector = selector
        self._curve: Curve | None = None
        self._ready = False
        self._buffer = b""
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _MAIN],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,  # nothing is left to be written when a process has died
                env=os.environ | thread_variables(threads),
                start_new_session=True,  # Ctrl-C is the recorder's; a trial's processes end with it
            )
        except OSError as error:
            raise OutputError(sys.executable, f"a worker process cannot be started: {error}") from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        selector.register(self._stdout, selectors.EVENT_READ, self)
        self._send(asdict(setup))

    def listen(self, waiting: deque[Task]) -> Iterator[Curve]:
        """Take in what the process has said; hand it the next task when it is free."""
        data = os.read(self._stdout.fileno(), 1 << 16)
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            yield from self._hear(json.loads(line), waiting)
        if not data:
            yield from self._died()

    def end_orphans(self) -> None:
        """If the process has died, end what it left running: that would hold its output open."""
        if self._process.poll() is not None:
            self._kill_group()

    def kill(self) -> None:
        """End the process and all that it started; nothing is said about its trial."""
        self._kill_group()
        self._process.wait()
        self._close()

    def _close(self) -> None:
        self._stdin.close()
        self._stdout.close()

    def _kill_group(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def _hear(self, message: dict[str, object], waiting: deque[Task]) -> Iterator[Curve]:
        if "fatal" in message:
            raise _parameter_error(message["fatal"])
        if "report" in message:
            assert self._curve is not None
            self._curve.add(_report(message["report"]))
            return
        self._ready = True
        ended = self._finish(message["end"]) if "end" in message else None
        self._next(waiting)  # first: it trains while the curve is written
        if ended is not None:
            yield ended

    def _next(self, waiting: deque[Task]) -> None:
        if waiting:
            task = waiting.popleft()
            self._curve = Curve(task.trial)
            self._send(asdict(task))
        else:
            self._stdin.close()  # it has served, and ends

    def _died(self) -> Iterator[Curve]:
        self.ended = True
        self._selector.unregister(self._stdout)
        code = self._process.wait()
        self._close()
        how = f"signal {-code}" if code < 0 else f"exit status {code}"
        if not self._ready:
            rule = f"a worker process must be able to load it; it ended with {how}"
            raise ParameterError("train", self._setup.train, rule)
        if self._curve is not None:
            yield self._finish(f"the worker process died ({how})")

    def _finish(self, error: object) -> Curve:
        assert self._curve is not None
        curve, self._curve = self._curve, None
        curve.error = None if error is None else str(error)
        return curve

    def _send(self, message: object) -> None:
        with suppress(BrokenPipeError):  # it has died: the end of its output says so
            self._stdin.write(json.dumps(message).encode() + b"\n")


def _parameter_error(fatal: object) -> ParameterError:
    assert isinstance(fatal, list)
    field, value, rule = fatal
    return ParameterError(str(field), value, str(rule))


def _report(message: object) -> dict[str, Cell]:
    assert isinstance(message, dict)
    return message
