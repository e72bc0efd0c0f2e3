"""The page that `benchmarks.peers.dask_ray` writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any, Final

from benchmarks.dask_span import short, span
from benchmarks.report import machine_lines, table

__all__ = ["render"]

Content = Mapping[str, Any]

WHAT: Final = """
Every tuner runs the same training, which only sleeps: asynchronous successive halving of the stopping type,
max_t 27, grace_period 1, reduction_factor 3, random search. All is on one machine. hbsim's Dask cluster is a
scheduler and {processes} workers as processes of their own, connected by TLS; a trial is a process. Ray has a
process a trial, or with `reuse_actors=True` as many processes as trials at a time, which they share: a trial
that leaks or crashes takes more than itself with it then. Before the clock starts the Dask cluster is up,
and so is Ray, with as many processes as trials at a time that have imported Ray Tune; whether its actors use
those is Ray's affair. `local.md` has real training, at most two trials at a time: there Ray Tune with
`reuse_actors` and without loggers takes less time a trial than hbsim."""

CROWD: Final = """
{workers} trials at a time sleep from 0.2 to 1 s before each of the levels 1, 3, 9 and 27, report there alone
and wait for the verdict. What sleeping alone would allow is {workers} over the mean sleep. The window
begins with the tenth of the decisions and ends when the last trial has started. Which trials go on is
each tuner's decision, so what sleeping alone would allow differs a little."""

TRIAL: Final = """
Trials report once and end, two at a time: a worker's time from the start of a trial's function to the start
of the next one's there. The first tenth of the trials is left out, and at least two."""

RAY: Final = "ray"


def render(content: Content) -> str:
    """Return the page, Markdown."""
    given = {name: content[name] for name in ("workers", "processes")}
    machine = machine_lines(content["machine"], content["load_at_start"])
    versions = ", ".join(f"{name} {number}" for name, number in content["versions"].items())
    parts = [
        "# Many trials at a time on Dask and in Ray Tune",
        f"Written by `{content['command']}`, with the figures in `dask.json`. Medians of the runs that the "
        "tables say, the least and the most in brackets.",
        "\n".join([*machine, f"- an environment of its own: {versions}"]),
        WHAT.strip().format(**given),
        "## What was found",
        "\n".join(f"- {sentence}" for sentence in _found(content)),
        f"## Decisions a second, {content['workers']} trials at a time",
        CROWD.strip().format(**given),
        table(*_crowds(content["contenders"])),
        "## What a trial costs",
        TRIAL.strip(),
        table(*_trials(content["contenders"])),
    ]
    return "\n\n".join(parts) + "\n"


def _found(content: Content) -> Iterator[str]:
    """Give what each variant of Ray does beside hbsim on Dask."""
    dask, *others = (_figures(one) for one in _beside(content["contenders"]))
    yield (
        f"hbsim on Dask makes {short(dask['rate'])} decisions a second, {dask['share']:.0f} % of what "
        f"sleeping alone allows, and takes {short(dask['trial_ms'])} ms for a trial that does nothing."
    )
    for ray in others:
        rates = _than(ray["rate"], dask["rate"], "more", "fewer")
        trials = _than(dask["trial_ms"], ray["trial_ms"], "faster", "slower")
        yield (
            f"{ray['name']}: {short(ray['rate'])} decisions a second, {ray['share']:.0f} %, which is {rates} "
            f"than on Dask, with at most {ray['at_once']:.0f} trials at once; {short(ray['trial_ms'])} ms a "
            f"trial, {trials} than on Dask; its first trial starts after {short(ray['startup'])} s, on Dask "
            f"after {short(dask['startup'])} s."
        )


def _beside(contenders: Sequence[Content]) -> list[Content]:
    """Return hbsim on Dask, and then Ray's variants."""
    dask = [one for one in contenders if "Dask" in one["name"]]
    return dask + [one for one in contenders if one["name"].lower().startswith(RAY)]


def _figures(contender: Content) -> dict[str, Any]:
    crowds = _of(contender, "crowd")
    found: dict[str, Any] = {name: _mid(crowds, name) for name in ("rate", "startup", "at_once")}
    found["share"] = 100 * median(run["rate"] / run["limit"] for run in crowds)
    return found | {"name": contender["name"], "trial_ms": _mid(_of(contender, "trial"), "trial_ms")}


def _than(one: float, other: float, more: str, less: str) -> str:
    """Say how many times as much one is as the other."""
    return f"{short(one / other)} times {more}" if one >= other else f"{short(other / one)} times {less}"


def _crowds(contenders: Sequence[Content]) -> tuple[Sequence[str], Iterator[list[str]]]:
    head = (
        "tuner",
        "trials",
        "runs",
        "decisions a second",
        "sleeping alone",
        "share, %",
        "ms a decision beyond sleep",
    )
    head += ("ms to the verdict: median", "99 %", "most at once", "s until the first trial", "s in all")

    def rows() -> Iterator[list[str]]:
        for one in contenders:
            runs = _of(one, "crowd")
            cells = [span([run[name] for run in runs]) for name in ("rate", "limit")]
            cells.append(span([100 * run["rate"] / run["limit"] for run in runs]))
            cells.append(span([run["beyond_ms"] for run in runs]))
            cells += [span([run["trip_ms"][place] for run in runs]) for place in range(2)]
            cells += [span([run[name] for run in runs]) for name in ("at_once", "startup", "seconds")]
            yield [one["name"], f"{one['many']:,}", str(len(runs)), *cells]

    return head, rows()


def _trials(contenders: Sequence[Content]) -> tuple[Sequence[str], Iterator[list[str]]]:
    def rows() -> Iterator[list[str]]:
        for one in contenders:
            runs = _of(one, "trial")
            cells = [span([run[name] for run in runs]) for name in ("trial_ms", "seconds")]
            yield [one["name"], f"{one['few']:,}", str(len(runs)), *cells]

    return ("tuner", "trials", "runs", "ms a trial", "s in all"), rows()


def _of(contender: Content, what: str) -> list[Content]:
    return [run[what] for run in contender["runs"] if what in run]


def _mid(runs: Sequence[Content], name: str) -> float:
    return float(median(run[name] for run in runs))
