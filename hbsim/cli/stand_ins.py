"""Declarations of options until their rooms have them; each room's own comes first."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from hbsim.options import declared, option
from hbsim.simulation import Cluster

__all__ = ["ClusterFields", "first_of"]

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


ClusterFields: Any = Cluster if declared(Cluster) else _Cluster
