"""The recorded curves that ship beside `digits`: training functions of `examples/`, recorded and packed.

    python -m benchmarks.task_curves sgd chars boosting

Each takes about ten minutes of CPU time. The seconds of the packed tables are CPU seconds
(`process_seconds`), which other work on the machine hardly changes. Numbers keep four figures.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import polars as pl

import hbsim
from hbsim.surrogates.table_files import write_curves

ROOT = Path(__file__).parents[1]
CLOCK = "process_seconds"


class Recording(NamedTuple):
    """What is recorded: a training function, how many configurations, and the metrics that are kept."""

    example: str
    num_trials: int
    metric: str
    test_metric: str


RECORDINGS = {
    "sgd": Recording("linear_sgd.py", 400, "val_log_loss", "test_log_loss"),
    "chars": Recording("char_model.py", 200, "val_bits", "test_bits"),
    "boosting": Recording("boosting.py", 200, "val_log_loss", "test_log_loss"),
}


def record(recording: Recording, out: Path) -> None:
    """Train all configurations, one at a time with one thread, and write their curves."""
    hbsim.record(
        f"{ROOT / 'examples' / recording.example}:train_fn",
        recording.num_trials,
        out,
        metric=recording.metric,
        mode="min",
        test_metric=recording.test_metric,
        workers=1,
        resource={"num_cpus": 1},
        keep="none",
    )


def pack(recording: Recording, recorded: Path, out: Path) -> None:
    """Write the metric, the test metric, CPU seconds and hyperparameters of recorded curves."""
    said = json.loads(pl.read_parquet_metadata(recorded)["hbsim"])
    said["metrics"] = [recording.metric, recording.test_metric]
    frame = pl.read_parquet(recorded).with_columns(pl.col(CLOCK).alias("seconds"))
    frame = frame.select("config", "epoch", *said["metrics"], "seconds", *said["hyperparameters"])
    rounded = [four_figures(frame[name]) for name in (*said["metrics"], "seconds")]
    write_curves(out, frame.with_columns(rounded), said)


def four_figures(column: pl.Series) -> pl.Series:
    """Return numbers with four figures; what is no finite number stays."""
    numbers = column.cast(pl.Float64).to_numpy()
    size = np.abs(np.where(np.isfinite(numbers) & (numbers != 0), numbers, 1.0))
    step = 10.0 ** (np.floor(np.log10(size)) - 3)
    return pl.Series(column.name, (np.rint(numbers / step) * step).astype(np.float32))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="+", choices=RECORDINGS)
    parser.add_argument(
        "--recorded", type=Path, help="a folder of NAME.parquet that `record` wrote: only pack them"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "surrogates")
    given = parser.parse_args()
    with TemporaryDirectory() as folder:
        for name in given.names:
            table = (given.recorded or Path(folder)) / f"{name}.parquet"
            if given.recorded is None:
                record(RECORDINGS[name], table)
            pack(RECORDINGS[name], table, given.out / f"{name}.parquet")
