"""The command ``hbsim surrogates``: lists learning curves, and how well their early ranks predict."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from hbsim import terminal
from hbsim.cli.command import OneLineCommand, make_command, say
from hbsim.cli.options import Given, group
from hbsim.cli.output import facts, print_json, table
from hbsim.cli.surrogates_import import import_
from hbsim.errors import SurrogateError
from hbsim.surrogates.options import SurrogateOptions

if TYPE_CHECKING:
    from hbsim.surrogates import FitReport, SurrogateDescription

REGRESSIONS: Final = {
    "mean": "the mean",
    "process": "a Gaussian process",
    "trees": "extremely randomised trees",
    "rate": "its share",
    "logistic": "logistic regression",
}


def surrogates(
    surrogate: Annotated[
        str | None, typer.Argument(metavar="[NAME|FILE|FILE.py:NAME]", help="Describe these curves in full.")
    ] = None,
    *,
    curves: Annotated[Given, group("Learning curves", SurrogateOptions)],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List learning curves, or make them from runs of other tools: `hbsim surrogates import --help`.

    Without a name, it lists the curves that ship with hbsim. `@1`, `@3`, ... are Spearman's correlations
    between the ranks of configurations at this level and at the last one: 1 means that the order there is the
    final one. Where they are low, early stopping loses good trials: raise `--grace-period`, or use more
    brackets. A file called `import` is `./import`.

    For example:
      hbsim surrogates
      hbsim surrogates curves.parquet
    """
    if not surrogate:
        found = _shipped(curves.get("wrap"))
        if as_json:
            print_json({"surrogates": [_content(one, size) for one, size in found]})
        else:
            _show_all(found)
        return
    one, size, report = _one(surrogate, curves)
    if as_json:
        fit = {} if report is None else {"fit": asdict(report)}
        print_json({"surrogates": [_content(one, size) | fit]})
        return
    terminal.console().print(facts(_lines(one, size)))
    if report is not None:
        _show_fit(report)


class WithImport(OneLineCommand):
    """A command with a subcommand ``import``; a file of that name is written ``./import``."""

    @property
    def more(self) -> tuple[Any, ...]:
        """The subcommands."""
        return (make_command("import", import_),)

    def make_context(self, info_name: Any, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Return the context of this command or, after ``import``, of the subcommand."""
        if args[:1] != ["import"]:
            return super().make_context(info_name, args, parent=parent, **extra)
        return self.more[0].make_context(f"{info_name} import", args[1:], parent=parent, **extra)

    def invoke(self, ctx: Any) -> Any:
        """Run the context's command."""
        return super().invoke(ctx) if ctx.command is self else ctx.command.invoke(ctx)


COMMAND: Final = WithImport


def _one(name: str, curves: Given) -> tuple[SurrogateDescription, int | None, FitReport | None]:
    from hbsim.surrogates import Fitted, describe, load

    loaded = load(name, **curves)
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
    """Return the size in bytes of a file of recorded curves; None for computed curves."""
    packaged = files("hbsim.surrogates") / f"{name}.parquet"
    if packaged.is_file():
        return len(packaged.read_bytes())
    path = Path(name)
    return path.stat().st_size if path.suffix != ".py" and path.is_file() else None


def _content(one: SurrogateDescription, size: int | None) -> dict[str, object]:
    return {**asdict(one), "bytes": size}


def _show_all(found: list[tuple[SurrogateDescription, int | None]]) -> None:
    levels = sorted({level for one, _ in found for level in one.levels[:-1]})
    left = ("name", "metric", "mode", "rows", "levels", "R", "size")
    rows = []
    for one, size in found:
        ranks = dict(_ranks(one))
        values = (one.metric, one.mode, _count(one.rows), _count(one.fidelities), f"{one.max_resource:g}")
        correlations = (_two(ranks[level]) if level in ranks else "" for level in levels)
        rows.append((one.name, *values, _bytes(size), *correlations))
    console = terminal.console()
    console.print(table([*left, *(f"@{level:g}" for level in levels)], rows, left))
    console.print("@level: Spearman's correlation of the ranks there with the final ones", style="dim")


def _lines(one: SurrogateDescription, size: int | None) -> Iterator[tuple[str, str]]:
    yield "name", one.name
    yield "metric", f"{one.metric} ({one.mode}){', with a held-out one' if one.has_test else ''}"
    yield "best at the end", "unknown" if one.optimum is None else f"{one.optimum:.6g}"
    yield "rows", _count(one.rows)
    yield "parameters", ", ".join(one.parameters) if one.parameters else "none"
    yield "fidelities", f"{_count(one.fidelities)}, up to R = {one.max_resource:g}"
    yield "size", _bytes(size)
    for level, r in _ranks(one)[:-1]:
        yield f"ranks at {level:g}", f"{_two(r):>5} {'━' * round(30 * max(0.0, r if r == r else 0.0))}"


def _ranks(one: SurrogateDescription) -> list[tuple[float, float]]:
    return list(zip(one.levels, one.correlations, strict=True))


def _two(number: float) -> str:
    return "-" if number != number else f"{number:.2f}"


def _count(rows: int | None) -> str:
    return "any" if rows is None else f"{rows:,}"


def _bytes(size: int | None) -> str:
    if size is None:
        return "-"
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} kB"


# A fit


def _show_fit(report: FitReport) -> None:
    """Print a fit's data, its held-out errors by level, and their meaning."""
    console = terminal.console()
    console.print(facts(_fit_lines(report)))
    console.print(f"\nheld out, {report.folds} parts of the rows in turn:")
    headings = ("level", "rows", "error", "spread", "ratio", "ranks", "to end", "drawn")
    rows = (
        (
            f"{one.level:g}",
            f"{one.rows:,}",
            f"{one.error:.3g}",
            f"{one.spread:.3g}",
            *map(_two, (one.relative, one.rank_correlation, one.early_table, one.early_fit)),
            *(f"{share:.0%}" for share in one.coverage),
        )
        for one in report.levels
    )
    console.print(table((*headings, "50 %", "80 %", "95 %"), rows))
    console.print(
        "error, spread: mean absolute error of the prediction, and of the best constant; ranks: Spearman's "
        "correlation of predicted with true; to end: of values here with those at the last level, in the "
        "table and in drawn curves; 50/80/95 %: how many true values lie in these intervals",
        style="dim",
    )
    for sentence in (*report.verdict, *(f"Note: {note}." for note in report.notes)):
        console.print(sentence)


def _fit_lines(report: FitReport) -> Iterator[tuple[str, str]]:
    yield "fitted to", f"{report.rows:,} rows, {report.complete:,} of them to the end"
    yield "shapes by", "; ".join(REGRESSIONS[kind] for kind in report.regression)
    yield "log seconds", f"error {report.log_seconds_error:.2f} (spread {report.log_seconds_spread:.2f})"
    best = f"{report.best_table:.6g} in the table, {report.best_drawn:.6g} of 1,000 drawn"
    yield "best at the end", best
    if report.diverged:
        error = f"{report.divergence_error:.3f} (of the share alone {report.divergence_spread:.3f})"
        by = REGRESSIONS[report.divergence]
        yield "diverge", f"{report.divergence_rate:.1%}, predicted by {by}; squared error {error}"
