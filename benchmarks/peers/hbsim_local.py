"""Real trials with hbsim's local executor, a process a trial; prints one line of JSON."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import hbsim
from benchmarks.peers.local_training import HIGH, LOW, R, options, outcome, rows


@hbsim.args(lr=hbsim.Real(LOW, HIGH, log=True), reports=0)
def train(args, reporter):
    for row in rows(args.lr, args.reports):
        reporter(**row)


def main() -> None:
    chosen = options(__doc__).parse_args()
    scheduler = hbsim.make_scheduler(
        "stopping",
        max_t=chosen.reports or R,
        grace_period=1,
        reduction_factor=3,
        num_trials=1 if chosen.reports else chosen.trials,
        seed=chosen.seed,
    )
    with tempfile.TemporaryDirectory() as folder:
        called = time.monotonic()
        result = hbsim.run(
            f"{__file__}:train",
            scheduler,
            workers=chosen.workers,
            resource={"num_cpus": 1},  # a lone trial would get all cores, and as many threads
            folder=Path(folder) / "study",
            seed=chosen.seed,
            args={"reports": chosen.reports},
            time_attr="epoch",
            metric="accuracy",
            progress="none",
        )
        ended = time.monotonic()
        seen = result.reports.unnest("metrics", separator=".")
        last = seen.group_by("trial", maintain_order=True).last().to_dicts()
    print(outcome([_row(row) for row in last], len(seen), called, ended))


def _row(row: dict[str, float]) -> dict[str, float]:
    own = {name.removeprefix("metrics."): value for name, value in row.items() if "metrics." in name}
    return {**own, "epoch": row["resource"]}


if __name__ == "__main__":
    main()
