"""Failures in one line: of a training function, and of ranks, the processes that it has started.

A rank writes down the error that ends it, so that its trial fails for that reason: what the function itself
raises, if anything, says only that a process has ended.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Final

from hbsim.errors import ParameterError
from hbsim.executors import processes
from hbsim.executors.trial_session import TrialEnd
from hbsim.ranks import VARIABLE, Ranks, rank_and_size

_KILLED: Final = "its process was killed"
_FOLDER: Final = Path(__file__).parent


def watch(ranks: Ranks) -> bool:
    """Have this process, if `multiprocessing` has started it, write down its error; return whether it has."""
    from multiprocessing import parent_process, util

    if parent_process() is None:
        return False
    util.Finalize(None, _end, (ranks,), exitpriority=0)
    return True


def watch_later(ranks: Ranks) -> None:
    """Have this process, in which `multiprocessing` unpickles what it runs, write down its error."""
    from multiprocessing import util

    me = os.getpid()

    def again(ranks: Ranks) -> None:  # a fork server's process forgets what it has to do at its end
        if os.getpid() == me:  # and not one that it forks
            watch(ranks)

    util.Finalize(None, _end, (ranks,), exitpriority=0)
    util.register_after_fork(ranks, again)


def refuse_rank() -> None:
    """Fail the trial where this process is another rank of it, and starts the study anew.

    Raises
    ------
    ParameterError
        It is one.
    """
    process = sys.modules.get("multiprocessing.process")
    is_starting = process is not None and getattr(process.current_process(), "_inheriting", False)
    if VARIABLE not in os.environ or not (is_starting or rank_and_size()[0]):
        return
    what, rule = "the file is executed again for each", 'start the study under `if __name__ == "__main__":`'
    if not is_starting:
        what, rule = 'Lightning\'s strategy "ddp" starts it for each', 'use strategy="ddp_spawn"'
    error = ParameterError(
        "train", sys.argv[0], f"must not start a study in a rank of a trial: {what}; {rule}"
    )
    ranks = Ranks.of_script()
    if ranks is not None and not ranks.left:
        ranks.leave("failed", f"ParameterError: {error}")
        processes.kill(ranks.trial_process, signal.SIGTERM)
    raise error


def failure(ranks: Ranks, error: BaseException | None) -> tuple[str, str] | None:
    """Return the kind of failure and the reason of the rank that failed first; None if there is none.

    Parameters
    ----------
    ranks : Ranks
        The trial's ranks.
    error : BaseException or None
        The error that has ended the training function.
    """
    reason = ranks.problem if ranks.left == "failed" else ""
    index = getattr(error, "error_index", None)
    if not reason and index is not None:  # of torch.multiprocessing, for a rank without reports
        reason = f"rank {index}: {_of_process(error)}"
    if not reason:
        killed = ranks.killed()
        reason = "" if killed is None else f"rank {killed}: {_KILLED}"
    if not reason:
        return None
    if reason.endswith(_KILLED):
        return "lost", reason
    return ("oom" if processes.tells_of_memory(reason) else "error"), reason


def reason_of(error: BaseException) -> str:
    """Return the error and the innermost line outside of this package, in one line."""
    text = text_of(error)
    reason = f"{type(error).__name__}: {text}" if text else type(error).__name__
    with suppress(Exception):
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if Path(frame.filename).parent != _FOLDER]
        frame = (own or frames)[-1]
        reason += f" ({Path(frame.filename).name}:{frame.lineno})"
    return reason


def text_of(error: BaseException) -> str:
    """Return the first line of the error's text, or a substitute if it has no text."""
    try:
        return str(error).strip().partition("\n")[0][:300]
    except BaseException:  # its __str__ is the user's
        return "its text cannot be shown"


def _end(ranks: Ranks) -> None:
    """Write down how this process ends; `multiprocessing` calls this while it handles the error, if any.

    A failure ends the other ranks: they, or the function, may wait for this one.
    """
    ended_by = error = sys.exc_info()[1]
    while isinstance(error, SystemExit) and not isinstance(error, TrialEnd) and error.__context__ is not None:
        error = error.__context__  # torch.multiprocessing has raised the former for the latter
    if isinstance(error, TrialEnd) or error is None or (isinstance(error, SystemExit) and not error.code):
        ranks.end()
        return
    if error is not ended_by:
        traceback.print_exception(error)
    reason = f"exit status {error.code}" if isinstance(error, SystemExit) else reason_of(error)
    rank = ranks.rank()
    rank = rank_and_size()[0] if rank is None else rank
    ranks.end()
    if (killed := ranks.killed()) is not None:  # the error is only that this rank has lost the other one
        rank, reason = killed, _KILLED
    if not ranks.left:
        ranks.leave("failed", f"rank {rank}: {reason}")
        processes.kill(ranks.trial_process, signal.SIGTERM)


def _of_process(error: BaseException | None) -> str:
    """Return why a process has ended, of an error of torch.multiprocessing."""
    signal_name, code = getattr(error, "signal_name", None), getattr(error, "exit_code", None)
    if signal_name in ("SIGKILL", "SIGTERM"):
        return _KILLED
    if signal_name is not None:
        return f"ended by {signal_name}"
    if code is not None:
        return f"exit status {code}"
    return str(error).strip().splitlines()[-1][:300]
