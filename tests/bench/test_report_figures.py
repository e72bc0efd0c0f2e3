"""Figures of a report: the same bytes, readable labels, and what they are drawn from against plain loops."""

from __future__ import annotations

import itertools
import math
import re
import statistics
from collections import Counter
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hbsim.bench.report import figure_anytime, figures
from hbsim.bench.report.figure_ranks import rank_figure, stacked
from hbsim.bench.report.figures_names import FileNames, clean, labels, shortened, slug
from hbsim.bench.report.figures_style import looks_of, paper_style
from hbsim.bench.report.figures_views import mean_over_groups, views
from hbsim.bench.report.model import Line, VariantInfo
from hbsim.errors import OutputError

from .report_example_small import report


def drawn(made):
    with paper_style():
        return dict(figures._figures(made))


def test_the_same_report_gives_the_same_bytes_in_both_formats(tmp_path):
    made = report(1, 2)
    first = figures.write_figures(made, tmp_path / "a")
    second = figures.write_figures(made, tmp_path / "b")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert sorted(first) == sorted((tmp_path / "a").iterdir())
    kinds = Counter(path.suffix for path in first)
    assert kinds[".png"] == kinds[".svg"] == len({path.stem for path in first}) >= 7
    for path in first:
        if path.suffix == ".png":
            head = path.read_bytes()[:24]
            assert head[:8] == b"\x89PNG\r\n\x1a\n"
            assert int.from_bytes(head[16:20], "big") in (680, 1400)  # 3.4 and 7 inches at 200 dpi
        else:
            text = path.read_text("utf-8")
            ElementTree.fromstring(text)
            assert "dc:date" not in text
            assert "matplotlib" not in text.lower().split("<defs>")[0].replace("matplotlib.org", "")


def test_letters_are_not_small_and_names_are_not_formulas():
    made = report(2, 4)
    named = 0
    with paper_style():  # ticks get their texts when they are asked for
        for name, figure in figures._figures(made):
            for text in figure.findobj(lambda one: hasattr(one, "get_fontsize")):
                assert text.get_fontsize() >= 7, (name, text.get_text())
                assert not text.get_parse_math()
                named += "$x_1$" in text.get_text()
    assert named > 10


def test_what_there_is_none_of_is_left_out():
    made = drawn(report(3, 2, empty=True))
    assert {name.split("-")[0] for name in made} == {"timeline"}
    assert drawn(report(0, 1)) == {}
    names = {name.split("-")[0] for name in drawn(report(1, 1))}
    assert names == {"anytime", "target", "heatmap", "regret", "rungs", "brackets", "time", "timeline"}


def test_many_tasks_share_pages_and_each_is_shown_once(monkeypatch):
    one = report(1, 1)
    tasks = (
        replace(one.tasks[0], surrogate=f"s{i}", cluster="ab"[i % 2], timelines=(), rungs=())
        for i in range(200)
    )
    made = replace(one, tasks=tuple(tasks))
    pages = []
    monkeypatch.setattr(
        figure_anytime,
        "anytime_page",
        lambda tasks, setting, part, looks: pages.append((setting, part, tasks)),
    )
    names = list(drawn(made))
    assert [part for _, part, _ in pages[:9]] == [f" ({n} of 9)" for n in range(1, 10)]
    assert max(len(tasks) for _, _, tasks in pages) == figure_anytime.PANELS
    shown = Counter((task.surrogate, task.setting) for _, _, tasks in pages for task in tasks)
    assert shown == Counter((task.surrogate, task.setting) for task in made.tasks)
    assert all(task.setting == setting for setting, _, tasks in pages for task in tasks)
    assert len(names) <= 10


def test_a_page_has_a_panel_for_each_task_with_its_name():
    made = report(8, 9)
    with paper_style():
        page = figure_anytime.anytime_page(made.tasks[::2], "a setting", "", looks_of(made))
    shown = [axes for axes in page.axes if axes.get_visible()]
    assert [axes.get_title("left") for axes in shown] == [f"surrogate_{i}" for i in range(4)]
    for axes, task in zip(shown, made.tasks[::2], strict=True):
        assert not axes.collections  # nine bands would hide each other
        for line, curve in zip(axes.lines, task.anytime, strict=True):
            np.testing.assert_array_equal(line.get_ydata(), curve.mean)
            np.testing.assert_allclose(np.array(line.get_xdata()) * 60, curve.x)


@pytest.mark.parametrize("variants", [2, 3, 7, 20, 24])
def test_labels_of_a_rank_diagram_do_not_meet(variants):
    made = report(9, variants)
    looks = looks_of(made)
    for across in made.across:
        with paper_style():
            figure = rank_figure(across, looks)
            figure.draw_without_rendering()
            boxes = [text.get_window_extent() for text in figure.axes[0].texts]
        whole = figure.bbox
        for box in boxes:
            assert whole.x0 <= box.x0
            assert box.x1 <= whole.x1
            assert whole.y0 <= box.y0
            assert box.y1 <= whole.y1
        for one, other in itertools.combinations(boxes, 2):
            assert not (
                one.x0 < other.x1 - 0.5
                and other.x0 < one.x1 - 0.5
                and one.y0 < other.y1 - 0.5
                and other.y0 < one.y1 - 0.5
            )
        texts = [text.get_text() for text in figure.axes[0].texts]
        for name, rank in zip(across.variants, across.ranks, strict=True):
            assert sum(looks.label[name] in text and f"{rank:.2f}" in text for text in texts) == 1


def test_ranks_of_a_single_group_or_variant_are_not_drawn():
    for made in (report(2, 4), report(9, 1), report(9, 4, empty=True)):
        assert all(rank_figure(across, looks_of(made)) is None for across in made.across)


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=8))
def test_bars_in_a_line_do_not_touch_and_there_are_no_more_lines_than_needed(pairs):
    spans = [(float(min(pair)), float(max(pair))) for pair in pairs]
    made = stacked(spans)
    assert sorted((low, high) for low, high, _ in made) == sorted(spans)
    for (low, high, line), (other_low, other_high, other) in itertools.combinations(made, 2):
        assert line != other or high < other_low or other_high < low
    depth = max((sum(low <= at <= high for low, high in spans) for at in range(9)), default=0)
    assert len({line for _, _, line in made}) == depth


@given(st.lists(st.text(max_size=60), max_size=12), st.integers(8, 30))
@example(["a" * 40, "a" * 41, "a" * 42], 10)
@example(["\n", "", "x\x00y"], 8)
def test_labels_are_short_different_and_in_one_line(names, longest):
    made = labels(names, longest)
    assert set(made) == set(names)
    assert len(set(made.values())) == len(made)
    for name, label in made.items():
        assert label
        assert len(label) <= longest + 4
        assert label.isprintable() or " " not in clean(name)
        if clean(name) == name and 0 < len(name) <= longest:
            assert label.startswith(name)
    assert all(len(shortened(name, longest)) <= longest for name in names)


@given(st.lists(st.tuples(st.sampled_from(["task", "time"]), st.text(max_size=90)), max_size=12))
@example([("task", "A b"), ("task", "a_B"), ("task", "../a/b"), ("task", "é" * 90)])
def test_names_of_files_are_safe_and_different(wanted):
    names = FileNames()
    made = [names.make(kind, [text]) for kind, text in wanted]
    assert len(set(made)) == len(made)
    assert all(re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name) and len(name) < 80 for name in made)
    assert all(len(slug(text)) <= 60 for _, text in wanted)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from([0.5, 2.0, 7.0, math.nan])), max_size=9))
def test_a_mean_over_groups_weighs_groups_alike(pairs):
    means = []
    for group in "abc":
        mine = [value for name, value in pairs if name == group and value == value]
        if mine:
            means.append(statistics.fmean(mine))
    wanted = statistics.fmean(means) if means else math.nan
    assert mean_over_groups(pairs) == pytest.approx(wanted, nan_ok=True)


def test_a_view_of_many_tasks_sums_counts_and_averages_losses():
    made = report(8, 2)
    view = views(made)[0]
    tasks = made.tasks[::2]
    assert len(views(made)) == 2
    for row in view.rungs:
        same = [
            one
            for task in tasks
            for one in task.rungs
            if (one.variant, one.bracket, one.level) == (row.variant, row.bracket, row.level)
        ]
        assert row.recorded == sum(one.recorded for one in same)
        assert row.false_promotions == sum(one.false_promotions for one in same)
        assert row.loss == pytest.approx(statistics.fmean(one.loss for one in same))
    assert len(view.rungs) == len(tasks[0].rungs)
    for row in view.regrets:
        same = [one for task in tasks for one in task.regrets if one.variant == row.variant]
        assert row.choice == pytest.approx(statistics.fmean(one.choice for one in same))


@settings(max_examples=50)
@given(
    st.lists(st.floats(1, 100), min_size=1, max_size=8, unique=True), st.lists(st.floats(0, 120), max_size=8)
)
def test_a_curve_in_steps_holds_until_the_next(xs, times):
    xs = sorted(xs)
    line = Line("v", tuple(xs), tuple(float(i) for i in range(len(xs))))
    found = figure_anytime._at(line, np.array(times, dtype=float))
    for time, value in zip(times, found, strict=True):
        wanted = math.nan
        for i, x in enumerate(xs):
            if x <= time:
                wanted = float(i)
        assert value == pytest.approx(wanted, nan_ok=True)


def test_names_in_any_script_can_be_drawn(tmp_path):
    made = report(1, 3)
    strange = ["变体 一", "a\nb\x07" + "x" * 300, ""]
    old = [variant.name for variant in made.variants]
    names = dict(zip(old, strange, strict=True))
    task = made.tasks[0]
    task = replace(
        task,
        surrogate="变体 -- \x1b[0m --",
        shares=tuple(replace(row, variant=names[row.variant]) for row in task.shares),
        anytime=(),
        reached=(),
        rungs=(),
        regrets=(),
        brackets=(),
        timelines=(),
    )
    made = replace(
        made,
        variants=tuple(VariantInfo(name, "promotion", {}) for name in strange),
        tasks=(task,),
        heatmaps=(),
        across=(),
    )
    png, svg = figures.write_figures(made, tmp_path)
    assert png.name == "time-busy-cluster-1-8-workers.png" or png.name.startswith("time-")
    ElementTree.fromstring(svg.read_text("utf-8"))


def test_a_folder_that_is_a_file_is_one_clear_error(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputError, match="a figure cannot be written"):
        figures.write_figures(report(1, 1), tmp_path / "taken")


def test_a_mean_is_over_tasks_that_have_all_variants_shown():
    made = report(8, 3)
    tasks, names = list(made.tasks[::2]), [variant.name for variant in made.variants]
    tasks[1] = replace(tasks[1], anytime=tasks[1].anytime[:2])  # one variant is not here
    looks = looks_of(made)
    with paper_style():
        three = figure_anytime.mean_figure(tasks, "s", looks, names)
        two = figure_anytime.mean_figure(tasks, "s", looks)
    assert "mean of 3 groups" in three.axes[0].get_title("left")
    assert "mean of 4 groups" in two.axes[0].get_title("left")
    for figure, kept, shown in ((three, [tasks[0], *tasks[2:]], names), (two, tasks, names[:2])):
        assert len(figure.axes[0].lines) == len(shown)
        for name, line in zip(shown, figure.axes[0].lines, strict=True):
            for share, value in list(zip(line.get_xdata(), line.get_ydata(), strict=True))[::17]:
                values = []
                for task in kept:
                    curve = next(one for one in task.anytime if one.variant == name)
                    before = [y for x, y in zip(curve.x, curve.mean, strict=True) if x <= share * task.budget]
                    values.append(before[-1] if before else math.nan)
                assert value == pytest.approx(statistics.fmean(values), nan_ok=True)
        low, _ = figure.axes[0].get_xlim()
        assert any(np.isfinite(line.get_ydata()[line.get_xdata() >= low][0]) for line in figure.axes[0].lines)


def test_the_axis_of_regret_ends_at_what_is_shown():
    made = report(1, 2)
    task = made.tasks[0]
    lines = tuple(
        replace(line, x=(1.0, 10.0, 1000.0, 7200.0), mean=(90.0, 9.0, 0.5, 0.1), low=(), high=())
        for line in task.anytime
    )
    with paper_style():
        figure = figure_anytime.anytime_figure(replace(task, anytime=lines, reached=()), looks_of(made))
    low, high = figure.axes[0].get_ylim()
    assert figure.axes[0].get_xlim()[0] * 60 == pytest.approx(72.0)
    assert high == pytest.approx(9.0 * 1.3)  # what holds where the axis starts; 90 was before that
    assert low == pytest.approx(0.1 / 1.5)


def test_timelines_are_those_of_a_few_tasks_and_the_best_variants():
    made = report(6, 8)
    kept = figures._with_timeline(made)
    assert [task.setting for task in kept] == [task.setting for task in made.tasks[:3]]
    names = [one.variant for one in figures._best_timelines(kept[0])]
    assert names == [row.variant for row in kept[0].rows[:6]]
    assert sum(name.startswith("timeline") for name in drawn(replace(made, across=()))) == 3


def test_bars_stand_in_the_order_of_the_page():
    made = report(1, 5)
    view = views(made)[0]
    assert view.order(variant.name for variant in made.variants) == [
        row.variant for row in made.tasks[0].rows
    ]
    with paper_style():
        looks = looks_of(made)
        regrets, time = figures.regrets_figure(view, looks), figures.shares_figure(view, looks)
    sums = {one.variant: one.sampling + one.decisions + one.unfinished + one.choice for one in view.regrets}
    for figure, wanted in (
        (regrets, sorted(sums, key=sums.get)),
        (time, [r.variant for r in made.tasks[0].rows]),
    ):
        shown = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
        assert shown == [looks.label[name] for name in wanted]


def test_of_values_that_are_level_all_are_framed():
    made = report(1, 1).heatmaps[0]
    flat = replace(made, values=((0.2, 0.1, 0.1, 0.3), *made.values[1:]))
    flat = replace(
        flat, values=tuple(tuple(max(v, 0.1) if v == v else v for v in row) for row in flat.values)
    )
    least = sum(value == 0.1 for row in flat.values for value in row)
    with paper_style():
        figure = figures.heatmap_figure(flat, "t")
    assert len(figure.axes[0].patches) == least >= 2
