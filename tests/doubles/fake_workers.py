"""Workers that only pretend: trials train along a formula, on a virtual clock, and go wrong as told."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import inf

from hbsim.runner.workers import Assignment, JobEnded, Message, Reported, ReportRow
from tests.doubles.fake_trials import ALWAYS, AT_MESSAGE, Curve, Fault


@dataclass
class Process:
    """A job's process."""

    task: Assignment
    worker: int
    resource: float
    stop: float
    faults: dict[str, Fault]
    messages: dict[int, Fault]
    begun: float | None = None
    trained: float = 0.0
    reports: int = 0
    said: int = 0
    sent: int = 0
    unsent: list[ReportRow] = field(default_factory=list)
    waits: bool = False
    leave: bool = False
    save: bool = False
    saving: bool = False

    def fault(self, kind: str) -> Fault | None:
        """Return the fault of a kind if it happens at the present report, or always."""
        fault = self.faults.get(kind)
        return fault if fault is not None and (kind in ALWAYS or fault.at == self.reports) else None

    def late(self, kind: str) -> float:
        """Return the seconds of a fault that makes something slow."""
        fault = self.fault(kind)
        return 0.0 if fault is None else fault.seconds


class FakeWorkers:
    """The protocol `hbsim.runner.workers.Workers` on a virtual clock, in this process.

    It holds that no worker is given two jobs, that no trial runs twice at the same time, and that
    answers make sense. `saved` are checkpoints beyond milestones, by trial.

    Attributes
    ----------
    now : float
        The clock; starts anywhere.
    begun : list of Assignment
        All jobs, in the order of their starts.
    processes : dict of int to Process
        Those that are alive, by job.
    left, killed : list
        Whom it told to leave, and whether to save first; whom it killed, and why.
    delivered : int
        Reports in all messages that were heard, repeated ones too.
    """

    def __init__(
        self,
        count: int,
        curve: Curve,
        faults: Sequence[Fault] = (),
        now: float = 0.0,
        latency: float = 0.0,
        saved: Mapping[int, float] | None = None,
    ) -> None:
        self.count, self.curve, self.now = count, curve, now
        self.begun: list[Assignment] = []
        self.processes: dict[int, Process] = {}
        self.delivered = 0
        self.left: list[tuple[int, bool]] = []
        self.killed: list[tuple[int, str]] = []
        self._faults, self._latency, self._saved = faults, latency, saved or {}
        self._busy: dict[int, int] = {}  # the job of each worker until its end has been heard
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._order = 0
        self._inbox: list[Message] = []
        self._awake = False
        self._turns = 0  # waits in a row in which no time went by

    def clock(self) -> float:
        return self.now

    def at(self, time: float, action: Callable[[], None]) -> None:
        """Do something at a time of the clock."""
        self._order += 1
        heapq.heappush(self._queue, (time, self._order, action))

    def takes(self, worker: int) -> bool:
        """Return whether a worker is there."""
        return 0 <= worker < self.count

    # The protocol

    def start(self, worker: int, task: Assignment) -> None:
        assert self.takes(worker), f"worker {worker} is shut"
        assert worker not in self._busy, f"worker {worker} has job {self._busy[worker]}"
        assert all(p.task.trial != task.trial for p in self.processes.values()), "the trial runs twice"
        assert task.job not in {known.job for known in self.begun}
        mine = [fault for fault in self._faults if fault.job == len(self.begun)]
        self.begun.append(task)
        process = self.processes[task.job] = Process(
            task,
            worker,
            max(task.start, self._saved.get(task.trial, 0.0)) if self.curve.resume else 0.0,
            task.stop,
            {fault.kind: fault for fault in mine if fault.kind not in AT_MESSAGE},
            {fault.at: fault for fault in mine if fault.kind in AT_MESSAGE},
        )
        self._busy[worker] = task.job
        self.at(self.now + process.late("slow start"), partial(self._begin, process))

    def wait(self, timeout: float | None) -> Sequence[Message]:
        until = inf if timeout is None else self.now + timeout
        while not self._inbox and not self._awake and self._queue and self._queue[0][0] <= until:
            self._step()
        while self._queue and self._queue[0][0] <= self.now:  # what happens at the same moment
            self._step()
        if not self._inbox and not self._awake:
            assert until < inf, "this would wait for ever"
            self._turns = 0 if until > self.now else self._turns + 1
            assert self._turns < 1000, "no time goes by"
            self.now = until
        self._awake = False
        messages, self._inbox = self._inbox, []
        return messages

    def wake(self) -> None:
        self._awake = True

    def go_on(self, job: int, stop: float) -> None:
        process = self.processes.get(job)
        if process is None:
            return
        assert process.waits
        assert not process.leave, "it was told to leave"
        assert stop > process.resource
        process.waits, process.stop = False, stop
        self._train_on(process)

    def leave(self, job: int, save: bool) -> None:
        self.left.append((job, save))
        process = self.processes.get(job)
        if process is not None:
            process.leave, process.save = True, save
            if process.waits:
                self._leave(process)

    def kill(self, job: int, reason: str = "") -> None:
        self.killed.append((job, reason))
        process = self.processes.get(job)
        if process is not None:
            end = partial(self._exit, process, "lost", reason)
            self.at(self.now + process.late("slow kill"), end)

    def cut(self, reason: str) -> None:
        for process in list(self.processes.values()):
            self._exit(process, "lost", reason)

    def close(self) -> None:
        self.processes.clear()

    # A process

    def _step(self) -> None:
        time, _, action = heapq.heappop(self._queue)
        self.now = max(self.now, time)
        action()

    def _begin(self, process: Process) -> None:
        if self._lives(process):
            process.begun = self.now
            said = Reported(process.task.job, [], process.said, begun=self.now)
            self.at(self.now + self._latency, partial(self._deliver, process, said))  # it never goes wrong
            self._train_on(process)

    def _lives(self, process: Process) -> bool:
        return process.task.job in self.processes

    def _train_on(self, process: Process) -> None:
        if self.curve.returns(process.task.trial, process.resource):
            self._exit(process)
        else:
            self._train(process)

    def _train(self, process: Process) -> None:
        resource = self.curve.after(process.task.trial, process.resource)
        if resource == inf or process.faults.get("silent"):
            self._exit(process)
        elif not process.fault("hang"):
            took = (resource - process.resource) * self.curve.seconds
            self.at(self.now + took, partial(self._report, process, resource, took))

    def _report(self, process: Process, resource: float, took: float) -> None:
        if not self._lives(process):
            return
        for kind in ("error", "oom", "lost"):
            fails = kind == "error" and self.curve.fails(process.task, resource)
            if fails or process.fault(kind):
                self._exit(process, kind, "as it was told")
                return
        if process.fault("terminated"):
            self._exit(process, left=True)
            return
        process.resource = resource
        process.trained += took
        self._note(process)
        self._after_report(process)

    def _note(self, process: Process) -> None:
        number = process.said + len(process.unsent)
        value = self.curve.value(process.task.trial, process.resource)
        metrics = {"value": value, "number": float(number)}
        process.unsent.append(ReportRow(self.now, process.trained, process.resource, metrics))

    def _after_report(self, process: Process) -> None:
        ends = process.fault("return") or self.curve.returns(process.task.trial, process.resource)
        dies = process.fault("dies waiting")
        process.reports += 1
        process.waits = process.resource >= process.stop
        if process.waits or process.leave or len(process.unsent) >= self.curve.batch:
            self._say(process)
        if process.waits and dies:
            self._exit(process, "lost", "it died while it waited")
        elif process.leave and not process.faults.get("deaf"):
            self._leave(process)
        elif ends and not process.waits:
            self._exit(process)
        elif not process.waits:
            self._train(process)

    def _leave(self, process: Process) -> None:
        if process.saving or process.faults.get("deaf"):
            return
        process.saving = True
        if process.faults.get("stubborn"):
            self._note(process)
        seconds = process.late("slow save") if process.save else 0.0
        self.at(self.now + seconds, partial(self._exit, process, left=True))

    def _exit(self, process: Process, kind: str | None = None, reason: str = "", left: bool = False) -> None:
        if self._lives(process):
            del self.processes[process.task.job]
            rows, first, seconds = process.unsent, process.said, {"save": process.late("slow save")}
            ended = JobEnded(process.task.job, rows, first, kind, reason, process.begun, seconds, left)
            self._send(process, ended)

    # Messages

    def _say(self, process: Process) -> None:
        rows, process.unsent = process.unsent, []
        said = Reported(process.task.job, rows, process.said, process.waits)
        process.said += len(rows)
        self._send(process, said)

    def _send(self, process: Process, message: Message) -> None:
        fault = process.messages.get(process.sent)
        process.sent += 1
        deliver = partial(self._deliver, process, message)
        kind = None if fault is None else fault.kind
        late = 0.0 if fault is None else fault.seconds
        if kind == "drop" and isinstance(message, Reported):
            return
        self.at(self.now + self._latency + (late if kind == "delay" else 0.0), deliver)
        if kind == "twice":
            self.at(self.now + self._latency + late, deliver)

    def _deliver(self, process: Process, message: Message) -> None:
        self._inbox.append(message)
        self.delivered += len(message.rows)
        if isinstance(message, JobEnded) and self._busy.get(process.worker) == message.job:
            del self._busy[process.worker]
