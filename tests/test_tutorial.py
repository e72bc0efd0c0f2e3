"""The tutorials do what they say: files are written, and commands and code run, in their order."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Ran, call
from tests.profile import THOROUGH

__all__ = ["call"]
PAGES = Path(__file__).parents[1] / "docs" / "tutorials"
LEAST = {"--seeds": "4", "--jobs": "1"}  # how far a comparison goes in the quick profile


def commands(text: str) -> list[list[str]]:
    """Return the commands of a block as words."""
    return [shlex.split(line, comments=True) for line in text.replace("\\\n", " ").splitlines()]


def shortened(words: list[str]) -> list[str]:
    """Return a comparison with few studies."""
    if words[0] != "compare" or THOROUGH:
        return words
    at = words.index("--seeds")
    return [*words[:at], *words[at + 2 :], *(word for pair in LEAST.items() for word in pair)]


@pytest.mark.parametrize(
    ("name", "made"),
    [("tune-a-classifier.md", "exp/study.html"), ("which-variant.md", "study/timeline.png")],
)
def test_a_tutorial_runs_from_its_first_step_to_its_last(
    name: str, made: str, call: Callable[..., Ran], tmp_path: Path
) -> None:
    if name == "tune-a-classifier.md":
        pytest.importorskip("torch", reason="needs PyTorch")
        pytest.importorskip("sklearn", reason="needs scikit-learn")
    (tmp_path / "train.py").write_text("")
    blocks = re.findall(r"```(python|sh)\n(.*?)```", (PAGES / name).read_text("utf-8"), flags=re.DOTALL)
    for kind, text in blocks:
        if kind == "python" and "def train_fn" in text:
            (tmp_path / "train.py").write_text(text)
        elif kind == "python":
            subprocess.run([sys.executable, "-c", text], cwd=tmp_path, check=True)
        else:
            for command, *words in commands(text):
                if command != "pip":  # that is CI's first step
                    assert command == "hbsim"
                    done = call(*shortened(words))
                    assert done.code == 0, (text, done.err)
    assert (tmp_path / made).is_file()
