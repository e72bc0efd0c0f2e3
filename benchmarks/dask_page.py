"""The page that `benchmarks.dask_speed` writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any, Final

from benchmarks.dask_page_found import found
from benchmarks.dask_span import short, span
from benchmarks.report import machine_lines, table

__all__ = ["render"]

Content = Mapping[str, Any]

WHERE: Final = {
    "local": "local",
    "dask": "Dask, a cluster of its own",
    "cluster": "Dask, a cluster that runs",
}
KINDS: Final = ("controller", "scheduler", "workers", "agents", "servers", "trials")

SETTING: Final = """
Everything runs on one machine: the controller, a Dask scheduler and {processes} Dask workers as processes
of their own, connected by TLS on the loopback, and the trials. "Local" is the local executor on the same
machine, in the same rounds."""

DECISIONS: Final = """
{workers} trials at a time sleep from 0.2 to 1 s before each of the levels 1, 3, 9 and 27, report there
and wait for the verdict; {trials} trials a study. What sleeping alone would allow is workers over the
mean sleep. The window begins with the tenth of the decisions and ends when there is nothing to start any
more."""

OVERHEAD: Final = """
200 trials report once and end, two at a time. A trial takes a worker's time from the start of its
function to the start of the next one's there, the first tenth of the trials left out: all of it is overhead.
The aim is 40 ms. The last two columns are of the call of `hbsim.run`, within Python."""

CPU_TRIAL: Final = """
Milliseconds of cpu a trial, by process. Workers are Dask's; servers fork the trials.
A cluster of its own has its scheduler in the controller's process."""

HOPS: Final = """
A trial that waits for one verdict after the other: alone, 20 ms between them, and {workers} at a time,
without any pause. The time is measured in the trial, from its report until it goes on."""

REPORTS: Final = """
One trial reports 20,000 times as fast as it goes; reports a second are until the study has kept all of
them, and has closed. Then {workers} trials report 20 times a second each, for 10 s."""

MESSAGES: Final = """
A beat is there and back, once a second and host; a milestone is its report and its verdict. Milliseconds
of cpu beyond what the processes take when nothing else is said: that is the first row, of all
{processes} hosts together. {a_call} milestones came with a call to a host in the middle run: what is to
be said at the same time is said together. The last row is of the {workers} trials above, 20 reports each."""

COMMANDS: Final = """
`hbsim run` with four trials that report once: from the command to the start of the first trial, and from
the last report to the prompt. A cluster of its own is started and ended within that; the other one runs
already. Then {workers} trials that never report, on the cluster, and Ctrl-C twice: until none of their
processes is left, and until the prompt."""

HOSTS: Final = """
One process plays hosts: real Dask workers with the real plugin, but agents and trials are only played,
ten trials a host. So the controller and the scheduler do what they would do for as many machines; this
machine bears all three processes, and two cores have to do. A trial reaches its next milestone some
seconds after the verdict of the last; all together ask for so many decisions a second. One run each. A
host beats once a second. cpu of joining is from the call of `hbsim.run` to the first start of a trial;
the controller's has its imports in it. A host that has not answered for 5 s is shut: it gets no new jobs
until it has."""

FULL: Final = """
The same, where trials ask for more than can be had. A process at its limit takes a whole core; where none
does, the machine had no more to give."""


def render(content: Content) -> str:
    """Return the page, Markdown."""
    rounds, given = content["rounds"], {name: content[name] for name in ("workers", "processes", "trials")}
    given["a_call"] = short(content["messages"]["middle"]["a_call"])
    runs = f"Medians of {rounds} rounds, the least and the most in brackets." if rounds > 1 else "One round."
    loads = content["loads"]
    busy = ", ".join(f"{part} {load:.1f}" for part, load in loads.items())
    machine = machine_lines(content["machine"], max(loads.values()))
    machine[-1] = (
        f"- load average at the start of each part, which may have been measured alone (`--parts`): {busy}; "
    )
    machine[-1] += "a busy machine is slower"
    parts = [
        "# Studies on a Dask cluster: how fast",
        f"Written by `{content['command']}`, with the figures in `dask.json`. {runs}",
        "\n".join(machine),
        SETTING.strip().format(**given),
        "## What was found",
        "\n".join(f"- {sentence}" for sentence in found(content)),
    ]
    for title, text, *tables in _sections(content):
        parts += [f"## {title}", text.strip().format(**given), *tables]
    return "\n\n".join(parts) + "\n"


def _sections(content: Content) -> Iterator[tuple[str, ...]]:
    yield "Decisions a second", DECISIONS, _decisions(content["decisions"])
    trials = content["overhead"]
    yield "What a trial costs", OVERHEAD, _overhead(trials), CPU_TRIAL.strip(), _cpu(trials)
    yield "From a milestone to its verdict", HOPS, _hops(content["hops"])
    yield "Reports between milestones", REPORTS, _flood(content["reports"]), _talk(content["reports"])
    talk = content["reports"]["talk cluster"]
    yield "Cpu a message", MESSAGES, _messages(content["messages"]["runs"], talk)
    yield "Whole commands", COMMANDS, _commands(content["commands"]), _kill(content["kill"])
    yield "Many hosts", HOSTS, _hosts(content["hosts"]), FULL.strip(), _hosts(content["full"])


def _decisions(runs: Content) -> str:
    head = ("study", "executor", "decisions a second", "sleeping alone", "share, %")
    head += (
        "ms a decision beyond sleep",
        "ms to the verdict: median",
        "99 %",
        "ms from stop to gone: median",
        "99 %",
    )

    def rows() -> Iterator[list[str]]:
        for name, figures in runs.items():
            kind, where = name.split()
            plain = [span(_of(figures, field)) for field in ("rate", "limit")]
            share = span([100 * one for one in _of(figures, "share")])
            yield [kind, WHERE[where], *plain, share, span(_of(figures, "beyond_ms")), *_ends(figures)]

    return table(head, rows())


def _overhead(runs: Content) -> str:
    head = ("executor", "ms a trial", "more than local", "ms from stop to gone: median", "99 %")
    head += ("s to the first trial", "s to close")
    base = median(_of(runs["local"], "trial_ms"))

    def rows() -> Iterator[list[str]]:
        for where, figures in runs.items():
            whole = _of(figures, "trial_ms")
            cells = [span(whole), short(median(whole) - base), *_two(_of(figures, "gone_ms"))]
            yield [WHERE[where], *cells, *(span(_of(figures, name)) for name in ("first", "last"))]

    return table(head, rows())


def _cpu(runs: Content) -> str:
    def rows() -> Iterator[list[str]]:
        for where, figures in runs.items():
            by_kind = [[run[kind] for run in _of(figures, "cpu_ms")] for kind in KINDS]
            whole = [sum(run.values()) for run in _of(figures, "cpu_ms")]
            yield [WHERE[where], *map(span, by_kind), span(whole)]

    return table(("executor", *KINDS, "in all"), rows())


def _hops(runs: Content) -> str:
    head = ("trials", "executor", "ms to the verdict: median", "99 %", "decisions a second")
    says = {"alone": "one", "crowd": "many"}

    def rows() -> Iterator[list[str]]:
        for name, figures in runs.items():
            kind, where = name.split()
            yield [says[kind], WHERE[where], *_two(_of(figures, "trip_ms")), span(_of(figures, "rate"))]

    return table(head, rows())


def _flood(runs: Content) -> str:
    head = ("executor", "us a report costs the trial", "reports a second")
    names = ("report_us", "rate")
    there = ("local", "cluster")
    return table(head, ([WHERE[w], *(span(_of(runs[f"flood {w}"], name)) for name in names)] for w in there))


def _talk(runs: Content) -> str:
    head = ("executor", "reports kept", "s until known here: median", "most")

    def rows() -> Iterator[list[str]]:
        for where in ("local", "cluster"):
            figures = runs[f"talk {where}"]
            late = [run["late"] for run in figures if run["late"]]
            cores = [[run["cpu"][kind] / run["seconds"] for run in figures] for kind in KINDS]
            spans = _two(late) if late else ["", ""]
            yield [WHERE[where], span(_of(figures, "seen")), *spans, *map(span, cores)]

    return table((*head, *(f"cores: {kind}" for kind in KINDS)), rows())


def _messages(runs: Sequence[Content], talk: Sequence[Content]) -> str:
    kinds = KINDS[:-1]
    base = {kind: median(run["base"][kind] for run in runs) for kind in kinds}
    batches = [
        {kind: 1e3 * (run["cpu"][kind] - base[kind] * run["seconds"]) / run["batches"] for kind in kinds}
        for run in talk
    ]

    def row(name: str, field: str, scale: float = 1.0) -> list[str]:
        return [name, *(span([scale * run[field][kind] for run in runs]) for kind in kinds)]

    rows = [
        row("nothing, ms a second", "base", 1e3),
        row("a beat", "beat_ms"),
        row("a milestone", "milestone_ms"),
        ["a second's reports of a trial", *(span([batch[kind] for batch in batches]) for kind in kinds)],
    ]
    return table(("ms of cpu", *kinds), rows)


def _commands(runs: Content) -> str:
    head = ("executor", "s to the first trial", "s from the last report to the prompt")
    rows = ([WHERE[w], *(span(_of(found, name)) for name in ("first", "last"))] for w, found in runs.items())
    return table(head, rows)


def _kill(runs: Sequence[Content]) -> str:
    head = ("s from the second Ctrl-C until all trials are gone", "s until the prompt")
    return table(head, [[span(_of(runs, name)) for name in ("gone", "prompt")]])


def _hosts(runs: Sequence[Content]) -> str:
    head = ("hosts", "trials at a time", "decisions a second", "asked for", "beats a second")
    head += ("cores: controller", "scheduler", "played hosts", "ms to the verdict: median", "99 %")
    head += (
        "s to join",
        "its cpu s: controller",
        "scheduler",
        "s to close",
        "times a host was shut",
        "jobs lost",
        "load",
    )

    def rows() -> Iterator[list[str]]:
        for run in runs:
            cores = [short(run["cores"][kind]) for kind in ("controller", "scheduler", "workers")]
            join = [short(run["join"][kind]) for kind in ("controller", "scheduler")]
            cells = [short(run["rate"]), short(run["limit"]), short(run["a_second"]["beats"]), *cores]
            cells += [*map(short, run["trip_ms"]), short(run["ready"]), *join, short(run["close"])]
            cells += [str(run["shut"]), str(run["lost"]), f"{run['load']:.1f}"]
            yield [f"{run['hosts']:,}", f"{run['trials']:,}", *cells]

    return table(head, rows())


def _ends(figures: Sequence[Content]) -> list[str]:
    return [*_two(_of(figures, "trip_ms")), *_two(_of(figures, "gone_ms"))]


def _two(pairs: Sequence[Sequence[float]]) -> list[str]:
    """Return cells of medians and of 99th percentiles."""
    return [span([pair[place] for pair in pairs]) for place in range(2)]


def _of(figures: Sequence[Content], name: str) -> list[Any]:
    return [run[name] for run in figures]
