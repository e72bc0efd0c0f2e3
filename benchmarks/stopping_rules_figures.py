"""The figures of stopping rules: how many trials they let through, what they cost and bring on curves."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

import hbsim
from hbsim.bench.conclusions import ALPHA, critical_errors
from hbsim.core import make_scheduler
from hbsim.core.rungs import RULES
from hbsim.surrogates import Surrogate, load
from hbsim.surrogates.yahpo import Yahpo

Floats: TypeAlias = NDArray[np.float64]
Row: TypeAlias = dict[str, Any]

SIZES: Final = (9, 27, 256)
ETAS: Final = (2, 3, 4)
ORDERS: Final = {9: 10_000, 27: 10_000, 256: 2_000}
KIND_SIZE: Final = 256
KIND_ETA: Final = 3
SEED: Final = 20_180


def chance(rule: str, n: int, eta: Fraction) -> Fraction:
    """Return the chance that the n-th value at a rung goes on, where values differ and come in random order.

    Its rank among n is then each of 1 to n with the same chance. For `quantile` the values are uniform: a
    new one lies above the order statistic j of m with chance 1 - j / (m + 1), and its cutoff lies between
    two of them; for the other rules the values' distribution does not matter.

    Parameters
    ----------
    rule : str
        One of `hbsim.core.rungs.RULES`.
    n : int
        How many values are recorded, this one included; at least 1.
    eta : Fraction
        The reduction factor.
    """
    if n == 1:
        return Fraction(1)
    share = 1 / eta
    if rule == "quantile":
        return 1 - ((n - 2) * (1 - share) + 1) / n
    if rule == "quantile-inclusive":
        return Fraction(n - math.ceil((n - 1) * (1 - share)), n)
    if rule == "rank":
        return Fraction(min(n, math.floor(n * share) + 1), n)
    return Fraction(max(1, math.floor(n * share)), n)


def exact(rule: str, n: int, eta: Fraction) -> Fraction:
    """Return how many of n go on, on average; see `chance`."""
    return sum((chance(rule, i, eta) for i in range(1, n + 1)), Fraction(0))


@dataclass(frozen=True)
class Count:
    """How many of n values went on, over random orders.

    Attributes
    ----------
    mean, error : float
        The mean, and its standard error.
    """

    mean: float
    error: float


def count(rule: str, eta: Fraction, values: Floats) -> Count:
    """Let hbsim's rungs decide on values, shape (orders, n), of which larger is better; -inf is no number."""
    totals = []
    for order in values.tolist():
        cut = RULES[rule](eta)
        totals.append(sum(map(cut.decide, order)))
    spread = float(np.std(totals, ddof=1))
    return Count(math.fsum(totals) / len(totals), spread / math.sqrt(len(totals)))


def _improving(draw: np.random.Generator, shape: tuple[int, int]) -> Floats:
    return draw.random(shape) + np.arange(shape[1]) / shape[1]


# What values may look like: from a generator and a shape to values, of which larger is better.
KINDS: Final[dict[str, Callable[[np.random.Generator, tuple[int, int]], Floats]]] = {
    "uniform": lambda draw, shape: draw.random(shape),
    "normal": lambda draw, shape: draw.standard_normal(shape),
    "losses with a heavy tail (lognormal, σ = 2)": lambda draw, shape: -draw.lognormal(0.0, 2.0, shape),
    "ten different values": lambda draw, shape: draw.integers(0, 10, shape).astype(np.float64),
    "two different values": lambda draw, shape: draw.integers(0, 2, shape).astype(np.float64),
    "one in ten is no number": lambda draw, shape: _lost(draw, shape, 0.1),
    "seven in ten are no numbers": lambda draw, shape: _lost(draw, shape, 0.7),
    "improving: from 0 to 1 at first, from 1 to 2 at last": _improving,
}


def _lost(draw: np.random.Generator, shape: tuple[int, int], share: float) -> Floats:
    values = draw.random(shape)
    values[draw.random(shape) < share] = -math.inf
    return values


def exact_rows() -> Iterator[Row]:
    """Give a row an eta and a size: what each rule lets through, exactly."""
    for eta in ETAS:
        for n in SIZES:
            yield {"eta": eta, "n": n, "exact": {r: float(exact(r, n, Fraction(eta))) for r in RULES}}


def simulated_rows() -> Iterator[Row]:
    """Give the rows of `exact_rows` with what hbsim's rungs let through in random orders."""
    for row in exact_rows():
        eta, n = row["eta"], row["n"]
        values = np.random.default_rng((SEED, eta, n)).random((ORDERS[n], n))
        found = {rule: _plain(count(rule, Fraction(eta), values)) for rule in RULES}
        yield {**row, "orders": ORDERS[n], "simulated": found}


def kind_rows() -> Iterator[Row]:
    """Give a row a kind of values: what each rule lets through of `KIND_SIZE`, at `KIND_ETA`."""
    for place, (kind, draw) in enumerate(KINDS.items()):
        values = draw(np.random.default_rng((SEED, 0, place)), (ORDERS[KIND_SIZE], KIND_SIZE))
        found = {rule: _plain(count(rule, Fraction(KIND_ETA), values)) for rule in RULES}
        yield {
            "kind": kind,
            "n": KIND_SIZE,
            "eta": KIND_ETA,
            "orders": ORDERS[KIND_SIZE],
            "simulated": found,
        }


def _plain(found: Count) -> dict[str, float]:
    return {"mean": found.mean, "error": found.error}


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


BASE: Final = "quantile"  # what the others are held against: the default
ETA: Final = 3
WORKERS: Final = 8
BUDGETS: Final = (1.5, 4.0)  # mean runs to R: how long studies at equal time last
STUDIES: Final = ((27, 3), (128, WORKERS))  # trials and workers of studies that run to their end


def study(curves: CurveSet, seeds: int, jobs: int | None = None) -> Row:
    """Try all rules on curves.

    Parameters
    ----------
    curves : CurveSet
        The learning curves.
    seeds : int
        Studies of each kind and rule; their seeds are paired.
    jobs : int, optional
        Processes; by default one a core.

    Returns
    -------
    dict
        ``title``, ``source``, ``max_t``, ``full_run`` (mean seconds), ``middle`` (the median configuration's
        regret: no incumbent's counts as more), ``to_the_end`` (an entry a size, see `_to_the_end`),
        ``equal_time`` (an entry a budget, see `_equal_time`).
    """
    surrogate = curves.load()
    ends = at_the_end(surrogate, curves.max_t)
    return {
        "title": curves.title,
        "source": curves.source,
        "max_t": curves.max_t,
        "full_run": ends.seconds,
        "middle": ends.middle,
        "to_the_end": [_to_the_end(curves, surrogate, ends, seeds, *size) for size in STUDIES],
        "equal_time": [_equal_time(curves, ends, seeds, runs, jobs) for runs in BUDGETS],
    }


@dataclass(frozen=True)
class _End:
    """One study that ran to its end: trials recorded and let through by level, what it cost and found."""

    recorded: list[int]
    through: list[int]
    trained: float
    seconds: float
    completed: int
    value: float


def _to_the_end(
    curves: CurveSet, surrogate: Surrogate, ends: Ends, seeds: int, trials: int, workers: int
) -> Row:
    """Run studies of a number of trials to their end: every rule sees the same trials."""
    found = {
        rule: [_run(surrogate, curves.max_t, rule, seed, trials, workers) for seed in range(seeds)]
        for rule in RULES
    }
    values = {rule: np.array([one.value for one in studies]) for rule, studies in found.items()}
    against = _against(values, ends, surrogate.mode)
    return {
        "trials": trials,
        "workers": workers,
        "rules": {rule: {**_summed_up(found[rule], trials), **against[rule]} for rule in RULES},
    }


def _run(surrogate: Surrogate, max_t: int, rule: str, seed: int, trials: int, workers: int) -> _End:
    scheduler = make_scheduler(
        "stopping",
        rule=rule,
        max_t=max_t,
        reduction_factor=ETA,
        num_trials=trials,
        mode=surrogate.mode,
        seed=seed,
    )
    result = hbsim.simulate(scheduler, surrogate, workers=workers, seed=seed)
    rungs, summary = result.rungs(), result.summary()
    below = rungs.filter(rungs["level"] < max_t)
    last = result.incumbent()["trial"].tail(1).to_list()
    return _End(
        below["recorded"].to_list(),
        below["continue"].to_list(),
        float(summary["trained_resource"]),  # type: ignore[arg-type]
        result.end_time,
        int(summary["completed"]),  # type: ignore[call-overload]
        float(result.values_at_max(last)[0]) if last else math.nan,
    )


def _summed_up(found: Sequence[_End], trials: int) -> Row:
    levels = max(len(one.recorded) for one in found)
    recorded = [sum(one.recorded[i] for one in found if i < len(one.recorded)) for i in range(levels)]
    through = [sum(one.through[i] for one in found if i < len(one.through)) for i in range(levels)]
    return {
        "recorded": recorded,
        "through": through,
        "share": [there / of for there, of in zip(through, recorded, strict=True)],
        "completed": _mean(np.array([float(one.completed) for one in found])),
        "trained_a_trial": _mean(np.array([one.trained for one in found]) / trials),
        "seconds": _mean(np.array([one.seconds for one in found])),
    }


def _equal_time(curves: CurveSet, ends: Ends, seeds: int, full_runs: float, jobs: int | None) -> Row:
    """Cut studies at a time, and score them there."""
    max_time = full_runs * ends.seconds
    names = {rule: f"stopping,reduction_factor={ETA},rule={rule}" for rule in RULES}
    sweep = hbsim.compare(
        list(names.values()),
        surrogate=curves.surrogate,
        workers=WORKERS,
        num_trials=curves.trials,
        max_time=max_time,
        max_t=curves.max_t,
        seeds=seeds,
        halves=False,
        jobs=jobs,
    )
    cells = {rule: sweep.cells.filter(pl.col("variant") == name) for rule, name in names.items()}
    values = {rule: rows["value"].fill_null(math.nan).to_numpy() for rule, rows in cells.items()}
    against = _against(values, ends, sweep.results.manifest["tasks"][0]["mode"])
    return {
        "full_runs": full_runs,
        "seconds": max_time,
        "workers": WORKERS,
        "rules": {
            rule: {
                **against[rule],
                "trials": rows["trials"].mean(),
                "completed": rows["completed"].mean(),
                "out_of_trials": rows.filter(pl.col("simulated_seconds") < max_time).height,
            }
            for rule, rows in cells.items()
        },
    }


def _against(values: Mapping[str, Floats], ends: Ends, mode: str) -> dict[str, Row]:
    """Return of each rule the median regret, and the mean paired difference from that of the base rule.

    A regret of more than the median configuration's counts as that, and so does one that is no number: an
    incumbent that diverges later, or none so far, would else be all that a mean shows. The intervals hold for
    all rules together.

    Parameters
    ----------
    values : mapping
        Of each rule the incumbents' values at R, a seed each.
    ends : Ends
        What configurations reach.
    mode : "max" or "min"
        Which values are better.
    """
    regrets = {rule: (one - ends.best if mode == "min" else ends.best - one) for rule, one in values.items()}
    kept = {rule: np.minimum(np.nan_to_num(one, nan=np.inf), ends.middle) for rule, one in regrets.items()}
    found = {}
    for rule, one in kept.items():
        differences = one - kept[BASE]
        n, mean = len(differences), float(differences.mean())
        half = critical_errors(ALPHA, len(kept), n - 1) * float(differences.std(ddof=1)) / math.sqrt(n)
        found[rule] = {
            "regret": float(np.median(one)),
            "beyond_middle": int((~(regrets[rule] <= ends.middle)).sum()),
            "difference": {"mean": mean, "low": mean - half, "high": mean + half},
        }
    return found


def _mean(values: Floats) -> float:
    return math.fsum(values) / len(values)
