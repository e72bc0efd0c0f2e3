"""The sentences of a report say what its numbers say."""

import math
from dataclasses import replace

import pytest

from hbsim.bench.conclusions import Interval
from hbsim.bench.page import TEXTS
from hbsim.bench.report.model import (
    ALL,
    BEST,
    NO_SCORE,
    OPEN,
    WORSE,
    Across,
    Lead,
    Line,
    Pairwise,
    Regrets,
    VariantStanding,
    setting_of,
)
from hbsim.bench.report.notes import report_notes, shared_notes
from hbsim.bench.report.summary import answer, summary, task_answer

from .example import NAN, example

POINT = Interval(0.1, 0.05, 0.2)
NONE = Interval(NAN, NAN, NAN)


def across(variants, p, groups=8, friedman=0.001, setting="plain, 4 workers", ranks=None):
    ranks = ranks or tuple(float(place + 1) for place in range(len(variants)))
    pairs = tuple(
        Pairwise(a, b, 5, 0, 3, p.get((a, b), 0.9), 0.5, NONE,
                 "better" if p.get((a, b), 0.9) < 0.05 else "not told apart")
        for place, a in enumerate(variants)
        for b in variants[place + 1 :]
    )  # fmt: skip
    return Across(
        setting, "score", tuple(f"g{n}" for n in range(groups)), variants, ((0.1,) * len(variants),) * groups,
        (POINT,) * len(variants), (POINT,) * len(variants), ranks, friedman, 1.0, (), pairs,
    )  # fmt: skip


def said(report):
    return " ".join([answer(report), *summary(report)])


def stands(call, seeds=None, factor=NAN):
    return VariantStanding(1 if call in (BEST, OPEN) else 2, call, POINT, 0.1, seeds, factor)


def one_task(*calls, **changes):
    """Return a report of one task of variants "a", "b", ...; `calls` are of the curves, and of the draw."""
    task = example(1, (8,), variants=len(calls)).tasks[0]
    rows = []
    for name, row, call in zip("abcdefg", task.rows, calls, strict=False):
        curves, draw = call if isinstance(call, tuple) else (call, None)
        decides = draw or curves
        rows.append(
            replace(
                row, variant=name, rank=decides.rank, call=decides.call, curves=curves, draw=draw,
                test_standing=None, resource_standing=stands(BEST if name == "a" else OPEN),
            )
        )  # fmt: skip
    changes = {"chances": (), "leads": (), "regrets": (), **changes}
    return replace(example(1, (8,)), tasks=(replace(task, rows=tuple(rows), **changes),), across=())


# Over tasks


def test_who_is_ahead_and_who_is_not_told_apart_over_tasks():
    report = replace(example(), across=(across(("a", "b", "c"), {("a", "c"): 0.01}),))
    assert answer(report) == (
        "Over 8 groups of tasks “a” has the best mean rank, 1.00 of 3; “c” is worse and “b” is not told "
        "apart from it (Wilcoxon over groups, Holm-corrected)."
    )


def test_ranks_that_chance_would_have_are_no_lead():
    text = said(replace(example(), across=(across(("a", "b"), {("a", "b"): 0.01}, friedman=0.3),)))
    assert "none is told apart from the others" in text
    assert "“b” is worse" not in text
    assert "mean rank" not in text


def test_too_few_groups_are_said_and_nothing_else_is_claimed():
    text = said(replace(example(), across=(across(("a", "b"), {("a", "b"): 0.001}, groups=3),)))
    assert "; over 3 groups of tasks nothing can be told apart, since a test needs 6." in text
    assert "“b” is worse" not in text
    assert "mean rank" not in text


def test_a_test_that_speaks_for_the_other_side_is_no_lead():
    found = across(("a", "b"), {("a", "b"): 0.01})
    turned = replace(found, pairs=tuple(replace(pair, call="worse") for pair in found.pairs))
    assert "“b” is worse" not in said(replace(example(), across=(turned,)))


def test_too_few_groups_for_so_many_pairs_are_said():
    found = across(("a", "b", "c", "d"), {}, groups=6)
    untested = replace(found, pairs=tuple(replace(pair, p=math.nan) for pair in found.pairs))
    text = said(replace(example(), across=(untested,)))
    assert "variants differ, but which ones takes at least 8 groups with so many variants." in text


def test_a_shared_lead_is_shared():
    text = said(replace(example(), across=(across(("a", "b", "c"), {}, ranks=(1.5, 1.5, 3.0)),)))
    assert "“a” and “b” share the best mean rank, 1.50 of 3" in text


def test_leaders_are_named_where_a_test_tells_variants_apart_and_only_there():
    settings = (
        across(("a", "b"), {}, setting="plain, 4 workers"),
        across(("b", "a"), {}, setting="plain, 32 workers"),
        across(("b", "a"), {}, setting="plain, 99 workers", friedman=0.5),
        across(("a", "b"), {}, setting=ALL),
    )
    text = said(replace(example(), across=settings))
    assert "the best mean rank is that of “a” with plain, 4 workers; “b” with plain, 32 workers." in text
    assert "Not told apart at all: plain, 99 workers." in text


def test_where_the_leader_over_tasks_is_worse_is_said():
    report = example()
    first, *rest = report.tasks
    names = [row.variant for row in first.rows]
    calls = [BEST, WORSE, *[OPEN] * (len(names) - 2)]
    rows = tuple(replace(row, call=call) for row, call in zip(first.rows, calls, strict=True))
    others = [
        replace(task, rows=tuple(replace(r, call=BEST if r.rank == 1 else OPEN) for r in task.rows))
        for task in rest
    ]
    overall = across((names[1], names[0]), {}, setting=ALL)
    text = said(replace(report, tasks=(replace(first, rows=rows), *others), across=(overall,)))
    assert f"Task by task, 1 of {len(report.tasks)} tasks tell some variant from their best one." in text
    assert f"On {first.name} “{names[1]}” is worse than “{names[0]}”." in text
    assert f"“{names[1]}”, first by mean rank, is worse on {first.name}." in text


def test_without_a_test_over_tasks_it_is_counted_where_each_leads():
    report = replace(example(), across=())
    rows = [
        tuple(replace(row, call=BEST if place == 0 else WORSE) for place, row in enumerate(task.rows))
        for task in report.tasks
    ]
    tasks = [
        replace(task, rows=tuple(replace(r, variant=f"v{i}") for i, r in enumerate(mine)))
        for task, mine in zip(report.tasks, rows, strict=True)
    ]
    text = answer(replace(report, tasks=tuple(tasks)))
    count = f"{len(tasks)} of {len(tasks)} tasks"
    assert text.startswith(f"“v0” is best, or not told apart from the best, on {count}; nothing is tested")
    level = [
        replace(task, rows=tuple(replace(r, call=BEST if r.variant == "v0" else OPEN) for r in task.rows))
        for task in tasks
    ]
    text = answer(replace(report, tasks=tuple(level)))
    assert text.startswith(
        f"None of {len(tasks)} tasks tells any variant from its best one; nothing is tested"
    )


# One task


@pytest.mark.parametrize(
    ("calls", "wanted"),
    [
        ([BEST, OPEN, WORSE], "on these curves “b” is not told apart from it and “c” is worse."),
        ([BEST, OPEN, OPEN], "on these curves none of the 2 others is told apart from it."),
        ([BEST, WORSE, WORSE], "on these curves all 2 others are worse."),
        ([BEST, OPEN, NO_SCORE], "on these curves “b” is not told apart from it and “c” has no score."),
        (
            [BEST, *[OPEN] * 5, WORSE],
            "on these curves “g” is worse and the 5 others are not told apart from it.",
        ),
    ],
)
def test_the_answer_of_a_task_is_its_calls(calls, wanted):
    task = one_task(*map(stands, calls)).tasks[0]
    text = task_answer(task)
    assert text.startswith("“a” has the least regret after 3 h, ")
    assert text.endswith(wanted)


def test_the_answer_is_by_the_other_draw_where_there_is_one_and_what_may_turn_is_said():
    best, worse, turns = stands(BEST), stands(WORSE), stands(OPEN, None, 6.0)
    report = one_task((best, best), (worse, turns), (worse, worse), configurations=500)
    assert answer(report).endswith(
        "on another draw of configurations “b” is not told apart from it and “c” is worse."
    )
    assert (
        "Worse on these 500 configurations; another draw may turn it: “b”. About 3,000 rows would decide, if "
        "the difference is as large as it seems."
    ) in summary(report)


def test_seeds_are_advised_where_they_help_and_only_there():
    text = said(one_task(stands(BEST), stands(OPEN, 190)))
    assert "About 190 seeds would tell “b” from the best, if the difference is as large as it seems." in text
    rows = one_task(
        (stands(BEST), stands(BEST)), (stands(OPEN, 190), stands(OPEN, None, 4.0)), configurations=500
    )
    assert "More seeds do not tell “b” from the best; about 2,000 rows would, if" in said(rows)
    assert "seeds would" not in said(rows)
    several = said(one_task(stands(BEST), stands(OPEN, 300), stands(OPEN, 190)))
    assert "Of those not told apart, “c” takes the fewest seeds to tell: about 190, if the" in several
    open_ = [(stands(OPEN), stands(OPEN, None, factor)) for factor in (4.0, 3.0)]
    several = said(one_task((stands(BEST), stands(BEST)), *open_, configurations=500))
    wanted = (
        "More seeds tell none of those apart that are not told apart; “c” takes the fewest rows: about 1,500"
    )
    assert wanted in several
    nothing = one_task((stands(BEST), stands(BEST)), (stands(OPEN), stands(OPEN)))
    assert "seeds would" not in said(nothing)
    assert "rows would" not in said(nothing)


def test_when_the_leader_changes_is_said_with_what_became_of_the_one_before():
    times = (3600.0, 7200.0, 10000.0)
    chances = (Line("a", times, (0.3, 0.6, 0.7)), Line("b", times, (0.7, 0.4, 0.3)))
    for call, told in (
        (WORSE, ", and the first is worse in the end."),
        (OPEN, "; in the end they are not told"),
    ):
        text = said(one_task(stands(BEST), stands(call), chances=chances, budget=10000.0))
        assert f"The leader changes at about 2 h, from “b” to “a”{told}" in text
    early = one_task(stands(BEST), stands(OPEN), chances=chances, budget=40000.0)
    assert "“a” leads from a quarter of the budget on." in said(early)


def test_who_leads_beyond_the_budget_is_said_where_it_is_another_one():
    chances = (Line("a", (9000.0,), (1.0,)), Line("b", (9000.0,), (0.0,)))
    lead = Lead(1.5, 15000.0, "b", ("b",), ("a",), 0.5)
    report = one_task(stands(BEST), stands(WORSE), chances=chances, leads=(lead,), budget=10000.0)
    assert "After 4.17 h, when 50% of the studies still ran, “b” leads; “a” is worse then." in said(report)


def test_another_best_by_the_held_out_metric_and_at_equal_resource_is_said():
    report = one_task(stands(BEST), stands(OPEN))
    [task] = report.tasks
    a, b = task.rows
    turned = (
        replace(a, test_standing=stands(WORSE), resource_standing=stands(OPEN)),
        replace(b, test_standing=stands(BEST), resource_standing=stands(BEST)),
    )
    text = said(replace(report, tasks=(replace(task, rows=turned, resource=47.8),)))
    assert "By the held-out metric “b” is best, and “a” is worse." in text
    assert "At equal resource, 48 units, “b” is best, and “a” is not told apart from it." in text
    assert "is best, and" not in said(report)


def test_fresh_seeds_alone_answer_where_there_are_some():
    report = one_task(stands(BEST), stands(OPEN))
    fresh = one_task(stands(BEST), stands(WORSE)).tasks
    confirmed = replace(report, confirmed=fresh)
    assert answer(confirmed).startswith("On 20 fresh seeds alone “a” has the least regret after")
    assert answer(confirmed).endswith("“b” is worse.")
    assert f"Chosen on other seeds: {answer(report)}" in summary(confirmed)


def test_what_early_decisions_cost_is_a_mean_over_tasks_and_never_of_fifo():
    report = example()
    kinds = {variant.name: variant.type for variant in report.variants}
    names = [name for name, kind in kinds.items() if kind != "fifo"][:2]
    parts = tuple(
        Regrets(name, 0.0, 0.5 if name == names[0] else 0.001 if name == names[1] else math.nan, 0.0, 0.0)
        for name in kinds
    )
    text = said(replace(report, tasks=tuple(replace(task, regrets=parts) for task in report.tasks)))
    assert "Early decisions cost 0.1% to 50%, by variant, of the median configuration's regret" in text


def test_nothing_finished_is_said():
    nothing = replace(example(), tasks=(), across=(), cells=12, finished=0)
    assert (answer(nothing), summary(nothing)) == ("None of the 12 cells has a result yet.", [])


def test_missing_cells_and_warnings_are_told():
    report = replace(example(), cells=100, finished=90)
    assert summary(report)[0].startswith("Not complete: 10 of 100 cells have no result")
    notes = report_notes(report, ["brackets=5 is clipped"])
    assert notes[0] == "Warned when the sweep began: brackets=5 is clipped"


def test_notes_of_many_tasks_are_said_once():
    report = example(4, (8, 32))
    notes = [
        ("same",),
        ("same", "in 3 of 10 studies after 5 min"),
        ("in 4 of 10 studies after 2 h",),
        ("only",),
    ]
    notes += [("same",)] * 4
    tasks = tuple(replace(task, notes=mine) for task, mine in zip(report.tasks, notes, strict=True))
    names = [task.name for task in tasks]
    assert shared_notes(replace(report, tasks=tasks)) == [
        "6 of 8 tasks: same",
        f"2 of 8 tasks, such as {names[1]}: in 3 of 10 studies after 5 min",
        f"{names[3]}: only",
    ]
    assert shared_notes(replace(report, tasks=tasks[1:2])) == list(notes[1])


def test_a_setting_of_one_worker_is_singular():
    assert [setting_of("plain", n) for n in (1, 1000)] == ["plain, 1 worker", "plain, 1000 workers"]


def test_each_term_is_one_sentence_or_two():
    for term, meaning in TEXTS["glossary"].items():
        assert meaning.endswith("."), term
        assert meaning.count(". ") <= 1, term
    assert list(TEXTS["glossary"]) == sorted(TEXTS["glossary"], key=str.lower)
