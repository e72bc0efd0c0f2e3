"""Hosts that come and go, what their trials share, and how soon they end."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from tests.doubles.dask_processes import ROOT

from .checks import check
from .processes import Study, kill, studying
from .studies import traces

HANGS = 10.0  # seconds until the last one has ended, on a machine that is busy; hundredths are usual
USUAL = 1.0  # seconds in which most have: none waits until something is said again
GPUS = """
from tests.doubles.nvml import FakeGpu, FakeNvml

there = FakeNvml([FakeGpu("GPU-0"), FakeGpu("GPU-1")])
for name in dir(there):
    if name.startswith("nvml") or name == "NVMLError":
        globals()[name] = getattr(there, name)
"""


def test_hosts_come_and_go(tmp_path: Path) -> None:
    with studying(tmp_path, workers=0, lease=2.0) as study:
        study.start(trials=40, seconds=0.5)
        first = study.cluster.start_worker()
        study.reach(1)
        second = study.cluster.start_worker()
        assert study.trials_of(second)
        kill(*study.host(first), *study.host(second))
        study.until(lambda: len(study.records("fail")) >= 2, "a loss")
        third = study.cluster.start_worker()
        assert study.trials_of(third)
        study.finish()
        check(study)


def test_a_trial_that_is_stopped_ends_at_once(tmp_path: Path) -> None:
    """Although three times as many trials as cores compute."""
    with studying(tmp_path) as study:
        study.start("busy", "stopping", trials=40, seconds=0.02, options=["--workers", "6"])
        study.done()
        check(study, goes_on=False)
        reached = {record["job"]: record for record in study.records("reach")}
        gone = {record["job"]: record["t"] for record in study.records("gone")}
        stopped = {job: record for job, record in reached.items() if record["verdict"] == "stop"}
        assert len(stopped) > 10
        seconds = [gone[job] - record["t"] for job, record in stopped.items()]
        assert max(seconds) < HANGS
        assert median(seconds) < USUAL


def test_trials_share_a_gpu_only_in_parts(tmp_path: Path) -> None:
    """Two Dask workers on a machine with two GPUs, which both see."""
    (tmp_path / "fake").mkdir()
    (tmp_path / "fake" / "pynvml.py").write_text(GPUS)
    fake = {"PYTHONPATH": f"{tmp_path / 'fake'}:{ROOT}", "DASK_DISTRIBUTED__DIAGNOSTICS__NVML": "False"}
    with studying(tmp_path, **fake) as study:
        for share, workers, most in ((1, 2, 1), (0.5, 4, 2)):
            options = ["--num-gpus", str(share), "--workers", str(workers)]
            study.start(trials=12, seconds=0.1, options=options)
            study.done()
            check(study)
            assert most_at_once(study) == {"GPU-0": most, "GPU-1": most}
            study.clear()


def most_at_once(study: Study) -> dict[str, int]:
    """Return for each value of CUDA_VISIBLE_DEVICES how many trials have had it at the same time."""
    spans: dict[str, dict[int, list[float]]] = {}
    for line in traces(study.traces):
        span = spans.setdefault(line["gpus"], {}).setdefault(line["job"], [line["at"], line["at"]])
        span[1] = line["at"]
    return {
        gpu: max(sum(one <= begin <= other for one, other in jobs.values()) for begin, _ in jobs.values())
        for gpu, jobs in spans.items()
    }
