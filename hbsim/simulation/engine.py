"""The simulated cluster at work, on a SimPy environment: one event a milestone, or a failure."""

from __future__ import annotations

from heapq import heappop, heappush
from math import inf, nan
from typing import Final

from hbsim.core.trials import CONTINUE, PAUSE, RETRY
from hbsim.core.types import Job
from hbsim.runner.loop import FAILURE, FREE, MILESTONE, NOTHING, Event
from hbsim.runner.tables import CENSORED, FAILED, LOST, PREEMPTED
from hbsim.simulation.cluster_state import GONE, LEFT, LOAD, NOTICE, OVER, SAVE, ClusterState
from hbsim.simulation.jobs import HEARING, LEAVING, LOADING, PAUSING, TRAINING, SimulatedJob

__all__ = ["Engine"]

TIMED: Final = frozenset((GONE, NOTICE, OVER))  # what happens at a time of its own: see `Due.at`


class Engine(ClusterState):
    """Runs jobs in simulated time; the `Executor` of the runner's loop."""

    # What the loop calls

    def idle(self) -> int:
        """Return the lowest idle worker once all that ends at this time has been told, else -1."""
        free = self._free
        if not free or self._peek() <= self.now:
            return -1
        here = self._here
        if here is None:
            return free[0]
        while free:
            worker = free[0]
            if here.is_there(worker, self.now):
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
                stay = self._stays[due.worker]
                self.trial = stay.trial
                at = self.at = stay.at
                self.value = self._values[stay.row + at]
                return MILESTONE
            if event is FREE:
                self.now = max(before, due.time)
                heappush(self._free, due.worker)
                return FREE
            if event is FAILURE:
                self.trial = self._stays[due.worker].trial
                return FAILURE
            if event in TIMED:
                self.now = max(before, due.time)
            told = self._inner(due.worker, event)
            if told is not NOTHING:
                return told
            if self._free:  # who was idle before can be asked about again, now that this is over
                return FREE

    def start(self, worker: int, job: Job) -> None:
        """Start a job on the lowest idle worker."""
        heappop(self._free)
        while job.trial >= self.curves.count:
            self.curves.grow()
            self.luck.grow(self.curves.count)
        stay, now, jobs = self._stays[worker], self.now, self.jobs
        trial, bracket, start, stop, attempt = job
        stay.job = jobs.started
        jobs.started += 1
        stay.trial = trial
        stay.attempt = attempt
        stay.stood = stay.milestone = start
        stay.row = trial * self._width
        stay.at = at = self._index[stop]
        stay.first = self._first[bracket]
        stay.start_time = now
        stay.trained = 0.0
        stay.value = nan
        stay.busy = True
        stay.phase = TRAINING
        if self._starts_over:
            stay.starts_over = trial in self._over
            self._over.discard(trial)
        if self.disk is not None:
            self.disk.collect(now)
        startup = self._startup
        if self._draws_startup:
            startup = self.luck.startup(trial, at, attempt) if attempt else self._startups[stay.row + at]
        chosen = self._choose(trial) if self._suggest_delay else 0.0
        delay = chosen + startup
        has_checkpoint = self._place(stay)
        if self._drops:
            stay.exposed = self._budget_left(trial, attempt)
        if self._shares and self._loads_first(worker, stay, startup, has_checkpoint):
            return
        wait = load = 0.0
        if has_checkpoint or (start and not stay.starts_over):
            wait, load = self._loading(trial, startup, has_checkpoint)
            delay += wait + load
        stay.base = stay.train_start = now + delay
        if self._drops:
            left = stay.exposed
            stay.exposed = left - startup - load
            if stay.exposed < 0.0:
                self._watch(worker, chosen + (left if left < startup else left + wait), FAILURE)
                return
        self._train(worker, stay, delay)

    def answer(self, code: int) -> None:
        """Do what was decided about the trial of the last event."""
        due = self._fired
        worker = due.worker
        stay = self._stays[worker]
        if due.event is not MILESTONE:
            self._fail(worker, stay, due.event, code == RETRY)
            if self.disk is not None:
                self.disk.collect(self.now)
            return
        at = stay.at
        stay.value = self.value
        stay.milestone = self._levels[at]
        stay.trained += stay.seconds
        if self._drops:
            stay.exposed -= stay.seconds
        stay.base = stay.base + stay.seconds if self._async else self.now
        stay.base_at = at
        stay.done = 0.0
        if code == CONTINUE:
            if self._answers and not self._async:
                stay.base += self._answer_times[stay.row + at] if self._draws_answer else self._answer
            stay.at = at + 1
            stay.seconds = self._seconds[stay.row + at + 1] / self._speeds[worker]
            self._train(worker, stay, stay.base - self.now)
        elif self._plain:  # what `_end` comes to
            self.jobs.end(stay, stay.milestone, self.now, code)
            stay.busy = False
            heappush(self._free, worker)
        else:
            self._end(worker, stay, code)
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

    def _loads_first(self, worker: int, stay: SimulatedJob, startup: float, has_checkpoint: bool) -> bool:
        """Begin a job that needs a checkpoint of the shared store, if it does."""
        is_saving = stay.trial in self._saving and not stay.starts_over
        if is_saving or has_checkpoint:
            stay.phase = LOADING
            stay.base = stay.train_start = inf
            stay.since = self.now
            if is_saving:
                self._waiting[stay.trial] = worker
            self._watch(worker, startup, LOAD, stay.exposed if self._drops else inf)
        return is_saving or has_checkpoint

    def _loading(self, trial: int, startup: float, has_checkpoint: bool) -> tuple[float, float]:
        """Return the seconds after start-up until a checkpoint is saved, or is not, and those of loading."""
        wait = max(0.0, self._saved.get(trial, 0.0) - self.now - startup)
        if not has_checkpoint:
            return wait, 0.0
        if not self._sized:
            return wait, self._load
        return wait, self._load + (self._sizes[trial] if self._draws_size else self._size) / self._load_speed

    def _train(self, worker: int, stay: SimulatedJob, delay: float) -> None:
        """Train the present stretch from `delay` seconds from now; before now, if training ran on."""
        report = self._delays[stay.row + stay.at] if self._draws_delay else self._delay
        span = delay + stay.seconds + report
        if self._risky and self._is_lost(worker, stay, delay, span):
            return
        self._due[worker].after(span if span > 0.0 else 0.0, MILESTONE)

    def _is_lost(self, worker: int, stay: SimulatedJob, delay: float, span: float) -> bool:
        """Plan how a job that trains is lost, or told to go, if that comes before `span` is over."""
        loss = inf
        # Training that runs on can be lost before the report arrives, which is dropped then.
        if self._drops and stay.exposed < (
            self._progress.free_run(stay, self.now + span) if self._async else stay.seconds
        ):
            loss = delay + stay.exposed
        here = self._here
        if here is not None:
            end, leaves = here.gone[worker], GONE
            told = here.told[worker]
            begun = told >= self.now and told >= stay.train_start
            if told < end and begun and self._can_save(stay, end - told):
                end, leaves = told, NOTICE
            if end - self.now < span and end - self.now < loss:
                self._due[worker].at(end, leaves)
                return True
        if loss < inf:
            self._due[worker].after(max(0.0, loss), FAILURE)
        return loss < inf

    # Ends

    def _end(self, worker: int, stay: SimulatedJob, code: int) -> None:
        """End a job that was decided now."""
        now, gone = self.now, self._gone(worker)
        answered = now
        if self._answers:
            answered += self._answer_times[stay.row + stay.at] if self._draws_answer else self._answer
        stay.heard = min(answered, gone)
        stay.verdict = code
        if code != PAUSE:
            self._forget(stay.trial)
            self._finish(worker, stay, answered, gone)
            return
        if self._drops:
            ran = self._progress.free_run(stay, now) if self._async else 0.0
            self._budgets[stay.trial] = (stay.attempt, stay.exposed - ran)
        if self._resume and answered <= gone:
            stay.kept = (stay.at, 0.0)
            if self._shares:
                stay.phase = PAUSING
                self._saving[stay.trial] = worker
                self._watch(worker, answered - now + self._save, SAVE)
                return
            answered += self._save + self._alone(stay.trial)
            if answered <= gone:
                self._keep(stay, answered)
        if self._saves:
            self._saved[stay.trial] = min(answered, gone)
            if gone < answered:
                self.lost_saves.append(gone)
        self._finish(worker, stay, answered, gone)

    def _finish(self, worker: int, stay: SimulatedJob, end: float, gone: float) -> None:
        """End a job that was decided at a time that is known, or as its worker goes."""
        if gone < end:
            end = gone
        if self._async and end > self.now:  # what it trains until then may still be cut
            stay.phase, stay.end = HEARING, end
            self._due[worker].at(end, OVER)
            return
        self._close(stay, stay.verdict, self._ran(stay, end), end)
        self._release_worker(worker, end, gone)

    def _release_worker(self, worker: int, end: float, gone: float) -> None:
        if gone <= end:
            self._leave(worker)
        elif end > self.now:
            self._due[worker].at(end, FREE)
        else:
            heappush(self._free, worker)

    def _ran(self, stay: SimulatedJob, time: float) -> float:
        """Return the seconds trained after the last decision, until a job heard of it or a time."""
        return self._progress.free_run(stay, min(time, stay.heard)) if self._async else 0.0

    def _fail(self, worker: int, stay: SimulatedJob, event: int, is_retried: bool) -> None:
        """End a job that was lost."""
        is_gone = event == GONE
        end = min(self.now, self._gone(worker)) if is_gone else self.now  # a sum of floats may be later
        extra = stay.extra if stay.phase == LEAVING else self._progress.until(stay, self.now)
        below = self._index[stay.milestone] if stay.milestone else -1
        trial = stay.trial
        if event == LEFT:
            self._keep(stay, self.now)
            assert stay.kept is not None
            stay.milestone = max(stay.milestone, self._progress.at(stay, *stay.kept))
        self._break_off(worker, stay)
        kept = 0.0
        if self._starts_over:
            self._over.add(trial)
        elif self._resume:
            kept = self._progress.at(stay, *self._position(trial, below))
            if end < self._saved.get(trial, 0.0):  # on its way, as far as anybody knows
                kept = max(kept, stay.stood)
        taken = event == LEFT or (is_gone and self._here is not None and self._here.preempted[worker])
        self.failures.add(stay.job, end, PREEMPTED if taken else LOST, kept)
        if not is_retried:
            self._forget(trial)
        self._close(stay, FAILED, extra, end)
        if is_gone:
            self._leave(worker)
        else:
            heappush(self._free, worker)

    # What the loop need not know

    def _inner(self, worker: int, event: int) -> Event:
        """Do what happens on a worker; return what the loop is told: NOTHING for nothing."""
        stay = self._stays[worker]
        if event is NOTICE:
            self._give_notice(worker, stay)
            return NOTHING
        if event is OVER:
            self._close(stay, stay.verdict, self._ran(stay, stay.end), stay.end)
            self._release_worker(worker, self.now, self._gone(worker))
            return NOTHING
        self.trial = stay.trial
        return FAILURE

    def _give_notice(self, worker: int, stay: SimulatedJob) -> None:
        """Stop training, and save what there is at most up to the next milestone."""
        stay.extra = max(0.0, self._progress.until(stay, self.now))
        trained = min(stay.extra, stay.seconds)
        if trained == stay.seconds:
            stay.kept = (stay.at, 0.0)
        else:
            stay.kept = (stay.base_at, stay.done + trained * self._speeds[worker])
        stay.phase = LEAVING
        if self._shares:
            self._watch(worker, self._save, SAVE)
        else:
            self._due[worker].after(self._save + self._alone(stay.trial), LEFT)

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
        for stay in self._stays:
            if not stay.busy:
                continue
            if stay.phase in (PAUSING, HEARING):
                self._close(stay, stay.verdict, self._ran(stay, time), time)
            elif stay.phase == LEAVING:
                self._close(stay, CENSORED, stay.extra, time)
            else:
                self._close(stay, CENSORED, self._progress.until(stay, time), time)
        self.jobs.cut = time
