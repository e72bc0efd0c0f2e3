"""kill -9 of anything that a study on a Dask cluster consists of: nothing is lost, twice, or left."""

from __future__ import annotations

from pathlib import Path

from .checks import check
from .processes import kill, studying


def test_what_runs_on_hosts_is_replaced(tmp_path: Path) -> None:
    with studying(tmp_path) as study:
        study.start(trials=45, seconds=0.1)
        study.reach(3)
        kill(study.trials_of(0)[0])
        study.reach(1)
        server = study.server_of(0)
        kill(server)
        assert study.trials_of(0)[0].parent() != server
        agent = study.agent_of(0)
        kill(agent)
        assert study.agent_of(0) != agent
        study.trials_of(0)
        kill(study.worker(1))
        study.cluster.start_worker()
        study.trials_of(2)
        study.done()
        check(study)
        print(study.log)
        for r in study.records("fail", "shut", "open"):
            print(r)


def test_with_nannies(tmp_path: Path) -> None:
    with studying(tmp_path, nanny=True) as study:
        study.start(trials=45, seconds=0.1)
        study.reach(3)
        kill(study.worker(0))
        agent = study.agent_of(0)
        study.trials_of(0)
        print("again")
        kill(study.cluster.workers[1])
        study.done()
        check(study)
        print(study.log)
        for r in study.records("fail", "shut", "open"):
            print(r)
