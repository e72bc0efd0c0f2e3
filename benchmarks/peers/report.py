"""The page that `benchmarks.peers.run` writes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from benchmarks.report import machine_lines, table

__all__ = ["render"]

Row = dict[str, Any]

HEAD: Final = (
    "simulator", "cpu s", "over hbsim's", "cpu in yardsticks", "process cpu s", "peak MB",
    "trials", "results", "reached 3, 9, 27, 81", "simulated s",
)  # fmt: skip

NOTES: Final = {
    "syne-tune": """
Syne Tune's ASHA is of the stopping type. A trial goes on if it ranks among the best third of those
recorded, itself included: `rule="rank"` in hbsim. Two ways to run it: as its documentation does, with
random search and a result every epoch; and as lean as it goes, with rows in hbsim's order, nothing to
fit, and a result only where something is decided. Its tuner polls every 5 simulated seconds, and
decides in the order in which it polls: counts differ by a few, and by more with more workers.""",
    "mfhpo-simulator": """
mfhpo-simulator has no asynchronous successive halving of its own: hbsim's promotion scheduler answers
its ask and tell (`straight_on=False`: every milestone ends a job). It counts evaluations, so it ran as
many as hbsim had jobs, and starts trials until then. Two ways: with its own bookkeeping of runs that
go on; and without, every job a configuration of its own.""",
}


def render(content: Row) -> str:
    """Return the page, Markdown."""
    parts = [
        "# hbsim beside other simulators",
        f"Written by `{content['command']}`, with the figures in `peers.json`.\n"
        f"{content['trials']:,} trials, R = 81, eta = 3, one bracket; all replay one table of curves "
        f"(`{content['surrogate']}`).",
        "\n".join(machine_lines(content["machine"], content["load_at_start"])),
        "cpu is that of the study alone, within the process: imports and reading the table aside (hbsim:\n"
        "the median of five, summary included). In yardsticks: over the cpu time of 1.5 million timeouts\n"
        "in bare SimPy, measured before and after. A process's cpu has all of it, imports too (hbsim: all\n"
        "five studies).",
    ]
    for peer in dict.fromkeys(study["peer"] for study in content["studies"]):
        parts += [f"## {peer}", _versions(content, peer), NOTES[peer].strip()]
        for study in content["studies"]:
            if study["peer"] == peer:
                parts += [f"{study['workers']} workers:", table(HEAD, _rows(study))]
    return "\n\n".join(parts) + "\n"


def _versions(content: Row, peer: str) -> str:
    found = next(versions for versions in content["versions"].values() if peer in versions)
    return "In an environment of its own: " + ", ".join(f"{name} {v}" for name, v in found.items()) + "."


def _rows(study: Row) -> Iterator[list[str]]:
    ours = study["hbsim"]
    yield ["hbsim", *_cells(ours, ours)]
    for row in study["variants"]:
        yield [f"{study['peer']}: {row['name']}", *_cells(row, ours)]


def _cells(row: Row, ours: Row) -> list[str]:
    counts = [f"{count:,}" for count in list(row["reached"].values())[1:]]
    return [
        f"{row['cpu']:.3f}",
        f"{row['cpu'] / ours['cpu']:,.0f}",
        f"{row['cpu'] / row['yardstick']:.3f}",
        f"{row['process_cpu']:.1f}",
        f"{row['megabytes']:.0f}",
        f"{row['trials']:,}",
        f"{row['reports']:,}",
        " / ".join(counts),
        f"{row['simulated_seconds']:,.0f}",
    ]
