"""The numbers of a report, against plain loops over the same studies run by hand."""

import math
from statistics import fmean

import numpy as np
import polars as pl
import pytest

import hbsim
from hbsim.bench.report.build import build
from hbsim.surrogates.describe import sample

from .studies import CURVES, OPTIONS, SEEDS, WORKERS, by_hand, incumbents_by_hand, sweep

pytest.importorskip("scikit_posthocs", reason="needs the extra report")


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
    expected = {v: [score_by_hand(v, surrogate, workers, s) for s in SEEDS] for v in OPTIONS}
    keys = {}
    for row in task.rows:
        known = [score for score in expected[row.variant] if math.isfinite(score)]
        assert row.missing == 4 - len(known)
        mean = fmean(known) if known else math.nan
        assert row.score.mean == pytest.approx(mean, rel=1e-9, nan_ok=True)
        assert row.regret.mean == pytest.approx(mean * unit_and_best(surrogate)[0], rel=1e-9, nan_ok=True)
        keys[row.variant] = (row.missing, math.inf if math.isnan(mean) else round(mean, 12))
    for row in task.rows:
        assert row.rank == 1 + sum(other < keys[row.variant] for other in keys.values())
    assert [row.rank for row in task.rows] == sorted(row.rank for row in task.rows)


@pytest.mark.parametrize(("surrogate", "workers"), CASES)
def test_differences_are_paired_and_a_few_seeds_settle_nothing(report, surrogate, workers):
    task = tasks(report)[surrogate, workers]
    best = task.rows[0]
    for row in task.rows[1:]:
        pairs = [
            (
                score_by_hand(row.variant, surrogate, workers, s),
                score_by_hand(best.variant, surrogate, workers, s),
            )
            for s in SEEDS
        ]
        differences = [a - b for a, b in pairs if math.isfinite(a) and math.isfinite(b)]
        if differences:
            assert row.difference.mean == pytest.approx(fmean(differences), abs=1e-9)
        assert row.call in ("best", "too close to call", "no score")  # 4 pairs: p is at least 1/8
        assert math.isnan(row.p) == (row is best)
        assert row.variant == best.variant or row.p >= 1 / 8


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
        for duel in across.duels:
            assert duel.wins + duel.ties + duel.losses == 2
            assert math.isnan(duel.p)  # two blocks settle nothing
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
        'seeds = 3\nworkers = 2\n[defaults]\ntrials = 12\n[[variants]]\ntype = "stopping"\n[[variants]]\n'
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
