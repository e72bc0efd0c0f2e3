"""A file in a study's folder that says when a run, which may be killed, last told hosts to go on.

What such a run has left on hosts ends when their lease is over. Until then none of its trials may start
again, or it would run twice at once. By the same file hosts find out whether they see the study's folder.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from hbsim.executors.dask.agents import BEAT, MARGIN
from hbsim.executors.dask.home import WAY

__all__ = ["Mark", "outlast", "why"]

PREFIX: Final = ".probe-"
_SLACK: Final = MARGIN + 2 * BEAT  # seconds; a beat may go out just before the file would be touched again


class Mark:
    """The file of one run.

    Parameters
    ----------
    trials : Path
        The study's folder of trials.
    session : str
        The run's number.
    lease : float
        Of its hosts, in seconds.

    Attributes
    ----------
    text : str
        What is in it.
    """

    def __init__(self, trials: Path, session: str, lease: float) -> None:
        self.text = f"{session} {float(lease)!r}"
        self._trials = trials
        self._file = trials / f"{PREFIX}{session}"

    def make(self) -> float:
        """Make the file; return for how many seconds what earlier runs have left may go on."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(self.text, "utf-8")
        now = self._file.stat().st_mtime  # by the clock of the file system, as those of the others
        return max((_rest(other, now) for other in self._others()), default=0.0)

    def touch(self) -> None:
        """Take note that hosts are told to go on."""
        with suppress(OSError):  # removed by somebody
            os.utime(self._file)

    def clear(self) -> None:
        """Remove what earlier runs have left here: nothing of them goes on any more."""
        for other in self._others():
            other.unlink(missing_ok=True)
        for folder in self._trials.glob(f"{WAY}*"):
            shutil.rmtree(folder, ignore_errors=True)

    def remove(self) -> None:
        """Remove the file: nothing that this run has started goes on."""
        with suppress(OSError):
            self._file.unlink(missing_ok=True)

    def _others(self) -> list[Path]:
        return [path for path in self._trials.glob(f"{PREFIX}*") if path != self._file]


def outlast(trials: Path, say: Callable[[str], None]) -> None:
    """Wait until nothing goes on any more that earlier runs on Dask have left; `say` is given why."""
    mark = Mark(trials, secrets.token_hex(8), 0.0)
    try:
        seconds = mark.make()
        if seconds > 0:
            say(why(seconds))
            time.sleep(seconds)
        mark.clear()
    finally:
        mark.remove()


def why(seconds: float) -> str:
    """Say why one has to wait, and until when."""
    until = time.strftime("%H:%M:%S", time.localtime(time.time() + seconds))
    begin = f"waiting {seconds:.0f} s, until {until}"
    return f"{begin}: the study's process was killed, and hosts may run its trials until then"


def _rest(file: Path, now: float) -> float:
    try:
        lease = float(file.read_text("utf-8").rpartition(" ")[2])
        age = now - file.stat().st_mtime
    except (OSError, ValueError):  # it was killed before it had anything to do with hosts
        return 0.0
    return min(lease + _SLACK, max(0.0, lease + _SLACK - age))
