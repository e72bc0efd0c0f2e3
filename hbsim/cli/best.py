"""The command ``hbsim best``: the best trial of a study, and the model that was kept of it."""

from __future__ import annotations

import shutil
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from hbsim.cli.output import facts, print_json, wide_console
from hbsim.errors import HbsimWarning, OutputError, ParameterError
from hbsim.terminal import print_out

if TYPE_CHECKING:
    from hbsim.study.best import BestTrial

WIDTH: Final = 200  # columns, where stdout is no terminal
NOT_KEPT: Final = "not kept: see reporter.on_pause, or hbsim.checkpoint_dir for a script"


def best(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of a study of hbsim run.")],
    copy_to: Annotated[
        Path | None,
        typer.Option("--copy-to", metavar="DIR", help="Copy the checkpoint into a new folder."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show the best trial of a study, and where its model is.

    It also works while the study runs. In Python `hbsim.load("exp").best.load()` returns the model as the
    training function saved it.

    For example:
      hbsim best exp
      hbsim best exp --copy-to model
    """
    import hbsim
    from hbsim.executors import checkpoint
    from hbsim.study.progress_summary import plain, value_texts
    from hbsim.study.status import plain_value

    with warnings.catch_warnings():  # the last line may be half written
        warnings.simplefilter("ignore", HbsimWarning)
        result = hbsim.load(folder)
    found = result.best
    if found is None:
        raise OutputError(str(folder), "no trial has reported a number yet")
    if copy_to is not None:
        _copy(found, copy_to)
    files = None if found.checkpoint is None else checkpoint.files_of(found.checkpoint)
    if as_json:
        content = {"folder": str(result.folder), "metric": result.spec.metric, **asdict(found)}
        content |= {"time_attr": result.spec.time_attr, "config": plain_value(found.config)}
        paths = {"checkpoint": found.checkpoint, "files": files}
        print_json({**content, **{name: None if path is None else str(path) for name, path in paths.items()}})
        return
    report = f"trial {found.trial} at {result.spec.time_attr} {found.resource:g}"
    print_out(f"best {result.spec.metric} {found.value:g}: {report}")
    texts = value_texts(found.config, result.changed(found.trial, found.resource), digits=6)
    shown = [(plain(name), text) for name, text in texts.items()]
    shown.append(("checkpoint", str(found.checkpoint or NOT_KEPT)))
    wide_console(WIDTH).print(facts(shown if files is None else [*shown, ("its files", str(files))]))
    if copy_to is not None:
        where = "" if files is None else f"; its files are in {copy_to / files.name}"
        print_out(f"copied to {copy_to}{where}")


def _copy(found: BestTrial, target: Path) -> None:
    """Copy the checkpoint, or the folder that was saved, into a new folder."""
    if found.checkpoint is None:
        raise OutputError(str(target), f"there is nothing to copy, the model was {NOT_KEPT}")
    if target.exists():
        raise ParameterError("copy_to", str(target), "must be a new folder: it exists already")
    shutil.copytree(found.checkpoint, target)
