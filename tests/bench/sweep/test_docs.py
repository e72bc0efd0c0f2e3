"""What the pages about sweeps say: their commands and code run, and their tables are those of the code."""

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
FOLDER_PAGE = (ROOT / "docs" / "reference" / "sweep-folder.md").read_text(encoding="utf-8")
REPORT_PAGE = (ROOT / "docs" / "reference" / "report.md").read_text(encoding="utf-8")
EXAMPLE = ROOT / "examples" / "sweep.toml"


def block(language: str, page: str = PAGE) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", page, flags=re.DOTALL)
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
    files, _, cells = FOLDER_PAGE.partition("### Columns of cells")
    rows = dict(re.findall(r"^\| `(\w+\.\w+)` \|[^|]*\|(.*)\|$", files, flags=re.MULTILINE))
    assert set(rows) == names
    rows["cells.parquet"] = " ".join(re.findall(r"^\| (`.*?) \|", cells, flags=re.MULTILINE))
    for name, columns in rows.items():
        if name.endswith(".parquet"):
            said = re.findall(r"`(\w+)`", columns)
            assert said == pl.read_parquet(tmp_path / "study" / name).columns, name
    assert {f"{name}.parquet" for name in TABLES} <= names
    exec(compile(block("python", FOLDER_PAGE), "sweep-folder.md", "exec"), {"__name__": "page"})
    assert capsys.readouterr().out == block("text", FOLDER_PAGE)
    names: dict[str, object] = {"__name__": "page"}
    for found in re.findall(r"```python\n(.*?)```", REPORT_PAGE, flags=re.DOTALL):
        exec(compile(found, "report.md", "exec"), names)
    assert "are best, or not told apart from the best" in capsys.readouterr().out
    assert (tmp_path / "overview.pdf").stat().st_size > 1000


def test_every_field_is_on_the_page():
    there = set(re.findall(r"`\[*(\w+)\]*[^`]*`", PAGE))
    tables = (SweepTable, SurrogateTable, CellPattern)
    fields = {*STUDY, *LOADED, *(name for table in tables for name in table.model_fields)}
    assert fields <= there, fields - there
