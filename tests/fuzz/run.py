"""Cases in child processes: what came of each, whatever they do to the process."""

from __future__ import annotations

import contextlib
import json
import os
import pkgutil
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final, Protocol

from hbsim.errors import HbsimError, HbsimWarning

ROOT: Final = Path(__file__).parents[2]
TAKEN, REFUSED = "taken", "refused"
TRACEBACK, ABORT, HANG, UNCLEAR = "traceback", "abort", "hang", "unclear"
BROKEN: Final = "no case"  # a fault of the suite itself
BAD: Final = (TRACEBACK, ABORT, HANG, UNCLEAR, BROKEN)
MEMORY: Final = 8 << 30  # bytes of address space that a child has; who asks for more fails
START: Final = 300.0  # seconds that the making of valid input may take


class Reader(Protocol):
    """A reader under test; made once a process, in a folder of its own."""

    def case(self, rng: Random) -> Any:
        """Return an input, a function of `rng` only."""

    def read(self, given: Any) -> None:
        """Read an input, and use what came of it."""


Make = Callable[[Path], Reader]


@dataclass
class Tally:
    """What came of a reader's cases: how many of each kind, and the bad ones."""

    reader: str
    counts: Counter[str] = field(default_factory=Counter)
    bad: list[tuple[int, str, str]] = field(default_factory=list)  # case, kind, text

    def add(self, number: int, kind: str, text: str) -> None:
        self.counts[kind] += 1
        if kind in BAD:
            self.bad.append((number, kind, text))


def seeded(reader: str, seed: int, number: int) -> Random:
    """Return the source of randomness of a case."""
    return Random(f"{reader}/{seed}/{number}")


def run(reader: str, first: int, count: int, seed: int, limit: float) -> Tally:
    """Run cases `first` ... `first + count - 1` of a reader, each for `limit` seconds at most."""
    tally, at, end = Tally(reader), first, first + count
    while at < end:
        with tempfile.TemporaryDirectory(prefix="hbsim-fuzz-", ignore_cleanup_errors=True) as folder:
            at = _some(tally, at, end, seed, limit, Path(folder))
    return tally


def _some(tally: Tally, at: int, end: int, seed: int, limit: float, folder: Path) -> int:
    """Run cases in one child until it ends; return the next one."""
    words = [sys.executable, "-m", "tests.fuzz.run", tally.reader, str(at), str(end), str(seed), str(folder)]
    log = folder / "log"
    with log.open("wb") as file:
        child = subprocess.Popen(
            words,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=file,
            start_new_session=True,
        )
    assert child.stdout is not None
    lines, ready = _Lines(child.stdout.fileno()), False
    try:
        while at < end:
            line = lines.next(limit if ready else START)
            if line is None:
                kind, text = HANG, f"longer than {limit:g} s"
            elif line == "":
                child.wait()
                said = log.read_text("utf-8", "replace").strip().splitlines()[-3:]
                kind, text = ABORT, f"the process ended with {child.returncode}: {' | '.join(said)}"
            elif not ready:
                ready = True
                continue
            else:
                number, kind, text = json.loads(line)
                tally.add(number, kind, text)
                at = number + 1
                continue
            if not ready:
                raise RuntimeError(f"{tally.reader} does not start: {log.read_text('utf-8', 'replace')}")
            tally.add(at, kind, text)
            return at + 1
        return at
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        child.stdout.close()


def run_in_process(reader: str, count: int, folder: Path, seed: int = 0) -> Tally:
    """Run the first cases of a reader in this process, which is quicker; what ends it ends all."""
    from tests.fuzz.readers import READERS

    tally = Tally(reader)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = READERS[reader](folder)
        cases = [made.case(seeded(reader, seed, number)) for number in range(count)]
    for number, given in enumerate(cases):
        tally.add(number, *outcome(made, given))
    return tally


class _Lines:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._data = b""

    def next(self, limit: float) -> str | None:
        """Return a line, "" at the end, None if there is none in time."""
        until = time.monotonic() + limit
        while b"\n" not in self._data:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self._descriptor], [], [], left)[0]:
                return None
            more = os.read(self._descriptor, 1 << 16)
            if not more:
                return ""
            self._data += more
        line, _, self._data = self._data.partition(b"\n")
        return line.decode()


# In the child


def outcome(reader: Reader, given: Any) -> tuple[str, str]:
    """Return what came of an input, and what there is to say of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", HbsimWarning)
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            reader.read(given)
        except HbsimError as error:
            text = str(error)
            if len(text.splitlines()) > 1 or not text.isprintable() or len(text) > 5000:
                return UNCLEAR, f"{type(error).__name__}: {text[:2000]!r}"
            return REFUSED, text
        except Unclear as error:
            return UNCLEAR, str(error)
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException:
            return TRACEBACK, traceback.format_exc(limit=-6)
    return TAKEN, ""


class Unclear(Exception):
    """What a command printed is not what it should print."""


def child(reader: str, first: int, end: int, seed: int, folder: Path) -> None:
    """Run cases, and say on stdout what came of each."""
    from tests.fuzz.readers import READERS

    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    place = folder / "work"
    place.mkdir()
    os.chdir(place)
    made: Reader = (READERS.get(reader) or pkgutil.resolve_name(reader))(place)
    print("ready", file=out)
    for number in range(first, end):
        try:
            given = made.case(seeded(reader, seed, number))
        except Exception:
            kind, text = BROKEN, traceback.format_exc()
        else:
            kind, text = outcome(made, given)
        print(json.dumps([number, kind, text]), file=out)
        if number % 50 == 0:
            os.truncate(2, 0)


def emptied(folder: Path) -> Path:
    """Return a folder that is there and empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


if __name__ == "__main__":
    # Not as `__main__`, whose classes are others than those that readers import.
    from tests.fuzz import run as itself

    itself.child(sys.argv[1], *map(int, sys.argv[2:5]), Path(sys.argv[5]))
