"""The page that `benchmarks.peers.local` writes."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from typing import Any, Final

from benchmarks.report import machine_lines, table

__all__ = ["render"]

Row = dict[str, Any]

TRIALS: Final = (
    "tuner", "trials", "at a time", "ms a trial", "its SGD steps", "beyond them", "such steps, warm",
    "beyond those", "reports a trial", "s until the first trial", "s in all",
)  # fmt: skip
REPORTS: Final = ("tuner", "us a report costs the trial", "reports a second")

WHAT: Final = """
Real trials, each on one core. Every tuner runs the same code: a model of two small layers, an epoch of
three SGD steps, a report an epoch, up to nine epochs; random search for the learning rate; asynchronous
successive halving of the stopping type, max_t 9, grace_period 1, reduction_factor 3. Seeds are the same,
but each tuner draws learning rates in its own way, and has its own rule for ties and few results: how many
epochs a trial trains differs a little, as the reports a trial show."""

SUBTRACTED: Final = """
A trial takes the time from the start of its function to the start of the next one's, in a steady study:
the first tenth of the trials, or the first two, are left out. It is multiplied by how many run at a time:
a worker's time, not the study's. Starting up the tuner is not in it, nor closing the study: the last
columns say how long it was until the first trial ran, and in all.

Training is subtracted in two ways. Its SGD steps: the seconds that trials measured around their steps.
Such steps, warm: as many epochs as they trained, each as long as in a process that has trained many
trials before ("no tuner, one process", in the same round). The two differ where the first step in a new
process is slow, as it is in a forked one, which copies the memory that it writes to: the first way calls
that training, the second overhead. What stays is all that comes with a trial: starting and ending its
process, imports, building model and optimizer, its reports and the decisions."""

NOTES: Final = """
- hbsim: its local executor, a process a trial, one core each (`resource={"num_cpus": 1}`: a trial that
  runs alone would get all of them); its journal is kept and its tables are written.
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
        table(TRIALS, (row for contender in content["contenders"] for row in _trials(contender))),
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


def _trials(contender: Row) -> Iterator[list[str]]:
    for workers in ("1", "2"):
        way = f"workers_{workers}"
        if way in contender["runs"][0]:
            spreads = ("trial_ms", "own_ms", "beyond_own_ms", "warm_ms", "beyond_warm_ms")
            cells = [_spread(contender, way, name) for name in spreads]
            plain = ("reports_a_trial", "startup", "seconds")
            cells += [f"{median(_values(contender, way, name)):.1f}" for name in plain]
            yield [contender["name"], str(contender["trials"]), workers, *cells]


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
