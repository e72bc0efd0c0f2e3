"""Clusters out of presets and files, curves of a scenario, and what is said before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from hbsim.bench.sweep.plan import SweepPlan
from hbsim.errors import ParameterError
from hbsim.simulation import Cluster
from tests.bench.sweep.made import read
from tests.bench.sweep.test_cell import OWN

YAHPO = Path(__file__).parents[4] / "shared" / "data" / "yahpo_lcbench"
TOP = """\
seeds = 1
workers = [2, 3]
defaults = {num_trials = 5}
"""
VARIANT = 'variants = [{type = "fifo"}]\n'
CURVES = 'surrogates = [{surrogate = "synthetic:mode=min,max_resource=9"}]\n'
FILE = 'workers = 5\nstartup = 7.0\nabout = {description = "five"}\n'


def clusters(folder: Path, table: str) -> list[Cluster]:
    return [study.of.cluster for study in read(folder, f"{TOP}{VARIANT}{CURVES}{table}").studies]


@pytest.mark.parametrize(
    ("table", "workers"),
    [
        ("", [2, 3]),
        ('clusters = [{name = "a"}]', [2, 3]),
        ('clusters = [{name = "a", workers = 7}]', [7]),
        ('clusters = [{name = "a", workers = [7, 1]}, {name = "b"}]', [7, 1, 2, 3]),
        ('clusters = [{name = "a", cluster = "asha-paper"}]', [25]),
        ('clusters = [{name = "a", cluster = "asha-paper", workers = [4, 5]}]', [4, 5]),
        ('clusters = [{name = "a", cluster = "aws-spot"}]', [16]),
        ('clusters = [{name = "a", cluster = "five.toml"}]', [5]),
        ('clusters = [{name = "a", schedule = [[0.0, 3], [9.0, 1]]}]', [3]),
        ('clusters = [{name = "a", speed = [1.0, 2.0]}]', [2]),
        ('clusters = [{name = "a", trace = "trace.csv"}]', [2]),
    ],
)
def test_how_many_workers_a_cluster_is_taken_with(table, workers, tmp_path):
    (tmp_path / "five.toml").write_text(FILE)
    (tmp_path / "trace.csv").write_text("worker,start,end,state\na,0,1000,up\nb,0,1000,up\n")
    assert [cluster.workers for cluster in clusters(tmp_path, table)] == workers


def test_fields_of_the_table_stand_over_those_of_the_file(tmp_path):
    (tmp_path / "five.toml").write_text(FILE)
    first, second = 'name = "a", price = 2.0', 'name = "b", startup = 1.0'
    table = f'clusters = [{{{first}, cluster = "five.toml"}}, {{{second}, cluster = "five.toml"}}]'
    assert clusters(tmp_path, table) == [
        Cluster(workers=5, startup=7.0, price=2.0),
        Cluster(workers=5, startup=1.0),
    ]


def test_a_preset_is_the_one_that_ships(tmp_path):
    (spot,) = clusters(tmp_path, 'clusters = [{name = "a", cluster = "aws-spot", notice = 9.0}]')
    assert spot.notice == 9.0
    assert spot.machines == Cluster.from_file("aws-spot").machines


def test_tasks_of_a_surrogate_are_a_group_unless_the_file_says_otherwise(tmp_path):
    curves = 'surrogates = [{surrogate = "digits"}, {surrogate = "synthetic", name = "s", group = "g"}]\n'
    tasks = read(tmp_path, f"{TOP}{VARIANT}{curves}").tasks
    assert [(task.surrogate, task.workers, task.group) for task in tasks] == [
        ("digits", 2, "digits"), ("digits", 3, "digits"), ("s", 2, "g"), ("s", 3, "g"),
    ]  # fmt: skip


@pytest.mark.skipif(not YAHPO.is_dir(), reason="the files of lcbench are not here")
def test_all_instances_of_a_scenario(tmp_path):
    table = f'surrogates = [{{surrogate = "yahpo:lcbench/*", yahpo_data = "{YAHPO}"}}]\n'
    one = 'include = [{surrogate = "lcbench/16716*", workers = 2}]\n'
    tasks = read(tmp_path, f"{TOP}{VARIANT}{table}{one}").tasks
    assert "lcbench/167168" in {task.surrogate for task in tasks}
    assert all(task.surrogate.startswith("lcbench/16716") for task in tasks)
    assert all(task.group == task.surrogate for task in tasks)
    named = table.replace("yahpo_data", 'name = "lc", group = "all", yahpo_data')
    tasks = read(tmp_path, f"{TOP}{VARIANT}{named}{one.replace('lcbench/16716*', 'lc/167168')}").tasks
    assert {task.group for task in tasks} == {"all"}
    assert "lc/167168" in {task.surrogate for task in tasks}


def warned(folder: Path, text: str) -> tuple[str, ...]:
    sweep: SweepPlan = read(folder, text)
    return sweep.warnings


def test_an_option_that_no_variant_takes_is_a_warning(tmp_path):
    fifo = f"{TOP}{VARIANT}{CURVES}"
    assert warned(tmp_path, fifo) == ()
    (line,) = warned(tmp_path, fifo.replace("{num_trials = 5}", "{num_trials = 5, brackets = 3}"))
    assert line.startswith("line 3: defaults.brackets = 3: is taken by no variant")
    two = fifo.replace('{type = "fifo"}', '{type = "fifo"}, {type = "stopping", brackets = 2}')
    (line,) = warned(tmp_path, two.replace("{num_trials = 5}", "{num_trials = 5, brackets = 3}"))
    assert "defaults.brackets = 3" in line
    assert warned(tmp_path, two.replace("{num_trials = 5}", "{num_trials = 5, grace_period = 3}")) == ()
    end = 'override = [{where = {variant = "fifo"}, set = {grace_period = 3}}]\n'
    (line,) = warned(tmp_path, two + end)
    assert line.startswith("line 6: override.0.set.grace_period = 3: is taken by no variant")


def test_what_several_variants_warn_of_is_one_line(tmp_path):
    text = (
        f"{TOP}{CURVES}"
        + 'variants = [{type = "stopping", vary = {brackets = [9], retries = [0, 1, 2, 3, 4]}}]\n'
    )
    (line,) = warned(tmp_path, text)
    names = [f"stopping,brackets=9,retries={count}" for count in range(3)]
    assert line.startswith(f"{'; '.join(names)} and 2 more: brackets=9 is clipped to 3")


def test_curves_that_cannot_be_evaluated_are_refused_with_their_line(tmp_path):
    broken = OWN.format(shift=0).replace(
        "return np.repeat", 'raise ValueError("no such curve")\n        return np.repeat'
    )
    (tmp_path / "own.py").write_text(broken)
    curves = 'surrogates = [\n  {surrogate = "own.py:Own"}\n]\n'
    with pytest.raises(ParameterError, match=r"line 6: surrogates\.0\.surrogate: .*no such curve"):
        read(tmp_path, f"{TOP}{VARIANT}{curves}")


def test_too_many_cells_are_refused_before_they_are_made(tmp_path):
    text = f"{TOP}{VARIANT}{CURVES}".replace("seeds = 1", "seeds = 1_000_000")
    many = text.replace("[2, 3]", str(list(range(1, 12))))
    with pytest.raises(ParameterError, match="makes 11,000,000 cells, and 10,000,000 are the most"):
        read(tmp_path, many)
