"""The lock of a study's folder: one process at a time. For POSIX systems."""

from __future__ import annotations

import json
import os
from typing import Final, Self

from hbsim.errors import OutputError

__all__ = ["StudyLock"]

NAME: Final = "lock"


class StudyLock:
    """Keeps a second process, or a second study of this one, out of a study's folder.

    The system releases it when the process ends, however it ends. The file stays; only the lock on it counts.

    Parameters
    ----------
    folder : str or path
        The study's; it exists.

    Attributes
    ----------
    path : str
        The file in the folder; it holds ``pid`` and ``host`` of its holder, as JSON.

    Raises
    ------
    OutputError
        If another holds it, named by process and host; or if the file cannot be written.

    Notes
    -----
    A process that the holder forks, without starting another program, keeps the lock as long as it lives,
    unless the holder closes it first.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.path = os.path.join(folder, NAME)
        try:
            self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise OutputError(self.path, f"{error.strerror}; check the folder and its permissions") from error
        try:
            self._acquire()
        except BaseException:
            os.close(self._fd)
            raise

    def close(self) -> None:
        """Release it. May be called twice."""
        if self._fd < 0:
            return
        import fcntl

        fd, self._fd = self._fd, -1
        try:
            os.ftruncate(fd, 0)
            fcntl.flock(fd, fcntl.LOCK_UN)  # also for copies of it that forked processes hold
        finally:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _acquire(self) -> None:
        import fcntl  # not on Windows, where hbsim only simulates

        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(self._fd, 0)
            os.write(self._fd, json.dumps({"pid": os.getpid(), "host": os.uname().nodename}).encode())
        except BlockingIOError:
            raise OutputError(self.path, self._held()) from None
        except OSError as error:
            problem = f"cannot be locked ({error.strerror}); use a folder on a local disk with free space"
            raise OutputError(self.path, problem) from error

    def _held(self) -> str:
        try:
            holder = json.loads(os.pread(self._fd, 4096, 0))
            who = f"process {holder['pid']} on {holder['host']}"
        except (ValueError, TypeError, KeyError):  # it was just taken, or is just given back
            who = "another process"
        return f"the study is being run by {who}; wait until it has ended, or end it"
