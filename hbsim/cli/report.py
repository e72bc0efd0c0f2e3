"""The command ``hbsim report``: shows a sweep's results as a page, as figures and as tables."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hbsim.cli.command import command_line, say
from hbsim.cli.output import output_folder, print_json, wide_console
from hbsim.cli.sweep import MATTERS, WIDTH
from hbsim.errors import ParameterError
from hbsim.study.page import PAGES

if TYPE_CHECKING:
    from hbsim.bench.report.model import SweepReport


def report(
    ctx: typer.Context,
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The folder of hbsim sweep or compare.")],
    *,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE.html", help="Write a page into this file.")
    ] = None,
    figures: Annotated[
        Path | None,
        typer.Option("--figures", metavar="DIR", help="Write figures into this folder, as PNG and SVG."),
    ] = None,
    tables: Annotated[
        Path | None,
        typer.Option("--tables", metavar="DIR", help="Write tables into this folder, as Markdown and LaTeX."),
    ] = None,
    matters: Annotated[str | None, typer.Option("--matters", metavar="X", help=MATTERS)] = None,
    full: Annotated[bool, typer.Option("--full", help="Print all tables and notes.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the files of an earlier report.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object with all numbers.")] = False,
) -> None:
    """Report the results of a sweep or comparison: the answer, and the tables behind it.

    A variant is worse than the best, or cannot be told from it: on these curves, and on another draw of
    configurations. With `--matters X`, in the unit of the metric or as a percentage of the least regret, the
    report says how probable it is that a variant is better, the same, or worse by more than X. The page is
    one file that needs no network. Results that are not complete are reported as far as they go.

    For example:
      hbsim report comparison
      hbsim report comparison --out report.html --figures figures
    """
    from hbsim.bench.report.build import build
    from hbsim.bench.sweep.folder import is_own, read_results

    _check_sweep(folder)
    for option, path in (("out", out), ("figures", figures), ("tables", tables)):
        if path is not None and is_own(folder, path):
            rule = f"is where hbsim sweep keeps the results in {folder}; choose another name"
            raise ParameterError(option, str(path), rule)
    _check_page(out, force)
    with ExitStack() as held:
        # Errors of output folders are raised before any work.
        folders = {
            kind: held.enter_context(output_folder(path, force, kind))
            for kind, path in (("figures", figures), ("tables", tables))
            if path is not None
        }
        made = build(
            read_results(folder), command_line(ctx, ("force", "as_json", "full")), str(folder), matters
        )
        files = _write(made, folders)
        if out is not None:
            from hbsim.bench.html_page import write_page
            from hbsim.bench.page import render

            write_page(render(made), out)
    if made.missing:
        missing = sum(one.cells for one in made.missing)
        say("warning", f"{missing:,} of {made.cells:,} cells have no result: {made.missing[0].reason}")
    written = {str(out): [out.name]} if out is not None else {}
    written |= {str(figures): files.get("figures", [])} if figures is not None else {}
    written |= {str(tables): files.get("tables", [])} if tables is not None else {}
    if as_json:
        print_json({"report": asdict(made), "files": written})
        return
    _show(made, written, full)


def _check_sweep(folder: Path) -> None:
    """Check that a folder has results of a sweep."""
    from hbsim.bench.sweep.folder import MANIFEST

    if not folder.is_dir():
        rule = "is a file; give the folder of a sweep" if folder.exists() else "there is no such folder"
        raise ParameterError("folder", str(folder), rule)
    if not os.path.lexists(folder / MANIFEST):
        raise ParameterError("folder", str(folder), f"has no {MANIFEST}: it is no folder of hbsim sweep")


def _check_page(out: Path | None, force: bool) -> None:
    if out is None:
        return
    if out.suffix.lower() not in PAGES:
        raise ParameterError("out", str(out), f"must end in {' or '.join(PAGES)}: it is a page")
    if out.is_dir():
        raise ParameterError("out", str(out), "is a folder; give a file, as report.html")
    if out.exists() and not force:
        raise ParameterError("out", str(out), "is there already; --force replaces it")
    if not out.parent.is_dir():
        raise ParameterError("out", str(out), f"there is no folder {out.parent}")


def _write(made: SweepReport, folders: dict[str, Path]) -> dict[str, list[str]]:
    written: dict[str, list[str]] = {}
    if "figures" in folders:
        from hbsim.bench.charts import write_figures

        written["figures"] = [path.name for path in write_figures(made, folders["figures"])]
    if "tables" in folders:
        from hbsim.bench.report.render import write_tables

        written["tables"] = [path.name for path in write_tables(made, folders["tables"])]
    return written


def _show(made: SweepReport, written: dict[str, list[str]], is_full: bool) -> None:
    from hbsim.bench.report.render import show

    console = wide_console(WIDTH)
    show(made, console, is_full)
    for path, names in written.items():
        count = f" ({len(names)} files)" if len(names) > 1 else ""
        console.print(f"{path}{count}", soft_wrap=True)
