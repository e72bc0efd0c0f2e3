"""Clusters as TOML files: there and back, the presets, and one line for each file that cannot be used."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import hbsim
from hbsim.core import make_scheduler
from hbsim.errors import ParameterError
from hbsim.simulation.cluster import Machines
from hbsim.simulation.cluster_files import ClusterFile, ClusterSchema, presets, read, write
from hbsim.surrogates import Ideal
from hbsim.toml_files import to_toml
from tests.profile import examples

from .cluster_studies import clusters, clusters_with_a_store

# There and back


def there_and_back(cluster: hbsim.Cluster, folder: Path) -> hbsim.Cluster:
    write(cluster, folder / "cluster.toml")
    return hbsim.Cluster.from_file(folder / "cluster.toml")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clusters")


@settings(max_examples=examples(150), deadline=None)
@given(cluster=st.one_of(clusters().filter(lambda one: one.trace is None), clusters_with_a_store()))
def test_what_is_written_is_read(cluster: hbsim.Cluster, folder: Path) -> None:
    assert there_and_back(cluster, folder) == cluster


positive = st.floats(1e-3, 1e12)
names = st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip)


@settings(deadline=None)
@given(kind=names, speed=positive, price=positive, mtbf=positive, at=positive, count=st.integers(1, 9))
def test_any_name_and_number(folder: Path, kind: str, at: float, count: int, **numbers: float) -> None:
    mtbf = numbers.pop("mtbf")
    machines = [Machines(kind=kind, count=count, **numbers), Machines(kind="T4", count=1)]
    cluster = hbsim.Cluster(machines=machines, mtbf=mtbf, schedule=[(0, count), (at, 0)])
    assert there_and_back(cluster, folder) == cluster


def test_all_parameters_can_be_written() -> None:
    fields = hbsim.Cluster().as_dict()
    about = {"description": '"Mine"\n', "source": ["a", "b"]}
    text = to_toml({"about": about, **fields}, {"save": "of 3 jobs"})
    content = tomllib.loads(text)
    assert content == {"about": about, **{name: value for name, value in fields.items() if value is not None}}
    assert "# of 3 jobs\nsave = 0.0\n" in text


def test_a_trace_is_relative_to_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recorded").mkdir()
    (tmp_path / "here").mkdir()
    Path("recorded/week.csv").write_text("worker,start,end,state\n0,0,10,up\n0,10,20,down\n0,20,,up\n")
    cluster = hbsim.Cluster(trace="recorded/week.csv")
    assert there_and_back(cluster, Path("here")) == cluster
    assert 'trace = "../recorded/week.csv"' in Path("here/cluster.toml").read_text()
    absolute = hbsim.Cluster(trace=tmp_path / "recorded" / "week.csv")
    assert there_and_back(absolute, tmp_path) == absolute


def test_the_form_of_the_file_is_the_cluster() -> None:
    """The same names, and the same defaults, as the class."""
    form = ClusterSchema().model_dump(exclude={"about"})
    assert form.pop("suggest_delay") == hbsim.Cluster().suggest_delay  # it came later: there if it is set
    assert form == hbsim.Cluster().as_dict()
    [machines] = ClusterSchema(machines=[{"kind": "T4", "count": 1}]).model_dump()["machines"]
    assert Machines(**machines) == Machines(kind="T4", count=1)


# Presets


@pytest.mark.parametrize("name", presets())
def test_presets(name: str) -> None:
    """Each says where its numbers come from, and studies run on it."""
    found = read(name)
    assert found.about.description
    assert found.about.source
    assert found.about.assumptions
    cluster = hbsim.Cluster.from_file(name)
    scheduler = make_scheduler("promotion", max_t=9, num_trials=40, retries=3)
    summary = hbsim.simulate(scheduler, Ideal(9), cluster=cluster).summary()
    assert summary["trials"] == 40
    assert summary["completed"]
    assert (summary["cost"] is None) is (sum(cluster.prices) == 0)


def test_options_in_place_of_a_files() -> None:
    found = read("aws-spot")
    cluster = found.make({"notice": 30.0, "mtbf": 5.0})
    assert (cluster.notice, cluster.workers) == (30, 16)
    assert cluster.preempted_every == found.make().preempted_every
    with pytest.raises(ParameterError) as caught:
        found.make({"notice": -1})
    assert caught.value.field == "notice"
    with pytest.raises(ParameterError, match="the machines or the trace have 16") as caught:
        found.make({"workers": 4})
    assert caught.value.field == "workers"
    calm = found.make({"preempted_every": None})
    assert (calm.preempted_every, calm.preempted_for, calm.notice) == (None, 0, 0)
    with pytest.raises(ParameterError, match=r"price = 0\.68: must not be given with machines") as caught:
        ClusterFile("mine.toml", "", found.about, {**found.fields, "price": 0.68}).make({"notice": 30})
    assert caught.value.field == "cluster"


# Files that cannot be used

A100_THEN_T4 = "[[machines]]\nkind = 'A100'\ncount = 1\n[[machines]]\nkind = 'T4'\ncount = 1\n"
WRONG = {
    "a = 1": "a = 1: is no field here.",
    "retry_form = 'zero'": "retry_form = \"zero\": is no field here. Did you mean 'retry_from'?",
    "workers = 0": "workers = 0: must be a whole number of at least 1",
    "workers = 1.5": "workers = 1.5: must be a whole number",
    "workers = 10_000_000": "workers = 10000000: must be at most 1,000,000",
    "speed = 0": "speed = 0: must be above 0",
    "startup = 1.7e308": "must be at most 1000000000000",
    "startup = 'lognormal:mean=2e12,std=1'": "its mean must be at most 1000000000000",
    "startup = 'lognormal:mean=1e12,std=1e14'": "all that it gives must be at most 1000000000000000",
    "save_bandwidth = 1e-300": "save_bandwidth = 1e-300: must be at least 1e-09",
    "speed = 1e-308": "speed = 1e-308: must lie in [1e-09, 1e+12]",
    f"{A100_THEN_T4}price = 1e308": "machines.1.price = 1e+308: must be at most 1000000000000 (T4)",
    "speed = [1, 2]": "speed = [1, 2]: must be one number, or 32, one a worker",
    "speed = 'fast'": 'speed = "fast": must be a number or a list',
    "startup = true": "startup = true: must be a number or a text",
    "startup = 'lognormal:mean=3,sd=1'": "'sd' is no parameter of lognormal: mean, std. Did you mean 'std'?",
    "drop_rate = inf": "drop_rate = inf: must be finite",
    "drop_rate = -0.5": "drop_rate = -0.5: must be at least 0",
    "mttr = 3": "mttr = 3: is for mtbf, which is not given",
    "notice = 3": "notice = 3: is for preempted_every, schedule or trace, none of which is given",
    "retry_from = 'zeor'": "Did you mean 'zero'?",
    "resume = 1": "resume = 1: must be true or false",
    "store_bandwidth = 0": "store_bandwidth = 0: must be above 0; leave it out for no limit",
    "schedule = [[0, 4], [0, 5]]": "schedule = [0, 5]: must be pairs (time, machines), the times ascending",
    "schedule = [[0, 'all']]": 'schedule.0.1 = "all": must be a number',
    "workers = 3\nschedule = [[0, 4]]": "schedule = [0, 4]: must be at most 3 machines",
    "trace = 'no.csv'": 'no.csv": cannot be read as CSV: No such file or directory',
    "gpus_per_trial = 2": "gpus_per_trial = 2: is for machines, which are not given",
    f"gpus_per_trial = 2\n{A100_THEN_T4}": "must be at most the GPUs of a machine: 1 in each A100",
    f"{A100_THEN_T4}speed = 0": "machines.1.speed = 0: must be above 0 (T4)",
    f"{A100_THEN_T4}price = -2.5": "machines.1.price = -2.5: must be at least 0 (T4)",
    f"{A100_THEN_T4}speeed = 2": "machines.1.speeed = 2: is no field here. Did you mean 'speed'?",
    f"{A100_THEN_T4}[[machines]]\nkind = 'L4'": "machines.2.count is missing",
    f"workers = 3\n{A100_THEN_T4}": "workers = 3: the machines or the trace have 2; leave it out",
    f"price = 3\n{A100_THEN_T4}": "price = 3: must not be given with machines: each kind has its own",
    "[machines]\nkind = 'T4'": '{"kind": "T4"}: must be a list: a table [[machines]] for each kind',
    "[about]\nsources = []": "about.sources = []: is no field here. Did you mean 'source'?",
    "save = 1\nworkers =": "is no TOML: Invalid value (at the end, line 2)",
    "workers = = 3\nsave = 1": "is no TOML: Invalid value (at line 1, column 11)",
    "save = 1\nsave = 2": "is no TOML: Cannot overwrite a value (at the end, line 2)",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_file_that_is_wrong_is_one_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    assert WRONG[text] in refused(path)


def refused(source: Any) -> str:
    with pytest.raises(ParameterError) as caught:
        hbsim.Cluster.from_file(source)
    message = str(caught.value)
    assert caught.value.field == "cluster"
    assert message.startswith(f"cluster={caught.value.value!r}: ")
    assert "\n" not in message
    return message


def test_what_is_no_file(tmp_path: Path) -> None:
    assert "cannot be read: No such file or directory" in refused(tmp_path / "no.toml")
    assert "cannot be read: Is a directory" in refused(tmp_path)
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    assert "it is not UTF-8" in refused(tmp_path / "bytes.toml")
    assert "Did you mean 'aws-spot'?" in refused("aws-spott")
    assert "must be the path of a TOML file" in refused(3)
