"""The folder of a sweep: its manifest, plan and results, written and read."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import polars as pl

from hbsim.bench.sweep.cell import FORMAT
from hbsim.bench.sweep.scores import Budget, Scale, Steps, TaskKey, budgets, scales, steps
from hbsim.bench.sweep.store import (
    DONE,
    KEY,
    MAIN,
    NAMES,
    OURS,
    SweepStore,
    move,
    read_table,
    recover,
    sources,
    write,
    writing,
)
from hbsim.errors import HbsimWarning, OutputError, ParameterError
from hbsim.runner.lock import StudyLock
from hbsim.surrogates.parquet import parquet

MANIFEST: Final = "sweep.json"
SPEC: Final = "sweep.toml"
PLAN: Final = "plan.parquet"
SEAL: Final = "sha256"  # the version of the manifest's other fields
ANYTIME: Final = "anytime"
CONFIRM: Final = "confirm"  # the subfolder for studies on fresh seeds
LOCK: Final = "lock"
_WRITTEN: Final = (MANIFEST, SPEC, PLAN)
_ALL: Final = OURS | {*_WRITTEN, *(f".{name}" for name in _WRITTEN), f"{ANYTIME}.parquet", CONFIRM}


@contextmanager
def open_folder(folder: Path, plan: pl.DataFrame, force: bool, is_same: bool = False) -> Iterator[SweepStore]:
    """Open a folder for this process alone, and yield its finished studies; create it if it does not exist.

    Parameters
    ----------
    folder : path
        A folder that does not exist, is empty, or is a sweep's.
    plan : polars.DataFrame
        The cells that are wanted.
    force : bool
        Whether the results of a sweep in the folder may be replaced. Other files stay.
    is_same : bool
        Whether the folder is known to be this sweep's, even if it holds none of these cells.

    Warns
    -----
    HbsimWarning
        Finished studies are thrown away.

    Raises
    ------
    ParameterError
        The folder holds something else, another sweep, or one of another version (field ``folder``).
    OutputError
        The folder cannot be read or created, or another process uses it.
    """
    _names_in(folder)  # checked before a lock file is put into a foreign folder
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with StudyLock(folder):
        names = _names_in(folder)
        if names and force:
            _warn_of_loss(folder)
            _clear(folder, names)
        elif names:
            _check_version(folder)
            recover(folder)
        store = SweepStore(folder)
        if not is_same:
            _check_same(folder, store, plan)
        yield store


def look_into(folder: Path, plan: pl.DataFrame, force: bool) -> SweepStore | None:
    """Read the finished studies of a folder, None if there are none or `force` is set; create nothing.

    Raises
    ------
    ParameterError, OutputError
        As `open_folder`.
    """
    if not _names_in(folder) or force:
        return None
    _check_version(folder)
    store = SweepStore(folder)
    _check_same(folder, store, plan)
    return store


def write_plan(
    folder: Path, plan: pl.DataFrame, manifest: Mapping[str, object], spec: str, command: str
) -> None:
    """Write the plan of a sweep: the specification, the cells, and the manifest.

    Raises
    ------
    OutputError
        A file cannot be written.
    """
    cells = parquet(plan)
    content = manifest_bytes({**manifest, "plan": digest(cells)}, command)
    with writing(folder):  # first the file that marks the folder as a sweep's
        for name, file in ((MANIFEST, content), (PLAN, cells), (SPEC, spec.encode())):
            temporary = folder / f".{name}"
            write(temporary, file)
            move(temporary, folder / name)


def is_own(folder: Path, path: Path) -> bool:
    """Return whether a path is a sweep's folder, or one of the sweep's own files in the folder."""
    folder, path = folder.resolve(), path.resolve()
    if path == folder or folder not in path.parents:
        return path == folder
    return path.relative_to(folder).parts[0] in {*_ALL, LOCK}


def _names_in(folder: Path) -> set[str]:
    """Return the names of files in a folder except the lock; empty if the folder does not exist."""
    try:
        names = {path.name for path in folder.iterdir()} - {LOCK}
    except FileNotFoundError:
        return set()
    except NotADirectoryError:
        raise ParameterError("folder", str(folder), "is a file; give a folder") from None
    except OSError as error:
        raise OutputError(str(folder), f"cannot be read: {error.strerror or error}") from error
    names -= {f".{MANIFEST}"}  # the only file of a sweep that was killed at its start
    if names and MANIFEST not in names:
        raise ParameterError("folder", str(folder), "is a folder with files that hbsim sweep did not write")
    return names


def _warn_of_loss(folder: Path) -> None:
    """Warn of finished cells that are about to be deleted."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HbsimWarning)
        try:
            count = len(SweepStore(folder).status)
        except OutputError:  # damaged, so the number is unknown
            return
    if count:
        text = f"{count:,} finished {'study' if count == 1 else 'studies'} in {folder} are thrown away"
        warnings.warn(HbsimWarning(text), stacklevel=4)


def _clear(folder: Path, names: set[str]) -> None:
    """Remove the files of a sweep, last the one that marks the folder as a sweep's."""
    with writing(folder):
        for name in sorted(names & _ALL, key=lambda name: (name == MANIFEST, name)):
            path = folder / name
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def _check_version(folder: Path) -> None:
    by, now = read_manifest(folder)["versions"]["hbsim"], version("hbsim")
    if by != now:
        rule = (
            f"is of hbsim {by}, and this is {now}: studies of two versions do not mix; --force runs all again"
        )
        raise ParameterError("folder", str(folder), rule)


def _check_same(folder: Path, store: SweepStore, plan: pl.DataFrame) -> None:
    if store.status and not store.status.keys() & set(plan["key"]):
        rule = f"holds another sweep, with {len(store.status):,} studies; --force replaces it"
        raise ParameterError("folder", str(folder), rule)


# The manifest: what a sweep writes about itself, for readers of its results


def manifest_bytes(content: Mapping[str, object], command: str) -> bytes:
    """Return the content of the manifest's file: plain JSON, without dates."""
    manifest = {**content, "command": command, "versions": versions()}
    manifest[SEAL] = _seal(manifest)
    return (json.dumps(manifest, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def versions() -> dict[str, str]:
    """Return the versions of the libraries that results depend on."""
    libraries = ("hbsim", "numpy", "polars", "scipy", "simpy")
    return {"python": platform.python_version(), **{name: version(name) for name in libraries}}


def digest(content: bytes) -> str:
    """Return the SHA-256 digest of a file, in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def read_manifest(folder: Path) -> Mapping[str, Any]:
    """Read the manifest of a sweep.

    Raises
    ------
    OutputError
        The manifest is missing, damaged, or of another version.
    """
    path, again = folder / MANIFEST, "hbsim sweep --force runs all cells again"
    try:
        manifest = json.loads(path.read_text("utf-8"))
        found, by = manifest["format"], str(manifest["versions"]["hbsim"])
        is_whole = manifest.pop(SEAL, None) == _seal(manifest)
    except (FileNotFoundError, NotADirectoryError):
        raise OutputError(str(folder), f"has no {MANIFEST}: it is no folder of hbsim sweep") from None
    except OSError as error:
        raise OutputError(str(path), f"cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError, RecursionError):
        raise OutputError(str(path), f"is damaged: {again}") from None
    if found != FORMAT:
        problem = f"is of hbsim {by}, whose results have format {found}, and this one has {FORMAT}"
        raise OutputError(str(folder), f"{problem}: {again}")
    if not is_whole:
        raise OutputError(str(path), f"is damaged: {again}")
    return manifest  # type: ignore[no-any-return]


def _seal(manifest: Mapping[str, object]) -> str:
    return digest(json.dumps(manifest, sort_keys=True).encode())


def read_plan(folder: Path, manifest: Mapping[str, Any]) -> pl.DataFrame:
    """Return the sweep's cells.

    Raises
    ------
    OutputError
        The file does not belong to the manifest, or cannot be read.
    """
    path = folder / PLAN
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        content = b""
    except OSError as error:
        raise OutputError(str(path), f"cannot be read: {error.strerror or error}") from error
    if digest(content) != manifest["plan"]:
        problem = f"does not belong to {MANIFEST}: the same hbsim sweep as before writes it again"
        raise OutputError(str(path), problem)
    return read_table(path)


PAUSE: Final = 0.2  # seconds to wait for a sweep that is moving its files


@dataclass(frozen=True)
class SweepResults:
    """The results of a sweep, finished or not.

    Attributes
    ----------
    manifest : mapping
        What the sweep wrote about itself, as `read_manifest` returns it.
    spec : str
        The text of the sweep's file.
    cells : polars.DataFrame
        A row a cell, in the sweep's order: key, variant, surrogate, cluster, workers, seed, status ("done",
        "failed", or null: not run), error, then numbers, null where there are none.
    tables : mapping
        Frames by name: incumbents, rungs, brackets, timelines, timings; `key` names the study of a row.
    confirm : SweepResults or None
        The results of the leading variants on fresh seeds, which confirm the choice or do not.
    """

    manifest: Mapping[str, Any]
    spec: str
    cells: pl.DataFrame
    tables: Mapping[str, pl.DataFrame]
    confirm: SweepResults | None = None

    @cached_property
    def done(self) -> pl.DataFrame:
        """The cells with a result."""
        return self.cells.filter(pl.col("status") == DONE)

    @cached_property
    def scales(self) -> dict[TaskKey, Scale]:
        """The scale of the scores of each task."""
        return scales(self.manifest, self.done, self.tables["incumbents"])

    @cached_property
    def budgets(self) -> dict[TaskKey, Budget]:
        """The budget at which the variants of each task are scored."""
        return budgets(self.manifest, self.done)

    @cached_property
    def steps(self) -> dict[str, Steps]:
        """The incumbents of each study that has any, by its key."""
        return steps(self.tables["incumbents"])

    def rows(self, table: str) -> pl.DataFrame:
        """Return a table with the cell names of each row."""
        names = self.done.select(KEY, *NAMES)
        return names.join(self.tables[table], on=KEY, how="inner", maintain_order="left_right")


def read_results(folder: Path) -> SweepResults:
    """Read a sweep's folder, also if the sweep is running or was interrupted.

    Warns
    -----
    HbsimWarning
        A file that the results can do without is missing or damaged.

    Raises
    ------
    OutputError
        The folder is not a sweep's, is of another version, damaged, or empty.
    """
    before = sources(folder) if folder.is_dir() else []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", HbsimWarning)
            found = _read(folder)
        if sources(folder) == before:
            return found
    except (OutputError, HbsimWarning):
        time.sleep(PAUSE)
    return _read(folder)  # the sweep may have been moving its files


def _read(folder: Path) -> SweepResults:
    manifest = read_manifest(folder)
    plan = read_plan(folder, manifest)
    store = SweepStore(folder)
    if not store.status:
        raise OutputError(str(folder), "has no result yet: hbsim sweep has not finished a cell there")
    tables = store.tables(plan[KEY])
    cells = plan.join(tables.pop(MAIN), on=KEY, how="left", maintain_order="left")
    try:
        spec = (folder / SPEC).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise OutputError(str(folder / SPEC), f"cannot be read: {error}") from error
    return SweepResults(manifest, spec, cells, tables, _confirming(folder, manifest["plan"]))


def _confirming(folder: Path, plan: str) -> SweepResults | None:
    """Read the studies on fresh seeds, if there are any for the choice from these results."""
    inner = folder / CONFIRM
    if not (inner / MANIFEST).is_file() or read_manifest(inner)["confirms"] != plan:
        return None
    try:
        return _read(inner)
    except OutputError:  # none is finished yet
        return None
