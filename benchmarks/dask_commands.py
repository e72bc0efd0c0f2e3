"""Whole commands on a Dask cluster: how long they start, close, and take to end everything."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import psutil

from benchmarks.dask_cluster import Cluster
from benchmarks.dask_study import TRAINING
from benchmarks.measure import ROOT, say
from hbsim.history.journal import read_journal

__all__ = ["command_times", "kill_times"]

PATIENCE: Final = 60.0
HBSIM: Final = (sys.executable, "-m", "hbsim", "run")


def command_times(there: Cluster, rounds: int) -> dict[str, list[dict[str, float]]]:
    """Return seconds from the command to the first trial, and from the last report to the prompt."""
    found: dict[str, list[dict[str, float]]] = {}
    ways = {"local": (), "dask": ("--executor", "dask"), "cluster": _address(there)}
    for _ in range(rounds):
        for where, words in ways.items():
            with tempfile.TemporaryDirectory() as folder:
                began = time.monotonic()
                command = _command(folder, "trivial", "stopping", 1, 4, [*words, "--workers", "2"])
                subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
                ended = time.monotonic()
                records = list(read_journal(Path(folder) / "study" / "journal.jsonl"))
            reached = [record["rows"][-1][3]["began"] for record in records if record["e"] == "reach"]
            times = {"first": min(reached) - began, "last": ended - max(reached)}
            say(f"{where}: {times['first']:.2f} s to the first trial, {times['last']:.2f} s from the last")
            found.setdefault(where, []).append(times)
    return found


def kill_times(there: Cluster, workers: int) -> dict[str, float]:
    """Interrupt a study twice; return seconds until all trials' processes are gone, and until the prompt."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    with tempfile.TemporaryDirectory() as folder:
        words = [*_address(there), "--workers", str(workers)]
        command = _command(folder, "hangs", "stopping", 1, workers, words)
        study = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        trials = _wait_for_trials(there, workers)
        study.send_signal(signal.SIGINT)
        time.sleep(0.5)  # two at once may be one
        began = time.monotonic()
        study.send_signal(signal.SIGINT)
        gone, _ = psutil.wait_procs(trials, timeout=PATIENCE)
        ended = time.monotonic()
        study.wait(PATIENCE)
        prompt = time.monotonic()
    if len(gone) < workers:
        raise RuntimeError(f"{workers - len(gone)} trials go on")
    say(f"{ended - began:.2f} s until {workers} trials are gone, {prompt - began:.2f} s until the prompt")
    return {"gone": ended - began, "prompt": prompt - began}


def _wait_for_trials(there: Cluster, workers: int) -> list[psutil.Process]:
    """Return the trials' processes, once there are so many."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        trials = []
        with suppress(psutil.NoSuchProcess):
            for pid in there.workers:
                agents = psutil.Process(pid).children()
                servers = [server for agent in agents for server in agent.children()]
                trials += [trial for server in servers for trial in server.children()]
        if len(trials) == workers:
            time.sleep(0.5)
            return trials
        time.sleep(0.1)
    raise RuntimeError("trials do not start")


def _address(there: Cluster) -> list[str]:
    words = ["--executor", "dask"]
    for name, value in there.executor.items():
        words += [f"--{name.replace('_', '-')}", value]
    return words


def _command(folder: str, train: str, kind: str, most: int, trials: int, words: Sequence[str]) -> list[Any]:
    options = ["--scheduler", kind, "--max-t", most, "--trials", trials, "--out", f"{folder}/study"]
    return [*HBSIM, f"{TRAINING}:{train}", *map(str, options), *words]
