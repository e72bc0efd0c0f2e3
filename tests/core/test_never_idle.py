"""Never: an idle worker, work to hand out, and a study that is not done. Public contract only, no double."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hbsim.core import Failure, Job, Report, Verdict
from tests.doubles.pair import make_real
from tests.doubles.traces import KINDS, TYPES, VALUES, scheduler_options
from tests.profile import examples

ENDS = (Verdict.PAUSE, Verdict.STOP, Verdict.COMPLETE, Verdict.RETRY)


class Study:
    """Workers that are always kept busy, as far as the scheduler has work."""

    def __init__(self, type: str, options: dict[str, Any], workers: int) -> None:
        self.type = type
        self.options = options
        self.scheduler = make_real(type, options)
        self.workers = workers
        self.busy: list[Job] = []
        self.started = 0
        self.failures: dict[int, int] = {}
        self.losses: dict[int, int] = {}

    def fill(self) -> None:
        """Ask until no worker is free or nothing is to be had, and hold the answer to the rule."""
        while len(self.busy) < self.workers:
            job = self.scheduler.ask()
            if job is None:
                assert self.scheduler.done == (not self.busy)
                unlimited = self.options["num_trials"] is None or self.started < self.options["num_trials"]
                assert not unlimited or (self.type in ("sha", "hyperband") and self.busy)
                assert not (unlimited and self.options.get("overlap"))
                return
            assert not self.scheduler.done
            assert job.trial not in {other.trial for other in self.busy}
            assert job.trial <= self.started
            assert job.start < job.stop <= self.options["max_t"]
            assert job.attempt == self.failures.get(job.trial, 0)
            self.started += job.trial == self.started
            self.busy.append(job)

    def step(self, which: int, value: float | None, fails: bool) -> None:
        job = self.busy.pop(which % len(self.busy))
        if fails:
            kind = KINDS[which % 4]
            self.failures[job.trial] = self.failures.get(job.trial, 0) + 1
            verdict = self.scheduler.tell(Failure(job.trial, job.start, kind)).verdict
            count, most = self.failures[job.trial], self.options["retries"]
            if self.options["loss_retries"] is not None:
                self.losses[job.trial] = self.losses.get(job.trial, 0) + (kind in ("lost", "preempted"))
                count -= self.losses[job.trial]
                if kind in ("lost", "preempted"):
                    count, most = self.losses[job.trial], self.options["loss_retries"]
            left = count <= most
            assert verdict is (Verdict.RETRY if left else Verdict.STOP)
            return
        decision = self.scheduler.tell(Report(job.trial, job.stop, value))
        if decision.verdict is Verdict.CONTINUE:
            assert decision.stop is not None
            assert decision.stop > job.stop
            self.busy.append(job._replace(start=job.stop, stop=decision.stop))
        else:
            assert decision.verdict in ENDS
            assert decision.stop is None
            assert (decision.verdict is Verdict.COMPLETE) == (job.stop == self.options["max_t"])


@settings(
    max_examples=examples(150),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    scheduler_options(TYPES),
    st.integers(1, 12),
    st.lists(st.tuples(st.integers(0, 11), st.sampled_from(VALUES), st.integers(0, 9)), max_size=200),
)
def test_never_idle(chosen: tuple[str, dict[str, Any]], workers: int, steps: list[Any]) -> None:
    study = Study(*chosen, workers)
    study.fill()
    for which, value, luck in steps:
        if not study.busy:
            break
        study.step(which, value, fails=luck == 0)
        study.fill()
    if chosen[1]["num_trials"] is not None:
        for _ in range(2000):
            if study.busy:
                study.step(0, 1.0, fails=False)
                study.fill()
        assert study.scheduler.done
        assert study.started == chosen[1]["num_trials"]
