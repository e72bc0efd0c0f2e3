"""The command ``hbsim surrogates import``: converts runs of other tools to learning curves."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from hbsim.cli.command import in_options
from hbsim.cli.options import Given, group
from hbsim.cli.output import print_json
from hbsim.options import option
from hbsim.terminal import print_out

if TYPE_CHECKING:
    from hbsim.surrogates.import_table import Imported

# Options in the notes on a file.
SPELLING: Final = {"resource": "--resource", "first_level": "--first-level"}


@dataclass(frozen=True)
class ColumnOptions:
    """The options for the columns in the runs of another tool."""

    metric: str | None = option(None, metavar="NAME", help="The metric that decides; for Optuna a new name.")
    mode: str | None = option(
        None, metavar="max|min", help="Whether a higher or a lower value is better (default: as logged)."
    )
    resource: str | None = option(
        None, metavar="NAME", help="The column that counts training, such as epoch or step."
    )
    time: str | None = option(
        None, metavar="NAME", help="The column with seconds of training since the start of a trial."
    )
    study: str | None = option(None, metavar="NAME", help="Optuna: the study, if there are several.")
    params: str | None = option(
        None, metavar="FILE", help="W&B, MLflow: a CSV file with the hyperparameters of each run."
    )
    first_level: int | None = option(
        None, takes="whole", help="The level of step 0: 0 (untrained) or 1 (after the first unit)."
    )


def import_(
    source: Annotated[
        str,
        typer.Argument(metavar="FILE|FOLDER|sqlite:///FILE", help="What the tool has logged."),
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="The .parquet or .csv file to write.")],
    kind: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="TOOL",
            help="The tool: syne-tune, ray, optuna, wandb or mlflow (default: guessed).",
        ),
    ] = None,
    *,
    columns: Annotated[Given, group("Learning curves", ColumnOptions)],
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    r"""Turn runs of Syne Tune, Ray Tune, Optuna, W&B or MLflow into learning curves.

    The written file is one for `--surrogate`, also as `fit:FILE`. The command prints what it took for what,
    and what it left out. If something is wrong, nothing is written.

    For example:
      hbsim surrogates import metrics.csv --metric loss --mode min --out loss.csv
      hbsim surrogates import metrics.csv --resource step --metric acc \
        --mode max --out accuracy.parquet
    """
    from hbsim.surrogates.import_optuna import sqlite_path
    from hbsim.surrogates.importing import import_runs
    from hbsim.surrogates.table_files import check_out

    options = dict(columns)
    if "params" in options:
        options["params"] = Path(options["params"])
    check_out(out, force=force, sources=[sqlite_path(source), *filter(None, [options.get("params")])])
    imported = import_runs(source, kind, **options)
    imported.write(out, force=force)
    needs = _needs(imported)
    if as_json:
        print_json({"out": str(out), **_content(imported), "needs": list(needs)})
        return
    for name, text in _lines(imported):
        print_out(f"{name:<16}{text}")
    for note in imported.notes:
        print_out(f"- {in_options(note, SPELLING)}")
    given = " ".join(f"{name} {value}" for name, value in needs.items())
    print_out(f"{out}: `{f'hbsim surrogates {shlex.quote(str(out))} {given}'.strip()}` describes it")


def _lines(imported: Imported) -> list[tuple[str, str]]:
    early = (
        f"{imported.early:,} that end early (--censored says what they are)"
        if imported.early
        else "all complete"
    )
    return [
        ("from", f"{imported.kind}, {imported.source}"),
        ("trials", f"{imported.trials:,}: {early}"),
        ("levels", f"{imported.levels:,} of {imported.resource}, up to {imported.max_resource:g}"),
        ("metric", f"{imported.metric} ({imported.mode or 'max or min: not known'}){_diverged(imported)}"),
        ("other metrics", ", ".join(imported.metrics[1:]) or "none"),
        ("time", f"from {imported.time}" if imported.time else "none: loading needs --seconds-per-unit"),
        ("hyperparameters", ", ".join(imported.hyperparameters) or "none"),
    ]


def _diverged(imported: Imported) -> str:
    return f", no number in {imported.no_number:,} rows" if imported.no_number else ""


def _needs(imported: Imported) -> dict[str, str]:
    """Return the options that are needed to load the file."""
    needs = {
        "--mode": None if imported.mode else "...",
        "--seconds-per-unit": None if imported.time else "...",
        "--censored": "..." if imported.early else None,
    }
    return {option: value for option, value in needs.items() if value is not None}


def _content(imported: Imported) -> dict[str, object]:
    names = [field.name for field in fields(imported) if field.name not in ("frame", "space")]
    return {name: getattr(imported, name) for name in names}
