"""What is kept of a study: its page, tables, numbers and some figures."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import polars as pl

from benchmarks.measure import describe_machine, write_json
from benchmarks.sweeps.numbers import numbers
from benchmarks.sweeps.studies import commands
from hbsim.bench.charts import write_figures
from hbsim.bench.page import render
from hbsim.bench.report.build import build
from hbsim.bench.report.diagnosed import FEW_TASKS
from hbsim.bench.report.model import Report
from hbsim.bench.report.render import markdown
from hbsim.bench.report.text import slug
from hbsim.bench.sweep import read_results

__all__ = ["FIGURES", "write_pages", "write_readme"]

# Of each study, the figures that docs/explanation/studies.md shows: names of `hbsim report --figures`.
FIGURES: Final[dict[str, tuple[str, ...]]] = {
    "brackets-eta": ("heatmap-promotion-plain-4-workers", "regret-plain-1000-workers"),
    "failures": ("anytime-mean-drops-16-workers", "regret-drops-16-workers"),
    "lcbench": ("regret-plain-4-workers", "ranks-score-all-settings"),
    "pausing": ("anytime-mean-expensive-16-workers", "time-expensive-16-workers"),
    "small": ("anytime-formula-plain-4-workers",),
    "tables": ("regret-plain-4-workers",),
}
WITHOUT_PAGE: Final = ("failures", "small")  # pages are of 5 to 9 MB each: these are not kept
KEPT: Final = ("cells.parquet", "sweep.json")
TIMINGS: Final = "timings.json"
DRAWN_BY: Final = ("altair", "vl-convert-python")
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
    results = read_results(work)
    report = build(results, commands(name, False)[1], f"sweeps/{name}")
    target = out / name
    target.mkdir(parents=True, exist_ok=True)
    if name not in WITHOUT_PAGE:
        (target / "report.html").write_text(render(report), "utf-8")
    (target / "report.md").write_text(markdown(report), "utf-8")
    (target / "numbers.json").write_text(numbers(report), "utf-8")
    for kept in KEPT:
        shutil.copyfile(work / kept, target / kept)
    with tempfile.TemporaryDirectory() as folder:
        write_figures(_with_settings(report, FIGURES[name]), Path(folder))
        for figure in FIGURES[name]:
            shutil.copyfile(Path(folder) / f"{figure}.png", target / f"{figure}.png")
    _note_time(name, work, out, time.process_time() - begin)


def _with_settings(report: Report, figures: Sequence[str]) -> Report:
    """Return a report of the settings that figures are of, so that few are drawn.

    All tasks stay where few would be left: each would have figures of its own then.
    """

    def is_drawn(setting: str) -> bool:
        return any(figure.endswith(slug(setting)) for figure in figures)

    tasks = tuple(task for task in report.tasks if is_drawn(task.setting))
    return replace(
        report,
        across=tuple(across for across in report.across if is_drawn(across.setting)),
        heatmaps=tuple(heatmap for heatmap in report.heatmaps if is_drawn(heatmap.setting)),
        tasks=tasks if len(tasks) > FEW_TASKS else report.tasks,
    )


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
    return f"[{name}]({name}/report.md){page}"
