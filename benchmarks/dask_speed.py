"""How fast studies on a Dask cluster are: `python -m benchmarks.dask_speed --help`.

Trials that only sleep let a small machine run many at a time. Executors and kinds of study take turns, so
that a busy minute does not fall on one alone.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from benchmarks.dask_cluster import Cluster, cluster
from benchmarks.dask_commands import command_times, kill_times
from benchmarks.dask_figures import decision_figures, middle, per_message, trial_figures, trips
from benchmarks.dask_hosts import hosts
from benchmarks.dask_page import render
from benchmarks.dask_study import KINDS, Outcome, ask
from benchmarks.measure import ROOT, describe_machine, say, write_json

WORKERS: Final = 64  # trials at a time
PROCESSES: Final = 4  # Dask workers
TYPES: Final = ("stopping", "promotion")
HOPS: Final = {"type": "stopping", "max_t": 2**20, "reduction_factor": 2}  # 21 milestones
FULL, HOPPED = 5000, 20  # decisions a second that nobody makes are asked for, by trials of so many milestones
PLAYED: Final = ("hosts", "full")  # parts with clusters of their own
PARTS: Final = ("overhead", "decisions", "hops", "reports", "messages", "commands", "kill", *PLAYED)
BEATS: Final = 0.05  # seconds between two, so that they can be told from what Dask does anyway


class Bench:
    """Runs studies on one cluster, and on this machine without."""

    def __init__(self, there: Cluster, options: argparse.Namespace) -> None:
        self.there, self.rounds, self.trials = there, options.rounds, options.trials
        self._pids = {"scheduler": there.scheduler, "workers": there.workers}

    def ask(self, where: str, train: str, scheduler: Mapping[str, Any], **more: Any) -> Outcome:
        """Run a study on the cluster, on one of its own (``dask``), or on the local executor."""
        if where == "cluster":
            more |= {"executor": self.there.executor, "pids": self._pids}
        else:
            more["executor"] = where
        return ask(train, scheduler, **more)

    def decisions(self) -> dict[str, list[Outcome]]:
        """Measure trials that sleep."""
        found: dict[str, list[Outcome]] = {}
        for _ in range(self.rounds):
            for kind in TYPES:
                for where in ("local", "cluster"):
                    scheduler = {"type": kind, "max_t": 27, "num_trials": self.trials}
                    outcome = self.ask(where, "sleeps", scheduler, workers=WORKERS)
                    figures = decision_figures(outcome["records"], WORKERS) | trips(outcome["records"])
                    figures["cpu_ms"] = per_message(outcome, figures["decisions"])
                    say(f"{kind}, {where}: {figures['rate']:.1f} of {figures['limit']:.1f} a second")
                    found.setdefault(f"{kind} {where}", []).append(figures)
        return found

    def hops(self) -> dict[str, list[Outcome]]:
        """Measure milestones without training: one trial, and as many decisions as go."""
        found: dict[str, list[Outcome]] = {}
        kinds = {"alone": (1, 20, 0.02), "crowd": (WORKERS, 2 * WORKERS, 0.0)}
        for _ in range(self.rounds):
            for name, (workers, trials, seconds) in kinds.items():
                for where in ("local", "cluster"):
                    scheduler = HOPS | {"num_trials": trials}
                    args = {"seconds": seconds}
                    outcome = self.ask(where, "hops", scheduler, workers=workers, args=args)
                    times = [record["t"] for record in outcome["records"] if record["e"] == "reach"]
                    few = len(times) // 10
                    figures = {"rate": (len(times) - 2 * few) / (times[-few - 1] - times[few])}
                    figures |= trips(outcome["records"])
                    say(f"{name}, {where}: {figures['trip_ms'][0]:.1f} ms, {figures['rate']:.0f} a second")
                    found.setdefault(f"{name} {where}", []).append(figures)
        return found

    def overhead(self) -> dict[str, list[Outcome]]:
        """Measure trials that do nothing."""
        found: dict[str, list[Outcome]] = {}
        scheduler = {"type": "stopping", "max_t": 1, "num_trials": 200}
        for _ in range(self.rounds):
            for where in ("local", "dask", "cluster"):
                figures = trial_figures(self.ask(where, "trivial", scheduler, workers=2), 2)
                say(f"{where}: {figures['trial_ms']:.1f} ms a trial")
                found.setdefault(where, []).append(figures)
        return found

    def reports(self) -> dict[str, list[Outcome]]:
        """Measure reports between milestones: as many as go, and 20 a second of many trials."""
        found: dict[str, list[Outcome]] = {}
        flood = {"type": "stopping", "max_t": 20_000, "num_trials": 1}
        talk = {"type": "stopping", "max_t": 200, "grace_period": 200, "num_trials": WORKERS}
        for _ in range(self.rounds):
            for where in ("local", "cluster"):
                outcome = self.ask(where, "reports", flood, workers=1)
                last = next(r for r in reversed(outcome["records"]) if r["e"] == "reach")["rows"][-1][3]
                figures = {"report_us": 1e6 * last["spent"] / 20_000}
                figures["rate"] = 20_000 / (outcome["ended"] - last["began"])
                say(f"{where}: {figures['rate']:,.0f} reports a second")
                found.setdefault(f"flood {where}", []).append(figures)
                how = {"workers": WORKERS, "args": {"reports": 200, "seconds": 0.05}}
                outcome = self.ask(where, "reports", talk, **how)
                seen = Counter(record["e"] for record in outcome["records"] for _ in record.get("rows", ()))
                figures = {"seen": seen.total(), "cpu": outcome["cpu"], "seconds": outcome["seconds"]}
                figures["batches"] = outcome["counts"].get("up batches", 0)
                lags = outcome["lags"]
                figures["late"] = [lags[len(lags) // 2], lags[-1]] if lags else []
                found.setdefault(f"talk {where}", []).append(figures)
        return found

    def messages(self) -> Outcome:
        """Measure what a message costs every process, beyond what Dask takes when nothing is said."""
        quiet = {"type": "stopping", "max_t": 200, "grace_period": 200, "num_trials": 1}
        wait = {"reports": 200, "seconds": 0.05}
        runs = []
        for _ in range(self.rounds):
            idle = self.ask("cluster", "reports", quiet, workers=1, args=wait)
            base = {kind: idle["cpu"][kind] / idle["seconds"] for kind in KINDS}
            often = self.ask("cluster", "reports", quiet, workers=1, args=wait, beat=BEATS)
            more = often["counts"]["up beat"] - idle["counts"]["up beat"]
            beat = per_message(often, more, base)
            hop = self.ask(
                "cluster", "hops", HOPS | {"num_trials": WORKERS}, workers=WORKERS, args={"seconds": 0.25}
            )
            milestone = per_message(hop, hop["counts"]["up milestones"], base)
            calls = hop["counts"]["up milestones"] / hop["counts"]["calls lines"]
            runs.append({"base": base, "beat_ms": beat, "milestone_ms": milestone, "a_call": calls})
            say(f"a milestone: {milestone['scheduler']:.2f} ms of the scheduler")
        return {"runs": runs, "middle": middle(runs)}

    def commands(self) -> dict[str, list[dict[str, float]]]:
        """Measure whole commands."""
        return command_times(self.there, self.rounds)

    def kill(self) -> list[dict[str, float]]:
        """Measure how long it takes until everything has ended."""
        return [kill_times(self.there, WORKERS) for _ in range(self.rounds)]


def measure(options: argparse.Namespace) -> Iterator[tuple[str, Any]]:
    """Measure the parts that are asked for, one after the other."""
    parts = options.parts
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if any(part not in PLAYED for part in parts):
            with cluster(folder / "cluster", PROCESSES) as there:
                bench = Bench(there, options)
                for part in parts:
                    if part not in PLAYED:
                        yield part, getattr(bench, part)()
        if "hosts" in parts:
            yield "hosts", [hosts(folder, number) for number in options.hosts]
        if "full" in parts:
            yield "full", [hosts(folder, number, FULL, HOPPED) for number in options.full]


def kept(options: argparse.Namespace) -> dict[str, Any]:
    """Return the figures that there are of the parts that are not measured now; of this machine."""
    file = options.out / "dask.json"
    there = json.loads(file.read_text("utf-8")) if file.exists() and set(options.parts) < set(PARTS) else {}
    same = there.get("machine") == machine() and there.get("rounds") == options.rounds
    return there if same else {"loads": {}}


def machine() -> dict[str, object]:
    """Return what this runs on."""
    return describe_machine() | {"distributed": version("distributed")}


def command(options: argparse.Namespace) -> str:
    """Return what makes all of it again."""
    given = "" if options.rounds == 3 else f" --rounds {options.rounds}"
    given += "" if options.trials == 640 else f" --trials {options.trials}"
    return f"python -m benchmarks.dask_speed{given}"


def main() -> None:
    """Measure and write it down, after each part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--trials", type=int, default=640, help="in a study of trials that sleep")
    parser.add_argument("--hosts", type=int, nargs="*", default=[16, 100, 300], help="that are played")
    parser.add_argument("--full", type=int, nargs="*", default=[100], help="that ask for more than they get")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="others stay as they are")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "speed", help="a folder")
    options = parser.parse_args()
    about = {"schema": 1, "command": command(options), "machine": machine(), "workers": WORKERS}
    about |= {"processes": PROCESSES, "rounds": options.rounds, "trials": options.trials}
    content = kept(options) | about
    load = os.getloadavg()[0]
    for part, figures in measure(options):
        content[part] = figures
        content["loads"] |= {part: load}
        write_json(options.out / "dask.json", content)
        load = os.getloadavg()[0]
    if set(PARTS) <= set(content):
        (options.out / "dask.md").write_text(render(content))
        say(f"written: {options.out / 'dask.md'}")


if __name__ == "__main__":
    main()
