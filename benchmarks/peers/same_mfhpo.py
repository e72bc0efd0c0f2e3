"""mfhpo-simulator's ask and tell on a table of learning curves; prints a line of JSON a study.

Runs in an environment of its own (`requirements-mfhpo.txt`), with the repository on its path: hbsim's
promotion scheduler answers it, as in `mfhpo.py`.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np

from benchmarks.peers.mfhpo import Curves, Halving, simulator
from benchmarks.peers.same_log import RUNGS, Log, drive


class Watched(Halving):
    """Writes down which results came before which ask."""

    def __init__(self, rows: int, plain: bool, mode: str) -> None:
        super().__init__(rows, plain, "value", mode)
        self.asked: dict[tuple[int, int], int] = {}  # trial and level: which ask began the job
        self.told: list[tuple[int, int, int, float]] = []  # trial, level, asks before, value

    def ask(self):
        answer = super().ask()
        config, fidelities, trial = answer
        key = (config["trial"], int(config["stop"])) if self.plain else (trial, fidelities["epoch"])
        self.asked[key] = len(self.asked)
        return answer

    def tell(self, eval_config, results, *, fidels=None, config_id=None):
        trial = eval_config["trial"] if self.plain else config_id
        level = int(eval_config["stop"] if self.plain else fidels["epoch"])
        self.told.append((trial, level, len(self.asked), results["value"]))
        super().tell(eval_config, results, fidels=fidels, config_id=config_id)


def due_times(results: dict[str, list[float]], plain: bool) -> dict[tuple[int, int], float]:
    """Return when each trial was at each level, by what mfhpo-simulator returns."""
    names = ("trial", "stop") if plain else ("row", "epoch")
    keys = zip(*(map(int, results[name]) for name in names), strict=True)
    return dict(zip(keys, results["cumtime"], strict=True))


def overrun(
    begun: dict[tuple[int, int], float], due: dict[tuple[int, int], float], seconds: np.ndarray
) -> dict[str, float | None]:
    """Return how much longer jobs to a level took than the table says: mean simulated seconds, or None."""
    table = np.insert(seconds, 0, 0.0, axis=1)
    extra: dict[str, float | None] = {}
    for low, level in pairwise((0, *RUNGS)):
        more = [
            due[key] - begun[key] - (table[key[0], level] - table[key[0], low])
            for key in due
            if key[1] == level
        ]
        extra[str(level)] = float(np.mean(more)) if more else None
    return extra


def run(curves: Path, mode: str, workers: int, log: Log, options: argparse.Namespace) -> dict[str, object]:
    table = Curves(curves, "value")
    optimizer = Watched(len(table.values), options.plain, mode)
    sizes = argparse.Namespace(plain=options.plain, workers=workers, evaluations=options.results)
    with tempfile.TemporaryDirectory() as folder:
        made = simulator(sizes, table, folder, keep=True)
        start = time.process_time()
        made.simulate(optimizer)
        cpu = time.process_time() - start
        results, asks = made.get_results(), made.get_optimizer_overhead()
    due = due_times(results, options.plain)
    for trial, level, before, value in optimizer.told:
        told = asks["before_sample"][before] if before < len(asks["before_sample"]) else due[trial, level]
        log.add(max(told, due[trial, level]), due[trial, level], trial, level, value, False)
    begun = {key: asks["after_sample"][place] for key, place in optimizer.asked.items()}
    with np.load(curves) as arrays:
        return {"cpu": cpu, "overrun": overrun(begun, due, arrays["t"])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=int, required=True, help="how many: it counts these, not trials")
    parser.add_argument("--plain", action="store_true", help="no fidelities and no identities")
    warnings.simplefilter("ignore")
    drive(parser, lambda options: partial(run, options=options))


if __name__ == "__main__":
    main()
