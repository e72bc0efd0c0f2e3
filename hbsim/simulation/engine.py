"""The executor of simulated studies, on a SimPy environment with an event for each milestone or failure."""

from __future__ import annotations

from heapq import heappop, heappush
from math import inf, nan
from typing import Final

from hbsim.core.types import CONTINUE, PAUSE, RETRY, Job
from hbsim.runner.loop import FAILURE, FREE, MILESTONE, NOTHING, Event
from hbsim.runner.tables import CENSORED, FAILED
from hbsim.simulation.cluster_state import GONE, LEFT, LOAD, NOTICE, OVER, SAVE, ClusterState
from hbsim.simulation.jobs import ENDING, LEAVING, LOADING, PAUSING, TRAINING, SimulatedRun

TIMED: Final = frozenset((GONE, NOTICE, OVER))  # what happens at a time of its own: see `Due.at`


class Engine(ClusterState):
    """Runs jobs in simulated time; the `Executor` of the runner's loop."""

    # Methods that the loop calls

    def idle(self) -> int:
        """Return the lowest idle worker once all events of this time are handled, else -1."""
        free = self._free
        if not free or self._peek() <= self.now:
            return -1
        availability = self._availability
        if availability is None:
            return free[0]
        while free:
            worker = free[0]
            if availability.is_available(worker, self.now):
                return worker
            heappop(free)
            self._leave(worker)
        return -1

    def no_job(self, worker: int) -> None:
        """Nothing is done: the worker stays idle."""

    def wait(self) -> Event:
        """Go to the next event; NOTHING if there is none until `max_time`."""
        while True:
            soonest = self._peek()
            if soonest > self.max_time or soonest == inf:
                return NOTHING
            self._fired = self._nobody
            before, self.now = self.now, soonest
            self._step()
            due = self._fired
            event = due.event
            if event is MILESTONE:
                run = self._runs[due.worker]
                self.trial = run.trial
                at = self.at = run.at
                self.value = self._values[run.row + at]
                return MILESTONE
            if event is FREE:
                self.now = max(before, due.time)
                heappush(self._free, due.worker)
                return FREE
            if event is FAILURE:
                self.trial = self._runs[due.worker].trial
                return FAILURE
            if event in TIMED:
                self.now = max(before, due.time)
            outcome = self._inner(due.worker, event)
            if outcome is not NOTHING:
                return outcome
            if self._free:  # who was idle before can be asked about again, now that this is over
                return FREE

    def start(self, worker: int, job: Job) -> None:
        """Start a job on the lowest idle worker."""
        heappop(self._free)
        while job.trial >= self.curves.count:
            self.curves.grow()
            self.effects.grow(self.curves.count)
        run, now, jobs = self._runs[worker], self.now, self.jobs
        trial, bracket, start, stop, attempt = job
        run.job = jobs.started
        jobs.started += 1
        run.trial = trial
        run.attempt = attempt
        run.stood = run.milestone = start
        run.row = trial * self._width
        run.at = at = self._index[stop]
        run.first = self._first[bracket]
        run.start_time = now
        run.trained = 0.0
        run.value = nan
        run.busy = True
        run.phase = TRAINING
        if self._starts_over:
            run.starts_over = trial in self._over
            self._over.discard(trial)
        if self.disk is not None:
            self.disk.collect(now)
        startup = self._startup
        if self._draws_startup:
            startup = self.effects.startup(trial, at, attempt) if attempt else self._startups[run.row + at]
        chosen = self._choose(trial) if self._suggest_delay else 0.0
        delay = chosen + startup
        has_checkpoint = self._place(run)
        if self._drops:
            run.exposed = self._budget_left(trial, attempt)
        if self._shares and self._loads_first(worker, run, startup, has_checkpoint):
            return
        wait = load = 0.0
        if has_checkpoint or (start and not run.starts_over):
            wait, load = self._loading(trial, startup, has_checkpoint)
            delay += wait + load
        run.base = run.train_start = now + delay
        if self._drops:
            left = run.exposed
            run.exposed = left - startup - load
            if run.exposed < 0.0:
                self._schedule(worker, chosen + (left if left < startup else left + wait), FAILURE)
                return
        self._train(worker, run, delay)

    def answer(self, code: int) -> None:
        """Carry out the decision about the trial of the last event."""
        due = self._fired
        worker = due.worker
        run = self._runs[worker]
        if due.event is not MILESTONE:
            self._fail(worker, run, due.event, code == RETRY)
            if self.disk is not None:
                self.disk.collect(self.now)
            return
        at = run.at
        run.value = self.value
        run.milestone = self._levels[at]
        run.trained += run.seconds
        if self._drops:
            run.exposed -= run.seconds
        run.base = run.base + run.seconds if self._async else self.now
        run.base_at = at
        run.done = 0.0
        if code == CONTINUE:
            if self._answers and not self._async:
                run.base += self._answer_times[run.row + at] if self._draws_answer else self._answer
            run.at = at + 1
            run.seconds = self._seconds[run.row + at + 1] / self._speeds[worker]
            self._train(worker, run, run.base - self.now)
        elif self._plain:  # what `_end` comes to
            self.jobs.end(run, run.milestone, self.now, code)
            run.busy = False
            heappush(self._free, worker)
        else:
            self._end(worker, run, code)
        if self.disk is not None:
            self.disk.collect(self.now)

    # Training

    def _choose(self, trial: int) -> float:
        """Return the seconds until the searcher has chosen a trial's configuration; it does one at a time."""
        if trial < self._chosen:
            return 0.0
        self._chosen += 1
        self._chosen_by = max(self.now, self._chosen_by) + self._suggest_delay
        return self._chosen_by - self.now

    def _loads_first(self, worker: int, run: SimulatedRun, startup: float, has_checkpoint: bool) -> bool:
        """Begin a job that needs a checkpoint of the shared store, if it does."""
        is_saving = run.trial in self._saving and not run.starts_over
        if is_saving or has_checkpoint:
            run.phase = LOADING
            run.base = run.train_start = inf
            run.since = self.now
            if is_saving:
                self._waiting[run.trial] = worker
            self._schedule(worker, startup, LOAD, run.exposed if self._drops else inf)
        return is_saving or has_checkpoint

    def _loading(self, trial: int, startup: float, has_checkpoint: bool) -> tuple[float, float]:
        """Return the seconds after start-up until a checkpoint is saved, or is not, and those of loading."""
        wait = max(0.0, self._saved.get(trial, 0.0) - self.now - startup)
        if not has_checkpoint:
            return wait, 0.0
        if not self._sized:
            return wait, self._load
        return wait, self._load + (self._sizes[trial] if self._draws_size else self._size) / self._load_speed

    def _train(self, worker: int, run: SimulatedRun, delay: float) -> None:
        """Train the present stretch from `delay` seconds from now; before now, if training ran on."""
        report = self._delays[run.row + run.at] if self._draws_delay else self._delay
        span = delay + run.seconds + report
        if self._risky and self._is_lost(worker, run, delay, span):
            return
        self._due[worker].after(span if span > 0.0 else 0.0, MILESTONE)

    def _is_lost(self, worker: int, run: SimulatedRun, delay: float, span: float) -> bool:
        """Plan the loss of a training job, or its order to leave, if that comes before `span` is over."""
        loss = inf
        # Training that runs on can be lost before the report arrives, which is dropped then.
        if self._drops and run.exposed < (
            self._progress.free_run(run, self.now + span) if self._async else run.seconds
        ):
            loss = delay + run.exposed
        availability = self._availability
        if availability is not None:
            end, leaves = availability.gone[worker], GONE
            notice = availability.notified[worker]
            begun = notice >= self.now and notice >= run.train_start
            if notice < end and begun and self._can_save(run, end - notice):
                end, leaves = notice, NOTICE
            if end - self.now < span and end - self.now < loss:
                self._due[worker].at(end, leaves)
                return True
        if loss < inf:
            self._due[worker].after(max(0.0, loss), FAILURE)
        return loss < inf

    # Ends

    def _end(self, worker: int, run: SimulatedRun, code: int) -> None:
        """End a job that was decided now."""
        now, gone = self.now, self._gone(worker)
        answered = now
        if self._answers:
            answered += self._answer_times[run.row + run.at] if self._draws_answer else self._answer
        run.informed = min(answered, gone)
        run.verdict = code
        if code != PAUSE:
            self._forget(run.trial)
            self._finish(worker, run, answered, gone)
            return
        if self._drops:
            ran = self._progress.free_run(run, now) if self._async else 0.0
            self._budgets[run.trial] = (run.attempt, run.exposed - ran)
        if self._resume and answered <= gone:
            run.kept = (run.at, 0.0)
            if self._shares:
                run.phase = PAUSING
                self._saving[run.trial] = worker
                self._schedule(worker, answered - now + self._save, SAVE)
                return
            answered += self._save + self._alone(run.trial)
            if answered <= gone:
                self._keep(run, answered)
        if self._saves:
            self._saved[run.trial] = min(answered, gone)
            if gone < answered:
                self.lost_saves.append(gone)
        self._finish(worker, run, answered, gone)

    def _finish(self, worker: int, run: SimulatedRun, end: float, gone: float) -> None:
        """End a job that was decided at a time that is known, or as its worker goes."""
        if gone < end:
            end = gone
        if self._async and end > self.now:  # what it trains until then may still be cut
            run.phase, run.end = ENDING, end
            self._due[worker].at(end, OVER)
            return
        self._close(run, run.verdict, self._ran(run, end), end)
        self._release_worker(worker, end, gone)

    def _release_worker(self, worker: int, end: float, gone: float) -> None:
        if gone <= end:
            self._leave(worker)
        elif end > self.now:
            self._due[worker].at(end, FREE)
        else:
            heappush(self._free, worker)

    def _ran(self, run: SimulatedRun, time: float) -> float:
        """Return the seconds trained after the last decision, until the job received it or until a time."""
        return self._progress.free_run(run, min(time, run.informed)) if self._async else 0.0

    def _fail(self, worker: int, run: SimulatedRun, event: int, is_retried: bool) -> None:
        """End a job that was lost."""
        is_gone = event == GONE
        end = min(self.now, self._gone(worker)) if is_gone else self.now  # a sum of floats may be later
        extra = run.extra if run.phase == LEAVING else self._progress.until(run, self.now)
        below = self._index[run.milestone] if run.milestone else -1
        trial = run.trial
        if event == LEFT:
            self._keep(run, self.now)
            assert run.kept is not None
            run.milestone = max(run.milestone, self._progress.at(run, *run.kept))
        self._break_off(worker, run)
        kept = 0.0
        if self._starts_over:
            self._over.add(trial)
        elif self._resume:
            kept = self._progress.at(run, *self._position(trial, below))
            if end < self._saved.get(trial, 0.0):  # on its way, as far as anybody knows
                kept = max(kept, run.stood)
        taken = event == LEFT or (
            is_gone and self._availability is not None and self._availability.preempted[worker]
        )
        self.failures.add(run.job, end, "preempted" if taken else "lost", kept)
        if not is_retried:
            self._forget(trial)
        self._close(run, FAILED, extra, end)
        if is_gone:
            self._leave(worker)
        else:
            heappush(self._free, worker)

    # Events that the loop does not receive

    def _inner(self, worker: int, event: int) -> Event:
        """Handle an event on a worker; return the event for the loop, or NOTHING."""
        run = self._runs[worker]
        if event is NOTICE:
            self._give_notice(worker, run)
            return NOTHING
        if event is OVER:
            self._close(run, run.verdict, self._ran(run, run.end), run.end)
            self._release_worker(worker, self.now, self._gone(worker))
            return NOTHING
        self.trial = run.trial
        return FAILURE

    def _give_notice(self, worker: int, run: SimulatedRun) -> None:
        """Stop training, and save what there is at most up to the next milestone."""
        run.extra = max(0.0, self._progress.until(run, self.now))
        trained = min(run.extra, run.seconds)
        if trained == run.seconds:
            run.kept = (run.at, 0.0)
        else:
            run.kept = (run.base_at, run.done + trained * self._speeds[worker])
        run.phase = LEAVING
        if self._shares:
            self._schedule(worker, self._save, SAVE)
        else:
            self._due[worker].after(self._save + self._alone(run.trial), LEFT)

    # The end of the study

    def close(self) -> None:
        """Let go of the events: they hold the engine, and the collector may not look at them for long."""
        for due in self._due:
            due.listeners.clear()
            due.callbacks = None  # type: ignore[assignment]

    def interrupt(self) -> None:
        """End the study at the next event, as if `max_time` were now."""
        self.interrupted = True
        self.max_time = -inf

    def cut(self, time: float) -> None:
        """End the study at `time`: jobs under way are censored there."""
        for run in self._runs:
            if not run.busy:
                continue
            if run.phase in (PAUSING, ENDING):
                self._close(run, run.verdict, self._ran(run, time), time)
            elif run.phase == LEAVING:
                self._close(run, CENSORED, run.extra, time)
            else:
                self._close(run, CENSORED, self._progress.until(run, time), time)
        self.jobs.cut = time
