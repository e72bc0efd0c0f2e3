"""``--cluster`` and the options that override it, in all commands that simulate; and ``hbsim clusters``."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

import hbsim as package
from hbsim.simulation.cluster_files import presets

SMALL = "--surrogate synthetic:max_resource=9 --trials 12"
SIMULATE = f"simulate --scheduler promotion {SMALL}"
COMMANDS = {
    "simulate": SIMULATE,
    "compare": f"compare --variant promotion --seeds 2 --jobs 1 {SMALL}",
    "run": f"run train.py:f --executor sim --scheduler promotion --max-t 9 {SMALL}",
}
MINE = """
notice = 30
startup = "exponential:mean=2"
mtbf = 500
mttr = 10
preempted_every = 5000

[[machines]]
kind = "T4"
count = 3
gpus = 2
price = 4.0
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    (tmp_path / "mine.toml").write_text(MINE)
    return tmp_path / "mine.toml"


def cluster_of(folder: Path, name: str) -> dict[str, object]:
    """Return the cluster that a command has written."""
    if name == "compare":
        manifest = json.loads((folder / "sweep.json").read_text())
        (cluster,) = manifest["clusters"].values()
        return {**cluster, "workers": manifest["tasks"][0]["workers"]}
    return json.loads((folder / "summary.json").read_text())["options"]["cluster"]


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize("name", ["simulate", "compare"])  # of run: tests/cli/test_run_options.py
def test_options_override_a_file(call, tmp_path, name):
    words = "--cluster mine.toml --gpus-per-trial 0.5 --slowdown 1.5 --startup 3 --mtbf none --out x"
    assert call(*COMMANDS[name].split(), *words.split()).code == 0
    [machines] = package.Cluster.from_file("mine.toml").machines
    options = {"startup": 3, "preempted_every": 5000, "notice": 30}
    made = package.Cluster(machines=[machines], gpus_per_trial=0.5, slowdown=1.5, **options)
    assert cluster_of(tmp_path / "x", name) == made.as_dict()
    assert made.workers == 12


@pytest.mark.usefixtures("mine")
def test_none_takes_away_what_a_file_has(call, tmp_path):
    (tmp_path / "other.toml").write_text(
        "workers = 4\nschedule = [[0, 2]]\npreempted_every = 9\nstore_bandwidth = 1\nsave_bandwidth = 1\n"
    )
    gone = "--schedule none --preempted-every none --store-bandwidth none --save-bandwidth none"
    assert call(*SIMULATE.split(), "--cluster", "other.toml", *gone.split(), "--out", "x").code == 0
    assert cluster_of(tmp_path / "x", "simulate") == package.Cluster(workers=4).as_dict()


def test_the_command_of_a_study_makes_it_again(call, tmp_path):
    (tmp_path / "there.csv").write_text("worker,start,end,state\na,0,,up\nb,0,5,up\nb,5,,down\n")
    schedules = ["--startup", "gamma:mean=3,std=1", "--schedule", "0:4,3600.5:16"]
    for words in (schedules, ["--cluster-trace", "there.csv"], ["--cluster", "workstation"]):
        assert call(*SIMULATE.split(), *words, "--out", "x", "--force").code == 0
        summary = (tmp_path / "x" / "summary.json").read_bytes()
        program, *again = shlex.split(json.loads(summary)["command"])
        assert program == "hbsim"
        assert again[-len(words) :] == words
        assert call(*again, "--out", "y", "--force").code == 0
        assert (tmp_path / "y" / "summary.json").read_bytes() == summary


WRONG = {
    "--cluster wrong.toml": "--cluster wrong.toml: store_bandwidth = 0: must be above 0; leave it out",
    "--cluster aws-spott": "Did you mean 'aws-spot'?",
    "--cluster no.toml": "--cluster no.toml: cannot be read: No such file or directory",
    "--cluster mine.toml --workers 5": "--workers 5: the machines or the trace have 6; leave it out",
    "--cluster mine.toml --gpus-per-trial 4": "--gpus-per-trial 4: must be at most the GPUs of",
    "--cluster mine.toml --price 3": "must not be given with machines: each kind has its own",
    "--gpus-per-trial 2": "--gpus-per-trial 2: is for machines, which are not given",
    "--speed 0": "--speed 0: must be above 0",
    "--mtbf -1": "--mtbf -1: must be at least 0.001",
    "--mtbf exponental:mean=3": "Did you mean 'exponential'?",
    "--mttr 3": "--mttr 3: is for mtbf, which is not given",
    "--notice 3": "--notice 3: is for --preempted-every, schedule or trace, none of which is given",
    "--preempted-every 0": "--preempted-every 0: must be at least 0.001",
    "--drop-rate -0.1": "--drop-rate -0.1: must be at least 0",
    "--startup gamma:mean=-3,std=1": "--startup gamma:mean=-3,std=1: mean=-3 must be at least 0",
    "--schedule 0:4,0:5": "--schedule 0:5: must be pairs",
    "--schedule 0:4 --workers 3": "--schedule 0:4: must be at most 3 machines",
    "--schedule 4": "'4' is no schedule, which is TIME:MACHINES,... as in 0:4,3600:16.",
    "--save-bandwidth fast": "'fast' is not a number.",
    "--store-bandwidth 0": "--store-bandwidth 0: must be above 0",
    "--cluster-trace no.csv": "--cluster-trace no.csv: cannot be read as CSV: No such file or directory",
    "--cluster-trace no.csv --mtbf 3": "--cluster-trace no.csv: cannot be read",
    "--retry-from zeor": "Did you mean 'zero'?",
    "--slowdown 2": "--slowdown 2: is for trials that share a GPU: --gpus-per-trial below 1",
    "--workers 100000000": "--workers 100000000: must be at most 1,000,000",
}


@pytest.mark.usefixtures("mine")
@pytest.mark.parametrize("text", WRONG)
def test_impossible_clusters_are_one_line(call, tmp_path, text):
    (tmp_path / "wrong.toml").write_text("store_bandwidth = 0\n")
    for command in COMMANDS.values():
        code, out, err = call(*command.split(), *text.split(), "--out", "x")
        assert (code, out) == (2, "")
        assert err.startswith("hbsim: error: ")
        assert err.count("\n") == 1
        assert WRONG[text] in err
        assert not (tmp_path / "x").exists()


# hbsim clusters


def test_lists_all_presets(call):
    code, out, err = call("clusters")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()[1:]] == presets()
    printed = json.loads(call("clusters", "--json").out)
    assert printed["schema"] == 1
    assert [one["name"] for one in printed["clusters"]] == presets()
    a100 = printed["clusters"][0]
    assert (a100["workers"], a100["machines"], a100["price_per_hour"]) == (24, 17, 30.373642)
    assert a100["parameters"] == package.Cluster.from_file("a100-t4").as_dict()
    assert a100["source"]
    assert a100["assumptions"]


def test_one_in_full(call, tmp_path, mine):
    out = " ".join(call("clusters", "aws-spot").out.split())
    assert "preempted_every exponential:mean=11900" in out
    assert "Amazon EC2 User Guide, Spot Instance interruption notices" in out
    assert "16 of p3.2xlarge" in out
    out = " ".join(call("clusters", "mine.toml").out.split())
    assert "workers 6" in out
    assert "3 of T4 (2 GPUs, 4 an hour each)" in out
    code, text, _ = call("clusters", "aws-spot", "--toml")
    assert code == 0
    (tmp_path / "copy.toml").write_text(text)
    assert package.Cluster.from_file(tmp_path / "copy.toml") == package.Cluster.from_file("aws-spot")
    code, out, err = call("clusters", "aws-spott")
    assert (code, out) == (2, "")
    assert err.startswith("hbsim: error: aws-spott: is no preset")
