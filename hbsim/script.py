"""The functions that a script calls: reports to its study, and the folder for its checkpoints."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

REPORTS: Final = "HBSIM_REPORTS"  # the environment variable with the path that takes reports
ANSWERS: Final = "HBSIM_ANSWERS"  # with the path from which the study's answers come
CHECKPOINTS: Final = "HBSIM_CHECKPOINT_DIR"
WAITS: Final = "hbsim_waits"  # the name in a report that asks for an answer
GO_ON: Final = b"+"
LEAVE: Final = b"-"
_STATUS: Final = 143  # of a process that SIGTERM has ended
_ALONE: Final = "checkpoints"


def report(**metrics: object) -> None:
    """Report metrics from a script: ``hbsim.report(epoch=3, accuracy=0.91)``.

    In a study the trial's process gets the report, and this returns when the script may go on. Without a
    study this prints a line.

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
    path = os.environ.get(REPORTS)
    if path is None:
        print(" ".join(f"{name}={_shown(value)}" for name, value in given.items()), flush=True)
        return
    line = json.dumps({**given, WAITS: True}).encode() + b"\n"
    try:
        _send(path, line)
        answers = os.open(os.environ[ANSWERS], os.O_RDONLY)
        try:
            answer = os.read(answers, 1)
        finally:
            os.close(answers)
    except OSError:  # the trial's process has ended
        answer = LEAVE
    if answer != GO_ON:
        raise SystemExit(_STATUS)


def checkpoint_dir() -> Path:
    """Return the folder for a script's checkpoints.

    In a study its content is kept when the trial is paused, and is there again when the trial goes on.
    Without a study it is the folder ``checkpoints`` in the working directory.
    """
    folder = Path(os.environ.get(CHECKPOINTS, _ALONE))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


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
