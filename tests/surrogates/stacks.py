"""Curves and stacks of wrappers for tests, each with its naive double."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import strategies as st

from hbsim.core.space import Real, Space
from hbsim.surrogates import Ideal, Synthetic, Table
from hbsim.surrogates.table_files import RecordedCurves
from tests.surrogates import naive_wrappers
from tests.surrogates.naive_wrappers import Naive

TABLE_LEVELS = (1.0, 2.0, 4.0, 8.0)
DEFAULTS = {
    "noise": {"std": 0.01, "fade": False, "seed": 0},
    "negate": {},
    "cost": {"factor": 1.0, "spread": 1.0, "parameter": None, "seed": 0},
    "corrupt": {"share": 0.1, "from_level": 0.0, "parameter": None, "end": "high", "seed": 0},
    "delay": {"units": 3.0},
}


def table(seed: int = 0, rows: int = 9) -> Table:
    """Return a table with NaN, infinite values, equal hyperparameters, and a held-out metric."""
    rng = np.random.default_rng(seed)
    values = rng.random((rows, 4))
    values[0, 2:] = np.nan
    values[1, 1:3] = np.inf
    columns = {
        "val_loss": values,
        "test_loss": values + 1.0,
        "seconds": np.cumsum(rng.random((rows, 4)), axis=1),
    }
    frame = pl.DataFrame({"config": range(rows), "lr": rng.random(rows), "depth": rng.integers(1, 4, rows)})
    source = RecordedCurves("curves", np.array(TABLE_LEVELS), columns, frame, {}, None, "seconds")
    return Table(source, metric="val_loss", mode="min")


def ranks(numbers) -> list[float]:
    numbers = list(numbers)
    return [(sum(b < a for b in numbers) + sum(b == a for b in numbers) / 2) / len(numbers) for a in numbers]


def double(surrogate) -> Naive:
    """Return the naive double of curves without wrappers."""

    def at(part):
        def read(configuration, level):
            block = (
                np.array([int(configuration[0])])
                if surrogate.rows is not None
                else np.array([configuration], dtype=np.float64)
            )
            return float(surrogate.evaluate(block, np.array([level]))[part][0, 0])

        return read

    if surrogate.rows is not None:
        frame = getattr(surrogate, "configurations", None)
        columns = {} if frame is None else {name: ranks(frame[name]) for name in ("lr", "depth")}
        all_ = [(float(row),) for row in range(surrogate.rows)]
        return Naive(
            surrogate.mode,
            surrogate.max_resource,
            surrogate.resources,
            all_,
            lambda c, name: columns[name][int(c[0])],
            (),
            at(0),
            at(1),
        )
    names = surrogate.space.names
    return Naive(
        surrogate.mode,
        surrogate.max_resource,
        None,
        None,
        lambda c, name: c[names.index(name)],
        range(len(names)),
        at(0),
        at(1),
    )


BASES = {
    "table": table(),
    "rows": Ideal(8, qualities=[0.5, np.nan, 0.25, 0.75, 0.5, 0.0]),
    "ideal": Ideal(8, mode="min"),
    "synthetic": Synthetic(max_resource=8, noise=0.1, divergence=0.2, mode="min"),
}
PARAMETERS = {"table": ("lr", "depth"), "rows": (), "ideal": ("quality",), "synthetic": ("learning_rate",)}


@st.composite
def words(draw, base: str):
    """Draw a wrapper: its name and all of its options, in floats."""
    name = draw(st.sampled_from(sorted(DEFAULTS)))
    o = dict(DEFAULTS[name])
    seed = st.integers(0, 2)
    parameter = st.sampled_from([None, *PARAMETERS[base]])
    if name == "noise":
        o |= {"std": draw(st.sampled_from([0.0, 0.01, 1.0])), "fade": draw(st.booleans()), "seed": draw(seed)}
    elif name == "cost":
        o |= {
            "factor": draw(st.floats(0.1, 10)),
            "spread": draw(st.sampled_from([1.0, 4.0])),
            "seed": draw(seed),
        }
        o["parameter"] = draw(parameter) if o["spread"] > 1 else None
    elif name == "corrupt":
        o |= {"share": draw(st.floats(0.35, 0.9)), "from_level": draw(st.sampled_from([0.0, 2.0, 8.0]))}
        o |= {"parameter": draw(parameter), "end": draw(st.sampled_from(["high", "low"])), "seed": draw(seed)}
    elif name == "delay":
        o["units"] = draw(st.sampled_from([0.0, 0.5, 1.0, 2.0, 3.0, 6.5]))
    return name, o


@st.composite
def stacks(draw, most: int = 4):
    """Draw curves, wrappers for them, configurations and levels."""
    base = draw(st.sampled_from(sorted(BASES)))
    wraps = draw(st.lists(words(base), max_size=most))
    surrogate = BASES[base]
    if surrogate.rows is not None:
        configurations = np.array(draw(st.lists(st.integers(0, surrogate.rows - 1), min_size=1, max_size=12)))
    else:
        unit = st.floats(0, 1) | st.sampled_from([0.0, 0.5, 1.0])
        d = surrogate.space.dimension
        points = draw(st.lists(st.lists(unit, min_size=d, max_size=d), min_size=1, max_size=12))
        configurations = np.array(points)
    pool = (
        st.sampled_from(TABLE_LEVELS)
        if base == "table"
        else st.floats(0.01, 8) | st.sampled_from(TABLE_LEVELS)
    )
    levels = np.array(sorted(draw(st.lists(pool, min_size=1, max_size=5, unique=True))))
    return surrogate, wraps, configurations, levels


def text(name: str, o: dict) -> str:
    """Return a wrapper as it is written."""
    items = [f"{key}={value}" for key, value in o.items() if value is not None]
    return f"{name}:{','.join(items)}" if items else name


def naive_stack(surrogate, wraps) -> Naive:
    curves = double(surrogate)
    for name, o in wraps:
        curves = naive_wrappers.wrap(curves, name, o)
    return curves


class Mixed:
    """A user's own curves, over parameters of all kinds."""

    metric, mode, max_resource = "loss", "min", 4.0

    def __init__(self, **parameters) -> None:
        self.space = Space(parameters or {"x": Real(0.0, 1.0)})

    def evaluate(self, configurations, levels):
        values = configurations.sum(axis=1)[:, None] / levels
        return values, np.tile(levels, (len(configurations), 1))
