"""Charts of a report: the same bytes, the same colours everywhere, and what they show against the report."""

from __future__ import annotations

import itertools
import math
import re
import statistics
from collections import Counter
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbsim.bench import charts
from hbsim.bench.chart_style import level_colours, log_scale, save, spread, svg_of, theme, ticks, time_unit
from hbsim.bench.report.model import BEST, OPEN, WORSE, Line, Segment, VariantInfo
from hbsim.errors import OutputError, ParameterError
from tests.bench.charted import column, marks, parts
from tests.bench.report.example import example, without_results
from tests.profile import examples

EVIL = "</script><img src=x onerror=alert(1)>&\"'\x07 变体 $x_1$"


@pytest.fixture(scope="module")
def made():
    return example(2, (8,), points=40, segments=60)


@pytest.fixture(scope="module")
def styles(made):
    return charts.variant_styles(made.variants)


@pytest.fixture(scope="module")
def charted(made, styles):
    """Return the charts of the first task."""
    return charts.task_charts(made.tasks[0], styles)


def test_the_same_report_gives_the_same_bytes_in_both_formats(made, tmp_path):
    small = replace(made, tasks=made.tasks[:1], across=made.across[:1], heatmaps=made.heatmaps[:1])
    first = charts.write_figures(small, tmp_path / "a")
    again = replace(small, tasks=(replace(small.tasks[0], timelines=(), anytime=(), reached=()),))
    for path in charts.write_figures(again, tmp_path / "b"):
        if path.stem.split("-")[0] != "best":  # has the axis of the curves that are left out
            assert path.read_bytes() == (tmp_path / "a" / path.name).read_bytes()
    assert sorted(first) == sorted((tmp_path / "a").iterdir())
    kinds = Counter(path.suffix for path in first)
    assert kinds[".png"] == kinds[".svg"] == len({path.stem for path in first})
    names = {path.stem.split("-")[0] for path in first}
    assert names == {"ranks", "means", "heatmap", *charts.TASK_CHARTS, "timeline"}  # and anytime-mean
    for path in first:
        if path.suffix == ".png":
            assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        else:
            ElementTree.fromstring(path.read_text("utf-8"))


@pytest.mark.parametrize("name", ["one.png", "one.SVG", "one.pdf"])
def test_a_chart_is_saved_by_its_suffix_with_the_same_bytes(made, name, tmp_path):
    chart = charts.overview(made)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        save(chart, tmp_path / folder / name)
    found = [(tmp_path / folder / name).read_bytes() for folder in ("a", "b")]
    assert found[0] == found[1] or name.endswith("pdf")
    assert found[0].startswith({"png": b"\x89PNG", "svg": b"<svg", "pdf": b"%PDF"}[name[4:].lower()])


def test_what_cannot_be_written_is_one_clear_error(made, tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(OutputError, match="a figure cannot be written"):
        charts.write_figures(made, tmp_path / "taken")
    with pytest.raises(ParameterError, match=r"must end in .png, .svg or .pdf"):
        save(charts.overview(made), tmp_path / "one.gif")
    with pytest.raises(OutputError, match="cannot be written"):
        save(charts.overview(made), tmp_path / "none" / "one.png")


def test_what_there_is_none_of_is_left_out(made, tmp_path):
    assert charts.write_figures(without_results(made), tmp_path) == []
    with pytest.raises(ParameterError, match="has no scores to draw"):
        charts.overview(without_results(made))
    bare = replace(made.tasks[0], rungs=(), regrets=(), brackets=(), shares=(), chances=(), reached=())
    assert list(charts.task_charts(bare, charts.variant_styles(made.variants))) == ["scores", "anytime"]


def _curves(chart):
    [line] = marks(chart, "line")
    found = {}
    for row in line["rows"]:
        found.setdefault(row["variant"], []).append(row)
    return found


def test_curves_show_the_report(made, styles, charted):
    task = made.tasks[0]
    _, length = time_unit(task.budget)
    for name, lines in (("anytime", task.anytime), ("target", task.reached), ("best", task.chances)):
        shown = _curves(charted[name])
        assert list(shown) == [styles.label[line.variant] for line in lines]
        for line in lines:
            for row in shown[styles.label[line.variant]][1:]:
                place = min(range(len(line.x)), key=lambda i: abs(line.x[i] - row["x"] * length))
                assert row["x"] * length == pytest.approx(line.x[place], rel=1e-4)
                assert row["y"] == pytest.approx(line.mean[place], rel=1e-4, abs=1e-9)
            assert shown[styles.label[line.variant]][-1]["y"] == pytest.approx(line.mean[-1], rel=1e-4)
        [first] = {rows[0]["x"] * length for rows in shown.values()}
        assert first == pytest.approx(task.budget * charts.EARLIEST, rel=1e-4)


def test_the_best_three_have_bands(made, styles):
    [band] = marks(charts.anytime(made.tasks[0], styles), "area")
    lines = {styles.label[line.variant]: line for line in made.tasks[0].anytime}
    with_ends = {row["variant"] for row in band["rows"] if row.get("low") is not None}
    assert with_ends == {styles.label[row.variant] for row in made.tasks[0].rows[:3]}
    last = {row["variant"]: row for row in band["rows"]}
    for name in with_ends:
        assert last[name]["high"] == pytest.approx(lines[name].high[-1], rel=1e-4)


def test_what_is_0_is_at_the_edge_of_a_logarithmic_axis(made, styles):
    line = Line("a", (1.0, 10.0, 100.0, 3600.0), (3.0, 0.5, 0.1, 0.0))
    task = replace(made.tasks[0], anytime=(replace(line, variant=made.variants[0].name),), budget=3600.0)
    task = replace(task, reached=(), chances=())
    chart = charts.anytime(task, styles)
    [shown] = _curves(chart).values()
    low, high = marks(chart, "line")[0]["encoding"]["y"]["scale"]["domain"]
    assert [row["y"] for row in shown] == [pytest.approx(0.5), pytest.approx(0.1), low]
    assert 0 < low < 0.1
    assert high == pytest.approx(0.5 * 1.25)  # 3.0 was before the axis starts


@settings(max_examples=examples(60))
@given(st.lists(st.floats(1, 100), min_size=1, max_size=8, unique=True), st.floats(0.5, 120))
def test_a_curve_in_steps_starts_with_what_holds_there(xs, first):
    xs = sorted(xs)
    line = charts._from(Line("v", tuple(xs), tuple(map(float, range(len(xs))))), first)
    holds = [float(i) for i, x in enumerate(xs) if x <= first]
    kept = [float(i) for i, x in enumerate(xs) if x > first]
    assert list(line.mean) == [*holds[-1:], *kept]
    assert line.x[0] == (first if holds else max(first, xs[0]))


def _colours_of(chart):
    """Return the colour of each variant in a chart, where colours are those of variants."""
    for part in parts(chart.to_dict()):
        colour = part.get("encoding", {}).get("color", {})
        if colour.get("field") == "variant":
            yield from zip(colour["scale"]["domain"], colour["scale"]["range"], strict=True)


def test_a_variant_has_the_same_colour_in_all_charts(made, styles, charted):
    found = {}
    every = list(charted.values())
    every += [chart for _, _, chart in charts.across_charts(made, styles)]
    for chart in every:
        for label, colour in _colours_of(chart):
            assert found.setdefault(label, colour) == colour
    assert set(found) == set(styles.label.values())


@pytest.mark.parametrize(
    "kinds", [["fifo"], ["stopping", "promotion", "hyperband", "fifo"], list("abcdefghi")]
)
def test_no_two_of_28_variants_look_the_same(kinds):
    infos = [VariantInfo(f"v{i}", kinds[i % len(kinds)], {}) for i in range(28)]
    styles = charts.variant_styles(infos)
    assert len({(styles.colour[one.name], tuple(styles.dashes[one.name])) for one in infos}) == 28


def test_scores_say_who_is_not_told_apart(made, styles, charted):
    task = made.tasks[0]
    [points] = marks(charted["scores"], "point")
    assert column(points, "variant") == [styles.label[row.variant] for row in task.rows]
    assert column(points, "call") == [row.call for row in task.rows]
    assert column(points, "mean") == [pytest.approx(row.score.mean, rel=1e-4) for row in task.rows]
    shapes = dict(
        zip(*(points["encoding"]["shape"]["scale"][name] for name in ("domain", "range")), strict=True)
    )
    assert set(shapes) <= {BEST, OPEN, WORSE}
    assert len(set(shapes.values())) == len(shapes) > 1


def test_regrets_add_up_to_their_sums_the_least_first(made, styles, charted):
    task = made.tasks[0]
    [bars], [dots] = marks(charted["regret"], "bar"), marks(charted["regret"], "point")
    sums = {
        styles.label[one.variant]: one.sampling + one.decisions + one.unfinished + one.choice
        for one in task.regrets
    }
    for name, total in sums.items():
        assert math.fsum(row["value"] for row in bars["rows"] if row["variant"] == name) == pytest.approx(
            total, abs=1e-4
        )
    assert dict(zip(column(dots, "variant"), column(dots, "sum"), strict=True)) == pytest.approx(
        sums, rel=1e-4
    )
    assert bars["encoding"]["y"]["sort"] == sorted(sums, key=sums.get)


def test_rungs_and_brackets_show_the_report(made, styles, charted):
    task = made.tasks[0]
    [squares] = marks(charted["rungs"], "rect")
    shown = {(row["variant"], row["bracket"], row["level"]): row["loss"] for row in squares["rows"]}
    assert shown == {
        (styles.label[row.variant], f"bracket {row.bracket}", row.level): pytest.approx(row.loss, rel=1e-4)
        for row in task.rungs
    }
    [bars] = marks(charted["brackets"], "bar")
    for row in task.brackets:
        mine = [
            one["value"]
            for one in bars["rows"]
            if (one["variant"], one["place"]) == (styles.label[row.variant], row.bracket)
        ]
        assert mine == pytest.approx([row.trials, row.resource, row.winners], abs=1e-4)


def test_a_diagram_has_all_ranks_and_no_label_over_another(made):
    many = example(9, (8,), variants=20, points=9, segments=9)
    styles = charts.variant_styles(many.variants)
    across = many.across[0]
    chart = charts.ranks(across, styles)
    texts = {row["text"]: (row["side"], row["y"]) for row in marks(chart, "text")[0]["rows"]}
    for name, rank in zip(across.variants, across.ranks, strict=True):
        assert sum(styles.label[name] in text and f"{rank:.2f}" in text for text in texts) == 1
    assert len(set(texts.values())) == len(across.variants)
    heights = sorted(y for side, y in texts.values() if side == "left")
    assert all(b - a >= 15 for a, b in itertools.pairwise(heights))
    bars = next(mark for mark in marks(chart, "rule") if "high" in mark["rows"][0])["rows"]
    rank = dict(zip(across.variants, across.ranks, strict=True))
    ends = [(min(map(rank.get, clique)), max(map(rank.get, clique))) for clique in across.cliques]
    assert sorted((bar["rank"], bar["high"]) for bar in bars) == [pytest.approx(one) for one in sorted(ends)]


def test_an_overview_is_of_all_tasks_or_of_one_in_the_look_of_all_charts(made):
    over = charts.overview(made).to_dict()
    alone = charts.overview(replace(made, across=(), tasks=made.tasks[:1])).to_dict()
    assert "layer" in over
    assert [one["mark"]["type"] for one in parts(alone)].count("line") == 1
    for config in (over["config"], alone["config"]):
        assert {**config, "view": theme()["view"]} == theme()


def test_ranks_of_a_single_group_or_variant_are_not_drawn(made, styles):
    across = made.across[0]
    assert charts.ranks(replace(across, groups=across.groups[:1]), styles) is None
    assert charts.ranks(replace(across, ranks=(math.nan,) * len(across.ranks)), styles) is None


@settings(max_examples=examples(100))
@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=8))
def test_bars_in_a_line_do_not_touch_and_there_are_no_more_lines_than_needed(pairs):
    spans = [(float(min(pair)), float(max(pair))) for pair in pairs]
    made = charts.stacked(spans)
    assert sorted((low, high) for low, high, _ in made) == sorted(spans)
    for (low, high, line), (other_low, other_high, other) in itertools.combinations(made, 2):
        assert line != other or high < other_low or other_high < low
    depth = max((sum(low <= at <= high for low, high in spans) for at in range(9)), default=0)
    assert len({line for _, _, line in made}) == depth


def test_a_mean_over_tasks_weighs_groups_alike(made):
    many = example(3, (8,), points=40, segments=9)
    tasks = [*many.tasks, replace(many.tasks[0], anytime=many.tasks[1].anytime)]  # two of the first group
    styles = charts.variant_styles(many.variants)
    across = next(one for one in many.across if one.measure == "score")
    shown = _curves(charts.anytime_mean(across, tasks, styles))
    assert charts.anytime_mean(across, tasks[:1], styles) is None
    for name in across.variants:
        ends = [next(line.mean[-1] for line in task.anytime if line.variant == name) for task in tasks]
        wanted = statistics.fmean([(ends[0] + ends[3]) / 2, ends[1], ends[2]])
        last = shown[styles.label[name]][-1]
        assert (last["x"], last["y"]) == (100, pytest.approx(wanted, rel=1e-3))


def test_all_that_is_best_in_a_heatmap_is_framed(made):
    one = replace(made.heatmaps[0], values=((0.1, 0.2, 0.3), (0.1, 0.4, math.nan)), brackets=(1.0, 2.0))
    cells, frame = marks(charts.heatmap(one), "rect")
    assert column(cells, "text") == ["0.1", "0.2", "0.3", "0.1", "0.4"]
    assert frame["transform"] == [{"filter": "datum.score == 0.1"}]


def test_many_tasks_share_their_diagnosis():
    many = example(7, (8,), variants=2, points=9, segments=9)
    kinds = Counter(name for name, _, _ in charts._figures(many))
    assert kinds["anytime"] == kinds["scores"] == 7
    assert kinds["regret"] == kinds["time"] == 1
    assert kinds["timeline"] == 2  # of the variants of the first task of the only setting


def test_names_may_be_anything(tmp_path):
    made = example(1, (8,), variants=3, names=(EVIL, "", "a\nb" + "x" * 300), points=9, segments=9)
    task = replace(made.tasks[0], reached=(), chances=(), rungs=(), brackets=(), shares=())
    for path in charts.write_figures(replace(made, tasks=(task,), heatmaps=()), tmp_path):
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*\.(png|svg)", path.name)
        if path.suffix == ".svg":
            tree = ElementTree.fromstring(path.read_text("utf-8"))
            tags = {one.tag.rpartition("}")[2] for one in tree.iter()}
            assert tags <= {
                "svg",
                "g",
                "path",
                "text",
                "rect",
                "defs",
                "clipPath",
                "linearGradient",
                "stop",
                "line",
                "tspan",
            }


def test_a_timeline_of_more_stretches_than_a_frame_has_is_drawn(made, styles):
    one = made.tasks[0].timelines[0]
    long = tuple(Segment(i % 50, i // 50 * 2.0, i // 50 * 2.0 + 1.5, 9.0) for i in range(5_100))
    drawn = svg_of(charts.timeline(replace(one, segments=long, workers=50), styles, "t"))
    assert drawn.count("<path aria-label") >= 5_100


@settings(max_examples=examples(100))
@given(st.floats(1e-6, 1e6), st.floats(1.2, 1e9))
def test_ticks_of_a_logarithmic_axis_are_round_few_and_within(low, ratio):
    high = low * ratio
    found = ticks(low, high)
    assert found == sorted(set(found))
    assert len(found) <= 8
    assert all(low <= tick <= high for tick in found)
    assert found or ratio < 2
    assert log_scale(low, high)["scale"].to_dict()["domain"] == [low, high]


@pytest.mark.parametrize("count", range(1, 12))
def test_colours_of_levels_darken(count):
    parts_of = [[int(one[i : i + 2], 16) for i in (1, 3, 5)] for one in level_colours(count)]
    light = [0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in parts_of]
    assert light == sorted(light, reverse=True)
    assert len(set(light)) == count


@pytest.mark.parametrize("count", [0, 1, 2, 9, 10, 11, 100, 5000])
def test_a_spread_is_even_and_has_both_ends(count):
    found = spread(count)
    assert len(found) == min(count, 10)
    assert found[:1] + found[-1:] == ([0, count - 1] if count else [])
    gaps = [high - low for low, high in itertools.pairwise(found)]
    assert not gaps or max(gaps) - min(gaps) <= 1
