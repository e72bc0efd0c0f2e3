"""The limits: the same number of events with nothing to decide, on bare SimPy and on a bare heap."""

from __future__ import annotations

import time
from collections.abc import Iterator
from heapq import heapify, heapreplace
from itertools import cycle, islice

import simpy

__all__ = ["run_heap", "run_simpy", "timed_simpy"]

DELAYS = [1.0 + (turn * 17) % 97 / 10 for turn in range(97)]


def run_simpy(events: int, workers: int) -> float:
    """Let each of `workers` processes wait for its share of `events` timeouts; return the last time."""
    environment = simpy.Environment()

    def work(worker: int) -> Iterator[simpy.Event]:
        for delay in islice(cycle(DELAYS), worker, worker + events // workers):
            yield environment.timeout(delay)

    for worker in range(workers):
        environment.process(work(worker))
    environment.run()
    return float(environment.now)


def run_heap(events: int, workers: int) -> float:
    """Take the soonest of `workers` entries and put its next one in, `events` times; return the last time."""
    heap = [(1.0, worker, worker) for worker in range(workers)]
    heapify(heap)
    now = 0.0
    serial = workers
    for delay in islice(cycle(DELAYS), events):
        now, _, worker = heap[0]
        serial += 1
        heapreplace(heap, (now + delay, serial, worker))
    return now


def timed_simpy(events: int, workers: int) -> float:
    """Return the cpu seconds of `run_simpy`."""
    start = time.process_time()
    run_simpy(events, workers)
    return time.process_time() - start
