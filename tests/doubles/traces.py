"""Hypothesis strategies and seeded generators of options and events."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from hypothesis import strategies as st

from .pair import Pair

TYPES = ("stopping", "promotion", "sha", "hyperband", "pasha", "median", "fifo")
VALUES = (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, math.nan, math.inf, -math.inf, None)
KINDS = ("error", "oom", "lost", "preempted")
OPS = (
    *["ask"] * 8,
    *["reach"] * 9,
    "skip",
    "below",
    "below",
    "fail",
    "fail",
    "illegal",
    "reload",
    "dropped",
    "extend",
)
ETAS = (2, 3, 4, 2.0, 1.5, 2.5, 2.2, 1.2, 3.3)


def lost_times(options: Mapping[str, Any]) -> int:
    """Return how often a trial that never fails otherwise may be lost and go on."""
    losses: int | None = options.get("loss_retries")
    return options.get("retries", 0) if losses is None else losses


def flag(draw: Any) -> bool:
    return bool(draw(st.booleans()))


@st.composite
def scheduler_options(draw: Any, types: tuple[str, ...] = TYPES) -> tuple[str, dict[str, Any]]:
    """Draw a type of scheduler and options that it takes."""
    type = draw(st.sampled_from(types))
    options: dict[str, Any] = {
        "mode": draw(st.sampled_from(["max", "min"])),
        "num_trials": draw(st.none() | st.integers(1, 30)),
        "retries": draw(st.sampled_from([0, 0, 1, 2])),
        "loss_retries": draw(st.sampled_from([None, None, 0, 1, 2])),
        "seed": draw(st.integers(0, 20)),
    }
    draw_resources(draw, options)
    if type == "median":
        draw_median_options(draw, options)
    elif type == "fifo":
        del options["grace_period"], options["reduction_factor"]
    elif type in ("sha", "hyperband"):
        options |= {"quota": draw(st.sampled_from(["actual", "nominal"])), "overlap": flag(draw)}
        options |= {"n": draw(st.integers(1, 20))} if type == "sha" else {}
        options |= {"n_formula": draw(st.sampled_from(["ceil", "floor"]))} if type == "hyperband" else {}
    elif type == "pasha":
        options["epsilon"] = draw(st.sampled_from([None, None, None, 0, 0.25, 1, 2.0]))
        draw_promotion_options(draw, options)
    else:
        draw_bracket_options(draw, type, options)
    return type, options


def draw_resources(draw: Any, options: dict[str, Any]) -> None:
    if flag(draw):
        r = draw(st.integers(1, 3))
        options |= {"grace_period": r, "max_t": draw(st.integers(r, 30))}
    else:
        r = draw(st.sampled_from([0.1, 0.5, 1.0, 1.5, 3]))
        options |= {"grace_period": r, "max_t": r * draw(st.sampled_from([1, 1.5, 2, 4, 9, 10, 20]))}
        options["resource_type"] = "float"
    options["reduction_factor"] = draw(st.sampled_from(ETAS))


def draw_median_options(draw: Any, options: dict[str, Any]) -> None:
    del options["reduction_factor"]
    step = (
        st.integers(1, 5) if options.get("resource_type") != "float" else st.sampled_from([0.1, 0.5, 1.0, 2])
    )
    options |= {"interval": draw(step)} if flag(draw) else {}
    options["among"] = draw(st.sampled_from(["completed", "recorded"]))
    options["min_samples"] = draw(st.sampled_from([1, 1, 2, 3]))


def draw_bracket_options(draw: Any, type: str, options: dict[str, Any]) -> None:
    options["brackets"] = draw(st.integers(1, 5))
    options["bracket_sampling"] = draw(st.sampled_from(["softmax", "hyperband"]))
    options["shared_rungs"] = flag(draw)
    if type == "stopping":
        options["rule"] = draw(st.sampled_from(["quantile", "quantile-inclusive", "rank", "top-k"]))
    else:
        draw_promotion_options(draw, options)


def draw_promotion_options(draw: Any, options: dict[str, Any]) -> None:
    options["straight_on"] = flag(draw)
    options["keep_size_ratios"] = flag(draw)
    options["failed_places"] = draw(st.sampled_from(["passed-on", "held"]))


actions = st.lists(
    st.tuples(st.sampled_from(OPS), st.integers(0, 11), st.sampled_from(VALUES)), min_size=20, max_size=120
)


def act(pair: Pair, workers: int, op: str, which: int, value: float | None) -> None:
    """Do one thing to the pair; what cannot be done now is an ask."""
    running = pair.running()
    trial = running[which % len(running)] if running else None
    if op == "illegal":
        pair.illegal(which, value)
    elif op == "reload":
        pair.reload()
    elif op == "dropped":
        pair.dropped()
    elif op == "extend":
        pair.extend(1 + which)
    elif trial is None or (op == "ask" and len(running) < workers):
        pair.ask()
    elif op == "skip":
        pair.report(trial, value, beyond=trial.stop * (which % 4))
    elif op == "below":
        pair.report_below(trial, value)
    elif op == "fail":
        pair.fail(trial, KINDS[which % 4])
    else:
        pair.report(trial, value)


def seeded_trace(pair: Pair, workers: int, steps: int, seed: int, *, reload: bool = True) -> None:
    """Drive a long trace: mostly asks and milestones, values with and without ties."""
    rng = np.random.default_rng(seed)
    ops = ("ask", "reach", "skip", "below", "fail", "illegal", "reload" if reload else "ask", "dropped")
    weights = [0.4, 0.46, 0.02, 0.03, 0.04, 0.01, 0.01, 0.03]
    ties = seed % 2 == 0
    for op in rng.choice(ops, size=steps, p=weights).tolist():
        which = int(rng.integers(1000))
        value = VALUES[which % len(VALUES)] if ties or rng.random() < 0.05 else float(rng.random())
        act(pair, workers, op, which, value)


def burst(pair: Pair, workers: int, seed: int) -> None:
    """Fill the workers, then let nine in ten of them report or fail, in a random order."""
    rng = np.random.default_rng(seed)
    while len(pair.running()) < workers and pair.ask() is not None:
        pass
    for index in rng.permutation(len(pair.running()))[::-1].tolist():
        trial = pair.running()[min(index, len(pair.running()) - 1)]
        luck = rng.random()
        if luck < 0.1:
            pair.fail(trial, "lost")
        elif luck < 0.9:
            pair.report(trial, int(rng.integers(11)) / 10 if luck < 0.4 else float(rng.random()))
