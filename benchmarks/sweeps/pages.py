"""The results of a study that are kept: its tables, the numbers that are cited, and some figures."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import polars as pl

from benchmarks.compact import compact_json
from benchmarks.measure import describe_machine, rounded, write_json
from benchmarks.plots import shrink
from benchmarks.sweeps.driver import commands
from hbsim.bench.charts import (
    Chart,
    across_charts,
    diagnosis_charts,
    heatmap,
    save,
    task_charts,
    variant_styles,
)
from hbsim.bench.report.build import build
from hbsim.bench.report.diagnosis import views
from hbsim.bench.report.model import Across, SweepReport, TaskReport
from hbsim.bench.report.render import markdown
from hbsim.bench.sweep import read_results

__all__ = ["FIGURES", "numbers", "write_pages", "write_readme"]

# Of each study, the figures that docs/explanation/studies.md shows: a kind, and a setting or curves.
FIGURES: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "brackets-eta": (("heatmap", "plain, 4 workers"), ("regret", "plain, 1000 workers")),
    "failures": (("regret", "drops, 16 workers"),),
    "lcbench": (("regret", "plain, 4 workers"), ("ranks", "all settings")),
    "pausing": (("time", "expensive, 16 workers"),),
    "small": (("anytime", "formula"),),
    "tables": (("scores", "digits"),),
}
KEPT: Final = ("cells.parquet", "sweep.json")
TIMINGS: Final = "timings.json"
DRAWN_BY: Final = ("altair", "vl-convert-python", "pillow")
DEPTH: Final = 3  # levels of numbers.json that have lines of their own
SETTING: Final = ("setting", "measure", "groups", "variants", "scores", "ranks", "p_friedman")
TASK: Final = ("surrogate", "cluster", "workers", "group")
README: Final = """\
# hbsim's own studies

Each folder is made by one command from a file in `benchmarks/sweeps/`. Run again with the same versions,
all but `timings.json` has the same bytes. DIR is a folder of public learning curves.
[What was found](../../docs/explanation/studies.md).

{table}

| file | contents |
| --- | --- |
| `report.md` | its tables |
| `numbers.json` | the numbers that `--show` prints; the page of all: `hbsim sweep`, then `hbsim report` |
| `cells.parquet` | a row a study |
| `sweep.json` | what was asked for, and what is known of the learning curves |
| `timings.json` | cpu seconds of each, and on what machine |

Versions: {versions}.
"""


def write_pages(name: str, work: Path, out: Path) -> None:
    """Write all that is kept of a study whose results are in `work`."""
    begin = time.process_time()
    report = build(read_results(work), commands(name, False)[1], f"sweeps/{name}")
    target = out / name
    target.mkdir(parents=True, exist_ok=True)
    (target / "report.md").write_text(markdown(report), "utf-8")
    (target / "numbers.json").write_text(compact_json(rounded(numbers(report)), DEPTH), "utf-8")
    for kept in KEPT:
        shutil.copyfile(work / kept, target / kept)
    for kind, of in FIGURES[name]:
        save(next(_charts(report, kind, of)), target / f"{kind}.png")
        shrink(target / f"{kind}.png")
    _note_time(name, work, out, time.process_time() - begin)


def _charts(report: SweepReport, kind: str, of: str) -> Iterator[Chart]:
    """Yield the charts of a kind that are of a setting, or of the curves of that name."""
    looks = variant_styles(report.variants)
    for name, across, chart in across_charts(report, looks):
        if (name, across.setting) == (kind, of):
            yield chart
    for one in report.heatmaps:
        if (kind, of) == ("heatmap", one.setting) and (chart := heatmap(one)):
            yield chart
    for task in report.tasks:
        if task.surrogate == of:
            yield from task_charts(task, looks, (kind,)).values()
    for view in views(report):
        if view.texts[-1] == of:
            yield from diagnosis_charts(view, looks, view.title, (kind,)).values()


def numbers(report: SweepReport) -> dict[str, Any]:
    """Return the numbers of a report that `benchmarks.sweeps.show` prints, as plain objects."""
    return {
        "variants": [asdict(variant) for variant in report.variants],
        "settings": [_setting(across) for across in report.across],
        "tasks": [_task(task) for task in report.tasks],
    }


def _setting(across: Across) -> dict[str, Any]:
    """Return a setting; of its pairs those that the best is in."""
    best = across.variants[0]
    return {
        **{name: getattr(across, name) for name in SETTING},
        "means": [_interval(mean) for mean in across.means],
        "pairs": [
            {"first": pair.first, "second": pair.second, "call": pair.call}
            for pair in across.pairs
            if best in (pair.first, pair.second)
        ],
    }


def _task(task: TaskReport) -> dict[str, Any]:
    """Return a task: of each variant its score, how it stands, where its regret comes from, what workers did.

    Shares of time that are 0 are left out.
    """
    found = asdict(task)
    rows = [
        {
            "variant": row["variant"],
            "score": _interval(row["score"]),
            "area": row["area"]["mean"],
            "missing": row["missing"],
            "curves": row["curves"]["call"],
            "draw": row["draw"] and row["draw"]["call"],
        }
        for row in found["rows"]
    ]
    shares = [{name: share for name, share in row.items() if share} for row in found["shares"]]
    return {
        **{name: found[name] for name in TASK},
        "rows": rows,
        "regrets": found["regrets"],
        "shares": shares,
    }


def _interval(mean: Any) -> list[float]:
    """Return a mean and the ends of its interval."""
    found = mean if isinstance(mean, dict) else asdict(mean)
    return [found[name] for name in ("mean", "low", "high")]


def _note_time(name: str, work: Path, out: Path, report: float) -> None:
    path = out / TIMINGS
    known: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    studies = float(pl.read_parquet(work / "timings.parquet")["seconds"].sum())
    known[name] = {
        "studies_cpu_seconds": round(studies, 1),
        "report_cpu_seconds": round(report, 1),
        "machine": describe_machine(),
    }
    write_json(path, dict(sorted(known.items())))


def write_readme(out: Path) -> None:
    """Write what is in the folder, from what its studies say of themselves."""
    rows: list[str] = []
    versions: dict[str, str] = {}
    for path in sorted(out.glob("*/sweep.json")):
        manifest = json.loads(path.read_text("utf-8"))
        data = " --data DIR" if "--data DIR" in manifest["command"] else ""
        groups = {task["group"] for task in manifest["tasks"]}
        rows.append(
            f"| [{path.parent.name}]({path.parent.name}/report.md) | {manifest['cells']:,} | "
            f"{len(manifest['variants'])} | {len(manifest['tasks'])} | {len(groups)} | "
            f"`python -m benchmarks.sweeps {path.parent.name}{data}` |"
        )
        versions = {**manifest["versions"], **{name: version(name) for name in DRAWN_BY}}
    head = "| study | studies | variants | tasks | groups | command |\n| --- | --: | --: | --: | --: | --- |"
    table = "\n".join([head, *rows])
    said = ", ".join(f"{name} {number}" for name, number in versions.items())
    (out / "README.md").write_text(README.format(table=table, versions=said), "utf-8")
