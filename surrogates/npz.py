"""Recorded curves from ``.npz``: one (n, T) array a metric."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from hbsim.errors import ParameterError, SurrogateError
from hbsim.surrogates.notes import pairs_beside, read_notes
from hbsim.surrogates.protocol import Floats
from hbsim.surrogates.recorded import Recorded

if TYPE_CHECKING:
    import polars

__all__ = ["read_npz"]

Member: TypeAlias = NDArray[np.generic]

_SETTINGS: Final = ("X", "hp", "levels")  # arrays that are no curves


def read_npz(path: Path, first_level: int | None) -> Recorded:
    """Read arrays `hp` (d,), `X` (n, d), `levels` (T,), metrics and `t` (n, T), and anything (n,).

    Raises
    ------
    SurrogateError
        The file cannot be read, holds pickled objects, or its arrays do not fit together.
    """
    source = str(path)
    arrays = _arrays(path)
    curves = {name: a for name, a in arrays.items() if a.ndim == 2 and name not in _SETTINGS}
    if not curves:
        raise SurrogateError(source, "the table is empty: no array of shape (configurations, levels)")
    shapes = {name: a.shape for name, a in curves.items()}
    if len(set(shapes.values())) > 1:
        raise SurrogateError(source, f"curves must have one shape (configurations, levels), got {shapes}")
    n, t = next(iter(shapes.values()))
    notes = read_notes(pairs_beside(path))
    return Recorded(
        source=source,
        levels=_levels(source, arrays.get("levels"), t, first_level),
        columns={name: _floats(source, name, a) for name, a in curves.items()},
        configurations=_configurations(source, arrays, n),
        metadata=notes.text,
        space=notes.space,
        time=notes.text.get("time", "t"),
        hyperparameters=notes.hyperparameters or (_names(arrays) if "X" in arrays else ()),
        named_metrics=notes.metrics,
    )


def _arrays(path: Path) -> dict[str, Member]:
    try:
        with path.open("rb") as file:  # numpy leaves a broken file open
            archive = np.load(file, allow_pickle=False)
            if isinstance(archive, np.lib.npyio.NpzFile):
                return {name: archive[name] for name in archive.files}
    except ValueError as error:
        problem = "an array holds Python objects (pickled), which are not read; save numbers or text"
        raise SurrogateError(str(path), problem if "allow_pickle" in str(error) else f"{error}") from error
    except Exception as error:  # of a damaged file NumPy and zipfile raise many kinds
        raise SurrogateError(str(path), f"cannot be read as .npz: {error or type(error).__name__}") from error
    raise SurrogateError(str(path), "holds a single array; save several with numpy.savez")


def _floats(source: str, name: str, array: Member) -> Floats:
    if array.dtype.kind not in "fiub":
        raise SurrogateError(source, f"array {name!r} must hold numbers, not {array.dtype}")
    return array.astype(np.float64)


def _levels(source: str, given: Member | None, t: int, first_level: int | None) -> Floats:
    if given is None:
        return np.arange(t, dtype=np.float64) + (1 if first_level is None else first_level)
    if first_level is not None:
        raise ParameterError("first_level", first_level, f"must not be given: {source} has its levels")
    levels = _floats(source, "levels", given)
    if levels.shape != (t,) or not np.isfinite(levels).all() or (np.diff(levels, prepend=-1.0) <= 0).any():
        raise SurrogateError(source, f"array 'levels' must hold {t} ascending numbers, from 0 at least")
    if levels[0] < 0:
        raise SurrogateError(source, "array 'levels' must start at 0 at least")
    return levels


def _configurations(source: str, arrays: dict[str, Member], n: int) -> polars.DataFrame:
    import polars

    columns: dict[str, Member] = {"config": np.arange(n)}
    if "X" in arrays:
        x = arrays["X"]
        names = _names(arrays)
        if x.ndim != 2 or x.shape != (n, len(names)) or len(set(names)) < len(names):
            rule = f"array 'X' must have a row for each of {n} curves and a column for each name in 'hp'"
            raise SurrogateError(source, f"{rule}; got {x.shape}, {len(names)} names")
        columns |= {name: x[:, j] for j, name in enumerate(names)}
    columns |= {k: a for k, a in arrays.items() if a.shape == (n,) and k not in (*_SETTINGS, *columns)}
    return polars.DataFrame({name: _plain(a) for name, a in columns.items()})


def _plain(column: Member) -> list[object]:
    """Return values as polars has them: of what are neither numbers nor text, their texts."""
    if column.dtype.kind == "f":
        column = column.astype(np.float64)  # there are wider ones
    values: list[object] = column.tolist()
    return values if column.dtype.kind in "biufU" else list(map(str, values))


def _names(arrays: dict[str, Member]) -> tuple[str, ...]:
    return tuple(str(name) for name in arrays.get("hp", np.array([])).ravel().tolist())
