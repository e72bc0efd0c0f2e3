"""The same seed gives the same bytes: again, in other processes, and in any number of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .digests import STUDIES, digests

SCRIPT = Path(__file__).with_name("digests.py")


@pytest.fixture(scope="module")
def expected() -> dict[str, str]:
    return digests(slice(None))


def test_again_in_the_same_process(expected: dict[str, str]) -> None:
    assert len(expected) == 6 * len(STUDIES)
    assert len(set(expected.values())) == len(expected)
    assert digests(slice(None, None, -1)) == expected


def in_processes(count: int) -> dict[str, str]:
    """Share the studies among so many processes, each with a hash seed of its own."""
    running = []
    for offset in range(count):
        environment = {**os.environ, "PYTHONHASHSEED": str(100 * count + offset)}
        command = [sys.executable, str(SCRIPT), str(count), str(offset)]
        running.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
    found: dict[str, str] = {}
    for process in running:
        lines, _ = process.communicate()
        assert process.returncode == 0
        found |= dict(line.split() for line in lines.splitlines())
    return found


@pytest.mark.parametrize("count", [1, 2])
def test_in_any_number_of_processes(count: int, expected: dict[str, str]) -> None:
    assert in_processes(count) == expected
