"""The tutorial does what it says: its files are written, and its commands and code run, in its order."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Ran, call
from tests.profile import THOROUGH

__all__ = ["call"]
PAGE = Path(__file__).parents[1] / "docs" / "tutorials" / "first-study.md"


def test_the_tutorial_runs_from_its_first_step_to_its_last(
    call: Callable[..., Ran], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = re.findall(r"```(python|sh)\n(.*?)```", PAGE.read_text("utf-8"), flags=re.DOTALL)
    assert blocks[0][0] == "python"
    (tmp_path / "train.py").write_text(blocks[0][1])
    for kind, text in blocks[1:]:
        if kind == "python":
            exec(text, {"__name__": "page"})
            printed = capsys.readouterr().out
        else:
            command, *words = shlex.split(text.replace("\\\n", " "))
            assert command == "hbsim"
            if words[0] == "compare" and not THOROUGH:
                words += ["--seeds", "4", "--jobs", "1"]
            done = call(*words)
            assert done.code == 0, (text, done.err)
            printed = done.out
        assert printed or "--out" in text
    assert (tmp_path / "compared.html").is_file()
