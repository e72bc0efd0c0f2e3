"""What the page of `benchmarks.peers.same_study` says of its figures."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean, median
from typing import Any, Final

__all__ = ["HEAD", "HOW", "facts", "notes"]

Row = dict[str, Any]

HEAD: Final = """\
ASHA with r = 1, eta = 3, R = 81 and one bracket, on two tables of {trials:,} curves: `synthetic` (accuracy, maximised) and
`digits` (validation error, minimised; its seconds times 400, so that an epoch takes some 10 s in both). Trial i is row
i of the table in every tool; {seeds} orders of the rows are the seeds, and figures are means over these unless they say
otherwise. Schedulers are told of a result where something is decided: at 1, 3, 9, 27 and 81 epochs."""

HOW: Final = """\
| tool | its ASHA | how it is run | held against hbsim's |
| --- | --- | --- | --- |
| Syne Tune | stopping, by rank | its own simulator, with its defaults: it polls every 5 s, each order takes 0.05 s | `rule="rank"` |
| Ray Tune | stopping, by the quantile of those before | it has no simulator: the class `ASHAScheduler` alone, told by a loop of ours in simulated time | `rule="quantile"` |
| Optuna | stopping, the best third, its own value counted | it has no simulator: ask, report, `should_prune` and tell of `SuccessiveHalvingPruner` (`bootstrap_count=0`), called by the same loop | `rule="top-k"` |
| mfhpo-simulator | none | its simulator; hbsim's scheduler answers its ask and tell. It counts results: the first 1,300 of both | promotion, `straight_on=False` |"""

_NOTES: Final = {
    "speed": """\
cpu milliseconds of one study within the process, the median over the seeds: imports and reading the table aside. Ray
Tune's and Optuna's have the loop in them; with mfhpo-simulator hbsim's scheduler is in both. hbsim: the median of three
runs of each, the table of decisions included. [peers.md](peers.md) has larger studies.""",
    "order": """\
Out of order: a result that the scheduler was told after one that was there later. Late: simulated seconds from when the
training had reached the level to when the scheduler was told. hbsim: 0.0%; 0.00, 0.0 everywhere. Ray Tune and Optuna were
told by our loop, on time.""",
    "decisions": """\
A rung of hbsim's core (`hbsim.core.cuts`) was told of the very results that the tool's scheduler was told of, in the same
order, and decided by the rule named above; all decisions below R, of all seeds. mfhpo-simulator has no rule of its own.""",
    "overlap": """\
Jaccard's index of the trials that reached 3 / 9 / 27 / 81 epochs, here and in hbsim; a dash where none did in either.""",
    "reached": "How many they were:",
    "regret": """\
Regret: how far the incumbent (the best value told so far) is at R from the best row. Means over the time that both
studies had, from their first results to the earlier end; then theirs less hbsim's, with 95 % intervals: of that mean, and
after a quarter of the time and at its end. Below 0 the tool does better than hbsim; 0: equal for every seed.""",
    "time": "How long the study takes until its last result:",
}


def notes(name: str) -> str:
    """Return what stands above a table."""
    return _NOTES[name]


def facts(content: Row) -> Iterator[str]:
    """Give what the figures say, a sentence or two each."""
    studies = content["studies"]
    yield _speed(studies)
    yield from _decided(studies)
    yield _polling(studies)
    yield _counting(studies)
    yield _better(studies)
    yield _again(studies)


def _of(studies: list[Row], *names: str) -> list[Row]:
    return [study for study in studies if any(study["peer"].startswith(name) for name in names)]


def _is_same(study: Row) -> bool:
    return all(share in (1.0, None) for seed in study["overlap"] for share in seed)


def _speed(studies: list[Row]) -> str:
    ratios = [median(study["cpu"]) / median(study["hbsim_cpu"]) for study in studies]
    return (
        f"**Speed.** hbsim takes the least cpu time in every cell: the others take {min(ratios):,.1f} to "
        f"{max(ratios):,.0f} times as much. Ray Tune and Optuna are not built to replay tables, and a study "
        "that trains for hours does not notice."
        if min(ratios) > 1
        else f"**Speed.** The others take {min(ratios):,.1f} to {max(ratios):,.0f} times hbsim's cpu time."
    )


def _decided(studies: list[Row]) -> Iterator[str]:
    for name, rule in (("Syne Tune", "rank"), ("Optuna", "top-k"), ("Ray Tune", "quantile")):
        own = _of(studies, name)
        seeds = [seed for study in own for seed in study["decisions"]]
        same, total, tied = map(sum, zip(*seeds, strict=True))
        text = (
            f"**{name}.** Told of the same results in the same order, `{rule}` decides as it does: {same:,} "
        )
        text += f"of {total:,} decisions."
        if tied:
            text += (
                f" {tied:,} of the other {total - same:,} are values that equal the cutoff: hbsim lets these go "
                "on, while rounding puts Ray Tune's percentile just above (1 - 1/eta is no float). The curves "
                "of `digits` have many equal errors; the overlap below falls short of 1 by that and what "
                "follows from it."
            )
        elif same == total and all(map(_is_same, own)):
            text += " The same trials survive."
        yield text


def _polling(studies: list[Row]) -> str:
    usual, fine = (_of(studies, "Syne Tune"), _of(studies, "Syne Tune, polls"))
    usual = [study for study in usual if study not in fine]
    late = [fmean(mean for study in part for mean, _ in study["late"]) for part in (usual, fine)]
    many = [_disorder(part, 100) for part in (usual, fine)]
    at_r = [_at_r(part, 100) for part in (usual, fine)]
    return (
        f"**Polling is what sets Syne Tune's study apart.** It tells its scheduler {late[0]:.1f} s late on "
        f"average, and of 100 workers {many[0]:.0%} of results out of order; polling every 0.25 s without its "
        f"delays it is {late[1]:.2f} s and {many[1]:.0%}. Of the trials that reach R with 100 workers, "
        f"{at_r[0]:.0%} are those that do in hbsim, then {at_r[1]:.0%}: early in a rung one place in the order "
        "decides whether a trial goes on, and each such trial moves all that come after it."
    )


def _disorder(part: list[Row], workers: int) -> float:
    return fmean(share for study in part if study["workers"] == workers for share in study["disorder"])


def _at_r(part: list[Row], workers: int) -> float:
    seeds = [seed for study in part if study["workers"] == workers for seed in study["overlap"]]
    return fmean(seed[-1] for seed in seeds if seed[-1] is not None)


def _counting(studies: list[Row]) -> str:
    own = _of(studies, "mfhpo")
    plain = [study for study in own if study["peer"].endswith("a configuration")]
    kept = [study for study in own if study not in plain]
    extra = {level: _overrun(kept, level) for level in ("1", "3", "9", "27", "81")}
    same = sum(all(share in (1.0, None) for share in seed) for study in plain for seed in study["overlap"])
    total = sum(len(study["overlap"]) for study in plain)
    return (
        f"**mfhpo-simulator**, where every job is a configuration, runs hbsim's study: in {same} of {total} the "
        "same trials reach the same levels. With its own bookkeeping of runs that go on, jobs to "
        + ", ".join(f"{level} epochs take {extra[level]:.1f} s" for level in ("9", "27", "81"))
        + f" more than the table says (to 1 and 3: {extra['1']:.1f} and {extra['3']:.1f} s): from the third job of "
        "a trial on it takes off the length of the last job alone, not of all before; so its studies take longer."
    )


def _overrun(part: list[Row], level: str) -> float:
    return abs(fmean(one[level] for study in part for one in study["overrun"] if one[level] is not None))


def _better(studies: list[Row]) -> str:
    spreads = [(study, study["regret"]["mean"]["difference"]) for study in studies]
    theirs = [study for study, (_, _, high) in spreads if high < 0]
    ours = [study for study, (_, low, _) in spreads if low > 0]
    text = (
        f"**Regret** over time is clearly better in hbsim in {len(ours)} of {len(studies)} cells, and in the "
        f"other tool in {len(theirs)}"
    )
    where = [f"{study['peer']}, {study['table']}, {study['workers']} workers" for study in theirs]
    text += f" ({'; '.join(where)})" if where else ""
    times = [_ratio(study) for study in studies]
    quicker = [study for study, ratio in zip(studies, times, strict=True) if ratio < 0.995]
    text += "; the simulators differ in what they simulate, not in how well they search. "
    if not quicker:
        return text + "No study ends more than 0.5 % earlier than hbsim's."
    where = [f"{study['peer']}, {study['table']}, {study['workers']} workers" for study in quicker]
    return text + f"Studies that end earlier than hbsim's by more than 0.5 %: {'; '.join(where)}."


def _ratio(study: Row) -> float:
    pairs = zip(study["simulated_seconds"], study["hbsim_simulated_seconds"], strict=True)
    return fmean(one / other for one, other in pairs)


def _again(studies: list[Row]) -> str:
    same = {study["peer"]: True for study in studies}
    for study in studies:
        same[study["peer"]] &= study["again"]
    here = ["hbsim"] if all(study["hbsim_again"] for study in studies) else []
    here += [name for name, again in same.items() if again]
    text = f"**Run again**, the first study of each table has the very same log in {', '.join(here)}."
    moved = "; ".join(name for name, again in same.items() if not again)
    if moved:
        text += f" It has another in {moved}: these add the time that their scheduler really takes to the "
        text += "simulated time, so their figures move a little from run to run."
    return text
