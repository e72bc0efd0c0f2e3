"""Fingerprints of curves: digests that differ when the curves of two studies differ."""

from __future__ import annotations

import hashlib
import inspect
import json
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from hbsim.core.space import Space
from hbsim.errors import ParameterError
from hbsim.surrogates.fitted import Fitted
from hbsim.surrogates.protocol import Floats, Ints, Surrogate
from hbsim.surrogates.synthetic import Ideal, Synthetic
from hbsim.surrogates.table import Table
from hbsim.surrogates.user import Checked
from hbsim.surrogates.wrap_corrupted import Corrupted
from hbsim.surrogates.wrapper import Wrapper, axis_of
from hbsim.surrogates.wrappers import Delayed, Half, Negated, Noisy, ScaledCost
from hbsim.surrogates.yahpo import Yahpo
from hbsim.surrogates.yahpo_files import MODEL

if TYPE_CHECKING:
    from hashlib import _Hash

VERSION: Final = "hbsim curves 1"  # to change with the hashed bytes or the curves of a formula
BLOCK: Final = 1 << 18  # the most values that are evaluated at a time
ALL: Final = 1 << 18  # up to this many rows of a user's own surrogate, all values are read
POINTS: Final = 256
ROWS: Final = 4096
LEVELS: Final = 64
_WRAPPERS: Final = (Corrupted, Delayed, Half, Negated, Noisy, ScaledCost)
_NAN: Final = np.array([np.nan], dtype="<f8").tobytes()


def fingerprint(surrogate: Surrogate) -> str:
    """Return a digest that identifies curves by content, whatever their name and location.

    It covers: for a formula, the parameters; for recorded curves, all that can be read of them; for a fit,
    the recorded rows and the seed; for YAHPO, its files; for a wrapper, the wrapped surrogate and the
    parameters. Of a user's own surrogate everything is read if it has few rows, else a sample of at
    most 4096 rows, or of 256 points of its space, at no more than 64 levels; the bytes of the file that
    defines it count too. It does not depend on the releases of libraries or of hbsim.

    Parameters
    ----------
    surrogate : Surrogate
        The curves.

    Returns
    -------
    str
        A SHA-256 digest, 64 hexadecimal digits.

    Raises
    ------
    SurrogateError
        A user's own surrogate fails, or returns invalid values.
    """
    digest = hashlib.sha256()
    _add(digest, VERSION)
    for part in _content(surrogate):
        _add(digest, part)
    return digest.hexdigest()


def _content(surrogate: Surrogate) -> Iterator[object]:
    """Yield the parts of a surrogate that count, one after the other."""
    kind = type(surrogate)  # a user's subclass may differ in anything
    if isinstance(surrogate, Checked) and type(surrogate.wrapped) in _KINDS:
        yield from _content(surrogate.wrapped)  # type: ignore[arg-type]  # one of hbsim's own, in a user's file
        return
    yield from _attributes(surrogate)
    if isinstance(surrogate, Wrapper) and kind in _WRAPPERS:
        yield from _of_wrapper(surrogate)
    elif isinstance(surrogate, Table) and kind is Table:
        yield from _curves(surrogate, np.arange(len(surrogate.ends)), surrogate.resources or ())
    elif isinstance(surrogate, Synthetic) and kind is Synthetic:
        yield from _parameters(surrogate, "family", "noise", "early_rank", "divergence", "cost_spread")
        yield from _parameters(surrogate, "seconds", "seed")
    elif isinstance(surrogate, Ideal) and kind is Ideal:
        yield from _parameters(surrogate, "seconds", "_qualities")
    elif isinstance(surrogate, Yahpo) and kind is Yahpo:
        yield from _of_yahpo(surrogate)
    elif isinstance(surrogate, Fitted) and kind is Fitted:
        yield from _of_fit(surrogate)
    else:
        yield from _probe(surrogate if isinstance(surrogate, Checked) else Checked(surrogate))


def _attributes(surrogate: Surrogate) -> Iterator[object]:
    yield from (type(surrogate).__name__ if type(surrogate) in _KINDS else "Checked",)
    yield from (surrogate.metric, surrogate.mode, float(surrogate.max_resource), surrogate.resources)
    yield from (surrogate.rows, _space(surrogate.space))


def _space(space: Space | None) -> str | None:
    if space is None:
        return None
    try:
        return json.dumps(space.to_json())
    except ParameterError:  # choices that JSON cannot express; their addresses in memory do not count
        return re.sub(r" at 0x[0-9A-Fa-f]+", "", repr(space))


def _parameters(surrogate: object, *names: str) -> Iterator[object]:
    for name in names:
        yield from (name, getattr(surrogate, name))


def _of_wrapper(surrogate: Wrapper) -> Iterator[object]:
    yield from _parameters(surrogate, *(type(surrogate).__init__.__kwdefaults__ or {}))
    yield fingerprint(surrogate.wrapped)
    parameter = getattr(surrogate, "parameter", None)
    if parameter is not None and surrogate.rows is not None:  # a column that does not affect curves
        yield axis_of(surrogate.wrapped, parameter).places(np.arange(surrogate.rows))


def _of_yahpo(surrogate: Yahpo) -> Iterator[object]:
    yield from _parameters(surrogate, "_test", "_code")
    yield surrogate._scenario.name
    for name in (MODEL, "config_space.json", "encoding.json"):
        yield (surrogate._folder / name).read_bytes()


def _of_fit(surrogate: Fitted) -> Iterator[object]:
    yield from _parameters(surrogate, "_seed")
    data = surrogate._model.data
    yield _space(data.space)
    yield from _parameters(data, "levels", "points", "values", "seconds", "ends", "diverged")


def _probe(surrogate: Checked) -> Iterator[object]:
    yield _source(surrogate.wrapped)
    levels = surrogate.resources
    if levels is None:
        levels = tuple(surrogate.max_resource * (k / LEVELS) for k in range(1, LEVELS + 1))
    if surrogate.rows is None:
        assert surrogate.space is not None  # `Checked` requires one of the two
        points = surrogate.space.sample(POINTS, np.random.default_rng(0))
        yield from _curves(surrogate, points, _spread(levels, LEVELS))
        return
    rows = np.arange(surrogate.rows)
    if len(rows) * len(levels) > ALL:
        rows, levels = rows[_places(len(rows), ROWS)], _spread(levels, LEVELS)
    yield from _curves(surrogate, rows, levels)


def _spread(levels: tuple[float, ...], most: int) -> tuple[float, ...]:
    return tuple(levels[place] for place in _places(len(levels), most))


def _places(count: int, most: int) -> list[int]:
    """Return at most `most` evenly spread places below `count`, the first and the last included."""
    return list(range(count)) if count <= most else [(count - 1) * k // (most - 1) for k in range(most)]


def _curves(
    surrogate: Surrogate, configurations: Floats | Ints, levels: tuple[float, ...]
) -> Iterator[object]:
    """Yield all values of configurations at levels, block by block."""
    size = max(1, BLOCK // max(1, len(levels)))
    for at in range(0, len(configurations), size):
        block = configurations[at : at + size]
        yield from surrogate.evaluate(block, np.array(levels, dtype=np.float64))
        yield from (surrogate.test_values(block, level) for level in levels)
    yield from (surrogate.optimum(level) for level in levels)


def _source(surrogate: object) -> bytes | None:
    """Return the source file of a user's surrogate, None where there is none."""
    its_class = type(surrogate)
    try:
        definition = its_class if hasattr(its_class, "evaluate") else getattr(surrogate, "evaluate")  # noqa: B009
        path = inspect.getsourcefile(definition)
        return None if path is None else Path(path).read_bytes()
    except (TypeError, OSError):
        return None


def _add(digest: _Hash, value: object) -> None:
    """Add a value with its type and length, so that no two sequences of values give the same bytes."""
    match value:
        case None | bool():
            digest.update(f"{value};".encode())
        case int():
            digest.update(f"i{value};".encode())
        case float():
            digest.update(b"f" + (_NAN if value != value else struct.pack("<d", value)))
        case str() | bytes():
            raw = value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value
            digest.update(f"{type(value).__name__[0]}{len(raw)};".encode() + raw)
        case tuple():
            digest.update(f"t{len(value)};".encode())
            for item in value:
                _add(digest, item)
        case np.ndarray():
            digest.update(f"a{value.dtype.kind}{value.shape};".encode() + _plain(value))
        case _:
            raise TypeError(f"no fingerprint of a {type(value).__name__}")


def _plain(array: NDArray[np.generic]) -> bytes:
    """Return the bytes of numbers in one order on all machines, with one NaN."""
    if array.dtype.kind != "f":
        return array.astype("<i8").tobytes()
    numbers = array.astype("<f8")
    numbers[np.isnan(numbers)] = np.nan
    return numbers.tobytes()


_KINDS: Final[tuple[type, ...]] = (Fitted, Ideal, Synthetic, Table, Yahpo, *_WRAPPERS)
