"""Packs of paused trials on a storage that all hosts reach: anything that fsspec has a file system for."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from hbsim.errors import HbsimError, OutputError, ParameterError, nearest
from hbsim.executors.local import trial_folder

__all__ = ["Vault"]

_TRIES: Final = 5  # to read a pack while a later one takes its place
_SUFFIX: Final = ".tar"


class Vault:
    """Keeps the newest pack of each trial of a study as ``URL/STUDY/TRIAL/JOB.tar``.

    A pack is uploaded under another name and renamed, where the file system has a rename of its own. Where a
    rename is a copy, as on object stores, it is uploaded under its name: there an upload is whole or not at
    all by itself. Either way its size is looked at afterwards.

    Parameters
    ----------
    url : str
        As fsspec takes it, ``s3://bucket/path`` for instance. ``memory://`` lives in one process, and its
        packs can be had there only: of use in tests.
    study : str
        The study's name, of letters and digits.

    Raises
    ------
    ParameterError
        By all methods: there is no such protocol, or its package is not installed.
    """

    def __init__(self, url: str, study: str) -> None:
        self.url = url
        self._study = study

    def check(self) -> None:
        """Check that the storage can be written, read and cleared.

        Raises
        ------
        ParameterError
            It cannot: with the reason. Or its protocol or package is not there.
        """
        fs, folder = self._opened
        name = f"{folder}/check-{secrets.token_hex(8)}"
        data = name.encode()
        try:
            if self._move is not None:
                fs.makedirs(folder, exist_ok=True)
            fs.pipe_file(name, data)
            read = fs.cat_file(name)
            fs.rm_file(name)
        except Exception as error:  # each file system has its own
            raise ParameterError("storage", self.url, f"cannot be used: {_reason(error)}") from error
        if read != data:
            raise ParameterError("storage", self.url, "does not give back what is written to it")

    def put(self, trial: int, job: int, file: Path) -> None:
        """Store a trial's pack in place of those of earlier jobs.

        Raises
        ------
        OutputError
            It cannot be written.
        """
        fs, _ = self._opened
        folder = self._folder(trial)
        target = f"{folder}/{job}{_SUFFIX}"
        with self._failing_clearly(target, "cannot be written"):
            self._upload(file, target)
            size = fs.size(target)
            if size != file.stat().st_size:
                raise OSError(f"{size} bytes have arrived of {file.stat().st_size}")
        with suppress(Exception):  # they are in nobody's way
            for older in self._jobs(trial):
                if older < job:
                    fs.rm_file(f"{folder}/{older}{_SUFFIX}")

    def get(self, trial: int, file: Path) -> int | None:
        """Get a trial's newest pack.

        Parameters
        ----------
        trial : int
            The trial's number.
        file : Path
            Where to; whole or not at all. Its folder is made if it is not there.

        Returns
        -------
        job : int or None
            The pack's; None if the trial has none, and then nothing is written.

        Raises
        ------
        OutputError
            It cannot be read.
        """
        folder = self._folder(trial)
        with self._failing_clearly(folder, "cannot be read"):
            for left in reversed(range(_TRIES)):
                job = max(self._jobs(trial), default=None)
                if job is None:
                    return None
                try:
                    self._download(f"{folder}/{job}{_SUFFIX}", file)
                    return job
                except FileNotFoundError:  # a later one has taken its place
                    if not left:
                        raise
        return None

    def jobs(self) -> dict[int, int]:
        """Return the newest pack's job of each trial that has one.

        Raises
        ------
        OutputError
            It cannot be read.
        """
        fs, folder = self._opened
        newest: dict[int, int] = {}
        with self._failing_clearly(folder, "cannot be read"):
            fs.invalidate_cache()
            for path in fs.find(folder):
                *_, trial, name = str(path).split("/")
                job = _job(name)
                if job is not None and trial.isascii() and trial.isdigit():
                    newest[int(trial)] = max(job, newest.get(int(trial), job))
        return newest

    def remove(self, trial: int) -> None:
        """Remove what is stored of a trial.

        Raises
        ------
        OutputError
            It cannot be removed.
        """
        fs, _ = self._opened
        folder = self._folder(trial)
        with self._failing_clearly(folder, "cannot be removed"), suppress(FileNotFoundError):
            fs.invalidate_cache()
            fs.rm(folder, recursive=True)

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        """The file system, and the study's folder on it."""
        try:
            from fsspec.core import url_to_fs

            fs, path = url_to_fs(self.url)
        except ImportError as error:
            rule = f"needs a package that is not installed here: {error}"
            raise ParameterError("storage", self.url, rule) from error
        except ValueError as error:
            raise ParameterError("storage", self.url, f"{error}.{self._nearest()}") from error
        except Exception as error:  # to connect is part of opening some of them
            raise ParameterError("storage", self.url, f"cannot be opened: {_reason(error)}") from error
        return fs, f"{path.rstrip('/')}/{self._study}"

    def _nearest(self) -> str:
        from fsspec import available_protocols

        return nearest(self.url.partition("://")[0], available_protocols())

    @cached_property
    def _move(self) -> Callable[[str, str], object] | None:
        """The file system's own rename; None on object stores, where it is a copy and a removal."""
        from fsspec import AbstractFileSystem
        from fsspec.implementations.local import LocalFileSystem

        fs, _ = self._opened
        if isinstance(fs, LocalFileSystem):  # it has had its own by other names
            return os.replace
        move: Callable[[str, str], object] = fs.mv
        return None if type(fs).mv is AbstractFileSystem.mv else move

    def _folder(self, trial: int) -> str:
        return f"{self._opened[1]}/{trial_folder(Path(), trial)}"

    def _jobs(self, trial: int) -> list[int]:
        fs, _ = self._opened
        fs.invalidate_cache()  # other processes write, too
        try:
            paths = fs.ls(self._folder(trial), detail=False)
        except FileNotFoundError:
            return []
        jobs = [_job(str(path).rpartition("/")[2]) for path in paths]
        return [job for job in jobs if job is not None]

    def _upload(self, file: Path, target: str) -> None:
        fs, _ = self._opened
        if self._move is None:
            fs.put_file(str(file), target)
            return
        temporary = f"{target}.{secrets.token_hex(8)}"
        fs.makedirs(target.rpartition("/")[0], exist_ok=True)
        try:
            fs.put_file(str(file), temporary)
            self._move(temporary, target)
        except BaseException:
            with suppress(Exception):
                fs.rm_file(temporary)
            raise

    def _download(self, source: str, file: Path) -> None:
        fs, _ = self._opened
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
        try:
            fs.get_file(source, str(temporary))
            os.replace(temporary, file)
        finally:
            temporary.unlink(missing_ok=True)

    @contextmanager
    def _failing_clearly(self, path: str, problem: str) -> Iterator[None]:
        try:
            yield
        except HbsimError:
            raise
        except Exception as error:  # each file system has its own
            where = f"{self.url.partition('://')[0]}://{path.lstrip('/')}"
            raise OutputError(where, f"{problem}: {_reason(error)}") from error


def _job(name: str) -> int | None:
    stem = name.removesuffix(_SUFFIX)
    return int(stem) if stem != name and stem.isascii() and stem.isdigit() else None


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or str(error) or type(error).__name__)
