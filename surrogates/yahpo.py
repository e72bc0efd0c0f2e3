"""Learning curves that YAHPO Gym's networks predict (Pfisterer and others, AutoML 2022)."""

from __future__ import annotations

import importlib
import os
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hbsim.core.space import Space
from hbsim.core.types import Mode
from hbsim.errors import ParameterError, SurrogateError, nearest, needs
from hbsim.surrogates.options import check_choice
from hbsim.surrogates.protocol import Floats, Ints, SurrogateBase, check_points, level_places
from hbsim.surrogates.yahpo_files import (
    MODEL,
    SCENARIOS,
    Domain,
    Scenario,
    find_folder,
    read_domain,
    read_json,
)

PREFIX: Final = "yahpo:"
_DIRECTION: Final = {"max": "higher", "min": "lower"}
_KEPT: Final = 16384  # curves in the cache, some 16 MB: compared variants use the same ones


class Yahpo(SurrogateBase):
    """The curves of one instance of a scenario; ``lcbench`` is known: MLPs on 34 OpenML tasks, 52 epochs.

    A configuration is any point of the unit cube of `space`, which is the space in the scenario's files
    without instance and fidelity. Every curve is predicted as a whole, by itself,
    so that its bytes depend on its configuration only. Predicted time is replaced by its running maximum
    over all levels, from 0.

    Parameters
    ----------
    text : str
        ``SCENARIO/INSTANCE``, as ``lcbench/167168``.
    data : path, optional
        The folder of the files; `find_folder` describes the defaults.
    metric : str, optional
        The output that decides: ``val_accuracy`` (percent) unless given.
    mode : "max" or "min", optional
        The mode, which the metric determines; another one is an error.
    test_metric : str, optional
        The output to judge the best trial by. Unless given, ``test_x`` where the metric is ``val_x``, if
        there is one; ``val_accuracy`` has none.

    Attributes
    ----------
    instances : tuple of str
        All instances of the scenario.

    Raises
    ------
    ParameterError
        There is no such scenario, instance or output.
    SurrogateError
        The files are not there or cannot be used, or onnxruntime is not installed.
    """

    def __init__(
        self,
        text: str,
        *,
        data: str | os.PathLike[str] | None = None,
        metric: str | None = None,
        mode: Mode | None = None,
        test_metric: str | None = None,
    ) -> None:
        scenario, instance = _parse(text)
        self.metric = scenario.metric if metric is None else _output("metric", metric, scenario)
        self.mode: Mode = _mode(self.metric, mode, scenario)
        self._test = _twin(self.metric, test_metric, scenario)
        self._scenario = scenario
        self._folder = find_folder(scenario.name, data)
        domain = _domain(self._folder, scenario)
        self._code = _code(self._folder, domain, scenario, instance)
        self.name = f"{PREFIX}{scenario.name}/{instance}"
        self.space = domain.space
        self.resources = domain.levels
        self.max_resource = domain.levels[-1]
        self.instances = domain.instances
        self._space: Space = domain.space
        self._levels = np.array(domain.levels)
        self._network = CurveNetwork(
            self._folder / MODEL, len(scenario.inputs), len(scenario.outputs), domain.levels
        )
        self._curve = lru_cache(maxsize=_KEPT)(self._predict)
        self._curves(np.full((1, domain.space.dimension), 0.5))  # errors show before any work

    def __reduce__(self) -> tuple[object, ...]:
        # A session cannot leave its process: other processes open the files again.
        text = self.name.removeprefix(PREFIX)
        return _remake, (text, str(self._folder.resolve()), self.metric, self._test)

    def evaluate(self, configurations: Floats | Ints, levels: Floats) -> tuple[Floats, Floats]:
        """Return the metric and cumulative seconds, shapes (n, m).

        Parameters
        ----------
        configurations : array, shape (n, d)
            Points of the unit cube of `space`.
        levels : array, shape (m,)
            Levels out of `resources`.

        Raises
        ------
        ParameterError
            The shape is wrong, a coordinate lies outside [0, 1], or there is no such level.
        SurrogateError
            A predicted time is no number.
        """
        places = level_places(self.name, self._levels, levels)
        curves = self._curves(configurations)[:, :, places]
        return curves[:, 0].astype(np.float64), curves[:, 1].astype(np.float64)

    def test_values(self, configurations: Floats | Ints, level: float) -> Floats | None:
        """Return the test metric at `level`, shape (n,), None if there is none."""
        if self._test is None:
            return None
        place = level_places(self.name, self._levels, np.array([level]))[0]
        return self._curves(configurations)[:, 2, place].astype(np.float64)

    def _curves(self, configurations: Floats | Ints) -> Float32s:
        """Return metric, seconds and test metric of configurations, shape (n, 3, T)."""
        columns = self._space.decode(check_points(configurations, self._space.dimension))
        inputs = [name for name in self._scenario.inputs if name != self._scenario.fidelity]
        rows = np.empty((len(configurations), len(inputs)), dtype=np.float32)
        for place, name in enumerate(inputs):
            rows[:, place] = np.asarray(columns[name], dtype=np.float64)
        curves = np.empty((len(rows), 3, len(self._levels)), dtype=np.float32)
        for place, row in enumerate(rows):
            curves[place] = self._curve(row.tobytes())
        return curves

    def _predict(self, row: bytes) -> Float32s:
        """Return metric, seconds and test metric of a configuration, shape (3, T); `row` holds its inputs."""
        outputs = self._network.curve(self._code, np.frombuffer(row, dtype=np.float32))
        place_of = self._scenario.outputs.index
        time = outputs[:, place_of(self._scenario.time)]
        if not np.isfinite(time).all():
            raise SurrogateError(self.name, f"predicts a time that is no number: {time.tolist()}")
        seconds = np.maximum.accumulate(np.maximum(time, np.float32(0.0)))
        value = outputs[:, place_of(self.metric)]
        return np.stack([value, seconds, value if self._test is None else outputs[:, place_of(self._test)]])


def instances(scenario: str, data: str | os.PathLike[str] | None = None) -> tuple[str, ...]:
    """Return the names of all instances of a scenario.

    Parameters
    ----------
    scenario : str
        The name of the scenario, such as ``lcbench``.
    data : path, optional
        The folder of its files, as in `Yahpo`.

    Raises
    ------
    ParameterError
        There is no such scenario.
    SurrogateError
        The files are not there or cannot be used.
    """
    known, _ = _parse(scenario)
    return _domain(find_folder(known.name, data), known).instances


def _remake(text: str, folder: str, metric: str, test_metric: str | None) -> Yahpo:
    return Yahpo(text, data=folder, metric=metric, test_metric=test_metric)


def _parse(text: str) -> tuple[Scenario, str]:
    name, _, instance = text.partition("/")
    if name not in SCENARIOS:
        known = f"{', '.join(SCENARIOS)} is, as in {PREFIX}lcbench/167168.{nearest(name, SCENARIOS)}"
        raise ParameterError("surrogate", PREFIX + text, f"the scenario {name!r} is not supported; {known}")
    return SCENARIOS[name], instance


def _output(field: str, name: str, scenario: Scenario) -> str:
    check_choice(field, name, tuple(scenario.modes))
    return name


def _mode(metric: str, mode: Mode | None, scenario: Scenario) -> Mode:
    known = scenario.modes[metric]
    if mode is not None:
        check_choice("mode", mode, ("max", "min"))
        if mode != known:
            raise ParameterError("mode", mode, f"{metric} is better the {_DIRECTION[known]} it is")
    return known


def _twin(metric: str, test_metric: str | None, scenario: Scenario) -> str | None:
    if test_metric is not None:
        return _output("test_metric", test_metric, scenario)
    twin = "test_" + metric.removeprefix("val_")
    return twin if metric.startswith("val_") and twin in scenario.modes else None


def _domain(folder: Path, scenario: Scenario) -> Domain:
    path = folder / "config_space.json"
    return read_domain(path, read_json(path), scenario)


def _code(folder: Path, domain: Domain, scenario: Scenario, instance: str) -> int:
    """Return the code of an instance in the network."""
    if instance not in domain.instances:
        rule = f"must be {PREFIX}{scenario.name}/INSTANCE, an instance one of {', '.join(domain.instances)}"
        raise ParameterError("surrogate", f"{PREFIX}{scenario.name}/{instance}".rstrip("/"), rule)
    path = folder / "encoding.json"
    codes = read_json(path).get(scenario.instance)
    code = codes.get(instance) if isinstance(codes, dict) else None
    if not isinstance(code, int) or not 0 <= code < 2**31:
        raise SurrogateError(str(path), f"has no whole number for {scenario.instance} {instance}")
    return code


Float32s = NDArray[np.float32]


class CurveNetwork:
    """A scenario's network in onnxruntime, which predicts each curve as a separate batch of fixed size.

    The last bits of a prediction depend on the size of the batch, and may depend on a row's place in it
    (kernels treat rows left over after their vectors differently). Level i is always row i of a
    batch that holds nothing else, so a curve depends on its configuration only.

    Parameters
    ----------
    path : Path
        The ONNX file: inputs ``x_cat``, int32 (batch, 1), and ``x_cont``, float32 (batch, d); output
        ``output``, float32 (batch, k).
    width, outputs : int
        d, the level included, which is its first column; and k.
    levels : sequence of float
        The T levels of a curve.

    Raises
    ------
    SurrogateError
        onnxruntime is not installed, or the file is no such network.
    """

    def __init__(self, path: Path, width: int, outputs: int, levels: tuple[float, ...]) -> None:
        self.path = path
        self._shape = (len(levels), outputs)
        self._numbers = np.zeros((len(levels), width), dtype=np.float32)
        self._numbers[:, 0] = levels
        self._category = np.zeros((len(levels), 1), dtype=np.int32)
        self._session = _open(path)
        self._check({"x_cat": ("tensor(int32)", 1), "x_cont": ("tensor(float)", width)})

    def curve(self, category: int, row: Float32s) -> Float32s:
        """Return all outputs at all levels, shape (T, k).

        Parameters
        ----------
        category : int
            The code of the instance.
        row : array of float32, shape (d - 1,)
            The inputs after the level.

        Raises
        ------
        SurrogateError
            The network fails, or returns another shape.
        """
        self._category[:] = category
        self._numbers[:, 1:] = row
        feed = {"x_cat": self._category, "x_cont": self._numbers}
        try:
            found = self._session.run(["output"], feed)[0]
        except Exception as error:  # onnxruntime's errors have no common base class
            raise SurrogateError(str(self.path), f"cannot be evaluated: {_line(error)}") from error
        if found.shape != self._shape or found.dtype != np.float32:
            problem = f"must predict float32 of shape {self._shape}, not {found.dtype} of {found.shape}"
            raise SurrogateError(str(self.path), problem)
        curve: Float32s = found
        return curve

    def _check(self, wanted: dict[str, tuple[str, int]]) -> None:
        there = {one.name: (one.type, one.shape[-1]) for one in self._session.get_inputs()}
        outputs = [one.name for one in self._session.get_outputs()]
        if there != wanted or "output" not in outputs:
            problem = f"must map {wanted} to 'output'; it maps {there} to {outputs}"
            raise SurrogateError(str(self.path), problem)


def _open(path: Path) -> Any:
    try:
        runtime: Any = importlib.import_module("onnxruntime")
    except ImportError:
        raise SurrogateError(str(path), needs("onnxruntime", "yahpo")) from None
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.execution_mode = runtime.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = True
    options.log_severity_level = 3  # errors, which are raised as well
    try:
        return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise SurrogateError(str(path), f"is no network that onnxruntime can read: {_line(error)}") from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
