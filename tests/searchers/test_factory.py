"""Searchers by name."""

import pytest

from hbsim.core.space import Real, Space
from hbsim.errors import ParameterError
from hbsim.searchers import RandomSearcher, RowSearcher, SearchTask, make_searcher

SPACE = Space({"lr": Real(0, 1)})


def test_random_means_rows_where_there_are_rows():
    rows = make_searcher("random", SearchTask(SPACE, 3, rows=7, replace=True))
    assert isinstance(rows, RowSearcher)
    assert (rows.rows, rows.seed, rows.replace) == (7, 3, True)
    points = make_searcher("random", SearchTask(SPACE, 3, replace=True))
    assert isinstance(points, RandomSearcher)
    assert (points.space, points.seed) == (SPACE, 3)


@pytest.mark.parametrize(
    ("name", "space", "field", "rule"),
    [
        ("randon", SPACE, "searcher", "Did you mean 'random'?"),
        (None, SPACE, "searcher", "must be one of random"),
        ("random", None, "space", "search space is needed"),
    ],
)
def test_errors_name_the_field(name, space, field, rule):
    with pytest.raises(ParameterError) as caught:
        make_searcher(name, SearchTask(space, 0))
    assert caught.value.field == field
    assert rule in caught.value.rule
