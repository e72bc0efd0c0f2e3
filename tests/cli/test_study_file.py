"""A study as a file: what ``hbsim run study.toml`` reads, and what ``--write-toml`` writes."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbsim.cli.options import Step, named_values
from hbsim.cli.study_file import FIELDS, TOP, StudyValues, read_study, study_toml
from hbsim.errors import ParameterError
from hbsim.options import Option
from hbsim.study.result import load
from tests.cli.run_studies import TRAIN, printed
from tests.profile import examples

STUDY = """
train = "train.py:train_fn"
num_trials = 12
seed = 4
workers = 1
surrogate = "synthetic"
keep = "all"

[scheduler]
type = "promotion"
max_t = 9

[args]
pause = 0.0
fail = "none"

[cluster]
startup = 2
"""


@pytest.fixture(autouse=True)
def study(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "study.toml").write_text(STUDY)
    path = list(sys.path)
    yield tmp_path / "study.toml"
    sys.path[:] = path
    sys.modules.pop("train", None)


OPTIONS = "--scheduler promotion --max-t 9 --trials 12 --seed 4 --workers 1 --set pause=0.0 --set fail=none"


def test_the_same_file_for_real_and_simulated(call, tmp_path):
    simulated = call("run", "study.toml", "--executor", "sim", "--json")
    assert simulated.err == "hbsim: note: --executor sim ignores keep, args of the file\n"
    words = (*OPTIONS.split(), "--executor", "sim", "--surrogate", "synthetic", "--startup", "2", "--json")
    by_options = call("run", "train.py:train_fn", *words)
    assert printed(simulated.out)["summary"] == printed(by_options.out)["summary"]
    real = call("run", "study.toml", "--progress", "none", "--json")
    assert real.code == 0
    assert real.err == "hbsim: note: --executor local ignores surrogate, cluster of the file\n"
    summary = printed(real.out)["summary"]
    assert summary["scheduler"] == printed(simulated.out)["summary"]["scheduler"]
    assert load("exp").spec.constants == {"pause": 0.0, "fail": "none"}
    assert (tmp_path / "exp/trials/000000/checkpoint").exists()  # keep = "all"
    again = call("run", "--resume", "--progress", "none", "--json")  # the function is known by the file
    assert printed(again.out)["summary"] == summary
    assert call("run", "study.toml", "--resume", "--progress", "none").code == 0


def test_options_of_the_command_override_the_file(call):
    words = (
        "--scheduler",
        "stopping",
        "--trials",
        "5",
        "--metric",
        "loss",
        "--mode",
        "min",
        "--startup",
        "0",
    )
    content = printed(call("run", "study.toml", "--executor", "sim", *words, "--json").out)["summary"]
    assert content["scheduler"]["type"] == "stopping"
    assert (content["trials"], content["metric"], content["mode"]) == (5, "loss", "min")
    assert content["busy_share"] == pytest.approx(content["training_share"])
    file = StudyValues({"type": "promotion", "max_t": 9, "straight_on": False}, {"args": ["a=1", "b=2"]})
    over = StudyValues({"type": "stopping", "rule": "rank"}, {"args": ["b=3"], "train": "x"}).over(file)
    assert over.scheduler == {"type": "stopping", "max_t": 9, "rule": "rank"}
    assert over.values == {"args": ["a=1", "b=2", "b=3"]}


def test_paths_start_from_the_files_folder(call, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    words = ("--executor", "sim", "--json")
    assert call("run", "../study.toml", *words).code == 0
    file = tmp_path / "study.toml"
    text = STUDY.replace('"synthetic"', '"curves.csv"').replace("[args]", "[hosts]\nssh_key = 'id'\n[args]")
    file.write_text(f'folder = "a/b"\n{text}cluster = "mine.toml"\n')
    made = read_study("../study.toml")
    assert made.values["train"] == "../train.py:train_fn"
    assert made.values["folder"] == "../a/b"
    assert made.values["surrogate"] == "../curves.csv"
    assert made.cluster == {"startup": 2, "cluster": "../mine.toml"}
    assert made.values["executor"] == "hosts"
    assert made.values["ssh_key"] == "../id"
    assert read_study(str(file)).values["folder"] == str(tmp_path / "a/b")


def test_a_command_is_written_as_a_file(call, tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "points.json").write_text('[{"x": 0.5, "kind": "b"}]')
    more = "--surrogate synthetic --startup 2 --schedule 0:4,9:7 --points points.json --num-cpus 1"
    words = ("train.py:train_fn", *OPTIONS.replace("--workers 1", more).split())
    done = call("run", *words, "--write-toml", "d/study.toml")
    assert (done.code, done.out) == (0, "")
    assert done.err == "hbsim: note: wrote d/study.toml; it runs with: hbsim run d/study.toml\n"
    assert not (tmp_path / "exp").exists()
    one = printed(call("run", *words, "--executor", "sim", "--json").out)
    two = printed(call("run", "d/study.toml", "--executor", "sim", "--json").out)
    assert {**one, "command": ""} == {**two, "command": ""}
    again = call("run", *words, "--write-toml", "d/study.toml")
    assert (again.code, again.err) == (2, "hbsim: error: --write-toml d/study.toml: exists already\n")
    err = call("run", "train.py:train_fn", "--scheduler", "promotion", "--write-toml", "new.toml").err
    assert err == "hbsim: error: --max-t: is required for type 'promotion'\n"
    assert not (tmp_path / "new.toml").exists()
    err = call("run", *words, "--set", "pause=[null]", "--write-toml", "new.toml").err
    assert err == "hbsim: error: --set 'pause=[null]': cannot be in a file: TOML has no null\n"


WRONG = {
    "trials = 3": "trials = 3: is called num_trials",
    "max_t = 3": "max_t = 3: belongs in [scheduler]",
    "eta = 3": "eta = 3: is called reduction_factor, in [scheduler]",
    "reward_attr = 'x'": 'reward_attr = "x": is called metric',
    "serd = 3": "serd = 3: is no field here. Did you mean 'seed'?",
    "num_trials = 0": "num_trials = 0: must be a whole number of at least 1",
    "num_trials = '3'": 'num_trials = "3": must be a whole number',
    "keep = true": "keep = true: must be a text",
    "keep = 'bst'": "keep = \"bst\": must be one of best, completed, all, none. Did you mean 'best'?",
    "executor = 'dusk'": 'executor = "dusk": must be one of local, hosts, dask, sim.',
    "args = 3": "args = 3: is a table of its own: [args]",
    "resume = true": "resume = true: is for the command line",
    "[scheduler]\nseed = 3": "scheduler.seed = 3: belongs above all tables",
    "[scheduler]\neta = 3": "scheduler.eta = 3: is called reduction_factor",
    "[scheduler]\ntype = 'asha'": "ASHA is 'promotion'",
    "[resource]\nnum_gpu = 1": "resource.num_gpu = 1: is no field here. Did you mean 'num_gpus'?",
    "[cluster]\nschedule = [3]": "cluster.schedule = [3]: must be a list of pairs of a time and a number",
    "[cluster]\nprice = -1": "cluster.price = -1: must be ",
    "[hosts]\nhosts = 'a'": 'hosts.hosts = "a": must be a list of names or addresses',
    "[args]\nday = 2020-01-01": "[args]: day=datetime.date(2020, 1, 1) is no plain value",
    "trial_timeout = 'soon'": 'trial_timeout = "soon": must be seconds, or a text as 90s, 30m',
    "x = ": "is no TOML: ",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_one_line_with_the_field(call, study, text):
    study.write_text(text)
    code, out, err = call("run", "study.toml")
    assert (code, out) == (2, "")
    assert err.startswith(f"hbsim: error: study.toml: {WRONG[text]}") or WRONG[text] in err
    assert err.count("\n") == 1


def test_files_that_are_none(call):
    assert call("run", "no.toml").err == "hbsim: error: no.toml: cannot be read: No such file or directory\n"


def test_the_file_of_the_docs(study, call):
    page = (Path(__file__).parents[2] / "docs" / "reference" / "study-file.md").read_text("utf-8")
    study.write_text(page.partition("```toml\n")[2].partition("```")[0])
    made = read_study(str(study))
    assert made.scheduler == {"type": "promotion", "max_t": 81, "brackets": 3}
    assert made.values["num_cpus"] == 1
    assert made.cluster == {"startup": "lognormal:mean=40,std=15"}
    simulated, *_, written = (
        shlex.split(line, comments=True)
        for line in page.partition("```sh\n")[2].partition("```")[0].splitlines()
    )
    assert call(*simulated[1:]).code == 0
    study.unlink()
    assert call(*written[1:]).code == 0
    assert read_study(str(study)).scheduler == {"type": "promotion", "max_t": 81}


# What is written reads back the same


TEXTS = ["a", 'with "quotes"', "ü\\n", "x=1"]
CANDIDATES: dict[str, list[Any]] = {
    "number": [1, 0.5, 2.5, 7],
    "duration": [1, 0.5, 90],
    "whole": [1, 4],
    "amount": [3, 0.5, "exponential:mean=2"],
    "numbers": [2.0, (1.0, 0.5)],
    "steps": [(Step(0, 4), Step(9.5, 7))],
    "text": TEXTS,
    "texts": [["a"], TEXTS],
    "flag": [True, False],
}


def is_valid(one: Option, value: object) -> bool:
    try:
        one.check(one.name, value)
    except ParameterError:
        return False
    return True


def fields_of(*tables: str) -> st.SearchStrategy[dict[str, Any]]:
    """Return values of some fields that pass their checks, as the command line gives them."""
    made: dict[str, st.SearchStrategy[Any]] = {}
    for name, one in (field for table in tables for field in (FIELDS[table] or {}).items()):
        values = [value for value in one.choices or CANDIDATES[one.takes] if is_valid(one, value)]
        if values:
            made[name] = st.sampled_from(values)
    return st.fixed_dictionaries({}, optional=made)


ARGS = st.dictionaries(
    st.sampled_from(["lr", "b_2"]), st.sampled_from(["1", "2.5", '"3"', "text", "[1, 2.5]", "true", "x=y"])
)


@st.composite
def studies(draw: st.DrawFn) -> StudyValues:
    remote = draw(st.sampled_from(["hosts", "dask", ""]))
    tables = [TOP, "resource", "surrogate_options", *([remote] if remote else [])]
    values = draw(fields_of(*tables))
    for name in ("visualizer", "hosts", "scheduler_address", "executor"):
        values.pop(name, None)
    if remote:
        values["executor"] = remote
    if remote == "hosts":
        values["hosts"] = "a,b@c:3"
    for name in ("args", "search_options"):
        if pairs := draw(ARGS):
            values[name] = [f"{key}={value}" for key, value in pairs.items()]
    for name, value in {
        "train": "train.py:f",
        "surrogate": "c.csv",
        "storage": "pull",
        "trace": "t.csv",
    }.items():
        if name in values:
            values[name] = value
    values.pop("cwd", None)
    if "command" in values:
        values |= {"cwd": ".", "space": ["lr=real:0.1:1", "kind=choice:a,b=c"]}
    cluster = draw(fields_of("cluster"))
    if "cluster" in cluster:
        cluster["cluster"] = "aws-spot"
    return StudyValues(draw(fields_of("scheduler")), values, cluster)


def in_plain_words(given: StudyValues) -> tuple[object, ...]:

    lists = {
        name: named_values(name, given.values[name])
        for name in ("args", "search_options")
        if name in given.values
    }
    values = {name: str(value) if name in PATHS else value for name, value in given.values.items()}
    return given.scheduler, {**values, **lists}, given.cluster


PATHS = ("ssh_key", "ssh_known_hosts", "tls_ca", "tls_cert", "tls_key", "folder", "yahpo_data")


@settings(max_examples=examples(60), deadline=None)
@given(studies())
def test_what_is_written_reads_back_the_same(tmp_path_factory, made):
    folder = tmp_path_factory.getbasetemp() / "written"
    folder.mkdir(exist_ok=True)
    before = os.getcwd()
    os.chdir(folder)
    try:
        (folder / "study.toml").write_text(study_toml(made, None, "study.toml"), "utf-8")
        assert in_plain_words(read_study("study.toml")) == in_plain_words(made)
    finally:
        os.chdir(before)
