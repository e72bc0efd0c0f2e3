"""A cell's key changes with every input, and with nothing else."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from hbsim.bench.sweep.plan import read_sweep
from hbsim.core.options import TYPES, Options
from hbsim.simulation import Cluster
from tests.bench.sweep.made import read

OTHER = {
    "retries": 1, "loss_retries": 0, "resource_type": '"float"', "grace_period": 3, "reduction_factor": 2,
    "brackets": 2,
    "bracket_sampling": '"hyperband"', "shared_rungs": "true", "rule": '"rank"', "straight_on": "false",
    "keep_size_ratios": "true", "failed_places": '"held"', "n": 5, "quota": '"nominal"', "overlap": "true",
    "n_formula": '"floor"', "epsilon": 0.5, "interval": 2, "among": '"recorded"', "min_samples": 3,
}  # fmt: skip
NEEDED = {"sha": {"n": 4}}
FIXED = ("mode", "seed", "num_trials", "max_t")

CLUSTERS = {
    "workers": "workers = 3",
    "speed": "speed = 2.0",
    "startup": "startup = 1.0",
    "report_delay": "report_delay = 1.0",
    "decision_delay": "decision_delay = 1.0",
    "suggest_delay": "suggest_delay = 1.0",
    "save": "save = 1.0",
    "load": "load = 1.0",
    "straggler_std": "straggler_std = 0.5",
    "drop_rate": "drop_rate = 0.01",
    "resume": "resume = false",
    "report": 'report = "async"',
    "mtbf": "mtbf = 100.0",
    "mttr": "mtbf = 100.0\nmttr = 5.0",
    "preempted_every": "preempted_every = 100.0",
    "preempted_for": "preempted_every = 100.0\npreempted_for = 5.0",
    "notice": "preempted_every = 100.0\nnotice = 5.0",
    "schedule": "workers = 2\nschedule = [[0.0, 2], [9.0, 1], [20.0, 2]]",
    "trace": 'trace = "trace.csv"',
    "retry_from": 'retry_from = "zero"',
    "checkpoint_size": "checkpoint_size = 3.0",
    "save_bandwidth": "save_bandwidth = 3.0",
    "load_bandwidth": "load_bandwidth = 3.0",
    "store_bandwidth": "checkpoint_size = 3.0\nstore_bandwidth = 3.0",
    "machines": 'machines = [{kind = "big", count = 2}]',
    "gpus_per_trial": 'machines = [{kind = "big", count = 2, gpus = 4}]\ngpus_per_trial = 4.0',
    "slowdown": 'machines = [{kind = "big", count = 1}]\ngpus_per_trial = 0.5\nslowdown = 1.5',
    "price": "price = 2.0",
}
TRACE = "worker,start,end,state\na,0,50,up\na,50,60,{state}\na,60,1000,up\n{name},0,1000,up\n"


def text(
    top: str = "seeds = [3]",
    variant: str = 'type = "stopping"',
    surrogate: str = 'surrogate = "synthetic:mode=min,max_resource=9"',
    cluster: str = "workers = 2",
) -> str:
    parts = (top, "[[variants]]", variant, "[[surrogates]]", "num_trials = 9", surrogate)
    return "\n".join((*parts, "[[clusters]]", 'name = "some"', cluster, ""))


def key(folder: Path, **parts: str) -> str:
    (study,) = read(folder, text(**parts)).studies
    return study.key


@pytest.fixture
def base(tmp_path: Path) -> str:
    return key(tmp_path)


@pytest.mark.parametrize("type", TYPES)
def test_every_option_of_a_scheduler_counts(type, tmp_path):
    assert {*OTHER, *FIXED} >= set(TYPES[type])
    own = {name: value for name, value in OTHER.items() if name in TYPES[type]}
    needed = NEEDED.get(type, {})
    first = [f'type = "{type}"', *(f"{name} = {value}" for name, value in needed.items() if name not in own)]
    keys = [key(tmp_path, variant="\n".join([*first, *(f"{n} = {v}" for n, v in needed.items())]))]
    for name, value in own.items():
        options = {**needed, name: value}
        lines = [f'type = "{type}"', *(f"{name} = {value}" for name, value in options.items())]
        keys.append(key(tmp_path, variant="\n".join(lines)))
    assert len(set(keys)) == 1 + len(own)


def test_types_count(tmp_path):
    made = [key(tmp_path, variant=f'type = "{one}"\n{"n = 4" if one == "sha" else ""}') for one in TYPES]
    assert len(set(made)) == len(TYPES)


def test_every_field_of_a_cluster_counts(base, tmp_path):
    (tmp_path / "trace.csv").write_text(TRACE.format(state="down", name="b"))
    assert set(CLUSTERS) == {field.name for field in dataclasses.fields(Cluster)}
    keys = {name: key(tmp_path, cluster=lines) for name, lines in CLUSTERS.items()}
    assert len({base, *keys.values()}) == 1 + len(CLUSTERS)


def test_what_stands_in_a_trace_counts_and_no_name_does(tmp_path):
    keys = []
    for file, state, name in (("one", "down", "b"), ("two", "down", "c"), ("three", "preempted", "b")):
        (tmp_path / f"{file}.csv").write_text(TRACE.format(state=state, name=name))
        keys.append(key(tmp_path, cluster=f'trace = "{file}.csv"'))
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize(
    "parts",
    [
        {"top": "seeds = [4]"},
        {"top": "seeds = [3]\ndefaults = {max_time = 50.0}"},
        {"top": "seeds = [3]\ndefaults = {max_full_runs = 2.0}"},
        {"top": "seeds = [3]\ndefaults = {max_t = 3}"},
        {"top": "seeds = [3]\ndefaults = {retries = 1}"},
        {"surrogate": 'surrogate = "synthetic:mode=min,max_resource=9,seed=1"'},
        {"surrogate": 'surrogate = "synthetic:mode=max,max_resource=9"'},
        {"surrogate": 'surrogate = "synthetic:mode=min,max_resource=9"\nwrap = ["noise:std=0.1"]'},
    ],
    ids=str,
)
def test_what_else_counts(parts, base, tmp_path):
    assert key(tmp_path, **parts) != base


@pytest.mark.parametrize(
    "parts",
    [
        {"top": 'seeds = {first = 3, count = 1}\ntitle = "T"\ndescription = "D"\ntarget = 0.5'},
        {"top": "seeds = [3]\nworkers = [2]", "cluster": ""},
        {"top": "seeds = [3]\nworkers = [7]"},
        {"top": "seeds = [3]\ndefaults = {max_t = 9.0, retries = 0, n = 3, replace = false}"},
        {"top": "seeds = [3]\ndefaults = {replace = true}"},  # there are no rows
        {"variant": 'type = "stopping"\nname = "mine"'},
        {"variant": 'type = "stopping"\nbrackets = 1\ngrace_period = 1.0'},
        {"variant": 'type = "stopping"\nvary = {reduction_factor = [3]}\nsearcher = "random"'},
        {"surrogate": 'surrogate = "synthetic:max_resource=9,mode=min"\nname = "s"\ngroup = "g"'},
        {"cluster": "workers = [2]\nstartup = 0.0\nspeed = 1.0\nresume = true"},
    ],
    ids=str,
)
def test_what_does_not_count(parts, base, tmp_path):
    assert key(tmp_path, **parts) == base


def test_rows_that_come_again_count_where_there_are_rows(tmp_path):
    digits = {"surrogate": 'surrogate = "digits"'}
    assert key(tmp_path, top="seeds = [3]\ndefaults = {replace = true}", **digits) != key(tmp_path, **digits)


def test_no_option_is_forgotten():
    assert {field.name for field in dataclasses.fields(Options)} == {"type", *OTHER, *FIXED}


CURVES = "config,lr,epoch,loss,seconds\n" + "".join(
    f"{row},0.{row + 1},{epoch},{{first}}{row}.{epoch},1\n" for row in range(9) for epoch in (1, 2, 3)
)
OWN = """
import numpy as np
from hbsim import Real, Space

class Own:
    metric, mode, max_resource = "loss", "min", 9.0
    space = Space({"x": Real(0, 1)})

    def evaluate(self, points, levels):
        return np.repeat(points, len(levels), 1) + SHIFT, np.repeat(levels[None, :], len(points), 0)
"""


def test_content_of_curves_counts_and_their_place_does_not(tmp_path):
    files = {"a": "one.py", "b": "sub/other.py", "c": "three.py"}
    keys = {}
    for name, file in files.items():
        path = tmp_path / file
        path.parent.mkdir(exist_ok=True)
        path.write_text(OWN.replace("SHIFT", "1.0" if name == "c" else "0.0"))
        keys[name] = key(tmp_path, surrogate=f'surrogate = "{file}:Own"')
    assert keys["a"] == keys["b"] != keys["c"]


def test_a_file_that_has_changed_is_read_again(tmp_path):
    path = tmp_path / "own.py"
    keys = []
    for shift in ("0.0", "1.0", "0.0"):
        path.write_text(OWN.replace("SHIFT", shift))
        keys.append(key(tmp_path, surrogate='surrogate = "own.py:Own"'))
    assert keys[0] == keys[2] != keys[1]


def test_paths_of_curves_start_at_data_or_at_the_file(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "own.py").write_text(OWN.replace("SHIFT", "0.0"))
    (tmp_path / "study.toml").write_text(text(surrogate='surrogate = "own.py:Own"'))
    (there,) = read_sweep(tmp_path / "study.toml", tmp_path / "data").studies
    assert there.key == key(tmp_path, surrogate='surrogate = "data/own.py:Own"')


def test_recorded_curves_are_told_by_what_they_hold(tmp_path):
    keys = []
    for name, first in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / f"{name}.csv").write_text(CURVES.format(first=first))
        own = f'surrogate = "{name}.csv"\nmetric = "loss"\nmode = "min"\ntime = "seconds"\nmax_t = 3'
        keys.append(key(tmp_path, surrogate=own))
    assert keys[0] == keys[1] != keys[2]
