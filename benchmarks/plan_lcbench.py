"""The tasks of LCBench that `hbsim.planning` ships: curves that YAHPO's network predicts, packed small.

    python -m benchmarks.plan_lcbench --data DIR

DIR is the folder of YAHPO's files for the scenario, as for ``--yahpo-data``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import polars as pl

from hbsim.surrogates import load
from hbsim.surrogates.parquet import parquet
from hbsim.surrogates.yahpo import instances

OUT = Path(__file__).parents[1] / "hbsim" / "planning" / "lcbench.parquet"
TASKS, CONFIGURATIONS, SEED = 16, 200, 0


def packed(data: Path, tasks: int = TASKS, configurations: int = CONFIGURATIONS) -> pl.DataFrame:
    """Return a row an epoch: accuracy in hundredths of a percent, seconds with three figures."""
    names = sorted(instances("lcbench", data), key=int)
    chosen = [names[round(place)] for place in np.linspace(0, len(names) - 1, TASKS)]
    frames = []
    for number, name in enumerate(chosen[:tasks]):
        curves = load(f"yahpo:lcbench/{name}", yahpo_data=data)
        points = curves.space.sample(configurations, np.random.default_rng([SEED, number]))
        values, seconds = curves.evaluate(points, np.array(curves.resources))
        frames.append(
            pl.DataFrame(
                {
                    "task": np.repeat(int(name), values.size),
                    "config": np.repeat(np.arange(configurations), values.shape[1]),
                    "epoch": np.tile(np.array(curves.resources), configurations),
                    "val_accuracy": np.rint(values * 100).ravel(),
                    "seconds": three_figures(seconds).ravel(),
                },
                schema={
                    "task": pl.Int32,
                    "config": pl.UInt16,
                    "epoch": pl.UInt8,
                    "val_accuracy": pl.UInt16,
                    "seconds": pl.Float32,
                },
                strict=False,
            )
        )
    return pl.concat(frames)


def three_figures(seconds: np.ndarray) -> np.ndarray:
    """Return cumulative seconds rounded to three figures of each run's last: they never go back."""
    step = 10.0 ** (np.floor(np.log10(seconds[:, -1:])) - 2)
    return np.rint(seconds / step) * step


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    OUT.write_bytes(parquet(packed(parser.parse_args().data), level=19))
    print(f"{OUT}: {OUT.stat().st_size:,} bytes")
