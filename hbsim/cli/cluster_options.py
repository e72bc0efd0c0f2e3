"""The options of the simulated cluster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from hbsim.cli.fields import (
    NONE,
    Step,
    amount,
    flag,
    given,
    number,
    parse_schedule,
    parse_speeds,
    whole,
    word,
)
from hbsim.errors import ParameterError

if TYPE_CHECKING:
    from hbsim.simulation import Cluster

__all__ = ["CHECKPOINTS", "CLUSTER", "FAILURES", "ClusterOptions"]

CLUSTER: Final = "Simulated cluster, in simulated seconds"
CHECKPOINTS: Final = "Checkpoints on the simulated cluster"
FAILURES: Final = "Failures and absences on the simulated cluster"

# What `none` stands for, in place of what a cluster's file has.
ABSENT: Final[dict[str, object]] = {
    "mtbf": None,
    "preempted_every": None,
    "trace": None,
    "schedule": (),
    "save_bandwidth": None,
    "load_bandwidth": None,
    "store_bandwidth": None,
}


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """The simulated cluster; but for the first, the fields are the parameters of `hbsim.Cluster`."""

    cluster: Annotated[
        str | None,
        word(
            "--cluster",
            panel=CLUSTER,
            metavar="FILE|PRESET",
            help="A TOML file, or a name of `hbsim clusters`; the options below override it.",
        ),
    ] = None
    workers: Annotated[
        int | None, whole("--workers", panel=CLUSTER, help="How many workers (default: 32).")
    ] = None
    speed: Annotated[
        Any,
        typer.Option(
            "--speed",
            parser=parse_speeds,
            metavar="NUMBER[,NUMBER...]",
            rich_help_panel=CLUSTER,
            help="Training speed of all workers, or of each (default: 1).",
        ),
    ] = None
    startup: Annotated[
        Any,
        amount(
            "--startup",
            panel=CLUSTER,
            help="From a job's start until it trains or loads. DIST is a number, or lognormal:mean=5,std=2, "
            "exponential:mean=5, weibull, gamma, uniform, empirical:3|4|9.",
        ),
    ] = None
    report: Annotated[
        str | None,
        word(
            "--report",
            panel=CLUSTER,
            metavar="blocking|async",
            help="Training waits for decisions, or runs on until a stop arrives (default: blocking).",
        ),
    ] = None
    report_delay: Annotated[
        Any, amount("--report-delay", panel=CLUSTER, help="From a milestone until it is decided on.")
    ] = None
    decision_delay: Annotated[
        Any, amount("--decision-delay", panel=CLUSTER, help="From a decision until the worker has it.")
    ] = None
    suggest_delay: Annotated[
        float | None,
        number("--suggest-delay", panel=CLUSTER, help="Seconds to choose a new trial's configuration."),
    ] = None
    straggler_std: Annotated[
        float | None,
        number("--straggler-std", panel=CLUSTER, help="Stretches take 1 + |z| times as long, z ~ N(0, std)."),
    ] = None
    gpus_per_trial: Annotated[
        float | None,
        number("--gpus-per-trial", panel=CLUSTER, help="GPUs of a trial, on machines that --cluster has."),
    ] = None
    slowdown: Annotated[
        float | None,
        number("--slowdown", panel=CLUSTER, help="Times as long training takes where trials share a GPU."),
    ] = None
    price: Annotated[
        float | None, number("--price", panel=CLUSTER, help="Money for an hour of a worker (default: 0).")
    ] = None
    resume: Annotated[
        bool | None,
        flag(
            "--resume/--no-resume",
            panel=CHECKPOINTS,
            help="Go on from checkpoints (default), or train from zero.",
        ),
    ] = None
    save: Annotated[
        float | None, number("--save", panel=CHECKPOINTS, help="Seconds to save one when a trial pauses.")
    ] = None
    load: Annotated[
        float | None, number("--load", panel=CHECKPOINTS, help="Seconds to load it when the trial goes on.")
    ] = None
    checkpoint_size: Annotated[
        Any, amount("--checkpoint-size", panel=CHECKPOINTS, help="GB of a trial's checkpoint (default: 0).")
    ] = None
    save_bandwidth: Annotated[
        Any, amount("--save-bandwidth", panel=CHECKPOINTS, unit="GB/s|none", help="Of one worker that saves.")
    ] = None
    load_bandwidth: Annotated[
        Any, amount("--load-bandwidth", panel=CHECKPOINTS, unit="GB/s|none", help="Of one that loads.")
    ] = None
    store_bandwidth: Annotated[
        Any,
        amount("--store-bandwidth", panel=CHECKPOINTS, unit="GB/s|none", help="Of the store that all share."),
    ] = None
    drop_rate: Annotated[
        float | None,
        number("--drop-rate", panel=FAILURES, help="Probability a second that a job is lost."),
    ] = None
    mtbf: Annotated[
        Any,
        amount(
            "--mtbf",
            panel=FAILURES,
            unit="DIST|none",
            help="Seconds until a machine breaks; a number is a mean.",
        ),
    ] = None
    mttr: Annotated[Any, amount("--mttr", panel=FAILURES, help="Seconds until it is repaired.")] = None
    preempted_every: Annotated[
        Any,
        amount(
            "--preempted-every", panel=FAILURES, unit="DIST|none", help="Seconds until one is taken away."
        ),
    ] = None
    preempted_for: Annotated[
        Any, amount("--preempted-for", panel=FAILURES, help="Seconds until it is back.")
    ] = None
    notice: Annotated[
        float | None, number("--notice", panel=FAILURES, help="Seconds before it is taken away, to save.")
    ] = None
    schedule: Annotated[
        Any,
        typer.Option(
            "--schedule",
            parser=parse_schedule,
            metavar="TIME:MACHINES,...|none",
            rich_help_panel=FAILURES,
            help="How many machines are there from when on: 0:4,3600:16.",
        ),
    ] = None
    trace: Annotated[
        str | None,
        word(
            "--cluster-trace",
            panel=FAILURES,
            metavar="FILE|none",
            help="A CSV file of when each worker was there: worker,start,end,state.",
        ),
    ] = None
    retry_from: Annotated[
        str | None,
        word(
            "--retry-from",
            panel=FAILURES,
            metavar="milestone|checkpoint|zero",
            help="From where a trial that was lost goes on (default: milestone).",
        ),
    ] = None

    def make(self) -> Cluster:
        """Make the cluster.

        Raises
        ------
        ParameterError
            As `hbsim.Cluster`, and `hbsim.Cluster.from_file`.
        """
        from hbsim.simulation import Cluster

        options = given(self)
        source = options.pop("cluster", None)
        for name, absent in ABSENT.items():
            if options.get(name) == NONE:
                options[name] = absent
        try:
            if source is None:
                return Cluster(**options)
            from hbsim.simulation.cluster_files import read

            return read(source).make(options)
        except ParameterError as error:
            if error.field == "schedule" and isinstance(error.value, tuple) and len(error.value) == 2:
                raise ParameterError("schedule", Step(*error.value), error.rule) from None
            raise
