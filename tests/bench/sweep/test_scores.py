"""What scores are held against, and the curves over time, against plain loops."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbsim.bench.sweep.scores import anytime, budgets, grid_of, scales, steps
from hbsim.bench.sweep.store import PLANNED, TABLES
from tests.profile import examples

TASKS = (("a", "one", 2), ("a", "one", 4), ("b", "one", 2))
numbers = st.integers(-4, 9).map(float)
study = st.fixed_dictionaries(
    {
        "status": st.sampled_from(("done", "done", "done", "failed")),
        "times": st.lists(st.integers(1, 20).map(float), max_size=4, unique=True).map(sorted),
        "values": st.lists(st.none() | numbers, min_size=4, max_size=4),
        "end": st.integers(1, 30).map(float),
        "best": st.none() | numbers,
    }
)
task = st.fixed_dictionaries(
    {
        "studies": st.lists(study, min_size=1, max_size=3),
        "max_time": st.none() | st.integers(1, 20).map(float),
        "guess": st.none() | numbers,
    }
)
curves = st.fixed_dictionaries(
    {"mode": st.sampled_from(("min", "max")), "optimum": st.none() | st.sampled_from((-4.0, 9.0))}
)


def made(
    tasks: list[dict[str, Any]], kinds: dict[str, dict[str, Any]]
) -> tuple[Any, pl.DataFrame, pl.DataFrame]:
    """Return manifest, cells and incumbents as a sweep has them."""
    manifest: dict[str, Any] = {"tasks": []}
    cells, rows = [], []
    for number, (names, task) in enumerate(zip(TASKS, tasks, strict=True)):
        keys = dict(zip(("surrogate", "cluster", "workers"), names, strict=True))
        own = {"max_t": 9, "max_time": task["max_time"], "guess": task["guess"], "full_run": 2.0}
        manifest["tasks"].append({**keys, **kinds[names[0]], **own})
        for seed, one in enumerate(task["studies"]):
            is_done = one["status"] == "done"
            key = f"{number}.{seed}"
            cell = dict.fromkeys(TABLES["cells"])
            cell |= {"key": key, "status": one["status"], "variant": "v", "seed": seed, **keys}
            cell |= {"simulated_seconds": one["end"], "best_started_part": one["best"]} if is_done else {}
            cell |= {"is_deserted": one.get("deserted", False)} if is_done else {}
            cells.append(cell)
            if is_done:
                rows += [(key, at, value) for at, value in zip(one["times"], one["values"], strict=False)]
    schema = {**PLANNED, **TABLES["cells"]}
    incumbents = pl.DataFrame(
        rows, schema={"key": pl.String, "time": pl.Float64, "value": pl.Float64}, orient="row"
    )
    return manifest, pl.DataFrame(cells, schema=schema), incumbents


def naive_best(tasks: list[dict[str, Any]], kinds: dict[str, dict[str, Any]], name: str) -> float:
    """Return the best of a space: as it is known, or the best value at R of any study on these curves."""
    if kinds[name]["optimum"] is not None:
        return float(kinds[name]["optimum"])
    seen = [
        value
        for names, task in zip(TASKS, tasks, strict=True)
        for one in task["studies"]
        for value in (one["best"], *one["values"][: len(one["times"])])
        if names[0] == name and one["status"] == "done" and value is not None
    ]
    return (max if kinds[name]["mode"] == "max" else min)(seen, default=math.nan)


def naive_score(value: float | None, best: float, guess: float | None, mode: str) -> float | None:
    if value is None or math.isnan(best):
        return None
    sign = 1 if mode == "max" else -1
    unit = 0.0 if guess is None else max(0.0, sign * (best - guess))
    return max(0.0, sign * (best - value)) / unit if unit > 0 else None  # there is nothing to tune


@settings(max_examples=examples(100))
@given(st.lists(task, min_size=3, max_size=3), curves, curves)
def test_scores_over_time_are_those_of_plain_loops(tasks, first, second):
    kinds = {"a": first, "b": second}
    manifest, cells, incumbents = made(tasks, kinds)
    scale, budget = scales(manifest, cells, incumbents), budgets(manifest, cells)
    found = anytime(cells, incumbents, manifest)
    assert found.columns == [*PLANNED, "time", "score"]
    expected = []
    for number, (names, task) in enumerate(zip(TASKS, tasks, strict=True)):
        done = [(seed, one) for seed, one in enumerate(task["studies"]) if one["status"] == "done"]
        best = naive_best(tasks, kinds, names[0])
        assert scale[names].best == pytest.approx(best, nan_ok=True)
        assert scale[names].is_known == (kinds[names[0]]["optimum"] is not None)
        end = task["max_time"] or min((one["end"] for _, one in done), default=math.nan)
        assert budget[names].value == pytest.approx(end, nan_ok=True)
        starts = [one["times"][0] for _, one in done if one["times"]]
        for seed, one in done:
            if not one["times"]:
                continue
            points = [end]
            if min(starts) < end:
                ratio = end / min(starts)
                points = [min(starts) * ratio ** (place / 63) for place in range(64)]
            for at in points:
                known = [v for t, v in zip(one["times"], one["values"], strict=False) if t <= at * (1 + 1e-9)]
                score = (
                    naive_score(known[-1], best, task["guess"], kinds[names[0]]["mode"]) if known else None
                )
                expected.append((f"{number}.{seed}", "v", *names, seed, at, score))
    assert found.height == len(expected)
    for row, wanted in zip(found.drop("split", "part").rows(), expected, strict=True):
        assert row[:6] == wanted[:6]
        assert row[6] == pytest.approx(wanted[6])
        near = any(
            abs(row[6] - t) < 1e-6 * t for task in tasks for one in task["studies"] for t in one["times"]
        )
        assert near or row[7] == (wanted[7] if wanted[7] is None else pytest.approx(wanted[7]))


def test_the_text_of_a_budget_says_who_set_it():
    one = {"status": "done", "times": [1.0], "values": [1.0, None, None, None], "best": 1.0}
    task = {"studies": [{**one, "end": 9.0}, {**one, "end": 4.0}], "max_time": None, "guess": 2.0}
    kinds = {"a": {"mode": "min", "optimum": 0.0}, "b": {"mode": "min", "optimum": 0.0}}
    task["studies"].append({**one, "end": 2.0, "deserted": True})
    failed = {**task, "studies": [{**one, "end": 1.0, "status": "failed"}]}
    manifest, cells, _ = made([task, {**task, "max_time": 7.0}, failed], kinds)
    found = budgets(manifest, cells)
    assert [budget.text for budget in found.values()] == [
        "the earliest end of any study: v, seed 1",
        "as given: 3.5 mean full runs",
        "no study came to its end",
    ]
    assert [budget.is_given for budget in found.values()] == [False, True, False]
    manifest["tasks"][1]["full_run"] = 0.0
    assert budgets(manifest, cells)[TASKS[1]].text == "as given"


def test_steps_are_the_incumbents_of_each_study():
    rows = [("b", 1.0, 3.0), ("b", 2.0, None), ("a", 4.0, 1.0)]
    found = steps(pl.DataFrame(rows, schema=["key", "time", "value"], orient="row"))
    assert list(found) == ["b", "a"]
    assert found["b"].time.tolist() == [1.0, 2.0]
    np.testing.assert_array_equal(found["b"].value, [3.0, math.nan])
    assert steps(pl.DataFrame(schema={"key": pl.String, "time": pl.Float64, "value": pl.Float64})) == {}


def test_a_grid_starts_at_the_first_incumbent_and_ends_at_the_budget():
    frame = pl.DataFrame([("a", 2.0, 1.0), ("b", 0.0, 1.0)], schema=["key", "time", "value"], orient="row")
    a, b = steps(frame).values()
    assert grid_of([a], 32.0, 5).tolist() == pytest.approx([2, 4, 8, 16, 32])
    assert grid_of([a, b], 32.0, 5).tolist() == [0, 8, 16, 24, 32]  # there is no ratio to 0
    assert grid_of([a], 2.0).tolist() == [2.0]
