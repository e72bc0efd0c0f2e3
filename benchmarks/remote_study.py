"""One study of `benchmarks.remote_speed` with hbsim; prints one line of JSON.

``python benchmarks/remote_study.py KIND JSON``: the object holds ``type`` ("local", "hosts" or "dask") and
the options of `hbsim.Hosts` or `hbsim.Dask`.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import hbsim

# The scheduler's options, trials at a time, and how many there are.
KINDS: Final[Mapping[str, tuple[dict[str, Any], int, int]]] = {
    "still": ({"max_t": 1}, 2, 200),
    "verdict": ({"max_t": 2**30, "reduction_factor": 2}, 1, 10),
    "decisions": ({"max_t": 2**20, "reduction_factor": 2}, 32, 64),
}


@hbsim.args(x=hbsim.Real(0.0, 1.0))
def still(args, reporter):
    """Report once."""
    reporter(epoch=1, accuracy=args.x, began=time.monotonic(), trip=0.0)


@hbsim.args(x=hbsim.Real(0.0, 1.0))
def verdict(args, reporter):
    """Reach one milestone after the other, 20 ms between them; equal trials all go on."""
    hop(reporter, 31, 0.02)


@hbsim.args(x=hbsim.Real(0.0, 1.0))
def decisions(args, reporter):
    """Reach one milestone after the other, without a pause."""
    hop(reporter, 21, 0.0)


def hop(reporter, count: int, seconds: float) -> None:
    """Report so many milestones; each report says how long the one before waited for its verdict."""
    began, trip = time.monotonic(), 0.0
    for power in range(count):
        time.sleep(seconds)
        asked = time.monotonic()
        reporter(epoch=2**power, accuracy=0.5, began=began, trip=trip)
        trip = time.monotonic() - asked


def executor(about: dict[str, Any]) -> Any:
    """Return what `hbsim.run` is given."""
    kind, options = about["type"], {name: value for name, value in about.items() if name != "type"}
    return {
        "local": lambda: "local",
        "hosts": lambda: hbsim.Hosts(**options),
        "dask": lambda: hbsim.Dask(**options),
    }[kind]()


def main() -> None:
    """Run a study, and print its reports."""
    kind, about = sys.argv[1], json.loads(sys.argv[2])
    options, workers, trials = KINDS[kind]
    scheduler = hbsim.make_scheduler("stopping", num_trials=trials, **options)
    with tempfile.TemporaryDirectory() as folder:
        called = time.monotonic()
        result = hbsim.run(
            f"{__file__}:{kind}",
            scheduler,
            workers=workers,
            folder=Path(folder) / "study",
            progress="none",
            executor=executor(about),
        )
        ended = time.monotonic()
        names = ["trial", "began", "trip", "time"]
        reports = result.reports.unnest("metrics").select(names).to_dicts()
        milestones = result.decisions["time"].to_list()
    print(json.dumps({"called": called, "ended": ended, "reports": reports, "milestones": milestones}))


if __name__ == "__main__":
    main()
