"""A host's folder for a study among temporary files, which somebody tidies now and then.

What is old is removed there: a lease, whose pages are written and its file is not; checkpoints of trials that
have been paused for days. So all of it is touched now and then. Where it has been removed all the same, no
trial could begin any more.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from math import inf
from pathlib import Path
from typing import Final

from hbsim.executors.dask.work import VARIABLE

__all__ = ["Upkeep"]

LOOK: Final = 1.0  # seconds between two looks at the lease's file
ROUND: Final = 3600.0  # seconds after which everything is touched again
_SOME: Final = 20  # files and folders that are touched at once


class Upkeep:
    """Touches the folder's files, a few at a time.

    Parameters
    ----------
    work : Path
        The host's folder for the study.
    lease : Path
        The file of the lease.
    """

    def __init__(self, work: Path, lease: Path) -> None:
        self._work, self._lease = work, lease
        self._looked, self._begun = -inf, -inf
        self._left: Iterator[str] | None = None

    def look(self) -> str:
        """Return what is wrong, if the lease's file has been removed; else touch it."""
        try:
            os.utime(self._lease)
        except (FileNotFoundError, NotADirectoryError):
            rule = f"was removed, as temporary files are; {VARIABLE} can name a folder that nobody tidies"
            return f"{self._lease if self._work.is_dir() else self._work} {rule}"
        except OSError:  # a disk that does not answer for a while
            pass
        return ""

    def turn(self) -> str:
        """Do what is due; return what is wrong, as `look`."""
        now = time.monotonic()
        if self._left is None and now - self._begun >= ROUND:
            self._begun, self._left = now, _below(self._work)
        if self._left is not None:
            some = list(islice(self._left, _SOME))
            for path in some:
                with suppress(OSError):  # removed meanwhile
                    os.utime(path, follow_symlinks=False)
            self._left = self._left if some else None
        if now - self._looked < LOOK:
            return ""
        self._looked = now
        return self.look()


def _below(folder: Path) -> Iterator[str]:
    """Give a folder, the one that it is in, and all that is in it, as it is met."""
    yield from (str(folder.parent), str(folder))
    for where, folders, files in os.walk(folder):
        for name in (*folders, *files):
            yield os.path.join(where, name)
