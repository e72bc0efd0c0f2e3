"""Trials that only sleep, with hbsim's local executor or on a Dask cluster; prints one line of JSON."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

import hbsim
from benchmarks.peers.sleeping import R, options, outcome, rows, still


@hbsim.args(x=hbsim.Real(0.0, 1.0), still=False)
def train(args, reporter):
    for row in still(args.x) if args.still else rows(args.x):
        reporter(**row)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--dask", type=json.loads, help="options of hbsim.Dask; without, the local executor")
    chosen = parser.parse_args()
    scheduler = hbsim.make_scheduler(
        "stopping",
        max_t=1 if chosen.still else R,
        grace_period=1,
        reduction_factor=3,
        num_trials=chosen.trials,
        seed=chosen.seed,
    )
    with tempfile.TemporaryDirectory() as folder:
        called = time.monotonic()
        result = hbsim.run(
            f"{__file__}:train",
            scheduler,
            workers=chosen.workers,
            folder=Path(folder) / "study",
            seed=chosen.seed,
            args={"still": chosen.still},
            progress="none",
            executor="local" if chosen.dask is None else hbsim.Dask(**chosen.dask),
        )
        ended = time.monotonic()
        seen = result.reports.unnest("metrics").to_dicts()
    print(outcome([{**row, "epoch": row["resource"]} for row in seen], called, ended))


if __name__ == "__main__":
    main()
