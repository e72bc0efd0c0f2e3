"""A naive cluster: looks at every worker before every step, and keeps what each stay was made of.

It drives a real scheduler through `ask` and `tell`, and reads the trials' numbers from `Curves`, their
luck from `Luck` and who is there from `Presence`. It is written from what docs/reference/cluster.md promises,
to hold the event-driven engine against it.
"""

from __future__ import annotations

import math
from typing import Any

from hbsim.core import Failure, Job, Report, Verdict

from .naive_attendance import Attendance
from .naive_checkpoints import NaiveCheckpoints
from .naive_simulator import none_for_nan
from .naive_stay import EXPOSED, Place, Stay
from .naive_store import NaiveStore

ENDS = (Verdict.PAUSE, Verdict.STOP, Verdict.COMPLETE)


class NaiveCluster:
    """A whole study; `run` it, then read `stays`, `decisions`, `failures`, `checkpoints` and `now`."""

    def __init__(
        self,
        scheduler: Any,
        curves: Any,
        cluster: Any,
        luck: Any,
        presence: Any,
        max_time: float | None = None,
        max_reward: float | None = None,
    ) -> None:
        self.scheduler = scheduler
        self.levels = scheduler.levels
        self.curves = curves
        self.cluster = cluster
        self.luck = luck
        self.max_time = math.inf if max_time is None else max_time
        self.max_reward = max_reward
        self.now = 0.0
        self.chosen = 0.0  # when the searcher has chosen its last configuration
        self.good_enough = False
        self.stays: list[Stay] = []
        self.decisions: list[dict[str, Any]] = []
        self.failures: list[dict[str, Any]] = []
        self.on_worker: list[Stay | None] = [None] * cluster.workers
        self.attendance = [Attendance(presence.absences(machine)) for machine in cluster.machine_of]
        self.checkpoints = NaiveCheckpoints(scheduler, cluster)
        self.store = None if cluster.store_bandwidth is None else NaiveStore(cluster.store_bandwidth)
        self.exposed: dict[int, float] = {}  # seconds of the present attempt, in earlier jobs

    # Time

    def run(self) -> NaiveCluster:
        while not self.good_enough:
            self.settle()
            due = [w for w in range(self.cluster.workers) if self.next_event(w) <= self.now]
            idle = [w for w, stay in enumerate(self.on_worker) if not stay and self.attendance[w].works]
            if due:
                self.happen(min(due, key=self.tells))
            elif idle and (job := self.scheduler.ask()) is not None:
                self.start(idle[0], job)
            elif not self.pass_time(bool(idle)):
                break
            self.checkpoints.collect(self.now)
        self.settle()
        self.cut(self.now if self.good_enough else self.max_time)
        return self

    def pass_time(self, is_over: bool) -> bool:
        """Go on to whatever comes next; return whether anything does."""
        running = [stay for stay in self.on_worker if stay]
        if not running and (is_over or self.scheduler.done):
            return False
        changes = [self.next_event(w) for w in range(self.cluster.workers)]
        changes += [min(stay.phase_end, stay.answer) for stay in running]
        if self.store:
            changes += [self.store.end(key, self.now) for key in self.store.left]
        then = min(changes)
        if then > self.max_time or then == math.inf:
            return False
        if self.store:
            for number in self.store.pass_time(self.now, then):
                self.stays[int(str(number))].parts[-1].end = then
        self.now = then
        return True

    def settle(self) -> None:
        """Let every part that is over by now be over, and the next begin."""
        while True:
            running = [stay for stay in self.on_worker if stay]
            for stay in running:
                if stay.phase in ("choice", "startup", "wait"):
                    stay.place = self.place_for(stay)
            over = [stay for stay in running if self.part_is_over(stay)]
            if not over:
                break
            self.go_on(over[0])

    def part_is_over(self, stay: Stay) -> bool:
        if stay.answer <= self.now:
            return True
        if stay.phase == "wait":
            source = self.source(stay)
            return source is None or source.state != "pending"
        return stay.phase_end <= self.now and not self.is_away(stay)

    def is_away(self, stay: Stay) -> bool:
        """Whether what it does now ends in a failure: it saves upon a notice."""
        return stay.leaving is not None and stay.phase == "transfer out"

    def go_on(self, stay: Stay) -> None:
        """Begin what follows the part that is over."""
        if stay.answer <= self.now:
            self.answered(stay)
        else:
            getattr(self, f"after_{stay.phase.replace(' ', '_')}")(stay)

    def after_choice(self, stay: Stay) -> None:
        stay.begin("startup", self.now, self.luck.startup(stay.job.trial, stay.at, stay.job.attempt))

    def after_startup(self, stay: Stay) -> None:
        stay.begin("wait", self.now)

    def after_wait(self, stay: Stay) -> None:
        stay.parts[-1].end = self.now
        if self.source(stay) is None:
            self.train_from_place(stay)
        else:
            self.transfer(stay, "transfer in", self.cluster.load_bandwidth)

    def after_transfer_in(self, stay: Stay) -> None:
        stay.begin("load", self.now, self.cluster.load)

    def after_load(self, stay: Stay) -> None:
        self.train_from_place(stay)

    def after_train(self, stay: Stay) -> None:
        at = stay.training
        stay.reached[at] = self.now
        if self.cluster.report == "blocking" and at == stay.at:
            stay.begin("hold", self.now)
        else:
            self.train(stay, Place(self.levels[at], at + 1))

    def after_answer(self, stay: Stay) -> None:
        self.train(stay, Place(self.levels[stay.at - 1], stay.at))

    def after_save(self, stay: Stay) -> None:
        self.transfer(stay, "transfer out", self.cluster.save_bandwidth)

    def after_transfer_out(self, stay: Stay) -> None:
        self.checkpoints.saved(stay, self.now)
        self.leave(stay)

    def next_event(self, worker: int) -> float:
        """Return when a worker has something to tell, or comes or goes."""
        stay = self.on_worker[worker]
        change = self.attendance[worker].next_change()
        if not stay:
            return change
        away = stay.phase_end if self.is_away(stay) else math.inf
        return min(change, self.decision(stay), self.failure(stay), away)

    def tells(self, worker: int) -> bool:
        """Whether the scheduler may hear of it; what it does not hear of comes first."""
        stay = self.on_worker[worker]
        return stay is not None and not stay.verdict

    def happen(self, worker: int) -> None:
        """Of simultaneous things a decision comes first, then a failure, then who comes and goes."""
        stay = self.on_worker[worker]
        if stay and self.decision(stay) <= self.now:
            self.decide(stay)
        elif stay and self.failure(stay) <= self.now:
            self.fail(stay, "lost")
        elif stay and self.is_away(stay) and stay.phase_end <= self.now:
            self.checkpoints.saved(stay, self.now)
            self.fail(stay, "preempted")
        else:
            is_preempted = self.attendance[worker].next.preempted
            change = self.attendance[worker].change()
            if stay and change == "told":
                self.stop_upon_notice(stay, self.attendance[worker].next.notice)
            elif stay and change == "gone":
                self.lose(stay, "preempted" if is_preempted else "lost")

    # What a job is made of

    def start(self, worker: int, job: Job) -> None:
        before = [stay for stay in self.stays if stay.job.trial == job.trial]
        retried = bool(before) and before[-1].verdict == "failed"
        at = self.levels.index(job.stop)
        zero = Place(0.0, self.scheduler.geometry.first[job.bracket])
        stay = Stay(len(self.stays), job, worker, self.now, retried, at, zero)
        self.stays.append(stay)
        self.on_worker[worker] = stay
        if before or not self.cluster.suggest_delay:
            self.after_choice(stay)
        else:
            self.chosen = max(self.chosen, self.now) + self.cluster.suggest_delay
            stay.begin("choice", self.now, self.chosen - self.now)

    def source(self, stay: Stay) -> Any:
        return self.checkpoints.newest(stay.job.trial, stay.job.start, stay.retried)

    def place_for(self, stay: Stay) -> Place:
        source = self.source(stay)
        return source.place if source else Place(0.0, self.scheduler.geometry.first[stay.job.bracket])

    def transfer(self, stay: Stay, kind: str, bandwidth: float | None) -> None:
        size = self.luck.size(stay.job.trial)
        if self.store and size:
            self.store.begin(stay.number, size, bandwidth)
            stay.begin(kind, self.now)
        else:
            stay.begin(kind, self.now, size / bandwidth if bandwidth else 0.0)

    def seconds_to_save(self, trial: int) -> float:
        """Return what it takes alone at full bandwidth."""
        bandwidths = [self.cluster.save_bandwidth, self.cluster.store_bandwidth]
        rate = min((b for b in bandwidths if b is not None), default=math.inf)
        return float(self.cluster.save + self.luck.size(trial) / rate)

    def train_from_place(self, stay: Stay) -> None:
        stay.train_start = self.now
        if stay.place.at > stay.at:  # it has been at the milestone that it is to report
            stay.reached[stay.at] = self.now
            if self.cluster.report == "blocking":
                stay.begin("hold", self.now)
                return
        self.train(stay, stay.place)

    def train(self, stay: Stay, place: Place) -> None:
        """Begin, or go on in, the stretch that ends at a level; beyond R there is none."""
        if place.at == len(self.levels):
            stay.begin("hold", self.now)
            return
        trial, speed = stay.job.trial, self.cluster.speeds[stay.worker]
        while self.curves.count <= trial:
            self.curves.grow()
        is_first = place.at == self.scheduler.geometry.first[stay.job.bracket]
        column = self.curves.from_zero if is_first else self.curves.seconds
        seconds = column[trial * len(self.levels) + place.at] - place.done
        stay.begin("train", self.now, seconds / speed)
        stay.training = place.at
        stay.parts[-1].first, stay.parts[-1].last = place.resource, self.levels[place.at]
        stay.parts[-1].done = place.done

    # What happens to it

    def failure(self, stay: Stay) -> float:
        if not self.cluster.drop_rate or not stay.runs or stay.phase not in EXPOSED:
            return math.inf
        budget = self.curves.budget(stay.job.trial, stay.job.attempt)
        spent = self.exposed.get(stay.job.trial, 0.0) + stay.spent(EXPOSED, self.now)
        return float(self.now + (budget - spent))

    def decision(self, stay: Stay) -> float:
        if not stay.runs or stay.at not in stay.reached:
            return math.inf
        return float(stay.reached[stay.at] + self.luck.report_delay(stay.job.trial, stay.at))

    def decide(self, stay: Stay) -> None:
        trial, level = stay.job.trial, self.levels[stay.at]
        value = self.curves.values[trial * len(self.levels) + stay.at]
        decision = self.scheduler.tell(Report(trial, level, value))
        (milestone,) = decision.milestones
        self.decisions.append(
            {
                "time": self.now,
                "trial": trial,
                "bracket": stay.job.bracket,
                "level": level,
                "value": none_for_nan(value),
                "n_before": milestone.n_before,
                "cutoff": none_for_nan(milestone.cutoff),
                "verdict": str(decision.verdict),
            }
        )
        stay.value, stay.milestone, stay.told = value, level, level
        delay = self.luck.decision_delay(trial, stay.at)
        stay.at += 1
        if decision.verdict in ENDS:
            self.exposed[trial] = self.exposed.get(trial, 0.0) + stay.spent(EXPOSED, self.now)
            stay.verdict, stay.answer = str(decision.verdict), self.now + delay
            if decision.verdict is not Verdict.PAUSE:
                self.checkpoints.over(trial, self.now)
            elif self.cluster.resume:
                self.checkpoints.announce(stay)
        elif self.cluster.report == "blocking":
            stay.begin("answer", self.now, delay)
        self.good_enough = self.is_good_enough(value)

    def answered(self, stay: Stay) -> None:
        """The worker knows of the verdict that ends its job."""
        stay.answer = math.inf
        stay.training_end = self.now
        if stay.verdict == "pause" and self.cluster.resume:
            stay.begin("save", self.now, self.cluster.save)
        else:
            self.leave(stay)

    def stop_upon_notice(self, stay: Stay, notice: float) -> None:
        is_of_use = self.cluster.resume and self.cluster.retry_from != "zero"
        is_in_time = self.seconds_to_save(stay.job.trial) <= notice
        if stay.train_start <= self.now and stay.runs and is_of_use and is_in_time:
            stay.leaving = self.place_to_keep(stay)
            stay.training_end = self.now
            stay.begin("save", self.now, self.cluster.save)

    def place_to_keep(self, stay: Stay) -> Place:
        """Return where it is; or at the milestone that it reports."""
        if stay.at in stay.reached:
            return Place(self.levels[stay.at], stay.at + 1)
        if stay.phase == "answer":
            return Place(self.levels[stay.at - 1], stay.at)
        part = stay.parts[-1]
        done = part.done + part.seconds(self.now) * self.cluster.speeds[stay.worker]
        return Place(stay.resource(self.now), stay.training, done)

    def lose(self, stay: Stay, kind: str) -> None:
        """Its worker is gone."""
        if stay.verdict:
            self.checkpoints.cut(stay)
            stay.training_end = min(stay.training_end, self.now)
            self.leave(stay)
        else:
            self.fail(stay, kind)

    def fail(self, stay: Stay, kind: str) -> None:
        trial = stay.job.trial
        stay.training_end = min(stay.training_end, self.now)
        resource = stay.stop_resource
        answer = self.scheduler.tell(Failure(trial, resource, kind))
        if answer.verdict is not Verdict.RETRY:
            self.checkpoints.over(trial, self.now)
        self.exposed[trial] = 0.0
        stay.verdict = "failed"
        kept = self.checkpoints.newest(trial, stay.milestone, True)
        self.failures.append(
            {
                "time": self.now,
                "trial": trial,
                "attempt": stay.job.attempt,
                "job": stay.number,
                "worker": stay.worker,
                "resource": resource,
                "kind": kind,
                "kept": kept.place.resource if kept else 0.0,
            }
        )
        self.leave(stay)

    def leave(self, stay: Stay) -> None:
        stay.end_time = self.now
        if self.store:
            self.store.cut(stay.number)
        self.on_worker[stay.worker] = None

    def is_good_enough(self, value: float) -> bool:
        if self.max_reward is None or not math.isfinite(value):
            return False
        return value >= self.max_reward if self.scheduler.mode == "max" else value <= self.max_reward

    def cut(self, time: float) -> None:
        for stay in self.on_worker:
            if stay:
                stay.end_time = time
                stay.training_end = min(stay.training_end, time)
                stay.verdict = stay.verdict or "censored"

    # The same as rows

    def jobs(self) -> list[dict[str, Any]]:
        return [
            {
                "job": stay.number,
                "trial": stay.job.trial,
                "attempt": stay.job.attempt,
                "bracket": stay.job.bracket,
                "worker": stay.worker,
                "start_resource": stay.start_resource,
                "stop_resource": stay.stop_resource,
                "start_time": stay.start_time,
                "train_start": None if stay.train_start == math.inf else stay.train_start,
                "end_time": stay.end_time,
                "value": none_for_nan(stay.value),
                "verdict": stay.verdict,
            }
            for stay in self.stays
        ]
