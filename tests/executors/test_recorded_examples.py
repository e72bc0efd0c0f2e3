"""The training functions behind the curves that ship beside digits."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.task_curves import RECORDINGS
from hbsim.core.space import arguments
from hbsim.executors.training_function import load_target, make_target
from hbsim.source import load_module

EXAMPLES = Path(__file__).parents[2] / "examples"


class Enough(Exception):
    pass


@pytest.fixture(params=sorted(RECORDINGS))
def recorded(request):
    pytest.importorskip("sklearn", reason="the examples' data are scikit-learn's")
    torch = pytest.importorskip("torch", reason="chars trains with PyTorch")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    recording = RECORDINGS[request.param]
    yield recording, load_target(make_target(f"{EXAMPLES / recording.example}:train_fn"))
    torch.set_num_threads(threads)


def reports_of(train, configuration=None, seed=1, epochs=2):
    reports = []

    def reporter(**report):
        reports.append(report)
        if len(reports) == epochs:
            raise Enough

    args = arguments(train, configuration or {})
    args["seed"] = seed
    with pytest.raises(Enough):
        train(args, reporter)
    return reports


def without_clock(report):
    return {name: value for name, value in report.items() if name != "process_seconds"}


def test_learns_by_its_seed_and_reports_what_is_packed(recorded):
    recording, train = recorded
    first, last = reports_of(train, epochs=8)[:: 8 - 1]
    assert (first["epoch"], last["epoch"]) == (1, 8)
    assert last[recording.metric] < first[recording.metric]
    assert first[recording.metric] != first[recording.test_metric]  # other data
    assert 0 < first["process_seconds"] < last["process_seconds"]
    again = reports_of(train, epochs=1)[0]
    assert without_clock(again) == without_clock(first)
    other = reports_of(train, seed=2, epochs=1)[0]
    assert other[recording.metric] != first[recording.metric]


def test_boosting_reports_what_scikit_learn_predicts():
    pytest.importorskip("sklearn", reason="the example boosts with it")
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.metrics import log_loss

    example = load_module("_boosting_example", EXAMPLES / "boosting.py")
    train, (images, labels) = example.train_fn, example.DATA[1]
    chosen = {"learning_rate": 0.3, "max_depth": 2, "subsample": 0.5, "max_features": 0.2}
    last = reports_of(train, chosen, seed=3, epochs=4)[-1]
    options = {name: value for name, value in arguments(train, chosen).items() if name != "seed"}
    model = GradientBoostingClassifier(n_estimators=4, random_state=3, **options)
    model.fit(*example.DATA[0])
    chances = model.predict_proba(images)
    assert last["val_log_loss"] == pytest.approx(log_loss(labels, chances))
    assert last["val_error"] == pytest.approx(float((model.predict(images) != labels).mean()))
