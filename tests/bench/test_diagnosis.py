"""The diagnosis of any study, against plain loops over its tables."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbsim.bench.diagnosis import Diagnosis, diagnose
from tests.doubles.naive_diagnosis import NaiveDiagnosis
from tests.profile import examples
from tests.simulation.cluster_studies import cluster_studies, clusters_with_a_store
from tests.simulation.cluster_studies import clusters as whole_clusters
from tests.simulation.studies import Study, studies

PARTS = ("training", "retrained", "overhead", "idle", "absent")


def check(study: Study) -> None:
    result = study.simulate()
    naive, found = NaiveDiagnosis(result), diagnose(result)
    check_rungs(found, naive)
    check_regrets(found, naive)
    rows, expected = found.brackets.to_dicts(), naive.brackets()
    assert [list(row) for row in rows] == [list(row) for row in expected]
    for row, wanted in zip(rows, expected, strict=True):
        assert row == pytest.approx(wanted, nan_ok=True)
    check_shares(found, naive)


def check_rungs(found: Diagnosis, naive: NaiveDiagnosis) -> None:
    rows, expected = found.rungs.to_dicts(), naive.early()
    assert len(rows) == len(expected)
    for row, wanted in zip(rows, expected, strict=True):
        assert row == pytest.approx(wanted, nan_ok=True)
        assert not row["loss"] < 0
    counts = {(row["bracket"], row["level"]): row for row in naive.result.rungs().to_dicts()}
    for row in rows:
        count = counts[row["bracket"], row["level"]]
        assert row["recorded"] == count["recorded"]
        assert row["went_on"] == count["continue"] + count["promoted"]


def check_regrets(found: Diagnosis, naive: NaiveDiagnosis) -> None:
    parts = found.regrets
    got = [parts.sampling, parts.decisions, parts.unfinished, parts.choice]
    assert got == pytest.approx(naive.regrets(), nan_ok=True)
    regret = naive.result.summary()["regret"]
    assert parts.total == pytest.approx(math.nan if regret is None else regret, nan_ok=True, abs=1e-12)
    assert not parts.decisions < 0
    assert not parts.unfinished < 0
    best = max(naive.worth.values(), default=-math.inf)
    assert parts.best_started == pytest.approx(naive.metric(best), nan_ok=True)


def check_shares(found: Diagnosis, naive: NaiveDiagnosis) -> None:
    shares, summary = found.shares, naive.result.summary()
    assert dict(shares) == pytest.approx(naive.shares(), nan_ok=True, abs=1e-9)
    if naive.result.end_time:
        assert sum(shares[name] for name in PARTS) == pytest.approx(1)
        assert min(shares[name] for name in PARTS) >= 0
        assert shares["training"] + shares["retrained"] == pytest.approx(summary["training_share"])
        assert shares["absent"] == pytest.approx(summary["absent_share"])
    if not naive.result.cluster.resume:
        assert shares["saved"] == shares["saved_resource"] == shares["saved_seconds"] == 0


@settings(max_examples=examples(150), deadline=None)
@given(study=studies())
def test_every_study(study: Study):
    check(study)


@settings(max_examples=examples(60), deadline=None)
@given(study=cluster_studies(st.one_of(whole_clusters(), clusters_with_a_store())))
def test_every_study_where_workers_come_and_go(study: Study):
    check(study)
