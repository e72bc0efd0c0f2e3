"""The benchmarks of studies on Dask: how their figures are counted, and that the pages are made of them."""

import json
from pathlib import Path

import pytest

from benchmarks import dask_page
from benchmarks.dask_figures import decision_figures, middle, per_message, spread, trial_figures, trips
from benchmarks.dask_span import short, span
from benchmarks.peers import dask_ray_page
from benchmarks.peers.dask_ray_costs import crowd, trial

RESULTS = Path(__file__).parents[2] / "results"
PAGES = [(RESULTS / "speed", dask_page.render), (RESULTS / "peers", dask_ray_page.render)]
MACHINE = {"processor": "one", "cores": 2, "memory_gb": 4.0, "system": "Linux", "python": "3.11"}
KINDS = ("controller", "scheduler", "workers", "agents", "servers", "trials")


def reach(t, job=0, verdict="continue", **metrics):
    """Return a journal's record of a milestone."""
    return {"e": "reach", "t": t, "job": job, "verdict": verdict, "rows": [[t, 0.0, 1.0, metrics]]}


def sleeper(number, at, began=None, slept=0.25, trip=0.0):
    """Return a report of a driver."""
    began = at if began is None else began
    return {"trial": number, "began": began, "at": at, "slept": slept, "trip": trip, "epoch": 1.0}


def test_decisions_are_counted_while_there_is_something_to_start():
    records = [reach(float(t), slept=0.5) for t in range(1, 21)] + [{"e": "none", "t": 13.0}]
    figures = decision_figures(records, workers=4)
    # From the third decision, at 3 s, until 13 s: ten of them, and 4 workers would make 8 a second.
    assert figures["decisions"] == 20
    assert figures["window"] == 10.0
    assert figures["rate"] == pytest.approx(1.0)
    assert figures["limit"] == pytest.approx(8.0)
    assert figures["share"] == pytest.approx(1 / 8)
    assert figures["beyond_ms"] == pytest.approx(3500.0)


def test_a_stopped_trial_is_gone_some_time_after_it_was_told():
    stopped = reach(1.0, job=1, verdict="stop", trip=0.004)
    goes_on = reach(1.5, job=2, trip=0.008)
    gone = [{"e": "gone", "t": 1.02, "job": 1}, {"e": "gone", "t": 9.0, "job": 2}]
    found = trips([stopped, goes_on, reach(2.0, job=2), *gone])
    assert found["trip_ms"] == pytest.approx([6.0, 4.0])  # of two, the 99th percentile is the first
    assert found["gone_ms"] == pytest.approx([20.0, 20.0])


def test_a_trial_costs_a_workers_time_from_start_to_start():
    pairs = [0.1 * (number // 2) for number in range(20)]
    records = [reach(began, began=began) for began in pairs]
    ran = {"records": records, "called": -2.0, "ended": 1.5, "seconds": 4.0, "cpu": dict.fromkeys(KINDS, 0.4)}
    figures = trial_figures(ran, 2)
    assert figures["trial_ms"] == pytest.approx(100.0)
    assert figures["first"] == pytest.approx(2.0)
    assert figures["last"] == pytest.approx(0.6)
    assert figures["cpu_ms"]["agents"] == pytest.approx(20.0)
    assert per_message(ran, 10, {"agents": 0.05})["agents"] == pytest.approx(20.0)
    reports = [sleeper(number, began) for number, began in enumerate(pairs)]
    assert trial({"reports": reports, "called": 0.0, "ended": 1.0}, 20, 2)["trial_ms"] == pytest.approx(100.0)


def test_a_crowd_is_counted_from_a_tenth_of_its_decisions_to_the_last_start():
    rows = [sleeper(n, n + 0.25, began=n) for n in range(10)]
    rows += [sleeper(n, n + 0.75, began=n, trip=0.125) for n in range(10)]
    outcome = {"reports": rows, "called": -1.0, "ended": 12.0}
    figures = crowd(outcome, 10, 1)
    # From 1.25 s, the third of 20, to 9 s: fifteen.
    assert figures["rate"] == pytest.approx(15 / 7.75)
    assert figures["limit"] == pytest.approx(4.0)
    assert figures["beyond_ms"] == pytest.approx(1e3 * (7.75 / 15 - 0.25))
    assert figures["trip_ms"] == pytest.approx([125.0, 125.0])
    assert (figures["at_once"], figures["startup"], figures["seconds"]) == (1, 1.0, 13.0)
    with pytest.raises(RuntimeError, match="10 trials reported instead of 11"):
        crowd(outcome, 11, 1)


def test_figures_are_short_and_medians_have_their_range():
    assert [short(value) for value in (0.0461, 4.606, 46.06, 460.6, 4606.0)] == [
        "0.046", "4.61", "46.1", "461", "4,606",
    ]  # fmt: skip
    assert span([3.0, 1.0, 2.0]) == "2.00 (1.00 to 3.00)"
    assert (span([2.0]), span([0.0, 0.0])) == ("2.00", "–")
    assert middle([{"a": [1, 5]}, {"a": [3, 4]}, {"a": [2, 9]}]) == {"a": [2, 5]}
    assert spread([]) == []


def speed(local_ms=10.0, dask_ms=20.0, lost=0):
    """Return what `benchmarks.dask_speed` would keep of two rounds."""
    each = dict.fromkeys(KINDS, 1.5)
    ends = {"trip_ms": [2.0, 4.0], "gone_ms": [5.0, 6.0]}
    decided = {"decisions": 9, "window": 1.0, "rate": 90.0, "limit": 100.0, "share": 0.9, "beyond_ms": 7.0}
    decided |= {**ends, "cpu_ms": each}
    talked = {"seen": 12_800, "cpu": each, "seconds": 10.0, "late": [0.5, 1.0], "batches": 150}
    message = {"base": each, "beat_ms": each, "milestone_ms": each, "a_call": 1.25}
    host = {"hosts": 1000, "trials": 10_000, "seconds": 25.0, "rate": 390.0, "limit": 400.0, "lost": lost}
    host |= {
        "cores": each,
        "a_second": {"beats": 1000.0},
        "ready": 9.0,
        "close": 1.0,
        "join": each,
        "load": 1.0,
        "shut": 0,
    }
    host |= ends

    def whole(ms):
        return [{"trial_ms": ms, "first": 1.0, "last": 2.0, **ends, "cpu_ms": each}] * 2

    pair = ("local", "cluster")
    return {
        "command": "it", "machine": MACHINE, "loads": {"hops": 0.5, "kill": 7.25},
        "workers": 64, "processes": 4, "rounds": 2, "trials": 640,
        "decisions": {f"{kind} {w}": [decided] * 2 for kind in ("stopping", "promotion") for w in pair},
        "overhead": {"local": whole(local_ms), "dask": whole(dask_ms), "cluster": whole(dask_ms)},
        "hops": {f"{kind} {w}": [{"rate": 7.0, **ends}] * 2 for kind in ("alone", "crowd") for w in pair},
        "reports": {
            **{f"flood {w}": [{"report_us": 10.0, "rate": 1e4}] * 2 for w in pair},
            "talk local": [talked | {"late": []}] * 2, "talk cluster": [talked] * 2,
        },
        "messages": {"runs": [message] * 2, "middle": message},
        "commands": {w: [{"first": 3.0, "last": 0.5}] * 2 for w in ("local", "dask", "cluster")},
        "kill": [{"gone": 0.1, "prompt": 0.5}] * 2,
        "hosts": [host], "full": [host | {"limit": 5000.0}],
    }  # fmt: skip


def assert_tables_are_whole(page):
    tables = [part.splitlines() for part in page.split("\n\n") if part.startswith("|")]
    assert tables
    for lines in tables:
        assert len({line.count("|") for line in lines}) == 1


def test_the_page_of_speeds_says_what_the_figures_say():
    page = dask_page.render(speed())
    assert "20.0 ms on a cluster that runs and 20.0 ms on one of its own, within the aim of 40 ms" in page
    assert "390 of 400 decisions a second" in page
    assert "no job was lost" in page
    assert "| Dask, a cluster that runs | 20.0 (20.0 to 20.0) | 10.0 |" in page
    assert "beyond the aim" in dask_page.render(speed(dask_ms=50.0))
    assert "3 jobs were lost" in dask_page.render(speed(lost=3))
    assert_tables_are_whole(page)


def beside(ray_rate, ray_ms):
    """Return what `benchmarks.peers.dask_ray` would keep of one round."""

    def one(name, rate, ms):
        many = {"rate": rate, "limit": 100.0, "beyond_ms": 1.0, "trip_ms": [1.0, 2.0], "at_once": 64}
        run = {"crowd": many | {"startup": 0.5, "seconds": 9.0}, "trial": {"trial_ms": ms, "seconds": 3.0}}
        return {"name": name, "many": 640, "few": 200, "runs": [run, {"trial": run["trial"]}]}

    found = {"command": "it", "machine": MACHINE, "load_at_start": 0.5, "versions": {"ray": "2"}, "repeat": 2}
    found |= {"workers": 64, "processes": 4}
    tuners = [one("hbsim, local executor", 95.0, 10.0), one("hbsim on Dask", 80.0, 20.0)]
    return found | {"contenders": [*tuners, one("Ray Tune, reuse_actors", ray_rate, ray_ms)]}


def test_the_page_beside_ray_says_who_is_faster():
    slow, fast = dask_ray_page.render(beside(40.0, 60.0)), dask_ray_page.render(beside(88.0, 10.0))
    assert "2.00 times fewer than on Dask, with at most 64 trials at once" in slow
    assert "60.0 ms a trial, 3.00 times slower than on Dask" in slow
    assert "1.10 times more than on Dask, with at most 64 trials at once" in fast
    assert "10.0 ms a trial, 2.00 times faster than on Dask" in fast
    assert "| Ray Tune, reuse_actors | 640 | 1 | 40.0 |" in slow
    assert "| Ray Tune, reuse_actors | 200 | 2 | 60.0 (60.0 to 60.0) |" in slow
    assert_tables_are_whole(slow)


@pytest.mark.parametrize(("folder", "render"), PAGES, ids=["speed", "peers"])
def test_what_is_published_is_made_of_the_figures_beside_it(folder, render):
    content = json.loads((folder / "dask.json").read_text("utf-8"))
    assert (folder / "dask.md").read_text("utf-8") == render(content)
