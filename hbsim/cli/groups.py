"""Groups of options that several commands share, and functions that use their values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from hbsim.cli.options import Given, Step, group, named_values
from hbsim.core.options import Options as SchedulerOptions
from hbsim.errors import ParameterError
from hbsim.executors.remote.options import Dask, Hosts
from hbsim.options import declared, option
from hbsim.simulation.cluster import Cluster
from hbsim.study.options import RunOptions
from hbsim.surrogates.options import SurrogateOptions

if TYPE_CHECKING:
    from hbsim.surrogates import Surrogate


@dataclass(frozen=True)
class CurveOptions:
    """The options for learning curves."""

    surrogate: str = option(
        "digits",
        metavar="NAME|FILE",
        help="Learning curves: a name of `hbsim surrogates`, yahpo:lcbench/167168, a file, fit:FILE or "
        "FILE.py:NAME (default: digits).",
        panel="Learning curves",
    )


@dataclass(frozen=True)
class StudyOptions:
    """The file of configurations that come first."""

    points: str | None = option(
        None,
        metavar="FILE.json",
        help="A JSON file with a list of configurations that are tried first.",
        panel="Searcher",
    )


@dataclass(frozen=True)
class ClusterOptions:
    """The option for the cluster whose parameters other options change."""

    cluster: str | None = option(
        None,
        metavar="FILE|PRESET",
        help="A TOML file, or a name of `hbsim clusters`; other options override it.",
        panel="Simulated machines",
    )


@dataclass(frozen=True)
class OutputOptions:
    """The options for a study's output."""

    folder: str | None = option(
        None, metavar="DIR", flags=("--folder", "--out"), help="Write tables and a summary into this folder."
    )
    plot: bool = option(
        False, takes="flag", help="Draw the study as PNG files, in --folder or in hbsim-plots."
    )
    force: bool = option(False, takes="flag", help="Replace earlier results in --folder.")
    explain: list[int] | None = option(
        None, takes="wholes", metavar="TRIAL", help="Say why a trial stopped, paused or went on."
    )
    as_json: bool = option(False, takes="flag", flags=("--json",), help="Print one JSON object.")


LEVELS: Final = ("max_t", "grace_period", "reduction_factor", "retries", "loss_retries", "resource_type")
# Options of the study or its curves.
NOT_THE_SCHEDULERS: Final = ("num_trials", "mode", "seed")
SCHEDULER: Final = group(
    "Scheduler",
    SchedulerOptions,
    only=list(dict.fromkeys(("type", *LEVELS, *declared(SchedulerOptions)))),
    leave_out=NOT_THE_SCHEDULERS,
    max_t={"default": None, "help": "R, where a trial is complete (default: the end of the curves)."},
)
STUDY: Final = group(
    "Study",
    SchedulerOptions,
    RunOptions,
    StudyOptions,
    only=(
        *("searcher", "search_options", "points"),
        *("num_trials", "max_time", "replace", "seed", "max_reward"),
    ),
    num_trials={"help": "How many trials start; needed unless something else ends the study."},
    max_time={"help": "Simulated seconds, or 8h, after which the study ends."},
    seed={"help": "Seed of brackets, configurations, slowness and failures (default: 0)."},
    replace={"help": "Rows of a table may be used again, in a seeded order."},
)
CURVES: Final = group("Learning curves", CurveOptions, SurrogateOptions)
CLUSTER: Final = group("Simulated machines", ClusterOptions, Cluster)
OUTPUT: Final = group("Output", OutputOptions)
DASK_ONLY: Final = tuple(name for name in declared(Dask) if name not in declared(Hosts))
HOSTS_ONLY: Final = tuple(name for name in declared(Hosts) if name not in declared(Dask))
MACHINES: Final = group("Hosts by SSH", Hosts, Dask, only=(*HOSTS_ONLY, *DASK_ONLY))


def load_curves(curves: Given) -> Surrogate:
    """Load the learning curves that the options name.

    Raises
    ------
    ParameterError, SurrogateError
        As by `hbsim.surrogates.load`.
    """
    from hbsim.surrogates import load

    return load(**{"surrogate": "digits", **curves})


def make_cluster(cluster: Given) -> Cluster:
    """Make the simulated cluster from its file; options override the file.

    Raises
    ------
    ParameterError
        As by `hbsim.Cluster` and `hbsim.Cluster.from_file`.
    """
    from hbsim.simulation.cluster_files import read

    options = dict(cluster)
    source = options.pop("cluster", None)
    try:
        return Cluster(**options) if source is None else read(source).make(options)
    except ParameterError as error:
        if error.field == "schedule" and isinstance(error.value, tuple) and len(error.value) == 2:
            raise ParameterError("schedule", Step(*error.value), error.rule) from None
        raise


def search_options(study: Given) -> dict[str, object]:
    """Return the searcher's options: those given one at a time, and the points of a file.

    Raises
    ------
    ParameterError
        A text is not ``NAME=VALUE``, or the file has no list of configurations.
    """
    options = named_values("search_options", study.get("search_options", ()))
    if "points" in study:
        options["points_to_evaluate"] = _read_points(study["points"])
    return options


def _read_points(points: str) -> object:
    form = 'must be a JSON file with a list of configurations: [{"lr": 0.1}, ...]'
    try:
        content = json.loads(Path(points).read_text("utf-8"))
    except OSError as error:
        rule = f"{form}; it cannot be read: {error.strerror}"
        if points.isdigit():
            rule = f"{form}; of a grid: --search-option 'points={points}'"
        raise ParameterError("points", points, rule) from None
    except ValueError as error:  # invalid JSON or UTF-8
        raise ParameterError("points", points, f"{form}; {error}") from None
    if not isinstance(content, list):
        raise ParameterError("points", points, form)
    return content


def machines_of(given: Mapping[str, Any]) -> Hosts | Dask:
    """Return the other machines that options name.

    Raises
    ------
    ParameterError
        As by `hbsim.Hosts` and `hbsim.Dask`; or options exclude each other.
    """
    by_hosts = next((name for name in given if name in HOSTS_ONLY), None)
    by_address = next((name for name in given if name in DASK_ONLY), None)
    if by_hosts and by_address:
        rule = f"is for hosts that are reached by SSH: it goes without {by_address}"
        raise ParameterError(by_hosts, given[by_hosts], rule)
    if by_hosts is None:
        return Dask(**given)
    if "hosts" not in given:
        raise ParameterError(by_hosts, given[by_hosts], "needs --hosts")
    hosts = [host.strip() for host in given["hosts"].split(",")]
    if not all(hosts):
        raise ParameterError("hosts", given["hosts"], "must be names or addresses, with commas between them")
    return Hosts(**{**given, "hosts": hosts})
