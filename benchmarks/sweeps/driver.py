"""Studies that are files, run and published: `python -m benchmarks.sweeps --help`.

The same files and the same curves give the same bytes, but in `timings.json`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import polars as pl

from benchmarks.measure import ROOT, describe_machine, say
from benchmarks.pages import rounded, shrink, write_json
from benchmarks.sweeps.show import shown
from hbsim.bench.chart_style import Chart, save
from hbsim.bench.charts import (
    across_charts,
    diagnosis_charts,
    heatmap,
    task_charts,
    variant_styles,
)
from hbsim.bench.pool import default_jobs
from hbsim.bench.report.build import build
from hbsim.bench.report.diagnosis import views
from hbsim.bench.report.model import Across, SweepReport, TaskReport
from hbsim.bench.report.render import markdown
from hbsim.bench.sweep.folder import read_results
from hbsim.bench.sweep.plan import read_sweep
from hbsim.bench.sweep.run import run_plan

# Of each study, the figures that findings.md in the results shows: a kind, and a setting or curves.
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
    write_json(target / "numbers.json", rounded(numbers(report)), DEPTH)
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


SPECS: Final = Path(__file__).parent
FOLDER: Final = ROOT / "results" / "sweeps"
NAMES: Final = tuple(sorted(path.stem for path in SPECS.glob("*.toml")))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sweeps", description=__doc__)
    parser.add_argument("names", nargs="+", metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("--data", type=Path, help="a folder of public curves: lcbench and tables need it")
    parser.add_argument("--out", type=Path, default=FOLDER, help="a folder for results")
    parser.add_argument("--jobs", type=int, help="processes (default: one a core)")
    parser.add_argument("--work", type=Path, help="a folder that keeps finished studies, to go on from")
    parser.add_argument("--pages", action="store_true", help="run nothing: pages of what is in --work")
    parser.add_argument("--show", metavar="WHAT", help="run nothing: print a table of what is in --out")
    options = parser.parse_args(arguments)
    for name in options.names:
        if name not in NAMES:
            parser.error(f"NAME {name}: must be one of {', '.join(NAMES)}")
    if options.pages and options.work is None:
        parser.error("--pages needs --work")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line asks for."""
    options = parse(arguments)
    if options.show is not None:
        print("\n\n".join(shown(options.out, name, options.show) for name in options.names))
        return
    if options.work is not None:
        _write(options, options.work)
        return
    with tempfile.TemporaryDirectory() as work:
        _write(options, Path(work))


def _write(options: argparse.Namespace, work: Path) -> None:
    for name in options.names:
        if not options.pages:
            say(name)
            run_study(name, work / name, options.data, options.jobs)
        write_pages(name, work / name, options.out)
    write_readme(options.out)


def commands(name: str, has_files: bool) -> tuple[str, str]:
    """Return the commands that do the same step by step; DIR is where the curves' files are.

    The first is without ``--out``, as a sweep keeps it: the report says where the results are.
    """
    data = " --data DIR" if has_files else ""
    return (
        f"hbsim sweep benchmarks/sweeps/{name}.toml{data}",
        f"hbsim report sweeps/{name} --out {name}.html --figures figures --tables tables",
    )


def run_study(name: str, work: Path, data: Path | None, jobs: int | None) -> None:
    """Run all that is not finished in a folder.

    Raises
    ------
    ParameterError
        The file or the curves cannot be used, or the folder holds something else.
    RuntimeError
        A study failed.
    """
    plan = read_sweep(SPECS / f"{name}.toml", data)
    processes = default_jobs(len(plan.different)) if jobs is None else jobs
    counts = run_plan(plan, work, commands(name, data is not None)[0], processes)
    if not counts.is_complete:
        raise RuntimeError(f"{name}: {counts.failed} of {counts.cells} cells failed: see hbsim report {work}")
