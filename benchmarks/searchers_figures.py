"""The studies of `benchmarks.searchers`, as a sweep that keeps what is finished, and their figures."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
import polars as pl

from benchmarks.measure import ROOT, environment, run, say, versions
from hbsim.bench.conclusions import ALPHA, mean_intervals
from hbsim.bench.over_tasks import block_ranks, friedman, paired_differences, signed_rank
from hbsim.bench.pool import default_jobs
from hbsim.bench.report.model import OPEN
from hbsim.bench.sweep.folder import SweepResults, read_results
from hbsim.bench.sweep.plan import read_sweep
from hbsim.bench.sweep.run import run_plan
from hbsim.bench.sweep.scores import Scale, Steps, TaskScores, task_scores
from hbsim.searchers import Searcher, SearchTask, make_searcher
from hbsim.surrogates import load
from hbsim.surrogates.protocol import Floats

SEARCHERS: Final = ("random", "sobol", "tpe", "bohb", "gp", "mobster")
TYPES: Final = ("stopping", "promotion")
SHIPPED: Final = ("synthetic:max_resource=27", "digits")
YAHPO: Final = ("yahpo:lcbench/3945", "yahpo:lcbench/167181")
STUDIES: Final = "studies"  # within the folder that keeps them
FOLDER: Final = "yahpo_lcbench"  # within the folder of `--data`
ROWS: Final = 1000  # of digits
LAST: Final = 27  # R, in epochs
MANY: Final = 3000  # trials, more than any study starts


@dataclass(frozen=True)
class Wanted:
    """What is to be run.

    Attributes
    ----------
    searchers, tasks : tuple of str
        Names of searchers; curves as `hbsim.surrogates.load` takes them.
    seeds : int
        How many, from 0 on.
    workers : int
        Of the simulated cluster.
    full_runs : float
        The time after which a study ends: mean seconds of a run to R.
    data : Path or None
        The folder that has YAHPO's files.
    """

    searchers: tuple[str, ...]
    tasks: tuple[str, ...]
    seeds: int
    workers: int
    full_runs: float
    data: Path | None


def variant(searcher: str, type: str) -> str:
    """Return what a searcher under a type of scheduler is called."""
    return f"{searcher}, {type}"


def spec(wanted: Wanted) -> str:
    """Return the sweep's file, TOML."""
    return "\n".join(_lines(wanted)) + "\n"


def _lines(wanted: Wanted) -> Iterator[str]:
    yield 'title = "Searchers"'
    yield f"seeds = {wanted.seeds}"
    yield "halves = false"
    yield f"workers = {wanted.workers}"
    yield "[defaults]"
    yield f"max_full_runs = {wanted.full_runs:g}"
    yield f"max_t = {LAST}"
    for searcher in wanted.searchers:
        for type in TYPES:
            yield "[[variants]]"
            yield f'name = "{variant(searcher, type)}"'
            yield f'type = "{type}"'
            yield f'searcher = "{searcher}"'
    for task in wanted.tasks:
        yield "[[surrogates]]"
        yield f'surrogate = "{task}"'
        yield f"num_trials = {ROWS if task == 'digits' else MANY}"
        if task.startswith("yahpo:"):
            yield f'yahpo_data = "{FOLDER}"'


def run_studies(wanted: Wanted, work: Path, jobs: int | None) -> SweepResults:
    """Run what is not finished in a folder, and read all of it.

    Raises
    ------
    RuntimeError
        A study failed.
    """
    work.mkdir(parents=True, exist_ok=True)
    file = work / "searchers.toml"
    file.write_text(spec(wanted), "utf-8")
    plan, studies = read_sweep(file, wanted.data), work / STUDIES
    processes = default_jobs(len(plan.different)) if jobs is None else jobs
    counts = run_plan(plan, studies, "python -m benchmarks.searchers", processes)
    if not counts.is_complete:
        raise RuntimeError(f"{counts.failed} of {counts.cells} studies failed: see hbsim report {studies}")
    return read_studies(work)


def read_studies(work: Path) -> SweepResults:
    """Read what there is in a folder, finished or not."""
    return read_results(work / STUDIES)


Row = dict[str, Any]
BASE: Final = "random"
SHARES: Final = (0.25, 0.5, 1.0)  # of the budget
POINTS: Final = 40  # of a curve
FIRST: Final = 0.02  # of the budget, where curves start


def settings(results: SweepResults, searchers: Sequence[str]) -> list[Row]:
    """Return a dict for each task and type of scheduler: what each searcher reached there."""
    return [_setting(results, task, type, searchers) for task in results.manifest["tasks"] for type in TYPES]


def _setting(results: SweepResults, task: Row, type: str, searchers: Sequence[str]) -> Row:
    names = [variant(searcher, type) for searcher in searchers]
    done = results.done.filter((pl.col("surrogate") == task["surrogate"]) & pl.col("variant").is_in(names))
    counts = dict(done.group_by("variant").len().iter_rows())
    half = counts[variant(BASE, type)] / 2  # fewer seeds say nothing beside the others
    searchers = [name for name in searchers if counts.get(variant(name, type), 0) >= half]
    found = {name: _scores(results, task, type, [name]) for name in searchers}
    first = found[BASE]
    return {
        "task": task["surrogate"],
        "type": type,
        "budget": first.budget.value,
        "best": first.scale.best,
        "is_best_known": first.scale.is_known,
        "unit": first.scale.unit,
        "searchers": {name: _searcher(results, found[name]) for name in searchers},
        "against": _against(results, task, type, searchers),
    }


def _scores(results: SweepResults, task: Row, type: str, searchers: Sequence[str]) -> TaskScores:
    """Score searchers on the seeds that all of them have."""
    names = [variant(searcher, type) for searcher in searchers]
    key = (task["surrogate"], task["cluster"], task["workers"])
    cells = results.done.filter((pl.col("surrogate") == task["surrogate"]) & pl.col("variant").is_in(names))
    shared = cells.group_by("seed").len().filter(pl.col("len") == len(names))["seed"]
    return task_scores(results, key, cells.filter(pl.col("seed").is_in(shared.implode())), set(names))


def _searcher(results: SweepResults, scores: TaskScores) -> Row:
    """Return what one searcher reached in one setting."""
    cells = results.done.filter(pl.col("key").is_in([row[0] for row in scores.keys]))
    return {
        "seeds": len(scores.seeds),
        "trials": cells["trials"].mean(),
        "completed": cells["completed"].mean(),
        "area": _interval(scores.area[:, 0]),
        **summary_of([row[0] for row in scores.studies], scores.scale, scores.budget.value),
    }


def summary_of(studies: Sequence[Steps], scale: Scale, budget: float) -> Row:
    """Return the mean score of some studies at shares of the budget, and over time.

    Parameters
    ----------
    studies : sequence of Steps
        A seed each.
    scale : Scale
        Of the task.
    budget : float
        Simulated seconds.
    """
    grid = np.geomspace(FIRST * budget, budget, POINTS)
    times = np.concatenate([grid, [share * budget for share in SHARES]])
    scores = np.array([study.at(scale.score(study.value), times) for study in studies])
    mean, low, high = (column.tolist() for column in mean_intervals(scores.T))
    ends = {
        f"at {share:g}": {"mean": mean[place], "low": low[place], "high": high[place]}
        for place, share in enumerate(SHARES, POINTS)
    }
    curves = {"mean": mean[:POINTS], "low": low[:POINTS], "high": high[:POINTS]}
    return {**ends, "time": (grid / budget).tolist(), **curves}


def _interval(values: Floats) -> Row:
    mean, low, high = mean_intervals(values)
    return {"mean": float(mean), "low": float(low), "high": float(high)}


def _against(results: SweepResults, task: Row, type: str, searchers: Sequence[str]) -> dict[str, Row]:
    """Hold each searcher against the random one with the same seeds, by final score and by area.

    Holm's correction is over the searchers of the setting.
    """
    others = [name for name in searchers if name != BASE]
    pairs = {name: _scores(results, task, type, [BASE, name]) for name in others}
    final = _pairs({name: pair.score for name, pair in pairs.items()})
    area = _pairs({name: pair.area for name, pair in pairs.items()})
    return {name: {"final": final[name], "area": area[name]} for name in others}


def _pairs(scores: dict[str, Floats]) -> dict[str, Row]:
    """Compare the second column with the first, of each searcher: Wilcoxon's test with Holm's correction."""
    from statsmodels.stats.multitest import multipletests

    differences = {name: paired_differences(both[:, 1], both[:, 0]) for name, both in scores.items()}
    p = [signed_rank(one) for one in differences.values()]
    corrected = multipletests(p, method="holm")[1]
    found = {}
    for name, one, p_corrected in zip(differences, differences.values(), corrected, strict=True):
        interval = _interval(np.where(np.isfinite(one), one, np.nan))
        better, worse = int((one < 0).sum()), int((one > 0).sum())
        call = "better" if better > worse else "worse"
        found[name] = {
            "n": len(one),
            "difference": interval["mean"],
            "low": interval["low"],
            "high": interval["high"],
            "better": better,
            "worse": worse,
            "p": float(p_corrected),
            "call": call if p_corrected <= ALPHA else OPEN,
        }
    return found


def across(found: Sequence[Row]) -> Row:
    """Return ranks in each setting, by mean score, and Friedman's test over tasks: a task's types are one."""
    searchers = [name for name in found[0]["searchers"] if all(name in row["searchers"] for row in found)]
    means = [[row["searchers"][name]["at 1"]["mean"] for name in searchers] for row in found]
    scores = np.array(means, dtype=np.float64)
    tasks = list(dict.fromkeys(row["task"] for row in found))
    blocks = np.array([scores[[row["task"] == task for row in found]].mean(axis=0) for task in tasks])
    ranks = block_ranks(scores)
    return {
        "searchers": searchers,
        "tasks": len(tasks),
        "ranks": ranks.tolist(),
        "mean_ranks": ranks.mean(axis=0).tolist(),
        "p_friedman": friedman(block_ranks(blocks))[2],
    }


def spent(results: SweepResults, searchers: Sequence[str]) -> dict[str, Row]:
    """Return what the studies of each searcher took of the processor, seconds: means a study and a trial."""
    timed = results.done.join(results.tables["timings"], on="key", how="inner")
    found = {}
    for name in searchers:
        rows = timed.filter(pl.col("variant").is_in([variant(name, type) for type in TYPES]))
        if rows.height:
            seconds, trials = float(rows["seconds"].sum()), int(rows["trials"].sum())
            found[name] = {"study": seconds / rows.height, "trial": seconds / trials, "studies": rows.height}
    return found


PEER_DRIVERS: Final = ROOT / "benchmarks" / "peers"
DRIVERS: Final = {
    "optuna": ("with_optuna.py", "searching"),
    "syne": ("searching_syne.py", "syne"),
    "mobster": ("searching_syne.py", "mobster"),
}
SYNE: Final = "searching-syne"
MOBSTER: Final = "searching-mobster"
FEW: Final = 5  # seeds of MOBSTER, which is slow


def measure_peers(results: SweepResults, wanted: Wanted, tasks: Sequence[str], envs: Path, work: Path) -> Row:
    """Run the peers' studies that are not in a folder yet, and score all by the sweep's own scales.

    Parameters
    ----------
    results : SweepResults
        With the same tasks.
    wanted : Wanted
        How many seeds and workers.
    tasks : sequence of str
        The curves.
    envs, work : Path
        Where environments and finished studies are kept.
    """
    syne, mobster = environment(SYNE, envs), environment(MOBSTER, envs)
    tools = [("Optuna", Path(sys.executable), "optuna"), ("Syne Tune", syne, "syne")]
    tools.append(("Syne Tune", mobster, "mobster"))
    rows = []
    for task in results.manifest["tasks"]:
        if task["surrogate"] in tasks:
            for peer, python, name in tools:
                rows += scored(results, task, peer, _studies(task, wanted, python, name, work))
    found = {
        "Optuna": versions(sys.executable, ("optuna",))["optuna"],
        "Syne Tune": versions(syne, ("syne-tune",))["syne-tune"],
        "Syne Tune with MOBSTER": versions(mobster, ("syne-tune",))["syne-tune"],
    }
    return {"versions": found, "rows": rows}


def _studies(task: Row, wanted: Wanted, python: Path, name: str, work: Path) -> list[Row]:
    """Return what a driver prints, a dict a study, seeds 0 to `wanted.seeds` - 1."""
    kept = work / f"{name}-{task['surrogate'].replace(':', '-').replace('/', '-')}.jsonl"
    seeds = min(wanted.seeds, FEW) if name == "mobster" else wanted.seeds
    words = ["--task", task["surrogate"], "--seeds", str(seeds), "--workers", str(wanted.workers)]
    words += ["--max-time", repr(task["max_time"]), "--max-t", str(LAST)]
    if task["surrogate"].startswith("yahpo:"):
        assert wanted.data is not None
        words += ["--yahpo-data", str(wanted.data / FOLDER)]
    key = json.dumps(words)
    if not (kept.is_file() and kept.read_text("utf-8").startswith(key + "\n")):
        say(f"{name}, {task['surrogate']}")
        surroundings = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        command = [
            str(python),
            "-W",
            "ignore",
            str(PEER_DRIVERS / DRIVERS[name][0]),
            DRIVERS[name][1],
            *words,
        ]
        kept.write_text(key + "\n" + run(command, surroundings).output, "utf-8")
    return [json.loads(line) for line in kept.read_text("utf-8").splitlines() if line.startswith("{")]


def scored(results: SweepResults, task: Row, peer: str, studies: Sequence[Row]) -> list[Row]:
    """Return a dict a searcher: its mean scores, as hbsim's own have them."""
    scale = results.scales[task["surrogate"], task["cluster"], task["workers"]]
    rows = []
    for name in dict.fromkeys(study["searcher"] for study in studies):
        of = [study for study in studies if study["searcher"] == name]
        steps = [Steps(np.array(s["time"], dtype=float), np.array(s["value"], dtype=float)) for s in of]
        rows.append(
            {
                "task": task["surrogate"],
                "peer": peer,
                "searcher": name,
                "seeds": len(of),
                "trials": float(np.mean([study["trials"][0] for study in of])),
                "cpu": float(np.mean([study["cpu"][0] for study in of])),
                **summary_of(steps, scale, task["max_time"]),
            }
        )
    return rows


OBSERVATIONS: Final = (50, 200, 1000)
ROUNDS: Final = 5
LEVELS: Final = (1.0, 3.0, 9.0, 27.0, 81.0)
ETA: Final = 3


def with_observations(name: str, observations: int) -> Searcher:
    """Return a searcher that has heard of so many values, of a third as many trials at each next level.

    Parameters
    ----------
    name : str
        Of the searcher.
    observations : int
        How many values, about.
    """
    curves = load("synthetic")
    assert curves.space is not None
    searcher = make_searcher(name, SearchTask(curves.space, 0, max_t=LEVELS[-1]))
    shares = ETA ** -np.arange(len(LEVELS), dtype=float)
    points = np.random.default_rng(0).random((round(observations / shares.sum()), curves.space.dimension))
    values, _ = curves.evaluate(points, np.array(LEVELS))
    searcher.resume(points)
    for trial, row in enumerate(values):
        for place, level in enumerate(LEVELS):
            if trial % ETA**place == 0:
                value = float(row[place])
                searcher.observe(trial, level, value if np.isfinite(value) else None)
        searcher.forget(trial)
    return searcher


def costs(searchers: tuple[str, ...] = SEARCHERS, rounds: int = ROUNDS) -> list[dict[str, Any]]:
    """Return the seconds of the processor that a suggestion takes, the first and the median of those after.

    The first fits a model; later ones may find it made.
    """
    for name in searchers:
        with_observations(name, OBSERVATIONS[0]).suggest(1)  # imports
    return [_cost(name, count, rounds) for name in searchers for count in OBSERVATIONS]


def _cost(name: str, observations: int, rounds: int) -> dict[str, Any]:
    searcher = with_observations(name, observations)
    seconds = [_timed(searcher) for _ in range(1 + rounds)]
    return {"searcher": name, "observations": observations, "first": seconds[0], "next": median(seconds[1:])}


def _timed(searcher: Searcher) -> float:
    begin = time.process_time()
    searcher.suggest(1)
    return time.process_time() - begin
