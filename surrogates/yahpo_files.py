"""The reader of YAHPO Gym's files: the folder of a scenario, and the search space in it."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hbsim.core.space import Int, Real, Space
from hbsim.core.types import Mode
from hbsim.errors import ParameterError, SurrogateError

VARIABLE: Final = "HBSIM_YAHPO_DATA"
MODEL: Final = "model.onnx"
_SETTINGS_VARIABLE: Final = "YAHPO_LOCAL_CONFIG"
_SETTINGS: Final = "~/.config/yahpo_gym"
_SOURCE: Final = "the files are those of github.com/slds-lmu/yahpo_data, or of one of its releases"
# One key of a YAML mapping; a long path may continue in indented lines.
_DATA_PATH: Final = re.compile(r"^data_path[ \t]*:[ \t]*(\S.*(?:\n[ \t]+\S.*)*)$", re.MULTILINE)
_ESCAPE: Final = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|U([0-9A-Fa-f]{8})|(.))")


def find_folder(scenario: str, given: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder that holds a scenario's files.

    The first of these that exists decides: `given`; the variable ``HBSIM_YAHPO_DATA``; `data_path` in
    yahpo-gym's settings, ``~/.config/yahpo_gym`` or the file that the variable ``YAHPO_LOCAL_CONFIG``
    names. Each is a folder with the scenario's folder in it, or the scenario's folder itself.

    Parameters
    ----------
    scenario : str
        Such as ``lcbench``.
    given : path, optional
        The folder that the user gives.

    Raises
    ------
    SurrogateError
        No folder is named, or the folder does not exist or holds no such files.
    """
    folder, origin = _named_folder(scenario, given)
    if not os.path.isdir(folder):
        raise SurrogateError(str(folder), f"no such folder, which {origin} names; {_SOURCE}")
    for place in (folder / scenario, folder):
        if (place / MODEL).exists():
            return place
    problem = f"no such file, in the folder that {origin} names, and none in {scenario}/ there; {_SOURCE}"
    raise SurrogateError(str(folder / MODEL), problem)


def read_json(path: Path) -> Mapping[str, object]:
    """Return the JSON object in a file.

    Raises
    ------
    SurrogateError
        There is no such file, it cannot be read, or it holds something else.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SurrogateError(str(path), f"no such file; {_SOURCE}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise SurrogateError(str(path), f"is no JSON that can be read: {error}") from None
    if not isinstance(found, dict):
        raise SurrogateError(str(path), "must be a JSON object")
    return found


def settings_path() -> Path:
    """Return the path of yahpo-gym's settings."""
    return Path(os.environ.get(_SETTINGS_VARIABLE) or _SETTINGS).expanduser()


def _named_folder(scenario: str, given: str | os.PathLike[str] | None) -> tuple[Path, str]:
    """Return the named folder, and the source that names it."""
    if given is not None:
        return Path(given).expanduser(), "yahpo_data"
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE]).expanduser(), VARIABLE
    settings = settings_path()
    path = _data_path(settings)
    if path:
        return Path(path).expanduser(), str(settings)
    problem = f"its files are needed: name their folder by yahpo_data or {VARIABLE}; {_SOURCE}"
    raise SurrogateError(f"yahpo:{scenario}", problem)


def _data_path(settings: Path) -> str:
    """Return `data_path` in yahpo-gym's settings, an empty text where there is none."""
    try:
        found = _DATA_PATH.search(settings.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        raise SurrogateError(str(settings), f"yahpo-gym's settings cannot be read: {error}") from None
    text = found[1] if found else ""
    if text.startswith('"'):
        text = re.sub(r"\\\n[ \t]+", "", text)  # a line that ends in a backslash continues without a space
    return _unquoted(re.sub(r"\s*\n\s+", " ", text))


def _unquoted(text: str) -> str:
    """Parse a YAML scalar of one line: plain, or in quotes of either kind."""
    quoted = re.match(r"""'((?:[^']|'')*)'|"((?:[^"\\]|\\.)*)\"""", text)
    if quoted is None:
        return re.sub(r"(^|\s+)#.*", "", text).strip()
    if quoted[1] is not None:
        return quoted[1].replace("''", "'")
    return _ESCAPE.sub(_unescaped, quoted[2])


def _unescaped(match: re.Match[str]) -> str:
    code = match[1] or match[2] or match[3]
    return chr(int(code, 16)) if code else str(match[4])


@dataclass(frozen=True)
class Scenario:
    """A scenario of YAHPO Gym: the inputs and outputs of its network, which its files do not describe.

    Attributes
    ----------
    name : str
        The name in YAHPO Gym.
    instance, fidelity : str
        The parameters that say which data set, and the resource.
    inputs : tuple of str
        The columns of the network's numbers, the fidelity among them, in its order.
    outputs : tuple of str
        The columns that it predicts, in its order.
    time : str
        The output that is cumulative seconds.
    metric : str
        The output that decides by default.
    modes : mapping of str to "max" or "min"
        Whether each output except time is maximised or minimised.
    """

    name: str
    instance: str
    fidelity: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    time: str
    metric: str
    modes: Mapping[str, Mode]


_LCBENCH: Final = Scenario(
    name="lcbench",
    instance="OpenML_task_id",
    fidelity="epoch",
    inputs=(
        "epoch",
        "batch_size",
        "learning_rate",
        "momentum",
        "weight_decay",
        "num_layers",
        "max_units",
        "max_dropout",
    ),
    outputs=(
        "time",
        "val_accuracy",
        "val_cross_entropy",
        "val_balanced_accuracy",
        "test_cross_entropy",
        "test_balanced_accuracy",
    ),
    time="time",
    metric="val_accuracy",
    modes={
        "val_accuracy": "max",
        "val_cross_entropy": "min",
        "val_balanced_accuracy": "max",
        "test_cross_entropy": "min",
        "test_balanced_accuracy": "max",
    },
)
SCENARIOS: Final[Mapping[str, Scenario]] = {_LCBENCH.name: _LCBENCH}
_LEVELS: Final = 10_000
_KINDS: Final[Mapping[str, Callable[..., Real | Int]]] = {"uniform_float": Real, "uniform_int": Int}


@dataclass(frozen=True)
class Domain:
    """The search space of a scenario, from its ``config_space.json``.

    Attributes
    ----------
    instances : tuple of str
        The data sets.
    levels : tuple of float
        The fidelities, ascending, one unit apart.
    space : Space
        The other parameters, in the order of the file.
    """

    instances: tuple[str, ...]
    levels: tuple[float, ...]
    space: Space


def read_domain(source: Path, data: Mapping[str, object], scenario: Scenario) -> Domain:
    """Read ConfigSpace's JSON.

    Parameters
    ----------
    source : Path
        The file, for errors.
    data : mapping
        The content of the file.
    scenario : Scenario
        The scenario: its instance becomes `instances`, its fidelity `levels`; other inputs form the space.

    Raises
    ------
    SurrogateError
        A parameter is missing, unknown, or of an unsupported kind.
    """
    for field in ("conditions", "forbiddens"):
        if data.get(field):
            raise SurrogateError(str(source), f"has {field}, which are not read")
    entries = _entries(source, data, {scenario.instance, *scenario.inputs})
    instances = _field(source, entries.pop(scenario.instance), "choices")
    if not isinstance(instances, list) or not instances:
        raise SurrogateError(str(source), f"{scenario.instance} has no choices")
    fidelity = _parameter(source, entries.pop(scenario.fidelity))
    if not isinstance(fidelity, Int) or fidelity.low < 1:
        raise SurrogateError(str(source), f"{scenario.fidelity} must be whole numbers above 0")
    if fidelity.high > _LEVELS:
        raise SurrogateError(str(source), f"{scenario.fidelity} must end at {_LEVELS:,} or before")
    levels = tuple(float(level) for level in range(fidelity.low, fidelity.high + 1))
    space = Space({name: _parameter(source, entry) for name, entry in entries.items()})
    return Domain(tuple(map(str, instances)), levels, space)


def _entries(source: Path, data: Mapping[str, object], wanted: set[str]) -> dict[str, Mapping[str, object]]:
    """Return the hyperparameters by name: exactly the wanted ones."""
    given = data.get("hyperparameters")
    if not isinstance(given, list) or not all(isinstance(entry, dict) for entry in given):
        raise SurrogateError(str(source), "hyperparameters must be a list of objects")
    entries = {str(entry.get("name")): entry for entry in given}
    for problem, names in (("has no", wanted - entries.keys()), ("has an unknown", entries.keys() - wanted)):
        if names:
            raise SurrogateError(str(source), f"{problem} hyperparameter {', '.join(sorted(names))}")
    return entries


def _parameter(source: Path, entry: Mapping[str, object]) -> Real | Int:
    kind = _KINDS.get(str(entry.get("type")))
    if kind is None or entry.get("q") is not None:
        steps = "" if kind is None else f" in steps of {entry['q']}"
        problem = f"{entry['name']} is {entry.get('type')}{steps}; {' and '.join(_KINDS)} can be read"
        raise SurrogateError(str(source), problem)
    low, high = (_field(source, entry, field) for field in ("lower", "upper"))
    default = entry.get("default", entry.get("default_value"))  # the second name since ConfigSpace 1.0
    try:
        return kind(low, high, log=bool(entry.get("log", False)), default=default)
    except ParameterError as error:
        raise SurrogateError(str(source), f"{entry['name']}: {error}") from None


def _field(source: Path, entry: Mapping[str, object], field: str) -> object:
    if field not in entry:
        raise SurrogateError(str(source), f"{entry['name']} has no {field}")
    return entry[field]
