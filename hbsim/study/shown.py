"""Who shows a study while it runs."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress

from hbsim.executors.slots import describe
from hbsim.runner.real import Observer
from hbsim.study.executors import StudyWorkers
from hbsim.study.folder import StudyFolder
from hbsim.study.load import Standing
from hbsim.study.options import RunOptions
from hbsim.study.overview import Overview
from hbsim.study.spec import Spec
from hbsim.terminal import print_err

__all__ = ["shown", "teller"]


def shown(
    stack: ExitStack,
    spec: Spec,
    standing: Standing,
    place: StudyFolder,
    options: RunOptions,
    workers: StudyWorkers,
) -> list[Observer]:
    """Return what shows a study that is about to run.

    Parameters
    ----------
    stack : ExitStack
        Ends it.
    spec, standing, place
        What the study is, where it stands, and its folder.
    options : RunOptions
        Say whether there is a visualizer, and how progress is shown.
    workers : StudyWorkers
        Who runs it.
    """
    observers: list[Observer] = []
    kind = options.progress if options.progress != "auto" else "table" if _terminal() else "lines"
    if kind != "none":
        count = None if workers.hosts() else len(workers.slots)
        observers.append(_progress(kind, stack, Overview(spec, standing, place, count), workers))
    if options.visualizer == "tensorboard":
        from hbsim.study.tensorboard import TensorBoard

        board = TensorBoard(spec, standing, place)
        stack.callback(board.close)
        observers.append(board)
    return observers


def _terminal() -> bool:
    """Return whether stderr is a terminal on which a line can be drawn again."""
    dumb = os.environ.get("TERM", "").lower() in ("dumb", "unknown")
    return sys.stderr is not None and sys.stderr.isatty() and not dumb


def teller(progress: str) -> Callable[[str], None]:
    """Return what tells people what is done before a study begins."""

    def tell(text: str) -> None:
        # stderr may be closed, or no one's.
        with suppress(OSError, ValueError):
            print_err(f"hbsim: {text}")

    def tell_nobody(text: str) -> None:
        """Keep quiet."""

    return tell_nobody if progress == "none" else tell


def _progress(kind: str, stack: ExitStack, overview: Overview, workers: StudyWorkers) -> Observer:
    if kind == "table":
        from hbsim.study.table import LiveTable

        table = LiveTable(overview, lambda: workers.slots, lambda: _about(workers, overview.team.open))
        stack.callback(table.close)
        return table
    from hbsim.study.lines import PlainLines

    return PlainLines(overview, _about(workers, range(len(workers.slots))))


def _about(workers: StudyWorkers, numbers: Sequence[int]) -> str:
    """Say in a line what there is to say about some of the workers."""
    slots, hosts = workers.slots, workers.hosts()
    if not hosts:
        return describe(slots)
    there = [slots[worker] for worker in numbers if worker < len(slots)]
    if not there:
        return "no workers" if slots else "no workers yet"
    kinds = {(slot.cpus and len(slot.cpus), slot.threads, len(slot.gpus), slot.sharing) for slot in there}
    shares = describe(there) if len(kinds) == 1 else f"{len(there)} workers of {len(kinds)} sizes"
    return f"{shares} on {hosts}"
