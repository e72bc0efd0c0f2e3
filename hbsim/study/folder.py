"""The folder of a study: journal, description, environment, logs, checkpoints and results."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import secrets
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, Final

from hbsim.core.scheduler import Scheduler
from hbsim.errors import HbsimWarning, OutputError, ParameterError
from hbsim.executors.devices import Gpu, Nvml, cpu_limit, cpus, driver_version, gpus
from hbsim.executors.remote.store import download, newest_of_all
from hbsim.runner.journal import Journal
from hbsim.runner.lock import StudyLock

JOURNAL: Final = "journal.jsonl"
REMOTE: Final = "remote.json"
EARLIER_REMOTE: Final = "dask.json"  # the name of that file in studies of earlier versions
FORECAST: Final = "forecast.json"
LOGS: Final = ("callbacks", "tensorboard", "wandb")  # folders that callbacks write
# Files that may exist before a study begins: of a study without a journal, or of its scheduler.
OURS: Final = frozenset(
    {
        *(
            "lock",
            "study.json",
            "environment.json",
            REMOTE,
            EARLIER_REMOTE,
            "scheduler.json",
            "curves.png",
            "study.html",
            FORECAST,
        ),
        "trials",
        *LOGS,
    }
)
# The ways out for a folder that holds a study.
GO_ON: Final = "resume=True goes on with it; to begin anew, choose another folder or delete this one"
EARLIER: Final = "earlier-"  # prefix of the names of folders with files of earlier studies


class StudyFolder:
    """The folder with all files of a study.

    ::

        journal.jsonl      every event and every decision
        study.json         the description of the study
        environment.json   versions, git revision and hardware of each run
        remote.json        the study's id on other machines, once it has run on some
        trials/000012/     log.txt, checkpoint/, files/
        earlier-1/         files of an earlier study that were in the folder when this one began
        study.html         the page of the study, with the option html=True
        forecast.json      what `hbsim plan` forecast, if it was asked to
        callbacks/         log and progress of callbacks in a process of their own
        tensorboard/       event files of the callback tensorboard
        *.parquet, summary.json    results, written at the end

    Parameters
    ----------
    path : Path
        The folder, which may not exist yet.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(os.path.abspath(Path(path).expanduser()))
        self.journal = self.path / JOURNAL
        self._begun = False
        self.trials = self.path / "trials"

    @property
    def holds_study(self) -> bool:
        """Whether the folder has a journal."""
        return self.journal.is_file()

    def check_holds_study(self, field: str = "folder") -> None:
        """Check that the folder has a study of `hbsim.run`.

        Raises
        ------
        ParameterError
            It has none.
        """
        if self.holds_study:
            return
        rule = f"holds no study: it has no {JOURNAL}"
        if (self.path / "summary.json").is_file():
            rule = "holds a simulated study: this needs the folder of a real one"
        elif not self.path.is_dir():
            rule = "there is no such folder"
        raise ParameterError(field, str(self.path), rule)

    def check(self, resume: bool, field: str = "folder") -> None:
        """Check that a study can begin in this folder, or be resumed.

        Raises
        ------
        ParameterError
            The folder holds a study although `resume` is False, or other files; or there is no study to
            resume.
        """
        shown = str(self.path)
        if self.path.exists() and not self.path.is_dir():
            raise ParameterError(field, shown, "is a file; give a folder")
        if resume and not self.holds_study:
            raise ParameterError(field, shown, f"there is no study to resume: it has no {JOURNAL}")
        if resume or not self.path.is_dir():
            return
        if self.holds_study:
            raise ParameterError(field, shown, f"holds a study already; {GO_ON}")
        if any(not _is_ours(entry.name) for entry in self.path.iterdir()):
            raise ParameterError(field, shown, "is a folder with other files; choose another name")

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Make and lock the folder; remove it again if no study begins in it."""
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
        with suppress(OSError):  # not empty: it has files of an earlier study
            self.trials.rmdir()
            if not was_there:
                self.path.rmdir()

    def set_aside(self, say: Callable[[str], None]) -> None:
        """Move files of an earlier study into a separate folder, where no trial finds them."""
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
        """Make the folder if it does not exist, and lock it."""
        try:
            self.trials.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(str(self.path), f"cannot be made: {error.strerror or error}") from error
        return StudyLock(self.path)

    def create(self, spec: Mapping[str, object], fsync: str) -> Journal:
        """Write the study's description, and create its journal."""
        journal = Journal.create(self.journal, dict(spec), fsync)
        self._begun = True
        self.write("study.json", {"schema": 1, **spec})
        return journal

    def note_environment(self, environment: Mapping[str, object]) -> None:
        """Save the environment of this run, after those of earlier runs if the study has some."""
        path = self.path / "environment.json"
        try:
            runs = json.loads(path.read_text("utf-8"))["runs"] if self.holds_study else []
        except (OSError, ValueError, KeyError, TypeError):
            runs = []
        self.write("environment.json", {"schema": 1, "runs": [*runs, environment]})

    def discard(self) -> None:
        """Remove the files of a study without results, and the folder if it is empty then."""
        for folder in ("trials", *LOGS):
            shutil.rmtree(self.path / folder, ignore_errors=True)
        for path in (self.journal, *(self.path / name for name in OURS - {"trials", FORECAST, *LOGS})):
            path.unlink(missing_ok=True)
        with suppress(OSError):
            self.path.rmdir()

    def write(self, name: str, content: Mapping[str, object]) -> None:
        """Write a JSON file atomically."""
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
    """Return whether a path is a file, or a folder that is not empty."""
    return path.is_file() or (path.is_dir() and any(path.iterdir()))


_PACKAGES = ("torch", "numpy", "polars")
_GIT_SECONDS = 5.0


def environment(nvml: Nvml | None = None) -> dict[str, object]:
    """Describe this process and its machine in plain JSON types. Never raises; unknown facts are absent.

    Parameters
    ----------
    nvml : Nvml, optional
        Used instead of the NVIDIA driver.

    Returns
    -------
    dict
        - ``time``: ISO 8601, UTC; ``platform``, ``host``, ``argv``, ``cwd``: strings, of ``argv`` a list
        - ``versions``: of hbsim and python, and of torch, numpy and polars where they are installed
        - ``cpu``: ``model``, ``count`` of cores to use, and ``limit`` where a quota allows fewer, in cores
        - ``memory``: bytes
        - ``gpus``: a list of ``name``, ``memory`` (bytes, or None) and ``uuid``; ``driver``: NVIDIA's version
        - ``git``: ``revision`` of the working folder, and whether it is ``dirty``, a tracked file changed
    """
    pieces: dict[str, Callable[[], object]] = {
        "time": lambda: datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": _versions,
        "platform": platform.platform,
        "host": platform.node,
        "cpu": _cpu,
        "memory": _memory,
        "gpus": lambda: [_described(gpu) for gpu in gpus(os.environ, nvml)],
        "driver": lambda: driver_version(nvml),
        "git": _git,
        "argv": lambda: list(sys.argv),
        "cwd": os.getcwd,
    }
    found: dict[str, object] = {}
    for name, piece in pieces.items():
        with suppress(Exception):  # an unknown fact must not end the study
            value = piece()
            if value is not None:
                found[name] = value
    return found


def _versions() -> dict[str, str]:
    versions = {"hbsim": sys.modules["hbsim"].__version__, "python": platform.python_version()}
    for package in _PACKAGES:
        with suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return versions


def _cpu() -> dict[str, object]:
    cpu: dict[str, object] = {"model": _cpu_model(), "count": len(cpus())}
    limit = cpu_limit()
    if limit is not None and limit < len(cpus()):
        cpu["limit"] = limit
    return cpu


def _cpu_model() -> str:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    if sys.platform == "darwin":
        with suppress(OSError, subprocess.SubprocessError):
            return _output("sysctl", "-n", "machdep.cpu.brand_string")
    return platform.processor() or platform.machine()


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _described(gpu: Gpu) -> dict[str, object]:
    return {"name": gpu.name, "memory": gpu.memory, "uuid": gpu.uuid}


def _git() -> dict[str, object]:
    git: dict[str, object] = {"revision": _output("git", "rev-parse", "--verify", "HEAD")}
    with suppress(OSError, subprocess.SubprocessError):
        # Untracked files do not count: the study's own folder is often one.
        git["dirty"] = bool(_output("git", "status", "--porcelain", "--untracked-files=no"))
    return git


def _output(*command: str) -> str:
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        timeout=_GIT_SECONDS,
        env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},  # read only: git must not rewrite its index
    )
    return done.stdout.strip()


SCHEMA: Final = 1
BYTES: Final = 8  # length of the study's number


class RemoteRuns:
    """The file ``remote.json`` in a study's folder, about its runs on other machines.

    Attributes
    ----------
    study : str or None
        The study's number, 16 hex digits, which marks its files on hosts and in stores; None before it has
        run on other machines.
    """

    def __init__(self, study_folder: StudyFolder) -> None:
        self._study_folder = study_folder
        self._content = _read(study_folder)
        self.study: str | None = None if self._content is None else self._content["study"]

    def number(self) -> str:
        """Return the study's number; make one if it has none."""
        if self.study is None:
            self.study = secrets.token_hex(BYTES)
            self._write("auto", gathered=True)
        return self.study

    def bring_back(self, storage: str | None, say: Callable[[str], None]) -> None:
        """Copy checkpoints from the store of an earlier run, unless this run uses the same store.

        Parameters
        ----------
        storage : str or None
            The store of this run; None on this machine.
        say : callable
            Shows a line to the user.

        Raises
        ------
        ParameterError, OutputError
            The store cannot be read.
        """
        was = None if self._content is None else self._content["storage"]
        if was is None or "://" not in was or was == storage or was.startswith("memory://"):
            return
        assert self.study is not None
        say(f"looking for checkpoints in {was}")
        count = download(was, self.study, self._study_folder.trials)
        if count:
            say(f"copied {count} checkpoint{'' if count == 1 else 's'} from there")

    def begin(self, storage: str | None, scheduler: Scheduler) -> None:
        """Record that trials are about to run with this storage, or on this machine if it is None.

        Warns of trials that start from zero because their checkpoints are only on hosts.
        """
        if storage is not None:
            self._write(storage, gathered=False)
        elif self._content is not None and not self._content["gathered"]:
            self._warn_of_absent(scheduler)

    def end(self) -> None:
        """Record that all needed checkpoints are in the study's folder, or in its store."""
        if self._content is not None:
            self._write(self._content["storage"], gathered=True)

    def _warn_of_absent(self, scheduler: Scheduler) -> None:
        statuses = enumerate(scheduler.trial_statuses())
        paused = [trial for trial, status in statuses if status == "paused"]
        saved = newest_of_all(self._study_folder.trials)
        absent = len([trial for trial in paused if trial not in saved])
        if absent and saved:  # without any checkpoint, the function saves none
            text = f"{absent} of {len(paused)} paused trials have no checkpoint in this folder: "
            text += "if a host has it, they go on from there on the same hosts, and else from zero"
            warnings.warn(HbsimWarning(text), stacklevel=6)

    def _write(self, storage: str, gathered: bool) -> None:
        content = {"schema": SCHEMA, "study": self.study, "storage": storage, "gathered": gathered}
        self._study_folder.write(REMOTE, content)
        self._content = content


def _read(study_folder: StudyFolder) -> Mapping[str, Any] | None:
    for name in (REMOTE, EARLIER_REMOTE):
        try:
            content = json.loads((study_folder.path / name).read_text("utf-8"))
            int(content["study"], 16)
            return {"gathered": False, "storage": "auto", **content}
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None
