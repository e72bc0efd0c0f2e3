"""What docs/reference/sweep.md says: its commands and its code run, and its tables are those of the code."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import polars as pl

from hbsim.bench.sweep.plan import read_sweep
from hbsim.bench.sweep.specification import LOADED, STUDY, CellPattern, SurrogateTable, SweepTable
from hbsim.bench.sweep.store import TABLES

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "reference" / "sweep.md").read_text(encoding="utf-8")
EXAMPLE = ROOT / "examples" / "sweep.toml"


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)
    return str(found)


def test_the_example_is_the_file_and_as_long_as_it_says():
    assert block("toml") == EXAMPLE.read_text(encoding="utf-8")
    (cells,) = re.findall(r"(\d+) cells that take", PAGE)
    sweep = read_sweep(EXAMPLE)
    assert len(sweep.studies) == int(cells)
    assert sweep.warnings == ()


def test_the_commands_of_the_page_and_then_its_code_run(call, tmp_path, capsys):
    commands = [shlex.split(line, comments=True) for line in block("sh").splitlines()]
    assert [arguments[:2] for arguments in commands] == [
        ["hbsim", "sweep"],
        ["hbsim", "sweep"],
        ["hbsim", "report"],
    ]
    for arguments in commands[:2]:
        arguments = [str(ROOT / word) if word.endswith(".toml") else word for word in arguments[1:]]
        ran = call(*arguments, "--jobs", "1")  # in this process, which is quicker
        assert (ran.code, ran.err) == (0, "")
    names = {path.name for path in (tmp_path / "study").iterdir()} - {"lock"}
    rows = re.findall(r"^\| `(\w+\.\w+)` \|[^|]*\|(.*)\|$", PAGE, flags=re.MULTILINE)
    assert {name for name, _ in rows} == names
    for name, columns in rows:
        if name.endswith(".parquet"):
            said = re.findall(r"`(\w+)`", columns.replace("(`done`, `failed`)", ""))
            assert said == pl.read_parquet(tmp_path / "study" / name).columns, name
    assert {f"{name}.parquet" for name in TABLES} <= names
    exec(compile(block("python"), "sweep.md", "exec"), {"__name__": "page"})
    assert capsys.readouterr().out == block("text")


def test_every_field_is_on_the_page():
    there = set(re.findall(r"`\[*(\w+)\]*[^`]*`", PAGE))
    tables = (SweepTable, SurrogateTable, CellPattern)
    fields = {*STUDY, *LOADED, *(name for table in tables for name in table.model_fields)}
    assert fields <= there, fields - there
