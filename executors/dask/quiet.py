"""Dask's and SSH's log kept off the terminal, with its end at hand for when something fails."""

from __future__ import annotations

import importlib
import logging
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

__all__ = ["Kept", "quiet"]

LAST: Final = 30  # lines
_LOGGERS: Final = ("distributed", "distributed.client", "tornado", "tornado.application", "asyncssh")
_STARTS: Final = "distributed.deploy.ssh"  # logs what is said on hosts while they start


class Kept(logging.Handler):
    """Keeps the last lines.

    Attributes
    ----------
    lines : deque of str
        Warnings, and what hosts say while they start, without time and place.
    """

    def __init__(self) -> None:
        super().__init__()
        self.lines: deque[str] = deque(maxlen=LAST)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record's message."""
        if record.levelno >= logging.WARNING or record.name == _STARTS:
            self.lines.append(record.getMessage())


@contextmanager
def quiet() -> Iterator[Kept]:
    """Take what Dask and SSH log from handlers that write to the terminal; others get it as ever."""
    importlib.import_module("distributed")  # which makes its handlers
    kept = Kept()
    with ExitStack() as stack:
        for name in _LOGGERS:
            stack.enter_context(_rerouted(logging.getLogger(name), kept))
        starts = logging.getLogger(_STARTS)
        stack.callback(starts.setLevel, starts.level)
        starts.setLevel(logging.INFO)
        yield kept


@contextmanager
def _rerouted(logger: logging.Logger, kept: Kept) -> Iterator[None]:
    before, passes_on = logger.handlers[:], logger.propagate
    everyone = [*before, *(logging.getLogger().handlers if passes_on else ())]
    logger.handlers[:] = [kept, *(handler for handler in everyone if not _is_terminal(handler))]
    logger.propagate = False
    try:
        yield
    finally:
        logger.handlers[:] = before
        logger.propagate = passes_on


def _is_terminal(handler: logging.Handler) -> bool:
    return isinstance(handler, logging.StreamHandler) and handler.stream in (sys.stderr, sys.stdout)
