"""Learning curves that YAHPO Gym's networks predict (Pfisterer and others, AutoML 2022)."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np

from hbsim.core.space import Space
from hbsim.core.types import Mode
from hbsim.errors import ParameterError, SurrogateError, nearest
from hbsim.surrogates.options import check_choice
from hbsim.surrogates.protocol import Floats, Ints, check_points
from hbsim.surrogates.yahpo_files import MODEL, find_folder, read_json
from hbsim.surrogates.yahpo_network import Float32s, Network
from hbsim.surrogates.yahpo_space import SCENARIOS, Domain, Scenario, read_domain

__all__ = ["PREFIX", "Yahpo", "instances"]

PREFIX: Final = "yahpo:"
_DIRECTION: Final = {"max": "higher", "min": "lower"}
_KEPT: Final = 16384  # curves, some 16 MB: variants that are compared ask for the same ones


class Yahpo:
    """The curves of one instance of a scenario; ``lcbench`` is known: MLPs on 34 OpenML tasks, 52 epochs.

    A configuration is a point of the unit cube of `space`, which is that of the scenario's files without
    instance and fidelity; there are any number of them. Every curve is predicted as a whole, by itself,
    so that its bytes depend on its configuration only. Predicted time is replaced by its running maximum
    over all levels, from 0.

    Parameters
    ----------
    text : str
        ``SCENARIO/INSTANCE``, as ``lcbench/167168``.
    data : path, optional
        The folder of the files; `find_folder` says what stands in for it.
    metric : str, optional
        The output that decides: ``val_accuracy`` (percent) unless given.
    mode : "max" or "min", optional
        Known from the metric; another one is an error.
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
        self.space: Space | None = domain.space
        self.resources: tuple[float, ...] | None = domain.levels
        self.max_resource = domain.levels[-1]
        self.rows: int | None = None
        self.instances = domain.instances
        self._space = domain.space
        self._levels = np.array(domain.levels)
        self._network = Network(
            self._folder / MODEL, len(scenario.inputs), len(scenario.outputs), domain.levels
        )
        self._curve = lru_cache(maxsize=_KEPT)(self._predict)
        self._curves(np.full((1, domain.space.dimension), 0.5))  # what is wrong shows before any work

    def __reduce__(self) -> tuple[object, ...]:
        # A session stays in its process; another one opens the files again.
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
            The shape is another, a coordinate lies outside [0, 1], or there is no such level.
        SurrogateError
            A predicted time is no number.
        """
        places = self._places(levels)
        curves = self._curves(configurations)[:, :, places]
        return curves[:, 0].astype(np.float64), curves[:, 1].astype(np.float64)

    def optimum(self, level: float) -> float | None:
        """Return None: the best value of the space is not known."""
        return None

    def test_values(self, configurations: Floats | Ints, level: float) -> Floats | None:
        """Return the test metric at `level`, shape (n,), None if there is none."""
        if self._test is None:
            return None
        place = self._places(np.array([level]))[0]
        return self._curves(configurations)[:, 2, place].astype(np.float64)

    def _places(self, levels: Floats) -> Ints:
        levels = np.asarray(levels, dtype=np.float64)
        if levels.ndim != 1:
            raise ParameterError("levels.shape", levels.shape, "must be (m,)")
        missing = levels[~np.isin(levels, self._levels)]
        if missing.size:
            raise ParameterError("levels", missing.tolist(), f"the curves of {self.name} have no such level")
        return np.searchsorted(self._levels, levels).astype(np.int64)

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
        """Return what `_curves` does of one configuration, shape (3, T); `row` holds its inputs."""
        outputs = self._network.curve(self._code, np.frombuffer(row, dtype=np.float32))
        where = self._scenario.outputs.index
        time = outputs[:, where(self._scenario.time)]
        if not np.isfinite(time).all():
            raise SurrogateError(self.name, f"predicts a time that is no number: {time.tolist()}")
        seconds = np.maximum.accumulate(np.maximum(time, np.float32(0.0)))
        value = outputs[:, where(self.metric)]
        return np.stack([value, seconds, value if self._test is None else outputs[:, where(self._test)]])


def instances(scenario: str, data: str | os.PathLike[str] | None = None) -> tuple[str, ...]:
    """Return the names of all instances of a scenario.

    Parameters
    ----------
    scenario : str
        As ``lcbench``.
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
    """Return what stands for an instance in the network."""
    if instance not in domain.instances:
        rule = f"must be {PREFIX}{scenario.name}/INSTANCE, an instance one of {', '.join(domain.instances)}"
        raise ParameterError("surrogate", f"{PREFIX}{scenario.name}/{instance}".rstrip("/"), rule)
    path = folder / "encoding.json"
    codes = read_json(path).get(scenario.instance)
    code = codes.get(instance) if isinstance(codes, dict) else None
    if not isinstance(code, int) or not 0 <= code < 2**31:
        raise SurrogateError(str(path), f"has no whole number for {scenario.instance} {instance}")
    return code
