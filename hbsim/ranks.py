"""The ranks of a trial, its processes in distributed training, and the memory by which they follow rank 0.

Rank 0 reports. Another rank's report is none: it returns when rank 0's report of the same resource has been
answered, and leaves where rank 0 leaves. All of them then leave at the same point of training, and no rank
waits in a collective operation for one that has gone.
"""

from __future__ import annotations

import mmap
import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from math import inf
from typing import Any, Final

VARIABLE: Final = "HBSIM_RANKS"  # the environment variable with the path of a script's `Ranks`
TIME_ATTR: Final = "HBSIM_TIME_ATTR"  # with the name of the resource
STATUS: Final = 143  # of a process that has left a trial, as if SIGTERM had ended it
_RANK: Final = ("RANK", "LOCAL_RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK")
_LAUNCHER: Final = (*_RANK, "WORLD_SIZE", "LOCAL_WORLD_SIZE", "GROUP_RANK", "NODE_RANK")
_MOST: Final = 256  # ranks of which the memory has the process ids
_SIZE: Final = 4096  # bytes
# Indices of 64-bit numbers: whole ones, and floats from _RESOURCE on.
_REPORTER, _SAVES, _ANSWERED, _LEFT, _ASKED, _COUNT, _TRIAL = range(7)
_RESOURCE, _STATE, _PIDS = 8, 9, 32
_HAS_ENDED, _IS_WATCHED = 1 << 33, 1 << 32  # beside a process id
_PID: Final = _IS_WATCHED - 1
_TEXT: Final = 8 * (_PIDS + _MOST)  # the byte where the text begins
_REASONS: Final = ("", "stop", "pause", "terminated", "fatal", "again", "failed")
_NAP, _LONG_NAP = 0.001, 0.02  # seconds between two looks of a rank that waits
_LOOK: Final = 0.2  # seconds between two looks whether rank 0 runs
_WARN: Final = 60.0


def rank_and_size() -> tuple[int, int]:
    """Return the rank of this process and the number of ranks; 0 and 1 where there is nothing that says so.

    PyTorch's process group says so, else the variables of torchrun, Lightning, Accelerate and MPI.
    """
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    found = (os.environ.get(name, "") for name in _RANK)
    rank = next((int(text) for text in found if text.isdecimal()), 0)
    size = os.environ.get("WORLD_SIZE", "")
    return rank, max(rank + 1, int(size) if size.isdecimal() else 1)


def begin_trial() -> None:
    """Give this process, a trial's, an address at which its ranks can meet, and no rank of its own.

    The variables of a launcher that has started the study say nothing about the trial.
    """
    for name in _LAUNCHER:
        os.environ.pop(name, None)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = "127.0.0.1", str(free.getsockname()[1])


def is_running(pid: int) -> bool:
    """Return whether a process runs; one that has ended and is not waited for does not."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
        return text[text.rindex(b")") + 2 : text.rindex(b")") + 3] not in b"ZX"
    except (FileNotFoundError, ProcessLookupError, ValueError):
        if os.path.exists("/proc/self/stat"):
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


class Ranks:
    """The memory that the ranks of a trial share: what rank 0 does, and whether it has left.

    Rank 0 writes, and all others read. `multiprocessing` passes this object on to the processes that it
    starts; a script finds it by `path`.

    Parameters
    ----------
    descriptor : int, optional
        The descriptor of the memory, which this object keeps; by default that of new memory.

    Attributes
    ----------
    reports : int
        The number of reports of this process that a script has counted.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        self.reports = 0
        self.descriptor = _new_memory() if descriptor is None else descriptor
        self._bytes = mmap.mmap(self.descriptor, _SIZE)
        self._ints = memoryview(self._bytes).cast("Q")
        self._floats = memoryview(self._bytes).cast("d")
        if descriptor is None:
            self.clear()

    def __reduce__(self) -> tuple[Any, ...]:
        from multiprocessing.reduction import DupFd

        return _received, (DupFd(self.descriptor),)

    @classmethod
    def of_script(cls) -> Ranks | None:
        """Return the ranks of the trial that this script trains for; None without one."""
        path = os.environ.get(VARIABLE)
        try:
            return None if path is None else cls(os.open(path, os.O_RDWR | os.O_CLOEXEC))
        except OSError:  # the trial's process has ended
            return None

    @property
    def path(self) -> str:
        """The path by which another process can open this memory."""
        return f"/proc/{os.getpid()}/fd/{self.descriptor}" if _has_proc() else f"/dev/fd/{self.descriptor}"

    def close(self) -> None:
        """Release the memory."""
        self._ints.release()
        self._floats.release()
        self._bytes.close()
        os.close(self.descriptor)

    def clear(self) -> None:
        """Forget all ranks: the function is called, or called again."""
        self._bytes[:] = bytes(_SIZE)
        self._ints[_TRIAL] = os.getpid()
        self._floats[_RESOURCE] = -inf

    # Rank 0; `leave` also another one that fails

    def begin(self, resource: float) -> None:
        """Say that rank 0 makes a report."""
        self._ints[_ANSWERED] = self._ints[_SAVES] = 0
        self._floats[_RESOURCE] = resource

    def save(self) -> None:
        """Say that rank 0 saves its state at this report, for which others may have to do their part."""
        self._ints[_SAVES] += 1

    def answer(self) -> None:
        """Say that the report was answered, and training goes on."""
        self._ints[_ANSWERED] = 1

    def leave(self, reason: str, problem: str = "") -> None:
        """Say that the trial has to end, with the session's reason and a problem in one line."""
        data = problem.encode("utf-8", "replace")[: _SIZE - _TEXT - 1]
        self._bytes[_TEXT : _TEXT + len(data) + 1] = data + b"\0"
        self._ints[_LEFT] = _REASONS.index(reason)

    @property
    def state(self) -> tuple[float, ...]:
        """The numbers of rank 0's session with the study."""
        return tuple(self._floats[_STATE:_PIDS])

    @state.setter
    def state(self, numbers: Sequence[float]) -> None:
        for index, number in enumerate(numbers, _STATE):
            self._floats[index] = number

    def release(self) -> None:
        """Let the trial's process report again."""
        self._ints[_REPORTER] = 0
        self.state = (0.0,)

    # All ranks

    def register(self, rank: int, size: int, is_watched: bool = False) -> int | None:
        """Record the process of a rank; return another process of the same rank that runs, None without.

        A process that is watched says by `end` that it ends, unless it is killed.
        """
        self._ints[_COUNT] = max(self._ints[_COUNT], size)
        if rank >= _MOST:
            return None
        me, place = os.getpid(), _PIDS + rank
        before = self._ints[place] & _PID
        if before not in (0, me) and is_running(before):
            return before
        self._ints[place] = me | (_IS_WATCHED if is_watched else 0)
        if not rank:
            self._ints[_REPORTER] = me
        return None

    @property
    def trial_process(self) -> int:
        """The process id of the trial's process, which has made this memory."""
        return self._ints[_TRIAL]

    @property
    def reporter(self) -> int:
        """The process id of rank 0 where another process than the trial's reports, else 0."""
        return self._ints[_REPORTER]

    @property
    def are_several(self) -> bool:
        """Whether the trial trains in several processes."""
        return self._ints[_COUNT] > 1

    @property
    def left(self) -> str:
        """Why rank 0 has left; "" while it has not."""
        return _REASONS[self._ints[_LEFT]]

    @property
    def problem(self) -> str:
        """What was said with `leave`."""
        return self._bytes[_TEXT : self._bytes.find(b"\0", _TEXT)].decode("utf-8", "replace")

    @property
    def asked(self) -> bool:
        """Whether rank 0 has to pause at its next report: the host is being shut down."""
        return bool(self._ints[_ASKED])

    def ask(self) -> None:
        """Ask rank 0 to pause at its next report."""
        self._ints[_ASKED] = 1

    def any_runs(self) -> bool:
        """Return whether a process of a rank that has made a report still runs."""
        pids = {pid & _PID for pid in self._processes()} - {0, os.getpid()}
        return any(is_running(pid) for pid in pids)

    def rank(self) -> int | None:
        """Return the rank that this process has registered; None if it has none."""
        me = os.getpid()
        return next((rank for rank, pid in enumerate(self._processes()) if pid & _PID == me), None)

    def end(self) -> None:
        """Say that this process ends, and is not killed."""
        rank = self.rank()
        if rank is not None:
            self._ints[_PIDS + rank] |= _HAS_ENDED

    def killed(self) -> int | None:
        """Return a rank that was watched and has not said how it ended, None if there is none."""
        for rank, pid in enumerate(self._processes()):
            if pid & _IS_WATCHED and not pid & _HAS_ENDED and not is_running(pid & _PID):
                return rank
        return None

    def _processes(self) -> Sequence[int]:
        return self._ints[_PIDS : _PIDS + _MOST]

    def follow(self, resource: float, save: Callable[[], object]) -> bool:
        """Wait until rank 0's report of a resource is answered; return whether the trial goes on.

        Parameters
        ----------
        resource : float
            The resource of this rank's report. It does not wait where rank 0 is further.
        save : callable
            Called whenever rank 0 saves its state at that report: a collective operation needs all ranks.
        """
        saved, nap = 0, _NAP
        began = looked = time.monotonic()
        while not self._ints[_LEFT]:
            reached, saves = self._floats[_RESOURCE], self._ints[_SAVES]
            if self._floats[_RESOURCE] != reached:  # `begin` came between: the saves may be of another report
                continue
            if reached > resource or (reached == resource and self._ints[_ANSWERED]):
                return True
            if reached == resource and saves > saved:
                saved += 1
                save()
                continue
            now = time.monotonic()
            if now - looked > _LOOK:
                looked = now
                if self.reporter and not is_running(self.reporter):
                    return True
                if now - began > _WARN:
                    began = inf
                    rule = "all ranks have to make the same reports, or rank 0 alone"
                    print(f"hbsim: a rank waits for the report of rank 0: {rule}", file=sys.stderr)
            time.sleep(nap)
            nap = min(2 * nap, _LONG_NAP)
        return False


def _received(passed: Any) -> Ranks:
    return Ranks(passed.detach())


def _has_proc() -> bool:
    return sys.platform == "linux"


def _new_memory() -> int:
    """Return the descriptor of new memory that processes can share."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("hbsim-ranks", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, _SIZE)
    return descriptor
