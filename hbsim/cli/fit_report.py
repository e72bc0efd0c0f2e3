"""What `hbsim surrogates fit:FILE` prints of a fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from hbsim import terminal

if TYPE_CHECKING:
    from hbsim.surrogates import FitReport

__all__ = ["show_fit"]

WORDS: Final = {
    "mean": "the mean",
    "process": "a Gaussian process",
    "trees": "extremely randomised trees",
    "rate": "its share",
    "logistic": "logistic regression",
}


def show_fit(report: FitReport) -> None:
    """Print what the fit is made from, its held-out errors by level, and what they mean."""
    from rich.table import Table

    console = terminal.console()
    lines = Table.grid(padding=(0, 2))
    lines.add_column(style="dim")
    lines.add_column(overflow="fold")
    for name, text in _lines(report).items():
        lines.add_row(name, text)
    console.print(lines)
    console.print(f"\nheld out, {report.folds} parts of the rows in turn:")
    console.print(_levels(report))
    console.print(
        "error, spread: mean absolute error of the prediction, and of the best constant; ranks: Spearman's "
        "correlation of predicted with true; to end: of values here with those at the last level, in the "
        "table and in drawn curves; 50/80/95 %: how many true values lie in these intervals",
        style="dim",
    )
    for sentence in (*report.verdict, *(f"Note: {note}." for note in report.notes)):
        console.print(sentence)


def _lines(report: FitReport) -> dict[str, str]:
    seconds = f"{report.log_seconds_error:.2f} (spread {report.log_seconds_spread:.2f})"
    found = {
        "fitted to": f"{report.rows:,} rows, {report.complete:,} of them to the end",
        "shapes by": "; ".join(WORDS[kind] for kind in report.regression),
        "log seconds": f"error {seconds}",
        "best at the end": f"{report.best_table:.6g} in the table, {report.best_drawn:.6g} of 1,000 drawn",
    }
    if report.diverged:
        error = f"{report.divergence_error:.3f} (of the share alone {report.divergence_spread:.3f})"
        by = WORDS[report.divergence]
        found["diverge"] = f"{report.divergence_rate:.1%}, predicted by {by}; squared error {error}"
    return found


def _levels(report: FitReport) -> object:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    headings = (
        "level",
        "rows",
        "error",
        "spread",
        "ratio",
        "ranks",
        "to end",
        "drawn",
        "50 %",
        "80 %",
        "95 %",
    )
    for heading in headings:
        table.add_column(heading, justify="right")
    for one in report.levels:
        table.add_row(
            f"{one.level:g}",
            f"{one.rows:,}",
            f"{one.error:.3g}",
            f"{one.spread:.3g}",
            *(
                _two(number)
                for number in (one.relative, one.rank_correlation, one.early_table, one.early_fit)
            ),
            *(f"{share:.0%}" for share in one.coverage),
        )
    return table


def _two(number: float) -> str:
    return "-" if number != number else f"{number:.2f}"
