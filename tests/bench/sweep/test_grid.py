"""The cells of a sweep, against plain loops over its file."""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbsim.bench.sweep.plan import read_sweep
from hbsim.errors import ParameterError
from tests.bench.sweep import naive
from tests.profile import examples

BUDGETS = ({}, {"max_time": 5.0}, {"max_full_runs": 2.0}, {"max_full_runs": 0.5})
OPTIONS = ({}, {"retries": 2}, {"grace_period": 3}, {"brackets": 2}, {"max_t": 3}, {"n": 4})
table = st.builds(
    lambda *parts: {name: value for part in parts for name, value in part.items()},
    st.sampled_from(BUDGETS),
    st.sampled_from(OPTIONS),
    st.sampled_from(({}, {"num_trials": 7}, {"replace": True}, {"searcher": "random"})),
)
variant = st.builds(
    lambda type, own, vary, name: {"type": type, **own, **vary, **name},
    st.sampled_from(("stopping", "promotion")),
    st.sampled_from(({}, {"grace_period": 2}, {"reduction_factor": 2.5})),
    st.sampled_from(({}, {"vary": {"brackets": [1, 2]}}, {"vary": {"brackets": [2], "retries": [0, 1]}})),
    st.sampled_from(({}, {"name": "a[1]"}, {"name": "b"})),
)
surrogate = st.builds(
    lambda number, name, own: {
        "surrogate": f"synthetic:mode=min,max_resource=9,seed={number}",
        "name": name,
        **own,
    },
    st.integers(0, 1),
    st.sampled_from(("syn", "sym", "other*")),
    table,
)
cluster = st.builds(
    lambda name, own: {"name": name, **own},
    st.sampled_from(("one", "two")),
    st.sampled_from(
        (
            {},
            {"workers": 3},
            {"workers": [2, 3], "startup": 1.0},
            {"machines": [{"kind": "big", "count": 2, "gpus": 2}]},
            {"speed": [1.0, 2.0]},
        )
    ),
)
NAMES = ("stopping", "promotion", "a[1]", "a[1],brackets=2", "b", "*", "st*", "*brackets=?", "?", "a[1]*")
PLACES = ("syn", "sym", "sy?", "other*", "*")
matches = st.fixed_dictionaries(
    {},
    optional={
        "variant": st.sampled_from(NAMES) | st.lists(st.sampled_from(NAMES), min_size=1, max_size=2),
        "surrogate": st.sampled_from(PLACES),
        "cluster": st.sampled_from(("one", "two", "plain", "*")),
        "workers": st.sampled_from((2, 4)) | st.just([1, 2, 4]),
        "seed": st.sampled_from((0, 1, 5)) | st.just([0, 1]),
    },
)
override = st.builds(
    lambda where, own: {
        "where": {k: v for k, v in where.items() if k not in ("variant", "seed")},
        "set": own,
    },
    matches,
    table,
)
sweeps = st.fixed_dictionaries(
    {
        "defaults": table.map(lambda one: {"num_trials": 5, **one}),
        "variants": st.lists(variant, min_size=1, max_size=2),
        "surrogates": st.lists(surrogate, min_size=1, max_size=2),
    },
    optional={
        "seeds": st.integers(1, 2) | st.just([5, 0]) | st.just({"first": 4, "count": 2}),
        "workers": st.sampled_from((2, [4, 2], [1, 2, 4])),
        "clusters": st.lists(cluster, max_size=2),
        "include": st.lists(matches, max_size=2),
        "exclude": st.lists(matches, max_size=1),
        "override": st.lists(override, max_size=2),
    },
)


def toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {toml(item)}" for name, item in value.items()) + "}"
    return f"[{', '.join(map(toml, value))}]" if isinstance(value, list) else json.dumps(value)


@settings(max_examples=examples(80))
@given(sweeps)
def test_cells_are_those_of_plain_loops(content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "study.toml"
        path.write_text("\n".join(f"{name} = {toml(value)}" for name, value in content.items()), "utf-8")
        try:
            expected = naive.cells(content)
        except naive.Refused:
            with pytest.raises(ParameterError, match=r"study\.toml"):
                read_sweep(path)
            return
        grid = read_sweep(path)
    names = ("variant", "surrogate", "cluster", "workers", "seed")
    found = [(s.of.variant.label, *s.of.task, s.seed) for s in grid.studies]
    assert found == [tuple(cell[name] for name in names) for cell in expected]
    for study, cell in zip(grid.studies, expected, strict=True):
        assert study.of.variant.options == cell["options"]
        assert study.of.variant.type == cell["type"]
        assert (study.of.is_replacing, study.of.searcher) == (cell["replace"], cell["searcher"])
        assert study.of.load == {"surrogate": cell["curves"]["surrogate"]}
        given_, wanted = study.of.max_time, cell["max_time"]
        assert given_ == wanted or math.isclose(given_, wanted, rel_tol=1e-11)  # type: ignore[arg-type]
    tasks = {(cell["surrogate"], cell["cluster"], cell["workers"]) for cell in expected}
    assert {task.key for task in grid.tasks} == tasks
    assert len(grid.tasks) == len(tasks)
    order = [name for name, *_ in naive.variants(content)]
    there = {cell["variant"] for cell in expected}
    assert [one.name for one in grid.variants] == sorted(
        there, key=lambda name: order.index(name.partition(" (= ")[0])
    )
