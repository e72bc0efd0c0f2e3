"""The same trials without any tuner, all nine epochs of each; prints one line of JSON."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.peers.local_training import Row, options, outcome, rows


def in_this_process(reports: int, count: int) -> list[list[Row]]:
    """Train one trial after the other."""
    return [list(rows(0.1, reports)) for _ in range(count)]


def in_processes(reports: int, count: int, workers: int) -> list[list[Row]]:
    """Train each trial in a new Python, `workers` at a time."""
    command = [sys.executable, __file__, "--trials", "1", "--reports", str(reports), "--rows"]

    def run(_: int) -> list[Row]:
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        (trial,) = json.loads(output)
        return list(trial)

    with ThreadPoolExecutor(workers) as pool:  # its threads only wait
        return list(pool.map(run, range(count)))


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--processes", action="store_true", help="a new Python a trial")
    parser.add_argument("--rows", action="store_true", help="print all rows instead")
    chosen = parser.parse_args()
    count = 1 if chosen.reports else chosen.trials
    called = time.monotonic()
    trials: list[Any]
    if chosen.processes:
        trials = in_processes(chosen.reports, count, chosen.workers)
    else:
        trials = in_this_process(chosen.reports, count)
    ended = time.monotonic()
    last, seen = [trial[-1] for trial in trials], sum(map(len, trials))
    print(json.dumps(trials) if chosen.rows else outcome(last, seen, called, ended))


if __name__ == "__main__":
    main()
