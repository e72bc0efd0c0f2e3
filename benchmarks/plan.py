"""Plans held against tasks that their library does not have: `python -m benchmarks.plan --data DIR`.

It writes results/plan: a page, and its rows as CSV. All figures but seconds are the same on every run.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from benchmarks.measure import ROOT, conditions, say
from benchmarks.pages import joined, machine_lines, rounded, table, write_json
from benchmarks.plan_evaluation import PILOTS, SETTINGS, Evaluation, by_group, evaluate, summary
from hbsim.errors import HbsimWarning
from hbsim.planning.library import Task, library, task_of
from hbsim.surrogates import load

# Public tables that are no part of the library: how they are read, and their groups.
APART: Final = {
    "nasbench_nlp_wt2": ("nasbench-nlp", {"metric": "val_loss", "censored": "fail"}),
    "scan_vlm": ("scan-bench", {"metric": "val_loss", "censored": "exclude"}),
    "taskset_mdb_patch128_LSTM128_bs64": ("taskset", {"metric": "valid_loss", "censored": "fail"}),
    "taskset_mdb_patch32_GRU128_bs128": ("taskset", {"metric": "valid_loss", "censored": "fail"}),
}
CLOCKLESS: Final = {"seconds_per_unit": 1.0, "first_level": 0}  # TaskSet has no clock, and a level 0
WORDS: Final = {
    "trials": "trials started",
    "completed": "trials completed",
    "first_full_result": "first full result",
}
INTRODUCTION: Final = """\
A task is held out with its whole group: no plan was made from it or from its like. Plans are made from
the other groups of [the library](../../docs/reference/task-library.md), without a pilot and with pilots
of the task. Then studies of the task itself are simulated. How often did the 80 % intervals hold, and
how wide were they? How good was what was recommended?

- A *complete* pilot has curves of random configurations to the end. A *censored* one is what a small
  promotion study leaves: two of three curves end at the first level, and so on; one at least is
  complete.
- A plan with a pilot is made from 40 studies here. `hbsim plan` takes up to 240, and its intervals are a
  little narrower.
- Every variant of the shortlist counts, and every group counts the same.
- *Width* is the factor between the ends of an interval, the geometric mean; of a time it is the
  difference, in full runs."""
FORECASTS: Final = """\
## Forecasts

**covered**: the share of studies whose number lay in the interval. It should be 0.8. **least**: the
group with the lowest share. **below**, **above**: the shares that lay outside."""
CALIBRATION: Final = """\
## The probability of a full result

Is there at least one full result by the end? What plans said, and in how many studies it was so."""
RECOMMENDATIONS: Final = """\
## Recommendations

Regrets are normalised for each task: 0 is its best variant in hindsight, 1 the median one.
**difference**: of what was recommended from the default, with its standard error over groups. **kept the
default**: how often the plan recommended nothing else. **far off**: the share of tasks with a regret
above 1.5, and the default's."""
VARIANTS: Final = """\
## Variants

Regrets of each variant over the library's groups, and their differences from the default's with standard
errors over groups: what `hbsim plan` knows of them."""
SECONDS: Final = """\
## Seconds of an answer

The whole command `hbsim plan --max-t 81 --workers 8`, a new process each time."""


def apart(data: Path) -> list[Task]:
    """Return the tasks of public tables that lie in a folder."""
    tasks = []
    for name, (group, options) in APART.items():
        path = data / f"{name}.npz"
        if path.is_file():
            more = CLOCKLESS if name.startswith("taskset") else {}
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", HbsimWarning)  # clocks that jump
                tasks.append(task_of(load(path, mode="min", **options, **more), group, "epoch"))
    return tasks


def render(content: dict[str, Any]) -> str:
    """Return the page, Markdown."""
    head = f"Written by `{content['command']}`. `forecasts.csv` has a row for each group, and "
    head += "`recommendations.csv` for each task."
    parts = ["# Plans held against what came of studies", head]
    parts += ["\n".join(machine_lines(content["machine"], content["load_at_start"])), INTRODUCTION, FORECASTS]
    columns = ("workers", "full runs", "pilot", "quantity", "covered", "least", "below", "above", "width")
    for is_apart, title in ((False, "### Each group left out"), (True, "### Public tables kept apart")):
        rows = [row for row in content["summary"] if row["apart"] == is_apart]
        if rows:
            parts += [f"{title}\n\n{rows[0]['groups']} groups.", table(columns, map(_cells, rows))]
    parts += [CALIBRATION, table(("said", "true", "studies"), content["calibration"])]
    columns = (
        "tasks",
        "pilot",
        "regret",
        "default's",
        "difference",
        "kept the default",
        "far off",
        "default's",
    )
    parts += [RECOMMENDATIONS, table(columns, content["recommendations"])]
    parts += [VARIANTS, table(("variant", "regret", "difference", "far off"), content["variants"])]
    parts += [SECONDS, table(("pilot", "seconds", "cpu seconds"), content["seconds"])]
    return joined(*parts)


def _cells(row: dict[str, Any]) -> list[object]:
    is_time = row["quantity"] == "first_full_result"
    width = f"{row['width']:.2f} runs" if is_time else f"x{row['width']:.2f}"
    shares = f"{row['covered']:.2f}", f"{row['least']:.2f} ({row['least_group']})"
    outside = f"{row['below']:.2f}", f"{row['above']:.2f}"
    where = row["workers"], f"{row['full_runs']:g}", row["pilot"]
    return [*where, WORDS[row["quantity"]], *shares, *outside, width]


def calibration(found: Evaluation) -> Iterator[list[object]]:
    """Yield what was said of full results in five bins, and what was so."""
    rows = [row for row in found.forecasts if row["quantity"] == "first_full_result"]
    said, true = (np.array([row[name] for row in rows]) for name in ("said", "true"))
    for low, high in ((0, 0.5), (0.5, 0.8), (0.8, 0.95), (0.95, 0.999), (0.999, 1.1)):
        chosen = (said >= low) & (said < high)
        if chosen.any():
            yield [f"{said[chosen].mean():.2f}", f"{true[chosen].mean():.2f}", int(chosen.sum())]


def _over_groups(rows: list[dict[str, Any]], value: str) -> tuple[float, float]:
    """Return the mean over groups of their means over tasks, and its standard error."""
    groups: dict[str, list[float]] = {}
    for row in rows:
        groups.setdefault(row["group"], []).append(float(row[value]))
    means = [statistics.fmean(numbers) for numbers in groups.values()]
    return statistics.fmean(means), statistics.stdev(means) / len(means) ** 0.5 if len(means) > 1 else 0.0


def recommendations(found: Evaluation) -> Iterator[list[object]]:
    """Yield a row for each kind of pilot, all settings together."""
    names = ["none", *(f"{size} {kind}" for size, kind in PILOTS)]
    for is_apart in (False, True):
        for pilot in names:
            chosen = (is_apart, pilot)
            rows = [row for row in found.recommendations if (row["apart"], row["pilot"]) == chosen]
            if rows:
                difference, error = _over_groups(rows, "difference")
                yield [
                    "kept apart" if is_apart else "library",
                    pilot,
                    *(f"{_over_groups(rows, name)[0]:.2f}" for name in ("regret", "default_regret")),
                    f"{difference:+.2f} +- {error:.2f}",
                    *(
                        f"{_over_groups(rows, name)[0]:.0%}"
                        for name in ("abstains", "far_off", "default_far_off")
                    ),
                ]


def variants(found: Evaluation) -> Iterator[list[object]]:
    """Yield a row for each variant, over the library's groups and all settings."""
    rows = [row for row in found.recommendations if row["pilot"] == "none" and not row["apart"]]
    labels = list(rows[0]["regrets"])
    for label in labels:
        each = [
            {
                "group": row["group"],
                "regret": row["regrets"][label],
                "difference": row["regrets"][label] - row["regrets"][labels[0]],
                "far": row["regrets"][label] > 1.5,
            }
            for row in rows
            if label in row["regrets"]
        ]
        difference, error = _over_groups(each, "difference")
        far = f"{_over_groups(each, 'far')[0]:.0%}"
        yield [
            f"`{label}`",
            f"{_over_groups(each, 'regret')[0]:.2f}",
            f"{difference:+.2f} +- {error:.2f}",
            far,
        ]


def seconds() -> Iterator[list[object]]:
    """Yield what the command takes without a pilot and with one."""
    from resource import RUSAGE_CHILDREN, getrusage

    for name, more in (
        ("none", ["--unit-seconds", "60", "--budget", "32h"]),
        ("`sgd`, 400 curves", ["--pilot", "sgd", "--budget", "192runs"]),
    ):
        start, before = time.perf_counter(), getrusage(RUSAGE_CHILDREN)
        command = [sys.executable, "-m", "hbsim", "plan", "--max-t", "81", "--workers", "8", "--json", *more]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        after = getrusage(RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        yield [name, f"{time.perf_counter() - start:.1f}", f"{cpu:.1f}"]


def main() -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", type=Path, help="a folder of public recorded curves (.npz), which are kept apart"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "plan", help="a folder")
    parser.add_argument(
        "--a-group", type=int, default=2, help="how many pilots of a kind are tried of a group"
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    given = parser.parse_args()
    content: dict[str, Any] = {"command": "python -m benchmarks.plan --data DIR", **conditions()}
    tasks = apart(given.data) if given.data else []
    found = evaluate(library(), SETTINGS, PILOTS, given.a_group, given.jobs, tasks, say)
    write(found, content, given.out)


def write(found: Evaluation, content: dict[str, Any], out: Path) -> None:
    """Write the page, and the rows that it is made of."""
    content |= {
        "summary": summary(found.forecasts).to_dicts(),
        "calibration": list(calibration(found)),
        "recommendations": list(recommendations(found)),
        "variants": list(variants(found)),
        "seconds": list(seconds()),
    }
    out.mkdir(parents=True, exist_ok=True)
    by_group(found.forecasts).write_csv(out / "forecasts.csv", float_precision=4)
    flat = [
        {**{name: one for name, one in row.items() if name != "regrets"}, **row["regrets"]}
        for row in rounded(found.recommendations)
    ]
    frame = pl.DataFrame(flat, infer_schema_length=None)
    frame.write_csv(out / "recommendations.csv", float_precision=4)
    write_json(out / "plan.json", rounded(content))
    (out / "README.md").write_text(render(content), "utf-8")
    say(f"written: {out}")


if __name__ == "__main__":
    main()
