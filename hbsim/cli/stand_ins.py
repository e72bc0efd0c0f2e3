"""Declarations of options until their rooms have them; each room's own comes first."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from hbsim.errors import ParameterError
from hbsim.options import declared, option
from hbsim.simulation import Cluster

__all__ = ["ClusterFields", "RecordOptions", "RunOptions", "TrialResources", "check_metric", "first_of"]

CLUSTER: Final = "Simulated cluster, in simulated seconds"
CHECKPOINTS: Final = "Checkpoints on the simulated cluster"
FAILURES: Final = "Failures and absences on the simulated cluster"


def first_of(name: str, *modules: str) -> Any:
    """Return what a name stands for in the first of these modules that has it; None if none has."""
    for module in modules:
        try:
            return getattr(import_module(f".{module}", "hbsim"), name)
        except (ImportError, AttributeError):
            continue
    return None


@dataclass(frozen=True, kw_only=True)
class _Cluster:
    """Until the cluster declares them."""

    workers: Any = option(32, help="How many workers (default: 32).", takes="whole", panel=CLUSTER)
    speed: Any = option(
        1.0,
        help="Training speed of all workers, or of each (default: 1).",
        takes="numbers",
        panel=CLUSTER,
    )
    startup: Any = option(
        0.0,
        help="From a job's start until it trains or loads. DIST is a number, or lognormal:mean=5,std=2, "
        "exponential:mean=5, weibull, gamma, uniform, empirical:3|4|9.",
        takes="amount",
        panel=CLUSTER,
    )
    report_delay: Any = option(
        0.0, help="From a milestone until it is decided on.", takes="amount", panel=CLUSTER
    )
    decision_delay: Any = option(
        0.0, help="From a decision until the worker has it.", takes="amount", panel=CLUSTER
    )
    suggest_delay: Any = option(
        0.0,
        help="Seconds to choose a new trial's configuration.",
        takes="number",
        panel=CLUSTER,
    )
    save: Any = option(
        0.0,
        help="Seconds to save one when a trial pauses.",
        takes="number",
        panel=CHECKPOINTS,
    )
    load: Any = option(
        0.0,
        help="Seconds to load it when the trial goes on.",
        takes="number",
        panel=CHECKPOINTS,
    )
    straggler_std: Any = option(
        0.0,
        help="Stretches take 1 + |z| times as long, z ~ N(0, std).",
        takes="number",
        panel=CLUSTER,
    )
    drop_rate: Any = option(
        0.0,
        help="Probability a second that a job is lost.",
        takes="number",
        panel=FAILURES,
    )
    resume: Any = option(
        True,
        help="Go on from checkpoints (default), or train from zero.",
        takes="flag",
        panel=CHECKPOINTS,
    )
    report: Any = option(
        "blocking",
        help="Training waits for decisions, or runs on until a stop arrives (default: blocking).",
        choices=("blocking", "async"),
        panel=CLUSTER,
    )
    mtbf: Any = option(
        None,
        help="Seconds until a machine breaks; a number is a mean.",
        takes="amount",
        panel=FAILURES,
        can_be_none=True,
    )
    mttr: Any = option(0.0, help="Seconds until it is repaired.", takes="amount", panel=FAILURES)
    preempted_every: Any = option(
        None,
        help="Seconds until one is taken away.",
        takes="amount",
        panel=FAILURES,
        can_be_none=True,
    )
    preempted_for: Any = option(0.0, help="Seconds until it is back.", takes="amount", panel=FAILURES)
    notice: Any = option(
        0.0,
        help="Seconds before it is taken away, to save.",
        takes="number",
        panel=FAILURES,
    )
    schedule: Any = option(
        (),
        help="How many machines are there from when on: 0:4,3600:16.",
        takes="steps",
        metavar="TIME:MACHINES,...",
        panel=FAILURES,
        can_be_none=True,
    )
    trace: Any = option(
        None,
        help="A CSV file of when each worker was there: worker,start,end,state.",
        metavar="FILE",
        flags=("--trace", "--cluster-trace"),
        panel=FAILURES,
        can_be_none=True,
    )
    retry_from: Any = option(
        "milestone",
        help="From where a trial that was lost goes on (default: milestone).",
        choices=("milestone", "checkpoint", "zero"),
        panel=FAILURES,
    )
    checkpoint_size: Any = option(
        0.0, help="GB of a trial's checkpoint (default: 0).", takes="amount", panel=CHECKPOINTS
    )
    save_bandwidth: Any = option(
        None,
        help="Of one worker that saves.",
        takes="number",
        metavar="GB/s",
        panel=CHECKPOINTS,
        can_be_none=True,
    )
    load_bandwidth: Any = option(
        None,
        help="Of one that loads.",
        takes="number",
        metavar="GB/s",
        panel=CHECKPOINTS,
        can_be_none=True,
    )
    store_bandwidth: Any = option(
        None,
        help="Of the store that all share.",
        takes="number",
        metavar="GB/s",
        panel=CHECKPOINTS,
        can_be_none=True,
    )
    gpus_per_trial: Any = option(
        1,
        help="GPUs of a trial, on machines that --cluster has.",
        takes="number",
        panel=CLUSTER,
    )
    slowdown: Any = option(
        1.0,
        help="Times as long training takes where trials share a GPU.",
        takes="number",
        panel=CLUSTER,
    )
    price: Any = option(
        0.0,
        help="Money for an hour of a worker (default: 0).",
        takes="number",
        panel=CLUSTER,
    )


@dataclass(frozen=True, kw_only=True)
class _RunOptions:
    """Until the study declares them."""

    workers: Any = option(
        None, takes="whole", help="How many trials run at the same time (default: as many as fit)."
    )
    resource: Any = option(
        None,
        metavar="num_cpus, num_gpus",
        help="What a trial needs: CPU cores, and GPUs or a part of one (default: a fair share).",
    )
    folder: Any = option(
        "exp", metavar="DIR", flags=("--folder", "--out"), help="The study's folder (default: exp)."
    )
    resume: Any = option(
        False, takes="flag", help="Go on with the study in the folder; its options are known then."
    )
    seed: Any = option(
        0,
        takes="whole",
        help="Of brackets, configurations and the seeds that trials are given.",
    )
    searcher: Any = option(
        None,
        metavar="NAME",
        help="Chooses configurations: random (default), grid, sobol, lhs, tpe, bohb, gp, mobster, "
        "optuna:NAME.",
    )
    search_options: Any = option(
        None,
        takes="texts",
        metavar="NAME=VALUE",
        flags=("--search-option",),
        help="An option of the searcher, as JSON, or else text; once for each: points=3, "
        "constraints=FILE.py:NAME.",
    )
    time_attr: Any = option(
        "epoch",
        metavar="NAME",
        help="The reported resource, the unit of max_t (default: epoch).",
    )
    metric: Any = option(
        "accuracy",
        metavar="NAME",
        help="The reported metric that decides (default: accuracy).",
    )
    args: Any = option(
        None,
        takes="texts",
        metavar="NAME=VALUE",
        flags=("--arg", "--set"),
        help="Set a constant of the function's decorator: JSON, or text. May be given several times.",
    )
    max_time: Any = option(None, takes="number", help="Seconds of the study at which running jobs are cut.")
    max_reward: Any = option(None, takes="number", help="The study ends at a value at least as good.")
    hang_timeout: Any = option(
        None, takes="number", help="Seconds without a report after which a trial has hung."
    )
    grace: Any = option(5.0, takes="number", help="Seconds that a trial has to end before it is killed (5).")
    keep: Any = option(
        "best",
        choices=("best", "completed", "all", "none"),
        help="Whose checkpoints stay when a trial is over (default: best).",
    )
    fsync: Any = option(
        "second",
        choices=("second", "always", "never"),
        help="When the journal is forced to the disk (default: at most once a second).",
    )
    start: Any = option(
        None,
        choices=("fork", "spawn"),
        help="How a trial's process is made (default: fork on Linux).",
    )
    until_return: Any = option(
        False, takes="flag", help="A trial is complete when its function returns, wherever that is."
    )
    visualizer: Any = option(
        "none",
        choices=("none", "tensorboard"),
        help="tensorboard writes event files into the folder.",
    )
    progress: Any = option(
        "auto",
        choices=("auto", "table", "lines", "none"),
        help="What stderr shows: a live table, lines, nothing (default: a table on a terminal).",
    )
    executor: Any = option(
        "local",
        choices=("local", "hosts", "dask", "sim"),
        help="Where trials run: on this machine, on hosts reached by SSH, on a Dask cluster, or simulated.",
    )


@dataclass(frozen=True, kw_only=True)
class _TrialResources:
    """Until the study declares them."""

    num_cpus: Any = option(None, takes="whole", help="CPU cores of a trial (default: a fair share).")
    num_gpus: Any = option(
        None, takes="number", help="GPUs of a trial; 0.5: two share one (default: fair share)."
    )


@dataclass(frozen=True, kw_only=True)
class _RecordOptions:
    """Until the study declares them."""

    num_trials: Any = option(
        takes="whole",
        flags=("--num-trials", "--trials"),
        help="How many random configurations. More with resume: the recording grows.",
    )
    out: Any = option(metavar="FILE", help="The file to write: .parquet or .csv.")
    max_t: Any = option(
        None, takes="number", help="End each trial at this resource (default: when it returns)."
    )
    metric: Any = option(
        None,
        metavar="NAME",
        help="The metric that decides, noted in the file (default: accuracy, if it is reported).",
    )
    mode: Any = option(None, choices=("max", "min"), help="What is better, with metric.")
    test_metric: Any = option(None, metavar="NAME", help="The metric to judge a chosen trial by.")
    force: Any = option(False, takes="flag", help="Begin anew: replace the file and its study.")


def _check_metric(metric: object, mode: object) -> None:
    if mode not in (None, "max", "min"):
        raise ParameterError("mode", mode, "must be 'max' or 'min'")
    if (metric is None) != (mode is None):
        given, other = ("mode", "metric") if metric is None else ("metric", "mode")
        raise ParameterError(other, None, f"must be given with {given}")


STUDY: Final = "study.options"
ClusterFields: Any = Cluster if declared(Cluster) else _Cluster
RunOptions: Any = first_of("RunOptions", STUDY) or _RunOptions
TrialResources: Any = first_of("TrialResources", STUDY) or _TrialResources
RecordOptions: Any = first_of("RecordOptions", STUDY) or _RecordOptions
check_metric: Any = first_of("check_metric", STUDY) or _check_metric
