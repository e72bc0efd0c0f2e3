"""``hbsim surrogates import``: runs that other tools logged, as learning curves for the simulator."""

from __future__ import annotations

import shlex
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, cast

import typer
from typer.main import get_command

from hbsim.cli.command import Command, in_options
from hbsim.cli.fields import whole, word
from hbsim.terminal import print_out

if TYPE_CHECKING:
    from hbsim.core.types import Mode
    from hbsim.surrogates.import_table import Imported

__all__ = ["NAME", "WithImport", "import_"]

NAME: Final = "import"
_COLUMNS: Final = "What is what"
_SPELLING: Final = {"resource": "--resource", "first_level": "--first-level"}


class WithImport(Command):
    """A command with one more behind the word ``import``; a file of that name is ``./import``."""

    def make_context(self, info_name: Any, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Return the context of this command or, after ``import``, of the other."""
        if args[:1] != [NAME]:
            return super().make_context(info_name, args, parent=parent, **extra)
        command: Any = _command()
        return command.make_context(f"{info_name} {NAME}", args[1:], parent=parent, **extra)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that the context is of."""
        return super().invoke(ctx) if ctx.command is self else ctx.command.invoke(ctx)


def _command() -> Any:
    app = typer.Typer(
        add_completion=False, rich_markup_mode=None, context_settings={"max_content_width": 110}
    )
    app.command(NAME, cls=Command)(import_)
    return get_command(app)


def import_(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FILE|FOLDER|sqlite:///FILE", help="What the tool left; docs/how-to/import.md."
        ),
    ],
    out: Annotated[Path, typer.Option(help="The .parquet or .csv file to write.")],
    kind: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="TOOL", help="syne-tune, ray, optuna, wandb or mlflow (default: guessed)."
        ),
    ] = None,
    metric: Annotated[
        str | None,
        word(
            "--metric", panel=_COLUMNS, metavar="NAME", help="The metric that decides; Optuna: its new name."
        ),
    ] = None,
    mode: Annotated[
        str | None,
        word("--mode", panel=_COLUMNS, metavar="...", help="What is better, if nothing says it."),
    ] = None,
    resource: Annotated[
        str | None,
        word("--resource", panel=_COLUMNS, metavar="NAME", help="What counts training: an epoch, a step."),
    ] = None,
    time: Annotated[
        str | None,
        word(
            "--time", panel=_COLUMNS, metavar="NAME", help="Cumulative seconds of training, without waiting."
        ),
    ] = None,
    study: Annotated[
        str | None,
        word("--study", panel=_COLUMNS, metavar="NAME", help="Optuna: which study, if there are several."),
    ] = None,
    params: Annotated[
        Path | None,
        typer.Option(
            "--params",
            rich_help_panel=_COLUMNS,
            help="W&B, MLflow: a CSV with a row a run and its hyperparameters.",
        ),
    ] = None,
    first_level: Annotated[
        int | None,
        whole(
            "--first-level", panel=_COLUMNS, help="What step 0 is: 0 (untrained) or 1 (after the first unit)."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Turn runs of Syne Tune, Ray Tune, Optuna, W&B or MLflow into learning curves for the simulator.

    The file is one that --surrogate takes, and fit:FILE. What was taken for what, and what was left out, is
    printed. Nothing is written where something is wrong.

    For example:
      hbsim surrogates import ~/syne-tune/my-experiment --out curves.parquet
      hbsim surrogates import ~/ray_results/my-experiment --metric loss --mode min --out curves.parquet
      hbsim surrogates import sqlite:///optuna.db --study mine --metric val_error --out curves.parquet
      hbsim surrogates import metrics.csv --params runs.csv --metric loss --mode min --out curves.parquet
    """
    from hbsim.surrogates.import_optuna import sqlite_path
    from hbsim.surrogates.importing import import_runs
    from hbsim.surrogates.table_files import check_out

    check_out(out, force=force, sources=[sqlite_path(source), *([] if params is None else [params])])
    imported = import_runs(
        source,
        kind,
        metric=metric,
        mode=cast("Mode | None", mode),
        resource=resource,
        time=time,
        study=study,
        params=params,
        first_level=first_level,
    )
    imported.write(out, force=force)
    _tell(imported, out, as_json)


def _tell(imported: Imported, out: Path, as_json: bool) -> None:
    from hbsim.cli.output import print_json

    needs = _needs(imported)
    if as_json:
        print_json({"out": str(out), **_content(imported), "needs": list(needs)})
        return
    for name, text in _lines(imported):
        print_out(f"{name:<16}{text}")
    for note in imported.notes:
        print_out(f"- {in_options(note, _SPELLING)}")
    words = " ".join(f"{option} {value}" for option, value in needs.items())
    print_out(f"{out}: `{f'hbsim surrogates {shlex.quote(str(out))} {words}'.strip()}` describes it")


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
    """Return the options that loading the file needs."""
    needs = {
        "--mode": None if imported.mode else "...",
        "--seconds-per-unit": None if imported.time else "...",
        "--censored": "..." if imported.early else None,
    }
    return {option: value for option, value in needs.items() if value is not None}


def _content(imported: Imported) -> dict[str, object]:
    names = [field.name for field in fields(imported) if field.name not in ("frame", "space")]
    return {name: getattr(imported, name) for name in names}
