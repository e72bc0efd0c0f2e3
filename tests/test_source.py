"""Files of users run as they are now, whatever was compiled before."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hbsim.core.space import space_of
from hbsim.executors.training_function import load_target, make_target
from hbsim.searchers.task import _loaded, constraint_of
from hbsim.source import source_spec
from hbsim.surrogates import load

CURVES = """
class Mine:
    metric, mode, max_resource, rows, space = "m", "max", 3, 5, None
    def evaluate(self, configurations, levels):
        shape = (len(configurations), len(levels))
        import numpy as np
        return np.full(shape, {}.0), np.tile(np.asarray(levels, dtype=float), (len(configurations), 1))
"""
TRAIN = """
import hbsim
@hbsim.args(x=hbsim.Int(0, {}))
def train(args, reporter): ...
"""


def value(path: Path) -> float:
    import numpy as np

    return float(load(f"{path}:Mine").evaluate(np.arange(1), np.array([1.0]))[0][0, 0])


def allowed(path: Path) -> float:
    _loaded.cache_clear()
    return float(constraint_of(f"{path}:rule")({}))


def high(path: Path) -> float:
    parameter = space_of(load_target(make_target(f"{path}:train")))["x"]
    return float(parameter.high)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("text", "read"),
    [(CURVES, value), ("def rule(c):\n    return {} > 5\n", allowed), (TRAIN, high)],
    ids=["surrogate", "constraint", "training function"],
)
def test_a_file_that_changes_twice_in_a_second(
    text: str, read: Callable[[Path], float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    path = tmp_path / "mine.py"
    found = []
    for number in (3, 8):
        path.write_text(text.format(number))
        os.utime(path, (1_700_000_000, 1_700_000_000))
        found.append(read(path))
    assert found in ([3.0, 8.0], [0.0, 1.0])
    assert not list(tmp_path.rglob("*.pyc"))


def test_what_is_no_source_is_none(tmp_path: Path) -> None:
    assert source_spec("x", tmp_path / "x.txt") is None
