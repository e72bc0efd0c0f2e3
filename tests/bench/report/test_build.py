"""The numbers of a report, against plain loops over the same studies run by hand."""

import math
from importlib.util import find_spec
from statistics import fmean

import numpy as np
import polars as pl
import pytest

import hbsim
from hbsim.bench.conclusions import conclude
from hbsim.bench.report.build import build
from hbsim.bench.report.model import BEST, NO_SCORE
from hbsim.bench.sweep.cell import resource_at
from hbsim.surrogates.description import sample

from .studies import CURVES, OPTIONS, SEEDS, WORKERS, by_hand, incumbents_by_hand, sweep

# Not loaded where tests are collected, which takes a second in each of their processes.
pytestmark = pytest.mark.skipif(find_spec("scikit_posthocs") is None, reason="needs the extra report")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return sweep(tmp_path_factory.mktemp("sweep"))


@pytest.fixture(scope="module")
def report(results):
    return build(results, "hbsim report out")


def tasks(report):
    return {(task.surrogate, task.workers): task for task in report.tasks}


def unit_and_best(surrogate):
    """The regret of a guess, and the best there is."""
    curves = hbsim.surrogates.load(CURVES[surrogate])
    values, _ = curves.evaluate(sample(curves, 1000, 0), np.array([27.0]))
    best = curves.optimum(27.0)
    regrets = sorted(math.inf if math.isnan(v) else abs(v - best) for v in values[:, 0])
    return regrets[499], best


def budget_by_hand(surrogate, workers):
    if surrogate == "low":
        return 300.0
    return min(by_hand(v, surrogate, workers, s).end_time for v in OPTIONS for s in SEEDS)


def score_by_hand(variant, surrogate, workers, seed):
    unit, best = unit_and_best(surrogate)
    budget, score = budget_by_hand(surrogate, workers), math.nan
    for time, value in incumbents_by_hand(by_hand(variant, surrogate, workers, seed)):
        if time <= budget:
            score = abs(value - best) / unit
    return score


CASES = [(surrogate, workers) for surrogate in CURVES for workers in WORKERS]


@pytest.mark.parametrize(("surrogate", "workers"), CASES)
def test_scores_and_ranks(report, surrogate, workers):
    task = tasks(report)[surrogate, workers]
    assert task.budget == budget_by_hand(surrogate, workers)
    assert (task.mode, task.metric, task.seeds, task.max_t) == (
        "min" if surrogate == "low" else "max", "error" if surrogate == "low" else "accuracy", 4, 27.0
    )  # fmt: skip
    for row in task.rows:
        scores = [score_by_hand(row.variant, surrogate, workers, s) for s in SEEDS]
        assert row.missing == sum(map(math.isnan, scores))
        if row.missing:
            assert (row.call, math.isnan(row.score.mean)) == (NO_SCORE, True)
        else:
            assert row.score.mean == pytest.approx(fmean(scores), rel=1e-9)
            assert row.regret.mean == pytest.approx(fmean(scores) * unit_and_best(surrogate)[0], rel=1e-9)
    known = [row for row in task.rows if not row.missing]
    assert [row.score.mean for row in known] == sorted(row.score.mean for row in known)  # 4 seeds: all rank 1
    assert [row.call for row in known[:1]] == [BEST]
    assert [row.rank for row in task.rows] == sorted(row.rank for row in task.rows)


@pytest.mark.parametrize(("surrogate", "workers"), CASES)
def test_differences_are_paired_and_conclusions_are_those_of_conclude(report, surrogate, workers):
    task = tasks(report)[surrogate, workers]
    scores = np.array([[score_by_hand(v, surrogate, workers, s) for s in SEEDS] for v in OPTIONS])
    found = conclude(scores, median=1.0)
    best = list(OPTIONS).index(task.rows[0].variant)
    for row in task.rows:
        v = list(OPTIONS).index(row.variant)
        assert (row.rank, row.call) == (found.curves.rank[v], found.curves.call[v])
        assert row.draw is None  # curves from a formula have no rows
        if not row.missing:
            difference = fmean(a - b for a, b in zip(scores[v], scores[best], strict=True))
            assert row.curves.difference.mean == pytest.approx(difference, abs=1e-9)
            assert math.isnan(row.curves.p) == (row.call == BEST)


def value_by_hand(result, measure, until):
    """The value at R and the value that was picked of the last incumbent by a time or resource."""
    found = math.nan, math.nan
    frame = result.incumbent()
    at = frame["time"].to_list()
    if measure == "resource":
        at = resource_at(result.jobs, frame["time"].to_numpy()).tolist()
    for when, picked, (_, value) in zip(at, frame["value"], incumbents_by_hand(result), strict=True):
        if when <= until:
            found = picked, value
    return found


@pytest.mark.parametrize(("surrogate", "workers"), CASES)
def test_what_was_picked_stands_beside_what_it_shows_at_the_top_and_at_equal_resource(
    report, surrogate, workers
):
    task = tasks(report)[surrogate, workers]
    unit, best = unit_and_best(surrogate)
    for row in task.rows:
        found = [
            value_by_hand(by_hand(row.variant, surrogate, workers, s), "time", task.budget) for s in SEEDS
        ]
        for interval, numbers in zip((row.picked, row.value), zip(*found, strict=True), strict=True):
            if not any(map(math.isnan, numbers)):
                assert interval.mean == pytest.approx(fmean(numbers), rel=1e-9)
        assert row.test_standing is None
        values = [
            value_by_hand(by_hand(row.variant, surrogate, workers, s), "resource", task.resource)[1]
            for s in SEEDS
        ]
        if not any(map(math.isnan, values)):
            mean = fmean(abs(value - best) / unit for value in values)
            assert row.resource.mean == pytest.approx(mean, rel=1e-9)


@pytest.mark.parametrize(("surrogate", "workers"), CASES)
def test_equal_resource_is_the_median_of_what_was_trained_by_the_budget(report, surrogate, workers):
    task = tasks(report)[surrogate, workers]
    studies = [by_hand(v, surrogate, workers, s) for v in OPTIONS for s in SEEDS]
    trained = [float(resource_at(one.jobs, np.array([task.budget]))[0]) for one in studies]
    # It is read off between incumbents, where jobs end at other times.
    assert task.resource == pytest.approx(float(np.median(trained)), rel=0.2)
    assert min(trained) < task.resource
    assert any(note.startswith("equal resource: ") for note in task.notes)


@pytest.mark.parametrize(("surrogate", "workers"), CASES)
def test_who_leads_over_the_budget(report, surrogate, workers):
    task = tasks(report)[surrogate, workers]
    assert [lead.share for lead in task.leads[:4]] == [0.25, 0.5, 0.75, 1.0]
    assert task.leads[3].best == task.rows[0].variant
    ends = [by_hand(v, surrogate, workers, s).end_time for v in OPTIONS for s in SEEDS]
    for lead in task.leads:
        assert lead.time == pytest.approx(lead.share * task.budget)
        assert lead.running == fmean(end > lead.time for end in ends)
    beyond = np.median(ends) > 1.1 * task.budget
    assert (task.leads[-1].share > 1.0) == beyond
    assert {line.variant for line in task.chances} == set(OPTIONS)
    for at in range(len(task.chances[0].x)):
        assert math.fsum(line.mean[at] for line in task.chances) == pytest.approx(1.0)


@pytest.mark.parametrize(("surrogate", "workers"), CASES)
def test_area_and_target(report, surrogate, workers):
    task = tasks(report)[surrogate, workers]
    unit, best = unit_and_best(surrogate)
    for row in task.rows:
        areas, reach = [], []
        for seed in SEEDS:
            steps = list(incumbents_by_hand(by_hand(row.variant, surrogate, workers, seed)))
            area, last, height, first = 0.0, 0.0, 1.0, math.inf
            for time, value in steps:
                if time > task.budget:
                    break
                area += height * (time - last)
                score = abs(value - best) / unit
                last, height = time, min(1.0, score) if math.isfinite(score) else 1.0
                if score <= 0.2:
                    first = min(first, time)
            areas.append((area + height * (task.budget - last)) / task.budget)
            reach.append(min(first, task.budget))
        assert row.area.mean == pytest.approx(fmean(areas), rel=1e-9)
        assert row.to_target.mean == pytest.approx(fmean(reach), rel=1e-9)
        assert row.reached == fmean(time < task.budget for time in reach)
        [line] = [line for line in task.reached if line.variant == row.variant]
        assert line.mean[-1] == pytest.approx(row.reached, abs=1e-12)
        [curve] = [line for line in task.anytime if line.variant == row.variant]
        assert curve.x[-1] == task.budget
        if not row.missing:
            assert curve.mean[-1] == pytest.approx(row.score.mean, rel=1e-9)
            assert curve.low[-1] == pytest.approx(row.score.low, rel=1e-9)


def test_the_diagnosis_adds_up(report):
    for task in report.tasks:
        unit, _ = unit_and_best(task.surrogate)
        for regret in task.regrets:
            finals = [
                by_hand(regret.variant, task.surrogate, task.workers, s).summary()["regret"] for s in SEEDS
            ]
            if all(final is not None for final in finals):
                total = regret.sampling + regret.decisions + regret.unfinished + regret.choice
                assert total == pytest.approx(fmean(finals) / unit, abs=1e-9)
        for share in task.shares:
            parts = (share.training, share.retrained, share.overhead, share.idle, share.absent)
            assert math.fsum(parts) == pytest.approx(1.0)
        for variant in OPTIONS:
            brackets = [row for row in task.brackets if row.variant == variant]
            for name in ("trials", "resource", "winners"):
                assert math.fsum(getattr(row, name) for row in brackets) == pytest.approx(1.0)
            recorded = sum(row.recorded for row in task.rungs if row.variant == variant)
            by_hands = sum(
                by_hand(variant, task.surrogate, task.workers, s)
                .decisions.filter(pl.col("level") < 27)
                .height
                for s in SEEDS
            )
            assert recorded == by_hands
            [line] = [timeline for timeline in task.timelines if timeline.variant == variant]
            assert line.seed == 0
            assert all(segment.worker < task.workers for segment in line.segments)


def test_tests_over_tasks_count_groups_not_seeds(report):
    for across in report.across:
        assert across.groups == ("low", "other")
        for name, rank in zip(across.variants, across.ranks, strict=True):
            ranks = []
            for group in range(2):
                row = across.scores[group]
                mine = row[across.variants.index(name)]
                ranks.append(1 + sum(o < mine for o in row) + (sum(o == mine for o in row) - 1) / 2)
            assert rank == pytest.approx(fmean(ranks))
        for pair in across.pairs:
            assert pair.wins + pair.ties + pair.losses == 2
            assert math.isnan(pair.p)  # two blocks settle nothing
        assert math.isnan(across.p_friedman)
        assert math.isnan(across.critical_difference)
    settings = {across.setting for across in report.across}
    assert settings == {"slow, 2 workers", "slow, 8 workers", "all settings"}


def test_blocks_are_means_over_tasks_of_a_group(report):
    whole = next(a for a in report.across if a.setting == "all settings" and a.measure == "area")
    for group, surrogate in enumerate(("low", "high")):
        rows = [tasks(report)[surrogate, workers].rows for workers in WORKERS]
        for place, name in enumerate(whole.variants):
            areas = [row.area.mean for task in rows for row in task if row.variant == name]
            assert whole.scores[group][place] == pytest.approx(fmean(areas))


def test_heatmaps_are_over_brackets_and_eta(report):
    titles = {(heatmap.title, heatmap.setting) for heatmap in report.heatmaps}
    assert titles == {("stopping", "slow, 2 workers"), ("stopping", "slow, 8 workers")}
    heatmap = report.heatmaps[0]
    assert (heatmap.brackets, heatmap.etas) == ((1.0, 2.0), (2.0, 3.0))
    means = [
        next(
            row for row in tasks(report)[s, 2].rows if row.variant == "stopping,brackets=2,reduction_factor=3"
        )
        for s in CURVES
    ]
    if all(row.missing == 0 for row in means):
        assert heatmap.values[1][1] == pytest.approx(fmean(row.score.mean for row in means))


def test_what_is_not_run_is_missing_and_the_rest_is_reported(tmp_path):
    part = build(sweep(tmp_path, keep=13), "hbsim report out")
    assert (part.cells, part.finished) == (96, 13)
    [missing] = part.missing
    assert (missing.reason, missing.cells) == ("not run yet", 83)
    assert "asha <b>" in {variant.name for variant in part.variants}
    assert any("Not complete: 83 of 96 cells have no result" in sentence for sentence in part.summary)
    assert part.tasks[0].seeds == 1


def test_an_unknown_optimum_is_the_best_that_was_seen(tmp_path):
    (tmp_path / "curves.py").write_text(
        "import numpy as np\n"
        "from hbsim import Real\n"
        "from hbsim.core.space import Space\n"
        "class Curves:\n"
        "    metric, mode, max_resource, rows = 'loss', 'min', 9, None\n"
        "    space = Space({'x': Real(0, 1)})\n"
        "    def evaluate(self, c, levels):\n"
        "        x = np.asarray(c)[:, :1]\n"
        "        return x + 1 / levels, np.broadcast_to(levels, (len(x), len(levels))).astype(float)\n"
    )
    spec = (
        'seeds = 3\nworkers = 2\n[defaults]\nnum_trials = 12\n[[variants]]\ntype = "stopping"\n[[variants]]\n'
        'type = "fifo"\n[[surrogates]]\nsurrogate = "curves.py:Curves"\nname = "mine"\n'
    )
    results = sweep(tmp_path, spec)
    report = build(results, "hbsim report out")
    [task] = report.tasks
    seen = results.done["best_started_part"].min()
    assert not task.is_optimum_known
    assert task.optimum == pytest.approx(seen)
    assert any("unknown" in note for note in task.notes)
    for regret in task.regrets:
        assert regret.sampling >= 0.0
        assert math.isfinite(regret.sampling + regret.decisions + regret.unfinished + regret.choice)


def test_the_same_results_give_the_same_report(results, report):
    assert repr(build(results, "hbsim report out")) == repr(report)
