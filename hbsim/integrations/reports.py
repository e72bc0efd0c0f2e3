"""The shared part of the callbacks: a report, with a checkpoint that is only made if the trial pauses."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from hbsim.errors import ParameterError

if TYPE_CHECKING:
    from hbsim.executors.reporter import Reporter

RESOURCES: Final = ("epoch", "step")


def check_options(metric: str, resource: str, reward_attr: str | None) -> None:
    """Check a callback's options.

    Raises
    ------
    ParameterError
        `resource` is neither of `RESOURCES`, or a name is no text.
    """
    if resource not in RESOURCES:
        raise ParameterError("resource", resource, f"must be one of {', '.join(RESOURCES)}")
    for field, value in (("metric", metric), ("reward_attr", reward_attr)):
        if not isinstance(value, str) and (field == "metric" or value is not None):
            raise ParameterError(field, value, "must be the name of a metric")


def report(
    reporter: Reporter,
    metrics: Mapping[str, object],
    decides: tuple[str, str | None],
    at: tuple[str, float],
    save: Callable[[Path], Path],
) -> None:
    """Make a report; if the trial pauses at it, call `save` and keep the result as the checkpoint.

    All ranks of a trial call this, and all call `save` at the same time.

    Parameters
    ----------
    reporter : Reporter
        The training function's.
    metrics : mapping
        All metrics by name.
    decides : tuple of (str, str or None)
        The metric that decides, and under which other name it is reported too. One that is missing is
        left to the reporter: it ends the study, and names the metrics that are there.
    at : tuple of (str, float)
        The resource's name and value.
    save : callable
        ``save(folder)`` writes a checkpoint below `folder`, which does not exist yet, and returns the folder
        to keep. `folder` is removed when its content has been kept.

    Raises
    ------
    TrialEnd
        The trial is to end.
    """
    metric, name = decides
    row = dict(metrics)
    if name is not None and metric in row:
        row[name] = row[metric]
    row[at[0]] = at[1]
    folder = reporter.folder / ".pause"
    reporter.on_pause(lambda: save(folder))
    try:
        reporter(**row)
    finally:
        if not reporter.rank:  # else rank 0 may still read the folder
            shutil.rmtree(folder, ignore_errors=True)


def saved_folder(reporter: Reporter) -> Path | None:
    """Return the folder that the trial saved last, None if it saved nothing.

    Raises
    ------
    ParameterError
        It saved something else.
    """
    saved = reporter.load()
    if saved is not None and not isinstance(saved, Path):
        kind = type(saved).__name__
        raise ParameterError("checkpoint", kind, "is not the callback's, which saves a folder")
    return saved
