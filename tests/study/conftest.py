"""Training functions that need no libraries, in files, as their users write them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

HEADER = """
import os
import time
from pathlib import Path

import hbsim

HERE = Path(__file__).parent


@hbsim.args(lr=hbsim.Real(1e-4, 1.0, log=True), depth=hbsim.Int(1, 4), kind=hbsim.Choice("a", "b"), epochs=4)
def train_fn(args, reporter):
"""

PLAIN = """
    for epoch in range(1, args.epochs + 1):
        reporter(epoch=epoch, loss=args.lr / epoch, seed_seen=args.seed, trial_seen=args.trial)
"""


@pytest.fixture
def train(tmp_path: Path) -> Callable[[str], str]:
    """Write a training function with this body into a file; return its ``FILE.py:NAME``."""

    def write(body: str = PLAIN) -> str:
        file = tmp_path / "train.py"
        file.write_text(HEADER + body)
        return f"{file}:train_fn"

    return write


@pytest.fixture
def wait_for() -> Callable[[Callable[[], bool]], None]:
    """Return what waits until something is so."""

    def wait(condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, "nothing happened for a minute"
            time.sleep(0.02)

    return wait
