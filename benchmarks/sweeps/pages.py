"""What is kept of a study: its tables, numbers, some figures, and of some the page."""

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
from hbsim.bench.page import render
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
WITH_PAGE: Final = ("tables",)  # the others are too large to keep
KEPT: Final = ("cells.parquet", "sweep.json")
TIMINGS: Final = "timings.json"
DRAWN_BY: Final = ("altair", "vl-convert-python")
DEPTH: Final = 3  # levels of numbers.json that have lines of their own
TASK: Final = (
    "surrogate",
    "cluster",
    "workers",
    "group",
    "seeds",
    "splits",
    "configurations",
    "budget",
    "target",
)
ROW: Final = ("variant", "rank", "call", "score", "area", "missing", "trials", "completed")
README: Final = """\
# hbsim's own studies

Each folder is made by one command from a file in `benchmarks/sweeps/`. Run again with the same versions,
all but `timings.json` has the same bytes. DIR is a folder of public learning curves.
[What was found](../../docs/explanation/studies.md).

{table}

| file | contents |
| --- | --- |
| `report.html` | the page, where it is kept: one file that needs no network |
| `report.md` | its tables |
| `numbers.json` | its numbers, without curves |
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
    if name in WITH_PAGE:
        (target / "report.html").write_text(render(report), "utf-8")
    (target / "report.md").write_text(markdown(report), "utf-8")
    (target / "numbers.json").write_text(compact_json(rounded(numbers(report)), DEPTH), "utf-8")
    for kept in KEPT:
        shutil.copyfile(work / kept, target / kept)
    for kind, of in FIGURES[name]:
        save(next(_charts(report, kind, of)), target / f"{kind}.png")
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
    """Return the numbers of a report as plain objects, without what only a page draws."""
    return {
        "title": report.title,
        "answer": report.answer,
        "summary": report.summary,
        "variants": [asdict(variant) for variant in report.variants],
        "settings": [_setting(across) for across in report.across],
        "tasks": [_task(task) for task in report.tasks],
    }


def _setting(across: Across) -> dict[str, Any]:
    """Return a setting; of its pairs those that the best is in."""
    best = across.variants[0]
    pairs = [asdict(pair) for pair in across.pairs if best in (pair.first, pair.second)]
    return {**asdict(across), "pairs": pairs}


def _task(task: TaskReport) -> dict[str, Any]:
    """Return a task; of how its variants stand what they are called, and p."""
    found = asdict(task)
    rows = []
    for row in found["rows"]:
        stands = {
            where: row[where] and {name: row[where][name] for name in ("rank", "call", "p")}
            for where in ("curves", "draw")
        }
        rows.append({**{name: row[name] for name in ROW}, **stands})
    return {**{name: found[name] for name in (*TASK, "regrets", "shares")}, "rows": rows}


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
            f"| {_links(path.parent)} | {manifest['cells']:,} | "
            f"{len(manifest['variants'])} | {len(manifest['tasks'])} | {len(groups)} | "
            f"`python -m benchmarks.sweeps {path.parent.name}{data}` |"
        )
        versions = {**manifest["versions"], **{name: version(name) for name in DRAWN_BY}}
    head = "| study | studies | variants | tasks | groups | command |\n| --- | --: | --: | --: | --: | --- |"
    table = "\n".join([head, *rows])
    said = ", ".join(f"{name} {number}" for name, number in versions.items())
    (out / "README.md").write_text(README.format(table=table, versions=said), "utf-8")


def _links(folder: Path) -> str:
    """Return the name of a study that leads to its tables, and a link to its page if that is kept."""
    name = folder.name
    page = f", [page]({name}/report.html)" if (folder / "report.html").is_file() else ""
    tables = "report.md" if (folder / "report.md").is_file() else "numbers.json"
    return f"[{name}]({name}/{tables}){page}"
