"""Who shows a study while it runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from importlib import import_module
from typing import Final

from hbsim.errors import ParameterError
from hbsim.executors.slots import Slot, describe
from hbsim.live.folder import StudyFolder
from hbsim.live.glance import Glance
from hbsim.live.load import Standing
from hbsim.live.spec import Spec
from hbsim.runner.real import Observer

__all__ = ["PROGRESS", "VISUALIZERS", "check_shown", "shown"]

PROGRESS: Final = ("auto", "table", "lines", "none")
VISUALIZERS: Final = ("none", "tensorboard")


def check_shown(visualizer: str, progress: str) -> None:
    """Check that a study can be shown as asked.

    Raises
    ------
    ParameterError
        A value is unknown, or tensorboardX is not installed.
    """
    if progress not in PROGRESS:
        raise ParameterError("progress", progress, f"must be one of {', '.join(PROGRESS)}")
    if visualizer not in VISUALIZERS:
        raise ParameterError("visualizer", visualizer, f"must be one of {', '.join(VISUALIZERS)}")
    if visualizer == "tensorboard":
        try:
            import_module("tensorboardX")
        except ImportError:
            rule = "needs tensorboardX: pip install 'hbsim[tensorboard]'"
            raise ParameterError("visualizer", visualizer, rule) from None


def shown(
    stack: ExitStack,
    spec: Spec,
    standing: Standing,
    place: StudyFolder,
    visualizer: str,
    progress: str,
    slots: Sequence[Slot],
) -> list[Observer]:
    """Return what shows a study that is about to run.

    Parameters
    ----------
    stack : ExitStack
        Ends it.
    spec, standing, place
        What the study is, where it stands, and its folder.
    visualizer, progress : str
        As `hbsim.run` has them.
    slots : sequence of Slot
        The workers' shares of the machine.
    """
    observers: list[Observer] = []
    kind = progress if progress != "auto" else "table" if _terminal() else "lines"
    if kind != "none":
        observers.append(_progress(kind, stack, Glance(spec, standing, place, len(slots)), slots))
    if visualizer == "tensorboard":
        from hbsim.live.tensorboard import TensorBoard

        board = TensorBoard(spec, standing, place)
        stack.callback(board.close)
        observers.append(board)
    return observers


def _terminal() -> bool:
    """Return whether stderr is a terminal on which a line can be drawn again."""
    dumb = os.environ.get("TERM", "").lower() in ("dumb", "unknown")
    return sys.stderr is not None and sys.stderr.isatty() and not dumb


def _progress(kind: str, stack: ExitStack, glance: Glance, slots: Sequence[Slot]) -> Observer:
    if kind == "table":
        from hbsim.live.table import LiveTable

        table = LiveTable(glance, slots, describe(slots))
        stack.callback(table.close)
        return table
    from hbsim.live.lines import PlainLines

    return PlainLines(glance, describe(slots))
