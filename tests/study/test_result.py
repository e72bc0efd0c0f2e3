"""What a real study comes to: its summary, trials and jobs tell the same."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.profile import examples

from .made import Made

ACTIONS = ("train", "train", "train", "train", "train", "train", "fail", "return", "interrupt")
FROM = ("report", "milestone", "zero")


class Counted(Made):
    """A study whose trials train a unit at a time; beside its records every unit is counted here."""

    def __init__(self, folder: Path, kind: str, resumes: str, **options: Any) -> None:
        super().__init__(folder, kind, **options)
        self.resumes = resumes
        self.units: list[tuple[int, int]] = []  # (trial, resource)
        self.stands: dict[int, float] = {}  # what each trial needs
        self.reached: dict[int, int] = {}
        self.at: dict[int, int] = {}  # by job under way
        self.time = 0.0

    def begin(self, worker: int) -> None:
        job = self.start(worker, self.time)
        if job is not None:
            self.place_at(job)

    def place_at(self, job: int) -> None:
        stay = self.journal_state.runs[job]
        kept = {"report": self.reached.get(stay.trial, 0), "milestone": stay.stood, "zero": 0}
        self.at[job] = int(max(kept[self.resumes], stay.stood if self.resumes == "report" else 0))

    def act(self, job: int, action: str) -> None:
        self.time += 1.0
        stay = self.journal_state.runs[job]
        trial, at = stay.trial, self.at[job]
        if action == "fail":
            self.fail(job, "ValueError: no", self.time)
        elif action == "return" and self.reached.get(trial):
            self.scheduler.end(trial)
            self.write("return", self.time, job=job)
            self.gone(job, self.time)
            self.stands[trial] = at if stay.rows else self.reached[trial]
        else:
            self.train(job, trial, at + 1)

    def train(self, job: int, trial: int, at: int) -> None:
        self.at[job] = at
        self.units.append((trial, at))
        self.reached[trial] = max(at, self.reached.get(trial, 0))
        if at < self.journal_state.runs[job].stop:
            self.rows(job, [(at, trial * 7 % 5)], self.time)
            return
        self.stands[trial] = at
        if self.reach(job, float(trial * 7 % 5), self.time) != "continue":
            self.gone(job, self.time)

    def go_on(self) -> None:
        """Interrupt the study, and start again what ran."""
        running = {stay.trial: stay.worker for stay in self.journal_state.runs.values()}
        self.write("resume", self.time)
        self.at.clear()
        for job in self.scheduler.running_jobs():
            number = self.journal_state.jobs.started
            described = {"trial": job.trial, "bracket": job.bracket, "start": job.start, "stop": job.stop}
            self.write(
                "restart", self.time, worker=running[job.trial], job=number, attempt=job.attempt, **described
            )
            self.place_at(number)

    def end(self) -> None:
        """Cut what is under way: what it had come to is needed, too."""
        for job, stay in list(self.journal_state.runs.items()):
            if stay.rows:
                self.stands[stay.trial] = max(self.stands.get(stay.trial, 0), self.at[job])
            self.gone(job, self.time)


@settings(max_examples=examples(150), deadline=None)
@given(
    st.sampled_from(["stopping", "promotion", "sha", "fifo", "median"]),
    st.sampled_from(FROM),
    st.sampled_from([0, 2]),
    st.lists(st.tuples(st.integers(0, 2), st.sampled_from(ACTIONS)), max_size=150),
)
def test_what_was_wasted_is_what_no_trial_needed(
    kind: str, resumes: str, retries: int, actions: list[tuple[int, str]]
) -> None:
    options: dict[str, Any] = {"max_t": 9, "num_trials": 9, "retries": retries}
    with TemporaryDirectory() as folder:
        made = Counted(Path(folder) / "exp", kind, resumes, **options, **({"n": 9} if kind == "sha" else {}))
        for worker, action in actions:
            stay = made.journal_state.workers.get(worker)
            if action == "interrupt":
                made.go_on()
            elif stay is None:
                made.begin(worker)
            else:
                made.act(stay.job, action)
        made.end()
        result = made.result()
        jobs, trials, summary = result.jobs, result.trials, result.summary()
    trained = (jobs["stop_resource"] - jobs["start_resource"]).sum()
    assert summary["trained_resource"] == trained == len(made.units)
    assert summary["wasted_resource"] == len(made.units) - sum(made.stands.values())
    over = trials.filter(trials["status"] != "running")
    assert over["resource"].to_list() == [made.stands.get(trial, 0) for trial in over["trial"]]
    assert trials["reached"].to_list() == [made.reached.get(trial) for trial in trials["trial"]]
