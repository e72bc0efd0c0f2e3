"""Plots of a study: what they are drawn from, against plain loops; and that every study can be drawn."""

from __future__ import annotations

import base64
import zlib
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hbsim
from hbsim.bench.segments import (
    ABSENT,
    IDLE,
    OVERHEAD,
    Segments,
    absent_shares,
    busy_shares,
    raster,
    segments,
)
from hbsim.bench.study_charts import incumbent, plot_study, survival, workers
from hbsim.core import make_scheduler
from hbsim.simulation.cluster import Machines
from tests.bench.charted import marks
from tests.profile import examples, thorough

OPTIONS = {
    "stopping": {"brackets": 3},
    "promotion": {"brackets": 2, "retries": 1},
    "sha": {"n": 27},
    "hyperband": {},
    "pasha": {"retries": 1},
    "median": {},
}
CLUSTERS = {
    "free": {},
    "dear": {"startup": 0.5, "save": 0.25, "load": 0.75, "report_delay": 0.1},
    "lossy": {"drop_rate": 0.02, "straggler_std": 0.5, "startup": 0.5},
    "from-zero": {"resume": False, "drop_rate": 0.01},
    "async": {"report": "async", "report_delay": 2.0, "save": 0.5},
    "absent": {
        "mtbf": 12.0,
        "mttr": 3.0,
        "preempted_every": 30.0,
        "notice": 1.0,
        "schedule": [(0, 3), (9, 5)],
    },
}


def simulated(kind: str, cluster: str, *, workers: int = 5, max_time: float | None = None, trials: int = 60):
    scheduler = make_scheduler(kind, max_t=27, num_trials=trials, **OPTIONS[kind])
    made = hbsim.Cluster(workers=workers, **CLUSTERS[cluster])
    return hbsim.simulate(scheduler, "synthetic", cluster=made, max_time=max_time)


@pytest.mark.parametrize("kind", OPTIONS)
@pytest.mark.parametrize(
    ("cluster", "max_time"), [*((cluster, 40.0) for cluster in CLUSTERS), ("dear", None), ("lossy", None)]
)
def test_segments_fill_the_jobs_exactly(kind, cluster, max_time):
    result = simulated(kind, cluster, max_time=max_time)
    parts, jobs = segments(result), result.jobs
    spans = np.bincount(parts.job, weights=parts.end - parts.start, minlength=len(jobs))
    np.testing.assert_allclose(spans, (jobs["end_time"] - jobs["start_time"]).to_numpy(), atol=1e-9)
    assert (parts.worker == jobs["worker"].to_numpy()[parts.job]).all()
    same = parts.worker[1:] == parts.worker[:-1]
    assert (parts.start[1:] >= parts.end[:-1] - 1e-9)[same].all()


def _milestones_of(row, decisions):
    """Return what a job's trial was decided at while the job ran, the plain way."""
    mine = [d for d in decisions if d["trial"] == row["trial"]]
    return [d for d in mine if row["start_time"] < d["time"] <= row["end_time"]]


@pytest.mark.parametrize("kind", ["stopping", "promotion", "hyperband"])
@pytest.mark.parametrize("cluster", ["dear", "lossy", "from-zero"])
def test_segments_are_split_at_milestones(kind, cluster):
    result = simulated(kind, cluster)
    parts, decisions = segments(result), result.decisions.to_dicts()
    levels = list(result.scheduler.levels)
    for row in result.jobs.to_dicts():
        mine = parts.job == row["job"]
        ends = {
            round(end, 9): int(level) for end, level in zip(parts.end[mine], parts.level[mine], strict=True)
        }
        for milestone in _milestones_of(row, decisions):
            assert ends[round(milestone["time"], 9)] == levels.index(milestone["level"])
        if row["train_start"] is not None and row["train_start"] > row["start_time"]:
            assert ends[round(row["train_start"], 9)] == OVERHEAD
        if row["verdict"] == "pause" and ends and CLUSTERS[cluster].get("save"):
            assert ends[round(row["end_time"], 9)] == OVERHEAD


def test_failures_and_cuts_are_marked():
    result = simulated("promotion", "lossy", max_time=40.0)
    parts, jobs = segments(result), result.jobs
    failed = jobs.filter(verdict="failed")
    assert len(failed) > 0
    assert parts.lost.tolist() == [[w, t] for w, t in failed.select("worker", "end_time").iter_rows()]
    assert sorted(parts.cut[:, 0]) == sorted(jobs.filter(verdict="censored")["worker"])
    assert (parts.cut[:, 1] == 40.0).all()


def test_jobs_that_never_trained_are_overhead():
    parts = segments(simulated("stopping", "dear", max_time=0.1))
    assert parts.level.tolist() == [OVERHEAD] * 5


@st.composite
def made_up(draw) -> Segments:
    """Return segments of a few workers that do not overlap, with gaps."""
    workers = draw(st.integers(1, 4))
    rows = []
    for worker in range(draw(st.integers(0, workers))):
        cuts = sorted(draw(st.lists(st.integers(0, 64), min_size=2, max_size=12, unique=True)))
        spans = [(a / 4, b / 4) for a, b in pairwise(cuts) if draw(st.booleans())]
        rows += [(worker, *span, draw(st.integers(-1, 2))) for span in spans]
    columns = list(zip(*rows, strict=True)) or [(), (), (), ()]
    worker, start, end, level = (np.array(column) for column in columns)
    nothing = np.empty((0, 2))
    job = np.arange(len(worker))
    return Segments(
        worker.astype(np.int64),
        start.astype(np.float64),
        end.astype(np.float64),
        level.astype(np.int64),
        job,
        (1.0, 3.0, 9.0),
        nothing,
        nothing,
        workers,
        16.0,
    )


@settings(max_examples=examples(100), deadline=None)
@given(made_up(), st.integers(1, 9))
def test_raster_is_what_happens_in_the_middle_of_a_column(parts, columns):
    picture = raster(parts, columns)
    assert picture.shape == (parts.workers, columns)
    for worker in range(parts.workers):
        for column in range(columns):
            middle = (column + 0.5) * 16.0 / columns
            now = (parts.worker == worker) & (parts.start <= middle) & (middle < parts.end)
            assert picture[worker, column] == (parts.level[now][0] if now.any() else IDLE)


@settings(max_examples=examples(100), deadline=None)
@given(made_up(), st.integers(1, 9))
def test_shares_are_overlaps_with_columns(parts, columns):
    shares = busy_shares(parts, columns)
    edges = np.linspace(0, 16.0, columns + 1)
    for level in (-1, 0, 1, 2):
        mine = parts.level == level
        for column in range(columns):
            low, high = edges[column], edges[column + 1]
            overlap = np.minimum(parts.end[mine], high) - np.maximum(parts.start[mine], low)
            expected = np.maximum(overlap, 0).sum() / ((high - low) * parts.workers)
            assert shares[level, column] == pytest.approx(expected, abs=1e-9)


def test_shares_of_a_study_are_its_busy_share():
    result = simulated("promotion", "dear")
    shares = busy_shares(segments(result), 37)
    assert shares.sum(axis=0).max() <= 1 + 1e-9
    assert shares.sum() / 37 == pytest.approx(result.summary()["busy_share"])


# Absences


@pytest.mark.parametrize("max_time", [None, 40.0])
def test_absences_are_where_no_job_is(max_time):
    result = simulated("promotion", "absent", max_time=max_time)
    parts = segments(result)
    assert len(parts.absent) > 10
    worker, start, end = parts.absent.T
    assert (start <= end).all()
    assert end.max() <= result.end_time
    same = worker[1:] == worker[:-1]
    assert (start[1:] >= end[:-1])[same].all()
    lost = (end - start).sum() / (5 * result.end_time)
    assert lost == pytest.approx(result.summary()["absent_share"])
    for mine, since, until in parts.absent:
        jobs = result.jobs.filter(worker=int(mine))
        assert not ((jobs["start_time"] < until) & (jobs["end_time"] > since)).any()
    shares = absent_shares(parts.absent, 5, result.end_time, 37)
    assert shares.mean() == pytest.approx(lost)
    assert (shares + busy_shares(parts, 37).sum(axis=0)).max() <= 1 + 1e-9


def test_machines_take_all_their_workers_along():
    machines = [Machines(kind="A100", count=2, gpus=3)]
    cluster = hbsim.Cluster(machines=machines, schedule=[(0, 2), (5, 1), (11, 2)])
    scheduler = make_scheduler("stopping", max_t=27, num_trials=60, retries=9)
    parts = segments(hbsim.simulate(scheduler, "synthetic", cluster=cluster))
    assert parts.absent.tolist() == [[worker, 5.0, 11.0] for worker in (3, 4, 5)]


STUDIES = {
    "usual": lambda: simulated("promotion", "lossy", max_time=60.0),
    "nothing-decided": lambda: simulated("stopping", "free", max_time=0.001),
    "all-start-up": lambda: simulated("stopping", "dear", max_time=0.1),
    "many-workers": lambda: simulated("stopping", "free", workers=300, trials=450),
    "absent": lambda: simulated("stopping", "absent"),
    "many-absences": lambda: simulated("promotion", "absent", workers=20, trials=300),
    "one-trial": lambda: hbsim.simulate(make_scheduler("fifo", max_t=81, num_trials=1), "synthetic"),
    "no-time": lambda: hbsim.simulate(
        make_scheduler("stopping", max_t=81, num_trials=9), "ideal:seconds=1e-300"
    ),
    "all-diverge": lambda: hbsim.simulate(
        make_scheduler("stopping", max_t=81, num_trials=9), "synthetic:divergence=0.9,mode=max"
    ),
    "minimised": lambda: hbsim.simulate(make_scheduler("fifo", max_t=81, mode="min", num_trials=9), "digits"),
}


@pytest.mark.parametrize("study", STUDIES)
def test_every_study_has_charts(study):
    result = STUDIES[study]()
    for chart in (incumbent(result, "a"), workers(segments(result), "a"), survival(result, "a")):
        assert marks(chart, "line") or marks(chart, "rect") or marks(chart, "image")


PICTURED = ("usual", "no-time", "all-diverge")


@pytest.mark.parametrize(
    "study", [name if name in PICTURED else pytest.param(name, marks=thorough) for name in STUDIES]
)
def test_every_study_can_be_drawn(study, tmp_path):
    paths = plot_study(STUDIES[study](), tmp_path)
    assert [path.name for path in paths] == ["incumbent.png", "timeline.png", "survival.png"]
    for path in paths:
        assert path.read_bytes().startswith(b"\x89PNG")


def test_survival_shows_counts_of_rungs():
    result = simulated("stopping", "free")
    chart = survival(result, "a study")
    rungs = result.rungs()
    [line], [text] = marks(chart, "line"), marks(chart, "text")
    drawn = {(row["level"], row["trials"]) for row in line["rows"]}
    assert drawn == set(rungs.select("level", "recorded").iter_rows())
    by_level = {}
    for row in text["rows"]:
        by_level.setdefault(row["level"], []).append(np.log10(row["height"]))
    assert all(b - a > 0.02 for found in by_level.values() for a, b in pairwise(sorted(found)))


def test_many_levels_are_not_all_named():
    result = simulated("median", "free")
    assert len(result.scheduler.levels) == 27
    [line] = marks(survival(result, "a study"), "line")
    named = line["encoding"]["x"]["axis"]["values"]
    assert (named[0], named[-1]) == (1, 27)
    assert all(high / low > 27**0.045 for low, high in pairwise(named))
    [bars] = marks(workers(segments(result), "a study"), "rect")
    legend = bars["encoding"]["color"]["legend"]["values"]
    assert len(legend) == 10
    assert (legend[0], legend[-1]) == ("1", "27")


def test_incumbent_shows_any_level_and_completed_trials():
    result = simulated("promotion", "free")
    [line] = marks(incumbent(result, "a study"), "line")
    for kind, at in (("at any level", "any"), ("of completed trials", "max_t")):
        rows = result.incumbent(at)
        mine = [row for row in line["rows"] if row["kind"] == kind]
        assert [row["time"] for row in mine] == [*rows["time"], result.end_time]
        assert [row["value"] for row in mine] == [*rows["value"], rows["value"][-1]]


@pytest.mark.parametrize(("trials", "images"), [(50, 0), (3000, 1)])
def test_timelines_of_many_jobs_are_images(trials, images):
    chart = workers(segments(simulated("stopping", "free", trials=trials)), "a study")
    assert len(marks(chart, "image")) == images
    [bars], [area] = marks(chart, "rect"), marks(chart, "area")
    assert bool(bars["rows"]) != bool(images)
    assert area["encoding"]["x"]["title"] == ("simulated minutes" if images else "simulated seconds")


def test_the_image_shows_what_the_raster_says(tmp_path):
    parts = segments(simulated("stopping", "absent", trials=3000))
    [image] = marks(workers(parts, "a study"), "image")
    url = image["encoding"]["url"]["value"]
    kind, _, text = url.partition(",")
    assert kind == "data:image/png;base64"
    chunks, data = {}, base64.b64decode(text)[8:]
    while data:
        size = int.from_bytes(data[:4], "big")
        chunks[data[4:8]], data = data[8 : 8 + size], data[12 + size :]
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(parts.workers, -1)[:, 1:]
    picture, colours = raster(parts, lines.shape[1]), len(parts.levels) + 3
    np.testing.assert_array_equal(lines, picture % colours)
    assert set(picture.ravel().tolist()) >= {ABSENT, 0}


@pytest.mark.parametrize(
    ("seconds", "unit", "length"), [(1, "seconds", 1), (300, "hours", 3600), (8000, "days", 86400)]
)
def test_long_studies_are_drawn_in_hours_or_days(seconds, unit, length):
    cluster = hbsim.Cluster(workers=5, mtbf=200 * seconds, mttr=9 * seconds)
    scheduler = make_scheduler("promotion", max_t=27, num_trials=60)
    result = hbsim.simulate(scheduler, f"synthetic:seconds={seconds}", cluster=cluster)
    chart = workers(segments(result), "a study")
    [bars], [area], crosses = marks(chart, "rect"), marks(chart, "area"), marks(chart, "point")
    [line] = marks(incumbent(result, "a study"), "line")
    assert line["encoding"]["x"]["title"] == area["encoding"]["x"]["title"] == f"simulated {unit}"
    assert bars["encoding"]["x"]["scale"]["domain"][1] * length == pytest.approx(result.end_time)
    assert max(row["time"] for row in line["rows"]) * length == pytest.approx(result.end_time)
    ends = result.jobs.filter(verdict="failed")["end_time"].sort()
    [lost] = [mark["rows"] for mark in crosses if mark["rows"][0]["mark"].startswith("cut short")]
    np.testing.assert_allclose(np.sort([row["start"] for row in lost]) * length, ends.to_numpy())
    assert lost[0]["mark"] == f"cut short ({len(ends)})"
    gone = [row for row in bars["rows"] if row["level"] == "absent"]
    assert len(gone) == len(segments(result).absent)
