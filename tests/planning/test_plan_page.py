"""The page "Plan a study": its commands run as they are printed, and its Python prints what it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from hbsim.planning import setting
from tests.cli.conftest import call
from tests.planning.test_plan_command import make_small

__all__ = ["call"]

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "plan-a-study.md").read_text(encoding="utf-8")
COMMANDS = [
    line
    for block in re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL)
    for line in block.replace("\\\n", " ").splitlines()
]
CODE = {
    block.splitlines()[0].removeprefix("# "): block
    for block in re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
}


@pytest.fixture(autouse=True)
def _few_short_studies(monkeypatch):
    make_small(monkeypatch)
    monkeypatch.setattr(setting, "SIMULATED", 4.0)
    monkeypatch.setattr(setting, "SIMULATED_EACH", 1.1)


def test_the_commands_of_the_page_run_one_after_the_other(call):
    train = CODE["train.py"].replace("sleep(0.1)", "sleep(0.02)")
    assert train != CODE["train.py"]
    Path("train.py").write_text(train)
    names = []
    for command in COMMANDS:
        program, name, *words = shlex.split(command.replace("40s", "4s"))
        assert program == "hbsim"
        ran = call(name, *words)
        assert ran.code == 0, ran.err
        names.append(name)
        if "--what-if" in words:
            assert "What if, with promotion" in ran.out
    assert names == ["plan"] * 6 + ["record", "plan", "plan", "run", "validate"]
    assert "The forecast in exp, and what came" in ran.out


def test_the_code_of_the_page_prints_what_it_says(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (printed,) = re.findall(r"```text\n(.*?)```", PAGE, flags=re.DOTALL)
    exec(compile(CODE["import hbsim"], "plan-a-study.md", "exec"), {"__name__": "page"})
    assert capsys.readouterr().out == printed
    assert Path("plan.html").is_file()


def test_the_page_is_short():
    assert len(PAGE.split()) <= 1500
