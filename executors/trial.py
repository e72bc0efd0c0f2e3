"""A trial's process: calls the training function, and reports its end to the controller."""

from __future__ import annotations

import errno
import os
import random
import signal
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from math import inf
from types import FrameType
from typing import Any

import numpy as np

from hbsim.core.space import Args, arguments, space_of
from hbsim.errors import ParameterError
from hbsim.executors import processes
from hbsim.executors.processes import Lease
from hbsim.executors.rank_failure import failure, reason_of, text_of
from hbsim.executors.reporter import Reporter
from hbsim.executors.script_process import ScriptFailed
from hbsim.executors.trial_session import (
    ControllerGone,
    TrialChannel,
    TrialEnd,
    TrialSession,
    leave_process,
    write_out,
)
from hbsim.ranks import VARIABLE, begin_trial

_LOOK = 0.01  # seconds between two looks at the ranks' processes
_SHARE = 0.45  # of the grace: for ranks that leave
_SOON = 0.2  # seconds after which ranks are looked at where the function does not end
_CLASSES = ("OutOfMemoryError", "ResourceExhaustedError")  # of PyTorch and CuPy, and of TensorFlow


def run(function: Callable[..., object], connection: socket.socket) -> int:
    """Run one job of a training function, in the process that was started for it.

    Parameters
    ----------
    function : callable
        ``function(args, reporter)``, decorated with `hbsim.args`.
    connection : socket.socket
        The connection to the controller, which sends the task and the setup in the first line. It is closed
        at the end.

    Returns
    -------
    code : int
        The process's exit code: 0 if the function returned or left on an order, else 1, with the traceback on
        stderr.
    """
    started = time.monotonic()
    channel = TrialChannel(connection)
    try:
        order = channel.begin()
        return _run(function, order["task"], order["setup"], channel, started)
    except ControllerGone:
        return 1
    finally:
        connection.close()


def _run(
    function: Callable[..., object],
    task: Mapping[str, Any],
    setup: Mapping[str, Any],
    channel: TrialChannel,
    started: float,
) -> int:
    milestone = inf if task["stop"] is None else task["stop"]
    session = TrialSession(channel, milestone, _lease(setup, channel), bool(setup.get("saves")))
    owner, patience = os.getpid(), _SHARE * float(setup.get("grace", 0.0))
    begin_trial()
    os.environ[VARIABLE] = session.ranks.path
    with _sigterm(session, patience):
        error = _call(function, task, setup, session, started, patience)
        if session.left and session.ranks.reporter:
            error = None  # it says that ranks, which had to leave, have ended
        kind, reason = (None, "") if error is None else _failure(error)
        if session.end_reason in ("returned", "failed") and (of_rank := failure(session.ranks, error)):
            kind, reason = of_rank
        if error is not None and kind is not None:
            _print_traceback(error)
        if os.getpid() != owner:  # a process that the function has forked: it reports no end of the trial
            leave_process(0 if kind is None else 1)
        write_out()  # the log is whole before the end is reported
        session.finish(kind, reason)
        if session.left or kind is not None:
            _end_ranks(session, patience)
    return 0 if session.left or (kind is None and session.end_reason != "fatal") else 1


def _lease(setup: Mapping[str, Any], channel: TrialChannel) -> Lease | None:
    """Open the lease; if its file was removed, report the job as lost, not as failed."""
    if "lease" not in setup:
        return None
    try:
        return Lease(setup["lease"])
    except OSError as error:
        end = {"kind": "lost", "reason": f"its host has no lease for it: {error}", "left": False}
        channel.send({"end": {**end, "seconds": {}}})
        leave_process(1)


def _call(
    function: Callable[..., object],
    task: Mapping[str, Any],
    setup: Mapping[str, Any],
    session: TrialSession,
    started: float,
    patience: float,
) -> BaseException | None:
    """Call the function; return the error that ended it."""
    while True:
        try:
            try:
                args, reporter = _given(function, task, setup, session)
                seed_everything(task["seed"], task["start"], task["attempt"])
                session.begin()
                session.seconds.setdefault("start", time.monotonic() - started)
                function(args, reporter)
                session.returned()
            finally:
                session.close()
        except ControllerGone:
            raise
        except TrialEnd:
            if session.end_reason == "again" and not session.is_rank:
                _end_ranks(session, patience)
            if not session.reopen():
                return None
        except BaseException as error:  # every error is reported
            return error
        else:
            return None


def _given(
    function: Callable[..., object], task: Mapping[str, Any], setup: Mapping[str, Any], session: TrialSession
) -> tuple[Args, Reporter]:
    try:
        args, given = _arguments(function, task, setup)
        return args, Reporter(session, task, setup, space_of(function).names, given)
    except ParameterError as error:  # it would be the same for every trial
        value = error.value if isinstance(error.value, str | int | None) else repr(error.value)
        session.fatal(error.field, value, error.rule)


def _arguments(
    function: Callable[..., object], task: Mapping[str, Any], setup: Mapping[str, Any]
) -> tuple[Args, dict[str, object]]:
    """Return the function's arguments, and those among them that the user has given names."""
    space = space_of(function)
    point = np.asarray(task["point"], dtype=np.float64)
    args = arguments(function, {**space.mapping(point), **(setup.get("constants") or {})})
    given = dict(args)
    more: dict[str, object] = {"trial": task["trial"], "seed": task["seed"]}
    # AutoTorch's names. The process sees its own GPUs only, so they are numbered from 0.
    seen = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    more |= {"task_id": task["trial"], "gpu_ids": list(range(len(seen.split(",")) if seen else 0))}
    start = task["start"]
    if start > 0:
        more["resume_from"] = int(start) if start == int(start) else start
    for name, value in more.items():
        if name not in space:
            args[name] = value
            given.pop(name, None)
    return args, given


@contextmanager
def _sigterm(session: TrialSession, patience: float) -> Iterator[None]:
    """Make SIGTERM end the function by `TrialEnd`; it ends processes that the function forks as usual.

    Where rank 0 has sent the signal, ranks that do not leave are ended, even if the function waits for them.
    """

    def leave(number: int, frame: FrameType | None) -> None:
        if session.ranks.left:
            signal.signal(signal.SIGALRM, lambda number, frame: _end_ranks(session, patience))
            signal.setitimer(signal.ITIMER_REAL, _SOON)
        session.terminate()

    def forked() -> None:
        if signal.getsignal(signal.SIGTERM) is leave:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    os.register_at_fork(after_in_child=forked)
    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)


def _end_ranks(session: TrialSession, patience: float) -> None:
    """Send SIGTERM to processes that the function has left: waiting for them would block the worker.

    Ranks that leave the function have some seconds to end. The others may hang in a collective operation.
    """
    signal.setitimer(signal.ITIMER_REAL, 0.0)
    deadline = time.monotonic() + patience
    waits = session.ranks.left not in ("", "failed")
    while waits and session.ranks.any_runs() and time.monotonic() < deadline:
        time.sleep(_LOOK)
    if os.getpgrp() == os.getpid():  # only the trial's own group
        # PyTorch's handlers raise errors: where a worker has died, and after an elastic launch at SIGTERM
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
        processes.kill_group(os.getpid(), signal.SIGTERM)
        signal.signal(signal.SIGTERM, before)


def _failure(error: BaseException) -> tuple[str | None, str]:
    """Return the kind of failure, None if the error is no failure, and the reason in one line."""
    if isinstance(error, SystemExit):
        if error.code is None or error.code == 0:
            return None, ""
        return "error", _exit_status(error)
    if isinstance(error, ScriptFailed):
        return error.kind, str(error)
    return ("oom" if _is_out_of_memory(error) else "error"), reason_of(error)


def _exit_status(error: SystemExit) -> str:
    return f"exit status {error.code}" if isinstance(error.code, int) else f"exit status 1: {text_of(error)}"


def _is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error, or the one that caused it, is a lack of memory: of the host, or of a GPU."""
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    if isinstance(error, RuntimeError) and processes.tells_of_memory(text_of(error)):
        return True  # of PyTorch and JAX, which have no class of their own for all cases
    if any(kind.__name__ in _CLASSES for kind in type(error).__mro__):
        return True
    return error.__cause__ is not None and _is_out_of_memory(error.__cause__)


def _print_traceback(error: BaseException) -> None:
    if isinstance(error, ScriptFailed):  # the log has what the script printed
        print(f"hbsim: the script failed: {error}", file=sys.stderr)
        return
    with suppress(Exception):  # stderr may be closed, its disk may be full
        text = "".join(traceback.format_exception(error))
        encoding = sys.stderr.encoding or "utf-8"
        sys.stderr.write(text.encode(encoding, "backslashreplace").decode(encoding))


def seed_everything(seed: int, start: float = 0.0, attempt: int = 0) -> None:
    """Seed the global random generators of training code: `random`, NumPy, and PyTorch if it is loaded.

    All trials are forked from one server, so without this all would draw the same numbers. Global random
    state is changed only here: it belongs to the training function, not to hbsim.

    Parameters
    ----------
    seed : int
        The trial's seed.
    start : float
        The milestone where the job starts, so that a later job does not draw the same numbers as the first.
    attempt : int
        The number of times that the trial has failed, for the same purpose.
    """
    if start or attempt:
        entropy = [seed, attempt, *struct.unpack("<II", struct.pack("<d", start))]
        seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
    random.seed(seed)  # noqa: TID251
    np.random.seed(seed)  # noqa: NPY002, TID251
    if torch := sys.modules.get("torch"):
        torch.manual_seed(seed)
