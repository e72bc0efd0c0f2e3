"""Curves over ONNX: against the same network in NumPy, and against the published files where they are."""

from __future__ import annotations

import json
import re
import sys
from functools import partial
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import hbsim
from hbsim.cli.main import main
from hbsim.surrogates import Yahpo, describe, load
from hbsim.surrogates.protocol import Surrogate
from tests.doubles.yahpo import CONTINUOUS, EPOCHS, INSTANCES, OUTPUTS, Double
from tests.profile import THOROUGH, thorough

pytestmark = pytest.mark.usefixtures("no_yahpo_settings")

ALL = np.arange(1.0, EPOCHS + 1)
POINTS = st.lists(st.tuples(*7 * [st.floats(0, 1)]), min_size=1, max_size=8).map(np.array)
METRICS = {name: "min" if "entropy" in name else "max" for name in OUTPUTS[1:]}


def make(data: Path, instance: str = "33", metric: str | None = None) -> Surrogate:
    return load(f"yahpo:lcbench/{instance}", yahpo_data=data, metric=metric)


@given(points=POINTS, instance=st.sampled_from(INSTANCES), metric=st.sampled_from(sorted(METRICS)))
def test_the_curves_are_those_of_the_network(yahpo_data, points, instance, metric):
    surrogate = make(yahpo_data, instance, metric)
    values, seconds = surrogate.evaluate(points, ALL)
    twin = {"val_balanced_accuracy": "test_balanced_accuracy", "val_cross_entropy": "test_cross_entropy"}
    tests = [surrogate.test_values(points, level) for level in ALL]
    for place, point in enumerate(points):
        curves = Double().curves(instance, surrogate.space.mapping(point))
        near = partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-3)
        near(values[place], curves[metric])
        near(seconds[place], curves["time"])
        if metric in twin:
            near([column[place] for column in tests], curves[twin[metric]])
        else:
            assert tests == EPOCHS * [None]


def test_the_double_goes_wrong_as_networks_do(yahpo_data):
    surrogate = make(yahpo_data, metric="val_cross_entropy")
    points = surrogate.space.sample(300, np.random.default_rng(0))
    values, seconds = surrogate.evaluate(points, ALL)
    deep = surrogate.space.decode(points)["num_layers"] == 5
    assert (np.isnan(values) == deep[:, None]).all()
    assert 0 < deep.sum() < 300
    assert np.nanmin(values) < 0
    assert (np.diff(seconds) == 0).any()  # predicted time went back
    assert (seconds == 0).any()  # and was negative


def blocks(make_one, points, sizes):
    """Return values, seconds and test values, worked out by a new surrogate in blocks of these sizes."""
    surrogate, found, at = make_one(), [], 0
    levels = np.array(surrogate.resources)
    for size in sizes:
        block = points[at : at + size]
        values, seconds = surrogate.evaluate(block, levels)
        found.append(np.hstack([values, seconds, surrogate.test_values(block, levels[-1])[:, None]]))
        at += size
    assert at >= len(points)
    return np.concatenate(found)


def check_blocks(make_one, n):
    points = make_one().space.sample(n, np.random.default_rng(n))
    whole = blocks(make_one, points, [n])
    assert blocks(make_one, points, n * [1]).tobytes() == whole.tobytes()
    assert blocks(make_one, points, (n // 7 + 1) * [7]).tobytes() == whole.tobytes()
    order = np.random.default_rng(0).permutation(n)
    assert blocks(make_one, points[order], [n]).tobytes() == whole[order].tobytes()


def test_a_configuration_has_its_bytes_in_any_block(yahpo_data):
    check_blocks(partial(make, yahpo_data, metric="val_cross_entropy"), 100 if THOROUGH else 50)


def test_a_configuration_has_its_bytes_in_any_block_of_the_published_network(yahpo_published):
    check_blocks(partial(make, yahpo_published, "167168", "val_balanced_accuracy"), 500 if THOROUGH else 60)


@given(st.sets(st.sampled_from(ALL.tolist()), min_size=1))
def test_some_levels_are_some_of_all(yahpo_data, levels):
    surrogate = make(yahpo_data)
    points = surrogate.space.sample(3, np.random.default_rng(1))
    places = np.array(sorted(levels), dtype=int) - 1
    for some, every in zip(
        surrogate.evaluate(points, ALL[places]), surrogate.evaluate(points, ALL), strict=True
    ):
        assert some.tobytes() == np.ascontiguousarray(every[:, places]).tobytes()


def test_what_it_says_of_itself(yahpo_data):
    surrogate = make(yahpo_data)
    said = describe(surrogate)
    assert (said.name, said.metric, said.mode) == ("yahpo:lcbench/33", "val_accuracy", "max")
    assert (said.rows, said.optimum, said.has_test) == (None, None, False)
    assert surrogate.resources == tuple(ALL.tolist())
    assert surrogate.max_resource == EPOCHS
    for metric, mode in METRICS.items():
        one = load("yahpo:lcbench/11", yahpo_data=yahpo_data, metric=metric, mode=mode)
        assert (one.metric, one.mode) == (metric, mode)
    tested = load("yahpo:lcbench/11", yahpo_data=yahpo_data, test_metric="test_cross_entropy")
    entropy = load("yahpo:lcbench/11", yahpo_data=yahpo_data, metric="test_cross_entropy")
    points = tested.space.sample(9, np.random.default_rng(0))
    np.testing.assert_array_equal(tested.test_values(points, 3.0), entropy.evaluate(points, ALL)[0][:, 2])
    assert load(surrogate) is surrogate


def test_the_published_curves_are_those_of_its_inputs(yahpo_published):
    runtime = pytest.importorskip("onnxruntime")
    surrogate = make(yahpo_published, "189906", "val_cross_entropy")
    points = surrogate.space.sample(40, np.random.default_rng(3))
    levels = np.arange(1.0, 53.0)
    columns = {**surrogate.space.decode(np.repeat(points, 52, axis=0)), "epoch": np.tile(levels, 40)}
    code = json.loads((yahpo_published / "encoding.json").read_text())["OpenML_task_id"]["189906"]
    feed = {
        "x_cat": np.full((40 * 52, 1), code, dtype=np.int32),
        "x_cont": np.stack([columns[name] for name in CONTINUOUS], axis=1).astype(np.float32),
    }
    session = runtime.InferenceSession(str(yahpo_published / "model.onnx"))
    found = session.run(None, feed)[0].reshape(40, 52, 6)
    values, seconds = surrogate.evaluate(points, levels)
    near = partial(np.testing.assert_allclose, rtol=1e-3)  # another batch: other last bits
    near(values, found[:, :, 2])
    near(seconds, np.maximum.accumulate(found[:, :, 0], axis=1))
    near(surrogate.test_values(points, 52.0), found[:, -1, 4])


@thorough
def test_the_page_runs_and_says_what_it_prints(yahpo_published, monkeypatch, capsys):
    monkeypatch.setenv("HBSIM_YAHPO_DATA", str(yahpo_published))
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "yahpo.md").read_text(encoding="utf-8")
    for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(compile(block, "docs/how-to/yahpo.md", "exec"), {"__name__": "docs"})
    printed = capsys.readouterr().out.splitlines()[-3:]
    median = [float(r) for r in printed[1].split()[1:]]
    assert median == pytest.approx([0.03, 0.69, 0.85, 0.96, 1.0], abs=0.05)  # by other draws
    for line in printed:
        name, *ranks = line.split()
        (row,) = re.findall(rf"^\| {name} \| (.*) \|$", page, re.MULTILINE)
        assert [float(r) for r in ranks] == pytest.approx([*map(float, row.split(" | ")), 1.0], abs=0.02)


# In use


def test_it_goes_to_another_process_as_its_files(yahpo_data):
    surrogate = load("yahpo:lcbench/22", yahpo_data=yahpo_data, metric="val_cross_entropy")
    sent = bytes(ForkingPickler.dumps(surrogate))
    assert len(sent) < 1000
    again = ForkingPickler.loads(sent)
    assert isinstance(again, Yahpo)
    points = again.space.sample(20, np.random.default_rng(0))
    for ours, theirs in zip(surrogate.evaluate(points, ALL), again.evaluate(points, ALL), strict=True):
        assert ours.tobytes() == theirs.tobytes()
    assert (again.name, again.metric, again.mode) == (surrogate.name, surrogate.metric, surrogate.mode)


def test_a_comparison_in_processes(yahpo_data):
    curves = {
        "surrogate": "yahpo:lcbench/33",
        "yahpo_data": str(yahpo_data),
        "metric": "val_balanced_accuracy",
    }
    found = [
        hbsim.compare(["stopping", "promotion"], surrogate=curves, num_trials=12, seeds=2, jobs=jobs).cells
        for jobs in (1, 2)
    ]
    assert found[0].equals(found[1])


def test_the_command_line(yahpo_data, tmp_path, monkeypatch, capsys):
    def run(*words: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["hbsim", *words])
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        return end.value.code, said.out + said.err

    study = ["simulate", "--scheduler", "stopping", "--surrogate", "yahpo:lcbench/22", "--trials", "30"]
    code, out = run(*study, "--yahpo-data", str(yahpo_data), "--metric", "val_cross_entropy", "--json")
    assert code == 0
    surrogate = load("yahpo:lcbench/22", yahpo_data=yahpo_data, metric="val_cross_entropy")
    scheduler = hbsim.core.make_scheduler("stopping", max_t=EPOCHS, mode="min", num_trials=30)
    expected = hbsim.simulate(scheduler, surrogate).summary()
    assert json.loads(out)["summary"]["best"] == expected["best"]
    monkeypatch.setenv("HBSIM_YAHPO_DATA", str(yahpo_data))
    assert run(*study)[0] == 0
    assert run("surrogates", "yahpo:lcbench/11", "--json")[0] == 0
    code, out = run(*study, "--yahpo-data", str(tmp_path))
    assert code == 2
    assert out.startswith(f"hbsim: error: {tmp_path / 'model.onnx'}: no such file")
    assert "--yahpo-data" in out
