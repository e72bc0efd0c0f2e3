"""The study's folder of trials, as a study on Dask uses it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from hbsim.errors import OutputError
from hbsim.executors import checkpoint
from hbsim.executors.local import LOG, trial_folder

__all__ = ["WAY", "append_log", "bring_home", "held", "temporary"]

WAY: Final = ".way-"  # what is on its way is in folders named so


def held(trials: Path) -> dict[int, int]:
    """Return which trials have a checkpoint in a folder of trials, and the job that made it.

    Where it does not say, it counts as made by job 0: older than any other.
    """
    found: dict[int, int] = {}
    if not trials.is_dir():
        return found
    for folder in trials.iterdir():
        if folder.name.isdigit():
            with suppress(OutputError):  # a damaged one cannot be used: its trial says so
                about = checkpoint.describe(folder / checkpoint.NAME)
                if about is not None:
                    found[int(folder.name)] = about["job"] or 0
    return found


def bring_home(url: str, study: str, trials: Path) -> int:
    """Bring checkpoints from a store into a folder of trials, where they are newer; return how many.

    Raises
    ------
    ParameterError
        The store cannot be read.
    OutputError
        A checkpoint cannot be brought.
    """
    from hbsim.executors.dask import packs
    from hbsim.executors.dask.vault import Vault

    vault, here, count = Vault(url, study), held(trials), 0
    for trial, job in sorted(vault.jobs().items()):
        if job > here.get(trial, -1):
            with temporary(trials) as file:
                vault.get(trial, file)
                count += packs.unpack(file, trial_folder(trials, trial))
    return count


def append_log(trials: Path, trial: int, text: str) -> None:
    """Add what a trial printed elsewhere to its log."""
    folder = trial_folder(trials, trial)
    with suppress(OSError):  # no reason to end a study
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / LOG, "a", encoding="utf-8") as file:
            file.write(text)


@contextmanager
def temporary(trials: Path) -> Iterator[Path]:
    """Give a file for a checkpoint on its way."""
    trials.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=trials, prefix=WAY) as folder:
        file = Path(folder, "pack.tar")
        file.touch()
        yield file
