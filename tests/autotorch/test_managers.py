"""AutoTorch's managers against a plain account of its rungs."""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hbsim.autotorch.managers import HyperbandPromotion_Manager, HyperbandStopping_Manager
from hbsim.errors import ParameterError, ProtocolError
from tests.profile import examples

LEVELS, ETA = (1, 3, 9, 27), 3  # the last is max_t


class Rungs:
    """The rungs of one bracket, as AutoTorch keeps them: dicts, looked through whole at each step."""

    def __init__(self, levels: tuple[int, ...], ratios: bool) -> None:
        self.levels, self.ratios = levels, ratios
        self.values: dict[int, dict[int, float]] = {level: {} for level in levels[:-1]}
        self.promoted: set[tuple[int, int]] = set()
        self.counts = dict.fromkeys(levels, 0)

    def _best(self, level: int) -> list[int]:
        values, above = self.values[level], self.levels[self.levels.index(level) + 1]
        if self.ratios and self.counts[above] * ETA > self.counts[level]:
            return []
        best = sorted(values, key=lambda key: -values[key])[: len(values) // ETA]
        return [key for key in best if (level, key) not in self.promoted]

    def promote(self) -> tuple[int, int] | None:
        for level in reversed(self.levels[:-1]):
            for key in self._best(level):
                self.promoted.add((level, key))
                self.counts[self.levels[self.levels.index(level) + 1]] += 1
                return key, level
        return None

    def goes_straight_on(self, key: int, level: int, value: float) -> bool:
        self.values[level][key] = value
        if key not in self._best(level):
            return False
        self.promoted.add((level, key))
        self.counts[self.levels[self.levels.index(level) + 1]] += 1
        return True

    def survives(self, key: int, level: int, value: float) -> bool:
        known = sorted(self.values[level].values())
        self.values[level][key] = value
        if not known:
            return True
        place = (len(known) - 1) * (1 - Fraction(1, ETA))  # the quantile between values, without rounding
        low, high = known[int(place)], known[ceil(place)]
        return value >= low + (high - low) * (place - int(place))


def task_of(number: int, config: Any) -> SimpleNamespace:
    return SimpleNamespace(task_id=f"t{number}", args={"config": config})


@settings(max_examples=examples(300), deadline=None)
@given(st.data(), st.sampled_from(["stopping", "promotion", "ratios"]), st.integers(1, 3))
def test_decisions_are_those_of_the_rungs(data: st.DataObject, kind: str, brackets: int) -> None:
    given = ("epoch", "accuracy", LEVELS[-1], LEVELS[0], ETA, brackets)
    manager: Any = HyperbandStopping_Manager(*given, seed=1)
    if kind != "stopping":
        manager = HyperbandPromotion_Manager(*given, kind == "ratios", seed=1)
    plain = [Rungs(LEVELS[bracket:], kind == "ratios") for bracket in range(brackets)]
    running: list[tuple[SimpleNamespace, int, int, int]] = []  # task, key, bracket, level where it stands
    for number in range(data.draw(st.integers(5, 40))):
        config, more = manager.on_task_schedule()
        bracket = more["bracket"]
        found = None if kind == "stopping" else plain[bracket].promote()
        task, key, stands = task_of(number, {"x": number} if config is None else config), number, 0
        if found is None:
            assert config is None
            assert more == {"bracket": bracket, "milestone": LEVELS[bracket]}
            plain[bracket].counts[LEVELS[bracket]] += 1
        else:
            key, stands = found
            above = LEVELS[LEVELS.index(stands) + 1]
            assert config == {"x": key}
            assert (more["resume_from"], more["milestone"]) == (stands, above)
        added = manager.on_task_add(task, new_config=config is None, **more)
        assert added == list(reversed(LEVELS[bracket:]))
        running.append((task, key, bracket, stands))
        if data.draw(st.booleans()):
            _report(data, manager, plain, running, kind)
    while running:
        _report(data, manager, plain, running, kind)


def _report(data: st.DataObject, manager: Any, plain: list[Rungs], running: list[Any], kind: str) -> None:
    """Let one of the running tasks report, at its next level or below."""
    task, key, bracket, stands = running.pop(data.draw(st.integers(0, len(running) - 1)))
    above = next(level for level in LEVELS[bracket:] if level > stands)
    value = data.draw(st.integers(0, 20))
    if above - stands > 1 and data.draw(st.booleans()):
        on, update, milestone, *_ = manager.on_task_report(task, {"epoch": above - 1, "accuracy": 99})
        assert (on, update, milestone) == (True, False, above)
    answer = manager.on_task_report(task, {"epoch": above, "accuracy": value})
    decide = plain[bracket].survives if kind == "stopping" else plain[bracket].goes_straight_on
    goes_on = above < LEVELS[-1] and decide(key, above, value)
    higher = next((level for level in LEVELS if level > above), None)
    counts = None if kind == "stopping" else plain[bracket].counts
    assert answer == (goes_on, True, higher, bracket, counts)
    if goes_on:
        running.append((task, key, bracket, above))
    else:
        manager.on_task_remove(task)


def test_the_ends_of_tasks() -> None:
    manager = HyperbandStopping_Manager("epoch", "loss", 9, 1, 3, 1, mode="min")
    tasks = [task_of(number, {}) for number in range(4)]
    for task in tasks:
        manager.on_task_add(task, bracket=0)
    assert manager.on_task_report(tasks[0], {"epoch": 1, "loss": 0.1})[0]
    manager.on_task_complete(tasks[0], {"epoch": 1, "loss": 0.1})  # its function has returned
    assert not manager.on_task_report(tasks[1], {"epoch": 1, "loss": 0.5})[0]
    with pytest.raises(ProtocolError):
        manager.on_task_report(tasks[1], {"epoch": 2, "loss": 0.5})
    manager.on_task_remove(tasks[1])
    manager.on_task_complete(tasks[2], {"epoch": 1, "loss": 0.05})  # a report that was not told before
    manager.on_task_remove(tasks[3])  # it has failed
    assert [manager._core.status(trial) for trial in range(4)] == [
        "completed",
        "stopped",
        "completed",
        "failed",
    ]
    for gone in (*tasks, task_of(9, {})):
        with pytest.raises(ParameterError) as caught:
            manager.on_task_report(gone, {"epoch": 9, "loss": 0.1})
        assert caught.value.field == "task"


@pytest.mark.parametrize(
    ("field", "call"),
    [
        ("bracket", lambda m: m.on_task_add(task_of(0, {}), bracket=3)),
        ("config_key", lambda m: m.on_task_add(task_of(0, {}), bracket=0, new_config=False, config_key=0)),
        ("max_t", lambda m: type(m)("epoch", "accuracy", 0, 1, 3, 1)),
        ("reduction_factor", lambda m: type(m)("epoch", "accuracy", 9, 1, 1, 1)),
    ],
)
@pytest.mark.parametrize("kind", [HyperbandStopping_Manager, HyperbandPromotion_Manager])
def test_bad_input_names_its_field(kind: Any, field: str, call: Any) -> None:
    with pytest.raises(ParameterError) as caught:
        call(kind("epoch", "accuracy", 9, 1, 3, 1))
    assert caught.value.field == field


def test_size_ratios_are_of_promotions() -> None:
    with pytest.raises(ParameterError) as caught:
        HyperbandStopping_Manager("epoch", "accuracy", 9, 1, 3, 1, True)
    assert caught.value.field == "keep_size_ratios"
