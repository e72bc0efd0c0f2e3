"""A study can have more trials: after its end, again and again, for every type of scheduler."""

from __future__ import annotations

import polars as pl
import pytest

import hbsim
from hbsim.errors import ParameterError
from hbsim.validation import validate

BODY = """
    epoch = reporter.load() or 0
    reporter.on_pause(lambda: epoch)
    for epoch in range(epoch + 1, 10):
        reporter(epoch=epoch, loss=args.lr - epoch / 100)
"""
EARLY = BODY.replace("args.lr", "args.trial")  # the first trials are the best: they are promoted later
NONE = """
    for epoch in range(1, 10):
        reporter(epoch=epoch, loss=args.lr - epoch / 100)
"""
TYPES = {
    "promotion": {"max_t": 9},
    "stopping": {"max_t": 9, "brackets": 2},
    "pasha": {"max_t": 9},
    "hyperband": {"max_t": 9},
    "sha": {"max_t": 9, "n": 9},
    "median": {"max_t": 9},
    "fifo": {"max_t": 9},
}


def study(target, kind, trials, folder, **options):
    scheduler = hbsim.make_scheduler(kind, num_trials=trials, mode="min", **TYPES[kind])
    given = {"workers": 1, "metric": "loss", "progress": "none", **options}
    return hbsim.run(target, scheduler, folder=folder, **given)


def decided(result):
    return result.decisions.drop("time")


@pytest.mark.parametrize("kind", TYPES)
def test_a_study_goes_on_with_more_trials(train, tmp_path, kind):
    target, folder = train(BODY), tmp_path / "exp"
    first = study(target, kind, 7, folder)
    for trials in (11, 12) if kind == "promotion" else (12,):
        more = study(target, kind, trials, folder, resume=True)
        assert more.summary()["trials"] == trials
        assert more.scheduler.options.num_trials == trials
        assert more.scheduler.done
        assert decided(more).head(len(first.decisions)).equals(decided(first))
        loaded = hbsim.load(folder)
        assert decided(loaded).equals(decided(more))
        assert loaded.rungs().equals(more.rungs())
        assert loaded.scheduler.trial_statuses() == more.scheduler.trial_statuses()
    same = study(target, kind, 7, folder, resume=True)  # as it began: nothing is left to do
    assert decided(same).equals(decided(more))
    with pytest.raises(ParameterError, match="the study was extended to 12; it goes on with as many or more"):
        study(target, kind, 8, folder, resume=True)


def test_fewer_trials_are_refused(train, tmp_path):
    study(train(BODY), "fifo", 3, tmp_path / "exp")
    with pytest.raises(ParameterError, match="the study began with 3; it goes on with as many or more"):
        study(train(BODY), "fifo", 2, tmp_path / "exp", resume=True)


def test_what_is_promoted_later_trains_from_zero_where_its_checkpoint_is_gone(train, tmp_path, capsys):
    target, folder = train(EARLY), tmp_path / "exp"
    first = study(target, "promotion", 4, folder)
    paused = {*first.trials.filter(status="paused")["trial"]} - {first.best.trial}
    capsys.readouterr()
    more = study(target, "promotion", 30, folder, resume=True, progress="lines")
    text = f"{len(paused)} paused trials have no checkpoint: if promoted they train from zero (keep=all,"
    assert text in capsys.readouterr().err
    again = more.jobs.filter(pl.col("trial").is_in(list(paused)), pl.col("job") >= len(first.jobs))
    starts = again.group_by("trial").agg(pl.col("job").min())["job"].to_list()
    reports = more.reports.filter(pl.col("job").is_in(starts)).group_by("job").agg("resource")
    assert len(starts)
    assert all(resources[0] == 1 for resources in reports["resource"].to_list())


def test_of_a_function_that_saves_nothing_it_says_so(train, tmp_path, capsys):
    target, folder = train(NONE), tmp_path / "exp"
    study(target, "promotion", 4, folder, keep="all")
    study(target, "promotion", 5, folder, resume=True, keep="all", progress="lines")
    said = capsys.readouterr().err
    assert "no checkpoint: if promoted they train from zero (no trial has one: the training function" in said
    assert "keep=all" not in said


def test_with_all_checkpoints_kept_it_goes_on_from_them(train, tmp_path, capsys):
    target, folder = train(EARLY), tmp_path / "exp"
    first = study(target, "promotion", 4, folder, keep="all")
    more = study(target, "promotion", 30, folder, resume=True, keep="all", progress="lines")
    assert "no checkpoint" not in capsys.readouterr().err
    later = more.jobs.filter(pl.col("trial") < 4, pl.col("job") >= len(first.jobs))
    resources = more.reports.filter(pl.col("job").is_in(later["job"].to_list()))["resource"]
    assert resources.min() > 1


def test_a_larger_max_t_is_refused_with_what_to_do(train, tmp_path):
    target = train(BODY)
    study(target, "promotion", 3, tmp_path / "exp")
    scheduler = hbsim.make_scheduler("promotion", max_t=27, num_trials=3, mode="min")
    with pytest.raises(ParameterError, match="for longer trials begin a new study in another folder"):
        hbsim.run(target, scheduler, folder=tmp_path / "exp", metric="loss", resume=True, progress="none")


def test_the_simulator_extends_what_was_extended(train, tmp_path):
    target, folder = train(BODY), tmp_path / "exp"
    study(target, "promotion", 7, folder)
    result = study(target, "promotion", 20, folder, resume=True)
    found = validate([folder]).runs[0]
    assert found.checks[0].agreement.simulated == found.checks[0].agreement.same == len(result.decisions)
    assert any("it was extended to 20 trials" in note for note in found.notes)
