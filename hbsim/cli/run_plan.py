"""What ``hbsim run`` hands to `hbsim.run`: of a new study, or of one that goes on."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer

from hbsim.cli.fields import json_or_text
from hbsim.cli.remote_options import BY_ADDRESS, BY_HOSTS, RunRemoteOptions, make_options
from hbsim.cli.search_options import search_options
from hbsim.errors import ParameterError

if TYPE_CHECKING:
    from hbsim.core.scheduler import Scheduler
    from hbsim.study.folder import StudyFolder
    from hbsim.study.spec import StudySpec

__all__ = ["Asked", "Plan", "constants_of", "earlier", "executor_of", "is_given", "new_plan", "resumed_plan"]

# How a study is run, as opposed to what it is: these may change from one command to the next.
HOW: Final = ("hang_timeout", "grace", "keep", "fsync", "start", "visualizer")
REMOTE: Final = tuple(field.name for field in dataclasses.fields(RunRemoteOptions))
GONE: Final = ("--tls", "--no-tls")  # flags of earlier versions
LOSS_RETRIES: Final = 3  # unless it is given, where trials may be lost with their hosts
LIMITS: Final = ("workers", "max_time", "max_reward", "num_cpus", "num_gpus")
KEPT: Final = (*HOW, *LIMITS, *REMOTE, "set_", "search_option", "points", "train", "executor", "test_metric")
FILES: Final = ("train", "points", "ssh_key", "ssh_known_hosts", "tls_ca", "tls_cert", "tls_key")
SEVERAL: Final = ("set_", "search_option")  # given several times; the last of a name counts


@dataclass(frozen=True, slots=True)
class Asked:
    """What was given on the command line, by the names of the command's parameters.

    Attributes
    ----------
    ctx : typer.Context
        The command's.
    scheduler : dict
        Options of the scheduler; its type is "type".
    values : dict
        All others that were given.
    """

    ctx: typer.Context
    scheduler: Mapping[str, Any]
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """The arguments of `hbsim.run`.

    Attributes
    ----------
    train : str
        The training function, ``FILE.py:NAME``.
    scheduler : Scheduler
        A new one.
    options : dict
        Its keyword arguments.
    """

    train: str
    scheduler: Scheduler
    options: Mapping[str, Any]


def new_plan(asked: Asked) -> Plan:
    """Return the plan of a new study.

    Raises
    ------
    ParameterError
        As `hbsim.make_scheduler`.
    """
    from hbsim.core.factory import build
    from hbsim.core.options import make_options

    values, options = asked.values, dict(asked.scheduler)
    if "train" not in values:
        asked.ctx.fail("Missing argument 'FILE.py:NAME'.")
    if "type" not in options:
        asked.ctx.fail("Missing option '--scheduler'.")
    type_ = options.pop("type")
    until_return = type_ == "fifo" and "max_t" not in options
    if until_return:
        options["max_t"] = 1  # no level is waited for
    if values.get("executor") in ("hosts", "dask"):
        options.setdefault("loss_retries", LOSS_RETRIES)
    options |= {"num_trials": values.get("trials"), "seed": values.get("seed", 0)}
    options["mode"] = values.get("mode", "max")
    named = {
        "seed": values.get("seed", 0),
        "searcher": values.get("searcher"),
        "search_options": search_options(values.get("search_option"), values.get("points")),
        "metric": values.get("metric", "accuracy"),
        "time_attr": values.get("time_attr", "epoch"),
        "until_return": until_return,
    }
    return Plan(values["train"], build(make_options(type_, options)), {**named, **_how(values)})


def resumed_plan(asked: Asked, place: StudyFolder) -> Plan:
    """Return the plan of a study that goes on: what is not given is as it was.

    Raises
    ------
    ParameterError
        Something was given that differs from what the study is.
    JournalError, OutputError
        The journal cannot be read.
    """
    spec = _same(_read_spec(place), asked)
    values = _merged(earlier(asked.ctx, place), asked.values)
    if "train" not in values:
        asked.ctx.fail("Missing argument 'FILE.py:NAME': the study was not begun by this command.")
    named = {
        "seed": spec.seed,
        "searcher": spec.searcher,
        "search_options": _searched(spec, values),
        "metric": spec.metric,
        "time_attr": spec.time_attr,
        "until_return": spec.until_return,
        "resume": True,
    }
    return Plan(values["train"], spec.make_scheduler(), {**named, **_how(values)})


def constants_of(texts: Sequence[str]) -> dict[str, object]:
    """Read ``NAME=VALUE``, each a JSON value or a text; the last of a name counts.

    Raises
    ------
    ParameterError
        There is no name, or no ``=``.
    """
    constants: dict[str, object] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise ParameterError("set_", text, "must be NAME=VALUE")
        constants[name] = json_or_text(value)
    return constants


def _how(values: Mapping[str, Any]) -> dict[str, Any]:
    options = {name: values[name] for name in (*HOW, "workers", "max_reward") if name in values}
    if "max_time" in values:
        options["max_time"] = values["max_time"]
    resource = {name: values[name] for name in ("num_cpus", "num_gpus") if name in values}
    if values.get("executor") in ("hosts", "dask"):
        options["executor"] = make_options({name: values[name] for name in REMOTE if name in values})
    return {**options, "resource": resource or None, "args": constants_of(values.get("set_") or ())}


# A study that goes on


def _read_spec(place: StudyFolder) -> StudySpec:
    from hbsim.runner.records import read_records
    from hbsim.study.spec import StudySpec

    first = next(iter(read_records(place.journal)))
    return StudySpec.from_dict(first["spec"], str(place.journal))


def _same(spec: StudySpec, asked: Asked) -> StudySpec:
    """Return the study with what was given again, once it is checked: before anything is loaded."""
    from hbsim.searchers.factory import plain_options

    values = asked.values
    type_, was = asked.scheduler.get("type"), spec.scheduler["type"]
    if type_ not in (None, was):
        rule = f"the study began with {was!r}; it goes on with the same, or in another folder"
        raise ParameterError("type", type_, rule)
    scheduler = {**spec.scheduler, **asked.scheduler}
    given = search_options(values.get("search_option"), values.get("points"))
    for name, option in (("num_trials", "trials"), ("seed", "seed"), ("mode", "mode")):
        if option in values:
            scheduler[name] = values[option]
    now = dataclasses.replace(
        spec,
        scheduler=scheduler,
        seed=values.get("seed", spec.seed),
        searcher=values.get("searcher", spec.searcher),
        search_options={**spec.search_options, **plain_options(given)},
        time_attr=values.get("time_attr", spec.time_attr),
        metric=values.get("metric", spec.metric),
    )
    spec.check_same(now)
    return now


def _searched(spec: StudySpec, values: Mapping[str, Any]) -> dict[str, object]:
    """Return the searcher's options of a study that goes on; a constraint is the one that was given."""
    given = search_options(values.get("search_option"), values.get("points"))
    options = {**spec.search_options, **given}
    if "constraints" in options and "constraints" not in given:
        rule = f"the study began with the function {options['constraints']}: give it again, FILE.py:NAME"
        raise ParameterError("search_options.constraints", None, rule)
    return options


def earlier(ctx: typer.Context, place: StudyFolder) -> dict[str, Any]:
    """Return how the study was run by earlier commands: what they gave; later ones count."""
    given: dict[str, Any] = {}
    for run in _runs(place):
        argv = run.get("argv") or [""]
        program = Path(argv[0])
        ours = program.stem == "hbsim" or program.parts[-2:] == ("hbsim", "__main__.py")
        if not ours or argv[1:2] != [ctx.info_name]:
            continue
        words = [word for word in argv[2:] if word not in GONE]
        earlier = ctx.command.make_context(str(ctx.info_name), words, resilient_parsing=True)
        values = {name: earlier.params[name] for name in KEPT if is_given(earlier, name)}
        if (executor := executor_of(values)) is not None:
            values["executor"] = executor
        folder = run.get("cwd", ".")
        for name in FILES:
            if name in values:
                values[name] = str(Path(folder, os.path.expanduser(values[name])))
        if "search_option" in values:
            values["search_option"] = [_placed(text, folder) for text in values["search_option"]]
        given = _merged(given, values)
    return given


def executor_of(values: Mapping[str, Any]) -> str | None:
    """Return the executor that a command's options name, or imply; None if they say nothing of it."""
    executor: str | None = values.get("executor")
    if "hosts" in values and executor in (None, "dask"):
        return "hosts"
    return "dask" if executor is None and "scheduler_address" in values else executor


def _merged(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """Return what two commands gave; the later one counts."""
    over: frozenset[str] = frozenset()
    if "scheduler_address" in now:
        over |= BY_HOSTS if now["scheduler_address"].startswith("tls:") else BY_HOSTS | BY_ADDRESS
    if "hosts" in now:
        over |= BY_ADDRESS
    kept = {name: value for name, value in before.items() if name not in over}
    several = {name: [*before.get(name, ()), *now.get(name, ())] for name in SEVERAL}
    return {**kept, **now, **{name: texts for name, texts in several.items() if texts}}


def _placed(text: str, folder: str) -> str:
    """Return an option of a searcher with the whole path of a constraint."""
    name, equals, value = text.partition("=")
    return f"{name}={Path(folder, value)}" if name == "constraints" and equals else text


def is_given(ctx: Any, name: str) -> bool:
    """Return whether a parameter of a command was given on the command line."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _runs(place: StudyFolder) -> Sequence[Mapping[str, Any]]:
    try:
        runs = json.loads((place.path / "environment.json").read_text("utf-8"))["runs"]
        return [run for run in runs if isinstance(run, dict)]
    except (OSError, ValueError, KeyError, TypeError):
        return []
