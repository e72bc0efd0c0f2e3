"""A study as a TOML file, which ``hbsim run`` takes in place of the training function and of options."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from hbsim.cli.options import Step, named_values
from hbsim.cli.script import CommandOptions
from hbsim.core.options import TYPES
from hbsim.core.options import Options as SchedulerOptions
from hbsim.errors import OutputError, ParameterError
from hbsim.executors.remote.options import Dask, Hosts
from hbsim.options import NONE, Option, declared, one_of, option, parse_duration, unknown_option
from hbsim.simulation.cluster import Cluster
from hbsim.study.options import RunOptions, TrialResources
from hbsim.surrogates.options import SurrogateOptions
from hbsim.surrogates.table import SUFFIXES
from hbsim.toml_files import parse_toml, read_text, shown, to_toml

SUFFIX: Final = ".toml"
TOP: Final = ""  # the name of the fields above all tables


@dataclass(frozen=True)
class _FunctionOptions:
    """The fields of a file that are no options of `hbsim.run`."""

    train: str = option(
        metavar="FILE.py:NAME", help="The training function. Needed, unless there is a command."
    )


@dataclass(frozen=True)
class _BaseCluster:
    """The cluster that the other fields of the table override."""

    cluster: str | None = option(None, help="A TOML file, or a name of `hbsim clusters`, to begin with.")


def _fields(*groups: type, leave_out: tuple[str, ...] = ()) -> dict[str, Option]:
    found = {name: one for group in groups for name, one in declared(group).items()}
    return {name: one for name, one in found.items() if name not in leave_out and one.takes != "tables"}


_OF_STUDY: Final = ("num_trials", "mode", "seed")  # options of a scheduler that are those of the study
_NOT_IN_FILES: Final = ("resume", "until_return", "args", "resource", "search_options", "cluster")
_SCHEDULER: Final = _fields(SchedulerOptions)
_RUN: Final = _fields(_FunctionOptions, CommandOptions, RunOptions, leave_out=_NOT_IN_FILES)
_FIRST: Final = ("train", "command", "report_pattern", "shell", "cwd", "executor", "folder")

# The fields of each table; those of None are names of the training function, or of the searcher.
FIELDS: Final[Mapping[str, Mapping[str, Option] | None]] = {
    TOP: {
        **{name: _RUN[name] for name in _FIRST},
        **{name: _SCHEDULER[name] for name in ("num_trials", "mode")},
        **{name: one for name, one in _RUN.items() if name not in (*_FIRST, "space")},
    },
    "space": None,
    "scheduler": _fields(SchedulerOptions, leave_out=_OF_STUDY),
    "search_options": None,
    "args": None,
    "resource": _fields(TrialResources),
    "hosts": _fields(Hosts),
    "dask": _fields(Dask),
    "surrogate_options": _fields(SurrogateOptions, leave_out=("metric", "mode")),
    "cluster": _fields(_BaseCluster, Cluster, leave_out=("workers",)),
}
_LISTS: Final = ("args", "search_options", "space")  # given one at a time on the command line: NAME=VALUE
_FILES: Final = ("ssh_key", "ssh_known_hosts", "tls_ca", "tls_cert", "tls_key")  # checked when they are used


@dataclass
class StudyValues:
    """The options of ``hbsim run``, by names: as given on the command line, or in a file.

    Attributes
    ----------
    scheduler, cluster : dict
        Options of the scheduler, and of the simulated cluster.
    values : dict
        All others; ``args`` and ``search_options`` are lists of ``NAME=VALUE``.
    """

    scheduler: dict[str, Any] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    cluster: dict[str, Any] = field(default_factory=dict)

    def over(self, file: StudyValues) -> StudyValues:
        """Return these options together with those of a file, which they override."""
        from hbsim.cli.real_study import merged

        scheduler = {**file.scheduler, **self.scheduler}
        if self.scheduler.get("type", file.scheduler.get("type")) != file.scheduler.get("type"):
            taken = ("type", *TYPES.get(self.scheduler["type"], ()))
            scheduler = {n: v for n, v in scheduler.items() if n in self.scheduler or n in taken}
        values = {name: value for name, value in self.values.items() if name != "train"}
        return StudyValues(scheduler, merged(file.values, values), {**file.cluster, **self.cluster})


# Reading


def read_study(path: str) -> StudyValues:
    """Read the options in a study's file. Relative paths start from the file's folder.

    Raises
    ------
    ParameterError
        The file cannot be read, a field is unknown, or a value breaks its rule: names file and field.
    """
    tables = _tables(path, parse_toml("train", path, read_text("train", path)))
    made = StudyValues(values=_values(tables, TOP), cluster=_values(tables, "cluster"))
    made.scheduler = dict(tables.get("scheduler", {}))
    for name in _LISTS:
        if name in tables:
            made.values[name] = [f"{key}={_text(value)}" for key, value in tables[name].items()]
    made.values |= _values(tables, "resource") | _values(tables, "surrogate_options")
    machines = {name: _values(tables, name) for name in ("hosts", "dask")}
    implied = next((name for name, given in machines.items() if given), "")
    if executor := made.values.get("executor", implied):
        made.values |= {"executor": executor, **machines.get(executor, {})}
    if made.values.get("html") is False:
        del made.values["html"]
    if "command" in made.values:
        made.values.setdefault("cwd", ".")
    _place(made, lambda name: os.path.join(os.path.dirname(path), os.path.expanduser(name)))
    return made


def _tables(path: str, content: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the tables of a file, checked; what stands above all of them is a table, too."""
    tables: dict[str, dict[str, Any]] = {TOP: {}}
    for name, value in content.items():
        if name == "cluster" and isinstance(value, str):
            tables[name] = {"cluster": value}
        elif name in FIELDS and isinstance(value, dict):
            tables[name] = value
        else:
            tables[TOP][name] = value
    for table, given in tables.items():
        for name, value in given.items():
            _check(path, table, name, value)
    for table in _LISTS:
        try:
            declared(RunOptions)["args"].check(table, tables.get(table))
        except ParameterError as error:
            raise ParameterError("train", path, f"[{table}]: {error.rule}") from None
    return tables


def _values(tables: dict[str, dict[str, Any]], table: str) -> dict[str, Any]:
    given = tables.get(table, {})
    return {name: _on_command_line(FIELDS[table], name, value) for name, value in given.items()}


def _on_command_line(fields: Mapping[str, Option] | None, name: str, value: Any) -> Any:
    """Return a field's value as the command line gives it."""
    one = (fields or {})[name]
    if one.can_be_none and value == NONE:
        return one.default
    if one.takes == "steps":
        return tuple(Step(*step) for step in value)
    if one.takes == "numbers" and isinstance(value, list):
        return tuple(value)
    if one.takes == "duration" and isinstance(value, str):
        return parse_duration(value)
    if one.takes == "texts" and isinstance(value, str):
        return [value]
    if name == "html" and value is True:
        return ""
    return ",".join(value) if name == "hosts" else value


def _text(value: object) -> str:
    """Return a value as JSON, or as it is where that is read as the same text."""
    if isinstance(value, str) and named_values("", [f"x={value}"]) == {"x": value}:
        return value
    return json.dumps(value)


def _check(path: str, table: str, name: str, value: object) -> None:
    """Check one field: its name, and its value as far as it can be checked alone."""
    fields = FIELDS[table]
    if fields is None:
        return
    if name not in fields:
        raise _error(path, name, value, _unknown(table, name), table)
    one = fields[name]
    rule = _wrong_type(one, value) if name != "hosts" else ""
    if not rule and name not in _FILES and not (one.can_be_none and value == NONE):
        check = one_of(*one.choices) if name == "executor" else one.check
        try:
            as_it_is = name in ("hosts", "html") or one.takes == "duration"
            check(name, value if as_it_is else _on_command_line(fields, name, value))
        except ParameterError as error:
            rule = error.rule
    if rule:
        raise _error(path, name, value, rule, table)


def _unknown(table: str, name: str) -> str:
    fields = FIELDS[table] or {}
    if name in _LISTS or name in FIELDS:
        return f"is a table of its own: [{name}]"
    if name == "resume" and table == TOP:
        return "is for the command line: hbsim run FILE.toml --resume"
    rule = unknown_option(name, fields)
    if not rule.startswith("is called"):
        for other, known in FIELDS.items():
            word = unknown_option(name, known or {})
            if other != table and (name in (known or {}) or word.startswith("is called")):
                where = "above all tables" if other == TOP else f"in [{other}]"
                return f"{word}, {where}" if word.startswith("is called") else f"belongs {where}"
    return rule.replace("is no option", "is no field here")


_TYPES: Final[Mapping[str, tuple[tuple[type, ...], str]]] = {
    "number": ((int, float), "a number"),
    "duration": ((int, float, str), "a duration: seconds, or a text as 30m"),
    "whole": ((int,), "a whole number"),
    "amount": ((int, float, str), "a number or a distribution"),
    "numbers": ((int, float, list), "a number or a list of numbers"),
    "steps": ((list,), "a list of pairs of a time and a number"),
    "text": ((str,), "a text"),
    "texts": ((str, list), "a text or a list of texts"),
    "flag": ((bool,), "true or false"),
}


def _wrong_type(one: Option, value: object) -> str:
    """Return the rule that a value's type breaks; empty if none."""
    kinds, wanted = _TYPES[one.takes] if one.name != "html" else ((bool, str), "true or a file")
    is_wrong = not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds)
    if isinstance(value, list) and not is_wrong:
        inner: Any = {"numbers": (int, float), "steps": list, "texts": str}[one.takes]
        is_wrong = not all(isinstance(part, inner) and not isinstance(part, bool) for part in value)
        is_wrong = is_wrong or (one.takes == "steps" and not all(len(part) == 2 for part in value))
    return f"must be {wanted}" if is_wrong and not (one.can_be_none and value == NONE) else ""


def _error(path: str, name: str, value: object, rule: str, table: str = TOP) -> ParameterError:
    at = f"{table}.{name}" if table else name
    given = "" if isinstance(value, dict) else f" = {shown(value)}"
    return ParameterError("train", path, f"{at}{given}: {rule}")


# Writing


def study_toml(given: StudyValues, points: object, path: str) -> str:
    """Return the text of a file with these options; relative paths start from its folder.

    Parameters
    ----------
    given : StudyValues
        The options.
    points : list or None
        The configurations that come first.
    path : str
        The file to be written.

    Raises
    ------
    ParameterError
        A value is one that TOML does not have.
    """
    made = StudyValues(dict(given.scheduler), dict(given.values), dict(given.cluster))
    if "command" in made.values:
        made.values.setdefault("cwd", ".")
    start = os.path.dirname(os.path.abspath(path))
    _place(made, lambda name: os.path.relpath(os.path.expanduser(name), start))
    values = made.values
    content: dict[str, Any] = {}
    for name in FIELDS[TOP] or {}:
        if name in values:
            content[name] = True if name == "html" and not values[name] else values[name]
    content["space"] = dict(text.split("=", 1) for text in values.get("space", ()))
    content["scheduler"] = made.scheduler
    for name in ("search_options", "args"):
        content[name] = named_values(name, values.get(name, ()))
        for key, value in content[name].items():
            if _has_null(value):
                raise ParameterError(
                    name, f"{key}={json.dumps(value)}", "cannot be in a file: TOML has no null"
                )
    if points is not None:
        content["search_options"]["points_to_evaluate"] = points
    remote = "hosts" if "hosts" in values else "dask"
    for table in ("resource", remote, "surrogate_options"):
        content[table] = {name: values[name] for name in FIELDS[table] or {} if name in values}
    if "hosts" in content:
        content["hosts"]["hosts"] = [host.strip() for host in values["hosts"].split(",")]
    content["cluster"] = {
        name: NONE if value is None else [list(step) for step in value] if name == "schedule" else value
        for name, value in made.cluster.items()
        if name != "workers"
    }
    return to_toml(content)


def _has_null(value: object) -> bool:
    if isinstance(value, dict | list):
        return any(map(_has_null, value.values() if isinstance(value, dict) else value))
    return value is None


def write_study(path: str, text: str) -> None:
    """Write a study's file, which must not exist yet.

    Raises
    ------
    ParameterError, OutputError
        It has another ending, it exists, or it cannot be written.
    """
    if not path.endswith(SUFFIX):
        raise ParameterError("write_toml", path, f"must end in {SUFFIX}")
    try:
        with Path(path).open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ParameterError("write_toml", path, "exists already") from None
    except OSError as error:
        raise OutputError(path, f"cannot be written: {error.strerror or error}") from error


# Paths


_PATHS: Final = ("train", "cwd", "folder", "yahpo_data", "html", *_FILES)


def _place(given: StudyValues, place: Callable[[str], str]) -> None:
    """Replace relative paths in options."""

    def placed(name: str) -> str:
        return name if os.path.isabs(name) else place(name)

    values, cluster = given.values, given.cluster
    for name in _PATHS:
        if values.get(name):
            values[name] = placed(values[name])
    if "surrogate" in values and _is_path(values["surrogate"], placed):
        prefix = "fit:" if values["surrogate"].startswith("fit:") else ""
        values["surrogate"] = prefix + placed(values["surrogate"].removeprefix("fit:"))
    if cluster.get("cluster", "").endswith(SUFFIX):
        cluster["cluster"] = placed(cluster["cluster"])
    if isinstance(cluster.get("trace"), str):
        cluster["trace"] = placed(cluster["trace"])
    if "callbacks" in values:
        values["callbacks"] = [placed(one) if ".py:" in one else one for one in values["callbacks"]]
    texts = values.get("search_options", ())
    if texts:
        values["search_options"] = [_placed_constraint(text, placed) for text in texts]


def _placed_constraint(text: str, placed: Callable[[str], str]) -> str:
    name, _, value = text.partition("=")
    return f"{name}={placed(value)}" if name == "constraints" else text


def _is_path(surrogate: str, placed: Callable[[str], str]) -> bool:
    """Return whether a surrogate is a file, a function in one, or the folder of a study."""
    if surrogate.startswith("fit:"):
        return True
    if surrogate.rpartition(":")[0].endswith(".py") or Path(surrogate).suffix in SUFFIXES:
        return True
    return (
        os.path.isdir(placed(surrogate)) or os.path.isdir(surrogate) or os.sep in surrogate.partition(":")[0]
    )
