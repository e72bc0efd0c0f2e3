"""The page about comparisons: its code runs, and its commands are ones."""

import re
import shlex
from pathlib import Path

from typer.testing import CliRunner

from hbsim.cli.main import app

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "compare.md").read_text(encoding="utf-8")


def test_the_code_of_the_page_runs(capsys):
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    exec(compile(block, "compare.md", "exec"), {"__name__": "page"})
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 4
    assert printed[0].startswith("1 ")


def test_the_command_of_the_page_runs(tmp_path: Path):
    (block,) = re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL)
    words = shlex.split(block.replace("\\\n", " "))[1:]
    words[words.index("comparison")] = str(tmp_path / "comparison")
    result = CliRunner().invoke(app, [*words, "--seeds", "2", "--jobs", "1"])
    assert result.exit_code == 0, result.stderr
    written = {path.name for path in (tmp_path / "comparison").iterdir()}
    assert set(re.findall(r"`([\w]+\.\w+)`", PAGE)) - {"scipy.stats"} >= written - {"hbsim.json"}
