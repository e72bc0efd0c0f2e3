"""``hbsim surrogates``: which learning curves there are, and how well their early ranks predict."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hbsim import terminal
from hbsim.cli.command import grouped, say
from hbsim.cli.fit_report import show_fit
from hbsim.cli.study_options import FileOptions
from hbsim.errors import SurrogateError

if TYPE_CHECKING:
    from hbsim.surrogates import FitReport, SurrogateDescription

__all__ = ["surrogates"]


@grouped
def surrogates(
    surrogate: Annotated[
        str | None, typer.Argument(metavar="[NAME|FILE|FILE.py:NAME]", help="Only this one; in full.")
    ] = None,
    *,
    files: FileOptions,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List learning curves: their metric, size, fidelities, and how well early ranks predict final ones.

    Without a name, those that ship with hbsim. Ranks are Spearman's correlation between the trials' values
    at a level and at the last one: 1 says that the order at this level is the final order.

    `hbsim surrogates import` makes curves of runs that Syne Tune, Ray Tune, Optuna, W&B or MLflow logged; its
    --help says how. (A file called import is ./import.)

    For example:
      hbsim surrogates
      hbsim surrogates synthetic:noise=0.1,early_rank=0.9
      hbsim surrogates curves.csv --metric loss --mode min --censored fail
      hbsim surrogates yahpo:lcbench/167168 --yahpo-data yahpo_data
      hbsim surrogates fit:pilot.parquet
    """
    from hbsim.cli.output import print_json

    if surrogate:
        one, size, report = _one(surrogate, files)
        if as_json:
            fit = {} if report is None else {"fit": asdict(report)}
            print_json({"surrogates": [_content(one, size) | fit]})
            return
        _show_one(one, size)
        if report is not None:
            show_fit(report)
        return
    found = _shipped(files.wrap)
    if as_json:
        print_json({"surrogates": [_content(one, size) for one, size in found]})
    else:
        _show_all(found)


def _one(name: str, files: FileOptions) -> tuple[SurrogateDescription, int | None, FitReport | None]:
    from hbsim.surrogates import Fitted, describe

    loaded = files.load(name)
    within = loaded
    while hasattr(within, "wrapped"):  # a fit in wrappers is still a fit
        within = within.wrapped
    return describe(loaded), _size(name), within.report if isinstance(within, Fitted) else None


def _shipped(wrap: list[str] | None) -> list[tuple[SurrogateDescription, int | None]]:
    from hbsim.surrogates import available, describe, load

    found = []
    for name in available():
        try:
            found.append((describe(load(name, wrap=wrap)), _size(name)))
        except SurrogateError as error:
            say("warning", str(error))
    return found


def _size(name: str) -> int | None:
    """Return the bytes of a file of recorded curves; None for what is worked out."""
    from importlib.resources import files

    packaged = files("hbsim.surrogates") / f"{name}.parquet"
    if packaged.is_file():
        return len(packaged.read_bytes())
    path = Path(name)
    return path.stat().st_size if path.suffix != ".py" and path.is_file() else None


def _content(one: SurrogateDescription, size: int | None) -> dict[str, object]:
    return {**asdict(one), "bytes": size}


def _show_all(found: list[tuple[SurrogateDescription, int | None]]) -> None:
    from rich.table import Table

    levels = sorted({level for one, _ in found for level in one.levels[:-1]})
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for heading in ("name", "metric", "mode", "rows", "levels", "R", "size"):
        table.add_column(heading, overflow="fold")
    for level in levels:
        table.add_column(f"@{level:g}", justify="right")
    for one, size in found:
        ranks = dict(_ranks(one))
        table.add_row(
            one.name,
            one.metric,
            one.mode,
            _count(one.rows),
            _count(one.fidelities),
            f"{one.max_resource:g}",
            _bytes(size),
            *(_rank(ranks[level]) if level in ranks else "" for level in levels),
        )
    console = terminal.console()
    console.print(table)
    console.print("@level: Spearman's correlation of the ranks there with the final ones", style="dim")


def _show_one(one: SurrogateDescription, size: int | None) -> None:
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    lines = {
        "name": one.name,
        "metric": f"{one.metric} ({one.mode}){', with a held-out one' if one.has_test else ''}",
        "best at the end": "unknown" if one.optimum is None else f"{one.optimum:.6g}",
        "rows": _count(one.rows),
        "parameters": ", ".join(one.parameters) if one.parameters else "none",
        "fidelities": f"{_count(one.fidelities)}, up to R = {one.max_resource:g}",
        "size": _bytes(size),
    }
    for level, r in _ranks(one)[:-1]:
        lines[f"ranks at {level:g}"] = f"{_rank(r):>5} {'━' * round(30 * max(0.0, r if r == r else 0.0))}"
    for name, text in lines.items():
        table.add_row(name, text)
    terminal.console().print(table)


def _ranks(one: SurrogateDescription) -> list[tuple[float, float]]:
    return list(zip(one.levels, one.correlations, strict=True))


def _rank(correlation: float) -> str:
    return "-" if correlation != correlation else f"{correlation:.2f}"


def _count(rows: int | None) -> str:
    return "any" if rows is None else f"{rows:,}"


def _bytes(size: int | None) -> str:
    if size is None:
        return "-"
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"
