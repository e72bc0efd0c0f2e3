"""What jobs wait for: the choice of a configuration, and checkpoints that never come."""

from __future__ import annotations

from pathlib import Path

import pytest

import hbsim
from hbsim.core import make_scheduler

from .surrogates import Formula, Rows

BETTER = Formula(lambda row, level: 9.0 - row + 0 * level)  # the lower row


def test_configurations_are_chosen_one_after_another() -> None:
    """Of three workers the third waits longest; a trial that goes on waits for nothing."""
    scheduler = make_scheduler("promotion", max_t=3, num_trials=3, straight_on=False)
    cluster = hbsim.Cluster(workers=3, suggest_delay=2, startup=0.5)
    result = hbsim.simulate(scheduler, BETTER, cluster=cluster, searcher=Rows())
    assert result.jobs["start_time"].to_list() == [0, 0, 0, 7.5]
    assert result.jobs["train_start"].to_list() == [2.5, 4.5, 6.5, 8.0]
    assert result.jobs["trial"].to_list() == [0, 1, 2, 0]


def test_a_searcher_that_rests_is_not_late() -> None:
    scheduler = make_scheduler("fifo", max_t=3, num_trials=2)
    cluster = hbsim.Cluster(workers=1, suggest_delay=2)
    result = hbsim.simulate(scheduler, BETTER, cluster=cluster, searcher=Rows())
    assert result.jobs["train_start"].to_list() == [2, 7]


def test_what_is_lost_while_it_is_chosen_needs_no_second_choice(tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text("worker,start,end,state\na,0,1,up\na,1,10,down\na,10,,up\n")
    scheduler = make_scheduler("fifo", max_t=3, num_trials=1, retries=1)
    cluster = hbsim.Cluster(trace=str(trace), suggest_delay=2)
    result = hbsim.simulate(scheduler, BETTER, cluster=cluster, searcher=Rows())
    assert result.jobs["verdict"].to_list() == ["failed", "complete"]
    assert result.jobs["train_start"].to_list() == [None, 10]


@pytest.mark.parametrize("store", [None, 100.0])
def test_a_checkpoint_that_is_not_sent_is_waited_for_until_its_worker_goes(
    store: float | None, tmp_path: Path
) -> None:
    """Trial 0 pauses at 1 and goes on at once elsewhere; its worker goes at 1.75, before it hears of that."""
    trace = tmp_path / "trace.csv"
    rows = "a,0,1.75,up\na,1.75,,down\nb,0,,up\nc,0,,up\n"
    trace.write_text(f"worker,start,end,state\n{rows}")
    scheduler = make_scheduler(
        "promotion", max_t=2, reduction_factor=2, num_trials=2, straight_on=False, retries=1
    )
    cluster = hbsim.Cluster(
        trace=str(trace),
        startup=0.25,
        decision_delay=1,
        checkpoint_size=1,
        load_bandwidth=4,
        store_bandwidth=store,
    )
    result = hbsim.simulate(scheduler, BETTER, cluster=cluster, searcher=Rows())
    (promoted,) = result.jobs.filter(result.jobs["start_resource"] > 0).to_dicts()
    assert (promoted["trial"], promoted["start_time"]) == (0, 1.25)
    assert promoted["train_start"] == 1.75 + 0.25
