"""The command line as its users run it: in a process of its own, or in this one where only words matter."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from hbsim.cli.main import main
from tests.cli.run_studies import make_whole


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
def call(
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


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a real study that was run to its end, for all who only read it."""
    return make_whole(tmp_path_factory.mktemp("whole"))


LIMIT = 60  # seconds: what is waited for comes much sooner


class Started:
    """A command in a session of its own, whose processes carry a mark."""

    def __init__(self, folder: Path, *words: str) -> None:
        self._mark = uuid.uuid4().hex
        self._err = folder / "stderr"
        with self._err.open("w") as err:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "hbsim", *words],
                cwd=folder,
                env={**os.environ, "HBSIM_TEST_MARK": self._mark},
                stdout=subprocess.PIPE,
                stderr=err,
                text=True,
                start_new_session=True,
            )

    @property
    def err(self) -> str:
        return self._err.read_text()

    def when(self, condition: Callable[[], bool]) -> None:
        """Wait for something."""
        end = time.monotonic() + LIMIT
        while not condition():
            assert self._process.poll() is None, self.err
            assert time.monotonic() < end
            time.sleep(0.02)

    def signal(self, number: int) -> None:
        """Send a signal as a terminal does: to the whole group."""
        os.killpg(self._process.pid, number)

    def end(self) -> tuple[int, str, str]:
        """Return exit code and output; nothing it started is left."""
        out, _ = self._process.communicate(timeout=LIMIT)
        end = time.monotonic() + LIMIT
        while list(self._left()):
            assert time.monotonic() < end
            time.sleep(0.05)
        return self._process.returncode, out, self.err

    def kill(self) -> None:
        """Kill what is left, without a word."""
        for pid in self._left():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.communicate()

    def _left(self) -> Iterator[int]:
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get("HBSIM_TEST_MARK") == self._mark:
                    yield process.pid


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Started]]:
    """Start commands; whatever is left of them at the end of a failed test is killed."""
    studies: list[Started] = []

    def begin(*words: str) -> Started:
        studies.append(Started(tmp_path, *words))
        return studies[-1]

    yield begin
    for study in studies:
        study.kill()
