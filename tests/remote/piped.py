"""Studies on agents at the end of pipes, and what they leave."""

from __future__ import annotations

import json
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path
from typing import Any
from unittest import mock

import psutil

import hbsim
from hbsim.core.scheduler import Scheduler
from hbsim.errors import HbsimWarning
from hbsim.executors.remote import workers as module
from hbsim.executors.remote.options import Hosts
from hbsim.executors.remote.workers import RemoteWorkers
from hbsim.executors.training_function import make_target
from hbsim.runner.workers import Assignment
from hbsim.study.result import RunResult
from tests.doubles.journal_lines import read_journal
from tests.doubles.pipe_carrier import PipeCarrier

from . import training

STUDY = "5" * 16
LONG = 120.0  # seconds: a test that waits for so long has failed
TRAINING = Path(training.__file__)


class Piped:
    """A study's folder, hosts with folders of their own, and what is said and warned.

    Attributes
    ----------
    carrier : PipeCarrier
        Of the last workers.
    said, warned : list of str
        Lines and warnings for people.
    """

    def __init__(self, folder: Path, hosts: str = "ab") -> None:
        self.folder, self.exp, self.traces = folder, folder / "exp", folder / "traces"
        self.hosts = hosts
        self.traces.mkdir(exist_ok=True)
        self.carrier = PipeCarrier(folder, hosts)
        self.said: list[str] = []
        self.warned: list[str] = []

    @property
    def trials(self) -> Path:
        return self.exp / "trials"

    def workers(
        self,
        name: str = "steady",
        storage: str = "pull",
        lease: float = 30.0,
        count: int | None = None,
        args: Mapping[str, object] | None = None,
        target: Mapping[str, Any] | None = None,
    ) -> RemoteWorkers:
        """Return workers that are not there yet."""
        target = target or make_target(f"{TRAINING}:{name}", by_value=False)
        constants = self.constants(name, args)
        setup = {"time_attr": "epoch", "metric": "accuracy", "constants": constants, "counts": False}
        options = Hosts(list(self.hosts or "x"), storage=storage, lease=lease)
        how: tuple[Any, ...] = (target, count, None, self.trials, setup, None, 1.0, STUDY, self.said.append)
        with self._patched():
            return RemoteWorkers(options, *how)

    def constants(self, name: str, args: Mapping[str, object] | None) -> dict[str, object]:
        """Return the training function's arguments."""
        return {**({} if name == "flood" else {"traces": str(self.traces)}), **(args or {})}

    def run(
        self,
        core: Scheduler | None = None,
        name: str = "steady",
        storage: str = "pull",
        lease: float = 30.0,
        args: Mapping[str, object] | None = None,
        **options: Any,
    ) -> RunResult:
        """Run a study; options are those of `hbsim.run`."""
        train, core = f"{TRAINING}:{name}", core or scheduler()
        given = {"seed": 5, "progress": "none", "args": self.constants(name, args), **options}
        given |= {
            "folder": self.exp,
            "executor": Hosts(list(self.hosts or "x"), storage=storage, lease=lease),
        }
        with self._patched(), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", HbsimWarning)
            try:
                return hbsim.run(train, core, **given)
            finally:
                self.warned.extend(str(warning.message) for warning in caught)

    def meanwhile(self, act: Callable[[], object]) -> None:
        """Do something beside what follows."""
        threading.Thread(target=act, daemon=True).start()

    @contextmanager
    def _patched(self) -> Iterator[None]:
        """Have the carrier be this one, and lines for people be kept."""
        with (
            mock.patch.object(module, "make_carrier", return_value=self.carrier),
            mock.patch("hbsim.study.run.printer", return_value=self.said.append),
        ):
            yield

    @property
    def note(self) -> dict[str, Any]:
        """What the study's folder knows of its hosts."""
        content: dict[str, Any] = json.loads((self.exp / "remote.json").read_text())
        return content

    def records(self, *kinds: str) -> list[dict[str, Any]]:
        """Return the journal's records of these kinds, all if none is named."""
        found = list(read_journal(self.exp / "journal.jsonl"))
        return [record for record in found if not kinds or record["e"] in kinds]

    def trace(self) -> list[dict[str, Any]]:
        """Return what trials wrote down, in the order of time."""
        files = self.traces.glob("*.jsonl")
        lines = [json.loads(line) for path in files for line in path.read_text().splitlines()]
        return sorted(lines, key=lambda line: float(line["at"]))

    def check(self) -> None:
        """No trial has run twice at once, each went on where it was, and nothing is left."""
        spans: dict[int, dict[int, list[float]]] = {}
        for line in self.trace():
            span = spans.setdefault(line["trial"], {}).setdefault(line["pid"], [line["at"], line["at"]])
            span[1] = line["at"]
        for trial, processes in spans.items():
            for one, other in combinations(processes.values(), 2):
                assert one[1] < other[0] or other[1] < one[0], f"trial {trial} ran twice at once"
        self.check_nothing_is_left()

    def check_nothing_is_left(self) -> None:
        """No process of the study, and no file but its own."""
        eventually(lambda: not self.left(), lambda: f"{self.left()} are left")
        assert [path.name for path in self.trials.glob(".copy-*")] == []

    def left(self) -> list[str]:
        """Return the processes that are left of the study."""
        found = []
        for process in psutil.process_iter(["cmdline"]):
            try:
                if process.environ().get("HBSIM_WORK", "").startswith(str(self.folder)):
                    found.append(" ".join(process.info["cmdline"] or [str(process.pid)]))
            except psutil.Error:
                continue
        return found


def scheduler(kind: str = "promotion", **options: Any) -> Scheduler:
    """Return a small scheduler."""
    given = {"max_t": 9, "grace_period": 1, "reduction_factor": 3, "num_trials": 9, "seed": 3, **options}
    return hbsim.make_scheduler(kind, **given)


def eventually(holds: Callable[[], object], what: Callable[[], str] | str = "it does not come") -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + LONG
    while not holds():
        assert time.monotonic() < deadline, what if isinstance(what, str) else what()
        time.sleep(0.02)


def task(job: int, trial: int, start: float = 0.0, stop: float = 3.0, **more: Any) -> Assignment:
    """Return a job."""
    return Assignment(job, trial, 0, start, stop, [0.5], 1, STUDY, **more)
