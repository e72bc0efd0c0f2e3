"""Hosts that come and go, what their trials share, and how soon they end."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.doubles.dask_processes import ROOT

from .checks import check
from .processes import kill, studying
from .studies import traces

HANGS = 10.0  # seconds; hundredths are usual
GPUS = """
from tests.doubles.nvml import FakeGpu, FakeNvml

there = FakeNvml([FakeGpu("GPU-0"), FakeGpu("GPU-1")])
for name in dir(there):
    if name.startswith("nvml") or name == "NVMLError":
        globals()[name] = getattr(there, name)
"""


def test_hosts_come_and_go(tmp_path: Path) -> None:
    with studying(tmp_path, workers=0, lease=2.0) as study:
        study.start(trials=25, seconds=0.1)
        first = study.cluster.start_worker()
        study.reach(2)
        second = study.cluster.start_worker()
        assert study.trials_of(second)
        kill(*study.host(first), *study.host(second))
        study.until(lambda: len(study.records("fail")) >= 2, "a loss")
        third = study.cluster.start_worker()
        assert study.trials_of(third)
        study.done()
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


@pytest.mark.parametrize(("share", "workers", "most"), [(1, 2, 1), (0.5, 4, 2)])
def test_trials_share_a_gpu_only_in_parts(share: float, workers: int, most: int, tmp_path: Path) -> None:
    (tmp_path / "fake").mkdir()
    (tmp_path / "fake" / "pynvml.py").write_text(GPUS)
    fake = {"PYTHONPATH": f"{tmp_path / 'fake'}:{ROOT}", "DASK_DISTRIBUTED__DIAGNOSTICS__NVML": "False"}
    with studying(tmp_path, **fake) as study:
        options = ["--num-gpus", str(share), "--workers", str(workers)]
        study.start(trials=16, seconds=0.1, options=options)
        study.done()
        check(study)
        spans: dict[str, dict[int, list[float]]] = {}
        for line in traces(study.traces):
            span = spans.setdefault(line["gpus"], {}).setdefault(line["job"], [line["at"], line["at"]])
            span[1] = line["at"]
        assert set(spans) == {"GPU-0", "GPU-1"}
        counts = [
            sum(one <= begin <= other for one, other in jobs.values())
            for jobs in spans.values()
            for begin, _ in jobs.values()
        ]
        assert max(counts) == most
