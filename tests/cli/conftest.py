"""The command line as its users run it: in a process of its own, or in this one where only words matter."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from hbsim.cli.main import main


class Ran(NamedTuple):
    """What a command left."""

    code: int
    out: str
    err: str


def left(code: int, out: str, err: str) -> Ran:
    """Return what a command left, but for the line that a busy machine takes a while to load a file."""
    return Ran(code, out, re.sub(r"^hbsim: loading .*\n", "", err, flags=re.MULTILINE))


@pytest.fixture
def hbsim(tmp_path: Path) -> Callable[..., Ran]:
    """Run a command in a process of its own, in an empty folder."""

    def run(*words: str, **environment: str) -> Ran:
        command = [sys.executable, "-m", "hbsim", *words]
        ran = subprocess.run(
            command,
            cwd=tmp_path,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        return left(ran.returncode, ran.stdout, ran.stderr)

    return run


@pytest.fixture
def inside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Ran]:
    """Run a command in this process, which is quicker, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> Ran:
        monkeypatch.setattr(sys, "argv", ["hbsim", *words])
        with pytest.raises(SystemExit) as end:
            main()
        assert isinstance(end.value.code, int)
        return left(end.value.code, *capsys.readouterr())

    return run
