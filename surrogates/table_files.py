"""The readers of files of recorded curves (.npz, .csv and .parquet), their metadata, and the writer.

Parquet files contain their metadata; other formats have a JSON file beside them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, Final, TypeAlias

import numpy as np
import polars
from numpy.typing import NDArray

from hbsim.core.space import Space
from hbsim.errors import OutputError, ParameterError, SurrogateError, nearest
from hbsim.surrogates.parquet import parquet, read_parquet
from hbsim.surrogates.protocol import Floats, Ints

TEXT_KEYS: Final = ("metric", "mode", "test_metric", "time")  # the text keys of a file's metadata


@dataclass(frozen=True)
class RecordedCurves:
    """Curves of n configurations at T levels, as they were recorded.

    Attributes
    ----------
    source : str
        The file.
    levels : array, shape (T,)
        Ascending, from 0 at least; level 0 is the untrained state.
    columns : mapping of str to array
        By name, shape (n, T): metrics and cumulative seconds; NaN where nothing was recorded.
    configurations : polars.DataFrame
        n rows: the name of each configuration, its hyperparameters, and further columns.
    metadata : mapping of str to str
        The file's own `metric`, `mode`, `time` and `test_metric`.
    space : Space or None
        The search space, where the file itself gives it.
    time : str
        The name of the column of cumulative seconds unless another name is given.
    hyperparameters : tuple of str
        Which columns of `configurations` are hyperparameters.
    named_metrics : tuple of str
        The columns that are metrics, if the file says so; else empty.
    """

    source: str
    levels: Floats
    columns: Mapping[str, Floats]
    configurations: polars.DataFrame
    metadata: Mapping[str, str]
    space: Space | None
    time: str
    hyperparameters: tuple[str, ...] = ()
    named_metrics: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        n = len(self.configurations)
        if n == 0 or not (self.levels > 0).any():
            raise SurrogateError(self.source, "the table is empty: it needs rows, and a level above 0")
        if n == 1:
            raise SurrogateError(self.source, "the table has one row; ranks need at least two")

    def trained(self) -> RecordedCurves:
        """Return the curves without level 0, the untrained state, at which nothing can be decided."""
        if self.levels[0] > 0:
            return self
        columns = {name: column[:, 1:] for name, column in self.columns.items()}
        return replace(self, levels=self.levels[1:], columns=columns)

    @property
    def metrics(self) -> list[str]:
        """The names of columns that may be the metric."""
        named = [name for name in self.named_metrics if name in self.columns]
        return named or [name for name in self.columns if name != self.time]

    def column(self, field: str, name: str) -> Floats:
        """Return a column, or raise a SurrogateError for `field` that suggests near names."""
        if name not in self.columns:
            there = ", ".join(self.columns) or "none"
            problem = f"{field}={name!r} is not in the table; columns: {there}."
            raise SurrogateError(self.source, problem + nearest(name, self.columns))
        return self.columns[name]


@dataclass(frozen=True)
class FileMetadata:
    """Metadata of a file of curves; empty for a file that has none.

    Attributes
    ----------
    text : dict
        `metric`, `mode`, `test_metric` and `time`, if the file has them.
    resource : tuple of str
        The name of the column of levels, or nothing.
    hyperparameters : tuple of str
        The names of the columns that are hyperparameters, or nothing.
    metrics : tuple of str
        The names of the columns that are metrics, or nothing.
    space : Space or None
        The search space.
    """

    text: dict[str, str] = field(default_factory=dict)
    resource: tuple[str, ...] = ()
    hyperparameters: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    space: Space | None = None


def beside(path: Path) -> Path | None:
    """Return the path of the metadata beside a table of curves; None where the table contains them."""
    return None if path.suffix == ".parquet" else path.with_name(f"{path.name}.json")


def metadata_beside(path: Path) -> dict[str, str]:
    """Read the metadata beside a table, in the form of a Parquet file's metadata."""
    other = beside(path)
    if other is None or not other.is_file():
        return {}
    return {"hbsim": other.read_text("utf-8", "replace")}


def read_metadata(pairs: Mapping[str, str]) -> FileMetadata:
    """Parse a file's metadata: the keys ``hbsim`` (JSON), ``hbsim.metric`` and so on."""
    try:
        metadata = json.loads(pairs.get("hbsim", "{}"))
    except (ValueError, RecursionError):
        metadata = {}
    metadata = metadata if isinstance(metadata, dict) else {}
    metadata |= {name: pairs[f"hbsim.{name}"] for name in TEXT_KEYS if f"hbsim.{name}" in pairs}
    resource = metadata.get("resource")
    return FileMetadata(
        text={name: metadata[name] for name in TEXT_KEYS if isinstance(metadata.get(name), str)},
        resource=(resource,) if isinstance(resource, str) else (),
        hyperparameters=_names_of(metadata.get("hyperparameters")),
        metrics=_names_of(metadata.get("metrics")),
        space=_space(metadata.get("space")),
    )


def _names_of(data: object) -> tuple[str, ...]:
    return tuple(map(str, data)) if isinstance(data, list) else ()


def _space(data: object) -> Space | None:
    try:
        return Space.from_json(data) if isinstance(data, dict) else None
    except ParameterError:  # of a later release, for example: rows work without a space
        return None


Member: TypeAlias = NDArray[np.generic]

_SETTINGS: Final = ("X", "hp", "levels")  # arrays that are no curves


def read_npz(path: Path, first_level: int | None) -> RecordedCurves:
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
    metadata = read_metadata(metadata_beside(path))
    return RecordedCurves(
        source=source,
        levels=_levels(source, arrays.get("levels"), t, first_level),
        columns={name: _floats(source, name, a) for name, a in curves.items()},
        configurations=_configurations(source, arrays, n),
        metadata=metadata.text,
        space=metadata.space,
        time=metadata.text.get("time", "t"),
        hyperparameters=metadata.hyperparameters or (_names(arrays) if "X" in arrays else ()),
        named_metrics=metadata.metrics,
    )


def _arrays(path: Path) -> dict[str, Member]:
    try:
        with path.open("rb") as file:  # numpy does not close a broken file
            archive = np.load(file, allow_pickle=False)
            if isinstance(archive, np.lib.npyio.NpzFile):
                return {name: archive[name] for name in archive.files}
    except ValueError as error:
        problem = "an array holds Python objects (pickled), which are not read; save numbers or text"
        raise SurrogateError(str(path), problem if "allow_pickle" in str(error) else f"{error}") from error
    except Exception as error:  # NumPy and zipfile raise many kinds of errors for a damaged file
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
    """Convert values to types of polars; other objects than numbers and text become text."""
    if column.dtype.kind == "f":
        column = column.astype(np.float64)  # numpy has wider types
    values: list[object] = column.tolist()
    return values if column.dtype.kind in "biufU" else list(map(str, values))


def _names(arrays: dict[str, Member]) -> tuple[str, ...]:
    return tuple(str(name) for name in arrays.get("hp", np.array([])).ravel().tolist())


_CONFIG: Final = ("config", "row", "trial")
_RESOURCE: Final = ("resource", "epoch", "step", "level")
_TIME: Final = "seconds"


def read_long(path: Path, metric: str | None, test_metric: str | None, time: str | None) -> RecordedCurves:
    """Read a table in long form; `docs/reference/surrogates.md` gives the columns.

    Unless the file names its hyperparameters, they are the columns that do not change within any
    configuration, except the metric and the time.

    Raises
    ------
    SurrogateError
        The file cannot be read, a column is missing or holds no numbers, or a line occurs twice.
    """
    source, (frame, pairs) = str(path), _read(path)
    metadata = read_metadata(pairs)
    if frame.height == 0:
        raise SurrogateError(source, "the table is empty")
    config = _the_column(source, frame, _CONFIG, "the configuration")
    resource = _the_column(source, frame, metadata.resource or _RESOURCE, "the level")
    rows, places, levels = _positions(source, frame, config, resource)
    _refuse_gaps(source, frame[config].unique().sort(), resource, rows, places, levels)
    clock = metadata.text.get("time", _TIME)
    named = {metric, test_metric, time, metadata.text.get("metric"), metadata.text.get("test_metric"), clock}
    settings = metadata.hyperparameters or _constant(frame, config)
    curves = [c for c in frame.columns if c not in (config, resource) and (c in named or c not in settings)]
    shape = (int(rows.max()) + 1, len(levels))
    known = [config, *(c for c in frame.columns if c not in (config, resource, *curves))]
    return RecordedCurves(
        source=source,
        levels=levels,
        columns={
            c: _pivot(frame[c], shape, rows, places)
            for c in curves
            if _is_numeric(source, frame[c], needed=c in named)
        },
        configurations=frame.select(known).unique(config, keep="first").sort(config),
        metadata=metadata.text,
        space=metadata.space,
        time=clock,
        hyperparameters=tuple(known[1:]),
        named_metrics=metadata.metrics,
    )


def _read(path: Path) -> tuple[polars.DataFrame, dict[str, str]]:
    """Return the table and its metadata."""
    try:
        if path.suffix == ".csv":
            # The whole file decides a column's type: an integer column may become fractional late.
            frame = polars.read_csv(path, infer_schema_length=None, null_values=["", "NaN", "nan"])
            return frame, metadata_beside(path)
        return read_parquet(path)
    except polars.exceptions.NoDataError as error:
        raise SurrogateError(str(path), "the table is empty") from error
    except (polars.exceptions.PolarsError, OSError, ValueError) as error:
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SurrogateError(str(path), f"cannot be read as {path.suffix}: {text}") from error


def _the_column(source: str, frame: polars.DataFrame, names: tuple[str, ...], what: str) -> str:
    found = [name for name in names if name in frame.columns]
    if len(found) == 1:
        return found[0]
    if not found:
        there = ", ".join(frame.columns)
        raise SurrogateError(source, f"has no column for {what}: one of {', '.join(names)}; columns: {there}")
    raise SurrogateError(source, f"has several columns for {what} ({', '.join(found)}): keep one")


def _positions(source: str, frame: polars.DataFrame, config: str, resource: str) -> tuple[Ints, Ints, Floats]:
    """Return each line's row number and place among the levels, and the levels."""
    for name in (config, resource):
        if frame[name].null_count():
            raise SurrogateError(source, f"column {name!r} has empty cells")
    if not frame[resource].dtype.is_numeric():
        raise SurrogateError(source, f"column {resource!r} must hold numbers, not {frame[resource].dtype}")
    at = frame[resource].cast(polars.Float64).to_numpy()
    if not np.isfinite(at).all() or (at < 0).any():
        raise SurrogateError(source, f"column {resource!r} must hold finite numbers, 0 or more")
    levels, places = np.unique(at, return_inverse=True)
    rows = frame[config].rank("dense").cast(polars.Int64).to_numpy() - 1
    _refuse_twice(source, frame, config, resource, rows * len(levels) + places)
    return rows, places.astype(np.int64), levels


def _refuse_twice(source: str, frame: polars.DataFrame, config: str, resource: str, cells: Ints) -> None:
    _, first = np.unique(cells, return_index=True)
    if len(first) < len(cells):
        line = int(np.setdiff1d(np.arange(len(cells)), first)[0])
        cell = f"{config} {frame[config][line]}, {resource} {frame[resource][line]:g}"
        raise SurrogateError(source, f"{cell} is there twice ({len(cells) - len(first)} such lines)")


def _refuse_gaps(
    source: str, configs: polars.Series, resource: str, rows: Ints, places: Ints, levels: Floats
) -> None:
    """Raise a SurrogateError unless rows have every level until their end; level 0 may be missing."""
    there = np.zeros((len(configs), len(levels)), dtype=bool)
    there[rows, places] = True
    there, levels = there[:, levels > 0], levels[levels > 0]
    later = np.logical_or.accumulate(there[:, ::-1], axis=1)[:, ::-1]
    gaps = np.argwhere(later & ~there)
    if len(gaps):
        row, place = gaps[0].tolist()
        problem = f"{configs.name} {configs[row]} has no {resource} {levels[place]:g}, but a later one"
        raise SurrogateError(source, f"{problem} ({len(gaps)} such levels)")


def _constant(frame: polars.DataFrame, config: str) -> set[str]:
    """Return the columns that have one value within each configuration."""
    others = polars.all().exclude(config)
    counts = frame.group_by(config).agg(others.n_unique()).select(others.max())
    return {name for name in counts.columns if counts[name][0] == 1}


def _is_numeric(source: str, column: polars.Series, needed: bool) -> bool:
    numeric = column.dtype.is_numeric() or column.dtype in (polars.Boolean, polars.Null)
    if needed and not numeric:
        raise SurrogateError(source, f"column {column.name!r} must hold numbers, not {column.dtype}")
    return numeric


def _pivot(column: polars.Series, shape: tuple[int, int], rows: Ints, places: Ints) -> Floats:
    table = np.full(shape, np.nan)
    table[rows, places] = column.cast(polars.Float64).to_numpy()
    return table


_SUFFIXES: Final = (".parquet", ".csv")
_TOOLS: Final = ("results.csv", "progress.csv")  # files that tools write under this suffix


def check_out(
    out: str | os.PathLike[str], *, force: bool, sources: Sequence[str | os.PathLike[str]] = ()
) -> Path:
    """Return the path to write to, or raise a ParameterError with the reason why it cannot be used.

    Parameters
    ----------
    out : path
        The file.
    force : bool
        Whether the file may exist already.
    sources : sequence of path
        The files that are read, which are never replaced.

    Raises
    ------
    ParameterError
        `out` ends in neither .parquet nor .csv, is a folder or one of the sources, or exists and `force`
        is not given.
    """
    path = Path(out)
    if path.suffix not in _SUFFIXES:
        raise ParameterError("out", str(path), f"must end in {' or '.join(_SUFFIXES)}")
    if os.path.isdir(path):
        raise ParameterError("out", str(path), "is a folder")
    if any(_is_of(path, Path(source)) for source in sources):
        raise ParameterError("out", str(path), "is what is read: give another name")
    for written in (path, beside(path)):
        if written is not None and os.path.exists(written) and not force:
            raise ParameterError("out", str(written), "is there already; force=True replaces it")
    return path


def _is_of(path: Path, source: Path) -> bool:
    """Return whether a file is a source, or a tool's own file in the folder that is the source."""
    if not path.is_file() or not source.exists():
        return False
    if not source.is_dir():
        return path.samefile(source)
    return path.name in _TOOLS and source.resolve() in path.resolve().parents


def free_name(name: str, prefix: str, taken: set[str], renamed: dict[str, str]) -> str:
    """Return a free name for a column, with the prefix if the name is taken; mark the result as taken.

    Parameters
    ----------
    name : str
        The reported name.
    prefix : str
        ``"metric_"`` or ``"hp_"``.
    taken : set of str
        The names of other columns; the new name is added.
    renamed : dict
        A remark is added if the name was taken.
    """
    new = name
    while new in taken:
        new = prefix + new
    taken.add(new)
    if new != name:
        renamed[f"{'hyperparameter' if prefix == 'hp_' else 'metric'} {name}"] = new
    return new


def write_curves(path: Path, frame: polars.DataFrame, metadata: Mapping[str, object]) -> None:
    """Write a table in long form: Parquet with metadata, or CSV with a file of metadata beside it.

    Parameters
    ----------
    path : Path
        The file, as `check_out` returned it.
    frame : polars.DataFrame
        The table.
    metadata : mapping
        The metadata that `docs/how-to/record.md` describes.

    Raises
    ------
    OutputError
        The file cannot be written; an existing file is unchanged.
    """
    other = beside(path)
    if other is None:
        keys = [name for name in TEXT_KEYS if name != "time" and metadata.get(name)]
        texts = {f"hbsim.{name}": str(metadata[name]) for name in keys}
        content = parquet(frame, {"hbsim": json.dumps(metadata), **texts}, level=19)
        _write(path, lambda file: file.write(content))
        return
    _write(path, frame.write_csv)
    _write(other, lambda file: file.write(f"{json.dumps(metadata, indent=2)}\n".encode()))


def _write(path: Path, put: Callable[[BinaryIO], object]) -> None:
    """Write a file completely or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            put(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise OutputError(str(path), f"cannot be written: {error.strerror or error}") from error
    finally:
        if temporary.is_file():
            temporary.unlink()


def fitting_space(space: Space | None, columns: Mapping[str, list[object]]) -> dict[str, object] | None:
    """Return a space as JSON if it contains all configurations, else None.

    Parameters
    ----------
    space : Space or None
        The space that the tool gives.
    columns : mapping of str to list
        By hyperparameter, a value for each trial.
    """
    if space is None or not set(space.names) <= set(columns):
        return None
    try:
        space.encode({name: columns[name] for name in space.names})
        return space.to_json()
    except (ParameterError, TypeError, ValueError):
        return None
