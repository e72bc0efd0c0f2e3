"""The tables that ship beside digits: whole, small, and what their cards say."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import hbsim.surrogates
from benchmarks.task_curves import RECORDINGS
from hbsim.core.space import Space
from hbsim.searchers import RandomSearcher
from hbsim.surrogates import load, rank_correlation
from hbsim.surrogates.table import SHIPPED

FOLDER = Path(hbsim.surrogates.__path__[0])
NAMES = sorted(set(SHIPPED) - {"digits"})
LEVELS = [1, 3, 9, 27, 81]


@pytest.fixture(scope="module", params=NAMES)
def shipped(request):
    file = FOLDER / f"{request.param}.parquet"
    said = json.loads(pl.read_parquet_metadata(file)["hbsim"])
    return request.param, pl.read_parquet(file), said, (FOLDER / f"{request.param}.md").read_text("utf-8")


def test_it_is_small_and_has_all_epochs_of_all_runs(shipped):
    name, frame, said, _ = shipped
    assert (FOLDER / f"{name}.parquet").stat().st_size < 1_000_000
    rows = said["trials"]
    assert rows >= 200
    assert frame["config"].to_list() == [row for row in range(rows) for _ in range(81)]
    assert frame["epoch"].to_list() == list(range(1, 82)) * rows
    assert said["failed"] == {}


def test_it_decides_as_it_was_recorded(shipped):
    name, frame, said, _ = shipped
    recording = RECORDINGS[name]
    table = load(name)
    assert (table.name, table.metric, table.mode) == (name, recording.metric, "min")
    assert table.test_values(np.array([0]), 81.0) == pytest.approx(frame[recording.test_metric][80])
    assert said["recorded"]["train"] == f"{recording.example}:train_fn"


def test_times_never_go_back(shipped):
    seconds = shipped[1]["seconds"].to_numpy().reshape(-1, 81)
    assert (seconds[:, 0] > 0).all()
    assert (np.diff(seconds) >= 0).all()


def test_configurations_are_those_of_the_random_searcher(shipped):
    _, frame, said, _ = shipped
    space = Space.from_json(said["space"])
    drawn = space.decode(RandomSearcher(space, said["recorded"]["seed"]).suggest(said["trials"]))
    first = frame.filter(pl.col("epoch") == 1)
    for name, values in drawn.items():
        if first[name].dtype.is_numeric():
            np.testing.assert_allclose(first[name].to_numpy(), values, rtol=1e-6)
        else:
            assert first[name].to_list() == [
                str(value) if isinstance(value, str) else value for value in values
            ]


def test_its_card_says_what_it_holds(shipped):
    name, frame, said, card = shipped
    assert f"python -m benchmarks.task_curves {name}" in card
    assert f"{said['trials']} random configurations" in card
    assert f"{len(frame):,} rows" in card
    size = (FOLDER / f"{name}.parquet").stat().st_size
    assert f"takes\n{size / 1e6:.2f} MB" in card or f"takes {size / 1e6:.2f} MB" in card
    ranks = re.search(r"ranks with those at epoch 81: (.*)\.$", card, re.MULTILINE)[1]
    found = [float(number) for number in re.findall(r"(-?\d\.\d\d) at", ranks)]
    assert found == [round(one, 2) for one in rank_correlation(load(name), LEVELS)[:-1]]
    best = re.search(r"at epoch 81: best ([\d.]+)", card)[1]
    assert float(best) == pytest.approx(load(name).optimum(81), rel=0.01)
    for column in said["hyperparameters"]:
        assert f"| `{column}` |" in card
