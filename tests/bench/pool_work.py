"""What processes are given to do in tests of the pool; by name, so that a Dask worker finds it too."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path


class Unreadable(Exception):
    """An error that can be pickled, and cannot be read back."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} {two}")


def square(number: int) -> int:
    return number * number


def where(number: int) -> tuple[int, int, str | None]:
    return number, os.getpid(), os.environ.get("OMP_NUM_THREADS")


def picky(number: int) -> int:
    """Do what an item says: die of a signal, leave, raise, or return its square."""
    if number == -9:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == -15:
        os.kill(os.getpid(), signal.SIGTERM)
    if number == -3:
        os._exit(3)
    if number == -2:
        raise Unreadable(1, 2)
    if number < 0:
        raise ValueError(f"no square of {number}")
    return square(number)


def crowded(folder: str, number: int) -> int:
    """Die unless nothing else runs; leave a note of every call."""
    notes = Path(folder)
    mine = notes / f"running-{number}"
    mine.touch()
    with (notes / "calls").open("a") as file:
        file.write(f"{number}\n")
    time.sleep(0.2)
    if len(list(notes.glob("running-*"))) > 1:
        os.kill(os.getpid(), signal.SIGKILL)
    mine.unlink()
    return number


def sleep(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def report(folder: str, number: int) -> None:
    """Say which process this is, and stay."""
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(60)
