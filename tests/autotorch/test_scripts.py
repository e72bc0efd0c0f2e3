"""Scripts in the manner of AutoTorch's documents: for real, and simulated with one word more."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = sorted(Path(__file__).with_name("scripts").glob("*.py"))
CALL = re.compile(r"(Scheduler\(\s*\w+,)")


@pytest.mark.parametrize("executor", ["local", "sim"])
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_runs_for_real_and_simulated(script: Path, executor: str, tmp_path: Path) -> None:
    text = script.read_text("utf-8")
    if "BayesOptSearcher" in text:
        pytest.importorskip("botorch", reason="needs BoTorch")
    if executor == "sim":
        text, count = CALL.subn(r'\1 executor="sim",', text)
        assert count
    (tmp_path / "script.py").write_text(text)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", "script.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, text=True, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    assert ("by a formula" in done.stderr) == (executor == "sim")
    assert (tmp_path / "exp" / "journal.jsonl").exists() == (executor == "local")
