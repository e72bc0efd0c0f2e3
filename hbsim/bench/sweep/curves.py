"""The learning curves of a sweep: their files, their facts at R, their groups, and those of one study."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

import numpy as np

from hbsim.bench.remote import on_host
from hbsim.errors import SurrogateError
from hbsim.surrogates import Half, Surrogate, check_levels, fingerprint, load
from hbsim.surrogates.description import sample
from hbsim.surrogates.fitted import Fitted
from hbsim.surrogates.table import SHIPPED, SUFFIXES, Table
from hbsim.surrogates.user import Checked
from hbsim.surrogates.wrapper import Wrapper
from hbsim.surrogates.yahpo import Yahpo

SAMPLE: Final = 1000  # how many configurations are drawn at random
SEED: Final = 0
SPLITS: Final = 10  # how many different splits of a table's rows into halves
FIT: Final = "fit:"
OWN: Final = ".py"
EARLY: Final = {
    "fail": "the run failed there, and its metric is NaN from then on",
    "extrapolate": "the last value is carried on",
    "exclude": "they are left out",
    "final": "the run was to end there; the last value is carried on, and no more time passes",
}
HalfOf: TypeAlias = tuple[int, int] | None  # split and part; None: all rows


@dataclass(frozen=True)
class LoadedCurves:
    """Learning curves, loaded, and the fingerprint of their content."""

    surrogate: Surrogate
    fingerprint: str


@dataclass(frozen=True)
class CurveFacts:
    """Facts on learning curves at R.

    Attributes
    ----------
    optimum : float or None
        The best of the space, None where it is unknown.
    guess : float
        The median of 1,000 configurations drawn at random; NaN counts as the worst value.
    full_run : float
        Mean seconds that these configurations take to reach R.
    """

    optimum: float | None
    guess: float
    full_run: float


_kept: dict[str, LoadedCurves] = {}  # the curves loaded in this process, by their descriptions


def read_curves(description: Mapping[str, Any]) -> LoadedCurves:
    """Load learning curves as they are now.

    Parameters
    ----------
    description : mapping
        Keywords of `hbsim.surrogates.load`, plain JSON types.

    Raises
    ------
    ParameterError, SurrogateError
        As `hbsim.surrogates.load`.
    """
    options = dict(description)
    surrogate = load(options.pop("surrogate"), **options)
    known = LoadedCurves(surrogate, fingerprint(surrogate))
    _kept[_text(description)] = known
    return known


def load_curves(description: Mapping[str, Any], content: str, half: HalfOf = None) -> Surrogate:
    """Return learning curves that were checked before, here or elsewhere; each process loads them once.

    Parameters
    ----------
    description : mapping
        As in `read_curves`.
    content : str
        Their fingerprint.
    half : (int, int), optional
        Split and part of the rows that a study sees; by default all.

    Raises
    ------
    SurrogateError
        The curves have changed since.
    """
    known = _kept.get(_text(description))
    if known is None or known.fingerprint != content:
        try:
            known = read_curves(description)
        except SurrogateError as error:
            raise SurrogateError(f"{error.source}{on_host()}", error.problem) from None
    if known.fingerprint != content:
        problem = "are not the curves that were checked: changed since, or others each time they are read"
        raise SurrogateError(f"{description['surrogate']}{on_host()}", problem)
    return known.surrogate if half is None else _half(_text(description), content, half)


@lru_cache(maxsize=2 * SPLITS)
def _half(text: str, content: str, half: tuple[int, int]) -> Surrogate:
    return Half(_kept[text].surrogate, split=half[0], part=half[1])


def _text(description: Mapping[str, Any]) -> str:
    return json.dumps(description, sort_keys=True)


def at_level(surrogate: Surrogate, max_t: float) -> CurveFacts:
    """Return the facts on learning curves at a level.

    Raises
    ------
    ParameterError
        The curves do not reach the level.
    """
    check_levels(surrogate, [max_t])
    values, seconds = surrogate.evaluate(sample(surrogate, SAMPLE, SEED), np.array([max_t], dtype=np.float64))
    sign = 1.0 if surrogate.mode == "min" else -1.0  # so that a mirror image gets the same median
    losses = np.sort(np.where(np.isfinite(values[:, 0]), sign * values[:, 0], math.inf))
    finite = losses[np.isfinite(losses)]
    # Where most configurations diverge, the worst one that does not.
    middle = min((len(losses) - 1) // 2, len(finite) - 1)
    guess = sign * float(finite[middle]) if finite.size else math.nan
    reached = seconds[:, 0][np.isfinite(seconds[:, 0])]
    return CurveFacts(surrogate.optimum(max_t), guess, math.fsum(reached) / max(1, len(reached)))


# Halves of a table


def has_halves(surrogate: Surrogate, num_trials: object, is_replacing: bool) -> bool:
    """Return whether studies of so many trials can run on half of the rows each.

    Curves that the user has already wrapped as a half are not halved again.
    """
    rows, within = surrogate.rows, surrogate
    while isinstance(within, Wrapper) and not isinstance(within, Half):
        within = within.wrapped
    if rows is None or is_replacing or isinstance(within, Half):
        return False
    return isinstance(num_trials, int) and num_trials <= rows // 2


def half_of(seed: int) -> tuple[int, int]:
    """Return the split and the part of a table's rows for studies with this seed."""
    return (seed // 2) % SPLITS, seed % 2


# Files


def absolute_surrogate(text: str, folder: str | os.PathLike[str]) -> str:
    """Return the text of a surrogate with the path of its file made absolute.

    Parameters
    ----------
    text : str
        A surrogate, as the user wrote it.
    folder : path
        The folder that relative paths start from.
    """
    if text.startswith(FIT):
        rest = text.removeprefix(FIT)
        return text if rest.split(",")[0] in SHIPPED else FIT + absolute_path(rest, folder)
    path, colon, name = text.rpartition(":")
    if colon and path.endswith(OWN):
        return f"{absolute_path(path, folder)}:{name}"
    return absolute_path(text, folder) if text.endswith(SUFFIXES) else text


def absolute_path(path: str, folder: str | os.PathLike[str]) -> str:
    """Make a path absolute."""
    return os.path.abspath(os.path.join(folder, path))


def files_of(description: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the files and folders that are read when learning curves are loaded.

    Parameters
    ----------
    description : mapping
        Keywords of `hbsim.surrogates.load`, with whole paths.
    """
    from hbsim.surrogates.table_files import beside

    text = str(description["surrogate"])
    path, colon, _ = text.rpartition(":")
    found = []
    if text.startswith(FIT):
        from hbsim.surrogates.fitted import split_name

        table = split_name(text.removeprefix(FIT))[0]
        found += [] if table in SHIPPED else [table]
    elif colon and path.endswith(OWN):
        found.append(path)
    elif text.endswith(SUFFIXES):
        found.append(text)
    notes = [beside(Path(table)) for table in found if table.endswith(SUFFIXES)]
    found += [str(path) for path in notes if path is not None and path.is_file()]
    if description.get("yahpo_data"):
        found.append(str(description["yahpo_data"]))
    return tuple(found)


# What readers of results have to know


def origins(surrogate: Surrogate) -> frozenset[str]:
    """Return the origins of curves; curves that share an origin are no independent evidence.

    The origins are the content, without wrappers, and also the file of recorded curves and of a fit, and the
    instance of YAHPO, for any metric.
    """
    within = _unwrapped(surrogate)
    return frozenset({fingerprint(within), *_places(within)})


def curve_groups(
    surrogates: Mapping[str, Surrogate], given: Mapping[str, str | None]
) -> tuple[dict[str, str], list[str]]:
    """Return the group of each of some learning curves, and warnings.

    In tests over tasks the same curves under several names must count once.

    Parameters
    ----------
    surrogates : mapping
        The learning curves by name, in the order of the specification.
    given : mapping
        By name the group that the specification has, or None.

    Returns
    -------
    dict, list of str
        By name: the given group; else the first given group among the same curves; else the name of the
        first of the same curves. And a warning for each given group that differs from the first one of
        its curves.
    """
    named: dict[str, str] = {}
    texts: list[str] = []
    for same in _with_common_origins(surrogates):
        first, *others = [name for name in same if given[name] is not None] or [same[0]]
        default = given[first] or first
        for name in same:
            group = given[name]
            named[name] = default if group is None else group
        texts += [
            f"{first} and {name} are of the same curves, and their groups are not the same "
            f"({given[first]}, {given[name]}): tests over tasks take them for independent"
            for name in others
            if given[name] != given[first]
        ]
    return named, texts


def _with_common_origins(surrogates: Mapping[str, Surrogate]) -> list[list[str]]:
    """Return the names of curves with common origins, each list in the order of the specification."""
    parts: list[tuple[frozenset[str], list[str]]] = []
    for name, surrogate in surrogates.items():
        shared = origins(surrogate)
        near = [part for part in parts if part[0] & shared]
        parts = [part for part in parts if not part[0] & shared]
        names = [one for _, others in near for one in others]
        parts.append((shared.union(*(other for other, _ in near)), [*names, name]))
    order = list(surrogates)
    return [sorted(names, key=order.index) for _, names in parts]


def _unwrapped(surrogate: Surrogate) -> Surrogate:
    """Return the curves within all wrappers."""
    while isinstance(surrogate, Wrapper | Checked):
        within = surrogate.wrapped
        if not isinstance(within, Wrapper | Table | Fitted | Yahpo) and not isinstance(surrogate, Wrapper):
            break  # a user's own surrogate
        surrogate = cast(Surrogate, within)
    return surrogate


def _places(within: Surrogate) -> Iterator[str]:
    if isinstance(within, Yahpo):
        yield within.name
    elif isinstance(within, Table | Fitted):
        path = Path(within.source if isinstance(within, Table) else within._model.data.source)
        if path.is_file():  # not for files within an archive
            yield hashlib.sha256(path.read_bytes()).hexdigest()


def curve_notes(surrogate: Surrogate, num_trials: object, is_replacing: bool) -> tuple[str, ...]:
    """Return notes: how curves that end early were treated, and whether rows are drawn more than once.

    Parameters
    ----------
    surrogate : Surrogate
        The curves, in their wrappers.
    num_trials : int or None
        How many trials a study starts at most.
    is_replacing : bool
        Whether a study may draw the same row more than once.
    """
    notes, within, rows = [], _unwrapped(surrogate), surrogate.rows
    if isinstance(within, Table) and within.censored is not None:
        early, all_ = within.censored_rows + within.excluded_rows, len(within.ends) + within.excluded_rows
        text = f'{early:,} of {all_:,} curves end early; censored = "{within.censored}"'
        notes += [f"{text}: {EARLY[within.censored]}"] if early else []
    if rows is not None and is_replacing:
        if not isinstance(num_trials, int):
            notes.append(f"any number of trials from {rows:,} rows: rows may come more than once")
        elif num_trials > rows:
            notes.append(f"up to {num_trials:,} trials from {rows:,} rows: rows come more than once")
    return tuple(notes)
