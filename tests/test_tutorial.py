"""The tutorial does what it says: its files are written, and its commands and code run, in its order."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "tutorials" / "first-study.md"


def test_the_tutorial_runs_from_its_first_step_to_its_last(tmp_path: Path) -> None:
    blocks = re.findall(r"```(python|sh)\n(.*?)```", PAGE.read_text("utf-8"), flags=re.DOTALL)
    assert blocks[0][0] == "python"
    (tmp_path / "train.py").write_text(blocks[0][1])
    for kind, text in blocks[1:]:
        words = [sys.executable, "-c", text]
        if kind == "sh":
            _, *options = shlex.split(text.replace("\\\n", " "))
            words = [sys.executable, "-m", "hbsim", *options]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, (text, done.stderr)
        assert done.stdout or "--out" in text
    assert (tmp_path / "compared.html").is_file()
