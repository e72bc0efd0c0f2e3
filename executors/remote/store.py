"""Copies of checkpoints: installed in a trial's folder whole or not at all, and stored behind a URL.

A copy from another host lies in a staging folder of the same file system. `install` moves that into the
trial's folder, and then renames: the trial's files first, the checkpoint last, which is the moment from which
it counts. What an interruption leaves half done is undone by whoever comes next.

A `CheckpointStore` is on any storage that fsspec has a file system for. A checkpoint there is a folder
``URL/STUDY/TRIAL/JOB``, with the checkpoint in ``checkpoint`` and the trial's own files in ``files``. Object
stores have no rename, so a file that names all others and their sizes is written last: without it a
checkpoint does not count.

Agents use it in a process of its own::

    python -P -m hbsim.executors.remote.store put URL STUDY TRIAL JOB CHECKPOINT [FILES]
    python -P -m hbsim.executors.remote.store get URL STUDY TRIAL JOB TARGET

With exit code 1 the last line on stderr says what the problem is.
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

__all__ = ["FILES", "STAGING", "CheckpointStore", "download", "install", "newest", "newest_of_all", "recover"]

FILES: Final = "files"  # the folder of a trial's own files, in the trial's folder
_STAGE: Final = ".install"
_OLD: Final = "old"  # the files that were there before, in the stage
STAGING: Final = ".copy-"  # what is being copied into a folder of trials is in folders named so
_COMPLETE: Final = "complete.json"


def newest(folder: Path) -> tuple[int, Path] | None:
    """Return the job that made a trial's newest sound checkpoint, and the checkpoint's folder.

    Parameters
    ----------
    folder : Path
        The trial's.

    Returns
    -------
    (int, Path) or None
        The job is 0 if it is not known. None if there is no sound checkpoint.

    Raises
    ------
    OutputError
        The folder cannot be read.
    """
    found = checkpoint.newest(folder / checkpoint.NAME)
    return None if found is None else (found[1]["job"] or 0, found[0])


def newest_of_all(trials: Path) -> dict[int, tuple[int, Path]]:
    """Return of each trial with a sound checkpoint in a folder of trials the same as `newest`."""
    found: dict[int, tuple[int, Path]] = {}
    for folder in trials.glob("[0-9]*"):
        with suppress(OutputError, ValueError):  # a damaged one cannot be used: its trial says so
            recover(folder)
            if (made := newest(folder)) is not None:
                found[int(folder.name)] = made
    return found


def install(stage: Path, folder: Path) -> bool:
    """Put a copied checkpoint and files in place of a trial's newest checkpoint and files.

    Parameters
    ----------
    stage : Path
        Holds ``checkpoint``, one checkpoint's folder, and ``files``, which may be absent. It is gone
        afterwards if True is returned.
    folder : Path
        The trial's, of the same file system; made if it is not there. No job of it may be running.

    Returns
    -------
    done : bool
        False if the checkpoint that is there is of a later job, or a later one of the same job; then nothing
        is changed.

    Raises
    ------
    OutputError
        The copy is damaged, or the folder cannot be written. What was there is still there.
    """
    described = checkpoint.describe_one(stage / checkpoint.NAME)
    with _alone(folder):
        _settle(folder)
        if _age(described) < _age(checkpoint.describe(folder / checkpoint.NAME)):
            return False
        (stage / FILES).mkdir(exist_ok=True)
        os.rename(stage, folder / _STAGE)
        try:
            _put_in_place(folder)
        finally:
            _settle(folder)
    return True


def recover(folder: Path) -> None:
    """Bring a trial's folder back to what it was, if an `install` was interrupted in it.

    To be called before a trial goes on from what is there; `install` does so by itself.

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
    os.rename(stage / checkpoint.NAME, checkpoints / str(number))  # from now on it counts
    checkpoint.thin_out(checkpoints)


def _settle(folder: Path) -> None:
    """Undo a stage that does not count yet, and clear away one that does; each step can be interrupted."""
    stage, files = folder / _STAGE, folder / FILES
    if (stage / checkpoint.NAME).is_dir():  # it does not count
        if not (stage / FILES).is_dir():
            os.rename(files, stage / FILES)
        if os.path.lexists(stage / _OLD):
            os.rename(stage / _OLD, files)
        shutil.rmtree(stage / checkpoint.NAME)
    shutil.rmtree(stage, ignore_errors=True)


def _age(described: checkpoint.Meta | None) -> tuple[float, float]:
    if described is None:
        return (float("-inf"), 0.0)
    resource = described["resource"]
    return (described["job"] or 0, float("-inf") if resource is None else resource)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other processes that install out of a trial's folder, which is made if it is not there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            with suppress(OSError):  # some network file systems cannot
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(str(folder), f"the checkpoint cannot be put in place: {error}") from error


class CheckpointStore:
    """Keeps the newest checkpoint of each trial of a study.

    Parameters
    ----------
    url : str
        As fsspec takes it, ``s3://bucket/path`` for instance.
    study : str
        The study's id, of letters and digits.

    Raises
    ------
    ParameterError
        By all methods: there is no such protocol, or its package is not installed.
    """

    def __init__(self, url: str, study: str) -> None:
        self.url, self._study = url, study

    def check(self) -> None:
        """Check that the storage can be written, read and cleared.

        Raises
        ------
        ParameterError
            It cannot: with the reason. Or its protocol or package is not there.
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
            Whose it is.
        checkpoint, files : Path
            Folders: that of the one checkpoint, and that of the trial's files, which need not be there.

        Raises
        ------
        OutputError
            It cannot be written; those of earlier jobs are still there.
        """
        fs, _ = self._opened
        folder = f"{self._folder(trial)}/{job}"
        with self._clear_errors(folder, "cannot be written"):
            found = _below("checkpoint", checkpoint) | ({} if files is None else _below("files", files))
            sizes = {name: path.stat().st_size for name, path in found.items() if path.is_file()}
            with suppress(FileNotFoundError):  # of a job of the same number that was cut short
                fs.rm_file(f"{folder}/{_COMPLETE}")
            self._make_folders({f"{folder}/{name}".rpartition("/")[0] for name in sizes})
            fs.put([str(found[name]) for name in sizes], [f"{folder}/{name}" for name in sizes])
            content = {"files": sizes, "folders": [name for name in found if name not in sizes]}
            fs.pipe_file(f"{folder}/{_COMPLETE}", json.dumps(content).encode())
        with suppress(Exception):  # they are in nobody's way
            for older in self._jobs(trial):
                if older < job:
                    self._remove(f"{self._folder(trial)}/{older}")

    def get(self, trial: int, job: int, target: Path) -> None:
        """Get a trial's newest checkpoint, which is this job's or that of a later one.

        Parameters
        ----------
        trial, job : int
            Whose it is.
        target : Path
            A new folder: ``checkpoint`` and ``files`` are made in it.

        Raises
        ------
        OutputError
            It is not there, or cannot be read; then `target` is removed.
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
        """Return of each trial that has a checkpoint whose that is.

        Raises
        ------
        OutputError
            The storage cannot be read.
        """
        _, folder = self._opened
        with self._clear_errors(folder, "cannot be read"):
            return dict(sorted(self._complete(folder)))  # of each trial the last one counts

    def remove(self, trial: int) -> None:
        """Remove all that is stored of a trial.

        Raises
        ------
        OutputError
            It cannot be removed.
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
        except Exception as error:  # no such protocol; and some connect when they are made
            rule = f"cannot be opened: {_reason(error)}"
            raise ParameterError("storage", self.url, rule) from error
        return fs, f"{path.rstrip('/')}/{self._study}"

    def _make_folders(self, folders: Iterable[str]) -> None:
        """Make folders, where the file system has any: on object stores that would make a bucket."""
        from fsspec import AbstractFileSystem

        fs, _ = self._opened
        if type(fs).mv is not AbstractFileSystem.mv:  # it renames, where an object store would copy
            for folder in sorted(folders):
                fs.makedirs(folder, exist_ok=True)

    def _folder(self, trial: int) -> str:
        return f"{self._opened[1]}/{trial:06d}"

    def _jobs(self, trial: int) -> list[int]:
        """Return the jobs whose checkpoints of a trial count."""
        return [job for _, job in self._complete(self._folder(trial))]

    def _complete(self, folder: str) -> list[tuple[int, int]]:
        """Return the trials and jobs of the checkpoints below a folder that count."""
        fs, _ = self._opened
        fs.invalidate_cache()  # other processes write, too
        try:
            paths = [path.split("/")[-3:] for path in fs.find(folder)]
        except FileNotFoundError:
            return []
        numbers = [path[:2] for path in paths if path[2:] == [_COMPLETE]]
        return [(int(trial), int(job)) for trial, job in numbers if _is_number(trial) and _is_number(job)]

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
        """Remove a folder; a removal that is cut short leaves no checkpoint that seems to count."""
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
    """Copy checkpoints from a store into a folder of trials, where they are newer; return how many.

    Raises
    ------
    ParameterError
        The store cannot be used.
    OutputError
        A checkpoint cannot be read or written.
    """
    from hbsim.executors.local import trial_folder
    from hbsim.executors.remote.store import install, newest_of_all

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


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit()


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
