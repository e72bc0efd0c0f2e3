"""The picture of training curves: every report is in it, and what became of whom."""

from __future__ import annotations

import numpy as np
import pytest
from hbsim.bench.training_curves import COLOURS, FEW, curves_of, plot_curves
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex

from tests.live.made import Made


def rising(trial, resource):
    return (0.5 + trial % 7) * (1 - 0.8**resource) / 10 + trial / 1e4


def drawn(axes):
    """Return the lines of each colour, the incumbent's apart."""
    return {
        to_hex(lines.get_edgecolor()[0]): [line.tolist() for line in lines.get_segments()]
        for lines in axes.collections
        if isinstance(lines, LineCollection) and len(lines.get_segments())
    }


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
    axes = plot_curves(result).axes[0]
    statuses = dict(result.trials.select("trial", "status").iter_rows())
    for status, colour in COLOURS.items():
        expected = [
            part.select("resource", "value").rows()
            for (trial,), part in result.reports.group_by("trial", maintain_order=True)
            if statuses[trial] == status and len(part) > 1
        ]
        lines = drawn(axes).get(colour.lower(), [])
        assert sorted([tuple(point) for point in line] for line in lines) == sorted(expected)


def test_the_incumbent_is_on_top_with_its_best_report_marked(tmp_path):
    result = result_of(tmp_path)
    axes = plot_curves(result).axes[0]
    best = result.incumbent().row(-1, named=True)
    [line] = [line for line in axes.lines if line.get_linewidth() > 2]
    mine = result.reports.filter(trial=best["trial"])
    assert line.get_xdata().tolist() == mine["resource"].to_list()
    marks = [points.get_offsets().tolist() for points in axes.collections if points.get_zorder() == 5]
    assert marks == [[[best["resource"], best["value"]]]]


def test_levels_are_marked_on_a_logarithmic_scale(tmp_path):
    result = result_of(tmp_path)
    axes = plot_curves(result).axes[0]
    upright = {line.get_xdata()[0] for line in axes.lines if len(set(line.get_xdata())) == 1}
    assert upright == set(result.scheduler.levels)
    assert axes.get_xscale() == "log"
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1", "3", "9", "27"]


def test_one_level_needs_no_logarithmic_scale(tmp_path):
    assert plot_curves(result_of(tmp_path, "fifo", 3)).axes[0].get_xscale() == "linear"


@pytest.mark.parametrize("trials", [1, FEW, FEW + 1])
def test_few_trials_have_their_numbers_and_the_legend_counts(tmp_path, trials):
    figure = plot_curves(result_of(tmp_path, trials=trials))
    numbers = sorted(int(text.get_text()) for text in figure.axes[0].texts if text.get_text().isdigit())
    assert numbers == (list(range(trials)) if trials <= FEW else [])
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts[0].startswith("incumbent: trial ")
    assert sum(int(text.split()[0]) for text in texts[1:]) == trials


def test_numbers_do_not_lie_over_each_other(tmp_path):
    figure = plot_curves(result_of(tmp_path, "stopping", 12, lambda trial, resource: 0.5))
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts if text.get_text().isdigit()]
    assert len(boxes) == 12
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:i])


@pytest.mark.parametrize("mode", ["max", "min"])
def test_values_far_worse_than_all_others_are_left_outside_and_counted(tmp_path, mode):
    sign = 1 if mode == "max" else -1

    def curve(trial, resource):
        return sign * (-1e6 * resource if trial == 7 else rising(trial, resource))

    result = result_of(tmp_path, "fifo", 30, curve, mode=mode, max_t=5)
    axes = plot_curves(result).axes[0]
    low, high = axes.get_ylim()
    assert high - low < 2
    assert low < result.summary()["best"] < high
    assert any("5 values outside" in text.get_text() for text in axes.texts)


def test_losses_over_several_powers_of_ten_have_a_logarithmic_scale(tmp_path):
    result = result_of(tmp_path, "fifo", 9, lambda trial, resource: 10.0 ** (-resource / 9), mode="min")
    axes = plot_curves(result).axes[0]
    assert axes.get_yscale() == "log"
    values = result.reports["value"]
    assert axes.get_ylim()[0] < values.min() < values.max() < axes.get_ylim()[1]


def test_what_was_trained_again_counts_once_and_no_numbers_are_left_out(tmp_path):
    made = Made(tmp_path / "exp", "fifo", retries=1)
    job = made.start(0)
    made.rows(job, [(1, 0.1), (2, 0.2), (3, None)], 1.0)
    made.fail(job, "no", 2.0)
    made.rows(made.start(0), [(1, 0.3), (2, float("nan"))], 3.0)
    made.records[-1]["rows"][1][3]["accuracy"] = None
    [curve] = curves_of(made.result())
    assert np.column_stack((curve.resource, curve.value)).tolist() == [[1, 0.3], [2, 0.2]]


def test_a_thousand_trials_and_none(tmp_path):
    path = tmp_path / "curves.png"
    plot_curves(result_of(tmp_path, "stopping", 1000), path)
    assert path.read_bytes().startswith(b"\x89PNG")
    made = Made(tmp_path / "none")
    made.close("interrupted")
    figure = plot_curves(made.result(), path)
    assert any(text.get_text() == "no reports" for text in figure.axes[0].texts)
