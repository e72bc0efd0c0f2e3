"""The shipped digits curves are what ``digits.md`` says they are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import hbsim.surrogates
from hbsim.core.space import Space
from hbsim.searchers import RandomSearcher

FILE = Path(hbsim.surrogates.__path__[0]) / "digits.parquet"
ERRORS = ("val_error", "test_error")
ROWS = 1000


@pytest.fixture(scope="module")
def curves() -> pl.DataFrame:
    return pl.read_parquet(FILE)


@pytest.fixture(scope="module")
def told() -> dict:
    return json.loads(pl.read_parquet_metadata(FILE)["hbsim"])


def test_is_small():
    assert FILE.stat().st_size < 2_000_000


def test_decides_on_the_validation_error(told):
    metadata = pl.read_parquet_metadata(FILE)
    said = [metadata[f"hbsim.{key}"] for key in ("metric", "mode", "test_metric")]
    assert said == ["val_error", "min", "test_error"]
    assert told["failed"] == {}
    assert told["trials"] == ROWS


def test_every_configuration_has_every_epoch(curves):
    assert curves["config"].to_list() == [row for row in range(ROWS) for _ in range(81)]
    assert curves["epoch"].to_list() == list(range(1, 82)) * ROWS


def test_errors_are_shares_of_500_images(curves):
    for name in ERRORS:
        counts = curves[name].cast(pl.Float64).to_numpy() * 500
        assert np.abs(counts - counts.round()).max() < 1e-3
        assert counts.min() >= 0
        assert counts.max() <= 500


def test_cross_entropy_is_no_number_exactly_where_all_is_wrong(curves):
    for name in ("val", "test"):
        diverged = ~curves[f"{name}_cross_entropy"].is_finite()
        assert (curves[f"{name}_error"].filter(diverged) == 1).all()


def test_times_never_go_back(curves):
    for name in ("seconds", "process_seconds"):
        times = curves[name].to_numpy().reshape(ROWS, 81)
        assert (times[:, 0] > 0).all()
        assert (np.diff(times) >= 0).all()


def test_configurations_are_those_of_the_random_searcher(curves, told):
    space = Space.from_json(told["space"])
    drawn = space.decode(RandomSearcher(space, told["recorded"]["seed"]).suggest(ROWS))
    first = curves.filter(pl.col("epoch") == 1)
    for name, values in drawn.items():
        np.testing.assert_allclose(first[name].to_numpy(), values, rtol=1e-12)
        assert (curves[name].to_numpy().reshape(ROWS, 81) == first[name].to_numpy()[:, None]).all()


def test_early_ranks_predict_late_ones_but_not_perfectly(curves):
    errors = curves.sort("config", "epoch")["val_error"].to_numpy().reshape(ROWS, 81)
    from scipy.stats import spearmanr

    agreement = [spearmanr(errors[:, e - 1], errors[:, 80]).statistic for e in (1, 3, 9, 27)]
    assert agreement == sorted(agreement)
    assert 0.2 < agreement[0] < 0.7
    assert 0.8 < agreement[3] < 0.99
