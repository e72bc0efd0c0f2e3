"""Locks on a study's folder and files, held by one process at a time. For POSIX systems."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Final, Self
from weakref import WeakSet

from hbsim.errors import OutputError

ANOTHER: Final = "another process"
LOCKS: Final = "/proc/locks"
NAME: Final = "lock"  # the locked file on file systems that cannot lock folders


class FileLock:
    """An open file with a lock on it, which the system releases when this process ends in any way.

    Child programs do not inherit it, and a forked process closes it at once.

    Parameters
    ----------
    fd : int
        The file descriptor.

    Attributes
    ----------
    fd : int
        The file descriptor; -1 once it is closed.

    Raises
    ------
    BlockingIOError
        If another process holds the lock.
    OSError
        If the file system does not support such locks.
    """

    __slots__ = ("__weakref__", "fd")

    def __init__(self, fd: int) -> None:
        import fcntl  # not on Windows, where hbsim only simulates

        self.fd = fd
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _all.add(self)

    def close(self) -> None:
        """Release the lock, and close the file. May be called twice."""
        if self.fd < 0:
            return
        import fcntl

        fd, self.fd = self.fd, -1
        try:
            fcntl.flock(fd, fcntl.LOCK_UN)  # also for duplicates of the descriptor
        finally:
            os.close(fd)

    def _leave_to_parent(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)  # without releasing the lock, which is the parent's


_all: Final[WeakSet[FileLock]] = WeakSet()


def _forked() -> None:
    for held in list(_all):
        held._leave_to_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


class StudyLock:
    """A lock on a study's folder against other processes and other studies of this process.

    The folder itself is locked, so that no removal of a file can break the lock. On file systems that lock
    files only, such as NFS, a file ``lock`` in the folder is locked; the journal has its own lock as well.

    Parameters
    ----------
    folder : str or path
        The study's folder, which must exist.

    Raises
    ------
    OutputError
        If another process holds the lock (the error names it if known), or the folder cannot be locked.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self._folder = os.fspath(folder)
        self._held = self._acquire()

    def close(self) -> None:
        """Release the lock. May be called twice."""
        self._held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _acquire(self) -> FileLock:
        while True:
            fd = self._open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                held = FileLock(fd)
            except BlockingIOError:
                who = holder(fd)
                os.close(fd)
                raise OutputError(self._folder, busy(who)) from None
            except OSError:
                os.close(fd)
                return self._lock_file()
            if is_at(fd, self._folder):
                return held
            held.close()  # the folder was moved in the meantime

    def _lock_file(self) -> FileLock:
        fd = self._open(os.path.join(self._folder, NAME), os.O_RDWR | os.O_CREAT)
        try:
            held = FileLock(fd)
            os.ftruncate(fd, 0)
            os.write(fd, f"process {os.getpid()} on {os.uname().nodename}".encode())
            return held
        except BlockingIOError:
            who = os.pread(fd, 200, 0).decode("utf-8", "replace")  # empty if the lock was just taken
            os.close(fd)
            raise OutputError(self._folder, busy(who or ANOTHER)) from None
        except OSError as error:
            os.close(fd)
            problem = f"cannot be locked ({error.strerror}); use a folder on a local disk with free space"
            raise OutputError(self._folder, problem) from error

    def _open(self, path: str, flags: int) -> int:
        try:
            return os.open(path, flags | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise OutputError(path, f"{error.strerror}; check the folder and its permissions") from error


def busy(who: str) -> str:
    """Return the rule that a locked folder breaks: which process has it, and what to do."""
    return f"the study is being run by {who}; wait until it has ended, or end it"


def holder(fd: int) -> str:
    """Return the holder of the lock on an open file, as ``"process 123"`` if the system tells."""
    status = os.fstat(fd)
    device, inode = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}", f":{status.st_ino}"
    by_inode = ""
    with suppress(OSError, ValueError), open(LOCKS, encoding="ascii", errors="replace") as locks:
        for line in locks:
            words = line.split()
            if words[1:2] != ["FLOCK"] or not words[5].endswith(inode) or int(words[4]) <= 0:
                continue
            if words[5] == device + inode:
                return f"process {words[4]}"
            by_inode = f"process {words[4]}"  # some file systems have another device there
    return by_inode or ANOTHER


def writer(path: str | os.PathLike[str], on_this_machine: bool) -> str:
    """Return the process that holds the lock on a file, as ``"process 123"``; empty if none does.

    Parameters
    ----------
    path : str or path
        The file.
    on_this_machine : bool
        Whether a holder would run on this machine. Linux lists these, and no lock is taken; else a shared
        lock is tried for an instant.
    """
    import fcntl

    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        who = holder(fd)
        if who != ANOTHER or (on_this_machine and os.path.exists(LOCKS)):
            return who if who != ANOTHER else ""
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(fd, fcntl.LOCK_UN)
        return ""
    except BlockingIOError:
        return ANOTHER
    except OSError:
        return ""
    finally:
        os.close(fd)


def is_at(fd: int, path: str) -> bool:
    """Return whether a path still names the open file `fd`."""
    try:
        there = os.stat(path)
    except OSError:
        return False
    here = os.fstat(fd)
    return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)
