"""Checkpoints on disk: at any instant the newest one is whole, whatever was killed while it was written.

A checkpoint is a numbered folder below the trial's ``checkpoint`` folder; the highest number counts. It is
written under another name, brought to the disk, and renamed when it is whole; then the one before goes.
Where a job that counts as lost may still run, jobs claim the folder first (see `checkpoint_claim`).
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from hbsim.errors import HbsimError, OutputError
from hbsim.executors import checkpoint_kinds as kinds
from hbsim.executors.checkpoint_claim import Overtaken, claim, is_later, temporary_name

__all__ = ["NAME", "Overtaken", "claim", "describe", "load", "remove", "save"]

NAME: Final = "checkpoint"  # the folder's name in the trial's folder
_VERSION: Final = 1
_META: Final = "meta.json"
_DAMAGED: Final = (ValueError, KeyError, TypeError, kinds.Unreadable)


def save(
    folder: os.PathLike[str] | str,
    obj: object,
    *,
    resource: float | None = None,
    job: int | None = None,
    allowed: Callable[[], bool] | None = None,
) -> None:
    """Save a checkpoint in place of the one before.

    Parameters
    ----------
    folder : path
        The trial's ``checkpoint`` folder; made if it is not there.
    obj : object
        None, numbers, text, bytes, NumPy arrays and PyTorch tensors, in lists, tuples, sets and dicts; or the
        path of a folder, whose content is copied.
    resource : float, optional
        What the trial had reported last, and
    job : int, optional
        in which job: kept beside it.
    allowed : callable, optional
        Whether the job, which has claimed the folder, may still save; asked again just before the checkpoint
        takes its place.

    Raises
    ------
    ParameterError
        Something in it cannot be kept.
    OutputError
        It cannot be written; the one before is still there.
    Overtaken
        It is not allowed; the one before, or what has taken its place, is still there.
    """
    folder = Path(folder)
    kinds.check(obj, folder)
    claimed_by = None if allowed is None else job
    with _failing_clearly(folder, "cannot be written, the one before stays"):
        folder.mkdir(parents=True, exist_ok=True)
        _insist(allowed)
        number = 1 + max(_sweep(folder, claimed_by), default=0)
        temporary = folder / (f".{number}" if claimed_by is None else temporary_name(number, claimed_by))
        try:
            temporary.mkdir()
            _write(temporary, obj, {"version": _VERSION, "resource": resource, "job": job})
            _insist(allowed)
            os.rename(temporary, folder / str(number))
        except BaseException as error:
            shutil.rmtree(temporary, ignore_errors=True)
            if isinstance(error, OSError):  # a later job may have taken it away
                _insist(allowed)
            raise
        kinds.sync(folder)
        _sweep(folder, claimed_by)


def load(folder: os.PathLike[str] | str) -> Any:
    """Return what was saved last, None if nothing was. Tensors are on the CPU.

    Raises
    ------
    OutputError
        It is damaged, or of a later version.
    """
    folder = Path(folder)
    numbers = _numbers(folder)
    if not numbers:
        return None
    newest = folder / str(max(numbers))
    kind = _meta(newest)["kind"]
    with _failing_clearly(newest, "is damaged", *_DAMAGED):
        return kinds.read(newest, kind)


def describe(folder: os.PathLike[str] | str) -> dict[str, Any] | None:
    """Return what is known of the newest checkpoint without loading it; None if there is none.

    Returns
    -------
    description : dict or None
        ``version``; ``kind``, values or folder; ``resource``, what the trial had reported last
        when it was made, and ``job``, by which job: both may be None.

    Raises
    ------
    OutputError
        It is damaged, or of a later version.
    """
    folder = Path(folder)
    numbers = _numbers(folder)
    return _meta(folder / str(max(numbers))) if numbers else None


def remove(folder: os.PathLike[str] | str) -> None:
    """Remove the trial's ``checkpoint`` folder, if it is there.

    A removal that is interrupted leaves no torn checkpoint.

    Raises
    ------
    OutputError
        It cannot be removed.
    """
    folder = Path(folder)
    with _failing_clearly(folder, "cannot be removed"):
        for number in sorted(_numbers(folder)):  # the newest last: until then it counts
            os.rename(folder / str(number), folder / f".{number}.old")
        if folder.is_dir():
            shutil.rmtree(folder)


def _write(folder: Path, obj: object, meta: dict[str, object]) -> None:
    kind = kinds.write(folder, obj)
    kinds.write_file(folder / _META, json.dumps({**meta, "kind": kind}).encode())
    kinds.sync(folder)


def _numbers(folder: Path) -> list[int]:
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [int(name) for name in names if _is_number(name)]


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit()


def _insist(allowed: Callable[[], bool] | None) -> None:
    if allowed is not None and not allowed():
        raise Overtaken


def _sweep(folder: Path, job: int | None = None) -> list[int]:
    """Remove all but the newest checkpoint, and what jobs after `job` write; return its number, if any."""
    names = os.listdir(folder)  # once: a later job may save meanwhile
    newest = max((int(name) for name in names if _is_number(name)), default=None)
    for name in names:
        if name != str(newest) and not (job is not None and is_later(name, job)):
            shutil.rmtree(folder / name, ignore_errors=True)
    return [] if newest is None else [newest]


def _meta(checkpoint: Path) -> dict[str, Any]:
    with _failing_clearly(checkpoint, "is damaged", *_DAMAGED):
        meta: dict[str, Any] = json.loads((checkpoint / _META).read_bytes())
        version, _ = meta["version"], meta["kind"]
    if version != _VERSION:
        raise OutputError(str(checkpoint), f"is of version {version}; this hbsim reads version {_VERSION}")
    return meta


@contextmanager
def _failing_clearly(path: Path, problem: str, *also: type[Exception]) -> Iterator[None]:
    kinds_of_error: tuple[type[Exception], ...] = (OSError, *also)
    try:
        yield
    except HbsimError:
        raise
    except kinds_of_error as error:
        reason = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
        raise OutputError(str(path), f"the checkpoint {problem}: {reason}") from error
