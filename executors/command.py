"""Training functions made of a command line: a script in any language, which runs as a child process.

The script runs in the process group of the trial's process, which passes its reports on. All that concerns
the study (journal, checkpoints, signals, hosts) is as for a function.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import selectors
import shlex
import shutil
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from copy import copy
from functools import partial
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hbsim.core.space import Space, args
from hbsim.errors import ParameterError, nearest
from hbsim.executors import processes
from hbsim.script import ANSWERS, CHECKPOINTS, GO_ON, LEAVE, REPORTS, WAITS

if TYPE_CHECKING:
    from hbsim.executors.reporter import Reporter

KNOWN: Final = ("max_t", "trial", "seed", "checkpoint_dir")  # names that each command may use
_NAME: Final = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")
_SCRIPTS: Final = (".py", ".sh", ".bash", ".R", ".jl", ".rb", ".pl", ".js")
_SMALL: Final = 1 << 20  # bytes of files whose content belongs to the command
_CHUNK: Final = 1 << 16
_LOOK: Final = 0.02  # seconds between two looks at processes that nothing announces
_HOLD: Final = 0.5  # seconds within which a signal stops processes
_SHARE: Final = 0.9  # of the grace: the trial's process has to end within it, too
_MEMORY: Final = ("out of memory", "can't allocate memory", "MemoryError")


class ScriptFailed(Exception):
    """Raised when a script has failed; its text is the reason in one line.

    Attributes
    ----------
    kind : str
        The kind of failure: ``"oom"`` or ``"error"``.
    """

    @property
    def kind(self) -> str:
        """The kind of failure: out of memory, or any other error."""
        return "oom" if any(text in str(self) for text in _MEMORY) else "error"


class Command:
    r"""A command line that trains, as the training function of `hbsim.run` and `hbsim.record`.

    ::

        train = hbsim.Command("python train.py --lr {lr} --epochs {max_t}", {"lr": hbsim.Real(1e-4, 1)})

    The script reports by `hbsim.report`, by lines of its output that `report_pattern` matches, or by JSON
    objects, one a line, that it writes to the path in the environment variable ``HBSIM_REPORTS``.

    Parameters
    ----------
    command : str
        The command. It is split into words as a shell does; then ``{name}`` in a word becomes the value of
        the parameter, or of ``{max_t}``, ``{trial}``, ``{seed}`` and ``{checkpoint_dir}``. ``{{`` is a brace.
        No shell runs, so that values are arguments and never code.
    space : mapping
        `Real`, `Int`, `Choice` and `Bool` by name make the search space; anything else is a constant. All
        are also in environment variables, as in ``HBSIM_PARAM_LR``.
    report_pattern : str, optional
        A regular expression; a line of the output that has a match is a report of its named groups:
        ``epoch=(?P<epoch>\d+) acc=(?P<accuracy>\S+)``.
    shell : bool
        Run the command by ``/bin/sh``. Values are still no code: they are put in as variables in quotes.
    cwd : path, optional
        The folder in which the command runs; by default the working directory.

    Raises
    ------
    ParameterError
        The command is empty or not closed, it has a name that is no parameter, or the pattern is none.
    """

    space: Space
    defaults: dict[str, object]

    def __init__(
        self,
        command: str,
        space: Mapping[str, object] | Space,
        *,
        report_pattern: str | None = None,
        shell: bool = False,
        cwd: os.PathLike[str] | str | None = None,
    ) -> None:
        self.command, self.shell, self.report_pattern = command, shell, report_pattern
        self.cwd = os.path.abspath(cwd or ".")
        self.max_t: float | None = None
        self.grace = 5.0
        args(**(space.parameters if isinstance(space, Space) else space))(self)
        self._words = _split(command)
        self._pattern = _compile(report_pattern)
        known = (*self.defaults, *KNOWN)
        for name in self._used():
            if name not in known:
                rule = f"{{{name}}} is no parameter ({', '.join(map(repr, known))}); {{{{ is a brace."
                raise ParameterError("command", command, rule + nearest(name, known))
        variables = [_variable(name) for name in self.defaults]
        if double := next((one for one in variables if variables.count(one) > 1), None):
            raise ParameterError("command", command, f"two parameters would be {double}")

    @property
    def constants(self) -> dict[str, object]:
        """The arguments that are not searched over."""
        return {name: value for name, value in self.defaults.items() if name not in self.space}

    def to_json(self) -> dict[str, Any]:
        """Return the command in plain JSON types."""
        names = ("command", "report_pattern", "shell", "cwd", "max_t", "grace", "constants")
        return {**{name: getattr(self, name) for name in names}, "space": self.space.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Command:
        """Return the command that `to_json` has written."""
        space = {**Space.from_json(data["space"]).parameters, **data["constants"]}
        kept = {name: data[name] for name in ("report_pattern", "shell", "cwd")}
        made = cls(data["command"], space, **kept)
        made.max_t, made.grace = data["max_t"], data["grace"]
        return made

    def for_study(self, max_t: float | None, grace: float, is_local: bool) -> Command:
        """Return the command with the options of a study, after a check of what can be wrong with it.

        Parameters
        ----------
        max_t : float or None
            R, where a trial is complete, if the study has one.
        grace : float
            Seconds that a script has to end.
        is_local : bool
            Whether the command runs on this machine, so that its files must exist.

        Raises
        ------
        ParameterError
            The executable or the script does not exist, a parameter is not used, or ``{max_t}`` is unknown.
        """
        used = self._used()
        if max_t is None and "max_t" in used:
            raise ParameterError("command", self.command, "'max_t' in it has no value: give max_t")
        if is_local:
            self._check_files()
        for name in self.space:
            if name not in used and not self._reads(_variable(name)):
                rule = f"must use {name!r}: no word has {{{name}}}, and no file of it reads {_variable(name)}"
                raise ParameterError("command", self.command, rule)
        made = copy(self)
        made.max_t, made.grace = max_t, grace
        return made

    def files(self) -> list[str]:
        """Return the words of the command that are names of small files in its folder or below."""
        found = self._small_files()
        return [word for word in found if not os.path.isabs(word) and ".." not in Path(word).parts]

    def digest(self) -> str | None:
        """Return the SHA-256 of the command's small files; None if there are none."""
        contents = list(self._small_files().values())
        return hashlib.sha256(b"\0".join(contents)).hexdigest() if contents else None

    def __call__(self, given: Mapping[str, object], reporter: Reporter) -> None:
        """Run the command for a trial, until it ends or the trial is paused or stopped.

        Raises
        ------
        ScriptFailed
            It cannot be started, or has failed.
        """
        folder = _checkpoint_folder(reporter)
        known = {"trial": given["trial"], "seed": given["seed"], "checkpoint_dir": folder}
        if self.max_t is not None:
            known["max_t"] = int(self.max_t) if self.max_t == int(self.max_t) else self.max_t
        known |= {name: given[name] for name in self.defaults}
        texts = {name: str(value) for name, value in known.items()}
        variables = {_variable(name, name in self.defaults): text for name, text in texts.items()}
        with _Pipes() as pipes:
            environment = {**os.environ, **variables, CHECKPOINTS: str(folder), "PYTHONUNBUFFERED": "1"}
            environment |= {REPORTS: pipes.path(pipes.into), ANSWERS: pipes.path(pipes.answers)}
            script = _Script(self._start(texts, environment, pipes), pipes, reporter, self._pattern)
            reporter.on_pause(lambda: script.state(folder))
            try:
                script.follow()
            except BaseException:  # the trial has to end, or what the script reported is wrong
                script.end(self.grace * _SHARE)
                raise

    def _used(self) -> list[str]:
        found = [match[1] for word in self._words for match in _NAME.finditer(word)]
        return [name for name in dict.fromkeys(found) if name is not None]

    def _reads(self, variable: str) -> bool:
        if self.shell and variable in self.command:
            return True
        return any(variable.encode() in content for content in self._small_files().values())

    def _small_files(self) -> dict[str, bytes]:
        """Return the content of the small files that words of the command name."""
        files = {word: Path(self.cwd, word) for word in self._words}
        with suppress(OSError):
            small = {word: file for word, file in files.items() if file.is_file()}
            return {word: file.read_bytes() for word, file in small.items() if file.stat().st_size <= _SMALL}
        return {}

    def _check_files(self) -> None:
        first, *more = self._words
        if not os.path.isdir(self.cwd):
            raise ParameterError("cwd", self.cwd, "must be a folder that exists")
        if not self.shell and not _NAME.search(first) and not self._finds(first):
            raise ParameterError("command", self.command, f"there is no executable {first}")
        script = more[0] if more else ""
        if script.endswith(_SCRIPTS) and not _NAME.search(script) and not Path(self.cwd, script).is_file():
            raise ParameterError("command", self.command, f"there is no file {script} in {self.cwd}")

    def _finds(self, program: str) -> bool:
        return shutil.which(os.path.join(self.cwd, program) if os.sep in program else program) is not None

    def _start(
        self, texts: Mapping[str, str], environment: Mapping[str, str], pipes: _Pipes
    ) -> subprocess.Popen[bytes]:
        if self.shell:
            quoted = {name: f'"${_variable(name, name in self.defaults)}"' for name in texts}
            words = ["/bin/sh", "-c", _filled(self.command, quoted)]
        else:
            words = [_filled(word, texts) for word in self._words]
        try:
            return subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=None if self._pattern is None else subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=self.cwd if os.path.isdir(self.cwd) else None,
                env=environment,
                pass_fds=pipes.inherited,
                preexec_fn=partial(processes.die_with_parent, os.getpid()),
            )
        except OSError as error:
            reason = error.strerror or error
            raise ScriptFailed(f"{words[0]} cannot be started: {reason}") from None


def _split(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ParameterError("command", command, f"cannot be split into words: {error}") from None
    if not words:
        raise ParameterError("command", command, "must not be empty")
    return words


def _compile(pattern: str | None) -> re.Pattern[str] | None:
    if pattern is None:
        return None
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ParameterError("report_pattern", pattern, f"is no regular expression: {error}") from None
    if not compiled.groupindex:
        rule = "must have a named group for each number: epoch=(?P<epoch>\\d+)"
        raise ParameterError("report_pattern", pattern, rule)
    return compiled


def _filled(text: str, values: Mapping[str, str]) -> str:
    return _NAME.sub(lambda match: match[0][0] if match[1] is None else values[match[1]], text)


def _variable(name: str, is_parameter: bool = True) -> str:
    """Return the environment variable of a name that a command may use."""
    return ("HBSIM_PARAM_" if is_parameter else "HBSIM_") + re.sub(r"\W", "_", name).upper()


def _checkpoint_folder(reporter: Reporter) -> Path:
    """Return the script's checkpoint folder, with the content that the trial goes on from."""
    folder = reporter.folder / "checkpoint"
    shutil.rmtree(folder, ignore_errors=True)
    saved = reporter.load()
    if saved is None:
        folder.mkdir(parents=True)
    else:
        shutil.copytree(saved, folder)
    return folder


class _Pipes:
    """The pipes by which a script reports and is answered; other processes open their ends by paths.

    Attributes
    ----------
    reports, into : int
        The two ends of the pipe for reports; the second one is only kept open.
    answers, out : int
        The two ends of the pipe for answers; the first one is only kept open.
    """

    def __init__(self) -> None:
        self.reports, self.into = os.pipe()
        self.answers, self.out = os.pipe()

    def __enter__(self) -> _Pipes:
        return self

    def __exit__(self, *error: object) -> None:
        for descriptor in (self.reports, self.into, self.answers, self.out):
            os.close(descriptor)

    @property
    def inherited(self) -> tuple[int, ...]:
        """The descriptors that the script has to inherit, so that it can open them."""
        return () if processes.LINUX else (self.into, self.answers)

    def path(self, descriptor: int) -> str:
        """Return the path by which another process can open an end."""
        return f"/proc/{os.getpid()}/fd/{descriptor}" if processes.LINUX else f"/dev/fd/{descriptor}"


class _Script:
    """A script that runs: passes its reports to the reporter, and its output to the log."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        pipes: _Pipes,
        reporter: Reporter,
        pattern: re.Pattern[str] | None,
    ) -> None:
        self._process, self._pipes, self._reporter, self._pattern = process, pipes, reporter, pattern
        # Whether the script waits for an answer, is stopped by a signal, has to end.
        self._waits = self._is_held = self._is_over = False
        self._last = b""  # of stderr
        self._unfinished = {"reports": b"", "stdout": b""}  # lines without their ends
        self._selector = selectors.DefaultSelector()
        self._add(pipes.reports, self._take_reports)
        for stream, take in ((process.stdout, self._take_output), (process.stderr, self._take_errors)):
            if stream is not None:
                self._add(stream.fileno(), take)

    def follow(self) -> None:
        """Pass on what the script reports and prints, until it has ended.

        Raises
        ------
        ScriptFailed
            It has failed, or what it reported is no report.
        TrialEnd
            The trial has to end.
        """
        with self._announced() as pause:
            while self._process.poll() is None:
                self._look(pause)
        self._look(0.0)
        status = self._process.returncode
        if status:
            what = f"killed by {_signal_name(-status)}" if status < 0 else f"exit status {status}"
            lines = self._last.decode("utf-8", "replace").strip().splitlines()
            raise ScriptFailed(f"{what}: {lines[-1].strip()[:300]}" if lines else what)

    def state(self, folder: Path) -> Path | None:
        """Return the script's checkpoint folder to be copied, None if it is empty.

        A script that does not wait for an answer is stopped meanwhile.
        """
        deadline = time.monotonic() + _HOLD
        while not self._waits and time.monotonic() < deadline:
            running = [pid for pid in processes.descendants(os.getpid()) if not processes.is_stopped(pid)]
            if not running:
                break
            self._is_held = True
            for pid in running:
                processes.kill(pid, signal.SIGSTOP)
        return folder if any(folder.iterdir()) else None

    def end(self, grace: float) -> None:
        """End the script and its processes: by the answer that it waits for, by SIGTERM, then by SIGKILL."""
        self._is_over = True
        steps: deque[Callable[[], None]] = deque([_terminate_group])
        if self._waits:
            steps.appendleft(partial(os.write, self._pipes.out, LEAVE))  # type: ignore[arg-type]
        share = grace / len(steps)
        for step in steps:
            step()
            self._release()
            deadline = time.monotonic() + share
            while not (ended := self._has_ended()) and time.monotonic() < deadline:
                self._look(_LOOK)
            if ended:
                break
        for pid in processes.descendants(os.getpid()):
            processes.kill(pid)
        self._process.kill()
        self._process.wait()
        self._look(0.0)

    def _pass_on(self, report: Mapping[str, Any]) -> None:
        self._reporter(**report)
        self._release()

    def _release(self) -> None:
        """Let a script go on that was stopped while its checkpoint folder was copied."""
        if self._is_held:
            self._is_held = False
            for pid in processes.descendants(os.getpid()):
                processes.kill(pid, signal.SIGCONT)

    def _has_ended(self) -> bool:
        return self._process.poll() is not None and not processes.descendants(os.getpid())

    @contextmanager
    def _announced(self) -> Iterator[float]:
        """Wake up when the script ends; yield the seconds after which to look whether it has ended."""
        try:
            descriptor = os.pidfd_open(self._process.pid)
        except (AttributeError, OSError):
            yield _LOOK
            return
        self._selector.register(descriptor, selectors.EVENT_READ, lambda: None)
        try:
            yield inf
        finally:
            self._selector.unregister(descriptor)
            os.close(descriptor)

    def _add(self, descriptor: int, take: Callable[[bytes], None]) -> None:
        def read() -> None:
            with suppress(BlockingIOError):
                while data := os.read(descriptor, _CHUNK):
                    take(data)
                self._selector.unregister(descriptor)  # the end of the file

        os.set_blocking(descriptor, False)
        self._selector.register(descriptor, selectors.EVENT_READ, read)

    def _look(self, seconds: float) -> None:
        """Wait at most so many seconds for something to happen, and take what has come."""
        for key, _ in self._selector.select(None if seconds == inf else seconds):
            key.data()

    def _take_errors(self, data: bytes) -> None:
        self._last = (self._last + data)[-_CHUNK:]
        _write(2, data)

    def _take_output(self, data: bytes) -> None:
        _write(1, data)
        assert self._pattern is not None
        for line in self._lines("stdout", data.replace(b"\r", b"\n")):
            found = self._pattern.search(line.decode("utf-8", "replace"))
            if found is not None and not self._is_over:
                groups = found.groupdict().items()
                self._pass_on({name: _number(name, text) for name, text in groups if text is not None})

    def _take_reports(self, data: bytes) -> None:
        for line in self._lines("reports", data):
            if self._is_over:
                if WAITS.encode() in line:
                    os.write(self._pipes.out, LEAVE)
                continue
            report = _report(line) if line.strip() else {}
            self._waits = bool(report.pop(WAITS, False))
            if report:
                self._pass_on(report)
            if self._waits:
                os.write(self._pipes.out, GO_ON)
                self._waits = False

    def _lines(self, stream: str, data: bytes) -> list[bytes]:
        """Return the lines that are complete with this data."""
        *lines, self._unfinished[stream] = (self._unfinished[stream] + data).split(b"\n")
        return lines


def _report(line: bytes) -> dict[str, Any]:
    try:
        report = json.loads(line)
    except ValueError:
        report = None
    if not isinstance(report, dict):
        raise ScriptFailed(f"a report must be a JSON object in a line, and is {line[:200]!r}")
    return report


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ScriptFailed(f"the report pattern finds {name}={text!r}, which is no number") from None


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _terminate_group() -> None:
    """Send SIGTERM to the script and all that it started in its group, but not to this process."""
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        if os.getpgrp() == os.getpid():
            processes.kill_group(os.getpid(), signal.SIGTERM)
        else:
            for pid in processes.descendants(os.getpid()):
                processes.kill(pid, signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


def _write(descriptor: int, data: bytes) -> None:
    with suppress(OSError):  # the disk of the log is full
        while data:
            data = data[os.write(descriptor, data) :]
