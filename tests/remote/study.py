"""A study on other machines as a process of its own, and what holds of it when it is over."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import combinations
from math import inf
from pathlib import Path
from typing import Any

import psutil

import hbsim
from hbsim.study.result import RunResult
from tests.doubles.dask_processes import ROOT, eventually
from tests.doubles.journal_lines import read_journal
from tests.runner.checks import Again

from . import training
from .machines import (
    FOLDER,
    DaskMachines,
    Machines,
    SshMachines,
    command,
    dask_machines,
    parent,
    processes,
    send,
    ssh_machines,
)

TRAINING = Path(training.__file__)
AGENT, SERVER = "hbsim.executors.remote.agent", "hbsim.executors.server"
LONG = 180.0  # seconds until a study must have ended


@dataclass
class Study:
    """``hbsim run`` on machines, in the folder ``exp`` of the test's folder; traces go to ``traces``."""

    machines: Machines
    folder: Path
    lease: float = 3.0
    runs: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.traces.mkdir(parents=True)

    @property
    def ssh(self) -> SshMachines:
        """The hosts that are reached by SSH."""
        assert isinstance(self.machines, SshMachines)
        return self.machines

    @property
    def dask(self) -> DaskMachines:
        """The workers of a Dask scheduler."""
        assert isinstance(self.machines, DaskMachines)
        return self.machines

    @property
    def exp(self) -> Path:
        """The study's folder."""
        return self.folder / "exp"

    @property
    def traces(self) -> Path:
        """Where trials write down when they ran."""
        return self.folder / "traces"

    @property
    def log(self) -> str:
        """What the last process has printed."""
        return (self.folder / f"study-{len(self.runs) - 1}.log").read_text()

    def start(
        self,
        name: str = "saving",
        type_: str = "promotion",
        trials: int = 9,
        seconds: float = 0.05,
        options: Sequence[str] = (),
        **constants: object,
    ) -> None:
        """Begin."""
        given = {"traces": self.traces, "seconds": seconds, **constants}
        what = ["--scheduler", type_, "--max-t", "9", "--trials", str(trials)]
        what += ["--retries", "50", "--loss-retries", "50"]
        what += ["--workers", "2"]  # on whatever machine; options may say something else
        sets = [word for key, value in given.items() for word in ("--set", f"{key}={value}")]
        self._run(name if ":" in name else f"{TRAINING}:{name}", *what, *sets, *options)

    def resume(self, *options: str) -> None:
        """Go on, on the machines that there are now."""
        self._run("--resume", *options)

    def resume_locally(self) -> None:
        """Go on without other machines."""
        self._start("--resume", "--executor", "local", "--workers", "2")

    def wait(self) -> int:
        """Wait for the end; return the exit status."""
        return self.runs[-1].wait(LONG)

    def done(self) -> None:
        """Wait for a good end."""
        assert self.wait() == 0, self.log

    def finish(self) -> None:
        """Have all that is trained from now on take no time, and wait for a good end."""
        (self.traces / training.HURRY).touch()
        self.done()

    def clear(self) -> None:
        """Forget it; another one may begin."""
        shutil.rmtree(self.exp)
        for trace in self.traces.iterdir():
            trace.unlink()

    def records(self, *kinds: str) -> list[dict[str, Any]]:
        """Return what the journal has of these kinds by now; all without any."""
        journal = self.exp / "journal.jsonl"
        if not journal.exists() or not journal.stat().st_size:
            return []
        return [record for record in read_journal(journal) if not kinds or record["e"] in kinds]

    def until(self, look: Callable[[], Any], what: str) -> Any:
        """Wait until there is something true, while the study goes on."""

        def looked() -> Any:
            found = look()
            assert found or self.runs[-1].poll() is None, f"it ends before there is {what}:\n{self.log}"
            return found

        return eventually(looked, what)

    def reach(self, count: int) -> None:
        """Wait for so many more decisions."""
        wanted = len(self.records("reach")) + count
        self.until(lambda: len(self.records("reach")) >= wanted, f"{count} decisions")

    def _run(self, *words: str) -> None:
        self._start(*words, *self.machines.options(), "--lease", str(self.lease))

    def _start(self, *words: str) -> None:
        run = [sys.executable, "-m", "hbsim", "run", *words, "--out", str(self.exp), "--progress", "lines"]
        with (self.folder / f"study-{len(self.runs)}.log").open("ab") as log:
            process = subprocess.Popen(
                run,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, FOLDER: str(self.folder), "PYTHONPATH": str(ROOT)},
                cwd=self.folder,
                start_new_session=True,
            )
        self.runs.append(process)

    # What runs

    def controller(self) -> psutil.Process:
        """Return the process of ``hbsim run``."""
        return psutil.Process(self.runs[-1].pid)

    def running(self, role: str, number: int | None = None) -> list[psutil.Process]:
        """Return the agents, warm servers or trials that run on one machine, or on all."""
        words, above = {"agent": (AGENT, ""), "server": (SERVER, AGENT), "trial": (SERVER, SERVER)}[role]
        return [
            process
            for process in processes(self.folder, number)
            if words in command(process) and above in command(parent(process))
        ]

    def agent(self, number: int, before: psutil.Process | None = None) -> psutil.Process:
        """Return a machine's agent, once it runs; another one than before."""
        found = self.until(lambda: _others(self.running("agent", number), before), f"an agent on {number}")
        return found[0]

    def server(self, number: int, before: psutil.Process | None = None) -> psutil.Process:
        """Return the warm server of a machine's agent, once it runs; another one than before."""
        found = self.until(lambda: _others(self.running("server", number), before), f"a server on {number}")
        return found[0]

    def trials(self, number: int, server: psutil.Process | None = None) -> list[psutil.Process]:
        """Return the trials that run on a machine, below a warm server, once there is one."""

        def look() -> list[psutil.Process]:
            found = self.running("trial", number)
            return [one for one in found if server is None or parent(one) == server]

        return self.until(look, f"a trial on {number}")


def _others(found: list[psutil.Process], before: psutil.Process | None) -> list[psutil.Process]:
    return [process for process in found if process != before]


@contextmanager
def studying(
    folder: Path,
    carrier: str,
    machines: int = 2,
    environments: Sequence[Mapping[str, str]] | None = None,
    *,
    lease: float = 3.0,
    nanny: bool = False,
) -> Iterator[Study]:
    """Give a study that is to be started, on machines by "ssh" or "dask"; end everything afterwards."""
    given = (
        ssh_machines(folder, machines, environments)
        if carrier == "ssh"
        else dask_machines(folder, machines, environments, nanny=nanny)
    )
    with given as found:
        study = Study(found, folder, lease)
        try:
            yield study
        finally:
            for process in study.runs:
                process.kill()
                process.wait()
            send(18, *processes(folder))  # SIGCONT


def left(folder: Path) -> list[str]:
    """Return what still runs of studies: agents, servers, trials, controllers."""
    words = (AGENT, SERVER, "-m hbsim run")
    return [
        line for process in processes(folder) if any(word in (line := command(process)) for word in words)
    ]


def trace_lines(folder: Path) -> Iterator[dict[str, Any]]:
    """Return what trials wrote down, in the order of time."""
    lines = [json.loads(line) for path in folder.glob("*.jsonl") for line in path.read_text().splitlines()]
    yield from sorted(lines, key=lambda line: line["at"])


# What holds when it is over


def check(
    study: Study, goes_on: bool = True, woken: Mapping[int, float] | None = None, cut_off: bool = False
) -> RunResult:
    """Check that the study is done, and nothing is lost, twice, or left; failures are losses.

    With `goes_on` each job goes on from the last checkpoint of its trial: all machines see the study's
    folder, or nothing was killed. `woken` is as in `check_never_twice_at_once`, `cut_off` as in
    `check_goes_on`.
    """
    result = hbsim.load(study.exp)  # the core decides again as it did
    assert result.why == "done"
    assert set(result.trials["status"]) <= {"completed", "paused", "stopped"}
    failures = [record for record in study.records("fail") if record["kind"] not in ("lost", "preempted")]
    assert [record["reason"] for record in failures] == []
    Again(result.spec.make_scheduler(), study.records()).tell()
    check_reports(study)
    if goes_on:
        check_goes_on(study, cut_off)
    check_never_twice_at_once(study.traces, woken)
    check_nothing_is_left(study)
    return result


def check_never_twice_at_once(folder: Path, woken: Mapping[int, float] | None = None) -> None:
    """Check that no two processes of one trial have trained at the same time.

    `woken` are processes that had been stopped for longer than their lease, and when they went on: they may
    come to their next checkpoint before they see that their time is over, but make none.
    """
    spans: dict[int, dict[int, list[float]]] = {}
    for line in trace_lines(folder):
        if woken is not None and line["at"] >= woken.get(line["pid"], inf):
            assert line["what"] == "trains"
            continue
        span = spans.setdefault(line["trial"], {}).setdefault(line["pid"], [line["at"], line["at"]])
        span[1] = line["at"]
    for trial, found in spans.items():
        for one, other in combinations(found.values(), 2):
            assert one[1] < other[0] or other[1] < one[0], f"trial {trial} ran twice at once"


def check_reports(study: Study) -> None:
    """Check that each report is in the journal once, in order; all those of a job that has ended well."""
    reported: dict[int, list[float]] = defaultdict(list)
    for record in study.records("rows", "reach"):
        reported[record["job"]] += [row[2] for row in record["rows"]]
    trained: dict[int, list[float]] = defaultdict(list)
    for line in trace_lines(study.traces):
        if line["what"] == "trains":
            trained[line["job"]].append(line["epoch"])
        elif line["what"] == "begins":  # once more, if its checkpoint was past a milestone without a report
            trained[line["job"]].clear()
    failed = {record["job"] for record in study.records("fail")}
    over = {record["job"] for record in study.records("gone")} - failed
    for job in trained.keys() | reported.keys():
        if job in over:
            assert reported[job] == trained[job], f"job {job}: {reported[job]}, {trained[job]}"
        else:
            assert reported[job] == trained[job][: len(reported[job])], f"job {job}"
    assert not study.records("missing")


def check_goes_on(study: Study, cut_off: bool = False) -> None:
    """Check that each job began at its trial's last checkpoint that is not ahead of the journal.

    Where trials were `cut_off` from the study they trained on unheard. All their newest checkpoints are ahead
    of the journal then, and of those before only some are kept.
    """
    saved: dict[int, int] = {}  # by trial
    begun: dict[int, int] = {}
    reported: dict[int, dict[int, float]] = defaultdict(dict)  # by trial and job
    of_job = {record["job"]: record["trial"] for record in study.records("start", "restart")}
    for record in study.records("rows", "reach"):
        if record["rows"]:
            reported[of_job[record["job"]]][record["job"]] = record["rows"][-1][2]
    for line in trace_lines(study.traces):
        trial, epoch = line["trial"], line["epoch"]
        if line["what"] == "saved":
            saved[trial] = epoch
        elif line["what"] == "begins":
            job = line["job"]
            # It begins again where a checkpoint was past a milestone that was not reported.
            assert epoch < begun.get(job, inf), "a job began twice"
            begun[job] = epoch
            # It may have been killed between the checkpoint and the line that says so.
            known = max((at for before, at in reported[trial].items() if before < job), default=0)
            assert epoch <= saved.get(trial, 0) + 1, f"trial {trial} began at {epoch}"
            least = min(saved.get(trial, 0), known, 1 if cut_off else inf)
            assert least <= epoch <= known + 1, f"trial {trial} began at {epoch}"


def check_nothing_is_left(study: Study) -> None:
    """Check that no process of the study is left, and no file but its own.

    Where a machine may still run something, the file stays by which a study that goes on waits for it.
    """
    eventually(lambda: not left(study.folder), f"an end of {left(study.folder)}")
    files = [str(path.relative_to(study.exp)) for path in study.exp.rglob("*")]
    odd = [name for name in files if re.search(r"/\.(?!claim-|probe-)", f"/{name}")]
    assert odd == [], f"{odd}\n{study.log}"
