"""A small training function without PyTorch, and a study of it, for the tests of ``hbsim run``."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TRAIN = """
import time
from pathlib import Path
import hbsim


if Path("slow-to-load").exists():
    Path("loading").touch()
    time.sleep(600)

@hbsim.args(x=hbsim.Real(0.0, 1.0), kind=hbsim.Choice("a", "b"), pause=0.0, fail=-1, hang=-1)
def train_fn(args, reporter):
    if args.fail == args.trial:
        raise ValueError("no luck today")
    for epoch in range((reporter.load() or 0) + 1, 10):
        time.sleep(600 if args.trial == args.hang else args.pause)
        reporter.save(epoch)
        reporter(epoch=epoch, accuracy=args.x - 1 / epoch, loss=1 / epoch - args.x)
        if args.fail == "all":
            raise ValueError("no luck today")

@hbsim.args(y=hbsim.Real(0.0, 1.0))
def no_number(args, reporter):
    for epoch in range(1, 10):
        reporter(epoch=epoch, accuracy=float("inf") if epoch % 2 else float("nan"))

@hbsim.args(y=hbsim.Real(0.0, 1.0))
def other(args, reporter):
    reporter(epoch=1, accuracy=args.y)
"""
START = "run train.py:train_fn --scheduler promotion --max-t 9 --trials"
TWELVE = (*START.split(), "12", "--seed", "4", "--workers", "1")


def make_whole(folder: Path) -> Path:
    """Run TWELVE to its end; return the study's folder."""
    (folder / "train.py").write_text(TRAIN)
    words = ["--keep", "all", "--hang-timeout", "500", "--set", "pause=0", "--set", "fail=none"]
    subprocess.run(
        [sys.executable, "-m", "hbsim", *TWELVE, *words], cwd=folder, check=True, capture_output=True
    )
    return folder / "exp"


def printed(out: str) -> dict[str, Any]:
    """Read what --json printed."""
    assert out.count("\n") == 1
    content: dict[str, Any] = json.loads(out, parse_constant=pytest.fail)
    assert content["schema"] == 1
    return content
