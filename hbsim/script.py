"""The functions that a script calls: reports to its study, and the folder for its checkpoints."""

from __future__ import annotations

import json
import os
import signal
import threading
from functools import cache
from math import inf
from pathlib import Path
from types import FrameType
from typing import Final

from hbsim.ranks import STATUS, TIME_ATTR, Ranks, rank_and_size

REPORTS: Final = "HBSIM_REPORTS"  # the environment variable with the path that takes reports
ANSWERS: Final = "HBSIM_ANSWERS"  # with the path from which the study's answers come
CHECKPOINTS: Final = "HBSIM_CHECKPOINT_DIR"
WAITS: Final = "hbsim_waits"  # the name in a report that asks for an answer
GO_ON: Final = b"+"
LEAVE: Final = b"-"
_ALONE: Final = "checkpoints"
_waiting: Final[set[str]] = set()  # the path of the report whose answer is waited for


def report(**metrics: object) -> None:
    """Report metrics from a script: ``hbsim.report(epoch=3, accuracy=0.91)``.

    In a study the trial's process gets the report, and this returns when the script may go on. Without a
    study this prints a line. Where the script trains in several processes, rank 0 reports. Each other rank
    may make the same calls: they return, or end the script, as that of rank 0 does.

    Parameters
    ----------
    **metrics
        The resource, the metric that decides, and any other numbers, by name, as for a training function's
        reporter.

    Raises
    ------
    SystemExit
        The trial was paused or stopped: the script has to end. Its exit status is that of SIGTERM.
    """
    given = {name: _plain(value) for name, value in metrics.items()}
    path, (rank, size) = os.environ.get(REPORTS), rank_and_size()
    _hold_sigterm()
    if path is None:
        if not rank:
            print(" ".join(f"{name}={_shown(value)}" for name, value in given.items()), flush=True)
        return
    ranks = _ranks()
    if ranks is None:
        goes_on = not rank and _is_answered(path, given)
    else:
        ranks.register(rank, size)
        goes_on = _follow(ranks, given) if rank else _lead(ranks, path, given)
    if not goes_on:
        raise SystemExit(STATUS)


def _lead(ranks: Ranks, path: str, given: dict[str, object]) -> bool:
    """Report, and let the other ranks know the answer; return whether the script goes on."""
    ranks.begin(_resource(ranks, given))
    if _is_answered(path, given):
        ranks.answer()
        return True
    ranks.leave("stop")
    return False


def _follow(ranks: Ranks, given: dict[str, object]) -> bool:
    """Wait for the answer to rank 0's report; return whether the script goes on."""
    return ranks.follow(_resource(ranks, given), lambda: None)


def _resource(ranks: Ranks, given: dict[str, object]) -> float:
    """Return the resource of a report; the count of reports where it has none."""
    ranks.reports += 1
    resource = given.get(os.environ.get(TIME_ATTR, ""), ranks.reports)
    return resource if isinstance(resource, int | float) else inf


@cache
def _ranks() -> Ranks | None:
    return Ranks.of_script()


def _is_answered(path: str, given: dict[str, object]) -> bool:
    """Send a report, and wait for the answer; return whether the script goes on."""
    line = json.dumps({**given, WAITS: True}).encode() + b"\n"
    _waiting.add(path)
    try:
        _send(path, line)
        answers = os.open(os.environ[ANSWERS], os.O_RDONLY)
        try:
            answer = os.read(answers, 1)
        finally:
            os.close(answers)
    except OSError:  # the trial's process has ended
        return False
    finally:
        _waiting.discard(path)
    return answer == GO_ON


def checkpoint_dir() -> Path:
    """Return the folder for a script's checkpoints.

    In a study its content is kept when the trial is paused, and is there again when the trial goes on.
    Without a study it is the folder ``checkpoints`` in the working directory.
    """
    _hold_sigterm()
    folder = Path(os.environ.get(CHECKPOINTS, _ALONE))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _hold_sigterm() -> None:
    """Hold SIGTERM until the next report, unless the study has sent it; without a study, do nothing.

    Where a machine is taken away all processes get the signal. The study then saves the trial at its next
    report, which ends the script. A handler of the script's own stays.
    Of several ranks none holds it: launchers end ranks by it where another one has failed.
    """
    is_main = threading.current_thread() is threading.main_thread()
    is_alone = rank_and_size()[1] == 1
    if REPORTS in os.environ and is_main and is_alone and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _look_for_leave)
        os.register_at_fork(after_in_child=_let_sigterm_end)


def _look_for_leave(number: int, frame: FrameType | None) -> None:
    """End the script if the study has said so; while it waits for an answer, that answer says it."""
    if _waiting:
        return
    try:
        answers = os.open(os.environ[ANSWERS], os.O_RDONLY | os.O_NONBLOCK)
        try:
            has_to_leave = os.read(answers, 1) in (LEAVE, b"")
        finally:
            os.close(answers)
    except BlockingIOError:  # no answer
        has_to_leave = False
    except OSError:  # the trial's process has ended
        has_to_leave = True
    if has_to_leave:
        _let_sigterm_end()
        os.kill(os.getpid(), signal.SIGTERM)


def _let_sigterm_end() -> None:
    """Have SIGTERM end this process: the script, or one that it has forked."""
    if signal.getsignal(signal.SIGTERM) is _look_for_leave:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _send(path: str, line: bytes) -> None:
    reports = os.open(path, os.O_WRONLY)
    try:
        while line:
            line = line[os.write(reports, line) :]
    finally:
        os.close(reports)


def _plain(value: object) -> object:
    """Return a number of any library as one of Python; anything else as text."""
    if isinstance(value, bool | int | float | str) or value is None:
        return value
    try:
        return value.item() if hasattr(value, "item") else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, RuntimeError):  # an array, or no number
        return str(value)


def _shown(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
