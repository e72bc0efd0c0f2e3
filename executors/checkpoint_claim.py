"""Claims: of several jobs of a trial that may run at once, only the one with the highest number may save.

A job that counts as lost may still run: on a host that was suspended, say, and goes on. Where several hosts
see one folder, its checkpoint must not take the place of one of the job that was started instead. So a job
claims the trial's folder before it runs, by an empty file named after its number; the highest number counts.
No lock is needed, which not every shared file system has: a claim is never taken back.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["PREFIX", "Overtaken", "claim", "is_later", "is_overtaken", "temporary_name"]

PREFIX: Final = ".claim-"  # of the files that say who has claimed a trial


class Overtaken(Exception):
    """A job may not save: a later one of the same trial has been started."""


def claim(folder: os.PathLike[str] | str, job: int) -> bool:
    """Claim a trial's ``checkpoint`` folder for a job, before it runs.

    What earlier jobs have begun to save there, and not finished, is void from now on.

    Parameters
    ----------
    folder : path
        The trial's ``checkpoint`` folder; it need not be there.
    job : int
        The job.

    Returns
    -------
    bool
        Whether it may run: no higher job has claimed the folder.

    Raises
    ------
    OSError
        The claim cannot be written.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    (folder.parent / f"{PREFIX}{job}").touch()
    if is_overtaken(folder, job):
        return False
    _void(folder, job)
    for earlier in _claims(folder):
        if earlier < job:
            with suppress(OSError):
                os.unlink(folder.parent / f"{PREFIX}{earlier}")
    return True


def is_overtaken(folder: os.PathLike[str] | str, job: int) -> bool:
    """Whether a later job than this one has claimed the trial's ``checkpoint`` folder."""
    return max(_claims(Path(folder)), default=job) > job


def temporary_name(number: int, job: int) -> str:
    """Return what checkpoint `number` is called while `job` writes it: no other job writes there."""
    return f".{number}.{job}"


def is_later(name: str, job: int) -> bool:
    """Whether a file in the ``checkpoint`` folder is what a later job is writing."""
    words = name.split(".")
    return len(words) > 2 and not words[0] and words[2].isdigit() and int(words[2]) > job


def _claims(folder: Path) -> list[int]:
    names = os.listdir(folder.parent)
    return [int(name.removeprefix(PREFIX)) for name in names if name.startswith(PREFIX)]


def _void(folder: Path, job: int) -> None:
    """Take away what earlier jobs are writing: by another name it cannot be put in place any more."""
    with suppress(FileNotFoundError):
        for name in os.listdir(folder):
            if name.startswith(".") and not is_later(name, job):
                void = folder / f"{name}.void"
                with suppress(OSError):  # it has been put in place this moment, or is void already
                    os.rename(folder / name, void)
                shutil.rmtree(void, ignore_errors=True)
