"""The steps of `ask`, one by one: sample a bracket, promote there, or start a trial."""

from __future__ import annotations

from typing import Any

import pytest

from hbsim.core import Report, make_scheduler
from hbsim.errors import ParameterError


@pytest.mark.parametrize("type", ["stopping", "promotion"])
def test_they_do_what_ask_does(type: str) -> None:
    whole, steps = (make_scheduler(type, max_t=27, brackets=3, seed=5) for _ in range(2))
    values = [5, 1, 9, 3, 7, 2, 8, 4, 6, 0] * 6
    for value in values:
        job = whole.ask()
        assert job is not None
        bracket = steps.sample_bracket()
        assert (steps.promote(bracket) or steps.start(bracket)) == job
        for scheduler in (whole, steps):
            stop: float | None = job.stop
            while stop is not None:
                stop = scheduler.tell(Report(job.trial, stop, value)).stop
    assert steps.state_dict() == whole.state_dict()


def test_a_start_that_cannot_be() -> None:
    wrong: list[Any] = [-1, 1, 0.5, True, None]
    for bracket in wrong:
        with pytest.raises(ParameterError) as caught:
            make_scheduler("promotion", max_t=9).start(bracket)
        assert caught.value.field == "bracket"
    with pytest.raises(ParameterError) as caught:
        make_scheduler("sha", max_t=9, n=9).start(0)
    assert caught.value.field == "type"
