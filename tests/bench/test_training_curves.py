"""The picture of training curves: every report is in it, and what became of whom."""

from __future__ import annotations

from itertools import pairwise

import pytest

from hbsim.bench.chart_style import save
from hbsim.bench.study_charts import FEW, STATUSES, curves_beyond, curves_of, training_curves
from tests.bench.charted import marks
from tests.profile import thorough
from tests.study.made import Made


def rising(trial, resource):
    return (0.5 + trial % 7) * (1 - 0.8**resource) / 10 + trial / 1e4


def result_of(
    folder, kind="promotion", trials=40, curve=rising, fails=lambda trial, resource: False, **options
):
    made = Made(folder / "exp", kind, num_trials=trials, **options)
    made.play(4, curve, fails)
    return made.result()


@pytest.mark.parametrize("kind", ["stopping", "promotion", "sha", "fifo"])
def test_every_curve_is_drawn_in_the_colour_of_its_end(tmp_path, kind):
    options = {"n": 27} if kind == "sha" else {}
    result = result_of(
        tmp_path, kind, fails=lambda trial, resource: trial % 9 == 5 and resource == 2, **options
    )
    best = result.summary()["best_trial"]
    statuses = dict(result.trials.select("trial", "status").iter_rows())
    lines = marks(training_curves(result), "line")
    shown = [(row["trial"], row["resource"], row["value"]) for line in lines for row in line["rows"]]
    assert sorted(shown) == sorted(result.reports.select("trial", "resource", "value").iter_rows())
    colour = lines[0]["encoding"]["color"]["scale"]
    colours = dict(zip(colour["domain"], colour["range"], strict=True))
    for line in lines:
        for row in line["rows"]:
            status = statuses[row["trial"]]
            if row["trial"] == best:
                assert row["status"] == f"incumbent: trial {best}, {status}"
            else:
                assert row["status"].split()[1] == status
                assert colours[row["status"]] == STATUSES[status]


def test_the_incumbent_is_on_top_with_its_best_report_marked(tmp_path):
    result = result_of(tmp_path)
    best = result.incumbent().row(-1, named=True)
    thin, thick = marks(training_curves(result), "line")
    assert thick["mark"]["strokeWidth"] > 2 > thin["mark"]["strokeWidth"]
    assert {row["trial"] for row in thick["rows"]} == {best["trial"]}
    [marked] = [(row["resource"], row["value"]) for row in thick["rows"] if row["best"]]
    assert marked == (best["resource"], best["value"])


def test_levels_are_marked_on_a_logarithmic_scale(tmp_path):
    result = result_of(tmp_path)
    [rules] = marks(training_curves(result), "rule")
    assert [row["resource"] for row in rules["rows"]] == list(result.scheduler.levels)
    x = rules["encoding"]["x"]
    assert x["scale"]["type"] == "log"
    assert x["axis"]["values"] == [1, 3, 9, 27]


def test_one_level_needs_no_logarithmic_scale(tmp_path):
    [rules] = marks(training_curves(result_of(tmp_path, "fifo", 3)), "rule")
    assert "type" not in rules["encoding"]["x"]["scale"]


@pytest.mark.parametrize("trials", [1, FEW, FEW + 1])
def test_few_trials_have_their_numbers_and_the_legend_counts(tmp_path, trials):
    chart = training_curves(result_of(tmp_path, trials=trials))
    numbers = sorted(row["trial"] for text in marks(chart, "text") for row in text["rows"])
    assert numbers == (list(range(trials)) if trials <= FEW else [])
    texts = marks(chart, "line")[0]["encoding"]["color"]["scale"]["domain"]
    assert texts[0].startswith("incumbent: trial ")
    assert sum(int(text.split()[0]) for text in texts[1:]) == trials
    without = training_curves(result_of(tmp_path / "w", trials=trials), legend=False)
    assert marks(without, "line")[0]["encoding"]["color"]["legend"] is None


def test_numbers_do_not_lie_over_each_other(tmp_path):
    chart = training_curves(result_of(tmp_path, "stopping", 12, lambda trial, resource: 0.5))
    [text] = marks(chart, "text")
    low, high = text["encoding"]["y"]["scale"]["domain"]
    heights = sorted((row["value"] - low) / (high - low) for row in text["rows"])
    assert len(heights) == 12
    assert all(b - a > 0.039 for a, b in pairwise(heights))


@pytest.mark.parametrize("mode", ["max", "min"])
def test_values_far_worse_than_all_others_are_left_outside_and_counted(tmp_path, mode):
    sign = 1 if mode == "max" else -1

    def curve(trial, resource):
        return sign * (-1e6 * resource if trial == 7 else rising(trial, resource))

    result = result_of(tmp_path, "fifo", 30, curve, mode=mode, max_t=5)
    chart = training_curves(result)
    low, high = marks(chart, "line")[0]["encoding"]["y"]["scale"]["domain"]
    assert high - low < 2 or high / low < 1e4
    assert low < result.summary()["best"] < high
    beyond = f"1 trial has values beyond the axis, {'below' if mode == 'max' else 'above'} "
    assert beyond in chart.to_dict()["title"]["subtitle"]
    assert curves_beyond(result).startswith(beyond)
    assert curves_beyond(result, [*range(7)]) == ""


def test_losses_over_several_powers_of_ten_have_a_logarithmic_scale(tmp_path):
    result = result_of(tmp_path, "fifo", 9, lambda trial, resource: 10.0 ** (-resource / 9), mode="min")
    scale = marks(training_curves(result), "line")[0]["encoding"]["y"]["scale"]
    assert scale["type"] == "log"
    values = result.reports["value"]
    assert scale["domain"][0] < values.min() < values.max() < scale["domain"][1]


def test_what_was_trained_again_counts_once_and_no_numbers_are_left_out(tmp_path):
    made = Made(tmp_path / "exp", "fifo", retries=1)
    job = made.start(0)
    made.rows(job, [(1, 0.1), (2, 0.2), (3, None)], 1.0)
    made.fail(job, "no", 2.0)
    made.rows(made.start(0), [(1, 0.3), (2, None)], 3.0)
    curves, _ = curves_of(made.result())
    assert curves.select("trial", "resource", "value").rows() == [(0, 1, 0.3), (0, 2, 0.2)]


@thorough
def test_a_thousand_trials_and_none(tmp_path):
    path = tmp_path / "curves.png"
    save(training_curves(result_of(tmp_path, "stopping", 1000)), path)
    assert path.read_bytes().startswith(b"\x89PNG")
    made = Made(tmp_path / "none")
    made.close("interrupted")
    chart = training_curves(made.result())
    save(chart, path)
    assert marks(chart, "line")[0]["encoding"]["y"]["title"] == "no reports"
