"""The process of a callback: it reads the study's journal, as any reader does, and calls the methods."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Final, Self

from hbsim.errors import ParameterError
from hbsim.executors.training_function import pickled, unpickled
from hbsim.runner.journal import JournalLines, opened
from hbsim.runner.journal_reader import parse_record, read_start
from hbsim.runner.records import Record, StudyClosed, StudyStarted
from hbsim.runner.writer import Observer
from hbsim.study.callbacks import (
    FLUSH_EVERY,
    Callback,
    CallbackCalls,
    CallbackObserver,
    StudyInfo,
    error_text,
    load_callback,
    say_failed,
)
from hbsim.study.folder import StudyFolder
from hbsim.study.interrupts import Interrupted
from hbsim.study.spec import StudySpec, StudyState

SERVE: Final = f"""import sys
sys.path.append({str(Path(__file__).parents[2])!r})
from hbsim.study.callback_process import main
main()"""


@dataclass(frozen=True, slots=True)
class NamedCallback:
    """A callback that is ready for a study.

    Attributes
    ----------
    name : str
        Its name in messages and files: as given, or its class's; no two of a study are the same.
    callback : Callback
        The callback.
    how : mapping or None
        How its process gets it: ``text`` for `load_callback`, or ``pickled``; None without such a process.
    """

    name: str
    callback: Callback
    how: Mapping[str, str] | None


def name_callbacks(given: Sequence[str | Callback]) -> list[NamedCallback]:
    """Load the callbacks of a study, and give each a name of its own.

    Raises
    ------
    ParameterError
        As by `load_callback`; or one with a process of its own cannot be pickled.
    """
    found: list[NamedCallback] = []
    for one in given:
        callback = load_callback(one) if isinstance(one, str) else one
        name = one.rpartition(":")[2] if isinstance(one, str) else type(callback).__name__
        same = sum(other.name.partition("-")[0] == name for other in found)
        name = f"{name}-{same + 1}" if same else name
        how: dict[str, str] | None = None
        if callback.own_process:
            try:
                how = {"text": _absolute(one)} if isinstance(one, str) else {"pickled": pickled(callback)}
            except Exception as error:  # whatever its attributes raise
                rule = f"{name} cannot be pickled, which own_process = True needs: {error}"
                raise ParameterError("callbacks", one, rule) from error
        found.append(NamedCallback(name, callback, how))
    return found


def _absolute(text: str) -> str:
    file, colon, name = text.rpartition(":")
    return f"{os.path.abspath(file)}:{name}" if colon else text


def call_callbacks(
    stack: ExitStack, callbacks: Sequence[NamedCallback], study: StudyInfo, state: StudyState
) -> list[Observer]:
    """Make the observers that call a study's callbacks; `stack` closes them.

    Parameters
    ----------
    stack : ExitStack
        Ends the callbacks.
    callbacks : sequence of NamedCallback
        The callbacks.
    study : StudyInfo
        The study.
    state : StudyState
        Its state.
    """
    observers: list[Observer] = []
    for one in callbacks:
        if one.how is None:
            here = CallbackObserver(one.name, one.callback, replace(study, counts=dict(study.counts)), state)
            stack.callback(here.close)
            observers.append(here)
        else:
            there = CallbackProcess(one.name, one.how, study)
            stack.push(there)
            observers.append(there)
    return observers


LAST: Final = 60.0  # seconds that a callback may take once the study is over
HURRY: Final = 5.0  # the same where the study ended with an error
EVERY: Final = 0.25  # seconds between two looks at the journal, and at what the process says
MANY: Final = 100  # lines of which a callback is told before their number is written again


class CallbackProcess:
    """An `Observer` with a process that calls a callback; the study waits for it only at its end.

    Parameters
    ----------
    name : str
        The callback's name, in messages and in files.
    how : mapping
        How its process gets it: ``text`` for `load_callback`, or ``pickled``.
    study : StudyInfo
        The study.
    """

    def __init__(self, name: str, how: Mapping[str, str], study: StudyInfo) -> None:
        self._name, self._off, self._next = name, False, 0.0
        about = {"name": name, "folder": str(study.folder), "resumed": study.resumed, "began": study.began}
        path = [os.path.abspath(entry) for entry in sys.path]
        self._folder = _folder(study.folder)
        self._folder.mkdir(exist_ok=True)
        with (self._folder / f"{name}.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", SERVE],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the study
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._stdin, self._stdout = self._process.stdin, self._process.stdout
        os.set_blocking(self._stdout.fileno(), False)
        with suppress(BrokenPipeError):
            self._stdin.write(json.dumps({**about, **how, "path": path}).encode() + b"\n")
            self._stdin.flush()

    def __enter__(self) -> Self:
        return self

    def record(self, record: Record) -> None:
        """Do nothing: the process reads the journal."""

    def tick(self) -> None:
        """Show an error of the callback, or the end of its process."""
        if self._off or time.monotonic() < self._next:
            return
        self._next = time.monotonic() + EVERY
        self._listen()
        if self._process.poll() is not None:
            self._gone()

    def __exit__(self, kind: type[BaseException] | None, *exception: object) -> None:
        """Wait until the callback knows every event, for a limited time; end its process."""
        hurried = kind is not None and not issubclass(kind, Interrupted)
        limit = HURRY if hurried else LAST
        with suppress(BrokenPipeError):
            self._stdin.close()
        try:
            self._process.wait(limit)
        except subprocess.TimeoutExpired:
            self._off = True
            say_failed(
                self._name,
                f"it had not ended {limit:g} s after the study, and was killed; what it does not know yet "
                "it gets when the study is resumed with it",
            )
        finally:
            self._process.kill()
            self._process.wait()
        self._listen()
        if not self._off:
            self._gone()
        self._stdout.close()

    def _listen(self) -> None:
        said = self._stdout.read() or b""
        for line in said.decode("utf-8", "replace").splitlines():
            say_failed(self._name, line)

    def _gone(self) -> None:
        self._off = True
        if self._process.returncode:
            log = self._folder / f"{self._name}.log"
            code = self._process.returncode
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            say_failed(self._name, f"its process has ended ({how}): see {log}")


def _folder(study: Path) -> Path:
    return study / "callbacks"


# In the process


def main() -> None:
    """Read from stdin what the callback is, and call it until stdin is closed."""
    given = json.loads(sys.stdin.buffer.readline())
    said = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what the callback prints is for the log
    sys.path[:] = given["path"]

    def complain(text: str) -> None:
        with suppress(OSError):  # the study may be gone
            said.write(" ".join(text.splitlines()) + "\n")
            said.flush()

    def is_over() -> bool:
        """Wait a little; return whether the study's process has closed stdin, or is gone."""
        over = bool(select.select([0], [], [], EVERY)[0])
        if over:
            signal.setitimer(signal.ITIMER_REAL, 2 * LAST)  # if nobody is left to end this process
        return over

    try:
        callback = load_callback(given["text"]) if "text" in given else unpickled(given["pickled"])
    except Exception as error:
        traceback.print_exc()
        complain(f"it cannot be loaded in its process, {type(error).__name__}: {error}")
        return
    serve(Path(given["folder"]), given["name"], callback, given["resumed"], given["began"], is_over, complain)


def serve(
    folder: Path,
    name: str,
    callback: Callback,
    resumed: bool,
    began: float,
    is_over: Callable[[], bool],
    complain: Callable[[str], None],
) -> None:
    """Call a callback for the events in a study's journal that it does not know.

    Parameters
    ----------
    folder : Path
        The study's folder.
    name : str
        The name of the file with the number of lines that the callback knows.
    callback : Callback
        The callback.
    resumed, began
        As in `StudyInfo`.
    is_over : callable
        Waits for more lines; returns whether there will be no more.
    complain : callable
        Is given the text of the first error.
    """
    journal = StudyFolder(folder).journal
    spec = StudySpec.from_dict(read_start(journal).spec, str(journal))
    failed: list[str] = []  # methods, one for each error

    def call(method: Callable[..., None], *arguments: object) -> None:
        try:
            method(*arguments)
        except (Exception, SystemExit) as error:
            traceback.print_exc()
            failed.append(method.__name__)
            if len(failed) == 1:
                complain(error_text(method.__name__, error))

    calls = CallbackCalls(callback, StudyInfo(spec, folder, resumed, began), call)
    calls.start()
    if failed:
        return
    flushed = changed = 0.0
    last: Record = StudyStarted(version=1, spec={})

    def pause() -> bool:
        nonlocal flushed
        over, now = is_over(), time.monotonic()
        if changed > flushed and (over or now >= flushed + FLUSH_EVERY):
            flushed = now
            call(callback.flush)
        return over

    with Known(_folder(folder) / f"{name}.known", spec.study) as known, opened(journal) as file:
        lines = JournalLines(_whole_lines(file, pause, known), str(journal))
        for body in lines:
            last = parse_record(lines, body)
            calls.silent = lines.count < known.before
            calls.record(last)
            changed = time.monotonic()
    calls.silent = False
    calls.end(last.why if isinstance(last, StudyClosed) else None, last.time)
    call(callback.flush)


class Known:
    """The file with the number of a journal's lines that a callback knows.

    The number is written before the callback is called, so that no event is told twice: if the process is
    killed, some of the last ones may never be.

    Attributes
    ----------
    before : int
        How many lines earlier processes have handled.
    """

    def __init__(self, path: Path, study: str) -> None:
        import fcntl  # not on Windows, where hbsim only simulates

        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        fcntl.flock(self._fd, fcntl.LOCK_EX)  # the process of an earlier session may not have ended
        words = os.pread(self._fd, 200, 0).decode("ascii", "replace").split()
        self._study = study or "-"
        self.before = int(words[1]) if len(words) == 2 and words[0] == self._study else 0
        self._count = self.before

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self._fd)

    def write(self, count: int) -> None:
        """Write that the callback knows this many lines."""
        if count > self._count:
            self._count = count
            os.pwrite(self._fd, f"{self._study} {count:15}\n".encode(), 0)  # always as long as before


def _whole_lines(file: BinaryIO, pause: Callable[[], bool], known: Known) -> Iterator[bytes]:
    """Yield the lines of a file that grows, until `pause` says that it grows no more."""
    part, count, over = b"", 0, False
    while True:
        batch: list[bytes] = []
        while len(batch) < MANY and (line := file.readline()):
            part += line
            if part.endswith(b"\n"):
                batch.append(part)
                part = b""
        count += len(batch)
        known.write(count)
        yield from batch
        if not batch:
            if over:
                return
            over = pause()
