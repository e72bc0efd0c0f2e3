"""Marks of a report: the same test everywhere; all tasks at a glance; notes of many tasks; few values."""

from __future__ import annotations

import io
import math
import re
from dataclasses import replace

import pytest
from hbsim.bench.report.tables_across import friedman_name, ranking_grid, rankings
from hbsim.bench.report.tables_diagnosis import all_training, diagnosis_grids
from hbsim.bench.report.tables_glance import best_first, glance_grid
from hbsim.bench.report.tables_marks import BEST, CLOSE, WORSE, across_marks, few, untested
from hbsim.bench.report.tables_notes import task_notes
from hbsim.bench.report.tables_numbers import number, plural, reach
from hbsim.bench.report.tables_tasks import cost_grid
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from hbsim.bench.report.build_across import ALL
from hbsim.bench.report.figures_heat import heat_range, heatmap_title, shown_heatmaps
from hbsim.bench.report.model import Across, Duel, Heatmap, VariantInfo
from hbsim.bench.report.page_glance import glance_section
from hbsim.bench.report.page_text import fixed
from hbsim.bench.report.tables import latex, markdown
from hbsim.bench.report.terminal import show
from hbsim.bench.statistics import Interval

from .report_example_small import NONE, report

CALLS = st.sampled_from(["better", "worse", "too close to call"])


def ranking(ranks, calls, p=0.01, p_friedman=0.001, groups=20, flip=False):
    """Return a ranking of variants "0", "1", ...; `calls` are those of the first against each other."""
    names = tuple(str(i) for i in range(len(ranks)))
    turned = {"better": "worse", "worse": "better"}
    duels = [
        Duel(name, "0", 0, 0, 0, p, 0.9, turned.get(call, call))
        if flip
        else Duel("0", name, 0, 0, 0, p, 0.9, call)
        for name, call in zip(names[1:], calls, strict=True)
    ]
    return Across(
        ALL, "score", tuple(f"g{i}" for i in range(groups)), names, ((0.5,) * len(ranks),) * groups,
        (Interval(0.5, 0.4, 0.6),) * len(ranks), tuple(ranks), p_friedman, 9.0, (names,), tuple(duels),
    )  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from([1.5, 2.0, 3.0]), CALLS), min_size=1, max_size=6), st.booleans())
def test_a_mark_is_what_the_duel_against_the_first_says_whatever_the_cliques(others, flip):
    others.sort(key=lambda pair: pair[0])
    ranks, calls = [1.5, *(rank for rank, _ in others)], [call for _, call in others]
    wanted = {"0": BEST}
    for name, (rank, call) in enumerate(others, start=1):
        wanted[str(name)] = BEST if rank == 1.5 else WORSE if call == "better" else CLOSE
    assert across_marks(ranking(ranks, calls, flip=flip)) == wanted
    apart = across_marks(ranking(ranks, calls, p_friedman=0.2))
    assert WORSE not in apart.values()  # none is told apart where Friedman's test does not
    grid = ranking_grid([ranking(ranks, calls)])
    shown = {line[0].text: line[1].text.partition(" ")[0] for line in grid.rows}
    assert {name for name, text in shown.items() if text == WORSE} == {
        n for n, m in wanted.items() if m == WORSE
    }
    assert [line[0].bold for line in grid.rows] == [mark == BEST for mark in wanted.values()]
    assert (CLOSE in grid.caption) == (set(wanted.values()) != {BEST})


def test_without_a_test_there_are_no_marks_and_it_says_how_many_groups_it_takes():
    few_groups = ranking([1.0, 2.0, 2.0], ["better", "better"], p=math.nan, groups=6)
    assert across_marks(few_groups) == {"0": BEST}
    assert untested(few_groups) == "not tested: fewer than 7 groups for 3 pairs"
    caption = ranking_grid([few_groups]).caption
    assert "Not tested: fewer than 7 groups" in caption
    assert CLOSE not in caption
    assert untested(ranking([1.0, 2.0], ["better"])) == ""


def test_which_friedman_test_it_is():
    assert "permutations" in friedman_name(ranking([1.0, 2.0], ["better"], groups=9))
    assert "Iman and Davenport" in friedman_name(ranking([1.0, 2.0], ["better"], groups=10))


def test_all_settings_come_first():
    made = report(6, 3)
    over_all = [replace(across, setting=ALL) for across in made.across[:2]]
    assert rankings(replace(made, across=(*made.across, *over_all)))[0].texts == (ALL,)


@pytest.mark.parametrize("count", range(1, 25))
def test_intervals_of_few_say_what_was_measured(count):
    said = few(count, "seed")
    assert bool(said) == (2 <= count < 10)
    wanted = {2: "51% with 2.", 3: "72% with 3.", 4: "72% with 3 and 83% with 5.", 5: "83% with 5."}
    wanted |= dict.fromkeys((6, 7, 8, 9), "83% with 5 and 89% with 10.")
    assert said.endswith(wanted.get(count, ""))


@pytest.mark.parametrize("variants", [3, 6, 9])
def test_all_tasks_at_a_glance_in_all_forms(variants):
    made = report(4, variants)
    (grid,) = glance_grid(made)
    assert [line[0].text for line in grid.rows] == [task.name for task in made.tasks]
    for task, line in zip(made.tasks, grid.rows, strict=True):
        calls = [row.call for row in task.rows]
        if variants > 8:
            assert [cell.text for cell in line[3:5]] == [
                str(calls.count(c)) for c in ("too close to call", "worse")
            ]
            continue
        marks = [
            WORSE if WORSE in c.text else CLOSE if CLOSE in c.text else BEST if c.bold else ""
            for c in line[1:]
        ]
        by_name = dict(zip(best_first(made), marks, strict=True))
        wanted = {"best": BEST, "too close to call": CLOSE, "worse": WORSE}
        assert by_name == {row.variant: wanted[row.call] for row in task.rows}
    page = glance_section(made)
    assert page.count("<td") == 4 * variants
    for mark, call in ((BEST, "best"), (CLOSE, "too close to call"), (WORSE, "worse")):
        count = sum(row.call == call for task in made.tasks for row in task.rows)
        assert page.count(f">{mark}<") == count
    assert "## At a glance" in markdown(made)
    assert any(name.startswith("tasks-") for name in latex(made))
    assert "At a glance" in terminal_text(made)
    for none in (report(1, variants), report(0, variants)):
        assert glance_grid(none) == []
        assert glance_section(none) == ""
        assert "At a glance" not in terminal_text(none)


def terminal_text(made, width=80):
    out = io.StringIO()
    show(made, Console(file=out, width=width, highlight=False))
    return out.getvalue()


def test_of_variants_that_are_level_all_are_the_best():
    made = report(8, 9)
    task = made.tasks[0]
    level = (task.rows[0], replace(task.rows[1], rank=1, call="best"), *task.rows[2:])
    (grid,) = glance_grid(replace(made, tasks=(replace(task, rows=level), *made.tasks[1:])))
    assert grid.rows[0][1].text == f"{level[0].variant}, {level[1].variant}"


def test_the_terminal_says_what_its_marks_mean_and_no_more():
    many = report(1, 2)
    many = replace(many, tasks=tuple(replace(many.tasks[0], surrogate=f"s{i}") for i in range(30)), across=())
    text = terminal_text(many)
    assert "and 10 more" in text
    assert "all 30 tasks: the best there is is known" in text
    apart = replace(many, tasks=(replace(many.tasks[0], rows=many.tasks[0].rows[:1]),))
    assert CLOSE not in terminal_text(apart)
    over = terminal_text(replace(many, across=(ranking([1.0, 1.0], ["better"], groups=3, p=math.nan),)))
    assert over.index("At a glance") < over.index("all settings")
    assert over.count(f"  {BEST}") >= 2
    assert "not tested: fewer than 6 groups for 1 pair" in " ".join(over.split())


def test_notes_of_many_tasks_are_said_once():
    made = report(8, 2)
    notes = [("same",), ("same", "in 3 of 10 studies"), ("in 4 of 10 studies",), ("only",), *[("same",)] * 4]
    tasks = tuple(replace(task, notes=mine) for task, mine in zip(made.tasks, notes, strict=True))
    names = [task.name for task in tasks]
    assert task_notes(replace(made, tasks=tasks)) == [
        "6 of 8 tasks: same",
        f"2 of 8 tasks, such as {names[1]}: in 3 of 10 studies",
        f"{names[3]}: only",
    ]
    assert task_notes(replace(made, tasks=tasks[1:2])) == list(notes[1])


def test_the_median_time_to_a_target():
    inf, nan = math.inf, math.nan
    assert reach(Interval(120.0, 90.0, 300.0), 60.0) == "2 [1.5, 5]"
    assert reach(Interval(120.0, 90.0, inf), 60.0) == "2 [1.5, ∞]"
    assert reach(Interval(120.0, nan, nan), 60.0) == "2"
    assert reach(Interval(inf, 90.0, inf), 60.0) == "not by half"
    assert reach(NONE, 60.0) == "–"
    grid = cost_grid(report(1, 4).tasks[0])
    assert any(head.startswith("median time to target") for head in grid.headers)
    assert any(head.startswith("mean time without") for head in grid.headers)
    assert not re.search(r"mean time (until|to)", grid.caption)


def test_time_that_was_all_training_has_no_table():
    made = report(2, 3)
    idle = replace(made.tasks[0].shares[0], training=1.0, retrained=0.0, overhead=0.0, idle=0.0, absent=0.0)
    busy = tuple(replace(idle, variant=variant.name) for variant in made.variants)
    some = replace(made, tasks=(replace(made.tasks[0], shares=busy), made.tasks[1]))
    kinds = [grid.kind for grid in diagnosis_grids(some)]
    assert kinds.count("time") == 1
    assert all_training(some)[0].startswith(made.tasks[0].name)
    assert all_training(made) == []


@given(st.lists(st.floats(0.001, 1.0) | st.just(math.nan), min_size=4, max_size=4))
def test_colours_span_the_values_and_a_quarter_of_their_mean_at_least(values):
    low, high = heat_range(Heatmap("t", "s", (1.0, 2.0), (2.0, 3.0), (tuple(values[:2]), tuple(values[2:]))))
    known = [value for value in values if not math.isnan(value)]
    if known:
        assert low <= min(known) + 1e-12
        assert high >= max(known) - 1e-12
        span = max(max(known) - min(known), 0.25 * sum(known) / len(known))
        assert high - low == pytest.approx(span)


def test_a_heatmap_has_two_values_of_both_options_and_says_what_else_is_shared():
    made = report(1, 2)
    flat = replace(made.heatmaps[0], brackets=(1.0,), values=made.heatmaps[0].values[:1])
    assert shown_heatmaps(replace(made, heatmaps=(flat, *made.heatmaps))) == list(made.heatmaps)
    options = {"brackets": 1, "reduction_factor": 3, "grace_period": 2, "max_t": 81, "mode": "a"}
    infos = (
        VariantInfo("x", "promotion", options),
        VariantInfo("y", "promotion", {**options, "brackets": 2, "mode": "b"}),
        VariantInfo("z", "stopping", {"max_t": 9}),
    )
    made = replace(made, variants=infos)
    assert heatmap_title(made.heatmaps[0], made) == "promotion, grace_period=2, max_t=81"
    assert (
        heatmap_title(replace(flat, title="promotion, mode=b"), made)
        == "promotion, mode=b, grace_period=2, max_t=81"
    )


@pytest.mark.parametrize(
    ("value", "digits", "wanted"),
    [
        (0.125, 2, "0.13"),
        (2.5, 0, "3"),
        (0.01249999999999999, 3, "0.013"),
        (0.0115, 3, "0.011"),
        (-0.5, 0, "-1"),
    ],
)  # what toFixed of JavaScript makes of them, written with 12 digits
def test_numbers_are_rounded_as_in_the_page(value, digits, wanted):
    assert number(value, digits) == wanted
    assert fixed(value, digits) == wanted.replace("-", "−")


def test_one_and_many():
    assert [plural(1, "study"), plural(2, "study"), plural(1200, "seed")] == [
        "1 study",
        "2 studies",
        "1,200 seeds",
    ]
