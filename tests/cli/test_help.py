"""What every ``--help`` has: a sentence, two examples that run, small groups, the common options first."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from hbsim.cli.main import COMMANDS, list_options
from hbsim.options import PANELS
from tests.cli.conftest import Ran

ROOT = Path(__file__).parents[2]
NAMES = [*COMMANDS, "surrogates import"]
MOST = 10  # options in a group, beside --help
WRITTEN = {  # by the users of the examples, in an empty folder
    "train.py": ROOT / "examples" / "train.py",
    "script.py": ROOT / "examples" / "argparse_script.py",
    "metrics.csv": ROOT / "tests" / "surrogates" / "imports" / "mlflow_metrics.csv",
}
SWEEP = """
seeds = 2
[defaults]
num_trials = 20
[[variants]]
type = "stopping"
[[variants]]
type = "promotion"
[[surrogates]]
surrogate = "synthetic"
"""


def examples(help: str) -> list[list[str]]:
    """Return the words of each example, as a shell reads its lines."""
    text = help.partition("For example:\n")[2].partition("\n\n")[0]
    return [shlex.split(line) for line in text.replace("\\\n", "").splitlines()]


@pytest.mark.parametrize("name", NAMES)
def test_help_is_a_sentence_two_examples_and_small_groups(call, name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    help = call(*name.split(), "--help").out
    _, sentence, shown, *_ = help.split("\n\n")
    assert sentence.count("\n") <= 1
    assert re.fullmatch(r" *[A-Z][^.]*(\.\w[^.]*)*\.", sentence.replace("\n", " "))
    assert shown.startswith("  For example:\n")
    assert [words[: 1 + len(name.split())] for words in examples(help)] == [["hbsim", *name.split()]] * 2
    assert max(map(len, shown.splitlines())) <= 80


def test_groups_have_at_most_ten_options_and_known_headings():
    groups: dict[tuple[str, str], list[str]] = {}
    for one in list_options():
        groups.setdefault((one.command, one.heading), []).append(one.help)
    assert {heading for _, heading in groups} <= {"Arguments", *PANELS}
    assert {key: len(found) for key, found in groups.items() if len(found) > MOST} == {}


def test_the_common_options_come_first(call):
    help = call("run", "--help").out
    group = help.partition("\nOptions:\n")[2].partition("\n\n")[0]
    names = re.findall(r"^  --([\w-]+)", group, flags=re.MULTILINE)
    first = "scheduler max-t num-trials max-time metric mode workers num-gpus folder resume"
    assert names == first.split()


def test_each_option_is_explained_in_a_few_words():
    long = [one.names or one.metavar for one in list_options() if len(one.help) > 120]
    assert long == []
    assert all(one.help[-1] == "." and one.help[:-1].strip() for one in list_options())


def test_the_examples_run_one_after_the_other_as_printed(call, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    for name, path in WRITTEN.items():
        shutil.copy(path, tmp_path / name)
    (tmp_path / "sweep.toml").write_text(SWEEP)
    failed: dict[str, Ran] = {}
    for name in NAMES:
        for words in examples(call(*name.split(), "--help").out):
            ran = call(*words[1:])
            if ran.code != 0:
                failed[shlex.join(words)] = ran
    assert failed == {}
