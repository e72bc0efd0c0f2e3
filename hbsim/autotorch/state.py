"""The state of AutoTorch's scheduler classes, in plain JSON types."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from hbsim.autotorch.running import STATE, CheckpointFolder
from hbsim.core.space import Space
from hbsim.errors import OutputError, ParameterError
from hbsim.searchers.factory import plain_options
from hbsim.study.folder import StudyFolder

if TYPE_CHECKING:
    from hbsim.autotorch.options import StudyParameters
    from hbsim.autotorch.running import StudyRunner
    from hbsim.autotorch.studies import AutoTorchStudy, Queue
    from hbsim.core.scheduler import Scheduler

SCHEMA: Final = 1


def options_of(executor: str, setting: StudyParameters, study: AutoTorchStudy) -> dict[str, object]:
    """Return the options, beside those of the core, that must be the same when a state is loaded."""
    run = setting.run
    searcher = run.searcher
    named = searcher is None or isinstance(searcher, str)
    searched = plain_options(run.search_options)
    return {
        # A study can go on wherever its trials run.
        "executor": "sim" if executor == "sim" else "local",
        "surrogate": study.surrogate,
        "space": None if study.space is None else study.space.to_json(),
        "searcher": searcher or "random" if named else type(searcher).__name__,
        "seed": run.seed,
        "time_attr": run.time_attr,
        "reward_attr": run.metric,
        "args": run.constants,
        "maxt_pending": setting.maxt_pending,
        **({"search_options": searched} if searched else {}),
    }


@dataclass(frozen=True)
class SchedulerState:
    """The content of a `state_dict`.

    Attributes
    ----------
    options : mapping
        Of `options_of`.
    core : dict
        Of the core scheduler; its own options are part of it.
    folder : str
        The study's.
    queue : list of (int, list of float)
        All points of `add_job`, in their order, with the trial that has each.
    trials : mapping
        How many have started, and how many there are of each status.
    """

    options: Mapping[str, object]
    core: dict[str, object]
    folder: str
    queue: Queue
    trials: Mapping[str, int]

    def as_dict(self) -> dict[str, object]:
        """Return it in plain JSON types."""
        return {
            "schema": SCHEMA,
            "options": dict(self.options),
            "folder": self.folder,
            "queue": [list(point) for _, point in self.queue],
            "queued_trials": [trial for trial, _ in self.queue],
            "trials": dict(self.trials),
            "scheduler": self.core,
        }


def make_state(options: Mapping[str, object], core: Scheduler, folder: str, queue: Queue) -> SchedulerState:
    """Make the state of a study from that of its core scheduler."""
    trials = {"started": core.started, **core.status_counts()}
    return SchedulerState(options, core.state_dict(), folder, queue, trials)


def read_state(
    data: Mapping[str, Any],
    options: Mapping[str, object],
    fresh: Callable[[int | None], Scheduler],
    space: Space | None,
) -> tuple[SchedulerState, Scheduler]:
    """Read a state that `SchedulerState.as_dict` returned, and restore its core scheduler, made by `fresh`.

    Raises
    ------
    ParameterError
        The state is not valid, or of other options.
    """
    if not isinstance(data, Mapping) or data.get("schema") != SCHEMA or "scheduler" not in data:
        shown = data.get("schema") if isinstance(data, Mapping) else data
        raise ParameterError("state_dict", shown, "must be what state_dict() returned")
    try:
        points = data["queue"]
        queue = list(zip(data.get("queued_trials", range(len(points))), map(list, points), strict=True))
        state = SchedulerState(data["options"], data["scheduler"], str(data["folder"]), queue, data["trials"])
        _check_same(options, state.options)
        _check_queue(state.queue, space)
        core = fresh(data["scheduler"].get("options", {}).get("num_trials"))
    except ParameterError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        problem = f"{type(error).__name__}: {error}"
        raise ParameterError("state_dict", problem, "must be what state_dict() returned") from None
    core.load_state_dict(state.core)
    return state, core


def _check_same(ours: Mapping[str, object], theirs: Mapping[str, object]) -> None:
    for name in sorted({*ours, *theirs}):
        if ours.get(name) != theirs.get(name):
            rule = f"the state is of a scheduler with {name}={theirs.get(name)!r}; they must be the same"
            raise ParameterError(name, ours.get(name), rule)


def _check_queue(queue: Queue, space: Space | None) -> None:
    for _, point in queue:
        if space is None:
            raise ParameterError("queue", point, "there are no configurations to queue here, only rows")
        space.mapping(np.array(point, dtype=np.float64))


def adopt(running: StudyRunner, study: AutoTorchStudy, state: SchedulerState) -> None:
    """Let `running` go on with the study of a state, in the state's folder if that still exists.

    Raises
    ------
    ParameterError
        There is no such study in either folder.
    """
    for folder in (state.folder, str(running.place.path)):
        if StudyFolder(folder).holds_study:
            place = running.place if folder == str(running.place.path) else CheckpointFolder(folder)
            result = study.load(place)
            if result.scheduler.started < state.trials["started"]:
                rule = f"is of another study: the one in {folder} has {result.scheduler.started} trials"
                raise ParameterError("trials", state.trials["started"], rule)
            running.adopt(place, result)
            return
    rule = "holds no study: the state goes on with its journal, here or in checkpoint"
    raise ParameterError("state_dict", state.folder, rule)


def write_state(state: Mapping[str, object], path: Path) -> Path:
    """Write a state into a file, or into ``scheduler.json`` in a folder; return the file."""
    file = path if path.suffix and not path.is_dir() else path / STATE
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(str(file.parent), f"cannot be made: {error.strerror}") from error
    StudyFolder(file.parent).write(file.name, state)
    return file
