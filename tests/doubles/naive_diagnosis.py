"""The diagnosis of a study in plain loops, from its tables `jobs`, `decisions` and `failures` alone."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np

import hbsim

Row = dict[str, Any]
NOTHING = -math.inf
SLACK = 1e-9  # seconds: a sum of floats may be later than it should


class NaiveDiagnosis:
    """What decisions cost, and where the workers' time went."""

    def __init__(self, result: hbsim.Result) -> None:
        self.result = result
        self.levels = [float(level) for level in result.scheduler.levels]
        self.sign = 1.0 if result.scheduler.mode == "max" else -1.0
        self.jobs = result.jobs.to_dicts()
        self.decisions = result.decisions.to_dicts()
        self.kept = {row["job"]: row["kept"] for row in result.failures.to_dicts()}
        self.jobs_of: dict[int, list[Row]] = {}
        for job in self.jobs:
            self.jobs_of.setdefault(job["trial"], []).append(job)
        self.trials = sorted(self.jobs_of)
        self.worth = {trial: self._worth(trial) for trial in self.trials}
        self.decided_in = self._decided_in()

    def _worth(self, trial: int) -> float:
        value = float(self.result.values_at_max([trial])[0])
        return self.sign * value if math.isfinite(value) else NOTHING

    def _decided_in(self) -> dict[int, list[float]]:
        """Return the milestones that each job came to: the last one ended it, unless it was lost or cut.

        Times alone do not tell: a paused trial may go on elsewhere before its job has heard of it.
        """
        found: dict[int, list[float]] = {}
        for trial, jobs in self.jobs_of.items():
            rows = [row for row in self.decisions if row["trial"] == trial]
            for job in jobs:
                levels = found[job["job"]] = []
                is_over = False
                while rows and not is_over and rows[0]["time"] <= job["end_time"] + SLACK:
                    row = rows.pop(0)
                    levels.append(row["level"])
                    is_over = row["verdict"] != "continue"
            assert not rows
        return found

    def is_held(self, trial: int) -> bool:
        return self.jobs_of[trial][-1]["verdict"] in ("pause", "stop")

    def metric(self, worth: float) -> float:
        return math.nan if worth == NOTHING else self.sign * worth

    # What early decisions cost

    def early(self) -> list[Row]:
        rungs: dict[tuple[int, float], list[int]] = {}
        for row in self.decisions:
            if row["level"] < self.levels[-1]:
                rungs.setdefault((row["bracket"], row["level"]), []).append(row["trial"])
        return [self.rung(*key, trials) for key, trials in sorted(rungs.items())]

    def rung(self, bracket: int, level: float, trials: list[int]) -> Row:
        last = {row["trial"]: row["level"] for row in self.decisions}
        stayed = [trial for trial in trials if self.is_held(trial) and last[trial] == level]
        went_on = [trial for trial in trials if trial not in stayed]
        best = max(self.worth[trial] for trial in trials)
        best_on = max((self.worth[trial] for trial in went_on), default=NOTHING)
        wanted = sorted((self.worth[trial] for trial in trials), reverse=True)[: len(went_on)]
        return {
            "bracket": bracket,
            "level": level,
            "recorded": len(trials),
            "went_on": len(went_on),
            "stopped": len(stayed),
            "better": sum(self.worth[trial] > best_on for trial in stayed),
            "false_promotions": sum(self.worth[trial] not in wanted for trial in went_on),
            "best_recorded": self.metric(best),
            "best_went_on": self.metric(best_on),
            "loss": abs(self.metric(best) - self.metric(best_on)),
        }

    # Where the regret came from

    def regrets(self) -> list[float]:
        """Return sampling, decisions, unfinished, choice."""
        through = [trial for trial in self.trials if not self.is_held(trial)]
        finished = [row["trial"] for row in self.decisions if row["verdict"] == "complete"]
        bests = [max((self.worth[trial] for trial in self.trials), default=NOTHING)]
        for trials in (through, finished):
            numbers = [self.worth[trial] for trial in trials if self.worth[trial] != NOTHING]
            bests.append(max(numbers, default=bests[-1]))
        chosen = self.worth[self.incumbent()] if self.incumbent() is not None else NOTHING
        optimum = self.result.curves.surrogate.optimum(self.levels[-1])
        space = NOTHING if optimum is None else max(self.sign * optimum, chosen)
        steps = [space, *bests, chosen]
        return [math.nan if NOTHING in pair else pair[0] - pair[1] for pair in pairwise(steps)]

    def incumbent(self) -> int | None:
        found, best = None, NOTHING
        for row in self.decisions:
            value = row["value"]
            if value is not None and math.isfinite(value) and self.sign * value > best:
                found, best = row["trial"], self.sign * value
        return found

    # Brackets

    def brackets(self) -> list[Row]:
        return [self.bracket(number) for number in range(self.result.scheduler.brackets)]

    def bracket(self, number: int) -> Row:
        mine = [job for job in self.jobs if job["bracket"] == number]
        trials = {job["trial"] for job in mine}
        best = max((self.worth[trial] for trial in trials), default=NOTHING)
        return {
            "bracket": number,
            "trials": len(trials),
            "trained_resource": sum(job["stop_resource"] - job["start_resource"] for job in mine),
            "best": self.metric(best),
            "completed": sum(job["verdict"] == "complete" for job in mine),
            "is_winner": self.incumbent() in trials,
        }

    # Time

    def clock(self, trial: int, resource: float) -> float:
        """Return the seconds that a trial takes from zero to a resource on a worker of speed 1."""
        first = self.result.scheduler.geometry.first[self.jobs_of[trial][0]["bracket"]]
        curve = self.result.curves.configurations()[trial : trial + 1]
        _, seconds = self.result.curves.surrogate.evaluate(curve, np.array(self.levels))
        total, below, before = 0.0, 0.0, 0.0
        for at in range(first, len(self.levels)):
            level, until = self.levels[at], float(seconds[0, at])
            share = min(1.0, max(0.0, (resource - below) / (level - below)))
            total += share * (until - before) * self.result.curves.slowness(trial, at)
            below, before = level, until
        return total

    def between(self, job: Row, low: float, high: float) -> float:
        """Return the seconds that a job took from one resource to a higher one."""
        if high <= low:
            return 0.0
        trial = job["trial"]
        seconds = self.clock(trial, high) - self.clock(trial, low)
        return seconds / self.result.cluster.speeds[job["worker"]]

    def shares(self) -> dict[str, float]:
        training = retrained = occupied = saved = saved_seconds = trained = 0.0
        stood: dict[int, float] = {}
        for job in self.jobs:
            trial, start, reached = job["trial"], job["start_resource"], job["stop_resource"]
            before = stood.get(trial, 0.0)
            passed = max([before, *self.decided_in[job["job"]]])
            stood[trial] = passed
            had = max(passed, start, self.kept.get(job["job"], 0.0))
            again = self.between(job, start, min(reached, before))
            lost = 0.0 if job["verdict"] == "censored" else self.between(job, had, reached)
            whole = self.between(job, start, reached)
            retrained += again + lost
            training += whole - again - lost
            trained += reached - start
            occupied += job["end_time"] - job["start_time"]
            brought = job["verdict"] != "failed" or max(passed, self.kept[job["job"]]) > max(before, start)
            if start and job["train_start"] is not None and brought:
                saved += start
                saved_seconds += self.clock(trial, start)
        capacity = self.result.cluster.workers * self.result.end_time
        absent = float(self.result.summary()["absent_share"]) * capacity  # type: ignore[arg-type]
        seconds = {
            "training": training,
            "retrained": retrained,
            "overhead": occupied - training - retrained,
            "idle": capacity - absent - occupied,
            "absent": absent,
        }
        shares = {name: part / capacity if capacity else math.nan for name, part in seconds.items()}
        rest = {"saved_resource": saved, "saved_seconds": saved_seconds}
        return {**shares, "saved": saved / trained if trained else 0.0, **rest}
