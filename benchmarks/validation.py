"""Hold the simulator against real runs on this machine: `python -m benchmarks.validation --help`.

Training runs for real in a temporary folder, of which only the figures and pictures are kept.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.measure import ROOT, conditions, run, say
from benchmarks.pages import joined, machine_lines, publish, shrink
from hbsim.validation import Validation, validate
from hbsim.validation.report import as_dict, draw, markdown

CALIBRATED = 1  # the check whose parameters come from the other half of the runs
DIGITS = ["examples/digits_mlp.py:train_fn", "--metric", "val_error", "--mode", "min", "--max-t", "27"]
CNN = ["examples/cnn_promotion.py:train_fn", "--max-t", "27"]
FUNCTIONS = """\
`digits_mlp.py` has no checkpoints: a trial that is promoted trains again from zero. `cnn_promotion.py` has.
Of the runs of each function, on each number of workers, one calibrates the cluster for the other ("other
half"). The seconds of training are those of the run itself, or of another run of the same trials ("seconds
of"): a prediction from before the run, which holds as far as trials take as long again. Four workers on two
cores slow each other down; the seconds of a run have that in them."""


@dataclass(frozen=True, slots=True)
class Study:
    """A study to run: its folder's name, and the options of `hbsim run`."""

    name: str
    options: list[str]


def studies(scale: float, workers: list[int]) -> Iterator[Study]:
    """Give the studies, so that one of two neighbours is in either half of the runs."""
    for count in workers:
        for kind in ("stopping", "promotion"):
            scheduler = ["--scheduler", kind, "--trials", _trials(60, scale)]
            yield Study(f"digits-{kind}-{count}", [*DIGITS, *scheduler, *_workers(count)])
    for seed in (0, 1):
        scheduler = ["--scheduler", "promotion", "--trials", _trials(30, scale), "--seed", str(seed)]
        yield Study(f"cnn-promotion-seed-{seed}", [*CNN, *scheduler, *_workers(2)])


def _workers(count: int) -> list[str]:
    """Return the options of workers of one core each, as long as there are so many."""
    cores = ["--num-cpus", "1"] if count <= (os.cpu_count() or 1) else []
    return ["--workers", str(count), *cores]


def _trials(count: int, scale: float) -> str:
    return str(max(6, round(scale * count)))


def run_all(plan: list[Study], folder: Path) -> list[Path]:
    """Run the studies one after the other; return their folders."""
    places = []
    for study in plan:
        place = folder / study.name
        began = time.monotonic()
        run([sys.executable, "-m", "hbsim", "run", *study.options, "--out", str(place)])
        say(f"{study.name}: {time.monotonic() - began:.1f} s")
        places.append(place)
    return places


def render(content: dict[str, Any], validation: Validation) -> str:
    """Return the page, Markdown."""
    parts = [
        "# Real runs, and what the simulator says of them",
        f"Written by `{content['command']}`; [what the columns mean](../../docs/how-to/validate.md).",
        "\n".join(machine_lines(content["machine"], content["load_at_start"])),
        FUNCTIONS,
        _summary(content["runs"]),
        markdown(validation),
        "\n".join(f"![{entry['name']}](timeline-{entry['name']}.png)" for entry in content["runs"]),
    ]
    return joined(*parts)


def _summary(runs: list[dict[str, Any]]) -> str:
    checks = [entry["checks"][CALIBRATED] for entry in runs]
    errors = [abs(check["makespan"]["error"]) for check in checks]
    same = sum(check["decisions"]["same"] for check in checks)
    common = sum(check["decisions"]["common"] for check in checks)
    alone = [check for entry, check in zip(runs, checks, strict=True) if entry["workers"] == 1]
    agree = all(check["decisions"]["same"] == check["decisions"]["real"] for check in alone)
    lines = [
        f"- makespan, parameters of other runs: median error {median(errors):.1%}, largest {max(errors):.1%}",
        f"- decisions that both made: {same:,} of {common:,} are the same",
    ]
    if alone:
        lines.append(f"- with one worker {'all' if agree else 'NOT all'} decisions are the same")
    return "\n".join(lines)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "validation", help="a folder")
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of trials")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4], help="of the digits runs")
    parser.add_argument("--keep", type=Path, help="a folder for the runs, which are kept there")
    return parser.parse_args()


def main() -> None:
    """Run what the command line asks for."""
    options = parse()
    measured_on = conditions()
    with tempfile.TemporaryDirectory(prefix="hbsim-validation-") as temporary:
        places = run_all(list(studies(options.scale, options.workers)), options.keep or Path(temporary))
        validation = validate(places)
        options.out.mkdir(parents=True, exist_ok=True)
        for path in options.out.glob("timeline-*.png"):
            path.unlink()
        draw(validation, options.out)
        for path in options.out.glob("timeline-*.png"):
            shrink(path)
    found: dict[str, Any] = as_dict(validation)
    for entry in found["runs"]:
        del entry["folder"]  # it is gone
    content = {
        "command": "python -m benchmarks.validation",
        "scale": options.scale,
        **measured_on,
        **found,
    }
    publish(options.out, "validation", content, render(content, validation))


if __name__ == "__main__":
    main()
