"""Studies made by hand: journals with known seconds."""

from hbsim.core import make_scheduler
from hbsim.core.space import Real, Space
from hbsim.runner.journal import Journal
from hbsim.study.folder import StudyFolder
from hbsim.study.spec import StudySpec

SECONDS = {"load": 0.0, "save": 0.0, "wait": 0.0}


def rows(start, *reports):
    """Return rows as the journal has them, of (trained, resource, value)."""
    return [[start + trained, trained, resource, {"accuracy": value}] for trained, resource, value in reports]


def write(folder, records, kind="stopping", study_seed=0, **options):
    """Write a study's journal; each record is (kind, study seconds, fields)."""
    place = StudyFolder(folder)
    place.path.mkdir()
    scheduler = make_scheduler(kind, **{"max_t": 9, "num_trials": 2, "mode": "max", **options})
    space = Space({"height": Real(0.0, 1.0)})
    as_dict = scheduler.options.as_dict()
    names = ("epoch", "accuracy", False, {})
    spec = StudySpec("train.py:train_fn", "0" * 64, space, as_dict, study_seed, "random", *names)
    with Journal.create(place.journal, spec.as_dict(), "never") as journal:
        for name, time, fields in records:
            journal.append({"e": name, "t": time, **fields})
    return folder


def start(job, trial, worker=0, at=0.0, stood=0, stop=1, **fields):
    """Return the start of a job."""
    known = {"worker": worker, "job": job, "trial": trial, "bracket": 0, "start": stood, "stop": stop}
    point = {} if stood else {"point": [0.5]}
    return ("start", at, {**known, "attempt": 0, **point, **fields})


def reach(job, time, at, verdict, reported, value=None):
    """Return a milestone."""
    value = reported[-1][3]["accuracy"] if value is None else value
    return ("reach", time, {"job": job, "rows": reported, "at": at, "value": value, "verdict": verdict})


def gone(job, time, begun, **seconds):
    """Return the end of a process."""
    return ("gone", time, {"job": job, "begun": begun, "seconds": {**SECONDS, **seconds}})


def two_pauses(save=3.0):
    """Return a promotion study on one worker: two trials pause.

    Start-up 2 s, exit 1 s, a second before each job, 0.5 s a wait; trial 0 takes 10 s a unit, trial 1 20 s.
    """
    first, second = 14.5 + save, 39.0 + 2 * save
    begun = first + 3.0
    return [
        start(0, 0, at=1.0),
        reach(0, 13.5, 0, "pause", rows(3.0, (10.0, 1.0, 0.1))),
        gone(0, first, 3.0, start=2.0, wait=0.5, save=save),
        start(1, 1, at=first + 1.0),
        reach(1, begun + 20.5, 0, "pause", rows(begun, (20.0, 1.0, 0.2))),
        gone(1, second, begun, start=2.0, wait=0.5, save=save),
    ]


ETA_TWO = {"reduction_factor": 2, "straight_on": False}  # levels 1, 2, 4, 8, 9


def promoted(unit=20.0):
    """Return the same, after which trial 1 loads for 4 s, and trains its second unit."""
    end = 56.5 + unit
    return [
        *two_pauses(),
        start(2, 1, at=46.0, stood=1, stop=2),
        reach(2, 52.5 + unit, 1, "pause", rows(52.0, (unit, 2.0, 0.3))),
        gone(2, end, 48.0, start=2.0, wait=0.5, load=4.0, save=3.0),
        ("none", end, {"worker": 0}),
        ("close", end, {"why": "done"}),
    ]


def trained_again():
    """Return it without checkpoints: trial 1 trains from zero, 21 s for its first unit, 20 for the second."""
    return [
        *two_pauses(save=0.0),
        start(2, 1, at=40.0, stood=1, stop=2),
        reach(2, 83.5, 1, "pause", rows(42.0, (21.0, 1.0, 0.2), (41.0, 2.0, 0.3))),
        gone(2, 84.5, 42.0, start=2.0, wait=0.5),
        ("none", 84.5, {"worker": 0}),
        ("close", 84.5, {"why": "done"}),
    ]


def late_start():
    """Return a stopping study on two workers, where trial 0 comes so late that it is stopped.

    Had both started at once, it would have been the first, and gone on.
    """
    one = [(20.0 * n, float(n), 0.2 + n / 100) for n in range(1, 10)]
    return [
        start(0, 0, worker=0),
        start(1, 1, worker=1),
        reach(1, 22.0, 0, "continue", rows(2.0, *one[:1])),
        reach(0, 60.0, 0, "stop", rows(50.0, (10.0, 1.0, 0.1))),
        gone(0, 60.0, 50.0, start=50.0),
        ("none", 60.0, {"worker": 0}),
        reach(1, 62.0, 1, "continue", rows(2.0, *one[1:3])),
        reach(1, 182.0, 2, "complete", rows(2.0, *one[3:])),
        gone(1, 182.0, 2.0, start=2.0),
        ("none", 182.0, {"worker": 0}),
        ("close", 182.0, {"why": "done"}),
    ]


def refused(save=5.0):
    """Return the same where saving takes its seconds and keeps nothing: trial 1 trains from zero again."""
    again = 39.0 + 2 * save + 1.0
    begun = again + 2.0
    return [
        *two_pauses(save),
        start(2, 1, at=again, stood=1, stop=2),
        reach(2, begun + 41.5, 1, "pause", rows(begun, (21.0, 1.0, 0.2), (41.0, 2.0, 0.3))),
        gone(2, begun + 42.5 + save, begun, start=2.0, wait=0.5, save=save),
        ("none", begun + 42.5 + save, {"worker": 0}),
        ("close", begun + 42.5 + save, {"why": "done"}),
    ]
