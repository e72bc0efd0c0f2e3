"""The interruption of studies by signals: the first ends a study cleanly, the second at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

# SIGUSR1 is what SLURM sends before a time limit: `sbatch --signal=B:USR1@120`.
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


class Interrupted(KeyboardInterrupt):
    """Raised after an interrupted study has ended cleanly; a real study can be resumed.

    Attributes
    ----------
    result : RunResult or Result
        The result of the study so far.
    """

    def __init__(self, text: str, result: Any) -> None:
        self.result = result
        super().__init__(text)

    def _render_traceback_(self) -> list[str]:
        """Return the lines that a notebook shows of it."""
        return [f"Interrupted: {self}"]


@contextmanager
def interruptible(
    interrupt: Callable[[int], None], signals: Sequence[signal.Signals] = SIGNALS
) -> Iterator[None]:
    """Call `interrupt` at the first of the signals; raise KeyboardInterrupt at the second.

    Only the main thread can set signal handlers; in other threads this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    usual = {number: signal.getsignal(number) for number in signals}
    count = 0

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        if count > 1:
            raise KeyboardInterrupt
        interrupt(number)

    # A signal that is ignored stays so: nohup ignores SIGHUP, and a shell the SIGINT of its background jobs.
    ours = [number for number, handler in usual.items() if handler != signal.SIG_IGN]
    for number in ours:
        signal.signal(number, handle)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, usual[number])
