"""A process on a host that ends everything it has started when the connection that started it is gone.

SSH leaves processes running when its client dies, Dask's among them. The tether reads its standard input:
that ends with the connection, whether by a clean end, by Ctrl-C or by ``kill -9`` at the other side.

``keep`` takes files in one line of JSON, writes them into a folder for its owner only, and prints
``hbsim keeps FOLDER``. When its input ends it waits for all that runs in the folder, and removes it.

``run FOLDER NAME ARGUMENT...`` runs this Python with the arguments, in which ``@folder@`` stands for the
folder. What the process says is passed on only as far as Dask waits for it: the lines in which it names its
address, and, if it ends by itself, the last ones, each with `NAME` before it.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import selectors
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NoReturn

from hbsim.executors import proc

__all__ = ["FOLDER", "KEEPS", "main"]

FOLDER: Final = "@folder@"
KEEPS: Final = "hbsim keeps "
GRACE: Final = 3.0  # seconds that are left to what the process has started
PATIENCE: Final = 12.0  # seconds until a folder is removed though something still runs in it
GIVE_UP: Final = 5.0  # seconds after which what SIGKILL does not end is left alone
_LOCK: Final = "lock"  # shared by all that run in the folder
_LAST: Final = 40  # lines
_ADDRESS: Final = re.compile(rb"(Scheduler|worker) at:")
_POLL: Final = 0.02


def main() -> NoReturn:
    """Keep a folder, or run a process in it, until the standard input ends."""
    word, *rest = sys.argv[1:]
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)  # what is to end it is the end of its input
    if word == "keep":
        _keep()
    else:
        folder, name, *arguments = rest
        _in_session_of_its_own()
        os._exit(_Tether(Path(folder), name).run(arguments))
    os._exit(0)


# A folder


def _keep() -> None:
    files = json.loads(sys.stdin.buffer.readline())
    folder = Path(tempfile.mkdtemp(prefix="hbsim-dask-"))  # of mode 700
    try:
        for name, text in {_LOCK: "", **files}.items():
            descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
        print(f"{KEEPS}{folder}", flush=True)
        while os.read(0, 1024):
            pass
        _wait_until_empty(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _wait_until_empty(folder: Path) -> None:
    until = time.monotonic() + PATIENCE
    with open(folder / _LOCK, "rb") as file:
        while time.monotonic() < until:
            with suppress(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            time.sleep(_POLL)


# A process


def _in_session_of_its_own() -> None:
    """Go on in a child that signals to this process do not reach: sshd sends SIGKILL to the whole group."""
    child = os.fork()
    if child == 0:
        os.setsid()
        return
    _, status = os.waitpid(child, 0)
    os._exit(_code(status))


class _Tether:
    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name
        self._said: deque[bytes] = deque(maxlen=_LAST)
        self._rest = b""  # of a line that is not whole yet
        self._signals: socket.socket | None = None
        self._child = 0
        self._status: int | None = None

    def run(self, arguments: Sequence[str]) -> int:
        """Run Python until it ends, or the input does; return an exit code when nothing of it is left."""
        try:
            lock = os.open(self._folder / _LOCK, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            print(f"{self._name}: {self._folder}: {error.strerror}", file=sys.stderr)
            return 1
        fcntl.flock(lock, fcntl.LOCK_SH)
        proc.adopt_orphans()
        output = self._start(arguments)
        asked = self._watch(output)
        self._end()
        if not asked:
            self._read(output)
            lines = [line for line in (*self._said, self._rest) if line.strip()]
            self._tell([b"%s: %s" % (self._name.encode(), line) for line in lines])
        return 0 if asked or self._status is None else _code(self._status)

    def _start(self, arguments: Sequence[str]) -> int:
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        words = [word.replace(FOLDER, str(self._folder)) for word in arguments]
        me = os.getpid()
        process = subprocess.Popen(
            [sys.executable, "-P", *words],  # whatever lies in the home folder is no module
            stdin=subprocess.DEVNULL,
            stdout=writing,
            stderr=writing,
            start_new_session=True,
            preexec_fn=lambda: _begin(me),
        )
        os.close(writing)
        self._child = process.pid
        return reading

    def _watch(self, output: int) -> bool:
        """Return whether the input has ended, rather than the process."""
        with selectors.PollSelector() as selector:
            selector.register(0, selectors.EVENT_READ)
            selector.register(output, selectors.EVENT_READ)
            self._signals = _wake_up_by(signal.SIGCHLD, signal.SIGTERM)
            selector.register(self._signals, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fd == output:
                        if not self._read(output):
                            selector.unregister(output)
                    elif key.fd == 0:
                        if not os.read(0, 4096):
                            return True
                    elif signal.SIGTERM in self._signals.recv(64):
                        return True
                self._reap()
                if self._status is not None:
                    return False

    def _read(self, output: int) -> bool:
        """Take what has been said; whether there may be more to come."""
        try:
            while data := os.read(output, 65536):
                *lines, self._rest = (self._rest + data).split(b"\n")
                self._said.extend(lines)
                self._tell([line for line in lines if _ADDRESS.search(line)])
        except BlockingIOError:
            return True
        return False

    def _tell(self, lines: Sequence[bytes]) -> None:
        with suppress(OSError):  # nobody is there any more
            for line in lines:
                os.write(2, line + b"\n")

    def _end(self) -> None:
        """End the process, and whatever it has left behind.

        At once: Dask's own way to close may take seconds, and keeps nothing. What the process has started
        sees that it is gone, and has a while to end in good order.
        """
        if self._status is None:
            proc.kill(self._child)
        until = time.monotonic() + GRACE
        while self._reap() and time.monotonic() < until:
            time.sleep(_POLL)
        until = time.monotonic() + GIVE_UP
        while self._reap() and time.monotonic() < until:
            for pid in proc.children() or {self._child}:  # theirs come down to this one, and are next
                proc.kill(pid)
            time.sleep(_POLL)

    def _reap(self) -> bool:
        """Bury what has ended; whether there are other children, adopted ones included."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self._child:
                self._status = status


def _begin(parent: int) -> None:
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    proc.die_with_parent(parent)


def _wake_up_by(*numbers: int) -> socket.socket:
    """Return what can be read when one of these signals has come; it gives their numbers."""
    reading, writing = socket.socketpair()
    for end in (reading, writing):
        end.setblocking(False)
    for number in numbers:
        signal.signal(number, lambda number, frame: None)
    signal.set_wakeup_fd(writing.detach(), warn_on_full_buffer=False)
    return reading


def _code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    main()
