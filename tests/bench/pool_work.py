"""What processes are given to do in tests of the pool; by name, so that a Dask worker finds it too."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

ITEMS = [1, -9, 2, -1, 3, 4, 5]
LONG = 20.0  # seconds: longer than any test lets it


class Unreadable(Exception):
    """An error that can be pickled, and cannot be read back."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} {two}")


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
    return number * number


def check(found: dict, killed: str) -> None:
    """Check what `ITEMS` give to `picky`: squares, one error, and one that took its process with it."""
    assert {n: found[n] for n in ITEMS if n > 0} == {n: n * n for n in ITEMS if n > 0}
    assert isinstance(found[-1], ValueError)
    assert isinstance(found[-9], BrokenProcessPool)
    assert str(found[-9]) == f"its process ended without a result ({killed})"
    assert set(found) == set(ITEMS)


def process_of(number: int) -> tuple[int, str | None]:
    return os.getpid(), os.environ.get("OMP_NUM_THREADS")


def once(folder: Path, number: int) -> int:
    """Take all of the first three down, once all have begun; note when a call begins and ends after that."""
    first = folder / f"first-{number}"
    if number < 3 and not first.exists():
        first.touch()
        if number == 0:
            wait_for(*(folder / f"first-{n}" for n in range(3)))
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(LONG)
    for word in ("begins", "ends"):
        with (folder / "notes").open("a") as file:
            file.write(f"{number} {word}\n")
        time.sleep(0.05)
    return number


def after(folder: Path, name: str) -> str:
    """Return at once, or once there is a file."""
    if name == "later":
        wait_for(folder / "now")
    return name


def wait_long(folder: Path, number: int) -> None:
    """Say which process this is, and stay."""
    (folder / f"{number}-{os.getpid()}").touch()
    time.sleep(LONG)


def interrupt(number: int) -> None:
    raise KeyboardInterrupt


def wait_for(*paths: Path) -> None:
    for _ in range(int(LONG / 0.02)):
        if all(path.exists() for path in paths):
            return
        time.sleep(0.02)
    raise TimeoutError(f"none of {paths} has come")


def note(folder: Path, number: int) -> int:
    """Say which process this is."""
    with (folder / "notes").open("a") as file:
        file.write(f"{os.getpid()}\n")
    return number


def end_host(number: int) -> int:
    """End all of a host if the number is 0, as what needs more memory than there is."""
    if number == 0:
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(LONG)
    return number


def left_alone(folder: Path, number: int) -> int:
    """Return 0 for the first item; say that the others have begun, and stay."""
    if number:
        (folder / str(number)).touch()
        time.sleep(LONG)
    return number
