"""Studies on pretended workers, and what it takes to end and resume them at any moment."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st

from hbsim.errors import HbsimWarning
from hbsim.runner.journal_state import JournalState
from hbsim.runner.loop import SearcherNotifier, drive
from hbsim.runner.real import Limits, RealExecutor
from hbsim.runner.tables import DecisionTable
from hbsim.study.spec import StudyState, replay
from tests.doubles.fake_hosts import FakeHosts, Host
from tests.doubles.fake_trials import ALWAYS, AT_MESSAGE, AT_REPORT, Curve, Fault
from tests.doubles.fake_workers import FakeWorkers
from tests.doubles.journal_lines import typed_records
from tests.doubles.pair import make_real
from tests.doubles.traces import TYPES, scheduler_options

Records = list[dict[str, Any]]

HEADER: dict[str, Any] = {"e": "study", "version": 1, "spec": {}, "n": 0}
MANY_TRIALS = 1024
HANGS = 200.0  # seconds; longer than anything that is only slow


class Notes:
    """A journal in memory, of plain JSON types; notes the scheduler's state at each record.

    `hooks` are called when a record of that number has been written, as a signal handler may be; `first`
    before any.
    """

    def __init__(self, records: Sequence[dict[str, Any]], scheduler: Any, states: bool = False) -> None:
        self.records = [*records] or [HEADER]
        self.states: dict[int, Any] = {}
        self.hooks: dict[int, Callable[[], None]] = {}
        self.first: Callable[[Any], None] | None = None
        self._scheduler, self._wanted = scheduler, states

    def tick(self) -> None:
        """There is no disk."""

    def append(self, record: Any) -> int:
        number = len(self.records)
        if self.first is not None:
            self.first(record)
        self.records.append(json.loads(json.dumps({"n": number, **record}, allow_nan=False)))
        if self._wanted:
            self.states[number] = self._scheduler.state_dict()
        if number in self.hooks:
            self.hooks[number]()
        return number


class Pictures:
    """An observer that keeps a picture of the ledger after each record, by the record's number."""

    def __init__(self, journal_state: JournalState, notes: Notes) -> None:
        self.taken: dict[int, dict[str, Any]] = {}
        self._journal_state, self._notes = journal_state, notes

    def record(self, record: Any) -> None:
        self.taken[len(self._notes.records) - 1] = picture(self._journal_state)

    def tick(self) -> None: ...


class Listener:
    """A searcher that keeps its calls. Configuration i is (i / 1024,); what is pending is pending once."""

    model_based = True
    listens = True

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.asked = 0
        self.pending: dict[int, float] = {}

    def suggest(self, n: int) -> Any:
        self.asked += n
        return np.arange(self.asked - n, self.asked, dtype=np.float64)[:, None] / MANY_TRIALS

    def resume(self, configurations: Any) -> None:
        first, self.asked = self.asked, self.asked + len(configurations)
        assert (configurations[:, 0] * MANY_TRIALS).tolist() == list(range(first, self.asked))

    def register_pending(self, trial: int, level: float) -> None:
        assert trial < self.asked
        assert trial not in self.pending
        self.calls.append(("start", trial, level))
        self.pending[trial] = level

    def observe(self, trial: int, level: float, value: float | None) -> None:
        assert self.pending.pop(trial) == level
        self.calls.append(("report", trial, level, None if value != value else value))

    def forget(self, trial: int) -> None:
        self.calls.append(("end", trial))
        self.pending.pop(trial, None)


@dataclass
class Study:
    """What a study is, and what goes wrong in it; `run` it, or go on from records."""

    type: str
    options: dict[str, Any]
    curve: Curve
    workers: int = 1
    faults: Sequence[Fault] = ()
    limits: Limits = field(default_factory=lambda: Limits(hang_timeout=HANGS))
    until_return: bool = False
    latency: float = 0.0
    hosts: Sequence[Host] = ()  # in place of workers

    def run(self, records: Sequence[dict[str, Any]] = (), **changes: Any) -> Run:
        """Run to the end."""
        return Run(self, records, **changes).go()


class Run:
    """One process of a study: from its beginning, or on from what is written.

    With `states`, the scheduler's state and a picture of the ledger are kept after each record.
    """

    def __init__(
        self,
        study: Study,
        records: Sequence[dict[str, Any]] = (),
        workers: int | None = None,
        faults: Sequence[Fault] | None = None,
        limits: Limits | None = None,
        states: bool = False,
        now: float = 5.0,
        saved: Mapping[int, float] | None = None,
        hosts: Sequence[Host] | None = None,
    ) -> None:
        self.study = study
        self.scheduler = make_real(study.type, study.options)
        self.searcher = Listener()
        self.notifier = SearcherNotifier(self.searcher, self.scheduler)
        self.state = new_state(self.scheduler)
        self.journal_state, self.decisions = self.state.journal_state, self.state.decisions
        if records:
            replay(self.state, typed_records(records), "journal", self.notifier)
        faults = study.faults if faults is None else faults
        more = (study.curve, faults, now, study.latency, saved)
        hosts = study.hosts if hosts is None and workers is None else hosts
        self.crew = FakeHosts(hosts, *more) if hosts else FakeWorkers(workers or study.workers, *more)
        self.notes = Notes(records, self.scheduler, states)
        self.pictures = Pictures(self.journal_state, self.notes)
        self.accepted_before = accepted(records)
        self.late_before = self.journal_state.late
        self.real = RealExecutor(
            self.crew,
            self.notes,
            self.journal_state,
            self.scheduler.geometry,
            lambda: self.searcher.suggest(1).tolist()[0],
            lambda: bool(self.scheduler.done),
            seed=3,
            mode=self.scheduler.mode,
            clock=self.crew.clock,
            limits=limits or study.limits,
            until_return=study.until_return,
            observers=(self.pictures,) if states else (),
        )
        self._resumes = len(records) > 1

    @property
    def records(self) -> Records:
        return self.notes.records

    def go(self) -> Run:
        """Run until nothing is under way any more."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", HbsimWarning)
            if self._resumes:
                self.real.resume(self.scheduler.running_jobs())
            drive(self.scheduler, self.real, self.decisions, self.notifier)
        self.real.finish(self.scheduler.done)
        return self

    def decided(self) -> list[tuple[Any, ...]]:
        """Return trial, bracket, level, value, n_before, cutoff and verdict of each decision."""
        brackets = self.scheduler.trial_brackets()
        return self.decisions.frame(self.scheduler.levels, brackets).drop("time").rows()

    def jobs(self) -> Any:
        """Return the table of jobs; nothing can be added after that."""
        return self.journal_state.jobs.frame(self.scheduler.trial_brackets())


def new_state(scheduler: Any) -> StudyState:
    """Return where a new study stands."""
    return StudyState(scheduler, JournalState(scheduler.levels, scheduler.mode, "value"), DecisionTable())


def replayed(study: Study, records: Sequence[dict[str, Any]]) -> StudyState:
    """Return where the records leave the study."""
    state = new_state(make_real(study.type, study.options))
    replay(state, typed_records(records), "journal")
    return state


def accepted(records: Sequence[dict[str, Any]]) -> int:
    """Return how many reports were written down as such."""
    return sum(len(record["rows"]) for record in records if record["e"] in ("rows", "reach"))


def picture(journal_state: JournalState) -> dict[str, Any]:
    """Return everything in a journal's state; floats as text, since NaN is not itself."""

    def text(value: Any) -> str:
        return re.sub(r"(?<=\d)\.0\b", "", repr(value))  # whole numbers that were read are floats

    def of(run: Any) -> dict[str, str]:
        names = {name for kind in type(run).__mro__ for name in getattr(kind, "__slots__", ())}
        return {name: text(getattr(run, name)) for name in sorted(names)}

    return {
        **{
            name: text(value) for name, value in vars(journal_state).items() if name != "closing"
        },  # in no record
        "_capacity": {
            name: sorted(value) if isinstance(value, set) else value
            for name, value in vars(journal_state._capacity).items()
        },
        "improvements": of(journal_state.improvements),
        "jobs": bytes(journal_state.jobs._rows),
        "started": journal_state.jobs.started,
        "runs": {job: of(run) for job, run in journal_state.runs.items()},
        "workers": {worker: run.job for worker, run in journal_state.workers.items()},
    }


# Strategies


@st.composite
def faults(draw: Any) -> list[Fault]:
    """Draw what goes wrong: in few jobs, so that several things go wrong in the same.

    With what breaks by itself it is too little to end a study for its failures.
    """
    kinds = st.sampled_from((*AT_REPORT, *AT_MESSAGE, *AT_MESSAGE, *ALWAYS))
    seconds = st.sampled_from([0.0, 0.5, 2.0, 7.5, 30.0])
    jobs = st.sampled_from(draw(st.sampled_from([(0, 1), (0, 3, 4), range(20)])))
    fault = st.builds(Fault, jobs, kinds, st.integers(0, 4), seconds)
    return list(draw(st.lists(fault, max_size=5)))


@st.composite
def curves(draw: Any, least: float, most: float) -> Curve:
    """Draw how trials report: at every level, more often, or past several."""
    steps = sorted({least / 2, least, 2 * least, most / 3, most} - {0.0})
    paces = [step for step in steps if step >= most / 60]
    trials, resources = st.integers(0, 9), st.sampled_from([least, most / 2, most])
    broken = st.tuples(trials, st.integers(0, 2), resources)
    luck = {
        "breaks": tuple(draw(st.lists(broken, max_size=4))),
        "ends": tuple(draw(st.lists(st.tuples(trials, resources), max_size=2))),
    }
    return Curve(
        most,
        tuple(draw(st.lists(st.sampled_from(paces), min_size=1, max_size=3))),
        seconds=draw(st.sampled_from([0.25, 1.0, 1.5])) * min(1.0, 30 / most),
        batch=draw(st.sampled_from([1, 1, 2, 5])),
        values=draw(st.sampled_from([1009, 1009, 5])),
        odd=draw(st.sampled_from([False, False, True])),
        resume=draw(st.booleans()),
        **luck,
    )


@st.composite
def studies(draw: Any, faulty: bool = True, workers: int = 4, types: tuple[str, ...] = TYPES) -> Study:
    """Draw a study that ends."""
    type, options = draw(scheduler_options(types))
    options["num_trials"] = draw(st.integers(1, 30))
    least = options.get("grace_period", options["max_t"] / 9)
    curve = draw(curves(least, options["max_t"]))
    return Study(
        type,
        options,
        curve,
        draw(st.integers(1, workers)),
        draw(faults()) if faulty else (),
        until_return=type == "fifo" and draw(st.booleans()),
        latency=draw(st.sampled_from([0.0, 0.0, 0.125])),
    )


def small(type: str = "promotion", trials: int = 9, workers: int = 1, **changes: Any) -> Study:
    """Return a study of nine trials and three levels, 1, 3 and 9, a second an epoch, that goes well."""
    options = {"max_t": 9, "num_trials": trials, "retries": changes.pop("retries", 0)}
    options |= {"n": 9} if type == "sha" else {}
    curve = Curve(9, **changes.pop("curve", {}))
    return Study(type, options, curve, workers, **changes)
