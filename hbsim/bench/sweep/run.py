"""The run of a sweep: unfinished studies run in parallel, and no finished study is lost at any end."""

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

SHARE: Final = 0.02  # share of the time so far that a kill may lose, and that writing takes
LONGEST: Final = 5.0  # the most seconds that a kill may lose
TRIED: Final = 12  # the most cells that an estimate tries
ENOUGH: Final = 5.0  # seconds that an estimate tries for
MANY: Final = 20  # from this many finished cells on, an estimate tries none
GOLDEN: Final = (5**0.5 - 1) / 2

Item: TypeAlias = tuple[CellStudy, bool]
Chunk: TypeAlias = tuple[Item, ...]


@dataclass(frozen=True)
class Counts:
    """The numbers of cells of a sweep: all, done, failed, and finished before this run."""

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
    """Run the studies that are not finished yet in a folder, and write the tables.

    Parameters
    ----------
    plan : SweepPlan
        The plan of the sweep.
    folder : path
        Where results are kept and reused.
    command : str
        The command that repeats the sweep.
    jobs : int
        How many processes of this machine; 1 runs all cells in this process.
    remote : Remote, optional
        The hosts, or the Dask cluster, that run the cells in place of this machine.
    force : bool
        Whether the results of another sweep in the folder may be replaced.
    is_retrying : bool
        Whether cells that failed are run again.
    progress : callable, optional
        Called with the number of different studies that are finished.
    isolated : bool
        Whether even a single job runs in a separate process: a cell that kills it affects no other cell.

    Warns
    -----
    HbsimWarning
        The warnings that the studies would give.

    Raises
    ------
    ParameterError, OutputError
        As `open_folder` and `hbsim.bench.pool.open_pool`.
    KeyboardInterrupt
        After Ctrl-C, once what was finished is on the disk.
    """
    with open_folder(folder, plan.cells, force, is_same=bool(plan.confirms)) as store:
        for text in () if plan.confirms else plan.warnings:
            warnings.warn(HbsimWarning(text), stacklevel=3)
        write_plan(folder, plan.cells, plan.manifest(), plan.source.text, command)
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
        finish(plan, store)
        return counts(plan, store, before)


def to_run(plan: SweepPlan, store: SweepStore | None, is_retrying: bool) -> list[CellStudy]:
    """Return the distinct studies that are not finished yet, or not complete.

    These include failed ones, if they are run again, and those whose timelines are wanted but were lost.
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
    """Write one file a table, in the order of the sweep's cells: the same bytes for any way of running."""
    wanted = plan.cells
    tables = store.tables(wanted[KEY])
    cells = wanted.join(tables[MAIN], on=KEY, how="inner", maintain_order="left")
    curves = anytime(cells, tables["incumbents"], plan.manifest())
    store.close({**tables, MAIN: cells, ANYTIME: curves}, wanted[KEY])


def _with_files(remote: Remote | None, studies: Sequence[CellStudy]) -> Remote | None:
    """Return `remote` with the paths of all files that studies need."""
    if remote is None:
        return None
    files = {file for study in studies for file in files_of(study.of.load)}
    return replace(remote, files=tuple(sorted(files)))


def _run(chunks: Sequence[Chunk], pool: Pool, writer: _OutcomeWriter) -> list[Item]:
    """Run chunks; return the items of chunks that killed their process, to be tried one by one."""
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
    """A buffer of outcomes before the store, which is flushed often at first and more rarely later."""

    def __init__(self, store: SweepStore, before: int, progress: Callable[[int], None] | None) -> None:
        self._store, self._count, self._progress = store, before, progress
        self._waiting: list[Frames] = []
        self._begin = self._last = time.monotonic()
        self._took = 0.0

    def add(self, outcome: Frames, cells: int) -> None:
        """Add the outcome of some studies; flush if it is time."""
        self._waiting.append(outcome)
        self._count += cells
        now = time.monotonic()
        pause = max(min(SHARE * (now - self._begin), LONGEST), self._took / SHARE)
        if now - self._last >= pause:
            self.flush()
        if self._progress is not None:
            self._progress(self._count)

    def flush(self) -> None:
        """Write all buffered outcomes to the disk."""
        begin = time.monotonic()
        with _uninterrupted():  # else Ctrl-C between two of these lines would add outcomes twice
            if self._waiting:
                merged = {name: pl.concat([frames[name] for frames in self._waiting]) for name in TABLES}
                self._store.add(merged)
                self._waiting = []
        self._last = time.monotonic()
        self._took = self._last - begin


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Delay Ctrl-C until the block is done."""
    usual = signal.getsignal(signal.SIGINT)
    if usual is not signal.default_int_handler or threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    # Blocking the signal is not enough: other threads of libraries would receive it.
    signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
    if came:
        raise KeyboardInterrupt


# Estimates of the time


@dataclass(frozen=True)
class Estimate:
    """An estimate of the time that the remaining studies take.

    Attributes
    ----------
    studies : int
        How many studies are left; cells with the same inputs count once.
    seconds : float
        The total for a single process.
    known : int
        The number of studies behind the estimate.
    least, most : float
        Seconds of the quickest and of the slowest of these.
    tried : int
        How many studies were tried for the estimate.
    failures : tuple of (CellStudy, str)
        The tried studies that failed, and their errors.
    """

    studies: int
    seconds: float = 0.0
    known: int = 0
    least: float = 0.0
    most: float = 0.0
    tried: int = 0
    failures: tuple[tuple[CellStudy, str], ...] = ()

    def on(self, jobs: int) -> float:
        """Return about how many seconds `jobs` processes need."""
        return self.seconds / max(1, min(jobs, self.studies))


def estimate(plan: SweepPlan, store: SweepStore | None = None, is_retrying: bool = False) -> Estimate:
    """Estimate the time of a sweep from up to 12 cells, spread over the sweep, run for about 5 seconds.

    Parameters
    ----------
    plan : SweepPlan
        The plan of the sweep.
    store : SweepStore, optional
        The finished studies. The seconds of 20 or more of them are used in place of a try.
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
    """Run studies far apart until there are enough; return the seconds of those done, and the failures."""
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
    """Return different places below `count`, each far from the earlier ones."""
    places = (int(count * ((0.5 + number * GOLDEN) % 1.0)) for number in range(4 * TRIED))
    return list(dict.fromkeys(places))[:TRIED]
