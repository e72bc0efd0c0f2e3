"""A study made by hand: a real scheduler and ledger, and records as the runner writes them."""

from __future__ import annotations

from hbsim.core import make_scheduler
from hbsim.core.space import Choice, Real, Space
from hbsim.core.types import VERDICTS
from hbsim.runner.journal import Journal
from hbsim.runner.journal_state import JournalState
from hbsim.runner.tables import DecisionTable
from hbsim.study.folder import StudyFolder
from hbsim.study.result import RunResult
from hbsim.study.spec import StudySpec, StudyState
from tests.doubles.journal_lines import typed

SPACE = Space({"lr": Real(1e-4, 1.0, log=True), "act": Choice("relu", "tanh")})


class Clock:
    """Seconds that go by when somebody says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Made:
    """A study; each method makes a record, applies it, and tells the observers."""

    def __init__(self, folder, kind="promotion", reward="accuracy", time="epoch", **options):
        options = {"max_t": 27, "num_trials": 20, **options}
        self.scheduler = make_scheduler(kind, **options)
        as_dict = self.scheduler.options.as_dict()
        self.spec = StudySpec("train.py:train_fn", None, SPACE, as_dict, 0, "random", time, reward, False, {})
        self.journal_state = JournalState(self.scheduler.levels, self.scheduler.mode, reward)
        self.state = StudyState(self.scheduler, self.journal_state, DecisionTable())
        self.study_folder = StudyFolder(folder)
        self.clock = Clock()
        self.observers = []
        self.records = []

    def write(self, e, t=None, **fields):
        t = self.journal_state.now if t is None else t
        self.clock.now += max(0.0, t - self.journal_state.now)
        record = {"e": e, "t": t, **fields}
        self.records.append(record)
        read = typed(record)
        self.journal_state.apply(read)
        for observer in self.observers:
            observer.record(read)

    def start(self, worker, t=None, kind="start", **fields):
        """Ask for a job, and start it or say that there was none: its number, or None."""
        job = self.scheduler.ask()
        if job is None:
            self.write("none", t, worker=worker)
            return None
        number = self.journal_state.jobs.started
        if job.trial == len(self.journal_state.points):
            fields["point"] = [job.trial % 10 / 10, job.trial % 2 * 0.75]
        described = {"trial": job.trial, "bracket": job.bracket, "start": job.start, "stop": job.stop}
        self.write(kind, t, worker=worker, job=number, **described, attempt=job.attempt, **fields)
        return number

    def rows(self, job, rows, t):
        """Report (resource, value) pairs, all at `t`."""
        self.write("rows", t, job=job, rows=self.packed(job, rows, t))

    def packed(self, job, rows, t, **metrics):
        trained = t - self.journal_state.runs[job].start_time
        return [[t, trained, resource, {self.spec.metric: value, **metrics}] for resource, value in rows]

    def reach(self, job, value, t):
        """Come to the next milestone: the verdict."""
        stay = self.journal_state.runs[job]
        level = stay.stop
        rows = self.packed(job, [(level, value)], t)
        at = self.scheduler.levels.index(level)
        code = self.scheduler.reach(stay.trial, value)
        verdict = VERDICTS[code].value
        cut = self.scheduler.n_before, self.scheduler.cutoff
        self.state.decisions.add(t, stay.trial, at, value, *cut, code)
        self.write("reach", t, job=job, rows=rows, at=at, value=value, verdict=verdict)
        return verdict

    def fail(self, job, reason, t, kind="error"):
        stay = self.journal_state.runs[job]
        verdict = VERDICTS[self.scheduler.fail(stay.trial)].value
        self.write("fail", t, job=job, kind=kind, reason=reason, resource=stay.resource, verdict=verdict)
        self.gone(job, t)

    def play(self, workers, curve, fails=lambda trial, resource: False):
        """Run the study to its end: each worker reports once a second, trial i reports curve(i, epoch)."""
        t = 0.0
        while not self.scheduler.done:
            t += 1.0
            idle = [worker for worker in range(workers) if worker not in self.journal_state.workers]
            while idle and self.start(idle.pop(0), t) is not None:
                pass
            for stay in list(self.journal_state.runs.values()):
                self._report(stay, curve, fails, t)
        self.close("done")

    def _report(self, stay, curve, fails, t):
        resource = stay.resource + 1
        value = curve(stay.trial, resource)
        if fails(stay.trial, resource):
            self.fail(stay.job, "ValueError: no", t)
        elif resource < stay.stop:
            self.rows(stay.job, [(resource, value)], t)
        elif self.reach(stay.job, value, t) != "continue":
            self.gone(stay.job, t)

    def result(self, workers=4):
        """Write the journal, and return the result."""
        self.study_folder.trials.mkdir(parents=True)
        with Journal.create(self.study_folder.journal, self.spec.as_dict(), "never") as journal:
            for record in self.records:
                journal.append(record)
        return RunResult(
            self.study_folder, self.spec, self.scheduler, self.journal_state, self.state.decisions, workers
        )

    def gone(self, job, t):
        self.write("gone", t, job=job, begun=None, seconds={})

    def close(self, why, t=None):
        self.write("close", t, why=why)
