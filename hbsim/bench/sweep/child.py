"""Studies in a process of the sweep's own, which is not to outlive it."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Sequence
from functools import cache
from multiprocessing.connection import wait

import polars as pl

from hbsim.bench.sweep.outcome import run_studies
from hbsim.bench.sweep.study import Study

__all__ = ["run_in_child"]


def run_in_child(studies: Sequence[tuple[Study, bool]]) -> dict[str, pl.DataFrame]:
    """Run studies as `run_studies` does; this process ends as soon as the one that started it is gone."""
    _end_with_parent()
    return run_studies(studies)


@cache
def _end_with_parent() -> None:
    """Watch the parent from now on: when it is killed, a process of a pool would wait for ever."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()
