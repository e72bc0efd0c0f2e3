"""The folder of a real study: journal, description, logs, checkpoints, results."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Final

from hbsim.errors import OutputError, ParameterError
from hbsim.runner.journal import Journal
from hbsim.runner.lock import StudyLock

__all__ = ["StudyFolder"]

JOURNAL: Final = "journal.jsonl"
REMOTE: Final = "remote.json"
EARLIER_REMOTE: Final = "dask.json"  # its name in studies of earlier versions
# What may be there before a study begins: of one that ended before its journal did, or of its scheduler.
OURS: Final = frozenset(
    {
        *("lock", "study.json", "environment.json", REMOTE, EARLIER_REMOTE, "scheduler.json", "curves.png"),
        "trials",
    }
)
EARLIER: Final = "earlier-"  # begins the name of a folder with what an earlier study left behind


class StudyFolder:
    """Where everything about a study is.

    ::

        journal.jsonl      every event and every answer: the truth
        study.json         what the study is
        environment.json   versions, git revision, hardware, of each time it was run
        remote.json        how other machines know it, once it has run on some
        trials/000012/     log.txt, checkpoint/, files/
        earlier-1/         what was in the folder when the study began, of an earlier one
        tensorboard/       event files, if they were asked for
        *.parquet, summary.json    results, written at the end

    Parameters
    ----------
    path : Path
        The folder; it need not exist yet.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(os.path.abspath(Path(path).expanduser()))
        self.journal = self.path / JOURNAL
        self._begun = False
        self.trials = self.path / "trials"

    @property
    def holds_study(self) -> bool:
        """Whether there is a journal."""
        return self.journal.is_file()

    def check(self, resume: bool, field: str = "folder") -> None:
        """Check that a study can begin here, or go on; before any work.

        Raises
        ------
        ParameterError
            There is a study although `resume` is False, or something that is no study; or there is none
            to go on with.
        """
        shown = str(self.path)
        if self.path.exists() and not self.path.is_dir():
            raise ParameterError(field, shown, "is a file; give a folder")
        if resume and not self.holds_study:
            raise ParameterError(field, shown, f"there is no study to resume: it has no {JOURNAL}")
        if resume or not self.path.is_dir():
            return
        if self.holds_study:
            raise ParameterError(field, shown, "holds a study already; resume=True goes on with it")
        if any(not _is_ours(entry.name) for entry in self.path.iterdir()):
            raise ParameterError(field, shown, "is a folder with other files; choose another name")

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Make the folder if need be, and keep others out of it; leave nothing if no study begins in it."""
        there = self.path.is_dir()
        with self.lock():
            try:
                yield
            except BaseException:
                if not (self._begun or self.holds_study):
                    self._withdraw(there)
                raise

    def _withdraw(self, was_there: bool) -> None:
        for name in ("lock", "environment.json", REMOTE):
            (self.path / name).unlink(missing_ok=True)
        with suppress(OSError):  # not empty: of an earlier study
            self.trials.rmdir()
            if not was_there:
                self.path.rmdir()

    def set_aside(self, say: Callable[[str], None]) -> None:
        """Move what an earlier study left behind into a folder of its own, where no trial finds it."""
        names = ("trials", "study.json", REMOTE, EARLIER_REMOTE)
        left = [path for name in names if _holds(path := self.path / name)]
        if not left:
            return
        found = {entry.name for entry in self.path.iterdir()}
        number = next(number for number in count(1) if f"{EARLIER}{number}" not in found)
        target = self.path / f"{EARLIER}{number}"
        try:
            target.mkdir()
            for path in left:
                os.rename(path, target / path.name)
            self.trials.mkdir(exist_ok=True)
        except OSError as error:
            problem = f"what an earlier study left behind cannot be moved there: {error.strerror or error}"
            raise OutputError(str(target), problem) from error
        say(f"what an earlier study left behind in {self.path} is in {target.name} now")

    def lock(self) -> StudyLock:
        """Make the folder if need be, and keep others out of it."""
        try:
            self.trials.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(str(self.path), f"cannot be made: {error.strerror or error}") from error
        return StudyLock(self.path)

    def create(self, spec: Mapping[str, object], fsync: str) -> Journal:
        """Begin a study's journal."""
        journal = Journal.create(self.journal, dict(spec), fsync)
        self._begun = True
        self.write("study.json", {"schema": 1, **spec})
        return journal

    def note_environment(self, environment: Mapping[str, object]) -> None:
        """Add the environment of this run to those of earlier ones, if there is a study already."""
        path = self.path / "environment.json"
        try:
            runs = json.loads(path.read_text("utf-8"))["runs"] if self.holds_study else []
        except (OSError, ValueError, KeyError, TypeError):
            runs = []
        self.write("environment.json", {"schema": 1, "runs": [*runs, environment]})

    def discard(self) -> None:
        """Remove a study that came to nothing, and its folder if nothing else is in it."""
        shutil.rmtree(self.trials, ignore_errors=True)
        for path in (self.journal, *(self.path / name for name in OURS - {"trials"})):
            path.unlink(missing_ok=True)
        with suppress(OSError):
            self.path.rmdir()

    def write(self, name: str, content: Mapping[str, object]) -> None:
        """Write a JSON file, whole or not at all."""
        temporary = self.path / f".{name}.new"
        try:
            temporary.write_text(json.dumps(content, indent=2) + "\n", "utf-8")
            os.replace(temporary, self.path / name)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise OutputError(
                str(self.path / name), f"cannot be written: {error.strerror or error}"
            ) from error


def _is_ours(name: str) -> bool:
    return name in OURS or name.startswith(EARLIER)


def _holds(path: Path) -> bool:
    """Whether there is a file, or a folder with something in it."""
    return path.is_file() or (path.is_dir() and any(path.iterdir()))
