"""What holds of every study on a cluster that is over, whatever was killed meanwhile."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from math import inf

import hbsim
from hbsim.live.result import RunResult
from tests.doubles.dask_processes import eventually
from tests.runner.checks import Again

from .processes import Study, left
from .studies import never_twice_at_once, traces


def check(study: Study, goes_on: bool = True, woken: Mapping[int, float] | None = None) -> RunResult:
    """The study is done, and nothing is lost, twice, or left; failures are losses.

    With `goes_on` each job goes on from the last checkpoint of its trial: all hosts see the study's folder.
    `woken` is as in `never_twice_at_once`.
    """
    result = hbsim.load(study.exp)  # the core decides again as it did
    assert result.why == "done"
    assert set(result.trials["status"]) <= {"completed", "paused", "stopped"}
    assert [record["reason"] for record in study.records("fail") if record["kind"] != "lost"] == []
    Again(result.spec.make_scheduler(), study.records()).tell()
    check_reports(study)
    if goes_on:
        check_goes_on(study)
    never_twice_at_once(study.traces, woken)
    check_nothing_is_left(study)
    return result


def check_reports(study: Study) -> None:
    """Each report is in the journal once, in order; those of a job that has ended as it should are all in."""
    reported: dict[int, list[float]] = defaultdict(list)
    for record in study.records("rows", "reach"):
        reported[record["job"]] += [row[2] for row in record["rows"]]
    trained: dict[int, list[float]] = defaultdict(list)
    for line in traces(study.traces):
        if line["what"] == "trains":
            trained[line["job"]].append(line["epoch"])
        elif line["what"] == "begins":  # once more, if its checkpoint was past a milestone without a report
            trained[line["job"]].clear()
    failed = {record["job"] for record in study.records("fail")}
    over = {record["job"] for record in study.records("gone")} - failed
    for job in trained.keys() | reported.keys():
        if job in over:
            assert reported[job] == trained[job], f"job {job}: {reported[job]}, {trained[job]}"
        else:
            assert reported[job] == trained[job][: len(reported[job])], f"job {job}"
    assert not study.records("missing")


def check_goes_on(study: Study) -> None:
    """Each job began where its trial's last checkpoint was made that is not ahead of the journal."""
    saved: dict[int, int] = {}  # by trial
    begun: dict[int, int] = {}
    reported: dict[int, dict[int, float]] = defaultdict(dict)  # by trial and job
    of_job = {record["job"]: record["trial"] for record in study.records("start", "restart")}
    for record in study.records("rows", "reach"):
        if record["rows"]:
            reported[of_job[record["job"]]][record["job"]] = record["rows"][-1][2]
    for line in traces(study.traces):
        trial, epoch = line["trial"], line["epoch"]
        if line["what"] == "saved":
            saved[trial] = epoch
        elif line["what"] == "begins":
            job = line["job"]
            # It begins again where a checkpoint was past a milestone that was not reported.
            assert epoch < begun.get(job, inf), "a job began twice"
            begun[job] = epoch
            # It may have been killed between the checkpoint and the line that says so.
            known = max((at for before, at in reported[trial].items() if before < job), default=0)
            assert epoch <= saved.get(trial, 0) + 1, f"trial {trial} began at {epoch}"
            assert min(saved.get(trial, 0), known) <= epoch <= known + 1, f"trial {trial} began at {epoch}"


def check_nothing_is_left(study: Study) -> None:
    """No process of the study, no file but its own."""
    eventually(lambda: not left(study.folder), f"an end of {left(study.folder)}")
    files = [str(path.relative_to(study.exp)) for path in study.exp.rglob("*")]
    odd = [name for name in files if ("/." in f"/{name}" and "/.claim-" not in name) or name.endswith(".tar")]
    assert not odd
