"""Run studies that are files, and write what comes out of them: `python -m benchmarks.sweeps --help`.

The same files and the same curves give the same bytes, but in `timings.json`.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.measure import ROOT, say
from hbsim.bench.pool import default_jobs
from hbsim.bench.sweep import read_sweep, run_plan

__all__ = ["FOLDER", "NAMES", "SPECS", "commands", "main", "run_study"]

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
        from benchmarks.sweeps.show import shown

        print("\n\n".join(shown(options.out, name, options.show) for name in options.names))
        return
    if options.work is not None:
        _write(options, options.work)
        return
    with tempfile.TemporaryDirectory() as work:
        _write(options, Path(work))


def _write(options: argparse.Namespace, work: Path) -> None:
    from benchmarks.sweeps.pages import write_pages, write_readme

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
