"""Searchers by name, with options, in the seed's classes."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest

import hbsim
from hbsim.autotorch.schedulers import FIFOScheduler, HyperbandScheduler
from hbsim.errors import HbsimWarning, ParameterError
from hbsim.searchers import SearchTask, make_searcher
from tests.doubles.journal_lines import read_journal
from tests.profile import THOROUGH

from .functions import climb

QUICK: dict[str, Any] = {"resource": {"num_cpus": 1}, "workers": 1, "progress": "none", "max_reward": None}
SPACE = hbsim.Space({"lr": hbsim.Real(0.0, 1.0), "kind": hbsim.Choice("a", "b")})


def real(folder: Path | None, **options: Any) -> HyperbandScheduler:
    given = {"max_t": 4, "grace_period": 1, "reduction_factor": 2, **QUICK, **options}
    return HyperbandScheduler(climb, checkpoint=folder, **given)


def simulated(kind: type[FIFOScheduler] = HyperbandScheduler, **options: Any) -> Any:
    given: dict[str, Any] = {"num_trials": 12, "surrogate": "synthetic", "workers": 4, **options}
    levels = {"max_t": 9, "grace_period": 1, "reduction_factor": 3} if kind is HyperbandScheduler else {}
    return kind(climb, executor="sim", checkpoint=None, max_reward=None, **levels, **given)


@pytest.mark.parametrize(
    ("searcher", "options"),
    [
        ("grid", {"points": 3, "points_to_evaluate": [{"lr": 0.7}]}),
        ("sobol", {"constraints": lambda c: c["kind"] == "a"}),
        ("lhs", {"size": 4}),
    ],
)
def test_a_study_that_is_resumed_goes_on_as_it_would_have(
    searcher: str, options: dict[str, Any], tmp_path: Path
) -> None:
    """From the journal cut after its first, and after other records, the rest is the same."""
    made = {"searcher": searcher, "search_options": options, "num_trials": None if searcher == "grid" else 7}
    whole = real(tmp_path / "whole", **made).run()
    wanted = make_searcher(searcher, SearchTask(SPACE, 0), options).suggest(7)
    assert len(whole.trials) == 7
    assert [whole.configuration(trial) for trial in range(7)] == [SPACE.mapping(point) for point in wanted]
    lines = (tmp_path / "whole" / "journal.jsonl").read_bytes().splitlines(keepends=True)
    for count in (1, 2, 5, len(lines) // 2, len(lines) - 1) if THOROUGH else (1, len(lines) // 2):
        place = tmp_path / f"cut{count}"
        shutil.copytree(tmp_path / "whole", place)
        (place / "journal.jsonl").write_bytes(b"".join(lines[:count]))
        result: Any = real(place, resume=True, **made).run()
        assert [result.configuration(trial) for trial in range(7)] == [
            whole.configuration(trial)
            for trial in range(7)  # type: ignore[union-attr]
        ]
        assert len(result.trials) == 7


def test_a_queue_comes_before_them(tmp_path: Path) -> None:
    scheduler = real(tmp_path / "exp", searcher="grid", search_options={"points": 2})
    scheduler.add_job({"lr": 0.3, "kind": "b"})
    result: Any = scheduler.run()
    assert [result.configuration(trial)["lr"] for trial in range(5)] == [pytest.approx(0.3), 0, 0, 1, 1]
    assert len(result.trials) == 5


@pytest.mark.parametrize("kind", [HyperbandScheduler, FIFOScheduler])
def test_a_simulation_has_them(kind: type[FIFOScheduler]) -> None:
    result = simulated(kind, searcher="lhs", search_options={"size": 6}, seed=2).run()
    space = result.curves.surrogate.space
    wanted = make_searcher("lhs", SearchTask(space, 2), {"size": 6}).suggest(12)
    assert (result.curves.configurations() == wanted).all()
    rows = simulated(kind, searcher="sobol", surrogate="digits", mode="min").run().curves.configurations()
    assert len(set(rows.tolist())) == 12


def test_bayesopt_is_mobster_or_gp() -> None:
    pytest.importorskip("botorch", reason="gp and mobster need the extra search")
    pytest.importorskip("gpytorch")
    for kind, name in ((HyperbandScheduler, "mobster"), (FIFOScheduler, "gp")):
        pending = {"maxt_pending": True} if kind is HyperbandScheduler else {}
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            scheduler = simulated(
                kind, searcher="bayesopt", search_options={"num_init": 3}, num_trials=3, **pending
            )
        result = scheduler.run()
        assert result.curves.searcher.name == name
        options: Any = scheduler.state_dict()["options"]
        assert (options["searcher"], options["search_options"]) == (name, {"num_init": 3, **pending})


@pytest.mark.parametrize("kind", [HyperbandScheduler, FIFOScheduler])
@pytest.mark.parametrize(
    ("name", "meant"), [("bayesop", "bayesopt"), ("bayesian", "bayesopt"), ("sobl", "sobol")]
)
def test_a_name_that_is_nearly_right(kind: Any, name: str, meant: str) -> None:
    with pytest.raises(ParameterError, match=f"Did you mean '{meant}'") as caught:
        simulated(kind, searcher=name)
    assert (caught.value.field, caught.value.value) == ("searcher", name)


@pytest.mark.parametrize("searcher", ["tpe", "bohb"])
def test_maxt_pending_is_an_option_of_one_by_name(searcher: str) -> None:
    pytest.importorskip("optuna", reason="tpe and bohb need the extra search")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = simulated(searcher=searcher, maxt_pending=True, num_trials=3).run()
    assert result.curves.searcher.maxt_pending is True
    plain = simulated(searcher=searcher, num_trials=3).run()
    assert not getattr(plain.curves.searcher, "maxt_pending", False)


@pytest.mark.parametrize("searcher", [None, "random", "grid", "sobol"])
def test_maxt_pending_says_where_it_has_no_effect(searcher: Any) -> None:
    with pytest.warns(HbsimWarning, match="maxt_pending=True has no effect"):
        simulated(
            searcher=searcher, search_options={"points": 2} if searcher == "grid" else None, maxt_pending=True
        )


def test_the_state_has_the_options(tmp_path: Path) -> None:
    options = {"points": 2, "constraints": lambda c: c["learning_rate"] > 0}
    first = simulated(searcher="grid", search_options=options, num_trials=None)
    first.run()
    state = json.loads(json.dumps(first.state_dict()))
    kept = state["options"]["search_options"]
    assert kept["points"] == 2
    assert kept["constraints"].endswith("<lambda>")
    simulated(searcher="grid", search_options=options, num_trials=None).load_state_dict(state)
    with pytest.raises(ParameterError, match="the state is of a scheduler with search_options="):
        simulated(searcher="grid", search_options={"points": 2}, num_trials=None).load_state_dict(state)
    assert "search_options" not in simulated().state_dict()["options"]


ERRORS = [
    ("searcher", {"searcher": "gird"}, "Did you mean 'grid'?"),
    (
        "search_options.pionts",
        {"searcher": "grid", "search_options": {"pionts": 3}},
        "Did you mean 'points'?",
    ),
    ("search_options.points", {"searcher": "grid", "search_options": {"points": 0}}, "at least 1"),
    ("search_options.size", {"searcher": "random", "search_options": {"size": 4}}, "is no option of"),
    ("search_options", {"search_options": [3]}, "must be a dict"),
    (
        "search_options.constraints",
        {"searcher": "grid", "search_options": {"constraints": lambda c: False}},
        "it is empty",
    ),
]


@pytest.mark.parametrize(("field", "options", "rule"), ERRORS)
def test_what_is_wrong_is_said_at_once(
    field: str, options: dict[str, Any], rule: str, tmp_path: Path
) -> None:
    for make in (simulated, lambda **more: real(tmp_path / "exp", **{"num_trials": 4, **more})):
        with pytest.raises(ParameterError) as caught:
            make(**options)
        assert caught.value.field == field
        assert rule in caught.value.rule
    assert not (tmp_path / "exp").exists()


def test_the_journal_has_the_options(tmp_path: Path) -> None:
    real(tmp_path / "exp", searcher="grid", search_options={"points": 2}).run()
    spec = next(iter(read_journal(tmp_path / "exp" / "journal.jsonl")))["spec"]
    assert (spec["searcher"], spec["search_options"], spec["limit"]) == ("grid", {"points": 2}, 4)
