"""Checkpoints on disk: one is complete at any instant, and none that is ahead of the journal is loaded.

A checkpoint is a numbered folder below the trial's ``checkpoint`` folder. It is written under another name,
and renamed when it is complete. No save waits for the disk: after a power cut the newest ones may be torn
(the sizes in their description show it) or ahead of the journal (`Origin` shows it). So earlier checkpoints
are kept while they may be needed, and the newest complete one that belongs to this trial's past is loaded.

Several jobs of a trial may run at once: a job that counts as lost may still run on a host that was suspended.
Where several hosts see one folder, its checkpoint must not replace one of the job that was started instead.
So only the job with the highest number may save. A job claims the trial's folder before it runs, by an empty
file named after its number. Claims are never removed, so no lock is needed: not every shared file system has
locks.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

from hbsim.errors import HbsimError, OutputError, ParameterError
from hbsim.executors import checkpoint_values
from hbsim.executors.checkpoint_values import Unreadable

PREFIX: Final = ".claim-"  # of the files by which jobs claim a trial
_VALUES: Final = "values"  # the kind of checkpoint, and the name of its file
_FOLDER: Final = "folder"
_FILES: Final = "files"
NAME: Final = "checkpoint"  # the folder's name in the trial's folder
SETTLED: Final = 60.0  # seconds after which a file is on the disk: systems write files that are half as old
_VERSION: Final = 2
_META: Final = "meta.json"
_DAMAGED: Final = (ValueError, KeyError, TypeError, AttributeError, Unreadable)
_IDENTITY: Final = ("study", "trial", "attempt", "configuration", "job", "started")
Meta = dict[str, Any]


class Overtaken(Exception):
    """A job may not save: a later one of the same trial has been started."""


def claim(folder: os.PathLike[str] | str, job: int) -> bool:
    """Claim a trial's ``checkpoint`` folder for a job, before it runs.

    Checkpoints that earlier jobs have begun to save there, and not finished, become invalid.

    Parameters
    ----------
    folder : path
        The trial's ``checkpoint`` folder; it need not exist.
    job : int
        The job.

    Returns
    -------
    bool
        Whether the job may run: no job with a higher number has claimed the folder.

    Raises
    ------
    OSError
        The claim cannot be written.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    (folder.parent / f"{PREFIX}{job}").touch()
    if is_overtaken(folder, job):
        return False
    _void(folder, job)
    for earlier in _claims(folder):
        if earlier < job:
            with suppress(OSError):
                os.unlink(folder.parent / f"{PREFIX}{earlier}")
    return True


def is_overtaken(folder: os.PathLike[str] | str, job: int) -> bool:
    """Whether a later job than this one has claimed the trial's ``checkpoint`` folder."""
    return max(_claims(Path(folder)), default=job) > job


def temporary_name(number: int, job: int) -> str:
    """Return the name of checkpoint `number` while `job` writes it; it is different for each job."""
    return f".{number}.{job}"


def is_later(name: str, job: int) -> bool:
    """Return whether a file in the ``checkpoint`` folder is one that a later job is writing."""
    words = name.split(".")
    return len(words) > 2 and not words[0] and words[2].isdigit() and int(words[2]) > job


def _claims(folder: Path) -> list[int]:
    names = os.listdir(folder.parent)
    return [int(name.removeprefix(PREFIX)) for name in names if name.startswith(PREFIX)]


def _void(folder: Path, job: int) -> None:
    """Rename what earlier jobs are writing, so that they cannot put it in place any more."""
    with suppress(FileNotFoundError):
        for name in os.listdir(folder):
            if name.startswith(".") and not is_later(name, job):
                void = folder / f"{name}.void"
                with suppress(OSError):  # just put in place, or renamed already
                    os.rename(folder / name, void)
                shutil.rmtree(void, ignore_errors=True)


def _check_content(obj: object, folder: Path) -> None:
    """Check the object to save, as far as possible before anything is written to `folder`.

    Raises
    ------
    ParameterError
        The object is None, or the path of something else than a folder, or of a folder around `folder`.
    """
    if obj is None:
        raise ParameterError("checkpoint", obj, "None means that there is none; save something else")
    if isinstance(obj, os.PathLike):
        path = Path(obj)
        if not path.is_dir():
            raise ParameterError("checkpoint", str(path), "must be a folder that exists, to save its content")
        if path.resolve() in (folder.resolve(), *folder.resolve().parents):
            raise ParameterError("checkpoint", str(path), "is where checkpoints lie; save a folder beside it")


def _write_content(folder: Path, obj: object) -> str:
    """Write `obj` into an empty folder; return its kind: folder or values.

    Raises
    ------
    ParameterError
        Something in the object cannot be saved.
    OSError
        The object cannot be written.
    """
    if isinstance(obj, os.PathLike):
        # Links are replaced by copies of their targets, which may be removed later.
        shutil.copytree(obj, folder / _FILES)
        return _FOLDER
    with open(folder / _VALUES, "wb") as file:
        checkpoint_values.write(file, obj)
    return _VALUES


def _read_content(folder: Path, kind: str) -> Any:
    """Read what `_write_content` wrote.

    Raises
    ------
    Unreadable
        The content is damaged.
    OutputError
        The content cannot be read by this version of hbsim, or without PyTorch.
    """
    if kind == _FOLDER:
        return folder / _FILES
    if kind != _VALUES:
        raise ValueError(f"there is no kind {kind!r}")
    try:
        return checkpoint_values.read(folder / _VALUES)
    except ModuleNotFoundError as error:
        raise OutputError(str(folder), f"the checkpoint holds tensors: {error}") from error


@dataclass(frozen=True, slots=True)
class Origin:
    """The job that makes a checkpoint, and the earlier jobs of its trial that the journal has.

    Attributes
    ----------
    study : str
        The study's id.
    trial, attempt, job : int
        As of a `hbsim.runner.workers.Task`.
    configuration : str
        A digest of the trial's configuration.
    started : float
        Study seconds at which the job started. Job and start together identify one job, even if the journal
        was cut and its numbers are used again.
    earlier : mapping
        By job and start: the number of the job's reports in the journal.
    """

    study: str
    trial: int
    attempt: int
    job: int
    configuration: str
    started: float
    earlier: Mapping[tuple[int, float], int]

    @classmethod
    def of(cls, task: Mapping[str, Any]) -> Origin:
        """Return the origin that a task's fields describe."""
        point = json.dumps(task["point"]).encode()
        return cls(
            study=task["study"],
            trial=task["trial"],
            attempt=task["attempt"],
            job=task["job"],
            configuration=hashlib.sha256(point).hexdigest()[:16],
            started=task["started"],
            earlier={(job, started): reports for job, started, reports in task["earlier"]},
        )

    def objection(self, meta: Meta) -> str | None:
        """Return why this job must not continue from a checkpoint with this description; None if it may."""
        for name in ("study", "trial", "configuration"):
            if meta[name] != getattr(self, name):
                return f"it is of another {name}"
        key = (meta["job"], meta["started"])
        if key == (self.job, self.started):
            return None
        if key not in self.earlier or meta["attempt"] > self.attempt:
            return "the journal does not know the job that made it"
        reports, known = meta["reports"], self.earlier[key]
        if reports > known:
            return f"it was made after report {reports} of a job of which the journal has {known}"
        return None

    def is_last(self, meta: Meta) -> bool:
        """Return whether a checkpoint is of an earlier job that made no report after it.

        The function may have trained further before it saved: the checkpoint may be ahead of the reports.
        """
        key = (meta["job"], meta["started"])
        return key != (self.job, self.started) and meta["reports"] == self.earlier[key]


class Best(NamedTuple):
    """A report whose value was the best of the study when it was made: its resource and its value."""

    resource: float
    value: float


class Loaded(NamedTuple):
    """A checkpoint from which a job continues.

    Attributes
    ----------
    value : object
        The saved object, None if nothing was saved. Tensors are on the CPU.
    number : int or None
        The checkpoint's number.
    resource : float or None
        The resource that the trial had reported last.
    is_last : bool
        Whether `Origin.is_last` holds for the checkpoint.
    """

    value: Any
    number: int | None
    resource: float | None
    is_last: bool


def save(
    folder: os.PathLike[str] | str,
    obj: object,
    *,
    origin: Origin | None = None,
    reports: int = 0,
    resource: float | None = None,
    best: Best | None = None,
    allowed: Callable[[], bool] | None = None,
) -> None:
    """Save a checkpoint. Earlier ones are kept as far as they may be needed (see `thin_out`).

    Parameters
    ----------
    folder : path
        The trial's ``checkpoint`` folder; made if it does not exist.
    obj : object
        None, numbers, text, bytes, NumPy arrays and PyTorch tensors, in lists, tuples, sets and dicts; or the
        path of a folder, whose content is copied.
    origin : Origin, optional
        The job.
    reports : int
        The number of reports that the job had made.
    resource : float, optional
        The resource of the last report.
    best : Best, optional
        The report whose state this is, if its value was the study's best.
    allowed : callable, optional
        Returns whether the job, which has claimed the folder, may still save; called again just before the
        checkpoint is put in place.

    Raises
    ------
    ParameterError
        Something in the object cannot be saved.
    OutputError
        The checkpoint cannot be written; the previous one still exists.
    Overtaken
        The job is not allowed to save; the newest checkpoint still exists.
    """
    folder = Path(folder)
    _check_content(obj, folder)
    described = {name: None if origin is None else getattr(origin, name) for name in _IDENTITY}
    claimed_by = None if allowed is None else described["job"]
    with _failing_clearly(folder, "cannot be written, the one before stays"):
        folder.mkdir(parents=True, exist_ok=True)
        _check_allowed(allowed)
        number = 1 + max(_numbers(folder), default=0)
        temporary = folder / (f".{number}" if claimed_by is None else temporary_name(number, claimed_by))
        shutil.rmtree(temporary, ignore_errors=True)  # of a save that was killed
        try:
            temporary.mkdir()
            kind = _write_content(temporary, obj)
            meta = {"version": _VERSION, "kind": kind, **described}
            meta |= {"reports": reports, "resource": resource, "files": _sizes(temporary)}
            meta |= {} if best is None else {"best": best._asdict()}
            (temporary / _META).write_text(json.dumps(meta))
            _check_allowed(allowed)
            os.rename(temporary, folder / str(number))
        except BaseException as error:
            shutil.rmtree(temporary, ignore_errors=True)
            if isinstance(error, OSError):  # a later job may have renamed it
                _check_allowed(allowed)
            raise
        thin_out(folder, origin, claimed_by)


def mark_best(folder: os.PathLike[str] | str, best: Best) -> None:
    """Note in the newest complete checkpoint that it is the state of a report, the study's best so far.

    Raises
    ------
    OutputError
        The description cannot be written.
    """
    found = newest(folder)
    if found is None:
        return
    path, meta = found
    with _failing_clearly(path, "cannot be described"):
        temporary = path.parent / f".{path.name}.{_META}"
        temporary.write_text(json.dumps({**meta, "best": best._asdict()}))
        os.replace(temporary, path / _META)


def newest_best(folder: os.PathLike[str] | str) -> Path | None:
    """Return the folder of the newest complete checkpoint with a best report's state, or None."""
    folder = Path(folder)
    for number in sorted(_numbers(folder), reverse=True):
        with suppress(OSError, *_DAMAGED):
            if "best" in _meta(folder / str(number)):
                return folder / str(number)
    return None


def find_best(folder: os.PathLike[str] | str, study: str, best: Best) -> Path | None:
    """Return the folder of the checkpoint that has the state of this report; None if there is none."""
    folder = Path(folder)
    for number in sorted(_numbers(folder), reverse=True):
        with suppress(OSError, *_DAMAGED):
            meta = _meta(folder / str(number))
            if meta["study"] == study and meta.get("best") == best._asdict():
                return folder / str(number)
    return None


def load_one(path: Path) -> Any:
    """Return the object that was saved in one checkpoint; for a folder the path of its copy.

    Raises
    ------
    OutputError
        The checkpoint is damaged, or cannot be read.
    """
    meta = describe_one(path)
    with _failing_clearly(path, "cannot be read"):
        try:
            return _read_content(path, meta["kind"])
        except (FileNotFoundError, *_DAMAGED) as error:
            raise OutputError(str(path), f"the checkpoint is damaged: {error}") from error


def files_of(path: Path) -> Path | None:
    """Return the folder with the files of one checkpoint; None if it holds values."""
    folder = path / _FILES
    return folder if folder.is_dir() else None


def load_own(
    folder: os.PathLike[str] | str,
    origin: Origin | None,
    say: Callable[[str], None] | None = None,
) -> Loaded:
    """Return the newest checkpoint from which a job may continue.

    Parameters
    ----------
    folder : path
        The trial's ``checkpoint`` folder.
    origin : Origin or None
        The job. With None every checkpoint is accepted.
    say : callable, optional
        Called with a line on each newer checkpoint that is not used, and why.

    Raises
    ------
    OutputError
        The checkpoint cannot be read.
    """
    folder = Path(folder)
    for number in sorted(_numbers(folder), reverse=True):
        path = folder / str(number)
        try:
            meta = _meta(path)
            objection = None if origin is None else origin.objection(meta)
            if objection is None:
                is_last = origin is not None and origin.is_last(meta)
                return Loaded(_read_content(path, meta["kind"]), number, meta["resource"], is_last)
        except FileNotFoundError:
            objection = "it is damaged: a file is missing"
        except OSError as error:
            problem = f"the checkpoint cannot be read: {error.strerror or error}"
            raise OutputError(str(path), problem) from error
        except _DAMAGED as error:
            objection = f"it is damaged: {error}"
        if say is not None:
            say(f"checkpoint {number} is not used: {objection}")
    return Loaded(None, None, None, False)


def newest(folder: os.PathLike[str] | str) -> tuple[Path, Meta] | None:
    """Return the folder of the newest complete checkpoint, and its description; None if there is none.

    The description has ``version``; ``kind``, values or folder; ``resource``, the last one reported when it
    was made, and ``job``, the job that made it, which may both be None; and what `Origin.objection` needs.

    Raises
    ------
    OutputError
        The checkpoint cannot be read.
    """
    folder = Path(folder)
    for number in sorted(_numbers(folder), reverse=True):
        path = folder / str(number)
        with _failing_clearly(path, "cannot be read"):
            try:
                return path, _meta(path)
            except (FileNotFoundError, *_DAMAGED):
                continue
    return None


def describe_one(path: Path) -> Meta:
    """Return the description of the checkpoint in this folder, which may be anywhere.

    Raises
    ------
    OutputError
        The folder is no checkpoint, is damaged, or cannot be read.
    """
    with _failing_clearly(path, "cannot be read"):
        try:
            return _meta(path)
        except (FileNotFoundError, *_DAMAGED) as error:
            raise OutputError(str(path), f"the checkpoint is damaged: {error}") from error


def discard(folder: os.PathLike[str] | str, first: int) -> None:
    """Remove the checkpoint of this number, and all later ones.

    Raises
    ------
    OutputError
        They cannot be removed.
    """
    folder = Path(folder)
    with _failing_clearly(folder, "cannot be removed"):
        for number in sorted(_numbers(folder), reverse=True):
            if number >= first:
                os.rename(folder / str(number), folder / f".{number}.old")  # atomic
                shutil.rmtree(folder / f".{number}.old")


def remove(folder: os.PathLike[str] | str) -> None:
    """Remove the trial's ``checkpoint`` folder, if it is there.

    A removal that is interrupted leaves no torn checkpoint.

    Raises
    ------
    OutputError
        It cannot be removed.
    """
    folder = Path(folder)
    with _failing_clearly(folder, "cannot be removed"):
        for number in sorted(_numbers(folder)):  # the newest last: it is valid until then
            os.rename(folder / str(number), folder / f".{number}.old")
        if folder.is_dir():
            shutil.rmtree(folder)


def thin_out(folder: Path, origin: Origin | None = None, job: int | None = None) -> None:
    """Remove the checkpoints that will not be needed, and those that were left unfinished.

    These are kept: the newest; the newest that a report followed, in case the newest is ahead of the reports;
    the newest two with the states of best reports, since the report of the newest may be lost; and, in case
    of a power cut, the newest one older than `SETTLED` seconds and the oldest younger one. Without states of
    best reports a trial that saves less often than that has two checkpoints, and one that has paused for so
    long has one.

    Parameters
    ----------
    folder : Path
        The trial's ``checkpoint`` folder.
    origin : Origin, optional
        The job that has just saved: checkpoints from which it must not continue are removed.
    job : int, optional
        The job's number, if jobs claim the folder: files that later jobs write are kept.
    """
    names = os.listdir(folder)  # once: a later job may save meanwhile
    kept = _needed(folder, sorted((int(name) for name in names if is_number(name)), reverse=True), origin)
    for name in names:
        if not (is_number(name) and int(name) in kept) and not (job is not None and is_later(name, job)):
            shutil.rmtree(folder / name, ignore_errors=True)


def _needed(folder: Path, numbers: Sequence[int], origin: Origin | None) -> set[int]:
    """Return the numbers of the checkpoints to keep; `numbers` are those of all, the newest first."""
    usable: list[tuple[int, Meta, float]] = []  # number, description, age in seconds
    now = time.time()
    for number in numbers:
        try:
            meta = _meta(folder / str(number))
            age = now - os.stat(folder / str(number)).st_mtime
        except (OSError, *_DAMAGED):
            continue
        if origin is None or origin.objection(meta) is None:
            usable.append((number, meta, age))
    if not usable:
        return set(numbers[:1])
    newest, about, age = usable[0]
    best = [number for number, meta, _ in usable if "best" in meta][:2]
    if age >= SETTLED:
        return {newest, *best}
    reported = [
        number
        for number, meta, _ in usable[1:]
        if (meta["job"], meta["reports"]) != (about["job"], about["reports"])
        and not (origin is not None and origin.is_last(meta))
    ]
    settled = [number for number, _, age in usable if age >= SETTLED]
    unsettled = [number for number, _, age in usable if age < SETTLED]
    return {newest, *best, *reported[:1], *settled[:1], *unsettled[-1:]}


def _sizes(folder: Path) -> dict[str, int]:
    """Return the size of each file in a folder, by its path below it."""
    found = {}
    for below, _, names in os.walk(folder):
        for name in names:
            path = Path(below, name)
            found[path.relative_to(folder).as_posix()] = path.stat().st_size
    return found


def _numbers(folder: Path) -> list[int]:
    try:
        names = os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
    return [int(name) for name in names if is_number(name)]


def is_number(name: str) -> bool:
    """Return whether a name is a number, as the names of complete checkpoints are."""
    return name.isascii() and name.isdigit()


def _check_allowed(allowed: Callable[[], bool] | None) -> None:
    if allowed is not None and not allowed():
        raise Overtaken


def _meta(checkpoint: Path) -> Meta:
    """Read a checkpoint's description, and check the sizes of its files against it."""
    meta: Meta = json.loads((checkpoint / _META).read_bytes())
    if meta["version"] != _VERSION:
        raise ValueError(f"it is of version {meta['version']}; this hbsim reads version {_VERSION}")
    for name, size in meta["files"].items():
        if (found := os.stat(checkpoint / name).st_size) != size:
            raise ValueError(f"{name} has {found} bytes, where {size} were written")
    return meta


@contextmanager
def _failing_clearly(path: Path, problem: str) -> Iterator[None]:
    try:
        yield
    except HbsimError:
        raise
    except OSError as error:
        reason = error.strerror or f"{type(error).__name__}: {error}"
        raise OutputError(str(path), f"the checkpoint {problem}: {reason}") from error
