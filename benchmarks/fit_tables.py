"""Tables of recorded curves, and pilots that are cut from them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from hbsim.surrogates import Fitted, Table, fit
from hbsim.surrogates.fit_data import encode_columns
from hbsim.surrogates.protocol import Floats, Ints

__all__ = ["Source", "sources", "write_pilot"]


@dataclass(frozen=True)
class Source:
    """A table, how it is read, and how large a pilot is cut from it."""

    name: str
    path: Path
    pilots: tuple[int, ...]
    workers: int
    seconds: float  # of a study, in which fifo trains some 100 trials
    metric: str | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def load(self, path: Path | None = None) -> Table:
        """Read the table, or a part of it."""
        return Table.load(path or self.path, metric=self.metric, **self.options)

    def fit(self, path: Path, seed: int = 0) -> Fitted:
        """Fit to a part of the table."""
        return fit(path, seed=seed, metric=self.metric, **self.options)

    def with_options(self, options: dict[str, Any]) -> Source:
        """Return the same, read in another way."""
        return replace(self, options=options)

    def points(self, fitted: Fitted, rows: Ints) -> Floats:
        """Return rows of the table as points of a fit's space."""
        assert fitted.space is not None
        return encode_columns(self.name, fitted.space, self.load().configurations[rows.tolist()])


def sources(data: Path | None) -> Iterator[Source]:
    """Give the shipped table, and the public ones that are there."""
    shipped = Path(str(files("hbsim.surrogates") / "digits.parquet"))
    yield Source("digits", shipped, (50, 100, 200), 8, 20.0)
    if data is None:
        return
    public = (
        Source(
            "nasbench_nlp_wt2",
            data / "nasbench_nlp_wt2.npz",
            (100,),
            8,
            1e5,
            "val_loss",
            {"mode": "min", "censored": "fail"},
        ),
        Source(
            "taskset_LSTM128",
            data / "taskset_mdb_patch128_LSTM128_bs64.npz",
            (100, 200),
            8,
            200.0,
            "valid_loss",
            {"mode": "min", "censored": "fail", "first_level": 0, "seconds_per_unit": 1.0},
        ),
    )
    yield from (source for source in public if source.path.is_file())


def write_pilot(source: Source, rows: Ints, path: Path, ends: Ints | None = None) -> Path:
    """Write these rows of a table to a file of its own, in its own format; each until its level `ends`."""
    if source.path.suffix == ".npz":
        with np.load(source.path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        n = len(arrays["X"])
        kept = {name: a[rows] if len(a) == n else a for name, a in arrays.items()}
        if ends is not None:
            first = source.options.get("first_level") == 0
            curves = [name for name, a in kept.items() if a.ndim == 2 and name != "X"]
            for name in curves:
                kept[name] = np.where(
                    np.arange(kept[name].shape[1]) < (ends + first)[:, None], kept[name], np.nan
                )
        np.savez(path, **kept)
        return path
    whole, notes = pl.read_parquet(source.path), pl.read_parquet_metadata(source.path)
    last = pl.DataFrame({"config": rows, "end": ends if ends is not None else np.full(len(rows), 2**31)})
    lines = whole.join(last.cast({"config": whole["config"].dtype}), on="config", maintain_order="left")
    lines = lines.filter(pl.col("epoch") <= pl.col("end")).drop("end")
    lines.write_parquet(path, metadata={key: text for key, text in notes.items() if key.startswith("hbsim")})
    return path
