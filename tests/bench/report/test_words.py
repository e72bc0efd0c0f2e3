"""The sentences of a report say what its numbers say."""

import math
from dataclasses import replace

from hbsim.bench.conclusions import Interval
from hbsim.bench.report.model import Across, Duel, Regrets
from hbsim.bench.report.words import notes, summary

from .example import example

POINT = Interval(0.1, 0.05, 0.2)


def across(variants, p, groups=8, friedman=0.001, setting="plain, 4 workers", ranks=None):
    ranks = ranks or tuple(float(place + 1) for place in range(len(variants)))
    duels = tuple(
        Duel(
            a,
            b,
            5,
            0,
            3,
            p.get((a, b), 0.9),
            0.5,
            "better" if p.get((a, b), 0.9) < 0.05 else "too close to call",
        )
        for place, a in enumerate(variants)
        for b in variants[place + 1 :]
    )
    return Across(
        setting, "score", tuple(f"g{n}" for n in range(groups)), variants, ((0.1,) * len(variants),) * groups,
        (POINT,) * len(variants), ranks, friedman, 1.0, (), duels,
    )  # fmt: skip


def said(report):
    return " ".join(summary(report))


def test_who_is_ahead_and_who_is_too_close_over_tasks():
    report = replace(example(), across=(across(("a", "b", "c"), {("a", "c"): 0.01}),))
    text = said(report)
    assert "Over 8 groups of tasks “a” has the best mean rank, 1.00 of 3" in text
    assert "“a” is ahead of “c”" in text
    assert "Too close to call: “b”" in text


def test_ranks_that_chance_would_have_are_no_lead():
    text = said(replace(example(), across=(across(("a", "b"), {("a", "b"): 0.01}, friedman=0.3),)))
    assert "too close to call" in text
    assert "“a” is ahead" not in text
    assert "mean rank" not in text


def test_too_few_groups_are_said_and_nothing_else_is_claimed():
    text = said(replace(example(), across=(across(("a", "b"), {("a", "b"): 0.001}, groups=3),)))
    assert "Over 3 groups of tasks nothing can be told apart: a test needs 6." in text
    assert "“a” is ahead" not in text
    assert "mean rank" not in text


def test_a_test_that_speaks_for_the_other_side_is_no_lead():
    found = across(("a", "b"), {("a", "b"): 0.01})
    turned = replace(found, duels=tuple(replace(duel, call="worse") for duel in found.duels))
    text = said(replace(example(), across=(turned,)))
    assert "is ahead of “b”" not in text


def test_too_few_groups_for_so_many_pairs_are_said():
    found = across(("a", "b", "c", "d"), {}, groups=6)
    untested = replace(found, duels=tuple(replace(duel, p=math.nan) for duel in found.duels))
    text = said(replace(example(), across=(untested,)))
    assert "They differ, but which pairs do takes at least 8 groups with so many variants." in text


def test_a_shared_lead_is_shared():
    text = said(replace(example(), across=(across(("a", "b", "c"), {}, ranks=(1.5, 1.5, 3.0)),)))
    assert "“a” and “b” share the best mean rank, 1.50 of 3" in text


def test_leaders_are_named_where_a_test_tells_variants_apart_and_only_there():
    settings = (
        across(("a", "b"), {}, setting="plain, 4 workers"),
        across(("b", "a"), {}, setting="plain, 32 workers"),
        across(("b", "a"), {}, setting="plain, 99 workers", friedman=0.5),
        across(("a", "b"), {}, setting="all settings"),
    )
    text = said(replace(example(), across=settings))
    assert "the best mean rank is that of “a” with plain, 4 workers; “b” with plain, 32 workers." in text
    assert "Not told apart at all: plain, 99 workers." in text


def test_where_the_leader_over_tasks_is_behind_is_said():
    report = example()
    names = [row.variant for row in report.tasks[0].rows]
    first = report.tasks[0]
    rows = tuple(
        replace(row, call="best" if place == 0 else "worse" if place == 1 else "too close to call")
        for place, row in enumerate(first.rows)
    )
    rest = tuple(
        replace(
            task,
            rows=tuple(replace(r, call="best" if r.rank == 1 else "too close to call") for r in task.rows),
        )
        for task in report.tasks[1:]
    )
    overall = across((names[1], names[0]), {}, setting="all settings")
    text = said(replace(report, tasks=(replace(first, rows=rows), *rest), across=(overall,)))
    assert f"Seed by seed, 1 of {len(report.tasks)} tasks tell some variant from their best one." in text
    assert f"On {first.name}: “{names[0]}” is ahead of “{names[1]}”." in text
    assert f"“{names[1]}”, first by mean rank, is behind the best on {first.name}." in text


def test_a_single_task_is_told_seed_by_seed():
    task = example().tasks[0]
    best, *others = task.rows
    rows = (
        replace(best, variant="best <i>", rank=1, call="best", seeds_needed=None),
        *(replace(row, call="worse", seeds_needed=None) for row in others[1:]),
        replace(others[0], variant="near", call="too close to call", seeds_needed=123),
    )
    text = said(replace(example(), tasks=(replace(task, rows=rows),), across=()))
    assert "“best <i>” has the least regret after" in text
    assert (
        "Too close to call: “near”. With about 123 new seeds such a difference from “near” would show" in text
    )


def test_what_early_decisions_cost_is_a_mean_over_tasks_and_never_of_fifo():
    report = example()
    kinds = {variant.name: variant.type for variant in report.variants}
    names = [name for name, kind in kinds.items() if kind != "fifo"][:2]
    parts = tuple(
        Regrets(name, 0.0, 0.5 if name == names[0] else 0.001 if name == names[1] else math.nan, 0.0, 0.0)
        for name in kinds
    )
    text = said(replace(report, tasks=tuple(replace(task, regrets=parts) for task in report.tasks)))
    assert "Early decisions cost 0.1% to 50.0%, by variant, of a guess's regret" in text


def test_too_few_seeds_for_any_call_are_said():
    tasks = tuple(replace(task, seeds=5) for task in example().tasks)
    report = replace(example(), tasks=tasks, across=())
    variants = max(len(task.rows) for task in tasks)
    assert f"Seed by seed nothing can be told: {variants} variants take at least" in said(report)


def test_nothing_finished_is_said():
    assert summary(replace(example(), tasks=(), across=(), cells=12, finished=0)) == [
        "None of the 12 cells has a result yet."
    ]


def test_missing_cells_and_warnings_are_told():
    report = replace(example(), cells=100, finished=90)
    assert summary(report)[0].startswith("Not complete: 10 of 100 cells have no result")
    assert notes(report, ["brackets=5 is clipped"])[0] == "Warned when the sweep began: brackets=5 is clipped"
