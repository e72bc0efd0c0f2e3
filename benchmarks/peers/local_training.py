"""The training code that every tuner runs for `benchmarks.peers.local`, and what its driver says of it.

Knows no tuner: each driver gives the rows to its own reporter; run by itself it trains without any. Times are
of the monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch

STEPS = 3  # of SGD in an epoch
R = 9
LOW, HIGH = 1e-4, 1.0  # learning rates, searched on a logarithmic scale

Row = dict[str, Any]


def rows(lr: float, reports: int) -> Iterator[Row]:
    """Train, or only report so many times, if `reports` is not 0."""
    return flood(reports) if reports else training(lr)


def training(lr: float) -> Iterator[Row]:
    """Train a small model for R epochs.

    Yields
    ------
    dict
        epoch; accuracy; began, when the function was called; trained, seconds in the SGD steps so far.
    """
    began = time.monotonic()
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(64, 16, generator=generator)
    labels = (inputs.sum(1) > 0).long()
    model = torch.nn.Sequential(torch.nn.Linear(16, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2, generator=generator)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    trained = 0.0
    for epoch in range(1, R + 1):
        start = time.perf_counter()
        for _ in range(STEPS):
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(inputs), labels)
            loss.backward()
            optimizer.step()
        accuracy = math.exp(-loss.item())  # the mean probability of the right class: no ties
        trained += time.perf_counter() - start
        yield {"epoch": epoch, "accuracy": accuracy, "began": began, "trained": trained}


def flood(reports: int) -> Iterator[Row]:
    """Train nothing.

    Yields
    ------
    dict
        epoch; accuracy; began, when the function was called; spent, seconds since then.
    """
    began = time.monotonic()
    for epoch in range(1, reports + 1):
        spent = time.monotonic() - began
        yield {"epoch": epoch, "accuracy": epoch / reports, "began": began, "spent": spent}


def options(description: str | None) -> argparse.ArgumentParser:
    """Return the command line that all drivers share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--reports", type=int, default=0, help="one trial that reports so many times")
    parser.add_argument("--seed", type=int, default=0)
    return parser


def outcome(last: list[Row], seen: int, called: float, ended: float) -> str:
    """Return what a driver prints: one line of JSON.

    Parameters
    ----------
    last : list of dict
        The last row of every trial that reported.
    seen : int
        Reports that the tuner has seen.
    called, ended : float
        When the study was started, and when it returned.
    """
    kept = ("epoch", "began", "trained", "spent")
    trials = [{name: float(row[name]) for name in kept if name in row} for row in last]
    return json.dumps({"called": called, "ended": ended, "seen": seen, "trials": trials})


def in_this_process(reports: int, count: int) -> list[list[Row]]:
    """Train one trial after the other."""
    return [list(rows(0.1, reports)) for _ in range(count)]


def in_processes(reports: int, count: int, workers: int) -> list[list[Row]]:
    """Train each trial in a new Python, `workers` at a time."""
    command = [sys.executable, __file__, "--trials", "1", "--reports", str(reports), "--rows"]

    def train_one(_: int) -> list[Row]:
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        (trial,) = json.loads(output)
        return list(trial)

    with ThreadPoolExecutor(workers) as pool:  # its threads only wait
        return list(pool.map(train_one, range(count)))


def main() -> None:
    """Train without any tuner, all nine epochs of each trial; print one line of JSON."""
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
