"""SLURM on this machine: `sbatch` and `scancel` on the PATH, whose jobs are processes here."""

from __future__ import annotations

import os
import signal
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.doubles.sshd import Host

SBATCH = """#!/bin/sh
# A copy, for whoever submits removes it. The job's number is that of its session.
copy="$FAKE_SLURM/$$.sh"
cp "$1" "$copy"
setsid sh "$copy" >"$copy.log" 2>&1 </dev/null &
echo "Submitted batch job $!"
"""
SCANCEL = """#!/bin/sh
echo "$1" >>"$FAKE_SLURM/cancelled"
kill -TERM -- "-$1"
"""


@dataclass(frozen=True)
class Slurm:
    """A queue that starts every job at once.

    Attributes
    ----------
    environment : dict of str to str
        Of who submits jobs.
    """

    folder: Path
    environment: dict[str, str]
    host: Host

    def scripts(self) -> list[str]:
        """Return the scripts of all jobs that were submitted."""
        return [file.read_text() for file in sorted(self.folder.glob("*.sh"))]

    def logs(self) -> str:
        """Return what the jobs have printed."""
        return "\n".join(file.read_text(errors="replace") for file in sorted(self.folder.glob("*.log")))

    def wait_until_empty(self, seconds: float) -> dict[int, str]:
        """Wait until no job and nobody who submitted one runs any more; return what still does."""
        return self.host.wait_until_empty(seconds)


@contextmanager
def slurm(folder: Path) -> Iterator[Slurm]:
    """Give a queue; what runs there ends with it."""
    if sys.platform != "linux":
        pytest.skip("needs /proc and setsid")
    (folder / "bin").mkdir(parents=True)
    for name, text in (("sbatch", SBATCH), ("scancel", SCANCEL)):
        (folder / "bin" / name).write_text(text)
        (folder / "bin" / name).chmod(0o755)
    mark = uuid.uuid4().hex
    environment = {
        **os.environ,
        "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "FAKE_SLURM": str(folder),
        "HBSIM_TEST_HOST": mark,
    }
    host = Host(0, folder, folder, 0, folder, mark=mark)
    try:
        yield Slurm(folder, environment, host)
    finally:
        for pid in host.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        host.wait_until_empty(10)
