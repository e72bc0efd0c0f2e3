"""Reports of sweeps in which something is missing, or means nothing."""

import math
from importlib.util import find_spec

import numpy as np
import pytest

from hbsim.bench.report.build import build, smallest_difference
from hbsim.bench.report.render import markdown
from hbsim.bench.sweep.folder import read_results
from hbsim.bench.sweep.plan import read_sweep
from hbsim.errors import ParameterError

from .studies import some, sweep

# Not loaded where tests are collected, which takes a second in each of their processes.
pytestmark = pytest.mark.skipif(find_spec("scikit_posthocs") is None, reason="needs the extra report")

HEAD = "seeds = 4\nworkers = 2\n[defaults]\nnum_trials = 12\n"
TWO = '[[variants]]\ntype = "stopping"\n[[variants]]\ntype = "promotion"\n'


def part(folder, spec, wanted):
    """Run the cells of a sweep for which `wanted` says so."""
    file = folder / "some.toml"
    file.write_text(spec)
    made = read_sweep(file)
    some(made, folder / "out", [study for study in made.studies if wanted(study)])
    return read_results(folder / "out")


def test_studies_that_take_no_time_have_no_ranking_and_spoil_no_other_task(tmp_path):
    spec = HEAD + TWO + '[[surrogates]]\nsurrogate = "ideal:seconds=0,max_resource=9"\nname = "zero"\n'
    spec += '[[surrogates]]\nsurrogate = "synthetic:max_resource=9"\nname = "syn"\n'
    report = build(sweep(tmp_path, spec), "hbsim report out")
    zero, syn = report.tasks
    assert (zero.rows, zero.seeds) == ((), 0)
    assert any("nothing took any time" in note for note in zero.notes)
    assert [row.variant for row in syn.rows]
    assert markdown(report)


def test_where_a_guess_is_as_good_as_the_best_there_is_no_score(tmp_path):
    accuracy = np.full((40, 9), 0.5)
    np.savez(tmp_path / "flat.npz", accuracy=accuracy, t=np.cumsum(np.ones((40, 9)), axis=1))
    spec = HEAD + TWO + '[[surrogates]]\nsurrogate = "flat.npz"\nmetric = "accuracy"\nmode = "max"\n'
    spec += 'time = "t"\nfirst_level = 1\nname = "flat"\n'
    report = build(sweep(tmp_path, spec), "hbsim report out")
    [task] = report.tasks
    assert all(math.isnan(row.score.mean) and row.call == "no score" for row in task.rows)
    assert any("nothing to tune" in note for note in task.notes)
    assert markdown(report)


CURVES = '[[surrogates]]\nsurrogate = "synthetic:max_resource=9"\nname = "a"\n'
CURVES += '[[surrogates]]\nsurrogate = "synthetic:max_resource=9,seed=2"\nname = "b"\n'


def test_a_variant_that_has_not_run_anywhere_leaves_the_others_compared(tmp_path):
    spec = HEAD + TWO + '[[variants]]\ntype = "fifo"\n' + CURVES
    results = part(tmp_path, spec, lambda study: study.of.variant.type != "fifo")
    report = build(results, "hbsim report out")
    assert all({row.variant for row in task.rows} == {"stopping", "promotion"} for task in report.tasks)
    assert report.across
    assert any("“fifo”: not compared" in note for note in report.notes)


def test_a_task_where_a_variant_is_missing_does_not_count_over_tasks(tmp_path):
    spec = HEAD + TWO + CURVES
    results = part(tmp_path, spec, lambda s: not (s.of.variant.type == "stopping" and s.of.surrogate == "b"))
    report = build(results, "hbsim report out")
    assert not report.across
    assert [len(task.rows) for task in report.tasks] == [2, 1]
    assert any("not complete, so left out where tasks are counted" in note for note in report.notes)
    assert report.summary[0].startswith("Not complete: 4 of 16 cells")


def test_a_variant_with_few_seeds_does_not_take_them_from_all(tmp_path):
    spec = HEAD + TWO + CURVES
    results = part(tmp_path, spec, lambda s: s.of.variant.type == "promotion" or s.seed == 0)
    report = build(results, "hbsim report out")
    assert all(task.seeds == 4 and len(task.rows) == 1 for task in report.tasks)


def test_types_without_brackets_are_on_no_heatmap(tmp_path):
    spec = HEAD + '[[variants]]\ntype = "hyperband"\nvary = {reduction_factor = [2, 3]}\n'
    spec += (
        '[[variants]]\ntype = "stopping"\nvary = {brackets = [1, 2], reduction_factor = [2, 3]}\n' + CURVES
    )
    report = build(sweep(tmp_path, spec), "hbsim report out")
    assert [heatmap.title for heatmap in report.heatmaps] == ["stopping"]
    [heatmap] = report.heatmaps
    assert all(math.isfinite(value) for row in heatmap.values for value in row)


def test_an_option_that_differs_between_tasks_is_at_no_place(tmp_path):
    spec = HEAD + '[[variants]]\ntype = "stopping"\nvary = {reduction_factor = [2, 3]}\n' + CURVES
    spec += '[[override]]\nwhere = {surrogate = "b"}\nset = {brackets = 2}\n'
    assert build(sweep(tmp_path, spec), "hbsim report out").heatmaps == ()


def test_few_seeds_are_said_to_be_few(tmp_path):
    report = build(sweep(tmp_path, HEAD + TWO + CURVES), "hbsim report out")
    assert "4 seeds: only large differences show" in report.tasks[0].notes
    two = build(sweep(tmp_path / "two", (HEAD + TWO + CURVES).replace("seeds = 4", "seeds = 2")), "")
    assert any(note.startswith("nothing is concluded: that takes at least 3") for note in two.tasks[0].notes)
    assert {row.call for row in two.tasks[0].rows} == {"best", "not told apart"}


def test_what_matters_is_in_the_unit_of_the_metric_or_a_share_of_the_least_regret(tmp_path):
    results = sweep(tmp_path, HEAD + TWO + CURVES)
    in_unit, share, none = (build(results, "", matters=text) for text in ("0.01", "10%", None))
    for task, other in zip(in_unit.tasks, share.tasks, strict=True):
        unit = abs(task.median - task.optimum)
        assert task.matters == pytest.approx(0.01 / unit)
        assert other.matters == pytest.approx(0.1 * other.rows[0].score.mean)
        standing = task.rows[1].standing
        assert standing.better + standing.same + standing.worse == pytest.approx(1.0)
    assert none.tasks[0].matters is None
    assert math.isnan(none.tasks[0].rows[0].standing.same)


@pytest.mark.parametrize("text", ["0", "-1", "x", "%", "nan", "inf%"])
def test_what_matters_is_a_number_above_0(text):
    with pytest.raises(ParameterError, match="matters"):
        smallest_difference(text)


TABLE = """
seeds = 40
workers = 2
[defaults]
num_trials = 9
[[variants]]
type = "fifo"
[[variants]]
type = "stopping"
[[surrogates]]
surrogate = "curves.npz"
metric = "loss"
mode = "min"
first_level = 1
seconds_per_unit = 1
"""


def table(folder, spec):
    """Run a sweep on curves of 40 configurations that keep their order."""
    folder.mkdir()
    random = np.random.default_rng(0)
    final = random.uniform(size=(40, 1))
    np.savez(folder / "curves.npz", loss=final + 1 / np.arange(1, 10))
    return build(sweep(folder, spec), "")


def test_studies_on_halves_of_a_table_say_what_another_draw_would(tmp_path):
    report = table(tmp_path / "halves", TABLE)
    [task] = report.tasks
    assert (task.splits, task.configurations, task.has_draws) == (10, 40, True)
    assert all(row.rank == row.draw.rank for row in task.rows)
    assert "on another draw of configurations" in report.answer
    whole = table(tmp_path / "whole", "halves = false\n" + TABLE).tasks[0]
    assert (whole.splits, whole.has_draws) == (0, False)
    assert all(row.rank == row.curves.rank for row in whole.rows)
    few = table(tmp_path / "few", TABLE.replace("seeds = 40", "seeds = 12")).tasks[0]
    assert any(note.startswith("nothing is said of another draw") for note in few.notes)
