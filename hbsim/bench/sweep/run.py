"""The run of a sweep: what is not finished yet, in parallel; whatever ends it, nothing finished is lost."""

from __future__ import annotations

import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Final, TypeAlias

import polars as pl

from hbsim.bench.pool import Pool, open_pool
from hbsim.bench.remote import Remote
from hbsim.bench.sweep.cell import CellStudy, failed, run_studies
from hbsim.bench.sweep.curves import files_of
from hbsim.bench.sweep.folder import ANYTIME, open_folder, write_plan
from hbsim.bench.sweep.plan import SweepPlan
from hbsim.bench.sweep.scores import anytime
from hbsim.bench.sweep.store import DONE, FAILED, KEY, MAIN, TABLES, Frames, SweepStore
from hbsim.errors import HbsimWarning

__all__ = [
    "Counts",
    "Estimate",
    "counts",
    "estimate",
    "finish",
    "run_cells",
    "run_plan",
    "to_run",
]

SHARE: Final = 0.02  # of the time so far may be lost when all is killed, and is spent on writing
LONGEST: Final = 5.0  # seconds, of what may be lost
TRIED: Final = 12  # cells, for an estimate
ENOUGH: Final = 5.0  # seconds of it
MANY: Final = 20  # cells that were run before say more than those that are tried
GOLDEN: Final = (5**0.5 - 1) / 2

Item: TypeAlias = tuple[CellStudy, bool]
Chunk: TypeAlias = tuple[Item, ...]


@dataclass(frozen=True)
class Counts:
    """Numbers of cells of a sweep: all, done, failed, and finished before it ran."""

    cells: int
    done: int
    failed: int
    before: int

    @property
    def is_complete(self) -> bool:
        """Whether there is a result for every cell."""
        return self.done == self.cells


def run_plan(
    plan: SweepPlan,
    folder: Path,
    command: str,
    jobs: int,
    remote: Remote | None = None,
    force: bool = False,
    is_retrying: bool = False,
    progress: Callable[[int], None] | None = None,
    isolated: bool = False,
) -> Counts:
    """Run what is not finished yet in a folder, and write its tables.

    Parameters
    ----------
    plan : SweepPlan
        What is wanted.
    folder : path
        CellPattern results are, and go on from.
    command : str
        What a user enters to have the same.
    jobs, remote, is_retrying, progress, isolated
        As for `run_cells`.
    force : bool
        Whether what another sweep left in the folder may be replaced.

    Warns
    -----
    HbsimWarning
        What the studies would warn of.

    Raises
    ------
    ParameterError, OutputError
        As `open_folder` and `run_cells`.
    KeyboardInterrupt
        After Ctrl-C, once what was finished is on the disk.
    """
    with open_folder(folder, plan.cells, force, is_same=bool(plan.confirms)) as store:
        for text in () if plan.confirms else plan.warnings:
            warnings.warn(HbsimWarning(text), stacklevel=3)
        write_plan(folder, plan.cells, plan.manifest(), plan.source.text, command)
        found = run_cells(plan, store, jobs, remote, is_retrying, progress, isolated)
        finish(plan, store)
    return found


def run_cells(
    plan: SweepPlan,
    store: SweepStore,
    jobs: int,
    remote: Remote | None = None,
    is_retrying: bool = False,
    progress: Callable[[int], None] | None = None,
    isolated: bool = False,
) -> Counts:
    """Run the cells of a plan that are not finished yet.

    Parameters
    ----------
    plan : SweepPlan
        What is wanted.
    store : SweepStore
        What there is; outcomes are added to it as they come, in parts.
    jobs : int
        How many processes of this machine; 1 runs all in this one.
    remote : Remote, optional
        The Dask cluster that runs them in place of these.
    is_retrying : bool
        Whether cells that failed are run again.
    progress : callable, optional
        Called with the number of different studies that are finished.
    isolated : bool
        Whether 1 too is a process of its own: a cell that kills it costs nothing else.

    Raises
    ------
    ParameterError
        As `hbsim.bench.pool.open_pool`.
    KeyboardInterrupt
        After Ctrl-C, once what was finished is on the disk.
    """
    unfinished = to_run(plan, store, is_retrying)
    left = {study.key for study in unfinished}
    before = sum(study.key not in left for study in plan.studies)
    items = [(study, study.key in plan.with_timelines) for study in unfinished]
    writer = _OutcomeWriter(store, len(plan.different) - len(unfinished), progress)
    try:
        if items:
            with open_pool(jobs, _with_files(remote, unfinished), isolated) as pool:
                again = _run(pool.chunks(items), pool, writer)
                _run([(item,) for item in again], pool, writer)
    finally:
        writer.flush()
    return counts(plan, store, before)


def to_run(plan: SweepPlan, store: SweepStore | None, is_retrying: bool) -> list[CellStudy]:
    """Return the different studies that are not finished yet, or not whole.

    Those that failed too, if they are run again; and those whose timelines are wanted and were lost.
    """
    status = {} if store is None else store.status
    without_timelines = set() if store is None else store.without_timelines & plan.with_timelines
    finished = {DONE} if is_retrying else {DONE, FAILED}

    def is_left(key: str) -> bool:
        return status.get(key) not in finished or (key in without_timelines and status[key] == DONE)

    return [study for study in plan.different if is_left(study.key)]


def counts(plan: SweepPlan, store: SweepStore, before: int = 0) -> Counts:
    """Count the cells of a plan, and those that are finished."""
    found = [store.status.get(study.key) for study in plan.studies]
    return Counts(len(found), found.count(DONE), found.count(FAILED), before)


def finish(plan: SweepPlan, store: SweepStore) -> None:
    """Write one file a table, in the order of the sweep's cells: the same bytes however it was run."""
    wanted = plan.cells
    tables = store.tables(wanted[KEY])
    cells = wanted.join(tables[MAIN], on=KEY, how="inner", maintain_order="left")
    curves = anytime(cells, tables["incumbents"], plan.manifest())
    store.close({**tables, MAIN: cells, ANYTIME: curves}, wanted[KEY])


def _with_files(remote: Remote | None, studies: Sequence[CellStudy]) -> Remote | None:
    """Return a cluster, which is asked for all files that studies need."""
    if remote is None:
        return None
    files = {file for study in studies for file in files_of(study.of.load)}
    return replace(remote, files=tuple(sorted(files)))


def _run(chunks: Sequence[Chunk], pool: Pool, writer: _OutcomeWriter) -> list[Item]:
    """Run chunks; return the items of those that took their process with them, to be tried one by one."""
    again: list[Item] = []
    for chunk, outcome in pool.imap(run_studies, chunks) if chunks else ():
        if not isinstance(outcome, BaseException):
            writer.add(outcome, len(chunk))
        elif len(chunk) > 1:
            again += chunk
        else:
            writer.add(failed(chunk[0][0], _error_text(outcome)), 1)
    return again


def _error_text(error: BaseException) -> str:
    text = str(error) if isinstance(error, BrokenExecutor) else f"{type(error).__name__}: {error}"
    return f"{text}: too little memory, perhaps" if "SIGKILL" in text else text


class _OutcomeWriter:
    """A buffer of outcomes before the store: written often at first, more and more rarely later."""

    def __init__(self, store: SweepStore, before: int, progress: Callable[[int], None] | None) -> None:
        self._store, self._count, self._progress = store, before, progress
        self._waiting: list[Frames] = []
        self._begin = self._last = time.monotonic()
        self._took = 0.0

    def add(self, outcome: Frames, cells: int) -> None:
        """Take the outcome of some studies."""
        self._waiting.append(outcome)
        self._count += cells
        now = time.monotonic()
        pause = max(min(SHARE * (now - self._begin), LONGEST), self._took / SHARE)
        if now - self._last >= pause:
            self.flush()
        if self._progress is not None:
            self._progress(self._count)

    def flush(self) -> None:
        """Write all of them to the disk."""
        begin = time.monotonic()
        with _uninterrupted():  # or Ctrl-C between two of these lines had them added twice
            if self._waiting:
                merged = {name: pl.concat([frames[name] for frames in self._waiting]) for name in TABLES}
                self._store.add(merged)
                self._waiting = []
        self._last = time.monotonic()
        self._took = self._last - begin


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let Ctrl-C wait until the block is done."""
    usual = signal.getsignal(signal.SIGINT)
    if usual is not signal.default_int_handler or threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    # To block the signal would not do: other threads of libraries take it.
    signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
    if came:
        raise KeyboardInterrupt


# How long it takes


@dataclass(frozen=True)
class Estimate:
    """How long the studies take that are left.

    Attributes
    ----------
    studies : int
        How many are left; cells with the same inputs are one.
    seconds : float
        Of one process, together.
    known : int
        From how many studies that is known.
    least, most : float
        Seconds of the quickest and of the slowest of these.
    tried : int
        How many were tried for it.
    failures : tuple of (CellStudy, str)
        Those of them that failed, and their errors.
    """

    studies: int
    seconds: float = 0.0
    known: int = 0
    least: float = 0.0
    most: float = 0.0
    tried: int = 0
    failures: tuple[tuple[CellStudy, str], ...] = ()

    def on(self, jobs: int) -> float:
        """Return about how many seconds so many processes need."""
        return self.seconds / max(1, min(jobs, self.studies))


def estimate(plan: SweepPlan, store: SweepStore | None = None, is_retrying: bool = False) -> Estimate:
    """Return how long it takes; tries up to 12 cells, spread over the sweep, for about 5 seconds.

    Parameters
    ----------
    plan : SweepPlan
        What is wanted.
    store : SweepStore, optional
        What there is. The seconds of 20 or more studies in it are taken in place of a try.
    is_retrying : bool
        Whether studies that failed are to be run again.
    """
    left = to_run(plan, store, is_retrying)
    seconds: list[float] = []
    if left and store is not None:
        done = [key for key, status in store.status.items() if status == DONE]
        seconds = store.tables(done)["timings"]["seconds"].to_list()
    failures: list[tuple[CellStudy, str]] = []
    tried = 0
    if left and len(seconds) < MANY:
        seconds, failures = _try(left)
        tried = len(seconds) + len(failures)
    if not seconds:
        return Estimate(len(left), tried=tried, failures=tuple(failures))
    ends = (min(seconds), max(seconds), tried, tuple(failures))
    return Estimate(len(left), fmean(seconds) * len(left), len(seconds), *ends)


def _try(left: Sequence[CellStudy]) -> tuple[list[float], list[tuple[CellStudy, str]]]:
    """Run studies far apart, until it is enough; return the seconds of those that are done, and the rest."""
    found: list[float] = []
    failures: list[tuple[CellStudy, str]] = []
    begin = time.monotonic()
    for place in _places(len(left)):
        outcome = run_studies([(left[place], False)])
        error = outcome[MAIN]["error"][0]
        if error is None:
            found.append(float(outcome["timings"]["seconds"][0]))
        else:
            failures.append((left[place], error))
        if time.monotonic() - begin > ENOUGH:
            break
    return found, failures


def _places(count: int) -> list[int]:
    """Return different places below `count`, each far from those before."""
    places = (int(count * ((0.5 + number * GOLDEN) % 1.0)) for number in range(4 * TRIED))
    return list(dict.fromkeys(places))[:TRIED]
