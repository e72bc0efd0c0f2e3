"""Studies of other tools' searchers in simulated time, on hbsim's curves; a driver prints a line each.

Unlike those of `same_loop.py`, trials are what the tool asks for: points of the unit cube of the curves'
space. Runs in the tool's environment; of hbsim it takes the curves and nothing else.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Hashable
from heapq import heappop, heappush
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from hbsim.surrogates import load

ETA = 3


class Peer(Protocol):
    """A scheduler and its searcher."""

    def ask(self) -> tuple[Hashable, list[float]]:
        """Return a new trial and its point of the unit cube."""
        ...

    def goes_on(self, trial: Hashable, level: int, value: float) -> bool:
        """Take note of a value, NaN for none, and say whether the trial goes on; not heeded at R."""
        ...


def levels(last: int) -> list[int]:
    """Return the rungs, of powers of eta, and R."""
    powers = [ETA**k for k in range(int(math.log(last) / math.log(ETA)) + 2)]
    return [*(level for level in powers if level < last), last]


def simulate(surrogate: Any, peer: Peer, workers: int, max_time: float, last: int) -> dict[str, list[float]]:
    """Run one study until a time; return its incumbents: when they came, and what they show at R.

    A result is told at the time at which it is there, and a worker starts the next trial at the time at
    which its last one ends; all results of one time are told before that. Stopping takes no time.

    Parameters
    ----------
    surrogate : Surrogate
        The curves.
    peer : Peer
        Chooses and stops trials.
    workers : int
        How many.
    max_time : float
        Simulated seconds; what is there by then counts.
    last : int
        R.
    """
    rungs = levels(last)
    sign = 1.0 if surrogate.mode == "max" else -1.0
    running: list[tuple[float, int, int, float]] = []  # when due, number, which rung, when it began
    trials: list[tuple[Hashable, Any, Any]] = []
    found: dict[str, list[float]] = {"time": [], "value": []}
    best, now, cpu = -math.inf, 0.0, 0.0
    while True:
        while len(running) < workers:
            begin = time.process_time()
            trial, point = peer.ask()
            cpu += time.process_time() - begin
            values, seconds = surrogate.evaluate(np.array([point]), np.array(rungs, dtype=float))
            heappush(running, (now + seconds[0][0], len(trials), 0, now))
            trials.append((trial, values[0], seconds[0]))
        now = running[0][0]
        if now > max_time:
            return {**found, "trials": [len(trials)], "cpu": [cpu / len(trials)]}
        while running and running[0][0] == now:
            _, number, rung, began = heappop(running)
            trial, values, seconds = trials[number]
            if sign * values[rung] > best:
                best = sign * values[rung]
                found["time"].append(now)
                found["value"].append(float(values[-1]))
            if peer.goes_on(trial, rungs[rung], float(values[rung])) and rung + 1 < len(rungs):
                heappush(running, (began + seconds[rung + 1], number, rung + 1, began))


def drive(make: Callable[[str, int, int, str, int], Peer], names: tuple[str, ...]) -> None:
    """Run what the command line asks for.

    Parameters
    ----------
    make : callable
        From a name, a seed, the dimension of the space, the mode and R to a new peer.
    names : tuple of str
        Searchers.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--task", required=True)
    parser.add_argument("--yahpo-data", type=Path)
    parser.add_argument("--seeds", type=int, required=True)
    parser.add_argument("--workers", type=int, required=True)
    parser.add_argument("--max-time", type=float, required=True)
    parser.add_argument("--max-t", type=int, required=True)
    options = parser.parse_args()
    more = {"yahpo_data": options.yahpo_data} if options.task.startswith("yahpo:") else {}
    surrogate = load(options.task, **more)
    for seed in range(options.seeds):
        for name in names:
            peer = make(name, seed, surrogate.space.dimension, surrogate.mode, options.max_t)
            found = simulate(surrogate, peer, options.workers, options.max_time, options.max_t)
            print(json.dumps({"searcher": name, "seed": seed, **found}), flush=True)
