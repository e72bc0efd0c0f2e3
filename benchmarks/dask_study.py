"""One study of `benchmarks.dask_speed`, in a process of its own; prints one line of JSON.

``python -m benchmarks.dask_study JSON``, where the object holds what `ask` says. What every process takes is
read when workers are ready, and when the last trial has ended; messages are counted between.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import psutil

import hbsim
from benchmarks.measure import run
from hbsim.executors.dask import agents, controller, workers
from hbsim.executors.dask.fleet import Fleet
from hbsim.executors.local import LocalWorkers
from hbsim.history.journal import read_journal

__all__ = ["KINDS", "Outcome", "ask"]

Outcome = dict[str, Any]

TRAINING: Final = Path(__file__).with_name("dask_training.py")
KINDS: Final = ("controller", "scheduler", "workers", "agents", "servers", "trials")
MARKS: Final = {"hbsim.executors.dask.agent": "agents", "hbsim.executors.server": "servers"}


def ask(
    train: str,
    scheduler: Mapping[str, Any],
    *,
    executor: Any = "local",
    workers: int = 64,
    args: Mapping[str, Any] | None = None,
    pids: Mapping[str, Any] | None = None,
    beat: float | None = None,
) -> Outcome:
    """Run a study in a process of its own; return what that prints.

    Parameters
    ----------
    train : str
        A function of `benchmarks.dask_training`.
    scheduler : mapping
        Of `hbsim.make_scheduler`, with its ``type``.
    executor : "local", "dask" or mapping
        A mapping holds the options of `hbsim.Dask`.
    workers : int
        How many trials at a time.
    args : mapping, optional
        Constants of the function.
    pids : mapping, optional
        Processes that are not this one's: ``scheduler`` and ``workers``.
    beat : float, optional
        Seconds between two beats of an agent.
    """
    asked = {"train": train, "scheduler": scheduler, "executor": executor, "workers": workers}
    asked |= {"args": args or {}, "pids": pids or {}, "beat": beat}
    output = run([sys.executable, "-m", "benchmarks.dask_study", json.dumps(asked)]).output
    found: Outcome = json.loads(output.splitlines()[-1])
    return found


class Probe:
    """What is measured while the study runs."""

    def __init__(self, pids: Mapping[str, Any]) -> None:
        self._pids = pids
        self.counts: Counter[str] = Counter()
        self.lags: list[float] = []
        self.first = self._look()
        self.before: dict[str, float] = {}
        self.cpu: dict[str, float] = {}
        self.seconds = self.ready = 0.0

    def begin(self) -> None:
        """Workers are ready."""
        self.before, self.ready = self._look(), time.monotonic()
        self.counts.clear()

    def end(self) -> None:
        """The last trial has ended."""
        if not self.cpu:
            now = self._look()
            self.seconds = time.monotonic() - self.ready
            self.cpu = {kind: now[kind] - self.before[kind] for kind in KINDS}

    def _look(self) -> dict[str, float]:
        """Return cpu seconds so far, by kind."""
        found = dict.fromkeys(KINDS, 0.0)
        own = psutil.Process().cpu_times()
        found["controller"] = own.user + own.system
        for pid in [os.getpid(), *self._pids.get("workers", ())]:
            if pid != os.getpid():
                self._add(found, psutil.Process(pid), "workers")
            for child in psutil.Process(pid).children():
                self._descend(found, child, "workers")
        if "scheduler" in self._pids:
            self._add(found, psutil.Process(self._pids["scheduler"]), "scheduler")
        return found

    def _descend(self, found: dict[str, float], process: psutil.Process, kind: str) -> None:
        try:
            words = " ".join(process.cmdline())
            if kind != "trials":
                kind = next((kind for mark, kind in MARKS.items() if mark in words), kind)
            self._add(found, process, kind)
            for child in process.children():
                self._descend(found, child, "trials" if kind == "servers" else kind)
        except psutil.NoSuchProcess:  # a trial that has ended meanwhile
            pass

    def _add(self, found: dict[str, float], process: psutil.Process, kind: str) -> None:
        times = process.cpu_times()
        found[kind] += times.user + times.system
        if kind == "servers":  # trials that have ended
            found["trials"] += times.children_user + times.children_system


def watch(probe: Probe) -> None:
    """Have the executors tell the probe."""
    for crew in (LocalWorkers, workers.DaskWorkers):
        _after(crew, "prepare", probe.begin)
        _before(crew, "close", probe.end)
    hear, send, ask_host = Fleet._hear, agents.AgentState.send, controller.Controller._ask

    def heard(self: Fleet, agent: agents.AgentState, body: Mapping[str, Any], now: float) -> None:
        probe.counts[f"up {body['m']}"] += 1
        if body["m"] == "said":
            kind = "up milestones" if body["waits"] else "up batches"
            probe.counts[kind] += 1
            probe.counts["up rows"] += len(body["rows"])
            if not body["waits"]:
                probe.lags += [now - (row[0] + agent.ahead) for row in body["rows"]]
        hear(self, agent, body, now)

    def sent(self: agents.AgentState, body: Mapping[str, Any], now: float) -> None:
        probe.counts[f"down {body['o']}"] += 1
        send(self, body, now)

    async def asked(self: controller.Controller, address: str, op: str, **what: Any) -> Any:
        probe.counts[f"calls {op}"] += 1
        return await ask_host(self, address, op, **what)

    Fleet._hear, agents.AgentState.send, controller.Controller._ask = heard, sent, asked  # type: ignore


def _after(kind: Any, name: str, then: Any) -> None:
    method = getattr(kind, name)

    def both(self: Any) -> None:
        method(self)
        then()

    setattr(kind, name, both)


def _before(kind: Any, name: str, first: Any) -> None:
    method = getattr(kind, name)

    def both(self: Any) -> None:
        first()
        method(self)

    setattr(kind, name, both)


def main() -> None:
    asked = json.loads(sys.argv[1])
    probe = Probe(asked["pids"])
    watch(probe)
    if asked["beat"] is not None:
        agents.BEAT = controller.TICK = asked["beat"]  # type: ignore[misc]
    scheduler = hbsim.make_scheduler(**asked["scheduler"])
    executor = hbsim.Dask(**asked["executor"]) if isinstance(asked["executor"], dict) else asked["executor"]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "study"
        called = time.monotonic()
        hbsim.run(
            f"{TRAINING}:{asked['train']}",
            scheduler,
            workers=asked["workers"],
            folder=place,
            args=asked["args"],
            progress="none",
            executor=executor,
        )
        ended = time.monotonic()
        records = list(read_journal(place / "journal.jsonl"))
    found = {"called": called, "ready": probe.ready, "ended": ended, "seconds": probe.seconds}
    found |= {"cpu": probe.cpu, "counts": probe.counts, "lags": sorted(probe.lags), "records": records}
    found["join"] = {kind: probe.before[kind] - probe.first[kind] for kind in KINDS}
    print(json.dumps(found))


if __name__ == "__main__":
    main()
