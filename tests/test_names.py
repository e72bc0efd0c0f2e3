"""Public names: the page that has them, one word for each option, and what objects print as."""

from __future__ import annotations

import inspect

import pytest

import hbsim
from hbsim.errors import ParameterError
from hbsim.options import declared
from hbsim.study.options import RECORD_ALSO_TAKES, RecordOptions, RunOptions
from hbsim.surrogates import load

from .names_page import API_PAGE, api_page


def test_the_page_has_all_public_names():
    assert API_PAGE.read_text("utf-8") == api_page(), "python -m tests.names_page writes it"


def test_run_and_record_take_the_declared_options():
    run = inspect.signature(hbsim.run).parameters
    options = declared(RunOptions)
    assert set(run) == {"train", "scheduler", *options}
    assert {name: run[name].default for name in options} == {n: one.default for n, one in options.items()}
    record = inspect.signature(hbsim.record).parameters
    assert set(record) == {"train", *declared(RecordOptions), *RECORD_ALSO_TAKES}
    for name in RECORD_ALSO_TAKES:
        assert record[name].default == options[name].default


@pytest.mark.parametrize(
    ("word", "called"), [("reward_attr", "metric"), ("time_out", "max_time"), ("eta", None), ("trials", None)]
)
def test_a_word_from_elsewhere_is_answered_with_the_right_one(word, called):
    scheduler = hbsim.make_scheduler("fifo", max_t=1, num_trials=1)
    with pytest.raises(ParameterError, match=f"is called {called}" if called else "is no option") as caught:
        hbsim.run("train.py:train", scheduler, **{word: 3})
    assert caught.value.field == word


def test_record_says_num_trials():
    with pytest.raises(ParameterError, match="trials=3: is called num_trials"):
        hbsim.record("train.py:train", out="c.csv", trials=3)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_time", 0),
        ("max_time", "soon"),
        ("hang_timeout", -1),
        ("grace", -1),
        ("max_reward", "good"),
        ("keep", "some"),
        ("fsync", "often"),
        ("start", "thread"),
        ("progress", "bar"),
        ("visualizer", "mxboard"),
        ("seed", -1),
        ("seed", 1.5),
        ("time_attr", ""),
        ("metric", 3),
        ("resume", "yes"),
        ("until_return", 1),
        ("args", {"lr": object()}),
        ("args", [1]),
    ],
)
def test_run_options_are_checked(field, value):
    with pytest.raises(ParameterError) as caught:
        RunOptions.checked(**{field: value})
    assert caught.value.field == field


def test_what_objects_print_as():
    scheduler = hbsim.make_scheduler("promotion", max_t=9, num_trials=3, mode="min")
    assert repr(scheduler).startswith("<promotion scheduler: 0 trials")
    result = hbsim.simulate(scheduler, "digits", workers=2)
    assert repr(result).startswith("<Result of promotion on digits: 3 trials, 2 workers, ")
    assert f"best val_error {result.incumbent()['value'][-1]:g}>" in repr(result)
    assert repr(hbsim.Cluster(workers=3, startup=2.0)) == "Cluster(workers=3, startup=2.0)"
    assert repr(load("digits")) == "<Table digits: val_error (min), 1,000 configurations, up to 81>"
    assert repr(load("synthetic")).startswith("<Synthetic synthetic: accuracy (max), any number of")
    assert repr(hbsim.Int(1, 3)) == "Int(low=1, high=3, log=False, default=2)"


def test_what_a_comparison_prints_as():
    options = {"surrogate": "synthetic", "workers": 4, "num_trials": 9, "max_t": 9, "seeds": 2}
    sweep = hbsim.compare(["stopping", "promotion"], **options)
    assert repr(sweep).startswith("<Sweep ")
    assert repr(sweep).endswith(": 4 of 4 cells are done>")
