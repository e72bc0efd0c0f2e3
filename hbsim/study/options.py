"""The options of real studies: one declaration for `hbsim.run`, `hbsim.record`, command line and docs."""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from importlib import import_module
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from hbsim.core.numbers import exact, whole
from hbsim.errors import HbsimWarning, ParameterError, needs
from hbsim.options import check_options, one_of, option, parse_duration
from hbsim.study.page import page_file
from hbsim.surrogates.options import SurrogateOptions

if TYPE_CHECKING:
    from hbsim.runner.real import Limits


def seconds(name: str, value: object) -> float | None:
    """Return the seconds of a duration, which must be above 0, or None."""
    if value is None:
        return None
    number = _duration(name, value)
    if number <= 0:
        raise ParameterError(name, value, "must be above 0, in seconds")
    return number


def _grace(name: str, value: object) -> float:
    if _duration(name, value) < 0:
        raise ParameterError(name, value, "must be 0 or more, in seconds")
    return _duration(name, value)


def _duration(name: str, value: object) -> float:
    if isinstance(value, str):
        try:
            value = parse_duration(value)
        except ValueError:
            raise ParameterError(name, value, "must be seconds, or a text as 90s, 30m, 1.5h or 2d") from None
    return float(exact(name, value))


def _max_reward(name: str, value: object) -> float | None:
    return None if value is None else float(exact(name, value))


def _start(name: str, value: object) -> str | None:
    return None if value is None else one_of("fork", "spawn")(name, value)


def _reported_name(name: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ParameterError(name, value, "must be a name that the training function reports")
    return value


def _metric(name: str, value: object) -> str | None:
    return None if value is None else _reported_name(name, value)


def check_names(time_attr: str, metric: str | None, needed: bool = True) -> None:
    """Check that the two names differ, and that there is a metric if one is `needed`."""
    if needed:
        _reported_name("metric", metric)
    if time_attr == metric:
        raise ParameterError("metric", metric, "must differ from time_attr")


def check_metric(metric: object, mode: object) -> None:
    """Check that a metric and its mode are given both, or neither.

    Raises
    ------
    ParameterError
        If one is missing, or the mode is unknown.
    """
    if mode not in (None, "max", "min"):
        raise ParameterError("mode", mode, "must be 'max' or 'min'")
    if (metric is None) != (mode is None):
        given, other = ("mode", "metric") if metric is None else ("metric", "mode")
        raise ParameterError(other, None, f"must be given with {given}")


def _constants(field: str, args: object) -> dict[str, object]:
    """Check and return the constants in a mapping or an `argparse.Namespace`."""
    if args is None:
        return {}
    given = vars(args) if isinstance(args, argparse.Namespace) else args
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        raise ParameterError(field, args, "must be a mapping of names to values, or an argparse.Namespace")
    for name, value in given.items():
        if not _is_plain(value):
            rule = f"{name}={value!r} is no plain value: numbers, texts, True, False, None, lists of them"
            raise ParameterError(field, args, rule)
    return dict(given)


def _is_plain(value: object) -> bool:
    try:
        return bool(json.loads(json.dumps(value, allow_nan=False)) == value)
    except (TypeError, ValueError):
        return False


def _surrogate_options(name: str, value: object) -> dict[str, object]:
    """Check the options of learning curves; None is an empty mapping."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ParameterError(name, value, "must be a mapping of the options of hbsim.surrogates.load")
    return check_options(SurrogateOptions, value)


def _cluster(name: str, value: object) -> object:
    from hbsim.simulation.cluster import Cluster

    if value is not None and not isinstance(value, Cluster):
        raise ParameterError(name, value, "must be an hbsim.Cluster")
    return value


def _callbacks(name: str, value: object) -> object:
    from hbsim.study.callbacks import check_callbacks

    return check_callbacks(name, value)


def _visualizer(name: str, value: object) -> str:
    chosen: str = one_of("none", "tensorboard")(name, value)
    if chosen == "tensorboard":
        try:
            import_module("tensorboardX")
        except ImportError:
            raise ParameterError(name, value, needs("tensorboardX", "tensorboard")) from None
    return chosen


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The options of `hbsim.run` beside the training function and the scheduler.

    The first line of the journal keeps the study's seed, searcher, names and constants; the other options
    may change when it is resumed. `executor` and `resource` are checked where they are used, since that
    depends on the machines.
    """

    workers: int | None = option(
        None,
        takes="whole",
        help="How many trials run at the same time (default: as many as fit).",
        panel="Study",
    )
    resource: Mapping[str, object] | None = option(
        None,
        metavar="num_cpus, num_gpus",
        help="CPU cores of a trial, and GPUs or a part of one (default: a fair share).",
    )
    folder: Path | str = option(
        "exp", metavar="DIR", flags=("--folder", "--out"), help="The study's folder (default: exp)."
    )
    resume: bool = option(False, takes="flag", help="Go on with the study in the folder, with its options.")
    seed: int = option(
        0,
        takes="whole",
        check=lambda name, value: whole(name, value, 0),
        help="Seed of brackets, configurations and trials (default: 0).",
        panel="Study",
    )
    searcher: Any = option(
        None,
        metavar="NAME",
        help="How configurations are chosen: random, grid, sobol, lhs, tpe, bohb, gp, mobster or "
        "optuna:NAME (default: random).",
        panel="Searcher",
    )
    search_options: Mapping[str, object] | None = option(
        None,
        takes="texts",
        metavar="NAME=VALUE",
        flags=("--search-option",),
        help="An option of the searcher, such as points=3; may be given several times.",
        panel="Searcher",
    )
    time_attr: str = option(
        "epoch",
        metavar="NAME",
        check=_reported_name,
        help="The reported name that counts training, in units of max_t (default: epoch).",
        panel="Training function",
    )
    metric: str | None = option(
        "accuracy",
        metavar="NAME",
        check=_metric,
        help="The reported metric that decides (default: accuracy).",
    )
    args: Mapping[str, object] | None = option(
        None,
        takes="texts",
        metavar="NAME=VALUE",
        flags=("--arg", "--set"),
        check=_constants,
        help="Set a constant of the training function; may be given several times.",
        panel="Training function",
    )
    max_time: float | None = option(
        None,
        takes="duration",
        check=seconds,
        help="How long the study runs: seconds, or a text such as 8h.",
        panel="Study",
    )
    max_reward: float | None = option(
        None,
        takes="number",
        check=_max_reward,
        help="End the study at a value that is at least as good.",
        panel="Study",
    )
    hang_timeout: float | None = option(
        None,
        takes="duration",
        check=seconds,
        help="Fail a trial that reports nothing for so long: seconds, or 10m (default: never).",
        panel="Retries and time limits",
    )
    trial_timeout: float | None = option(
        None,
        takes="duration",
        check=seconds,
        help="Fail a trial that has trained for so long in all: seconds, or 2h (default: never).",
        panel="Retries and time limits",
    )
    grace: float = option(
        5.0,
        takes="duration",
        check=_grace,
        help="Seconds that a trial has to end before it is killed (default: 5).",
        panel="Retries and time limits",
    )
    keep: Literal["best", "completed", "all", "none"] = option(
        "best",
        choices=("best", "completed", "all", "none"),
        help="Whose checkpoints are kept when a trial is over (default: best).",
        panel="Checkpoints and processes",
    )
    fsync: Literal["second", "always", "never"] = option(
        "second",
        choices=("second", "always", "never"),
        help="When the journal is forced to the disk (default: at most once a second).",
        panel="Checkpoints and processes",
    )
    start: Literal["fork", "spawn"] | None = option(
        None,
        choices=("fork", "spawn"),
        check=_start,
        help="How the process of a trial is made (default: fork on Linux).",
        panel="Checkpoints and processes",
    )
    until_return: bool = option(
        False, takes="flag", help="A trial is complete when its function returns, wherever that is."
    )
    visualizer: Literal["none", "tensorboard"] = option(
        "none",
        choices=("none", "tensorboard"),
        check=_visualizer,
        help="Write TensorBoard logs, as the callback tensorboard does (default: none).",
        panel="Output",
    )
    callbacks: Sequence[Any] = option(
        (),
        takes="texts",
        metavar="NAME",
        flags=("--callback",),
        check=_callbacks,
        help="Who is told about every event: tensorboard, wandb, mlflow or FILE.py:NAME; may be given "
        "several times.",
        panel="Output",
    )
    html: bool | Path | str = option(
        False,
        metavar="[FILE.html]",
        check=page_file,
        help="Keep a page of the study up to date (default: study.html in the folder).",
        panel="Output",
    )
    progress: Literal["auto", "table", "lines", "none"] = option(
        "auto",
        choices=("auto", "table", "lines", "none"),
        help="What is shown while the study runs (default: a table on a terminal).",
        panel="Output",
    )
    surrogate: Any = option(
        None,
        metavar="DIR|FILE|NAME",
        help="Curves of --executor sim: a study's folder, recorded curves, or synthetic (default: the "
        "study in the folder).",
    )
    surrogate_options: Mapping[str, object] | None = option(
        None,
        takes="tables",
        check=_surrogate_options,
        help="sim: how the curves are read, as in `hbsim.surrogates.load`.",
    )
    cluster: Any = option(
        None,
        metavar="FILE|PRESET",
        check=_cluster,
        help="sim: what start-up, checkpoints, stragglers and failures cost (default: nothing).",
    )
    replace: bool = option(
        False, takes="flag", help="sim: rows of a table may be used again, in a seeded order."
    )
    executor: Any = option(
        "local",
        choices=("local", "hosts", "dask", "sim"),
        check=lambda name, value: value,
        help="Where trials run: this machine, hosts by SSH, a Dask cluster, or a simulation (default: "
        "local).",
        panel="Study",
    )

    @classmethod
    def checked(cls, **given: object) -> RunOptions:
        """Check the options that were given, and return them.

        Raises
        ------
        ParameterError
            If a name is unknown, or a value breaks its rule.
        """
        return cls(**check_options(cls, {"args": None, **given}))  # type: ignore[arg-type]

    @property
    def constants(self) -> dict[str, object]:
        """The given constants of the training function."""
        return dict(self.args or {})

    @property
    def limits(self) -> Limits:
        """The limits of the study: when it ends, and how long a trial may be silent."""
        from hbsim.runner.real import Limits

        times = (self.hang_timeout or inf, self.grace, self.trial_timeout or inf)
        return Limits(self.max_time or inf, self.max_reward, *times)


@dataclass(frozen=True, slots=True)
class TrialResources:
    """The fields of ``resource``: the CPUs and GPUs that a trial needs."""

    num_cpus: int | None = option(
        None, takes="whole", help="CPU cores of a trial (default: a fair share).", panel="Training function"
    )
    num_gpus: float | None = option(
        None,
        takes="number",
        help="GPUs of a trial; 0.5: two trials share one (default: a fair share).",
        panel="Training function",
    )


@dataclass(frozen=True, slots=True)
class RecordOptions:
    """The options of `hbsim.record` that `hbsim.run` does not have, or that have another meaning there."""

    num_trials: int = option(
        takes="whole",
        flags=("--num-trials", "--trials"),
        check=lambda name, value: whole(name, value, 1),
        help="How many random configurations are trained; more with resume.",
    )
    out: Path | str = option(metavar="FILE", help="The file to write: .parquet or .csv.")
    max_t: float | None = option(
        None, takes="number", help="End each trial at this resource (default: when the function returns)."
    )
    metric: str | None = option(
        None,
        metavar="NAME",
        help="The metric that decides, noted in the file (default: accuracy, if it is reported).",
    )
    mode: Literal["max", "min"] | None = option(
        None,
        choices=("max", "min"),
        check=lambda name, value: value,
        help="Whether a higher or a lower value is better; needed with metric.",
    )
    test_metric: str | None = option(
        None, metavar="NAME", help="The metric that judges the best trial.", panel="Training function"
    )
    force: bool = option(False, takes="flag", help="Replace the file and its study.")


# The options of `RunOptions` that `hbsim.record` takes as well.
RECORD_ALSO_TAKES: Final = (
    "workers",
    "resource",
    "resume",
    "seed",
    "time_attr",
    "args",
    "hang_timeout",
    "trial_timeout",
    "grace",
    "keep",
    "fsync",
    "start",
    "callbacks",
    "progress",
)
# Options of `hbsim.run` without a meaning in a simulation, and without a meaning in a real study.
REAL_ONLY: Final = (
    *("resume", "args", "hang_timeout", "trial_timeout", "grace", "keep", "fsync", "start"),
    *("visualizer", "callbacks", "html"),
    "resource",  # beside workers: without them the number of workers follows from it
)
SIMULATED_ONLY: Final = ("surrogate", "surrogate_options", "cluster", "replace")


def warn_of_ignored(options: RunOptions, stacklevel: int) -> None:
    """Warn of the given options that have no meaning for the executor, all in one line."""
    is_simulated = options.executor == "sim"
    given = {
        field.name: value
        for field in fields(options)
        if (value := getattr(options, field.name)) != field.default and value != {}
    }
    names = [name for name in (REAL_ONLY if is_simulated else SIMULATED_ONLY) if name in given]
    if "resource" in names and "workers" not in given:
        names.remove("resource")
    if names:
        who = "executor='sim'" if is_simulated else "a real study"
        warnings.warn(HbsimWarning(f"{who} ignores {', '.join(names)}"), stacklevel=stacklevel)
