"""The description of a real study, as its journal keeps it."""

from dataclasses import replace

import pytest

from hbsim.core import make_scheduler
from hbsim.core.space import Real, Space
from hbsim.errors import JournalError, ParameterError
from hbsim.study.spec import StudySpec


def described(type="promotion", **options):
    scheduler = make_scheduler(type, max_t=9, num_trials=9, **options)
    names = ("epoch", "accuracy", False)
    space = Space({"rate": Real(0.0, 1.0)})
    return StudySpec("train.py:train_fn", None, space, scheduler.options.as_dict(), 0, "random", *names, {})


def test_a_study_from_before_failed_places_goes_on():
    """Its journal lacks the option; the study was of the default."""
    kept = described().as_dict()
    del kept["scheduler"]["failed_places"]
    before = StudySpec.from_dict(kept, "journal")
    before.check_same(described())
    assert before.make_scheduler().options == make_scheduler("promotion", max_t=9, num_trials=9).options
    with pytest.raises(ParameterError, match="failed_places"):
        before.check_same(described(failed_places="held"))


def test_other_types_have_no_such_option():
    kept = described("stopping").as_dict()
    assert "failed_places" not in StudySpec.from_dict(kept, "journal").scheduler


@pytest.mark.parametrize("scheduler", [5, "x", None, [1]])
def test_options_that_are_none(scheduler):
    kept = {**described().as_dict(), "scheduler": scheduler}
    with pytest.raises(JournalError, match="does not describe a study"):
        StudySpec.from_dict(kept, "journal")


OTHERS = {
    "space": Space({"rate": Real(0.0, 2.0)}),
    "seed": 1,
    "searcher": "tpe",
    "search_options": {"candidates": 3},
    "limit": 5,
    "time_attr": "step",
    "metric": "loss",
    "until_return": True,
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_study_goes_on_only_as_it_began(name):
    with pytest.raises(ParameterError, match="the study began with") as caught:
        described().check_same(replace(described(), **{name: OTHERS[name]}))
    assert caught.value.field == name
