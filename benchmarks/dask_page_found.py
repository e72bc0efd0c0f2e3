"""What `benchmarks.dask_speed` found, in sentences that are made of the figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any, Final

from benchmarks.dask_span import short

__all__ = ["found"]

Content = Mapping[str, Any]

AIM: Final = 40.0  # ms a trial
PAIR: Final = ("local", "cluster")


def found(content: Content) -> Iterator[str]:
    """Give a sentence a finding."""
    yield from _decisions(content)
    yield _trials(content["overhead"])
    yield _trips(content["hops"])
    yield _reports(content["reports"])
    yield _commands(content)
    if content["hosts"]:
        yield _hosts(content["hosts"][-1])
    yield from map(_full, content["full"])


def _decisions(content: Content) -> Iterator[str]:
    for kind in dict.fromkeys(name.split()[0] for name in content["decisions"]):
        runs = [content["decisions"][f"{kind} {where}"] for where in PAIR]
        here, there = (_short(figures, "rate") for figures in runs)
        part, share = (f"{100 * _mid(figures, 'share'):.0f} %" for figures in runs)
        yield (
            f"{kind.capitalize()} with {content['workers']} workers that sleep makes {there} decisions a "
            f"second on Dask, {share} of what sleeping alone allows; with the local executor "
            f"{here}, {part} of it."
        )


def _trials(runs: Content) -> str:
    local, own, there = (_mid(runs[where], "trial_ms") for where in ("local", "dask", "cluster"))
    verdict = "within" if max(own, there) <= AIM else "beyond" if min(own, there) > AIM else "in part beyond"
    cpu = {where: short(median(sum(run["cpu_ms"].values()) for run in runs[where])) for where in runs}
    return (
        f"A trial that does nothing takes {short(there)} ms on a cluster that runs and {short(own)} ms on "
        f"one of its own, {verdict} the aim of {AIM:.0f} ms; with the local executor it takes {short(local)} "
        f"ms. In cpu it is {cpu['cluster']} ms of all processes, and {cpu['local']} ms locally."
    )


def _trips(runs: Content) -> str:
    local, there = (short(median(run["trip_ms"][0] for run in runs[f"alone {w}"])) for w in PAIR)
    most = {where: _short(runs[f"crowd {where}"], "rate") for where in PAIR}
    return (
        f"A verdict is back after {there} ms (local: {local} ms) if nothing else is going on; trials that "
        f"never pause get {most['cluster']} decisions a second (local: {most['local']})."
    )


def _reports(runs: Content) -> str:
    local, there = (_short(runs[f"flood {where}"], "rate") for where in PAIR)
    return f"{there} reports a second of one trial are kept (local: {local})."


def _commands(content: Content) -> str:
    runs, kill = content["commands"], content["kill"]
    first, last = ({where: _short(runs[where], name) for where in runs} for name in ("first", "last"))
    return (
        f"The first trial starts {first['dask']} s after the command, {first['cluster']} s on a cluster that "
        f"runs (local: {first['local']} s); the prompt is back {last['dask']} s after the last report, "
        f"{last['cluster']} s there (local: {last['local']} s). After the second Ctrl-C all trials are "
        f"gone in {_short(kill, 'gone')} s."
    )


def _hosts(run: Content) -> str:
    cores = {kind: short(number) for kind, number in run["cores"].items()}
    lost = "no job was lost" if not run["lost"] else f"{run['lost']} jobs were lost"
    return (
        f"{run['hosts']:,} played hosts with {run['trials']:,} trials at a time: {short(run['rate'])} of "
        f"{short(run['limit'])} decisions a second, {cores['controller']} cores of the controller and "
        f"{cores['scheduler']} of the scheduler, a verdict after {short(run['trip_ms'][0])} ms; {lost}."
    )


def _full(run: Content) -> str:
    cores = {kind: short(number) for kind, number in run["cores"].items()}
    return (
        f"{run['hosts']:,} played hosts that ask for more than can be had get {short(run['rate'])} decisions "
        f"a second; the controller takes {cores['controller']} cores then, the scheduler "
        f"{cores['scheduler']}, the played hosts {cores['workers']}."
    )


def _mid(runs: Sequence[Content], name: str) -> float:
    return float(median(run[name] for run in runs))


def _short(runs: Sequence[Content], name: str) -> str:
    return short(_mid(runs, name))
