"""Editors and type checkers find hbsim's types in the install that the README tells users to make."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.profile import thorough

SCRIPT = """
import hbsim
from hbsim.core import make_scheduler

scheduler = make_scheduler("promotion", max_t=81)
job = scheduler.ask()
result = hbsim.simulate(scheduler, surrogate="digits", workers=4)
reveal_type(job)
reveal_type(result)
reveal_type(result.jobs)
"""
TYPES = ("Job | None", "Result", "DataFrame")


def _check(folder: Path, *command: str) -> str:
    script = folder / "user_script.py"
    script.write_text(SCRIPT)
    environment = {
        name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MYPYPATH")
    }
    done = subprocess.run(
        [sys.executable, "-m", *command, script.name],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_pyright_knows_the_types_of_a_users_script(tmp_path):
    out = _check(tmp_path, "basedpyright", "--pythonpath", sys.executable, "--outputjson")
    revealed = [
        one["message"].rpartition(" is ")[2].strip('"')
        for one in json.loads(out)["generalDiagnostics"]
        if one["severity"] == "information"
    ]
    assert tuple(revealed) == TYPES


@thorough
def test_mypy_reveals_the_types(tmp_path):
    out = _check(tmp_path, "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"))
    for name in ("hbsim.core.types.Job] | None", "hbsim.simulation.result.Result", "DataFrame"):
        assert f'{name}"' in out
