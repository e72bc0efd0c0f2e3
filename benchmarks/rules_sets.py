"""The learning curves that stopping rules are tried on: those that ship, and public ones in a folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from hbsim.surrogates import Surrogate, load
from hbsim.surrogates.yahpo import Yahpo

__all__ = ["CurveSet", "Ends", "at_the_end", "predicted", "recorded", "shipped"]

POINTS: Final = 5000  # of a space, to see what its configurations take and reach
TASKS_OF_LCBENCH: Final = 12  # of which one is taken
SYNTHETIC: Final = {
    "synthetic": "ranks at level 1 are half right",
    "synthetic:early_rank=1": "ranks at level 1 are the final ones",
    "synthetic:early_rank=0": "ranks at level 1 say nothing, those at 3 much",
    "synthetic:family=exponential,early_rank=0": "ranks mislead longer",
}
TASKSET: Final = "TaskSet (Metz et al. 2020, arXiv 2002.11887), Apache-2.0"
NLP: Final = "NAS-Bench-NLP (Klyuchnikov et al. 2020, arXiv 2006.07116), Apache-2.0"
LCBENCH: Final = "YAHPO Gym's network of LCBench (Pfisterer et al. 2022, arXiv 2109.03670), Apache-2.0"
TASKS: Final = {
    "taskset_mdb_patch128_LSTM128_bs64.npz": "FixedTextRNNClassification_imdb_patch128_LSTM128_bs64",
    "taskset_mdb_patch32_GRU128_bs128.npz": "FixedTextRNNClassification_imdb_patch32_GRU128_bs128",
}


@dataclass(frozen=True)
class CurveSet:
    """Learning curves.

    Attributes
    ----------
    title : str
        What a table calls them.
    source : str
        Where they come from, under which licence, and how they are read.
    max_t : int
        R, in units of the resource.
    surrogate : mapping
        Keywords of `hbsim.surrogates.load`.
    trials : int
        How many there may be in a study: the rows of a table, or more than are needed.
    """

    title: str
    source: str
    max_t: int
    surrogate: Mapping[str, Any]
    trials: int

    def load(self) -> Surrogate:
        """Make them."""
        options = dict(self.surrogate)
        return load(options.pop("surrogate"), **options)


@dataclass(frozen=True)
class Ends:
    """What configurations take and reach at R.

    Attributes
    ----------
    seconds : float
        The mean until R, to three digits.
    best, middle : float
        The best value of the space at R (of those looked at, where it is unknown), and the median's
        distance from it; a value that is no number is worse than any.
    """

    seconds: float
    best: float
    middle: float


def shipped() -> Iterator[CurveSet]:
    """Give the curves that ship with hbsim."""
    source = "val_error of 1,000 small networks, recorded with hbsim; R = 81 epochs; Apache-2.0"
    yield CurveSet("digits", source, 81, {"surrogate": "digits"}, 1000)
    for name, said in SYNTHETIC.items():
        yield CurveSet(name, f"a formula; R = 81; {said}", 81, {"surrogate": name}, 5000)


def recorded(folder: Path) -> Iterator[CurveSet]:
    """Give the public recorded curves that are there, as ``.npz`` files of `docs/reference/surrogates.md`."""
    common: dict[str, Any] = {"mode": "min", "censored": "fail"}
    path = folder / "nasbench_nlp_wt2.npz"
    if path.is_file():
        source = f"{NLP}: val_loss of 345 recurrent cells on WikiText-2, recorded seconds; R = 50 epochs; "
        source += "runs that end early count as failed there"
        yield CurveSet(
            "NAS-Bench-NLP", source, 50, {"surrogate": str(path), "metric": "val_loss", **common}, 345
        )
    for name, task in TASKS.items():
        path = folder / name
        if path.is_file():
            kind = "LSTM" if "LSTM" in task else "GRU"
            source = (
                f"{TASKSET}: valid_loss of {task} with 1,000 settings of Adam (8 hyperparameters); R = 50 "
            )
            source += "units of 200 steps; no seconds are recorded: a unit takes one; NaN is divergence"
            options = {**common, "metric": "valid_loss", "first_level": 0, "seconds_per_unit": 1.0}
            yield CurveSet(f"TaskSet, IMDB {kind}", source, 50, {"surrogate": str(path), **options}, 1000)


def predicted(folder: Path) -> Iterator[CurveSet]:
    """Give the curves of some tasks of YAHPO Gym's LCBench, whose files are in ``yahpo_lcbench``."""
    files = folder / "yahpo_lcbench"
    if not files.is_dir():
        return
    options: dict[str, Any] = {"yahpo_data": str(files)}
    tasks = Yahpo("lcbench/167168", data=files).instances
    for task in sorted(tasks, key=int)[::TASKS_OF_LCBENCH]:
        source = f"{LCBENCH}: val_accuracy in percent on OpenML task {task}; R = 52 epochs"
        yield CurveSet(f"LCBench {task}", source, 52, {"surrogate": f"yahpo:lcbench/{task}", **options}, 700)


def at_the_end(surrogate: Surrogate, max_t: int) -> Ends:
    """Look at all rows, or at points of the space, at R."""
    if surrogate.rows is None:
        assert surrogate.space is not None
        configurations: Any = np.random.default_rng(0).random((POINTS, surrogate.space.dimension))
    else:
        configurations = np.arange(surrogate.rows)
    values, seconds = surrogate.evaluate(configurations, np.array([float(max_t)]))
    sign = 1.0 if surrogate.mode == "min" else -1.0
    losses = np.where(np.isfinite(values), sign * values, np.inf)
    best = surrogate.optimum(max_t)
    best = sign * float(losses.min()) if best is None else best
    return Ends(float(f"{seconds.mean():.3g}"), best, float(np.median(losses)) - sign * best)
