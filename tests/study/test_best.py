"""The best model is kept: the state at the best report, for every way in which a function saves."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import hbsim
from hbsim.errors import OutputError
from hbsim.executors import checkpoint
from hbsim.executors.checkpoint import Best, Origin
from hbsim.executors.reporter import FREE, BestStates
from tests.profile import thorough

ACCURACY = "1 - abs(args.lr - 0.3) - abs(epoch - 5) / 100"  # the best of each trial is at epoch 5
FUNCTIONS = {
    "on_pause": f"""
    epoch = reporter.load() or 0
    reporter.on_pause(lambda: epoch)
    for epoch in range(epoch + 1, 10):
        reporter(epoch=epoch, accuracy={ACCURACY})
""",
    "saves after its reports": f"""
    for epoch in range((reporter.load() or 0) + 1, 10):
        reporter(epoch=epoch, accuracy={ACCURACY})
        reporter.save(epoch)
""",
    "saves before its reports": f"""
    for epoch in range((reporter.load() or 0) + 1, 10):
        reporter.save(epoch)
        reporter(epoch=epoch, accuracy={ACCURACY})
""",
    "saves folders": f"""
    folder = reporter.load()
    start = int((folder / "epoch").read_text()) if folder else 0
    def save():
        (reporter.folder / "epoch").write_text(str(epoch))
        return reporter.folder
    reporter.on_pause(save)
    for epoch in range(start + 1, 10):
        reporter(epoch=epoch, accuracy={ACCURACY})
""",
}


def study(target, kind, folder, **options):
    scheduler = hbsim.make_scheduler(kind, max_t=9, num_trials=12, seed=3)
    given = {"workers": 2, "progress": "none", **options}
    return hbsim.run(target, scheduler, folder=folder, **given)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        *(("promotion", body) for body in FUNCTIONS),
        ("stopping", next(iter(FUNCTIONS))),
        *(pytest.param("stopping", body, marks=thorough) for body in [*FUNCTIONS][1:]),
    ],
)
def test_the_model_of_the_best_report_is_kept_and_loads(train, tmp_path, kind, body):
    result = study(train(FUNCTIONS[body]), kind, tmp_path / "exp")
    reports = result.reports
    top = reports.sort("value", descending=True).row(0, named=True)
    best = result.best
    assert (best.trial, best.value, best.resource) == (top["trial"], top["value"], top["resource"])
    assert best.config == result.configuration(best.trial) == result.best_config
    loaded = best.load()
    assert (int((loaded / "epoch").read_text()) if isinstance(loaded, Path) else loaded) == 5
    if "on_pause" in FUNCTIONS[body]:  # it is only used where the journal has the report
        count = reports.filter(reports["job"] == top["job"], reports["resource"] <= 5).height
        assert checkpoint.describe_one(best.checkpoint)["reports"] == count
    assert hbsim.load(tmp_path / "exp").best == best
    folders = [path.parent.name for path in (tmp_path / "exp" / "trials").glob("*/checkpoint")]
    ended = result.trials.filter(status="paused", trial=best.trial).is_empty()
    assert folders == [f"{best.trial:06}"] or not ended


def test_without_a_state_it_is_said_once(train, tmp_path, capsys):
    result = study(
        train("\n    reporter(epoch=1, accuracy=0.5)\n"), "fifo", tmp_path / "exp", progress="lines"
    )
    assert result.best.checkpoint is None
    with pytest.raises(OutputError, match=r"the state of trial \d at 1 was not kept"):
        result.best.load()
    assert capsys.readouterr().err.count("was kept: a function has it kept by reporter.on_pause") == 1


def test_keep_none_keeps_nothing(train, tmp_path, capsys):
    result = study(train(FUNCTIONS["on_pause"]), "stopping", tmp_path / "exp", keep="none", progress="lines")
    assert result.best.checkpoint is None
    assert not list((tmp_path / "exp" / "trials").glob("*/checkpoint"))
    assert "was kept" not in capsys.readouterr().err


def test_a_study_without_a_report_has_no_best(train, tmp_path):
    scheduler = hbsim.make_scheduler("fifo", max_t=9, num_trials=2)
    result = hbsim.run(train("\n    pass\n"), scheduler, folder=tmp_path / "exp", progress="none")
    assert result.best is None


def test_a_state_that_cannot_be_written_does_not_end_the_trial(train, tmp_path):
    body = """
    @reporter.on_pause
    def save():
        raise OSError("no room")
    for epoch in range(1, 10):
        reporter(epoch=epoch, accuracy=float(epoch))
"""
    result = study(train(body), "fifo", tmp_path / "exp")
    assert result.summary()["completed"] == 12
    assert "is not kept: OSError: no room" in (tmp_path / "exp/trials/000000/log.txt").read_text()


def origin(reports):
    return Origin("ab", 0, 0, 1, "c", 0.0, {(0, 0.0): reports})


def test_the_best_state_before_stays_until_the_next_is_reported(tmp_path):
    """The process dies after it saved a state, before its report: the journal's best is the one before."""
    folder = tmp_path / "checkpoint"
    first = Origin("ab", 0, 0, 0, "c", 0.0, {})
    for epoch in (0, 1, 2, 3):
        best = Best(epoch, float(epoch)) if epoch in (1, 2) else None
        checkpoint.save(folder, epoch, origin=first, reports=epoch, resource=epoch, best=best)
    assert checkpoint.load_one(checkpoint.find_best(folder, "ab", Best(1, 1.0))) == 1
    assert checkpoint.load_one(checkpoint.find_best(folder, "ab", Best(2, 2.0))) == 2
    assert checkpoint.find_best(folder, "other", Best(2, 2.0)) is None
    assert checkpoint.find_best(folder, "ab", Best(2, 1.0)) is None
    assert checkpoint.load_own(folder, origin(1)).value == 1  # the journal has one report of that job
    for path in folder.iterdir():
        os.utime(path, (0, 0))
    checkpoint.thin_out(folder)  # the trial is paused for long
    assert checkpoint.load_one(checkpoint.find_best(folder, "ab", Best(1, 1.0))) == 1


def test_saving_is_bounded():
    """Saving takes 2 s, an epoch 1 s, and each is better: a tenth of the training, and FREE seconds."""
    states, spent, trained = BestStates("max", None), 0.0, 0.0
    for epoch in range(1, 1001):
        trained += 1.0
        assert states.improves(epoch, float(epoch))
        if states.may_save(trained):
            states.took(2.0)
            spent += 2.0
        assert spent <= FREE + 0.1 * trained
    assert spent > 90


def test_what_a_function_saves_is_the_state_of_the_report_before_it_or_after_it():
    after = BestStates("max", None)
    for epoch in (1, 2):
        assert after.improves(epoch, float(epoch))
        assert not after.just_saved
        assert after.saved() == Best(epoch, float(epoch))
    before = BestStates("max", None)
    for epoch in (1, 2):
        assert before.saved() is None or epoch == 1
        assert before.improves(epoch, float(epoch))
        assert before.just_saved


def test_only_what_is_better_than_the_study_saves():
    values = np.random.default_rng(0).normal(size=200).tolist()
    for mode, better in (("max", max), ("min", min)):
        states, best = BestStates(mode, 0.5), 0.5
        for value in values:
            assert states.improves(1, value) == (better(value, best) == value != best)
            best = better(value, best)
        assert not states.improves(1, None)


def test_a_mark_that_cannot_be_written_does_not_end_the_trial(train, tmp_path):
    """The function saves before its reports; then its checkpoint's folder is taken away."""
    body = """
    import shutil
    for epoch in range(1, 10):
        reporter.save(epoch)
        folder = HERE / f"exp/trials/{reporter.trial:06}/checkpoint/{epoch}"
        if epoch == 5:
            folder.parent.rename(folder.parent.with_name("moved"))
        reporter(epoch=epoch, accuracy=float(epoch))
"""
    result = study(train(body), "fifo", tmp_path / "exp")
    assert result.summary()["completed"] == 12


def test_a_save_that_took_too_long_is_said_once(train, tmp_path):
    body = """
    import hbsim.executors.reporter as module
    module.FREE = module.SHARE = -1.0
    reporter.on_pause(lambda: epoch)
    for epoch in range(1, 10):
        reporter(epoch=epoch, accuracy=float(epoch))
"""
    result = study(train(body), "fifo", tmp_path / "exp", keep="best")
    assert result.best.checkpoint is None
    log = (tmp_path / "exp/trials/000000/log.txt").read_text()
    assert log.count("is not kept: saving took too long") == 1
