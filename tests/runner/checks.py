"""What holds of every run."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from hbsim.core import Failure, Report
from hbsim.errors import HbsimWarning
from tests.doubles.pair import make_real

from .studies import Run

Records = list[dict[str, Any]]


def check_end(run: Run) -> None:
    """The study is over: nothing runs, nothing waits, each job ended once."""
    assert run.scheduler.done
    assert not run.searcher.pending
    assert run.records[-1]["why"] == "done"
    check_left(run)


def check_left(run: Run) -> None:
    """Nothing is on the workers any more, and they never had two jobs at once."""
    assert not run.journal_state.runs
    assert not run.journal_state.workers
    assert not run.crew.processes
    check_times(run)
    jobs = run.jobs()
    assert jobs["job"].to_list() == list(range(run.journal_state.jobs.started))
    for _, stays in jobs.sort("start_time", "end_time").group_by("worker"):
        starts, ends = stays["start_time"].to_list(), stays["end_time"].to_list()
        assert all(end <= start for end, start in zip(ends, starts[1:], strict=False))


def check_times(run: Run) -> None:
    """Nothing is written before it happened, or before what was written earlier."""
    times = [record["t"] for record in run.records if "t" in record]
    assert times == sorted(times)
    started = {record["job"]: record["t"] for record in run.records if record["e"] in ("start", "restart")}
    for record in run.records:
        for at, trained, *_ in record.get("rows", ()):
            assert started[record["job"]] - 1e-5 <= at - trained <= at <= record["t"] + 1e-5
    for job in run.jobs().rows(named=True):
        begun = job["start_time"] if job["train_start"] is None else job["train_start"]
        assert job["start_time"] - 1e-5 <= begun <= job["end_time"] + 1e-5


def check_reports(run: Run) -> None:
    """Every report was told once, in order, or counted as late."""
    last: dict[int, float] = {}
    count = 0
    for record in run.records:
        for *_, metrics in record.get("rows", ()):
            assert last.get(record["job"], -1) < metrics["number"], "told twice, or out of order"
            last[record["job"]] = metrics["number"]
            count += 1
    assert run.journal_state.late - run.late_before == run.crew.delivered - (count - run.accepted_before)


def tell_again(run: Run) -> None:
    """A new scheduler that is asked and told by the public calls answers the same."""
    fresh = make_real(run.study.type, run.study.options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HbsimWarning)
        Again(fresh, run.records).tell()
    states = [scheduler.state_dict() for scheduler in (fresh, run.scheduler)]
    for state in states:
        del state["warned"], state["reported"]  # only `tell` has these
    assert states[0] == states[1]


class Again:
    """Asks and tells a scheduler what is written."""

    def __init__(self, scheduler: Any, records: Records) -> None:
        self.scheduler, self.records = scheduler, records
        self.trials: dict[int, int] = {}  # by job
        self.reached: dict[int, float] = {}  # the last resource told, by trial

    def tell(self) -> None:
        for place, record in enumerate(self.records):
            if hasattr(self, f"on_{record['e']}"):
                getattr(self, f"on_{record['e']}")(record, place)

    def on_none(self, record: dict[str, Any], place: int) -> None:
        assert self.scheduler.ask() is None

    def on_start(self, record: dict[str, Any], place: int) -> None:
        job = self.scheduler.ask()
        names = ("trial", "bracket", "start", "attempt")
        assert [getattr(job, name) for name in names] == [record[name] for name in names]
        assert record["stop"] in (job.stop, None)
        self.trials[record["job"]], self.reached[job.trial] = job.trial, job.start

    def on_restart(self, record: dict[str, Any], place: int) -> None:
        self.trials[record["job"]] = record["trial"]

    def on_reach(self, record: dict[str, Any], place: int) -> None:
        """Tell of a report once, with the resource that it was made at; it may pass several milestones."""
        levels, trial = self.scheduler.levels, self.trials[record["job"]]
        if place and self.passes(self.records[place - 1], record):
            return
        passed = [record]
        while self.passes(passed[-1], following := self.records[place + len(passed)]):
            passed.append(following)
        at, resource = passed[-1]["at"], record["rows"][-1][2] if record["rows"] else levels[-1]
        if passed[-1]["verdict"] == "continue" and resource >= levels[at + 1]:
            resource = levels[at]  # the study was cut before all were decided
        self.reached[trial] = resource
        decision = self.scheduler.tell(Report(trial, resource, record["value"]))
        expected = [(levels[each["at"]], each["verdict"]) for each in passed]
        assert [(m.level, m.verdict) for m in decision.milestones] == expected

    def passes(self, one: dict[str, Any], other: dict[str, Any]) -> bool:
        """Return whether two records are of the same report."""
        both = one["e"] == other["e"] == "reach" and one["job"] == other["job"]
        return both and not other["rows"] and one["verdict"] == "continue"

    def on_fail(self, record: dict[str, Any], place: int) -> None:
        trial = self.trials[record["job"]]
        resource = max(self.reached[trial], record["resource"])
        assert self.scheduler.tell(Failure(trial, resource, record["kind"])).verdict == record["verdict"]

    def on_return(self, record: dict[str, Any], place: int) -> None:
        self.scheduler.end(self.trials[record["job"]])


# Of hosts that come and go


def sessions(records: Records) -> list[Records]:
    """Return the records of each process of a study, the header left out."""
    found: list[Records] = [[]]
    for record in records[1:]:
        if record["e"] == "resume":
            found.append([])
        found[-1].append(record)
    return found


def check_hosts(run: Run) -> None:
    """Nothing starts on a worker that is shut; what is lost is tried again by the rules; time adds up."""
    for session in sessions(run.records):
        check_open(session)
    check_retries(run.records, run.study.options)
    capacity, most = there(run.records)
    assert run.journal_state.capacity == pytest.approx(capacity, abs=1e-4)
    assert run.journal_state.workers_seen == most
    if capacity is not None:
        jobs = run.jobs()
        assert (jobs["end_time"] - jobs["start_time"]).sum() <= capacity + 1e-4


def check_open(session: Records) -> None:
    """Workers that are open are shut, and the other way round; jobs start on open ones."""
    kept: set[int] = set()
    for record in session:
        if record["e"] == "open":
            assert record["worker"] not in kept
            kept.add(record["worker"])
        elif record["e"] == "shut":
            kept.remove(record["worker"])
        elif record["e"] in ("start", "restart", "none") and any(r["e"] == "open" for r in session):
            assert record["worker"] in kept


def check_retries(records: Records, options: Mapping[str, Any]) -> None:
    """Each failure is tried again while there are retries left, and nothing else is."""
    most = {"retries": options.get("retries", 0), "loss_retries": options.get("loss_retries")}
    counts: Counter[tuple[int, str]] = Counter()
    jobs = {record["job"]: record for record in records if record["e"] in ("start", "restart")}
    failures = [record for record in records if record["e"] == "fail"]
    attempts = {(jobs[record["job"]]["trial"], jobs[record["job"]]["attempt"]) for record in failures}
    assert len(attempts) == len(failures)
    for record in failures:
        has_own = record["kind"] in ("lost", "preempted") and most["loss_retries"] is not None
        name = "loss_retries" if has_own else "retries"
        count = (jobs[record["job"]]["trial"], name)
        counts[count] += 1
        assert record["verdict"] == ("retry" if counts[count] <= most[name] else "stop")
    for job in jobs.values():
        assert job["attempt"] == 0 or (job["trial"], job["attempt"] - 1) in attempts


def there(records: Records) -> tuple[float | None, int]:
    """Return the worker seconds, None if no worker was ever opened, and the most workers at once."""
    total, most = 0.0, 0
    for session in sessions(records):
        session = [record for record in session if record["e"] != "close"]
        begin = session[0]["t"] if session and session[0]["e"] == "resume" else 0.0
        times = [begin, *(record["t"] for record in session)]
        if any(record["e"] == "open" for record in session):
            counts = [0, *(len(places) for places in occupied(session))]
            total += sum(count * (b - a) for count, a, b in zip(counts, times, times[1:], strict=False))
            most = max([most, *counts])
        else:
            count = max([0, *(r["worker"] + 1 for r in session if r["e"] in ("start", "restart"))])
            total, most = total + count * (times[-1] - begin), max(most, count)
    hosts = any(record["e"] == "open" for record in records)
    return (total if hosts else None), most


def occupied(session: Records) -> list[set[int]]:
    """Return the workers that are open, or have a job, after each record."""
    kept: set[int] = set()
    jobs: dict[int, int] = {}
    found = []
    for record in session:
        if record["e"] in ("start", "restart"):
            jobs[record["job"]] = record["worker"]
        elif record["e"] == "gone":
            del jobs[record["job"]]
        elif record["e"] == "open":
            kept.add(record["worker"])
        elif record["e"] == "shut":
            kept.remove(record["worker"])
        found.append(kept | set(jobs.values()))
    return found
