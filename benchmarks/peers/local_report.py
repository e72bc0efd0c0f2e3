"""The page that `benchmarks.peers.local` writes."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from typing import Any, Final

from benchmarks.report import machine_lines, table

__all__ = ["render"]

Row = dict[str, Any]

TRIALS: Final = (
    "tuner", "trials", "ms a trial beyond its training, 1 at a time", "2 at a time",
    "ms of training subtracted, 1 and 2", "reports a trial", "s until the first trial", "s in all, 1 and 2",
)  # fmt: skip
REPORTS: Final = ("tuner", "us a report costs the trial", "reports a second")

WHAT: Final = """
Real trials, each on one core. Every tuner runs the same code: a model of two small layers, an epoch of
three SGD steps, a report an epoch, up to nine epochs; random search for the learning rate; asynchronous
successive halving of the stopping type, max_t 9, grace_period 1, reduction_factor 3. Seeds are the same,
but each tuner draws learning rates in its own way, and has its own rule for ties and few results: how many
epochs a trial trains differs a little, as the reports a trial show."""

SUBTRACTED: Final = """
What a trial takes: the time from the start of one trial's function to the start of the next, in a steady
study: the first tenth of the trials, or the first two, are left out. It is multiplied by how many run at
a time (so it is a worker's time, not the study's), and the seconds that the trials themselves measured
around their SGD steps are subtracted. What stays is all that comes with a trial: starting and ending its
process, imports, building model and optimizer, its reports and the decisions. Starting up the tuner
itself is not in it, nor closing the study: the last columns say how long the tuner took until the first
trial ran, and all in all."""

NOTES: Final = """
- hbsim: its local executor, a process a trial; its journal is kept and its tables are written.
- Ray Tune: `tune.Tuner` with a function, as its documentation does it, files of its loggers included. By
  default every trial gets a process of its own; with `reuse_actors=True` trials share one, so a trial that
  leaks or crashes takes more than itself with it. A report waits until it was taken.
- Syne Tune: `LocalBackend`, a script a trial. Its tuner polls: every 0.05 s here, where a trial's result is
  not seen for 5 s by default. Trials do not wait at a decision: they train on until they are killed.
- No tuner: how long the same takes without one; a new Python imports PyTorch, and makes its first
  optimizer, for every trial. All trials train nine epochs."""

FLOOD: Final = """
One trial trains nothing and reports {reports:,} times; max_t is as high. What a report costs the trial is
measured in the trial, and includes making the row (see no tuner). Reports a second: until the study has
taken, decided on and kept all of them, and is closed. All of them must have been seen."""


def render(content: Row) -> str:
    """Return the page, Markdown."""
    n = content["repeat"]
    runs = f"Medians of {n} runs, the least and the most in brackets." if n > 1 else "One run."
    parts = [
        "# Real trials in hbsim and in other tuners",
        f"Written by `{content['command']}`, with the figures in `local.json`. {runs}",
        "\n".join([*machine_lines(content["machine"], content["load_at_start"]), *_versions(content)]),
        WHAT.strip(),
        "## Overhead a trial",
        SUBTRACTED.strip(),
        table(TRIALS, (_trials(row) for row in content["contenders"])),
        "## Reports",
        FLOOD.strip().format(reports=content["reports"]),
        table(REPORTS, _reports(content)),
        "## How each was run",
        NOTES.strip(),
    ]
    return "\n\n".join(parts) + "\n"


def _versions(content: Row) -> Iterator[str]:
    for peer, found in content["versions"].items():
        where = "hbsim ran with" if peer == "hbsim" else "an environment of its own:"
        yield f"- {where} " + ", ".join(f"{name} {v}" for name, v in found.items())


def _trials(contender: Row) -> list[str]:
    ways = [way for way in ("workers_1", "workers_2") if way in contender["runs"][0]]
    beyond = [_spread(contender, way, "beyond_ms") for way in ways] + ["-"] * (2 - len(ways))

    def both(name: str, form: str) -> str:
        return " / ".join(format(median(_values(contender, way, name)), form) for way in ways)

    first, reports = _values(contender, "workers_1", "startup"), both("reports_a_trial", ".1f")
    return [
        contender["name"],
        str(contender["trials"]),
        *beyond,
        both("trained_ms", ".1f"),
        reports,
        f"{median(first):.1f}",
        both("seconds", ".1f"),
    ]


def _reports(content: Row) -> Iterator[list[str]]:
    for contender in content["contenders"]:
        if "reports" in contender["runs"][0]:
            costs = [_spread(contender, "reports", name) for name in ("report_us", "reports_a_second")]
            yield [contender["name"], *costs]


def _values(contender: Row, way: str, name: str) -> list[float]:
    return [run[way][name] for run in contender["runs"]]


def _spread(contender: Row, way: str, name: str) -> str:
    values = _values(contender, way, name)
    middle, least, most = (_short(value) for value in (median(values), min(values), max(values)))
    return middle if len(values) == 1 else f"{middle} ({least} to {most})"


def _short(value: float) -> str:
    return f"{value:,.1f}" if abs(value) < 100 else f"{value:,.0f}"
