"""``hbsim sweep`` as its users call it: what is wrong is one line, and nothing is written."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Ran

# The lines are counted: variants at 4, surrogates at 9, clusters at 13.
GOOD = """\
seeds = 3
workers = [2, 4]
[defaults]
[[variants]]
type = "stopping"
grace_period = 1
[[variants]]
type = "fifo"
[[surrogates]]
surrogate = "synthetic:mode=min,max_resource=9"
name = "syn"
num_trials = 20
[[clusters]]
name = "slow"
startup = 2.0
"""
CURVES = 'surrogate = "synthetic:mode=min,max_resource=9"'
TRIALS = "num_trials = 20"

# What is replaced, by what; the line; what the error says.
MISTAKES: list[tuple[str, str, int | None, str]] = [
    ("seeds = 3", "seeds = ", None, "is no TOML: Invalid value (at line 1, column 9)"),
    ("startup = 2.0\n", 'startup = "', None, "is no TOML: Unterminated string (at the end, line 15)"),
    ("seeds = 3", "sedes = 3", 1, "sedes = 3: is no field here. Did you mean 'seeds'?"),
    ("grace_period = 1", "grace_peroid = 1", 6, "Did you mean 'grace_period'?"),
    ("startup = 2.0", "start_up = 2.0", 15, "Did you mean 'startup'?"),
    (TRIALS, "num_trails = 20", 12, "is no field here. Did you mean 'num_trials'?"),
    ("[defaults]", "[defaults]\nmaxtime = 3", 4, "Did you mean 'max_time'?"),
    ("seeds = 3", 'seeds = "3"', 1, 'seeds = "3": must be a whole number'),
    ("seeds = 3", "seeds = 0", 1, "seeds = 0: must be 1 to"),
    ("seeds = 3", "seeds = [4, -1]", 1, "seeds = [4, -1]: must be 1 to"),
    ("seeds = 3", "seeds = [4, 4]", 1, "seeds = [4, 4]: must name each seed once"),
    ("seeds = 3", "seeds = []", 1, "seeds = []: must be 1 to"),
    ("seeds = 3", "seeds = {first = 3}", 1, "seeds.count is missing"),
    ("seeds = 3", "seeds = {first = 9223372036854775807, count = 2}", 1, "below 2^63"),
    ("seeds = 3", "seeds = 3\ntarget = nan", 2, "target = nan: must be"),
    ("[2, 4]", "[2, 0]", 2, "workers = [2, 0]: must be whole numbers of at least 1"),
    ("[2, 4]", "[]", 2, "workers = []: must be whole numbers of at least 1"),
    ("[2, 4]", "2.5", 2, "workers = 2.5: must be a whole number"),
    ("[2, 4]", "20000000", 2, "workers = 20000000: must be at most 1,000,000"),
    ('"stopping"', '"stoping"', 5, "Did you mean 'stopping'?"),
    ('"stopping"', '"asha"', 5, "ASHA is 'promotion'"),
    ('"stopping"', "3", 5, "variants.0.type = 3: must be a text"),
    ('type = "stopping"\n', "", 4, "variants.0.type is missing"),
    ("grace_period = 1", "straight_on = true", 6, "is no option of type 'stopping', but of 'promotion'"),
    ("grace_period = 1", "grace_period = 27", 6, "variants.0.grace_period = 27: must not be above max_t=9"),
    ("grace_period = 1", "brackets = 0", 6, "variants.0.brackets = 0: must be a whole number of at least 1"),
    ("grace_period = 1", 'brackets = "3"', 6, 'variants.0.brackets = "3": must be'),
    ("grace_period = 1", "vary = {brackets = [1, 0]}", 6, "variants.0.vary.brackets = 0: must be"),
    ("grace_period = 1", "vary = {brackets = []}", 6, "vary.brackets = []: must be at least one value"),
    ("grace_period = 1", "brackets = 1\nvary = {brackets = [1]}", 7, "brackets is set for the variant"),
    (TRIALS, "trials = 20", 12, "surrogates.0.trials = 20: is called num_trials"),
    ("grace_period = 1", "num_trials = 3", 6, "is the same for all variants of a task"),
    ("grace_period = 1", "seed = 3", 6, "is the study's: seeds = ..."),
    ("grace_period = 1", 'searcher = "randon"', 6, 'variants.0.searcher = "randon": '),
    ('"fifo"', '"stopping"\ngrace_period = 1', 7, "is the name of variants.0 too; give each another one"),
    ('type = "fifo"', 'type = "fifo"\nname = ""', 9, 'variants.1.name = "": must not be empty'),
    (TRIALS, f"max_t = 81\n{TRIALS}", 12, "surrogates.0.max_t = 81: the curves of"),
    (TRIALS, f"max_t = nan\n{TRIALS}", 12, "surrogates.0.max_t = nan: must be a number above 0"),
    ("[defaults]\n", "[defaults]\nmax_t = -1\n", 4, "defaults.max_t = -1: must be a number above 0"),
    (TRIALS, "num_trials = 20.0", 12, "surrogates.0.num_trials = 20.0: must be a whole number"),
    ('type = "stopping"', 'tpye = "stopping"', 5, "\"stopping\": is no field here. Did you mean 'type'?"),
    (CURVES, CURVES.replace("surrogate", "surogate", 1), 10, "surrogates.0.surogate = "),
    ("grace_period = 1", "eta = 4", 6, "variants.0.eta = 4: is called reduction_factor"),
    ("grace_period = 1", "vary = {eta = [3, 4]}", 6, "is called reduction_factor"),
    ("[defaults]", "[defaults]\neta = 4", 4, "defaults.eta = 4: is called reduction_factor"),
    ("grace_period = 1", "vary = {brackets = [1, 1.0]}", 6, "brackets = [1, 1.0]: must be at least one"),
    ("[[surrogates]]", "[surrogates]", 9, "[surrogates] is a list of tables: write [[surrogates]]"),
    ("[[clusters]]", "[clusters]", 13, "[clusters] is a list of tables: write [[clusters]]"),
    ("[defaults]", "[[defaults]]", 3, "[[defaults]] is one table: write [defaults]"),
    ("startup = 2.0", "machines = [{kind = \"a\", cuont = 2}]", 15, "here. Did you mean 'count'?"),
    (TRIALS, "max_time = 0", 12, "max_time = 0: must be above 0"),
    (TRIALS, "max_full_runs = -1", 12, "max_full_runs = -1: must be a number above 0"),
    (TRIALS, "max_full_runs = 2\nmax_time = 3", 12, "give one of the two budgets of time"),
    ("num_trials = 20\n", "", 3, "have no end: give num_trials, max_time or max_full_runs in [defaults]"),
    (TRIALS, "num_trials = 0", 12, "num_trials = 0: must be a whole number of at least 1"),
    (f'{CURVES}\nname = "syn"\n{TRIALS}', 'surrogate = "digits"\nnum_trials = 20000', 11, "replace = true"),
    (CURVES, 'surrogate = "synthetik"', 10, "Did you mean 'synthetic'?"),
    (CURVES, 'surrogate = "none.csv"', 10, "none.csv"),
    (CURVES, 'surrogate = "none.py:Curves"', 10, "none.py"),
    (CURVES, f'{CURVES}\nmetric = "loss"', 11, 'metric = "loss": is for recorded curves'),
    (TRIALS, f'{TRIALS}\n[[surrogates]]\nsurrogate = "digits"\nname = "syn"', 15, "of surrogates.0"),
    ("startup = 2.0", "startup = -2.0", 15, "clusters.0.startup = -2: must"),
    ("startup = 2.0", 'cluster = "aws-sopt"', 15, "Did you mean 'aws-spot'?"),
    ("startup = 2.0", 'trace = "none.csv"', 15, "none.csv"),
    ("startup = 2.0", "workers = 2\nspeed = [1.0, 2.0, 3.0]", 16, "clusters.0.speed = [1, 2, 3]: must be"),
    ("startup = 2.0", 'workers = 3\ncluster = "aws-spot"', 15, "clusters.0.workers = 3: the machines"),
    ('name = "slow"', 'name = "slow"\n[[clusters]]\nname = "slow"', 16, "is the name of clusters.0 too"),
    ('name = "slow"\n', "", 13, "clusters.0.name is missing"),
]  # fmt: skip
END = [
    ("[[include]]\nvariant = \"stoping\"", 17, "\"stoping\". There are stopping,grace_period=1, fifo"),
    ("[[include]]\nvariant = \"stopping\"", 17, "\"stopping\". Did you mean \"stopping*\"?"),
    ("[[include]]\nworkers = [2, 3]", 17, "there is no number of workers 3"),
    ("[[include]]\nseeds = 1", 17, "Did you mean 'seed'?"),
    ("[[exclude]]\nseed = 3", 17, "exclude.0.seed = 3: there is no seed 3"),
    ("[[exclude]]\nsurrogate = \"s*\"", None, "has no cell: include and exclude leave none"),
    ("[[exclude]]\ncluster = []", 17, "exclude.0.cluster = []: must be at least one"),
    ("[[override]]\nwhere = {workers = 8}\nset = {num_trials = 9}", 17, "there is no number of workers 8"),
    ("[[override]]\nwhere = {seed = 1}\nset = {num_trials = 9}", 17, "where.seed = 1: is no field here."),
    ("[[override]]\nwhere = {variant = \"s*\"}\nset = {num_trials = 9}", 18, "the same for all variants"),
    ("[[override]]\nwhere = {workers = 2}\nset = {retries = -1}", 18, "override.0.set.retries = -1: must be"),
    ("[[override]]\nwhere = {workers = 2}\nset = {num_trials = 0}", 18, "set.num_trials = 0: must be"),
    ("[[override]]\nset = {num_trials = 9}", 16, "override.0.where is missing"),
]  # fmt: skip


@pytest.fixture
def study(tmp_path: Path) -> Callable[[str], Path]:
    """Write a sweep's file."""

    def write(text: str) -> Path:
        path = tmp_path / "study.toml"
        path.write_text(text, "utf-8")
        return path

    return write


def _is_refused(ran: Ran, tmp_path: Path, line: int | None, words: str) -> None:
    assert ran.code == 2, ran.err
    assert ran.out == ""
    assert ran.err.count("\n") == 1
    assert ran.err.startswith("hbsim: error: study.toml: ")
    assert words in ran.err
    found = re.search(r"study\.toml: line (\d+): ", ran.err)
    assert (int(found[1]) if found else None) == line
    assert [path.name for path in tmp_path.iterdir()] == ["study.toml"]


@pytest.mark.parametrize(("old", "new", "line", "words"), MISTAKES, ids=[one[1][:30] for one in MISTAKES])
def test_a_mistake_is_one_line_with_its_place(old, new, line, words, study, call, tmp_path):
    assert old in GOOD
    study(GOOD.replace(old, new, 1))
    _is_refused(call("sweep", "study.toml", "--out", "out"), tmp_path, line, words)


@pytest.mark.parametrize(("table", "line", "words"), END, ids=[one[0][:40] for one in END])
def test_a_table_about_nothing_is_a_mistake(table, line, words, study, call, tmp_path):
    study(f"{GOOD}{table}\n")
    _is_refused(call("sweep", "study.toml", "--out", "out"), tmp_path, line, words)
