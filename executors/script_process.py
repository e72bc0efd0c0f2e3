"""A running script: its process, the pipes by which it reports, and how it is ended."""

from __future__ import annotations

import json
import os
import re
import selectors
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hbsim.core.types import FailureKind
from hbsim.executors import processes
from hbsim.ranks import Ranks
from hbsim.script import GO_ON, LEAVE, WAITS

if TYPE_CHECKING:
    from hbsim.executors.reporter import Reporter

_CHUNK: Final = 1 << 16
_LOOK: Final = 0.02  # seconds between two looks at processes that nothing announces
_HOLD: Final = 0.5  # seconds within which a signal stops processes
_SHARE: Final = 0.9  # of the grace: the trial's process has to end within it, too
# The rank that failed first, and what is known of it, in torchrun's summary.
_TORCHRUN: Final = re.compile(r"Root Cause.*?\n  rank +: (\d+) .*?\n  traceback : (.*?)\n", re.DOTALL)
_KILLED: Final = re.compile(r"^rank \d+: Signal \d+ \(SIG(KILL|TERM)\)")
_ERROR: Final = re.compile(r"^Traceback \(most recent call last\):\n(?:[ \t].*\n)+(\S.*)$", re.MULTILINE)
_LINES: Final = 40  # of stderr that may tell why a script has failed
_SIGNALLED: Final = 128  # a shell's exit status is this much more than the signal that ended its command


class ScriptFailed(Exception):
    """Raised when a script has failed; its text is the reason in one line.

    Attributes
    ----------
    kind : FailureKind
        The kind of failure: ``"oom"``, ``"lost"`` if a signal from elsewhere has ended it, or ``"error"``.
    """

    def __init__(self, reason: str, kind: FailureKind = "error") -> None:
        super().__init__(reason)
        self.kind = kind


class Pipes:
    """The pipes by which a script reports and is answered; other processes open their ends by paths.

    Attributes
    ----------
    reports, into : int
        The two ends of the pipe for reports; the second one is only kept open.
    answers, out : int
        The two ends of the pipe for answers; the first one is only kept open.
    ranks : Ranks
        The memory that the script's processes share.
    """

    def __init__(self) -> None:
        self.reports, self.into = os.pipe()
        self.answers, self.out = os.pipe()
        self.ranks = Ranks()

    def __enter__(self) -> Pipes:
        return self

    def __exit__(self, *error: object) -> None:
        for descriptor in (self.reports, self.into, self.answers, self.out):
            os.close(descriptor)
        self.ranks.close()

    @property
    def inherited(self) -> tuple[int, ...]:
        """The descriptors that the script has to inherit, so that it can open them."""
        return () if processes.LINUX else (self.into, self.answers, self.ranks.descriptor)

    def path(self, descriptor: int) -> str:
        """Return the path by which another process can open an end."""
        return f"/proc/{os.getpid()}/fd/{descriptor}" if processes.LINUX else f"/dev/fd/{descriptor}"


class Script:
    """A script that runs: passes its reports to the reporter, and its output to the log.

    Attributes
    ----------
    has_reported : bool
        Whether it has made a report.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        pipes: Pipes,
        reporter: Reporter,
        pattern: re.Pattern[str] | None,
    ) -> None:
        self._process, self._pipes, self._reporter, self._pattern = process, pipes, reporter, pattern
        # Whether the script waits for an answer, is stopped by a signal, has to end.
        self._waits = self._is_held = self._is_over = False
        self.has_reported = False
        self._last = b""  # of stderr
        self._printed = b""  # the last line of stdout
        self._oom = processes.OomWatch()
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
            raise self._failure(status)

    def _failure(self, status: int) -> ScriptFailed:
        """Return why the script has failed, by its status and what it has printed on stderr."""
        what = f"killed by {_signal_name(-status)}" if status < 0 else f"exit status {status}"
        text = self._last.decode("utf-8", "replace")
        words = _last_words(text)
        lines = [*text.strip().splitlines()[-_LINES:], words]
        of_memory = next((line for line in reversed(lines) if processes.tells_of_memory(line)), None)
        if of_memory is not None:  # not always the last line: launchers and loggers print after it
            return ScriptFailed(f"{what}: {of_memory.strip()[:300]}", "oom")
        number = -status if status < 0 else status - _SIGNALLED
        if number == signal.SIGKILL and self._oom.happened():
            return ScriptFailed(f"{what}: the system ran out of memory", "oom")
        reason = f"{what}: {words[:300]}" if words else what
        was_killed = number in (signal.SIGKILL, signal.SIGTERM) or _KILLED.search(words)
        return ScriptFailed(reason, "lost" if was_killed else "error")

    def no_report(self) -> str:
        """Return why there is no report, for a script that has ended without one."""
        if self._pattern is None:
            return "the script ended without a report (hbsim.report)"
        printed = (self._unfinished["stdout"].strip() or self._printed).decode("utf-8", "replace")
        last = f"; the last one is: {printed[:300]}" if printed else ": it printed nothing"
        return f"no line that the script printed matches the report pattern{last}"

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
        steps: deque[Callable[[], None]] = deque([self._terminate])
        if self._waits:
            steps.appendleft(self._say_leave)
        share = grace * _SHARE / len(steps)
        for step in steps:
            step()
            self._release()
            deadline = time.monotonic() + share
            while not (ended := self._has_ended()) and time.monotonic() < deadline:
                if step is not _terminate_group and self._ranks_have_left():
                    break  # others may wait for them, or a launcher may start them again
                self._look(_LOOK)
            if ended:
                break
        for pid in processes.descendants(os.getpid()):
            processes.kill(pid)
        self._process.kill()
        self._process.wait()
        self._look(0.0)

    def _say_leave(self) -> None:
        os.write(self._pipes.out, LEAVE)

    def _terminate(self) -> None:
        """Send SIGTERM; `hbsim.report` holds one for which there is no answer that the trial has to end."""
        self._say_leave()
        _terminate_group()

    def _pass_on(self, report: Mapping[str, Any]) -> None:
        self.has_reported = True
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

    def _ranks_have_left(self) -> bool:
        """Return whether the ranks that make reports have left and ended."""
        ranks = self._pipes.ranks
        return ranks.are_several and bool(ranks.left) and not ranks.any_runs()

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
            self._printed = line.strip() or self._printed
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


def _last_words(text: str) -> str:
    """Return the line of stderr that says best why a script has failed: the last, or that of a rank."""
    lines = [line.strip() for line in text.strip().splitlines()]
    if not (found := _TORCHRUN.search(text)):
        return lines[-1] if lines else ""
    rank, traceback = found.groups()
    prefix = f"[rank{rank}]: "  # as PyTorch prints tracebacks of ranks
    own = [line.removeprefix(prefix) for line in lines if line.startswith(prefix)]
    if not own and "SIG" not in traceback:
        own = _ERROR.findall(text[: found.start()])[:1]
    return f"rank {rank}: {own[-1] if own else traceback}"


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
    """Send SIGTERM to the script and all that it started, also in other sessions, but not to this process."""
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    leads, me = os.getpgrp() == os.getpid(), os.getpid()
    try:
        elsewhere = processes.descendants(me) - (processes.in_session({me}) if leads else set())
        if leads:
            processes.kill_group(me, signal.SIGTERM)
        for pid in elsewhere:
            processes.kill(pid, signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


def _write(descriptor: int, data: bytes) -> None:
    with suppress(OSError):  # the disk of the log is full
        while data:
            data = data[os.write(descriptor, data) :]
