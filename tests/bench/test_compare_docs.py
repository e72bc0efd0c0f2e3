"""The page about comparisons: its code runs, and its commands are ones."""

import re
import shlex
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "compare.md").read_text(encoding="utf-8")


def test_the_code_of_the_page_runs(capsys):
    (block,) = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    exec(compile(block, "compare.md", "exec"), {"__name__": "page"})
    assert capsys.readouterr().out.startswith("(1, ")


def test_the_commands_of_the_page_run(call):
    (block,) = re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL)
    commands = [shlex.split(line) for line in block.replace("\\\n", " ").splitlines()]
    assert [words[1] for words in commands] == ["compare", "report"]
    for words, more in zip(commands, (["--seeds", "2", "--jobs", "1"], []), strict=True):
        ran = call(*words[1:], *more)
        assert (ran.code, ran.err) == (0, ""), ran.err
