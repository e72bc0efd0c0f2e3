"""What a study on Dask is: for the controller, and for its agents."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hbsim.executors.dask.mark import Mark
from hbsim.executors.dask.options import Dask

__all__ = ["Plan"]


class Plan:
    """What a study on Dask is, for the controller and for its agents.

    Parameters
    ----------
    options : Dask
        Which cluster, and how.
    bundle : mapping
        The training function's code, of `make_bundle`.
    trials : Path
        The study's folder of trials.
    setup : mapping
        What every trial's reporter has to know.
    start : "fork", "spawn" or None
        How trials' processes are started; None: as is usual on the host.
    grace : float
        Seconds between SIGTERM and SIGKILL.
    study : str
        The study's id.
    """

    def __init__(
        self,
        options: Dask,
        bundle: Mapping[str, Any],
        trials: Path,
        setup: Mapping[str, Any],
        start: str | None,
        grace: float,
        study: str,
    ) -> None:
        self.options, self.bundle, self.trials, self.study = options, bundle, trials, study
        self.session = secrets.token_hex(8)
        self.name = f"hbsim-{self.session}"
        self.mark = Mark(trials, self.session, float(options.lease))
        # What is in the memory of a worker's process is nowhere else: the others have to pull it.
        in_memory = options.storage.startswith("memory://")
        self._storage = "pull" if in_memory else options.storage
        self.url = self._storage if "://" in self._storage else None
        self._setup, self._start, self._grace = dict(setup), start, grace

    def config(self) -> str:
        """Return what every agent has to know, as JSON."""
        about = {"session": self.session, "study": self.study, "bundle": self.bundle, "setup": self._setup}
        how = {"start": self._start, "grace": self._grace, "lease": float(self.options.lease)}
        where = {"trials": str(self.trials), "probe": self.mark.text, "storage": self._storage}
        return json.dumps({**about, **how, **where})
