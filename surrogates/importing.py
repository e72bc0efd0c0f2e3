"""Runs that were logged by other tools, as a table of curves that `load` and `fit` read."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from hbsim.core.types import Mode
from hbsim.errors import ParameterError
from hbsim.surrogates.options import check_choice, check_texts
from hbsim.surrogates.writing import check_out, write_curves

if TYPE_CHECKING:
    import polars

    from hbsim.surrogates.import_choose import Chosen
    from hbsim.surrogates.import_log import Log
    from hbsim.surrogates.import_table import Made

__all__ = ["Imported", "check_out", "import_runs"]


@dataclass(frozen=True)
class Imported:
    """Curves of other tools' runs; `docs/how-to/import.md` says what was taken for what.

    Attributes
    ----------
    source, kind : str
        Where they are from.
    frame : polars.DataFrame
        Long form, a row for each trial and level: ``trial``, the resource, metrics, ``seconds`` where there
        is time, hyperparameters.
    metric : str
        The metric that decides, as its column is called.
    mode : "max" or "min" or None
        Whether it is maximised; None where nothing says it.
    resource : str
        The column of levels.
    time : str or None
        What the seconds are from: a column of the source, or ``duration``; None where there is no time.
    metrics, hyperparameters : tuple of str
        Names of columns.
    space : dict or None
        The search space as `Space.to_json` writes it, where the tool says it.
    trials, levels : int
        How many there are.
    max_resource : float
        The last level.
    early : int
        How many curves end before it: loading needs `censored` if there are any.
    no_number : int
        In how many rows the metric is no number.
    notes : tuple of str
        What was left out, joined and renamed.
    """

    source: str
    kind: str
    frame: polars.DataFrame
    metric: str
    mode: Mode | None
    resource: str
    time: str | None
    metrics: tuple[str, ...]
    hyperparameters: tuple[str, ...]
    space: dict[str, object] | None
    trials: int
    levels: int
    max_resource: float
    early: int
    no_number: int
    notes: tuple[str, ...]

    def write(self, out: str | os.PathLike[str], *, force: bool = False) -> None:
        """Write the table, as Parquet with the metadata of `hbsim record`, or as CSV with these beside it.

        Parameters
        ----------
        out : path
            A ``.parquet`` or ``.csv`` file.
        force : bool
            Whether a file that is there is replaced.

        Raises
        ------
        ParameterError
            `out` ends otherwise, is a folder or the source, or is there already.
        OutputError
            It cannot be written; what was there still is.
        """
        write_curves(check_out(out, force=force, sources=(self.source,)), self.frame, self._said())

    def _said(self) -> dict[str, object]:
        """Return what `docs/how-to/record.md` describes."""
        return {
            "schema": 1,
            "resource": self.resource,
            "metrics": list(self.metrics),
            "metric": self.metric,
            "mode": self.mode,
            "test_metric": None,
            "time": None if self.time is None else "seconds",
            "hyperparameters": list(self.hyperparameters),
            "space": self.space,
            "trials": self.trials,
            "imported": {"from": self.kind, "time": self.time, "notes": list(self.notes)},
        }


def import_runs(
    source: str | os.PathLike[str],
    kind: str | None = None,
    *,
    metric: str | None = None,
    mode: Mode | None = None,
    resource: str | None = None,
    time: str | None = None,
    study: str | None = None,
    params: str | os.PathLike[str] | None = None,
    first_level: int | None = None,
) -> Imported:
    """Read runs that Syne Tune, Ray Tune, Optuna, W&B or MLflow logged.

    Parameters
    ----------
    source : str or path
        A folder of Syne Tune or Ray Tune; a SQLite file (also as ``sqlite:///FILE``) or a journal of Optuna;
        a CSV of histories of W&B or MLflow.
    kind : "syne-tune", "ray", "optuna", "wandb" or "mlflow", optional
        The tool; guessed unless given.
    metric : str, optional
        The metric that decides. Needed unless the source says it, or has only one. For Optuna, which has
        only one: what it is to be called.
    mode : "max" or "min", optional
        Whether it is maximised. Unless given, as the source says it, if it does.
    resource, time : str, optional
        The column that counts training, and that of cumulative seconds of training.
    study : str, optional
        For Optuna: which study, where there are several.
    params : path, optional
        For W&B and MLflow: a CSV with a row a run, with its hyperparameters.
    first_level : 0 or 1, optional
        Where steps are counted from 0: whether step 0 is the untrained state, 0, or comes after the first
        unit, 1. Unless given, 1 if all of 0, 1, 2, ... are there.

    Returns
    -------
    imported : Imported
        The table, and what is to be said of it.

    Raises
    ------
    ParameterError
        An option is needed, or breaks its rule.
    SurrogateError
        The source cannot be read, or has no curves; the error says why.
    """
    from hbsim.surrogates.import_choose import choose
    from hbsim.surrogates.import_kinds import read_log
    from hbsim.surrogates.import_log import Wanted
    from hbsim.surrogates.import_table import make
    from hbsim.surrogates.import_tidy import tidy

    if mode is not None:
        check_choice("mode", mode, ("max", "min"))
    check_texts({"metric": metric, "resource": resource, "time": time, "study": study})
    for field, path in (("source", source), ("params", params)):
        if path is not None and not isinstance(path, str | os.PathLike):
            raise ParameterError(field, path, "must be a path")
    wanted = Wanted(metric, mode, resource, time, study, None if params is None else Path(params))
    log = read_log(source, kind, wanted)
    chosen = choose(log, wanted)
    curves = tidy(log, chosen, first_level)
    return _described(
        log, chosen, make(log, chosen, curves), mode, (*log.notes, *chosen.notes, *curves.notes)
    )


def _described(log: Log, chosen: Chosen, made: Made, mode: Mode | None, notes: tuple[str, ...]) -> Imported:
    import polars as pl

    frame, metric = made.frame, made.metrics[0]
    ends = frame.group_by("trial").agg(pl.col(made.resource).max())[made.resource]
    top = float(cast("float", ends.max()))
    said = log.mode if chosen.metric == log.metric else None
    timed = "seconds" in frame.columns and "seconds" not in (*made.metrics, *made.hyperparameters)
    bare = () if made.hyperparameters else ("no hyperparameters: curves can be replayed, but not fitted",)
    return Imported(
        source=log.source,
        kind=log.kind,
        frame=frame,
        metric=metric,
        mode=cast("Mode | None", mode or said),
        resource=made.resource,
        time=(chosen.time or "duration") if timed else None,
        metrics=made.metrics,
        hyperparameters=made.hyperparameters,
        space=made.space,
        trials=len(ends),
        levels=frame[made.resource].n_unique(),
        max_resource=top,
        early=int((ends < top).sum()),
        no_number=int(frame[metric].is_nan().sum()),
        notes=(*notes, *made.notes, *bare),
    )
