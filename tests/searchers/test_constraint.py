"""A constraint in a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hbsim.errors import ParameterError
from hbsim.searchers import SearchTask, make_searcher
from hbsim.searchers.factory import plain_options
from hbsim.searchers.task import constraint_of

from .spaces import SPACE, few_a

RULES = """
from dataclasses import dataclass

@dataclass
class Rule:
    most: float

def deep(configuration):
    return configuration["depth"] > 1

def wrong(configuration):
    return configuration["deep"]

at_most = 3
"""


@pytest.fixture
def rules(tmp_path: Path) -> str:
    (tmp_path / "rules.py").write_text(RULES)
    (tmp_path / "broken.py").write_text("raise ValueError('no luck')")
    return f"{tmp_path}/rules.py"


def test_it_is_the_function_of_the_file(rules: str) -> None:
    assert constraint_of(few_a) is few_a
    searcher = make_searcher("random", SearchTask(SPACE, 0), {"constraints": f"{rules}:deep"})
    by_hand = make_searcher("random", SearchTask(SPACE, 0), {"constraints": lambda c: c["depth"] > 1})
    assert (searcher.suggest(50) == by_hand.suggest(50)).all()


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("rules.py:dep", "the file has no function 'dep'. Did you mean 'deep'?"),
        ("rules.py:at_most", "the file has no function 'at_most'."),
        ("broken.py:deep", "the file raised ValueError: no luck"),
        ("none.py:deep", "there is no file"),
        ("rules.py", "FILE.py:NAME"),
        ("rules.txt:deep", "FILE.py:NAME"),
    ],
)
def test_what_is_none_is_said(text: str, rule: str, rules: str) -> None:
    given = f"{Path(rules).parent}/{text}"
    with pytest.raises(ParameterError) as caught:
        constraint_of(given)
    assert (caught.value.field, caught.value.value) == ("search_options.constraints", given)
    assert rule in caught.value.rule


@pytest.mark.parametrize("name", ["random", "grid", "sobol", "lhs"])
def test_one_that_raises_is_said_with_the_configuration(name: str, rules: str) -> None:
    with pytest.raises(ParameterError) as caught:
        make_searcher(name, SearchTask(SPACE, 0), {"constraints": f"{rules}:wrong"}).suggest(1)
    assert (caught.value.field, caught.value.value) == ("search_options.constraints", "wrong")
    assert "raised KeyError: 'deep', for {'lr': " in caught.value.rule


def test_plain_options_have_its_name_and_no_folder(rules: str) -> None:
    plain = plain_options({"constraints": f"{rules}:deep", "points": {"lr": 3}, "points_to_evaluate": ({},)})
    assert plain == {"constraints": "rules.py:deep", "points": {"lr": 3}, "points_to_evaluate": [{}]}
    assert plain_options({"constraints": few_a}) == {"constraints": "few_a"}
    for value in (float("nan"), object()):
        with pytest.raises(ParameterError) as caught:
            plain_options({"top": value})
        assert caught.value.field == "search_options.top"


def test_maxt_pending_is_an_option_of_those_that_learn() -> None:
    pytest.importorskip("optuna")
    task: Any = SearchTask(SPACE, 0, max_t=9)
    assert make_searcher("tpe", task, {"maxt_pending": True}).maxt_pending is True  # type: ignore[attr-defined]
    first = make_searcher("tpe", task, {"maxt_pending": True, "points_to_evaluate": [{}]})
    assert first.maxt_pending is True  # type: ignore[attr-defined]
    plain = make_searcher("tpe", task, {"maxt_pending": False, "points_to_evaluate": [{}]})
    assert plain.maxt_pending is False  # type: ignore[attr-defined]
    with pytest.raises(ParameterError) as caught:
        make_searcher("tpe", task, {"maxt_pending": 1})
    assert caught.value.field == "search_options.maxt_pending"
    with pytest.raises(ParameterError, match="is no option of the searcher grid"):
        make_searcher("grid", task, {"maxt_pending": True})
