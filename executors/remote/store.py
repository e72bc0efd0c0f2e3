"""Copies of checkpoints: installed atomically in a trial's folder, and stored behind a URL.

A copy from another host is first in a staging folder on the same file system. `install` moves that into the
trial's folder, and then renames the trial's files, and at last the checkpoint, which is valid from then on.
The next `install` or `recover` undoes an interrupted one.

A `CheckpointStore` is on any storage for which fsspec has a file system. A checkpoint there is a folder
``URL/STUDY/TRIAL/JOB``, with the checkpoint in ``checkpoint`` and the trial's own files in ``files``. Object
stores have no rename, so a file with the names and sizes of all others is written last: a checkpoint without
it is not valid.

Agents use the store in separate processes::

    python -P -m hbsim.executors.remote.store put URL STUDY TRIAL JOB CHECKPOINT [FILES]
    python -P -m hbsim.executors.remote.store get URL STUDY TRIAL JOB TARGET

With exit code 1 the last line on stderr is the problem.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Final

from hbsim.errors import HbsimError, OutputError, ParameterError
from hbsim.executors import checkpoint

BEST: Final = "best"  # the folder of a best report's checkpoint, in the stage
FILES: Final = "files"  # the folder of a trial's own files, in the trial's folder
_STAGE: Final = ".install"
_OLD: Final = "old"  # the trial's previous files, in the stage
STAGING: Final = ".copy-"  # prefix of folders for copies into a folder of trials that are under way
_COMPLETE: Final = "complete.json"


def newest(folder: Path) -> tuple[int, Path] | None:
    """Return the job that made a trial's newest valid checkpoint, and the checkpoint's folder.

    Parameters
    ----------
    folder : Path
        The trial's folder.

    Returns
    -------
    (int, Path) or None
        The job is 0 if it is not known. None if there is no valid checkpoint.

    Raises
    ------
    OutputError
        The folder cannot be read.
    """
    found = checkpoint.newest(folder / checkpoint.NAME)
    return None if found is None else (found[1]["job"] or 0, found[0])


def other_best(folder: Path, newest: Path | None) -> str | None:
    """Return the folder of a trial's checkpoint with its best report's state, if that is not the newest."""
    best = checkpoint.newest_best(folder / checkpoint.NAME)
    return None if best is None or best == newest else str(best)


def newest_of_all(trials: Path) -> dict[int, tuple[int, Path]]:
    """Return, by trial with a valid checkpoint in a folder of trials, the result of `newest`."""
    found: dict[int, tuple[int, Path]] = {}
    for folder in trials.glob("[0-9]*"):
        with suppress(OutputError, ValueError):  # a damaged one is reported when its trial goes on
            recover(folder)
            if (made := newest(folder)) is not None:
                found[int(folder.name)] = made
    return found


def install(stage: Path, folder: Path) -> bool:
    """Put a copied checkpoint and files in place of a trial's newest checkpoint and files.

    Parameters
    ----------
    stage : Path
        A folder with ``checkpoint``, one checkpoint's folder; ``best``, another one's, and ``files``, which
        may be absent. It does not exist any more if True is returned.
    folder : Path
        The trial's folder, on the same file system; made if it does not exist. No job of the trial may run.

    Returns
    -------
    done : bool
        False if the trial's folder has a checkpoint of a later job, or a later one of the same job; then
        nothing is changed.

    Raises
    ------
    OutputError
        The copy is damaged, or the folder cannot be written. The trial's folder is unchanged.
    """
    described = checkpoint.describe_one(stage / checkpoint.NAME)
    with _alone(folder):
        _settle(folder)
        before = checkpoint.newest(folder / checkpoint.NAME)
        if before is not None and _age(described) < _age(before[1]):
            return False
        (stage / FILES).mkdir(exist_ok=True)
        os.rename(stage, folder / _STAGE)
        try:
            _put_in_place(folder)
        finally:
            _settle(folder)
    return True


def recover(folder: Path) -> None:
    """Restore a trial's folder after an interrupted `install`.

    Must be called before a trial goes on from the folder; `install` calls it, too.

    Raises
    ------
    OutputError
        The folder cannot be written.
    """
    if (folder / _STAGE).exists():
        with _alone(folder):
            _settle(folder)


def _put_in_place(folder: Path) -> None:
    stage, files, checkpoints = folder / _STAGE, folder / FILES, folder / checkpoint.NAME
    if os.path.lexists(files):
        os.rename(files, stage / _OLD)
    os.rename(stage / FILES, files)
    checkpoints.mkdir(exist_ok=True)
    number = 1 + max((int(name) for name in os.listdir(checkpoints) if name.isdecimal()), default=0)
    if (stage / BEST).is_dir():
        os.rename(stage / BEST, checkpoints / str(number))  # before the newest, which the trial goes on from
        number += 1
    os.rename(stage / checkpoint.NAME, checkpoints / str(number))  # the checkpoint is valid from now on
    checkpoint.thin_out(checkpoints)


def _settle(folder: Path) -> None:
    """Undo a stage whose checkpoint is not in place, or remove a finished one; safe to interrupt."""
    stage, files = folder / _STAGE, folder / FILES
    if (stage / checkpoint.NAME).is_dir():  # the checkpoint is not in place
        if not (stage / FILES).is_dir():
            os.rename(files, stage / FILES)
        if os.path.lexists(stage / _OLD):
            os.rename(stage / _OLD, files)
        shutil.rmtree(stage / checkpoint.NAME)
    shutil.rmtree(stage, ignore_errors=True)


def _age(described: checkpoint.Meta) -> tuple[float, float]:
    resource = described["resource"]
    return (described["job"] or 0, float("-inf") if resource is None else resource)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Lock a trial's folder against other processes that install; make it if it does not exist."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            with suppress(OSError):  # some network file systems have no locks
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(str(folder), f"the checkpoint cannot be put in place: {error}") from error


class CheckpointStore:
    """A store of the newest checkpoint of each trial of a study, behind a URL.

    Parameters
    ----------
    url : str
        A URL for fsspec, such as ``s3://bucket/path``.
    study : str
        The study's id, of letters and digits.

    Raises
    ------
    ParameterError
        By all methods: the protocol is unknown, or its package is not installed.
    """

    def __init__(self, url: str, study: str) -> None:
        self.url, self._study = url, study

    def check(self) -> None:
        """Check that the storage can be written, read and cleared.

        Raises
        ------
        ParameterError
            The storage cannot be used, with the reason; or its protocol is unknown, or its package missing.
        """
        fs, folder = self._opened
        name = f"{folder}/check-{secrets.token_hex(8)}"
        try:
            self._make_folders([folder])
            fs.pipe_file(name, name.encode())
            fs.cat_file(name)
            fs.rm_file(name)
        except Exception as error:  # each file system has its own
            raise ParameterError("storage", self.url, f"cannot be used: {_reason(error)}") from error

    def put(self, trial: int, job: int, checkpoint: Path, files: Path | None = None) -> None:
        """Store a checkpoint in place of those of earlier jobs.

        Parameters
        ----------
        trial, job : int
            The trial, and the job that made the checkpoint.
        checkpoint, files : Path
            The folders of the checkpoint and of the trial's files; the latter need not exist.

        Raises
        ------
        OutputError
            The checkpoint cannot be written; those of earlier jobs still exist.
        """
        fs, _ = self._opened
        folder = f"{self._folder(trial)}/{job}"
        with self._clear_errors(folder, "cannot be written"):
            found = _below("checkpoint", checkpoint) | ({} if files is None else _below("files", files))
            sizes = {name: path.stat().st_size for name, path in found.items() if path.is_file()}
            with suppress(FileNotFoundError):  # of an interrupted job with the same number
                fs.rm_file(f"{folder}/{_COMPLETE}")
            self._make_folders({f"{folder}/{name}".rpartition("/")[0] for name in sizes})
            fs.put([str(found[name]) for name in sizes], [f"{folder}/{name}" for name in sizes])
            content = {"files": sizes, "folders": [name for name in found if name not in sizes]}
            fs.pipe_file(f"{folder}/{_COMPLETE}", json.dumps(content).encode())
        with suppress(Exception):  # old checkpoints do no harm
            for older in self._jobs(trial):
                if older < job:
                    self._remove(f"{self._folder(trial)}/{older}")

    def get(self, trial: int, job: int, target: Path) -> None:
        """Get a trial's newest checkpoint, made by this job or a later one.

        Parameters
        ----------
        trial, job : int
            The trial and the job.
        target : Path
            A new folder: ``checkpoint`` and ``files`` are made in it.

        Raises
        ------
        OutputError
            There is no checkpoint, or it cannot be read; then `target` is removed.
        """
        folder = self._folder(trial)
        with self._clear_errors(f"{folder}/{job}", "cannot be read"):
            found = max(self._jobs(trial), default=-1)
            if found < job:
                raise FileNotFoundError("it is not there")
            try:
                self._download(f"{folder}/{found}", target)
            except BaseException:
                shutil.rmtree(target, ignore_errors=True)
                raise

    def jobs(self) -> dict[int, int]:
        """Return, by trial with a checkpoint, the job that made the newest one.

        Raises
        ------
        OutputError
            The storage cannot be read.
        """
        _, folder = self._opened
        with self._clear_errors(folder, "cannot be read"):
            return dict(sorted(self._complete(folder)))  # the last job of each trial remains

    def remove(self, trial: int) -> None:
        """Remove all files of a trial.

        Raises
        ------
        OutputError
            The files cannot be removed.
        """
        folder = self._folder(trial)
        with self._clear_errors(folder, "cannot be removed"):
            for job in self._jobs(trial):
                self._remove(f"{folder}/{job}")
            self._remove(folder)

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        """The file system, and the study's folder on it."""
        try:
            from fsspec.core import url_to_fs

            fs, path = url_to_fs(self.url)
        except ImportError as error:
            rule = f"needs a package that is not installed: {error}"
            raise ParameterError("storage", self.url, rule) from error
        except Exception as error:  # an unknown protocol; some connect when they are made
            rule = f"cannot be opened: {_reason(error)}"
            raise ParameterError("storage", self.url, rule) from error
        return fs, f"{path.rstrip('/')}/{self._study}"

    def _make_folders(self, folders: Iterable[str]) -> None:
        """Make folders, except on object stores, where that would make a bucket."""
        from fsspec import AbstractFileSystem

        fs, _ = self._opened
        if type(fs).mv is not AbstractFileSystem.mv:  # a file system that renames; object stores copy
            for folder in sorted(folders):
                fs.makedirs(folder, exist_ok=True)

    def _folder(self, trial: int) -> str:
        return f"{self._opened[1]}/{trial:06d}"

    def _jobs(self, trial: int) -> list[int]:
        """Return the jobs with complete checkpoints of a trial."""
        return [job for _, job in self._complete(self._folder(trial))]

    def _complete(self, folder: str) -> list[tuple[int, int]]:
        """Return the trials and jobs of the complete checkpoints below a folder."""
        fs, _ = self._opened
        fs.invalidate_cache()  # other processes write, too
        try:
            paths = [path.split("/")[-3:] for path in fs.find(folder)]
        except FileNotFoundError:
            return []
        numbers = [path[:2] for path in paths if path[2:] == [_COMPLETE]]
        is_number = checkpoint.is_number
        return [(int(trial), int(job)) for trial, job in numbers if is_number(trial) and is_number(job)]

    def _download(self, folder: str, target: Path) -> None:
        fs, _ = self._opened
        content = json.loads(fs.cat_file(f"{folder}/{_COMPLETE}"))
        sizes = content["files"]
        for name in (*sizes, *content["folders"]):
            if ".." in PurePosixPath(name).parts or name.startswith("/"):
                raise ValueError(f"{_COMPLETE} names {name}")
        parents = {str(PurePosixPath(name).parent) for name in sizes}
        for name in ("checkpoint", "files", *content["folders"], *parents):
            (target / name).mkdir(parents=True, exist_ok=True)
        fs.get([f"{folder}/{name}" for name in sizes], [str(target / name) for name in sizes])
        for name, size in sizes.items():
            if (got := (target / name).stat().st_size) != size:
                raise OSError(f"{got} bytes of {name} have come of {size}")

    def _remove(self, folder: str) -> None:
        """Remove a folder; an interrupted removal leaves no checkpoint that seems complete."""
        fs, _ = self._opened
        with suppress(FileNotFoundError):
            fs.rm_file(f"{folder}/{_COMPLETE}")
        with suppress(FileNotFoundError):
            fs.invalidate_cache()
            fs.rm(folder, recursive=True)

    @contextmanager
    def _clear_errors(self, path: str, problem: str) -> Iterator[None]:
        try:
            yield
        except HbsimError:
            raise
        except Exception as error:  # each file system has its own
            name = f"{self.url.partition('://')[0]}://{path.lstrip('/')}"
            raise OutputError(name, f"{problem}: {_reason(error)}") from error


def download(url: str, study: str, trials: Path) -> int:
    """Copy checkpoints from a store into a folder of trials if they are newer; return their number.

    Raises
    ------
    ParameterError
        The store cannot be used.
    OutputError
        A checkpoint cannot be read or written.
    """
    from hbsim.executors.local import trial_folder  # agents' copies need none of it

    store, present, count = CheckpointStore(url, study), newest_of_all(trials), 0
    trials.mkdir(parents=True, exist_ok=True)
    for trial, job in sorted(store.jobs().items()):
        if job > present.get(trial, (-1,))[0]:
            with tempfile.TemporaryDirectory(dir=trials, prefix=STAGING) as stage:
                store.get(trial, job, Path(stage, "new"))
                count += install(Path(stage, "new"), trial_folder(trials, trial))
    return count


def _below(top: str, folder: Path) -> dict[str, Path]:
    """Return the files and folders below a folder, by their names below `top`."""
    found = {path: f"{top}/{path.relative_to(folder).as_posix()}" for path in folder.rglob("*")}
    return {name: path for path, name in found.items() if path.is_file() or path.is_dir()}


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or str(error) or type(error).__name__)


def _main(order: str, url: str, study: str, trial: str, job: str, *paths: str) -> None:
    store = CheckpointStore(url, study)
    act = store.put if order == "put" else store.get
    act(int(trial), int(job), *map(Path, paths))


if __name__ == "__main__":
    try:
        _main(*sys.argv[1:])
    except HbsimError as problem:
        sys.exit(str(problem))
