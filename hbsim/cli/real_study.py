"""Real studies of ``hbsim run`` and ``hbsim record``: the arguments of new and resumed studies."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer

from hbsim.cli.command import INTERRUPTED, is_given, say
from hbsim.cli.groups import DASK_ONLY, HOSTS_ONLY, MACHINES, machines_of, make_cluster, search_options
from hbsim.cli.options import Given, group, named_values
from hbsim.cli.output import progress
from hbsim.cli.script import NAMES, check_command, make_script
from hbsim.cli.study_file import SUFFIX, read_study
from hbsim.errors import ExecutorError, HbsimWarning, ParameterError
from hbsim.executors.remote.options import Dask, Hosts
from hbsim.options import declared
from hbsim.study.folder import StudyFolder
from hbsim.study.options import RunOptions, TrialResources
from hbsim.surrogates.options import SurrogateOptions

if TYPE_CHECKING:
    from hbsim.core.scheduler import Scheduler
    from hbsim.study.result import RunResult
    from hbsim.study.simulated_run import SimulatedResult
    from hbsim.study.spec import StudySpec

MINIMISED: Final = re.compile(r"loss|error|rmse|mse|mae|nll|perplexity|regret", re.IGNORECASE)
FUNCTION: Final = "Training function"
# Options of running a study, not of its definition: they may change when the study is resumed.
HOW: Final = (
    *("hang_timeout", "trial_timeout", "grace", "keep", "fsync", "start"),
    *("visualizer", "callbacks", "html"),
)
LIMITS: Final = ("workers", "max_time", "max_reward")
RESOURCES: Final = ("num_cpus", "num_gpus")
REAL: Final = group(
    "Study",
    RunOptions,
    TrialResources,
    only=("time_attr", "args", "resume", *RESOURCES, *HOW, "progress"),
    time_attr={"help": "The reported name that counts training, in units of --max-t (default: epoch)."},
)
RUN_MACHINES: Final = group("Hosts by SSH", Hosts, Dask, only=(*MACHINES.options, "send", "storage", "lease"))
LOSS_RETRIES: Final = 3  # the default if trials may be lost with their hosts

# Options that are kept for later commands.
KEPT: Final = (
    *(*HOW, *LIMITS, *RESOURCES, *RUN_MACHINES.options),
    *("args", "search_options", "points", "train", "executor", "test_metric"),
    *NAMES,
)
FILES: Final = (
    "train",
    "cwd",
    "points",
    "ssh_key",
    "ssh_known_hosts",
    "tls_ca",
    "tls_cert",
    "tls_key",
    "html",
)
SEVERAL: Final = (
    "args",
    "search_options",
    "space",
)  # options given several times; the last value of a name is used
GONE: Final = ("--tls", "--no-tls")  # flags of earlier versions


# Arguments of `hbsim.run`


def new_study(ctx: typer.Context, scheduler: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `hbsim.run` for a new study.

    Parameters
    ----------
    ctx : Context
        The command's context.
    scheduler : mapping
        The given options of the scheduler; its type is "type".
    values : mapping
        All other given options, by the names of the command's parameters.

    Raises
    ------
    ParameterError
        As by `hbsim.make_scheduler`.
    """
    from hbsim.core import make_scheduler

    options = dict(scheduler)
    check_command(values)
    if "train" not in values and "command" not in values:
        ctx.fail("Missing argument 'FILE.py:NAME', or option '--command'.")
    if "type" not in options:
        ctx.fail("Missing option '--scheduler'.")
    until_return = options["type"] == "fifo" and "max_t" not in options
    if until_return:
        options["max_t"] = 1  # trials wait at no level
    if values.get("executor") in ("hosts", "dask"):
        options.setdefault("loss_retries", LOSS_RETRIES)
    options |= {"num_trials": values.get("num_trials"), "seed": values.get("seed", 0)}
    options["mode"] = values.get("mode", "max")
    if "mode" not in values and MINIMISED.search(values.get("metric") or ""):
        say("note", f"{values['metric']} is maximised: --mode min if less is better")
    names = ("seed", "searcher", "metric", "time_attr")
    return {
        **{name: values[name] for name in names if name in values},
        "scheduler": make_scheduler(**options),
        "search_options": search_options(values),
        "until_return": until_return,
        **_how(values),
    }


def resumed_study(
    ctx: typer.Context, scheduler: Mapping[str, Any], values: Mapping[str, Any], folder: StudyFolder
) -> dict[str, Any]:
    """Return the arguments of `hbsim.run` for a resumed study; options that are not given are as before.

    Raises
    ------
    ParameterError
        An option differs from the study's definition.
    JournalError, OutputError
        The journal cannot be read.
    """
    spec = _same(_read_spec(folder), scheduler, values)
    values = merged(earlier_options(ctx, folder), values)
    check_command(values)
    if "train" not in values and "command" not in values:
        ctx.fail("Missing argument 'FILE.py:NAME': the study was not begun by this command.")
    names = ("seed", "searcher", "metric", "time_attr", "until_return")
    return {
        **{name: getattr(spec, name) for name in names},
        "scheduler": spec.make_scheduler(),
        "search_options": _search_options(spec, values),
        "resume": True,
        **_how(values),
    }


def _how(values: Mapping[str, Any]) -> dict[str, Any]:
    options = {name: values[name] for name in (*HOW, *LIMITS, "progress") if name in values}
    options |= {"html": values["html"] or True} if "html" in values else {}
    if values.get("executor") in ("hosts", "dask"):
        given = {name: values[name] for name in RUN_MACHINES.options if name in values}
        options["executor"] = machines_of(given)
    resource = {name: values[name] for name in RESOURCES if name in values}
    args = named_values("args", values.get("args", ()))
    train = make_script(values) if "command" in values else values["train"]
    return {**options, "train": train, "resource": resource or None, "args": args}


def simulated_study(study: Mapping[str, Any], values: Mapping[str, Any], cluster: Given) -> dict[str, Any]:
    """Return the arguments of `hbsim.run` that simulate a study.

    Parameters
    ----------
    study : mapping
        The arguments of the real study.
    values : mapping
        The given options.
    cluster : mapping
        The given options of the simulated cluster.

    Raises
    ------
    ParameterError
        As by `hbsim.Cluster`; or the study runs on other machines, and it is not known how many trials fit.
    """
    workers = {"workers": study["workers"]} if "workers" in study else {}
    if "hosts" in values and not workers:
        rule = "is needed to simulate a study on hosts: how many trials fit there is only known there"
        raise ParameterError("workers", None, rule)
    names = ("surrogate", "replace")
    read = {name: values[name] for name in declared(SurrogateOptions) if name in values}
    return {
        **study,
        **{name: values[name] for name in names if name in values},
        "surrogate_options": {name: value for name, value in read.items() if name not in ("metric", "mode")},
        "cluster": make_cluster({**cluster, **workers}) if cluster else None,
        "executor": "sim",
    }


def _read_spec(folder: StudyFolder) -> StudySpec:
    from hbsim.runner.journal_reader import read_start
    from hbsim.study.spec import StudySpec

    return StudySpec.from_dict(read_start(folder.journal).spec, str(folder.journal))


def _same(spec: StudySpec, scheduler: Mapping[str, Any], values: Mapping[str, Any]) -> StudySpec:
    """Return the study's definition, after a check of the options that are given again."""
    from hbsim.searchers.factory import plain_options

    type_, was = scheduler.get("type"), spec.scheduler["type"]
    if type_ not in (None, was):
        rule = f"the study began with {was!r}; it goes on with the same, or in another folder"
        raise ParameterError("type", type_, rule)
    also = {name: values[name] for name in ("num_trials", "seed", "mode") if name in values}
    names = ("seed", "searcher", "time_attr", "metric")
    now = dataclasses.replace(
        spec,
        scheduler={**spec.scheduler, **scheduler, **also},
        search_options={**spec.search_options, **plain_options(search_options(values))},
        **{name: values[name] for name in names if name in values},
    )
    spec.check_same(now)
    return now


def _search_options(spec: StudySpec, values: Mapping[str, Any]) -> dict[str, object]:
    """Return the searcher's options of a resumed study; a constraint is the one that is given."""
    given = search_options(values)
    options = {**spec.search_options, **given}
    if "constraints" in options and "constraints" not in given:
        rule = f"the study began with the function {options['constraints']}: give it again, FILE.py:NAME"
        raise ParameterError("search_options.constraints", None, rule)
    return options


# Options of earlier commands


def earlier_options(ctx: typer.Context, folder: StudyFolder) -> dict[str, Any]:
    """Return the options that earlier commands gave for running a study; later ones override."""
    given: dict[str, Any] = {}
    for run in _runs(folder):
        argv = run.get("argv") or [""]
        program = Path(argv[0])
        ours = program.stem == "hbsim" or program.parts[-2:] == ("hbsim", "__main__.py")
        if not ours or argv[1:2] != [ctx.info_name]:
            continue
        arguments = [word for word in argv[2:] if word not in GONE]
        earlier = ctx.command.make_context(str(ctx.info_name), arguments, resilient_parsing=True)
        values = {name: earlier.params[name] for name in KEPT if is_given(earlier, name)}
        if (executor := executor_of(values)) is not None:
            values["executor"] = executor
        start = run.get("cwd", ".")
        if "command" in values:
            values.setdefault("cwd", ".")
        for name in FILES:
            if values.get(name):
                values[name] = str(Path(start, os.path.expanduser(values[name])))
        if values.get("train", "").endswith(SUFFIX):
            path = values.pop("train")
            file = read_study(path).values if Path(path).is_file() else {}
            values = merged({name: file[name] for name in KEPT if name in file}, values)
        if "callbacks" in values:
            values["callbacks"] = [placed_callback(text, start) for text in values["callbacks"]]
        if "search_options" in values:
            values["search_options"] = [_placed(text, start) for text in values["search_options"]]
        given = merged(given, values)
    return given


def _runs(folder: StudyFolder) -> Sequence[Mapping[str, Any]]:
    try:
        runs = json.loads((folder.path / "environment.json").read_text("utf-8"))["runs"]
        return [run for run in runs if isinstance(run, dict)]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _placed(text: str, folder: str) -> str:
    """Return a searcher's option, with the absolute path of a constraint."""
    name, equals, value = text.partition("=")
    return f"{name}={Path(folder, value)}" if name == "constraints" and equals else text


def placed_callback(text: str, folder: str) -> str:
    """Return the name of a callback; of one in a file, with the file's path from a folder."""
    return str(Path(folder, os.path.expanduser(text))) if ".py:" in text else text


def executor_of(values: Mapping[str, Any]) -> str | None:
    """Return the executor that a command's options name or imply; None if there is none."""
    executor: str | None = values.get("executor")
    if "hosts" in values and executor in (None, "dask"):
        return "hosts"
    return "dask" if executor is None and "scheduler_address" in values else executor


def merged(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of two commands; the later one overrides."""
    over: set[str] = set()
    if "scheduler_address" in now:
        over |= {*HOSTS_ONLY, *(() if now["scheduler_address"].startswith("tls:") else DASK_ONLY)}
    if "hosts" in now:
        over |= {*DASK_ONLY}
    kept = {name: value for name, value in before.items() if name not in over}
    several = {name: [*before.get(name, ()), *now.get(name, ())] for name in SEVERAL}
    return {**kept, **now, **{name: texts for name, texts in several.items() if texts}}


# Running a study


def run_to_end(study: Mapping[str, Any], folder: Path, to_go_on: str) -> Any:
    """Run or simulate a study to its end, or until it is interrupted.

    Parameters
    ----------
    study : mapping
        The arguments of `hbsim.run`.
    folder : Path
        The study's folder.
    to_go_on : str
        The command that resumes the study.

    Returns
    -------
    RunResult or SimulatedResult
        Its result.
    """
    from hbsim.study.interrupts import Interrupted
    from hbsim.study.result import ALL_FAILED
    from hbsim.study.run import run

    kept, scheduler, simulates = StudyFolder(folder), study["scheduler"], study.get("executor") == "sim"
    shows = simulates and study.get("progress") != "none"
    bar = progress(lambda: scheduler.started, scheduler.options.num_trials, "trials started")
    # Polars makes system calls restart after Ctrl-C, so that waiting for the warm server would not end.
    signal.siginterrupt(signal.SIGINT, True)
    try:
        if not simulates:
            with redirect_stdout(sys.stderr), warnings.catch_warnings():  # stdout is for the result
                warnings.filterwarnings("ignore", ALL_FAILED, HbsimWarning)  # an error says so at the end
                return run(**study, folder=folder)
        with bar if shows else nullcontext():
            return _simulate(**study, folder=folder)
    except Interrupted as interrupted:
        return interrupted.result
    except ExecutorError as error:
        if not kept.holds_study:
            raise
        say("error", f"{error}; to go on: {to_go_on}")
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        if simulates or not kept.holds_study:
            raise  # while the training function was loaded: there is no study to resume
        say("error", f"interrupted: nothing runs any more; to go on: {to_go_on}")
        raise typer.Exit(INTERRUPTED) from None


def _simulate(train: str, scheduler: Scheduler, **options: Any) -> SimulatedResult:
    """Simulate a study; which options have no meaning has been said."""
    from hbsim.study.simulated_run import run_simulated

    return run_simulated(train, scheduler, RunOptions.checked(**options))


def end_interrupted(result: RunResult | SimulatedResult, to_go_on: str) -> None:
    """If the study was interrupted, print how to resume it, and end with exit code 75, or 1 if it is lost."""
    if result.why != "interrupted":
        return
    if result.folder is None:
        time = f"{result.end_time:.4g} simulated seconds"
        say("error", f"interrupted after {time}: what came until then is above")
        raise typer.Exit(1)
    say("error", f"interrupted after {result.end_time:.4g} s; to go on: {to_go_on}")
    raise typer.Exit(INTERRUPTED)


@contextmanager
def option_errors(values: Mapping[str, Any], constants: Mapping[str, object]) -> Iterator[None]:
    """Raise errors of `hbsim.run` in the words of the command's options.

    Parameters
    ----------
    values : mapping
        The given options.
    constants : mapping
        Constants of the training function, whose names may be in errors.
    """
    try:
        yield
    except ParameterError as error:
        name, value, rule = error.field, error.value, error.rule
        if name in constants:
            name, value = "args", f"{name}={value}"
        elif name == "resource":
            name = "num_gpus" if "GPU" in rule.partition(";")[0] or "num_gpus" in rule else "num_cpus"
            value = values.get(name)
        elif name == "space" and not isinstance(value, str):  # not a text of --param
            name = "command" if "command" in values else "train"
            value = values.get(name)
            rule = "its search space is not the one that the study began with; go on with the same function"
        raise ParameterError(name, value, rule) from error
