"""Studies on agents at the end of pipes, and what they leave."""

from __future__ import annotations

import json
import math
import time
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from itertools import combinations
from pathlib import Path
from typing import Any

import psutil

import hbsim
from hbsim.core.scheduler import Scheduler
from hbsim.executors.remote import workers as module
from hbsim.executors.remote.options import Hosts
from hbsim.executors.remote.workers import RemoteWorkers
from hbsim.executors.target import describe, load_target, make_target
from hbsim.live.folder import StudyFolder
from hbsim.live.keeper import Keeper
from hbsim.live.result import RunResult
from hbsim.live.study import Study
from hbsim.runner.ends import Limits
from hbsim.runner.records import read_records
from hbsim.runner.workers import Task
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
        **args: Any,
    ) -> RemoteWorkers:
        """Return workers that are not there yet."""
        target = make_target(f"{TRAINING}:{name}", by_value=False)
        given = {**args, **({} if name == "flood" else {"traces": str(self.traces)})}
        setup = {"time_attr": "epoch", "reward_attr": "accuracy", "constants": given, "counts": False}
        options = Hosts(list(self.hosts), storage=storage, lease=lease)
        before, module.make_carrier = module.make_carrier, lambda options, say: (self.carrier, "the hosts")
        try:
            return RemoteWorkers(
                options, target, count, None, self.trials, setup, None, 1.0, STUDY, self.said.append
            )
        finally:
            module.make_carrier = before

    def run(
        self,
        core: Scheduler | None = None,
        name: str = "steady",
        resume: bool = False,
        searcher: Any = None,
        meanwhile: Callable[[RemoteWorkers], object] | None = None,
        keep: str = "best",
        **options: Any,
    ) -> RunResult:
        """Run a study as `hbsim.run` does; `meanwhile` is called once trials can start."""
        core = core or scheduler()
        function = describe(load_target(make_target(f"{TRAINING}:{name}", by_value=False)))
        place = StudyFolder(self.exp)
        with ExitStack() as stack, warnings.catch_warnings(record=True) as caught:
            stack.callback(lambda: self.warned.extend(str(warning.message) for warning in caught))
            warnings.simplefilter("always")
            stack.enter_context(place.entered())
            crew = self.workers(name, **options)
            stack.callback(crew.close)
            crew.prepare()
            args = {key: value for key, value in options.items() if key in ("seconds", "count")}
            args = {} if name != "flood" else {key: value for key, value in options.items() if key == "n"}
            study = Study(function, core, 5, searcher, {}, "epoch", "accuracy", False, args)
            journal, standing = study.open(place, resume, "never", "local")
            stack.enter_context(journal)
            keeper = Keeper(keep, place.trials, core, standing.ledger, crew.prune)
            if meanwhile is not None:
                meanwhile(crew)
            limits = Limits(math.inf, None, math.inf, 5.0)
            return study.drive(
                place, journal, standing, crew, limits, [keeper], False, lambda: crew.gather(keeper.finish())
            )

    def records(self, *kinds: str) -> list[dict[str, Any]]:
        """Return the journal's records of these kinds, all if none is named."""
        found = [dict(record) for record in read_records(self.exp / "journal.jsonl")]
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
        assert [path.name for path in self.trials.iterdir() if path.name.startswith(".copy-")] == []

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


def task(job: int, trial: int, start: float = 0.0, stop: float = 3.0, **more: Any) -> Task:
    """Return a job."""
    return Task(job, trial, 0, start, stop, [0.5], 1, STUDY, **more)
